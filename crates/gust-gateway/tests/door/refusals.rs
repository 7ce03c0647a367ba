//! What is not let in, with the status it gets, and whether the connection survives it.

use crate::kit::{behind, echo, echoing};

const HOST: &str = "Host: app.gust.localhost\r\n";

/// Everything that two readers could read in two ways is refused, and nothing behind it is taken for a request.
#[tokio::test]
async fn smuggling_is_refused_and_the_connection_closed() {
    let world = echoing().await;
    let smuggled = format!("GET /smuggled HTTP/1.1\r\n{HOST}\r\n");
    for (name, head, body) in [
        (
            "length before coding",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        (
            "coding before length",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "0\r\n\r\n",
        ),
        (
            "coding in other case",
            "tRANSFER-eNCODING: chunked\r\ncONTENT-lENGTH: 5\r\n",
            "0\r\n\r\n",
        ),
        (
            "two lengths",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "hello",
        ),
        (
            "the same length twice",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "hello",
        ),
        ("a list of lengths", "Content-Length: 5, 5\r\n", "hello"),
        ("a signed length", "Content-Length: +5\r\n", "hello"),
        ("a negative length", "Content-Length: -5\r\n", "hello"),
        ("a length in hex", "Content-Length: 0x5\r\n", "hello"),
        ("an empty length", "Content-Length: \r\n", "hello"),
        (
            "a length beyond counting",
            "Content-Length: 99999999999999999999999\r\n",
            "hello",
        ),
        ("another coding", "Transfer-Encoding: gzip\r\n", "hello"),
        (
            "another coding first",
            "Transfer-Encoding: gzip, chunked\r\n",
            "0\r\n\r\n",
        ),
        (
            "another coding last",
            "Transfer-Encoding: chunked, identity\r\n",
            "0\r\n\r\n",
        ),
        (
            "chunked twice",
            "Transfer-Encoding: chunked, chunked\r\n",
            "0\r\n\r\n",
        ),
        (
            "two lines of codings",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        (
            "a coding that only looks so",
            "Transfer-Encoding: xchunked\r\n",
            "0\r\n\r\n",
        ),
        ("an empty coding", "Transfer-Encoding: \r\n", "0\r\n\r\n"),
        (
            "a space before the colon",
            "Content-Length : 5\r\n",
            "hello",
        ),
        (
            "a tab before the colon",
            "Transfer-Encoding\t: chunked\r\n",
            "0\r\n\r\n",
        ),
        ("a folded line", "X-A: b\r\n Content-Length: 5\r\n", ""),
        ("a folded first line", " X-A: b\r\n", ""),
        (
            "a bare carriage return",
            "X-A: b\rContent-Length: 5\r\n",
            "",
        ),
        ("a null", "X-A: b\0c\r\n", ""),
        ("a name with a space", "X A: b\r\n", ""),
        ("a line without colon", "XA\r\n", ""),
        ("an empty name", ": b\r\n", ""),
        ("a control character in the name", "X\x01: b\r\n", ""),
    ] {
        let bytes = format!("POST /x HTTP/1.1\r\n{HOST}{head}\r\n{body}{smuggled}");
        let got = world.exchange(&bytes).await;
        assert!(got.starts_with("HTTP/1.1 400 "), "{name}: {got}");
        assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{name}: {got}");
        assert!(!got.contains("smuggled"), "{name}: {got}");
    }
    assert_eq!(world.outcomes(), [], "no function was called");
    let counted = r#"gust_calls_refused_total{reason="malformed"} 28"#;
    world
        .until("each is counted once", |w| w.scrape().contains(counted))
        .await;
}

#[tokio::test]
async fn a_coding_in_http_1_0_is_refused() {
    let world = echoing().await;
    let bytes = format!("POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(world.status(&bytes).await, (400, true));
}

#[tokio::test]
async fn bad_chunks_do_not_reach_the_function_as_an_end() {
    let world = echoing().await;
    for (name, body) in [
        ("not hex", "zz\r\nhello\r\n0\r\n\r\n"),
        ("no line end after the data", "5\r\nhelloX\r\n0\r\n\r\n"),
        ("a bare line feed after the size", "5\nhello\r\n0\r\n\r\n"),
        (
            "a size beyond counting",
            "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        ),
        ("an empty size", "\r\nhello\r\n0\r\n\r\n"),
        ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let head = format!("POST /x HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n");
        let got = world
            .exchange(format!("{head}{body}GET /smuggled HTTP/1.1\r\n{HOST}\r\n"))
            .await;
        assert!(got.starts_with("HTTP/1.1 400 "), "{name}: {got}");
        assert!(!got.contains("smuggled"), "{name}: {got}");
    }
}

#[tokio::test]
async fn bad_request_lines_are_refused() {
    let world = echoing().await;
    for line in [
        "GET / HTTP/1.2",
        "GET / HTTP/3.0",
        "GET /",
        "GET",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 x",
        "GET /a b HTTP/1.1",
        "G\x01T / HTTP/1.1",
        "\u{1}\u{2}\u{3}",
        "get\t/ HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET x HTTP/1.1",
        "GET * HTTP/1.1",
        "GET ftp://app.gust.localhost/ HTTP/1.1",
    ] {
        let got = world
            .exchange(format!("{line}\r\n{HOST}Connection: close\r\n\r\n"))
            .await;
        assert!(got.starts_with("HTTP/1.1 400 "), "{line:?}: {got}");
    }
    // A TLS client that has the wrong port.
    let got = world
        .exchange(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        .await;
    assert!(got.starts_with("HTTP/1.1 400 "), "{got}");
}

#[tokio::test]
async fn exactly_one_host_is_meant() {
    let world = echoing().await;
    for (name, lines) in [
        ("none", ""),
        ("two", "Host: a\r\nHost: b\r\n"),
        ("the same twice", "Host: a\r\nHost: a\r\n"),
        ("with user", "Host: a@b\r\n"),
        ("with path", "Host: a/b\r\n"),
        ("with space", "Host: a b\r\n"),
        ("a list", "Host: a,b\r\n"),
        ("a bad port", "Host: a:80x\r\n"),
    ] {
        let got = world.status(format!("GET / HTTP/1.1\r\n{lines}\r\n")).await;
        assert_eq!(got, (400, true), "{name}");
    }
    let (status, _) = world.status("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(status, 200, "HTTP/1.0 had no hosts");
}

#[tokio::test]
async fn the_targets_host_counts() {
    let world = behind().function("/...", echo).open().await;
    let got = world
        .exchange(
            "GET http://real.host:81/p?q HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
    assert!(got.contains("\nhost: real.host:81\n"), "{got}");
    assert!(!got.contains("other"), "{got}");
    let got = world
        .status("GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    assert_eq!(got, (400, true));
}

#[tokio::test]
async fn connect_is_not_served_and_options_of_everything_is_not_broken() {
    let world = echoing().await;
    let got = world
        .exchange("CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\n\r\n")
        .await;
    assert!(got.starts_with("HTTP/1.1 405 "), "{got}");
    assert!(got.contains("\r\nallow: GET"), "{got}");
    let (status, _) = world
        .status(format!("OPTIONS * HTTP/1.1\r\n{HOST}\r\n"))
        .await;
    assert_ne!(status, 500);
}

#[tokio::test]
async fn only_continue_can_be_expected() {
    let world = echoing().await;
    let bytes = format!("POST / HTTP/1.1\r\n{HOST}Expect: tea\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(world.status(&bytes).await.0, 417);
}

#[tokio::test]
async fn a_refusal_names_its_request_and_speaks_as_asked() {
    let world = behind().function("/only-here", echo).open().await;
    let mut caller = world.connect().await;
    caller
        .send(format!("GET /nowhere HTTP/1.1\r\n{HOST}\r\n"))
        .await;
    let answer = caller.answer().await;
    assert_eq!(answer.status, 404);
    let id = answer.header("x-request-id").unwrap().to_owned();
    assert_eq!(id.len(), 32);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(answer.text().contains(&id), "{}", answer.text());

    caller
        .send(format!(
            "GET /nowhere HTTP/1.1\r\n{HOST}Accept: application/json\r\n\r\n"
        ))
        .await;
    let answer = caller.answer().await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem: gust_api::Problem = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem.status, 404);
    assert_eq!(problem.request_id.as_deref(), answer.header("x-request-id"));

    caller
        .send(format!("HEAD /nowhere HTTP/1.1\r\n{HOST}\r\n"))
        .await;
    let answer = caller.answer_to("HEAD").await;
    assert_eq!(answer.status, 404);
    caller
        .send(format!("GET /only-here HTTP/1.1\r\n{HOST}\r\n"))
        .await;
    let answer = caller.answer().await;
    assert_eq!(answer.status, 200);
    let own = answer.header("x-request-id").unwrap();
    assert!(own.len() == 32 && own != id, "each call has its own: {own}");
    let text = world.scrape();
    assert!(
        text.contains(r#"gust_calls_refused_total{reason="no_route"} 3"#),
        "{text}"
    );
}
