//! HTTP/1.1 as it should go.

use gust_types::{
    Body, Error, Reply,
    call::{empty, full},
};
use http::HeaderValue;

use crate::kit::{behind, echo, echoing};

const HOST: &str = "Host: app.gust.localhost\r\n";

#[tokio::test]
async fn a_small_answer_is_framed_by_its_length_and_nothing_is_added() {
    let world = behind()
        .function("/...", |_| async {
            let mut reply = Reply::new(full("hello"));
            reply
                .headers_mut()
                .insert("x-own", HeaderValue::from_static("1"));
            Ok(reply)
        })
        .open()
        .await;
    let mut caller = world.connect().await;
    for _ in 0..3 {
        caller.send(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
        let answer = caller.answer().await;
        assert_eq!(answer.text(), "hello");
        let mut names: Vec<_> = answer
            .head
            .lines()
            .skip(1)
            .filter_map(|l| l.split_once(':'))
            .map(|l| l.0)
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "date", "x-own", "x-request-id"]);
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let world = echoing().await;
    let mut caller = world.connect().await;
    let post = format!("POST /2 HTTP/1.1\r\n{HOST}Content-Length: 3\r\n\r\nabc");
    let chunked = format!(
        "POST /3 HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n"
    );
    caller
        .send(format!(
            "GET /1 HTTP/1.1\r\n{HOST}\r\n{post}{chunked}GET /4 HTTP/1.1\r\n{HOST}\r\n"
        ))
        .await;
    for n in 1..=4 {
        let answer = caller.answer().await;
        let line = answer.text().lines().next().unwrap().to_owned();
        assert!(line.contains(&format!(" /{n} ")), "{line}");
    }
}

