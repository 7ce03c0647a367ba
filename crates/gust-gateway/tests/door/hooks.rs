//! Requests at the path of a webhook.

use gust_backend::desk::{Hook, Rung};
use gust_types::{Blame, Error, Kind};

use crate::kit::{behind, echo};

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: app\r\nx-some: thing\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_webhook_is_heard_whole_and_its_function_is_not_called() {
    let (behind, bell) = behind().function("/...", echo).hook("/hooks/it");
    let world = behind.open().await;
    let answer = world.exchange(post("/hooks/it?x=1", "订单 7")).await;
    assert!(answer.starts_with("HTTP/1.1 202 Accepted"), "{answer}");
    assert!(answer.contains("x-request-id: "), "{answer}");
    {
        let heard = bell.heard.lock();
        let (hook, ring) = &heard[0];
        assert_eq!((hook.app.as_str(), hook.trigger.as_str()), ("app", "hook"));
        assert_eq!(&ring.body[..], "订单 7".as_bytes());
        assert_eq!(ring.headers["x-some"], "thing");
    }
    // Beside it the function answers.
    let answer = world.exchange(post("/hooks/other", "x")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(bell.heard.lock().len(), 1);
}

#[tokio::test]
async fn what_became_of_it_is_the_status() {
    let (behind, bell) = behind().function("/...", echo).hook("/hooks/it");
    let world = behind.open().await;
    let full = Error::new(Kind::Exhausted, Blame::Platform, "disk is full");
    for (rung, status, text) in [
        (Ok(Rung::Kept), "202", ""),
        (Ok(Rung::Known), "200", ""),
        (Ok(Rung::Answer("3eZbrw1a".to_owned())), "200", "3eZbrw1a"),
        (
            Err(Error::denied("the request is not signed")),
            "401",
            "not signed",
        ),
        (
            Err(Error::unavailable("no room right now")),
            "503",
            "retry-after: ",
        ),
        (Err(full), "507", "retry-after: "),
        (
            Err(Error::internal("secrets of the insides")),
            "500",
            "request id",
        ),
    ] {
        *bell.answer.lock() = Some(rung);
        let answer = world.exchange(post("/hooks/it", "{}")).await;
        let begin = format!("HTTP/1.1 {status}");
        assert!(
            answer.starts_with(&begin) && answer.contains(text),
            "{status}: {answer}"
        );
        assert!(!answer.contains("insides"), "{answer}");
    }
}

#[tokio::test]
async fn only_posts_of_a_size_that_can_be_kept_are_taken() {
    let (behind, bell) = behind().function("/...", echo).hook("/hooks/it");
    let world = behind.open().await;
    let get = "GET /hooks/it HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n";
    let answer = world.exchange(get).await;
    assert!(
        answer.starts_with("HTTP/1.1 405") && answer.contains("allow: POST"),
        "{answer}"
    );
    let large = Hook::MAX_BODY + 1;
    let head = format!("POST /hooks/it HTTP/1.1\r\nhost: app\r\ncontent-length: {large}\r\n\r\n");
    let mut caller = world.connect().await;
    caller.send(head).await;
    assert_eq!(
        caller.answer().await.status,
        413,
        "before a byte of it came"
    );
    // Who does not say how much it will be is stopped on the way.
    let mut caller = world.connect().await;
    caller
        .send("POST /hooks/it HTTP/1.1\r\nhost: app\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let piece = "x".repeat(1 << 16);
    for _ in 0..16 {
        caller.send(format!("10000\r\n{piece}\r\n")).await;
    }
    assert_eq!(caller.answer().await.status, 413);
    let most = "x".repeat(Hook::MAX_BODY);
    let answer = world.exchange(post("/hooks/it", &most)).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(bell.heard.lock().len(), 1);
}
