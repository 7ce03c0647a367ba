//! Many calls at once, coming and going as they like: each is told once, and nothing hangs or is left behind.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use gust_runtime::{Done, Finished, Instance, Settle, Sharer};
use gust_task::ids;
use gust_types::Outcome;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

use crate::kit::{Function, get, shared, spawn, within};

/// Instances as a dispatcher keeps them: idle ones, and ways into busy ones.
#[derive(Default)]
struct Pool {
    idle: Mutex<Vec<Box<dyn Instance>>>,
    ways: Mutex<Vec<Arc<dyn Sharer>>>,
    told: AtomicUsize,
    outcomes: Mutex<Vec<Outcome>>,
}

struct Ear(Arc<Pool>);

impl Settle for Ear {
    fn settle(self: Box<Self>, finished: Finished) {
        self.0.told.fetch_add(1, SeqCst);
        self.0.outcomes.lock().push(finished.outcome);
        self.0.idle.lock().extend(finished.instance);
    }
}

impl Pool {
    async fn acquire(&self, function: &Function) -> Box<dyn Instance> {
        if let Some(instance) = self.idle.lock().pop() {
            return instance;
        }
        let ways = self.ways.lock().clone();
        if let Some(instance) = ways.iter().find_map(|way| way.share()) {
            return instance;
        }
        let instance = function.start().await;
        let mut ways = self.ways.lock();
        ways.extend(instance.sharer());
        let excess = ways.len().saturating_sub(40);
        ways.drain(..excess);
        instance
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_many_calls_is_told_once() {
    for (name, paths) in [
        (
            "faults-p3",
            [
                "/ok",
                "/sleep/20",
                "/spin-ms/8",
                "/background/20",
                "/trap",
                "/log",
            ],
        ),
        (
            "echo-p3",
            ["/sse", "/count", "/size/300000", "/info", "/sse", "/count"],
        ),
        (
            "faults-p2",
            ["/ok", "/sleep/20", "/spin-ms/8", "/trap", "/exit", "/log"],
        ),
    ] {
        let function = Arc::new(shared().load(shared().revision(name)).await);
        let pool = Arc::new(Pool::default());
        let calls = (0..400).map(|_| spawn(one(function.clone(), pool.clone(), paths)));
        let calls: Vec<_> = calls.collect();
        for call in calls {
            let ended = tokio::time::timeout(Duration::from_secs(60), call).await;
            ended.expect("a call hangs").expect("a call panicked");
        }
        for _ in 0..2000 {
            if pool.told.load(SeqCst) == 400 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(pool.told.load(SeqCst), 400, "{name}: each is told once");
        let outcomes = pool.outcomes.lock();
        assert!(outcomes.contains(&Outcome::Ok), "{name}");
        assert!(outcomes.contains(&Outcome::Cancelled), "{name}");
        assert!(!outcomes.contains(&Outcome::Platform), "{name}");
    }
}

/// One call that is read to its end, dropped in the middle, or late.
async fn one(function: Arc<Function>, pool: Arc<Pool>, paths: [&'static str; 6]) {
    tokio::time::sleep(Duration::from_millis(ids::random_u64() % 800)).await;
    let instance = pool.acquire(&function).await;
    let path = paths[(ids::random_u64() % 6) as usize];
    let done = Done::new(Box::new(Ear(pool.clone())));
    let patience = Duration::from_millis(ids::random_u64() % 60);
    match ids::random_u64() % 4 {
        0 => {
            let call = instance.call(get(path), done);
            if let Ok(Ok(reply)) = tokio::time::timeout(patience, call).await {
                let _ = tokio::time::timeout(patience, reply.into_body().collect()).await;
            }
        }
        1 => {
            let call = instance.call(within(get(path), patience), done);
            if let Ok(reply) = call.await {
                tokio::time::sleep(patience).await;
                let _ = reply.into_body().collect().await;
            }
        }
        _ => {
            if let Ok(reply) = instance.call(get(path), done).await {
                let _ = reply.into_body().collect().await;
            }
        }
    }
}
