//! Where runs go: each to its own trigger, though all of a project are in one queue.
//!
//! What is taken from that queue holds up what comes behind it. So no function may have more than its share of what is
//! under way; what is too much for it goes back, and stays away longer the older it is.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use gust_backend::queue::Queue;
use gust_dispatch::Dispatcher;
use gust_task::clock;
use gust_types::{AppName, FunctionKey, Label, ProjectName, Result, event::Event};
use parking_lot::RwLock;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::{
    deliver::{self, Delivery, Nowhere, Once, Place, Way},
    triggers::Key,
};

/// The extensions that say whose run it is.
pub(crate) const APP: &str = "gustapp";
pub(crate) const NAME: &str = "gusttrigger";
/// Runs of one function under way at once.
const SHARE: usize = 1000;
/// The longest that a run waits for others that are due with it.
const HELD: Duration = Duration::from_millis(250);
/// Runs read at a time.
const PAGE: usize = 10_000;
/// A node that has served for so long knows its triggers: a run whose trigger it does not know has none.
const KNOWN: Duration = Duration::from_secs(60);
/// How long a call may take when nobody knows.
const ABSENT: Duration = Duration::from_secs(1);

/// Where the runs of a project go.
pub(super) struct Runs {
    project: ProjectName,
    since: Instant,
    table: RwLock<Table>,
    ended: mpsc::Sender<Key>,
    /// Whether runs are being written down.
    firing: watch::Receiver<bool>,
}

#[derive(Default)]
struct Table {
    deliveries: HashMap<(AppName, Label), (Arc<Delivery>, Arc<Semaphore>)>,
    /// The places of each function.
    shares: HashMap<Arc<FunctionKey>, Weak<Semaphore>>,
    /// How many triggers are delivered with `exactly_once`.
    once: usize,
}

// === impl Runs ===

impl Runs {
    /// Says through `ended` whose run is over, and lets none begin while runs are written down.
    pub(super) fn new(
        project: ProjectName,
        ended: mpsc::Sender<Key>,
        firing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            project,
            since: clock::now(),
            table: RwLock::default(),
            ended,
            firing,
        }
    }

    /// From now on this trigger's runs go there.
    pub(super) fn enter(&self, key: &Key, delivery: Arc<Delivery>) {
        let mut table = self.table.write();
        let share = table.share(&delivery.target.function);
        let trigger = (key.app.clone(), key.name.clone());
        table.once += usize::from(delivery.once.is_some());
        let before = table.deliveries.insert(trigger, (delivery, share));
        table.once -= usize::from(before.is_some_and(|(before, _)| before.once.is_some()));
    }

    /// The trigger is gone.
    pub(super) fn leave(&self, key: &Key) {
        let mut table = self.table.write();
        let trigger = (key.app.clone(), key.name.clone());
        if let Some((delivery, share)) = table.deliveries.remove(&trigger) {
            table.once -= usize::from(delivery.once.is_some());
            if Arc::strong_count(&share) == 1 {
                table.shares.remove(&delivery.target.function);
            }
        }
    }

    fn key(&self, event: &Event) -> Option<Key> {
        let text = |name: &str| event.attribute(name).map(|value| value.text().into_owned());
        Some(Key {
            project: self.project.clone(),
            app: AppName::new(text(APP)?).ok()?,
            name: Label::new(text(NAME)?).ok()?,
        })
    }
}

#[async_trait]
impl Way for Runs {
    fn of(&self, event: &Event) -> Result<(Arc<Delivery>, Place), Nowhere> {
        let key = self.key(event).ok_or(Nowhere::Gone)?;
        let table = self.table.read();
        match table.deliveries.get(&(key.app, key.name)) {
            Some((delivery, share)) => match share.clone().try_acquire_owned() {
                Ok(place) => Ok((delivery.clone(), Place::of(place))),
                Err(_) => Err(Nowhere::NotNow),
            },
            None if self.since.elapsed() < KNOWN => Err(Nowhere::NotNow),
            None => Err(Nowhere::Gone),
        }
    }

    fn patience(&self, dispatcher: &Dispatcher) -> Duration {
        let table = self.table.read();
        // By function: very many schedules may call the same, and every taking asks.
        let functions = table.shares.keys();
        let calls = functions.filter_map(|function| deliver::patience(dispatcher, function));
        match (calls.max(), table.once) {
            (Some(call), 0) => call,
            (Some(call), _) => Once::patience(call),
            (None, _) => ABSENT,
        }
    }

    /// What is due together is written down before the first of it begins: a call takes far longer than a line of the queue,
    /// and the calls of the first would hold up the rest.
    async fn ready(&self) {
        let mut firing = self.firing.clone();
        let _ = tokio::time::timeout(HELD, firing.wait_for(|firing| !firing)).await;
    }

    fn ended(&self, event: &Event) {
        // The one who hears is the task that fires; it reads as fast as it writes. Should it be far behind, the worst is
        // that a run waits which need not.
        if let Some(key) = self.key(event) {
            let _ = self.ended.try_send(key);
        }
    }
}

