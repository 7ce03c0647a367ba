//! The handlers of Spin's redis, cron and mqtt triggers take what a request carries, and their ends are statuses.

use gust_types::Outcome;

use crate::kit::{post, shared};

#[tokio::test]
async fn redis_handlers_of_all_generations_take_the_body() {
    for (name, contract) in [
        ("spin-redis", "fermyon:spin/inbound-redis"),
        ("spin-redis3", "spin:redis/inbound-redis@3.0.0"),
    ] {
        let revision = shared().revision(name);
        let preparation = shared().prepare(&revision).await.unwrap();
        assert_eq!(preparation.contract, contract);
        assert_eq!(preparation.warnings, Vec::<String>::new(), "{name}");
        let function = shared().load(revision).await;
        let done = function.send(post("/", "订单 7")).await;
        assert_eq!((done.status, done.finished.outcome), (200, Outcome::Ok));
        let failed = function.send(post("/", "fail")).await;
        assert_eq!(failed.status, 500, "{name}");
        assert!(
            failed.text().contains("the handler failed"),
            "{}",
            failed.text()
        );
        // The failure of a handler is its answer, and no crash.
        assert_eq!(failed.finished.outcome, Outcome::Ok);
    }
}

#[tokio::test]
async fn a_handler_that_traps_is_a_crash() {
    let function = shared().load(shared().revision("spin-redis")).await;
    let (error, _) = function.fail(post("/", "trap")).await;
    assert_eq!(error.kind, gust_types::Kind::Failed, "{error:?}");
}

#[tokio::test]
async fn cron_handlers_get_the_time_of_the_event() {
    let function = shared().load(shared().revision("spin-cron")).await;
    let at = |time: &str| {
        let mut call = post("/", "");
        let headers = call.request.headers_mut();
        headers.insert("ce-time", time.parse().unwrap());
        call
    };
    let done = function.send(at("2026-04-05T06:07:08Z")).await;
    assert_eq!(done.status, 200);
    let failed = function.send(at("1970-01-01T00:00:07Z")).await;
    assert_eq!(failed.status, 500);
    assert!(failed.text().contains("as asked"), "{}", failed.text());
    // A call that is no event has the time of now.
    assert_eq!(function.send(post("/", "")).await.status, 200);
}

#[tokio::test]
async fn mqtt_handlers_get_topic_and_message() {
    let function = shared().load(shared().revision("spin-mqtt")).await;
    let with = |message: &'static str| {
        let mut call = post("/", message);
        let headers = call.request.headers_mut();
        headers.insert("ce-subject", "a/%E8%AE%A2".parse().unwrap());
        call
    };
    assert_eq!(function.send(with("x")).await.status, 200);
    let failed = function.send(with("fail")).await;
    assert_eq!(failed.status, 500);
    assert!(failed.text().contains("as asked"), "{}", failed.text());
}
