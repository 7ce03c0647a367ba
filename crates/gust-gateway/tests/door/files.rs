//! Files and fixed answers, without a function.

use std::collections::BTreeMap;

use gust_types::app::RouteTarget;

use crate::kit::{Answer, World, behind};

const HOST: &str = "Host: app.gust.localhost\r\n";

async fn ask(world: &World, request: &str, headers: &str) -> Answer {
    let mut caller = world.connect().await;
    caller
        .send(format!("{request} HTTP/1.1\r\n{HOST}{headers}\r\n"))
        .await;
    caller.answer_to(request.split(' ').next().unwrap()).await
}

async fn site() -> World {
    behind()
        .files(
            "/static/...",
            &[
                ("index.html", b"<h1>hi</h1>"),
                ("app.js", b"let plain = 1;"),
                ("app.js.br", b"brotli"),
                ("app.js.gz", b"gzipped"),
                ("empty.txt", b""),
                ("photo.png", &[7; 300_000]),
                ("a b/\u{4f60}.txt", b"deep"),
            ],
        )
        .open()
        .await
}

#[tokio::test]
async fn files_have_a_type_a_tag_and_a_length() {
    let world = site().await;
    for (path, kind, body) in [
        ("/static", "text/html; charset=utf-8", &b"<h1>hi</h1>"[..]),
        ("/static/", "text/html; charset=utf-8", b"<h1>hi</h1>"),
        (
            "/static/index.html",
            "text/html; charset=utf-8",
            b"<h1>hi</h1>",
        ),
        (
            "/static/app.js",
            "text/javascript; charset=utf-8",
            b"let plain = 1;",
        ),
        ("/static/empty.txt", "text/plain; charset=utf-8", b""),
        ("/static/photo.png", "image/png", &[7; 300_000]),
        (
            "/static/a%20b/%E4%BD%A0.txt",
            "text/plain; charset=utf-8",
            b"deep",
        ),
    ] {
        for _ in 0..2 {
            let answer = ask(&world, &format!("GET {path}"), "").await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.header("content-type"), Some(kind), "{path}");
            assert_eq!(answer.body, body, "{path}");
            let length = body.len().to_string();
            assert_eq!(
                answer.header("content-length"),
                Some(length.as_str()),
                "{path}"
            );
            assert!(
                answer
                    .header("etag")
                    .is_some_and(|tag| tag.starts_with('"')),
                "{path}"
            );
            let head = ask(&world, &format!("HEAD {path}"), "").await;
            assert_eq!(head.status, 200);
            assert_eq!(
                head.header("content-length"),
                Some(length.as_str()),
                "HEAD {path}"
            );
            assert_eq!(head.header("etag"), answer.header("etag"));
        }
    }
    assert_eq!(world.outcomes(), []);
}

#[tokio::test]
async fn nothing_outside_is_reached() {
    let world = site().await;
    for path in [
        "/static/../Cargo.toml",
        "/static/..%2f..%2fetc%2fpasswd",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static//etc/passwd",
        "/static/a%20b/../../x",
        "/static/index.html%00.png",
        "/static/index.html/",
        "/static/index.html/x",
        "/static/nothing.txt",
        "/static/%ff",
        "/static/%zz",
    ] {
        let answer = ask(&world, &format!("GET {path}"), "").await;
        let fell_back_to_the_file = path == "/static/index.html/" && answer.status == 200;
        assert!(
            answer.status == 404 || fell_back_to_the_file,
            "{path}: {}",
            answer.status
        );
    }
    for method in ["POST", "PUT", "DELETE"] {
        let answer = ask(
            &world,
            &format!("{method} /static/"),
            "Content-Length: 0\r\n",
        )
        .await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, HEAD"))
        );
    }
}