// === impl Table ===

impl Table {
    fn share(&mut self, function: &Arc<FunctionKey>) -> Arc<Semaphore> {
        if let Some(share) = self.shares.get(function).and_then(Weak::upgrade) {
            return share;
        }
        let share = Arc::new(Semaphore::new(SHARE));
        self.shares.insert(function.clone(), Arc::downgrade(&share));
        share
    }
}

/// The runs in the queue, by schedule.
pub(super) async fn left_running(
    project: &ProjectName,
    queue: &dyn Queue,
) -> Result<HashMap<Key, u32>> {
    let mut left: HashMap<Key, u32> = HashMap::new();
    let mut after = None;
    loop {
        let seen = queue.peek(after, PAGE).await?;
        let Some(last) = seen.last() else {
            return Ok(left);
        };
        after = Some(last.id);
        for seen in &seen {
            let of = |name: &str| seen.message.attributes.get(&format!("ce-{name}"));
            if let (Some(app), Some(name)) = (of(APP), of(NAME))
                && let (Ok(app), Ok(name)) = (AppName::new(app), Label::new(name))
            {
                let project = project.clone();
                *left.entry(Key { project, app, name }).or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gust_types::{FunctionName, call::Trigger, trigger::RetrySpec};

    use super::*;
    use crate::{deliver::Target, retry::RetryPolicy};

    fn key(name: &str) -> Key {
        Key {
            project: ProjectName::new("p").unwrap(),
            app: AppName::new("a").unwrap(),
            name: Label::new(name).unwrap(),
        }
    }

    fn event(of: &Key) -> Event {
        let event = Event::new("1", "/", "t").unwrap();
        let event = event.with(APP, of.app.as_str()).unwrap();
        event.with(NAME, of.name.as_str()).unwrap()
    }

    fn delivery(function: &str) -> Arc<Delivery> {
        Arc::new(Delivery {
            target: Target {
                function: Arc::new(FunctionKey {
                    project: ProjectName::new("p").unwrap(),
                    app: AppName::new("a").unwrap(),
                    function: FunctionName::new(function).unwrap(),
                }),
                path: "/".to_owned(),
                name: "a/t".to_owned(),
                trigger: Trigger::Schedule,
                mode: Default::default(),
            },
            retry: RetryPolicy::from(&RetrySpec::default()),
            tally: Arc::default(),
            replies: None,
            once: None,
        })
    }

    #[test]
    fn a_slow_function_leaves_room_for_others() {
        let (ended, _heard) = mpsc::channel(1);
        let runs = Runs::new(
            ProjectName::new("p").unwrap(),
            ended,
            watch::channel(false).1,
        );
        let (one, two, other) = (key("one"), key("two"), key("other"));
        let slow = delivery("slow");
        runs.enter(&one, slow.clone());
        runs.enter(&two, slow);
        runs.enter(&other, delivery("quick"));
        let mut held: Vec<_> = (0..SHARE)
            .map(|n| runs.of(&event(if n % 2 == 0 { &one } else { &two })))
            .map(|place| place.ok().unwrap())
            .collect();
        assert!(matches!(runs.of(&event(&one)), Err(Nowhere::NotNow)));
        assert!(runs.of(&event(&other)).is_ok());
        held.pop();
        assert!(runs.of(&event(&two)).is_ok());
        // Whoever is deployed again while calls are under way has the same places.
        runs.leave(&one);
        runs.leave(&two);
        runs.enter(&one, delivery("slow"));
        assert_eq!(held.len(), SHARE - 1);
        let last = runs.of(&event(&one));
        assert!(last.is_ok());
        assert!(matches!(runs.of(&event(&one)), Err(Nowhere::NotNow)));
    }

    #[test]
    fn a_run_without_a_trigger_waits_for_it_no_longer_than_the_node_needs() {
        let (ended, _heard) = mpsc::channel(1);
        let mut runs = Runs::new(
            ProjectName::new("p").unwrap(),
            ended,
            watch::channel(false).1,
        );
        assert!(matches!(runs.of(&event(&key("t"))), Err(Nowhere::NotNow)));
        let Some(long_ago) = runs.since.checked_sub(KNOWN) else {
            return;
        };
        runs.since = long_ago;
        assert!(matches!(runs.of(&event(&key("t"))), Err(Nowhere::Gone)));
    }

    #[tokio::test]
    async fn runs_wait_for_those_that_are_due_with_them_but_not_for_long() {
        let (ended, _heard) = mpsc::channel(1);
        let firing = watch::Sender::new(true);
        let runs = Runs::new(ProjectName::new("p").unwrap(), ended, firing.subscribe());
        let began = tokio::time::Instant::now();
        runs.ready().await;
        assert!(began.elapsed() >= HELD);
        let mut ready = runs.ready();
        assert!(futures::poll!(&mut ready).is_pending());
        firing.send_replace(false);
        ready.await;
        assert!(futures::FutureExt::now_or_never(runs.ready()).is_some());
    }
}
