//! How often and for whom an instance is used again.

use std::time::Duration;

use gust_runtime::suite;
use gust_task::clock;
use gust_types::Outcome;

use crate::kit::{finish, get, shared, spawn, within};

#[tokio::test]
async fn instances_of_0_3_are_reused_up_to_their_count() {
    let mut revision = shared().revision("echo-p3");
    revision.spec.reuse.calls = Some(3);
    let function = shared().load(revision).await;
    let mut instance = Some(function.start().await);
    for expected in ["1\n", "2\n", "3\n"] {
        let answered = finish(instance.take().expect("fit"), get("/count")).await;
        assert_eq!(answered.text(), expected);
        instance = answered.finished.instance;
    }
    assert!(instance.is_none(), "three calls are its life");
}

#[tokio::test]
async fn instances_of_0_2_serve_one_call_unless_the_function_opts_in() {
    let function = shared().load(shared().revision("echo-p2")).await;
    let answered = function.get("/count").await;
    assert_eq!(answered.text(), "1\n");
    assert!(answered.finished.instance.is_none());

    let mut revision = shared().revision("echo-p2");
    revision.spec.reuse.calls = Some(50);
    let function = shared().load(revision).await;
    let mut instance = function.start().await;
    for n in 1..50 {
        let answered = finish(instance, get("/count")).await;
        assert_eq!(answered.text(), format!("{n}\n"));
        instance = answered.finished.instance.expect("fit");
    }
}

#[tokio::test]
async fn two_functions_of_one_artifact_never_share_an_instance() {
    let one = shared().load(shared().revision("echo-p3")).await;
    let two = shared().load(shared().revision("echo-p3")).await;
    for _ in 0..3 {
        assert_eq!(one.get("/count").await.text(), "1\n");
        assert_eq!(two.get("/count").await.text(), "1\n");
    }
}

#[tokio::test]
async fn work_after_the_answer_goes_on_and_then_the_instance_is_fit() {
    let function = shared().load(shared().revision("faults-p3")).await;
    let begun = clock::now();
    let (reply, ended) = crate::kit::begin(function.start().await, get("/background/150")).await;
    let body = http_body_util::BodyExt::collect(reply.into_body()).await;
    assert_eq!(&body.unwrap().to_bytes()[..], b"answered\n");
    assert!(
        begun.elapsed().as_millis() < 140,
        "the answer does not wait"
    );
    let finished = ended.get("the end of background work").await;
    assert!(begun.elapsed().as_millis() >= 150);
    assert_eq!(finished.outcome, Outcome::Ok);
    let log = function.logs.of(gust_runtime::logs::Stream::Stdout);
    assert!(log.contains("background: done"), "{log}");
    let again = finish(finished.instance.expect("fit"), get("/ok")).await;
    assert_eq!(again.status, 200);
}

#[tokio::test]
async fn background_work_ends_at_the_deadline() {
    let function = shared().load(shared().revision("faults-p3")).await;
    let call = within(get("/background/20000"), Duration::from_millis(200));
    let (reply, ended) = crate::kit::begin(function.start().await, call).await;
    let body = http_body_util::BodyExt::collect(reply.into_body()).await;
    assert_eq!(&body.unwrap().to_bytes()[..], b"answered\n");
    let finished = ended.get("the end of late background work").await;
    assert_eq!(finished.outcome, Outcome::WallLimit);
}

/// `count` calls into one instance while the first is under way: their handles.
fn places(
    way: &std::sync::Arc<dyn gust_runtime::Sharer>,
    count: usize,
) -> Vec<Box<dyn gust_runtime::Instance>> {
    (0..count).map_while(|_| way.share()).collect()
}

