use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream;
use gust_runtime::memory::{MemoryRuntime, Pace};
use gust_task::ids;
use gust_types::{
    Body, Error, Outcome, Reply, Result, Span,
    call::{CallId, full},
};
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use super::kit::{App, World, runtime, slow};

/// Below `n`.
fn dice(n: u64) -> u64 {
    ids::random_u64() % n
}

async fn nap(most_us: u64) {
    match dice(3) {
        0 => tokio::task::yield_now().await,
        _ => tokio::time::sleep(Duration::from_micros(dice(most_us))).await,
    }
}

/// Fails, answers at once, or streams slowly.
async fn whim(request: Request<Body>) -> Result<Reply> {
    nap(3000).await;
    if dice(2) == 0 {
        let _ = request.into_body().collect().await?;
    }
    match dice(8) {
        0 => return Err(Error::failed("trap")),
        1 => {
            return Err(Error::new(
                gust_types::Kind::Exhausted,
                gust_types::Blame::Function,
                "memory",
            ));
        }
        2 | 3 => return Ok(Reply::new(full("short"))),
        _ => {}
    }
    let stream = stream::unfold(dice(6), |left| async move {
        nap(1000).await;
        let frame = match left {
            0 => return None,
            _ if dice(30) == 0 => Err(Error::failed("trap in the body")),
            _ => Ok(Frame::data(Bytes::from_static(&[7; 700]))),
        };
        Some((frame, left - 1))
    });
    Ok(Reply::new(StreamBody::new(stream).boxed_unsync()))
}