#[tokio::test]
async fn nobody_claims_to_have_come_over_tls() {
    let world = echoing().await;
    let mut caller = world.connect().await;
    caller
        .send(format!(
            "GET https://app.gust.localhost/x HTTP/1.1\r\n{HOST}\r\n"
        ))
        .await;
    let text = caller.answer().await.text().to_owned();
    assert!(
        text.contains("GET http://app.gust.localhost/x ")
            && text.contains("spin-full-url: http://app."),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_for_one_connection_stays_there() {
    let world = behind()
        .function("/echo", echo)
        .function("/hop", |_| async {
            let mut reply = Reply::new(full("x"));
            for (name, value) in [
                ("connection", "x-private, keep-alive"),
                ("x-private", "1"),
                ("keep-alive", "timeout=5"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("proxy-connection", "close"),
                ("x-public", "2"),
            ] {
                reply
                    .headers_mut()
                    .append(name, HeaderValue::from_static(value));
            }
            Ok(reply)
        })
        .open()
        .await;
    let mut caller = world.connect().await;
    let hops = "Connection: keep-alive, X-Private, Host\r\nX-Private: 1\r\nKeep-Alive: 5\r\nUpgrade: x\r\n\
                TE: gzip\r\nProxy-Connection: x\r\nX-Public: 2\r\n";
    caller
        .send(format!("GET /echo HTTP/1.1\r\n{HOST}{hops}\r\n"))
        .await;
    let answer = caller.answer().await;
    let seen = answer.text();
    for gone in [
        "x-private",
        "keep-alive",
        "upgrade",
        "\nte:",
        "proxy-connection",
        "connection:",
    ] {
        assert!(!seen.contains(gone), "{gone} in {seen}");
    }
    assert!(
        seen.contains("x-public: 2") && seen.contains("host: app.gust"),
        "{seen}"
    );

    caller
        .send(format!("GET /hop HTTP/1.1\r\n{HOST}\r\n"))
        .await;
    let answer = caller.answer().await;
    assert_eq!(answer.header("x-public"), Some("2"));
    for gone in [
        "x-private",
        "keep-alive",
        "upgrade",
        "connection",
        "transfer-encoding",
    ] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    assert_eq!(answer.text(), "x");
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let world = behind()
        .function("/known", |_| async { Ok(Reply::new(full("hello"))) })
        .function("/said", |_| async {
            let mut reply = Reply::new(empty());
            reply
                .headers_mut()
                .insert("content-length", HeaderValue::from_static("7"));
            Ok(reply)
        })
        .function("/streamed", |_| async {
            Ok(Reply::new(crate::bodies::pieces(3)))
        })
        .open()
        .await;
    let mut caller = world.connect().await;
    for (path, length) in [
        ("/known", Some("5")),
        ("/said", Some("7")),
        ("/streamed", None),
    ] {
        caller
            .send(format!("HEAD {path} HTTP/1.1\r\n{HOST}\r\n"))
            .await;
        let answer = caller.answer_to("HEAD").await;
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (200, length),
            "{path}"
        );
    }
    // What follows on the connection is the next answer and not a body.
    caller
        .send(format!("GET /known HTTP/1.1\r\n{HOST}\r\n"))
        .await;
    assert_eq!(caller.answer().await.text(), "hello");
    let ok = [gust_types::Outcome::Ok; 4];
    world
        .until("every call is settled", |w| w.outcomes() == ok)
        .await;
}

#[tokio::test]
async fn statuses_without_a_body_have_none() {
    let world = behind()
        .function("/:status", |request: http::Request<Body>| async move {
            let mut reply = Reply::new(full("not to be seen"));
            *reply.status_mut() = request.uri().path()[1..].parse().unwrap();
            Ok(reply)
        })
        .open()
        .await;
    let mut caller = world.connect().await;
    for status in [204, 304] {
        caller
            .send(format!("GET /{status} HTTP/1.1\r\n{HOST}\r\n"))
            .await;
        let answer = caller.answer().await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("transfer-encoding"), None);
        if status == 204 {
            assert_eq!(answer.header("content-length"), None);
        }
    }
    for status in [200, 205, 500, 299, 999] {
        caller
            .send(format!("GET /{status} HTTP/1.1\r\n{HOST}\r\n"))
            .await;
        let answer = caller.answer().await;
        assert_eq!((answer.status, answer.text()), (status, "not to be seen"));
    }
    for status in [100, 101, 103] {
        caller
            .send(format!("GET /{status} HTTP/1.1\r\n{HOST}\r\n"))
            .await;
        assert_eq!(caller.answer().await.status, 502, "{status} ends no call");
    }
}

#[tokio::test]
async fn an_answer_that_lies_about_its_length_is_refused() {
    let world = behind()
        .function("/:length", |request: http::Request<Body>| async move {
            let mut reply = Reply::new(full("hello"));
            for length in request.uri().path()[1..].split('_') {
                reply
                    .headers_mut()
                    .append("content-length", length.parse().unwrap());
            }
            Ok(reply)
        })
        .open()
        .await;
    let mut caller = world.connect().await;
    for (length, status) in [
        ("5", 200),
        ("4", 502),
        ("6", 502),
        ("5_5", 502),
        ("x", 502),
        ("+5", 502),
    ] {
        caller
            .send(format!("GET /{length} HTTP/1.1\r\n{HOST}\r\n"))
            .await;
        let answer = caller.answer().await;
        assert_eq!(answer.status, status, "{length}");
    }
}

#[tokio::test]
async fn a_failing_function_is_502_and_says_nothing_of_its_inside() {
    let world = behind()
        .function("/trap", |_| async {
            Err(Error::failed("secret of the inside"))
        })
        .function("/time", |_| async {
            Err(Error::timeout("secret of the inside"))
        })
        .function("/panic", |_| async { panic!("secret of the inside") })
        .open()
        .await;
    for (path, status) in [("/trap", 502), ("/time", 504)] {
        let mut caller = world.connect().await;
        caller
            .send(format!("GET {path} HTTP/1.1\r\n{HOST}\r\n"))
            .await;
        let answer = caller.answer().await;
        assert_eq!(answer.status, status);
        assert!(!answer.text().contains("secret"), "{}", answer.text());
        assert!(answer.header("x-request-id").is_some());
    }
    assert_eq!(
        world
            .exchange(format!("GET /panic HTTP/1.1\r\n{HOST}\r\n"))
            .await,
        ""
    );
    let (status, _) = world
        .status(format!("GET /trap HTTP/1.1\r\n{HOST}\r\n"))
        .await;
    assert_eq!(
        status, 502,
        "a panic of ours ends one connection and no more"
    );
}

#[tokio::test]
async fn http_1_0_gets_its_answer_and_the_end_of_the_connection() {
    let world = behind()
        .function("/...", |_| async {
            Ok(Reply::new(crate::bodies::pieces(2)))
        })
        .open()
        .await;
    let got = world.exchange("GET / HTTP/1.0\r\n\r\n").await;
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.0 200 ") && !head.contains("chunked"),
        "{head}"
    );
    assert_eq!(body, "piece 0\npiece 1\n");
}
