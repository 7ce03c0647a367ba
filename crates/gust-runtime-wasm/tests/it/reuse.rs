//! How often and for whom an instance is used again.

use gust_types::Outcome;

use crate::kit::{finish, get, shared};

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
    let begun = std::time::Instant::now();
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
    let call = crate::kit::within(
        get("/background/20000"),
        std::time::Duration::from_millis(200),
    );
    let (reply, ended) = crate::kit::begin(function.start().await, call).await;
    let body = http_body_util::BodyExt::collect(reply.into_body()).await;
    assert_eq!(&body.unwrap().to_bytes()[..], b"answered\n");
    let finished = ended.get("the end of late background work").await;
    assert_eq!(finished.outcome, Outcome::WallLimit);
}