/// Calls, and loses interest at some point or does not.
async fn one(world: World) -> CallId {
    let url = [
        "http://app.test/a",
        "http://app.test/b",
        "http://app.test/c",
    ][dice(3) as usize];
    let body = if dice(2) == 0 {
        full("")
    } else {
        full("x".repeat(dice(3000) as usize))
    };
    let (head, body) = Request::post(url).body(body).unwrap().into_parts();
    let routed = world.dispatcher.route(&head).unwrap();
    let key = routed.function().unwrap().key().clone();
    let call = world.call_of(Request::from_parts(head, body), key);
    let id = call.id;
    let patience = if dice(3) == 0 { dice(4000) } else { 10_000_000 };
    let whole = async {
        let Ok(reply) = world.dispatcher.dispatch(call, &routed).await else {
            return;
        };
        let mut body = reply.into_body();
        let frames = if dice(4) == 0 { dice(4) } else { 100 };
        for _ in 0..frames {
            if !matches!(body.frame().await, Some(Ok(_))) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_micros(patience), whole).await;
    id
}

fn world(concurrent: u32) -> World {
    let mut runtime = MemoryRuntime::new(Pace {
        capacity: 6,
        ..Pace::default()
    });
    let mut app = App::new("app");
    for name in ["a", "b", "c"] {
        runtime = runtime.with(name, whim);
        app = app.function_with(name, |spec| {
            spec.limits.concurrency = 5;
            spec.limits.queue = 8;
            spec.limits.queue_time = Span::millis(8);
            spec.limits.request_body = gust_types::ByteSize(2000);
            spec.limits.response_body = gust_types::ByteSize(2000);
            spec.reuse.calls = Some(10);
            spec.reuse.concurrent = Some(concurrent);
        });
    }
    let world = World::new(runtime);
    world.deploy(&app);
    world
}

/// Thousands of calls that end in every way there is, at random points: each admitted one leaves one record, and
/// nothing is held afterwards.
async fn every_admitted_call_is_settled_once(concurrent: u32) {
    const CALLS: usize = 4000;
    let world = world(concurrent);
    let mut callers = Vec::new();
    for _ in 0..CALLS / 20 {
        let batch: Vec<_> = (0..20)
            .map(|_| gust_task::spawn("caller", one(world.clone())))
            .collect();
        callers.extend(batch);
        tokio::time::sleep(Duration::from_micros(dice(12_000))).await;
    }
    for caller in callers {
        caller.await.unwrap().expect("no panic");
    }
    assert_eq!(world.dispatcher.drain(Duration::from_secs(5)).await, 0);

    let records = world.records();
    let mut ids: Vec<_> = records.iter().map(|usage| usage.call).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), records.len(), "no call has two records");
    let tallies = ["a", "b", "c"].map(|name| world.tally("app", name));
    let sum = |f: fn(&(u64, u64, u64, u64)) -> u64| tallies.iter().map(f).sum::<u64>();
    assert_eq!(sum(|t| t.0), CALLS as u64);
    assert_eq!(sum(|t| t.3), records.len() as u64);
    assert_eq!(sum(|t| t.0), sum(|t| t.1 + t.2 + t.3), "{tallies:?}");
    assert!(sum(|t| t.1) > 0 && sum(|t| t.2) > 0, "{tallies:?}");
    for outcome in [
        Outcome::Ok,
        Outcome::Failed,
        Outcome::Cancelled,
        Outcome::BodyLimit,
        Outcome::MemoryLimit,
    ] {
        assert!(
            records.iter().any(|usage| usage.outcome == outcome),
            "{outcome:?}"
        );
    }
    assert!(
        records
            .iter()
            .all(|usage| usage.outcome != Outcome::Platform)
    );

    for name in ["a", "b", "c"] {
        let state = world.state("app", name);
        assert_eq!((state.busy, state.queued), (0, 0), "{name}");
    }
    world
        .until("every place is free", |w| {
            w.dispatcher.core.engine.places.taken() == 0
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_admitted_call_is_settled_once_one_at_a_time() {
    every_admitted_call_is_settled_once(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_admitted_call_is_settled_once_shared() {
    every_admitted_call_is_settled_once(4).await;
}

#[tokio::test]
async fn a_panic_in_the_runtime_is_settled_too() {
    let runtime = runtime(2).with("f", |_| async { panic!("a fault of ours") });
    let world = World::new(runtime);
    world.deploy(&App::new("app").function("f"));
    for _ in 0..5 {
        assert!(world.spawn("http://app.test/f").await.unwrap().is_none());
    }
    assert_eq!(world.records().len(), 5);
    assert_eq!(world.state("app", "f").busy, 0);
    assert_eq!(world.dispatcher.core.engine.places.taken(), 0);
}

#[tokio::test]
async fn a_drain_waits_for_calls_and_says_what_is_left() {
    let world = World::new(runtime(5).with("f", slow(Duration::from_millis(100))));
    world.deploy(&App::new("app").function("f"));
    let call = Arc::new(world.spawn("http://app.test/f"));
    world
        .until("served", |w| w.state("app", "f").busy == 1)
        .await;
    assert_eq!(world.dispatcher.drain(Duration::from_millis(5)).await, 1);
    let (project, app) = (
        gust_types::ProjectName::default_project(),
        gust_types::AppName::new("app").unwrap(),
    );
    assert!(world.dispatcher.remove(&project, &app));
    assert_eq!(
        world.dispatcher.drain(Duration::from_millis(5)).await,
        1,
        "a removed app's calls count"
    );
    assert_eq!(world.dispatcher.drain(Duration::from_secs(5)).await, 0);
    assert!(call.is_finished());
    assert_eq!(world.outcomes(), [Outcome::Ok]);
}

#[tokio::test]
async fn waiting_in_a_queue_takes_neither_memory_nor_the_functions_time() {
    let runtime = runtime(10).with("f", slow(Duration::from_millis(200)));
    let world = World::new(runtime);
    world.deploy(&App::new("app").function_with("f", |spec| {
        spec.limits.concurrency = 1;
        spec.limits.queue = 10;
        // Enough for one call, not for one call and its time in the queue.
        spec.limits.wall_time = Span::millis(350);
    }));
    let calls: Vec<_> = (0..3).map(|_| world.spawn("http://app.test/f")).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().unwrap(), "done");
    }
    world.until("all records", |w| w.records().len() == 3).await;
    let records = world.records();
    let last = records.iter().max_by_key(|r| r.phases.queue_us).unwrap();
    assert!(last.phases.queue_us > 300_000, "{last:?}");
    assert!(last.wall_us > 500_000, "{last:?}");
    let started: Vec<_> = records.iter().map(|r| r.start_us).collect();
    let spread = started.iter().max().unwrap() - started.iter().min().unwrap();
    assert!(spread < 150_000, "all were accepted at once: {started:?}");
    for record in &records {
        // 1 MiB for about 200 ms.
        let held = record.memory_mb_ms;
        assert!((209..400).contains(&held), "{record:?}");
    }
}
