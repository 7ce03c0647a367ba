use std::{sync::Arc, time::Duration};

use gust_types::{Span, call::full};
use http::Request;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::kit::{App, World, refusal, reply, runtime, slow};
use crate::{Refusal, Refused};

const LONG: Duration = Duration::from_millis(300);

fn narrow(queue: u32, queue_time: Span) -> App {
    App::new("app").function_with("f", |spec| {
        spec.limits.concurrency = 1;
        spec.limits.queue = queue;
        spec.limits.queue_time = queue_time;
    })
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let world = World::new(runtime(10).with("f", slow(LONG)));
    world.deploy(&narrow(1, Span::secs(5)));
    let first = world.spawn("http://app.test/f");
    world
        .until("served", |w| w.state("app", "f").busy == 1)
        .await;
    let second = world.spawn("http://app.test/f");
    world
        .until("queued", |w| w.state("app", "f").queued == 1)
        .await;
    let third = world.text("http://app.test/f").await;
    assert_eq!(refusal(&third), Refusal::QueueFull);
    let refused = Refused::of(&third.unwrap_err()).unwrap();
    assert_eq!(
        (refused.status(), refused.retry_after_secs()),
        (503, Some(1))
    );
    for call in [first, second] {
        assert_eq!(call.await.unwrap().unwrap().unwrap(), "done");
    }
    assert_eq!(world.tally("app", "f"), (3, 1, 0, 2));
    assert_eq!(
        world.records().len(),
        2,
        "the refused call is not on the bill"
    );
    assert!(world.records()[1].phases.queue_us > 100_000);
}

#[tokio::test]
async fn waiting_has_an_end() {
    let world = World::new(runtime(10).with("f", slow(LONG)));
    world.deploy(&narrow(5, Span::millis(20)));
    let first = world.spawn("http://app.test/f");
    world
        .until("served", |w| w.state("app", "f").busy == 1)
        .await;
    let second = world.text("http://app.test/f").await;
    assert_eq!(refusal(&second), Refusal::QueueTime);
    assert_eq!(first.await.unwrap().unwrap().unwrap(), "done");
    assert_eq!(world.state("app", "f").queued, 0);
}

#[tokio::test]
async fn who_hangs_up_leaves_the_queue() {
    let world = World::new(runtime(10).with("f", slow(LONG)));
    world.deploy(&narrow(1, Span::secs(5)));
    let first = world.spawn("http://app.test/f");
    world
        .until("served", |w| w.state("app", "f").busy == 1)
        .await;
    let second = world.spawn("http://app.test/f");
    world
        .until("queued", |w| w.state("app", "f").queued == 1)
        .await;
    second.abort();
    world
        .until("left", |w| w.state("app", "f").queued == 0)
        .await;
    let third = world.spawn("http://app.test/f");
    assert_eq!(third.await.unwrap().unwrap().unwrap(), "done");
    first.await.unwrap().unwrap().unwrap();
    assert_eq!(world.tally("app", "f"), (3, 0, 1, 2));
}

#[tokio::test]
async fn order_is_kept() {
    let (order, gate) = (
        Arc::new(Mutex::new(Vec::new())),
        Arc::new(Semaphore::new(0)),
    );
    let (seen, open) = (order.clone(), gate.clone());
    let world = World::new(runtime(10).with("f", move |request| {
        let (seen, open) = (seen.clone(), open.clone());
        async move {
            seen.lock().push(request.uri().path().to_owned());
            open.acquire().await.unwrap().forget();
            Ok(reply(""))
        }
    }));
    world.deploy(&narrow(100, Span::secs(30)));
    let mut calls = Vec::new();
    for n in 0..50 {
        calls.push(world.spawn(&format!("http://app.test/f/{n:02}")));
        world
            .until("queued", |w| {
                w.state("app", "f").queued == n || n == 0 && w.state("app", "f").busy == 1
            })
            .await;
    }
    gate.add_permits(50);
    for call in calls {
        call.await.unwrap().unwrap().unwrap();
    }
    let expected: Vec<_> = (0..50).map(|n| format!("/f/{n:02}")).collect();
    assert_eq!(*order.lock(), expected);
}

#[tokio::test]
async fn a_budget_refuses_with_its_text() {
    let world = World::new(runtime(10).with("f", slow(Duration::ZERO)));
    let project = gust_types::ProjectName::default_project();
    world
        .dispatcher
        .set_refusal(&project, Some("the budget of 5 is used up".to_owned()));
    world.deploy(&App::new("app").function("f"));
    let refused = world.text("http://app.test/f").await;
    assert_eq!(refusal(&refused), Refusal::Budget);
    let error = refused.unwrap_err();
    assert_eq!(error.to_string(), "the budget of 5 is used up");
    let refused = Refused::of(&error).unwrap();
    assert_eq!(
        (refused.status(), refused.retry_after.is_some()),
        (429, true)
    );
    world.dispatcher.set_refusal(&project, None);
    assert_eq!(world.text("http://app.test/f").await.unwrap(), "done");
}

#[tokio::test]
async fn a_callers_rate_is_limited() {
    let world = World::new(runtime(10).with("f", slow(Duration::ZERO)));
    world.deploy(&App::new("app").function_with("f", |spec| spec.limits.rate = 3));
    for _ in 0..3 {
        world.text("http://app.test/f").await.unwrap();
    }
    let refused = world.text("http://app.test/f").await;
    assert_eq!(refusal(&refused), Refusal::Rate);
    assert_eq!(Refused::of(&refused.unwrap_err()).unwrap().status(), 429);
}

#[tokio::test]
async fn a_body_that_says_it_is_too_long_is_refused_unread() {
    let world = World::new(runtime(10).with("f", slow(Duration::ZERO)));
    world.deploy(&App::new("app").function_with("f", |spec| {
        spec.limits.request_body = gust_types::ByteSize(10);
    }));
    for request in [
        Request::post("http://app.test/f").body(full("x".repeat(11))),
        Request::post("http://app.test/f")
            .header("content-length", "11")
            .body(full("")),
    ] {
        let refused = world.send(request.unwrap()).await;
        assert_eq!(refusal(&refused), Refusal::BodyTooLarge);
        assert_eq!(Refused::of(&refused.err().unwrap()).unwrap().status(), 413);
    }
    assert_eq!(world.records(), []);
}

#[tokio::test]
async fn a_redeploy_changes_how_many_may_run() {
    let world = World::new(runtime(100).with("f", slow(Duration::from_millis(30))));
    let app = |number, concurrency| {
        App::new("app")
            .revision(number)
            .function_with("f", move |spec| {
                spec.limits.concurrency = concurrency;
            })
    };
    for (number, concurrency) in [(1, 2), (2, 20), (3, 3), (4, 7)] {
        world.deploy(&app(number, concurrency));
        let calls: Vec<_> = (0..40).map(|_| world.spawn("http://app.test/f")).collect();
        let mut most = 0;
        while !calls.iter().all(|call| call.is_finished()) {
            most = most.max(world.state("app", "f").busy);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(most, concurrency as usize);
    }
}