/// Waits for the guest of a call under way to park.
async fn parked(way: &std::sync::Arc<dyn gust_runtime::Sharer>) -> Box<dyn gust_runtime::Instance> {
    for _ in 0..2000 {
        if let Some(place) = way.share() {
            return place;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("no place became free");
}

#[tokio::test]
async fn calls_share_an_instance_while_its_guest_waits() {
    let function = shared().load(shared().revision("faults-p3")).await;
    let instance = function.start().await;
    let way = instance.sharer().expect("a way in");
    assert!(way.share().is_none(), "nobody is in it yet");
    let first = spawn(finish(instance, get("/sleep/1500")));
    let second = parked(&way).await;
    let second = spawn(finish(second, get("/sleep/250")));
    let begun = clock::now();
    let third = finish(parked(&way).await, get("/ok")).await;
    assert_eq!(third.text(), "ok\n");
    assert!(
        begun.elapsed() < Duration::from_millis(200),
        "it did not wait"
    );
    assert!(third.finished.instance.is_none(), "others are still in");
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!((first.text(), second.text()), ("slept\n", "slept\n"));
    let back = [first, second]
        .into_iter()
        .filter_map(|a| a.finished.instance);
    let mut back: Vec<_> = back.collect();
    assert_eq!(back.len(), 1, "the last one hands the instance back");
    assert!(way.share().is_none(), "it is idle");
    let again = finish(back.pop().unwrap(), get("/ok")).await;
    assert_eq!(again.status, 200);
    assert!(again.finished.instance.is_some());
}

#[tokio::test]
async fn places_and_calls_of_an_instance_are_bounded() {
    let mut revision = shared().revision("faults-p3");
    revision.spec.reuse.calls = Some(6);
    revision.spec.reuse.concurrent = Some(4);
    let function = shared().load(revision).await;
    let instance = function.start().await;
    let way = instance.sharer().unwrap();
    let first = spawn(finish(instance, get("/sleep/1500")));
    drop(parked(&way).await);
    assert_eq!(places(&way, 10).len(), 3, "four at once, one is in");
    let held = places(&way, 10);
    assert_eq!(held.len(), 3, "places that were dropped are free again");
    for place in held {
        assert_eq!(finish(place, get("/ok")).await.text(), "ok\n");
    }
    assert_eq!(
        places(&way, 10).len(),
        2,
        "six calls are its life, four are done"
    );
    let last = places(&way, 2)
        .into_iter()
        .map(|place| finish(place, get("/ok")));
    for answered in futures::future::join_all(last).await {
        assert_eq!(answered.text(), "ok\n");
    }
    let first = first.await.unwrap();
    assert_eq!(first.text(), "slept\n");
    assert!(first.finished.instance.is_none(), "it has served six calls");
}

#[tokio::test]
async fn a_call_that_leaves_early_does_not_take_the_others_along() {
    let function = shared().load(shared().revision("faults-p3")).await;
    for leaver_drives in [true, false] {
        let instance = function.start().await;
        let way = instance.sharer().unwrap();
        let first = spawn(finish(instance, get("/sleep/1500")));
        let second = spawn(finish(parked(&way).await, get("/sleep/200")));
        let (done, ended) = suite::done();
        let third = parked(&way).await;
        let mut third = third.call(get("/sleep/10000"), done);
        let waited = tokio::time::timeout(Duration::from_millis(50), &mut third).await;
        assert!(waited.is_err());
        drop(third);
        assert_eq!(
            ended.get("a call that left").await.outcome,
            Outcome::Cancelled
        );
        assert!(way.share().is_none(), "nobody comes in after that");
        if leaver_drives {
            first.abort();
        } else {
            assert_eq!(first.await.unwrap().text(), "slept\n");
        }
        let second = second.await.unwrap();
        assert_eq!(second.text(), "slept\n");
        assert!(
            second.finished.instance.is_none(),
            "nobody knows what it still does"
        );
    }
}

#[tokio::test]
async fn a_driver_that_leaves_hands_over_to_who_is_about_to_come() {
    let function = shared().load(shared().revision("faults-p3")).await;
    let instance = function.start().await;
    let way = instance.sharer().unwrap();
    let (done, ended) = suite::done();
    let mut first = instance.call(get("/sleep/10000"), done);
    let waited = tokio::time::timeout(Duration::from_millis(50), &mut first).await;
    assert!(waited.is_err());
    let place = way.share().expect("the guest waits");
    drop(first);
    assert_eq!(ended.get("the driver").await.outcome, Outcome::Cancelled);
    assert_eq!(finish(place, get("/ok")).await.text(), "ok\n");
}

#[tokio::test]
async fn a_crash_takes_everybody_along_and_each_is_told() {
    let function = shared().load(shared().revision("faults-p3")).await;
    let instance = function.start().await;
    let way = instance.sharer().unwrap();
    let (done, first_ended) = suite::done();
    let first = spawn(instance.call(get("/sleep/5000"), done));
    let place = parked(&way).await;
    let (done, second_ended) = suite::done();
    let error = place.call(get("/trap"), done).await.expect_err("no answer");
    assert_eq!(error.kind, gust_types::Kind::Failed);
    assert!(first.await.unwrap().is_err());
    for ended in [first_ended, second_ended] {
        let finished = ended.get("a call in a crashed instance").await;
        assert_eq!(finished.outcome, Outcome::Failed);
        assert!(finished.instance.is_none());
    }
    assert!(way.share().is_none());
}

#[tokio::test]
async fn limits_hold_for_each_of_several() {
    let mut revision = shared().revision("faults-p3");
    revision.spec.limits.cpu_time = gust_types::Span(Duration::from_millis(100));
    let function = shared().load(revision).await;
    let instance = function.start().await;
    let way = instance.sharer().unwrap();
    let first = spawn(finish(instance, get("/sleep/1500")));
    let place = parked(&way).await;
    let late = within(get("/sleep/5000"), Duration::from_millis(100));
    let (done, ended) = suite::done();
    let error = place.call(late, done).await.expect_err("no answer");
    assert_eq!(error.kind, gust_types::Kind::Timeout);
    assert_eq!(ended.get("a late call").await.outcome, Outcome::WallLimit);
    assert_eq!(
        first.await.unwrap().text(),
        "slept\n",
        "the other is not late"
    );

    let instance = function.start().await;
    let way = instance.sharer().unwrap();
    let (done, first_ended) = suite::done();
    let first = spawn(instance.call(get("/sleep/5000"), done));
    let (done, ended) = suite::done();
    let error = parked(&way).await.call(get("/spin"), done).await.err();
    assert_eq!(error.expect("no answer").kind, gust_types::Kind::Timeout);
    let finished = ended.get("a busy call").await;
    assert_eq!(finished.outcome, Outcome::CpuLimit);
    assert!(first.await.unwrap().is_err());
    first_ended.get("its neighbour").await;
}

#[tokio::test]
async fn streams_share_an_instance() {
    let function = shared().load(shared().revision("echo-p3")).await;
    let instance = function.start().await;
    let way = instance.sharer().unwrap();
    // Its head is given, and nobody reads its body: whoever comes in must not wait for that.
    let (unread, unread_ended) = crate::kit::begin(instance, get("/sse")).await;
    let place = parked(&way).await;
    let count = finish(place, get("/count")).await;
    assert_eq!(count.text(), "2\n");
    let sse = finish(parked(&way).await, get("/sse")).await;
    assert_eq!(sse.text().matches("data:").count(), 5);
    let body = http_body_util::BodyExt::collect(unread.into_body()).await;
    let body = body.unwrap().to_bytes();
    assert_eq!(String::from_utf8_lossy(&body).matches("data:").count(), 5);
    let finished = unread_ended.get("the first stream").await;
    assert_eq!(finished.outcome, Outcome::Ok);
    assert!(finished.instance.is_some(), "it was the last");
}

#[tokio::test]
async fn a_call_that_waits_does_not_die_of_what_others_compute() {
    let mut revision = shared().revision("faults-p3");
    revision.spec.limits.cpu_time = gust_types::Span::millis(200);
    let function = shared().load(revision).await;
    let instance = function.start().await;
    let way = instance.sharer().unwrap();
    let waiting = spawn(finish(instance, get("/sleep/3000")));
    let mut busy = Duration::ZERO;
    // Together they compute for more than the limit; each stays well below it.
    for _ in 0..8 {
        let answered = finish(parked(&way).await, get("/spin-ms/40")).await;
        assert_eq!(answered.finished.outcome, Outcome::Ok);
        busy += answered.finished.used.cpu;
    }
    let waited = waiting.await.unwrap();
    assert_eq!(waited.finished.outcome, Outcome::Ok);
    assert_eq!(waited.text(), "slept\n");
    let idle = waited.finished.used.cpu;
    assert!(
        idle < busy / 4,
        "who waits pays little: {idle:?} of {busy:?}"
    );
}
