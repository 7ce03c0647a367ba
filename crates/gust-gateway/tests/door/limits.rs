//! Sizes, times and numbers.

use std::time::{Duration, Instant};

use gust_types::Reply;
use gust_types::{ByteSize, Span, call::full};
use http_body_util::BodyExt as _;

use crate::kit::{behind, echo, echoing};

const HOST: &str = "Host: app.gust.localhost\r\n";

#[tokio::test]
async fn heads_and_targets_are_bounded() {
    let world = behind()
        .function("/...", echo)
        .set(|s| s.head = ByteSize::kib(16))
        .open()
        .await;
    let long = |n: usize| "x".repeat(n);
    let (status, _) = world
        .status(format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", long(8000)))
        .await;
    assert_eq!(status, 200);
    let (status, _) = world
        .status(format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", long(8200)))
        .await;
    assert_eq!(status, 414);
    let big = format!("GET / HTTP/1.1\r\n{HOST}X-Big: {}\r\n\r\n", long(17 * 1024));
    assert_eq!(world.status(&big).await, (431, true));
    let endless = format!("GET / HTTP/1.1\r\n{HOST}X-Big: {}", long(200 * 1024));
    assert_eq!(world.status(&endless).await, (431, true));
    let many = format!("GET / HTTP/1.1\r\n{HOST}{}\r\n", "a: b\r\n".repeat(150));
    assert_eq!(world.status(&many).await, (431, true));
    let enough = format!("GET / HTTP/1.1\r\n{HOST}{}\r\n", "a: b\r\n".repeat(90));
    assert_eq!(world.status(&enough).await.0, 200);
}

#[tokio::test]
async fn a_head_that_trickles_is_told_so_and_cut() {
    let world = behind()
        .function("/...", echo)
        .set(|s| s.head_time = Span::millis(600))
        .open()
        .await;
    let mut slow = world.connect().await;
    let began = Instant::now();
    for byte in
        format!("GET / HTTP/1.1\r\n{HOST}X-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").bytes()
    {
        slow.send([byte]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if began.elapsed() > Duration::from_secs(2) {
            break;
        }
    }
    let got = slow.rest().await;
    assert!(got.starts_with("HTTP/1.1 408 "), "{got:?}");
    assert!(began.elapsed() < Duration::from_secs(10));

    // The same on a connection that has served before.
    let mut slow = world.connect().await;
    slow.send(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
    assert_eq!(slow.answer().await.status, 200);
    slow.send("GET / HT").await;
    let got = slow.rest().await;
    assert!(got.starts_with("HTTP/1.1 408 "), "{got:?}");

    // And on one that has not yet said which protocol it speaks.
    let mut slow = world.connect().await;
    slow.send("PRI * HT").await;
    let got = slow.rest().await;
    assert!(got.starts_with("HTTP/1.1 408 "), "{got:?}");
}

#[tokio::test]
async fn silence_is_closed_after_a_while_and_long_calls_are_not_silence() {
    let world = behind()
        .function("/slow", |_| async {
            tokio::time::sleep(Duration::from_millis(1800)).await;
            Ok(Reply::new(full("at last")))
        })
        .set(|s| s.idle_time = Span::millis(700))
        .open()
        .await;
    let mut silent = world.connect().await;
    assert_eq!(silent.rest().await, "");
    let mut patient = world.connect().await;
    patient
        .send(format!("GET /slow HTTP/1.1\r\n{HOST}\r\n"))
        .await;
    let answer = patient.answer().await;
    assert_eq!(answer.text(), "at last");
    assert_eq!(patient.rest().await, "", "then it is closed as idle");
}

#[tokio::test]
async fn a_body_that_stops_coming_ends_the_call() {
    let world = behind()
        .function("/...", echo)
        .set(|s| s.body_time = Span::millis(300))
        .open()
        .await;
    let mut slow = world.connect().await;
    let began = Instant::now();
    slow.send(format!(
        "POST / HTTP/1.1\r\n{HOST}Content-Length: 10\r\n\r\nhalf"
    ))
    .await;
    let got = slow.rest().await;
    assert!(got.starts_with("HTTP/1.1 408 "), "{got}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_caller_that_does_not_read_is_cut() {
    let world = behind()
        .function("/big", |_| async {
            Ok(Reply::new(full(vec![b'x'; 64 << 20])))
        })
        .set(|s| s.body_time = Span::millis(500))
        .open()
        .await;
    let mut deaf = world.connect().await;
    deaf.send(format!("GET /big HTTP/1.1\r\n{HOST}\r\n")).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let mut taken = 0;
    let mut block = vec![0; 1 << 20];
    while let Ok(n) = tokio::io::AsyncReadExt::read(&mut deaf.stream, &mut block).await {
        if n == 0 {
            break;
        }
        taken += n;
    }
    assert!(taken < 60 << 20, "{taken}");
}

#[tokio::test]
async fn a_body_over_the_functions_limit_is_413() {
    let world = behind()
        .limited(
            "/...",
            |spec| spec.limits.request_body = ByteSize::kib(1),
            echo,
        )
        .open()
        .await;
    let declared = format!("POST / HTTP/1.1\r\n{HOST}Content-Length: 2000\r\n\r\n");
    assert_eq!(world.status(&declared).await.0, 413);
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    let streamed = format!(
        "POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    assert_eq!(world.status(&streamed).await.0, 413);
    let exact =
        format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
    assert_eq!(world.status(&exact).await.0, 200);
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_politely() {
    let world = behind()
        .function("/...", echo)
        .set(|s| s.max_connections = 2)
        .open()
        .await;
    let (mut one, mut two) = (world.connect().await, world.connect().await);
    for caller in [&mut one, &mut two] {
        caller.send(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
        assert_eq!(caller.answer().await.status, 200);
    }
    let mut three = world.connect().await;
    three.send(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
    let answer = three.answer().await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    assert!(three.is_closed().await);
    assert!(
        world
            .scrape()
            .contains(r#"gust_calls_refused_total{reason="connections"} 1"#)
    );

    drop(one);
    world
        .until("a place is free", |w| {
            w.scrape().contains("gust_connections 1\n")
        })
        .await;
    let (status, _) = world.status(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_full_function_is_503_with_a_time_to_come_back() {
    let world = behind()
        .limited(
            "/...",
            |spec| {
                spec.limits.concurrency = 1;
                spec.limits.queue = 0;
            },
            |_| async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                Ok(Reply::new(full("done")))
            },
        )
        .open()
        .await;
    let (mut one, mut two) = (world.connect().await, world.connect().await);
    one.send(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    two.send(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
    let answer = two.answer().await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(one.answer().await.text(), "done");
}

#[tokio::test]
async fn a_taken_port_is_explained() {
    let world = echoing().await;
    let taken = behind().set(|s| s.listen = world.address).try_bind().await;
    let error = taken.unwrap_err();
    assert_eq!(
        error.message,
        format!("address is taken by another program: {}", world.address)
    );
    assert!(error.hint.is_some());
}

#[tokio::test]
async fn a_caller_that_leaves_ends_its_call() {
    let world = behind()
        .function("/...", |request: http::Request<gust_types::Body>| async {
            let _ = request.into_body().collect().await;
            tokio::time::sleep(Duration::from_secs(30)).await;
            Ok(Reply::new(full("too late")))
        })
        .open()
        .await;
    let mut caller = world.connect().await;
    caller.send(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(caller);
    let cancelled = [gust_types::Outcome::Cancelled];
    world
        .until("the call is settled", |w| w.outcomes() == cancelled)
        .await;
}