#[tokio::test]
async fn a_copy_that_is_still_good_is_not_sent_again() {
    let world = site().await;
    let first = ask(&world, "GET /static/app.js", "").await;
    let tag = first.header("etag").unwrap().to_owned();
    for headers in [
        format!("If-None-Match: {tag}\r\n"),
        format!("If-None-Match: W/{tag}\r\n"),
        format!("If-None-Match: \"x\", {tag}\r\n"),
        "If-None-Match: *\r\n".to_owned(),
    ] {
        let answer = ask(&world, "GET /static/app.js", &headers).await;
        assert_eq!(
            (answer.status, answer.header("etag")),
            (304, Some(tag.as_str())),
            "{headers}"
        );
    }
    let other = ask(&world, "GET /static/app.js", "If-None-Match: \"x\"\r\n").await;
    assert_eq!(other.status, 200);
    let failed = ask(&world, "GET /static/app.js", "If-Match: \"x\"\r\n").await;
    assert_eq!(failed.status, 412);
}

#[tokio::test]
async fn a_part_can_be_asked_for() {
    let world = site().await;
    let whole = "let plain = 1;";
    let tag = ask(&world, "GET /static/app.js", "")
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    for (headers, status, body, range) in [
        (
            "Range: bytes=0-2\r\n".to_owned(),
            206,
            "let",
            Some("bytes 0-2/14"),
        ),
        (
            "Range: bytes=4-\r\n".to_owned(),
            206,
            "plain = 1;",
            Some("bytes 4-13/14"),
        ),
        (
            "Range: bytes=-2\r\n".to_owned(),
            206,
            "1;",
            Some("bytes 12-13/14"),
        ),
        (
            "Range: bytes=14-\r\n".to_owned(),
            416,
            "",
            Some("bytes */14"),
        ),
        ("Range: bytes=0-0,2-3\r\n".to_owned(), 200, whole, None),
        ("Range: lines=1-2\r\n".to_owned(), 200, whole, None),
        (
            format!("Range: bytes=0-2\r\nIf-Range: {tag}\r\n"),
            206,
            "let",
            Some("bytes 0-2/14"),
        ),
        (
            "Range: bytes=0-2\r\nIf-Range: \"old\"\r\n".to_owned(),
            200,
            whole,
            None,
        ),
    ] {
        let answer = ask(&world, "GET /static/app.js", &headers).await;
        assert_eq!((answer.status, answer.text()), (status, body), "{headers}");
        assert_eq!(answer.header("content-range"), range, "{headers}");
    }
    let big = ask(
        &world,
        "GET /static/photo.png",
        "Range: bytes=1000-250999\r\n",
    )
    .await;
    assert_eq!((big.status, big.body.len()), (206, 250_000));
}

#[tokio::test]
async fn precompressed_forms_are_chosen_by_who_asks() {
    let world = site().await;
    let plain = ask(&world, "GET /static/app.js", "").await;
    for (accept, coding, body) in [
        ("gzip, br", Some("br"), "brotli"),
        ("gzip", Some("gzip"), "gzipped"),
        ("br;q=0.1, gzip;q=0.2", Some("gzip"), "gzipped"),
        ("identity", None, "let plain = 1;"),
        ("br;q=0", None, "let plain = 1;"),
    ] {
        let headers = format!("Accept-Encoding: {accept}\r\n");
        let answer = ask(&world, "GET /static/app.js", &headers).await;
        assert_eq!(
            (answer.header("content-encoding"), answer.text()),
            (coding, body),
            "{accept}"
        );
        assert_eq!(answer.header("vary"), Some("accept-encoding"));
        assert_eq!(
            answer.header("content-type"),
            Some("text/javascript; charset=utf-8")
        );
        assert_eq!(
            answer.header("etag") == plain.header("etag"),
            coding.is_none(),
            "a tag each"
        );
    }
    let alone = ask(&world, "GET /static/", "Accept-Encoding: br\r\n").await;
    assert_eq!(
        (alone.header("content-encoding"), alone.header("vary")),
        (None, None)
    );
}

#[tokio::test]
async fn fixed_answers_are_given_as_they_are() {
    let world = behind()
        .route(
            "/moved",
            RouteTarget::Response {
                status: 301,
                headers: BTreeMap::from([("location".to_owned(), "https://a.b/".to_owned())]),
                body: "over there".to_owned(),
            },
        )
        .open()
        .await;
    let answer = ask(&world, "GET /moved", "").await;
    assert_eq!((answer.status, answer.text()), (301, "over there"));
    assert_eq!(answer.header("location"), Some("https://a.b/"));
    let head = ask(&world, "HEAD /moved", "").await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (301, Some("10"))
    );
}
