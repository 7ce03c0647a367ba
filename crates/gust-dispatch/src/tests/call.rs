use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures::stream;
use gust_types::{
    Body, ByteSize, Error, Outcome, Reply, Result, Span,
    call::{empty, full},
};
use http::{Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use super::kit::{App, World, get, reply, runtime, slow};

/// A body that comes in pieces of one kilobyte.
fn pieces(count: usize) -> Body {
    let piece = |_| Ok::<_, Error>(Frame::data(Bytes::from_static(&[b'x'; 1024])));
    StreamBody::new(stream::iter((0..count).map(piece))).boxed_unsync()
}

async fn echo(request: Request<Body>) -> Result<Reply> {
    let body = request.into_body().collect().await?.to_bytes();
    Ok(reply(body))
}

fn limited(name: &str) -> App {
    App::new("app").function_with(name, |spec| {
        spec.limits.request_body = ByteSize::kib(4);
        spec.limits.response_body = ByteSize::kib(4);
    })
}

#[tokio::test]
async fn bytes_are_counted_both_ways() {
    let world = World::new(runtime(10).with("f", echo));
    world.deploy(&limited("f"));
    let request = Request::post("http://app.test/f").body(pieces(3)).unwrap();
    let reply = world.send(request).await.unwrap();
    assert_eq!(
        reply.into_body().collect().await.unwrap().to_bytes().len(),
        3072
    );
    let usage = &world.records()[0];
    assert_eq!((usage.bytes_in, usage.bytes_out), (3072, 3072));
    assert_eq!((usage.outcome, usage.status), (Outcome::Ok, 200));
    assert_eq!(usage.memory_peak, 1 << 20);
    assert!(usage.memory_mb_ms > 0 && usage.cpu_us > 0);
}

#[tokio::test]
async fn a_request_that_grows_too_long_is_cut_off() {
    let world = World::new(runtime(10).with("f", echo));
    world.deploy(&limited("f"));
    let request = Request::post("http://app.test/f").body(pieces(5)).unwrap();
    let error = world.send(request).await.err().unwrap();
    assert!(error.to_string().contains("larger than 4096"), "{error}");
    let usage = &world.records()[0];
    assert_eq!((usage.outcome, usage.bytes_in), (Outcome::BodyLimit, 4096));
}

#[tokio::test]
async fn a_reply_that_grows_too_long_is_cut_off() {
    let runtime = runtime(10)
        .with("f", |_| async { Ok(Reply::new(pieces(100))) })
        .with("g", |_| async { Ok(reply("x".repeat(5000))) });
    let world = World::new(runtime);
    world.deploy(&limited("f"));
    let body = world
        .send(get("http://app.test/f"))
        .await
        .unwrap()
        .into_body();
    assert!(body.collect().await.is_err());
    let usage = &world.records()[0];
    assert_eq!((usage.outcome, usage.bytes_out), (Outcome::BodyLimit, 4096));
    assert_eq!(world.state("app", "f").busy, 0);

    world.deploy(&limited("g"));
    let error = world.send(get("http://app.test/g")).await.err().unwrap();
    assert!(error.to_string().contains("response body"), "{error}");
    let usage = &world.records()[1];
    assert_eq!(
        (usage.outcome, usage.status, usage.bytes_out),
        (Outcome::BodyLimit, 502, 0)
    );
}

#[tokio::test]
async fn the_guest_is_done_before_the_client_has_read_everything() {
    let world = World::new(runtime(10).with("f", |_| async { Ok(reply("whole")) }));
    world.deploy(&App::new("app").function_with("f", |spec| spec.limits.concurrency = 1));
    let kept = world.send(get("http://app.test/f")).await.unwrap();
    // The memory runtime ends a call with its body's end.
    let (_, mut body) = kept.into_parts();
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "whole");
    let again = tokio::time::timeout(Duration::from_secs(1), world.text("http://app.test/f")).await;
    assert_eq!(
        again.unwrap().unwrap(),
        "whole",
        "its place is free though the body is held"
    );
    drop(body);
    assert_eq!(world.outcomes(), [Outcome::Ok, Outcome::Ok]);
}

#[tokio::test]
async fn who_hangs_up_is_on_the_record() {
    let runtime = runtime(10)
        .with("slow", slow(Duration::from_secs(5)))
        .with("long", |_| async { Ok(Reply::new(pieces(100))) });
    let world = World::new(runtime);
    world.deploy(&App::new("app").function("slow").function("long"));
    let call = world.spawn("http://app.test/slow");
    world
        .until("served", |w| w.state("app", "slow").busy == 1)
        .await;
    call.abort();
    world.until("settled", |w| w.records().len() == 1).await;
    let usage = &world.records()[0];
    assert_eq!((usage.outcome, usage.status), (Outcome::Cancelled, 0));

    let mut body = world
        .send(get("http://app.test/long"))
        .await
        .unwrap()
        .into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let usage = &world.records()[1];
    assert_eq!(
        (usage.outcome, usage.status, usage.bytes_out),
        (Outcome::Cancelled, 200, 1024)
    );
    assert_eq!(world.state("app", "long").busy, 0);
}

#[tokio::test]
async fn a_body_nobody_wanted_more_of_is_no_hang_up() {
    let runtime = runtime(10).with("f", |_| async {
        let mut reply = Reply::new(pieces(3));
        reply.headers_mut().insert("content-length", 2048.into());
        Ok(reply)
    });
    let world = World::new(runtime);
    world.deploy(&App::new("app").function("f"));
    let mut request = get("http://app.test/f");
    *request.method_mut() = Method::HEAD;
    drop(world.send(request).await.unwrap());
    let mut body = world
        .send(get("http://app.test/f"))
        .await
        .unwrap()
        .into_body();
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(world.outcomes(), [Outcome::Ok, Outcome::Ok]);
}

#[tokio::test]
async fn the_nearer_deadline_holds() {
    let world = World::new(runtime(10).with("f", slow(Duration::from_secs(5))));
    world.deploy(&App::new("app").function_with("f", |spec| {
        spec.limits.wall_time = Span::millis(30);
    }));
    let error = world.text("http://app.test/f").await.unwrap_err();
    assert_eq!(error.kind, gust_types::Kind::Timeout);
    let usage = &world.records()[0];
    assert_eq!((usage.outcome, usage.status), (Outcome::WallLimit, 504));
    assert!(usage.wall_us >= 30_000);
}

#[tokio::test]
async fn the_guest_is_told_how_it_was_reached() {
    let runtime = runtime(10).with("f", |request: Request<Body>| async move {
        let spin = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            let name = name.as_str().strip_prefix("spin-")?.to_owned();
            Some((name, value.to_str().ok()?.to_owned()))
        };
        let found: BTreeMap<_, _> = request.headers().iter().filter_map(spin).collect();
        Ok(reply(format!("{found:?}")))
    });
    let world = World::new(runtime);
    world.deploy(
        &App::new("app")
            .function("f")
            .route(Some("/users/:Id/..."), "f"),
    );
    let request = Request::get("/users/42/a%20b?q=1")
        .header("host", "app.test:8080")
        .header("spin-client-addr", "6.6.6.6:1")
        .header("spin-path-match-other", "spoofed")
        .body(empty())
        .unwrap();
    let body = world.send(request).await.unwrap().into_body();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let expected: BTreeMap<_, _> = [
        ("base-path", "/"),
        ("client-addr", "127.0.0.1:4711"),
        ("component-route", "/users/:Id"),
        ("full-url", "http://app.test:8080/users/42/a%20b?q=1"),
        ("matched-route", "/users/:Id/..."),
        ("path-info", "/a%20b"),
        ("path-match-id", "42"),
        ("raw-component-route", "/users/:Id/..."),
    ]
    .into();
    assert_eq!(text, format!("{expected:?}"));
}

#[tokio::test]
async fn an_empty_reply_needs_nobody_to_read_it() {
    let world = World::new(runtime(10).with("f", |_| async { Ok(Reply::new(full(""))) }));
    world.deploy(&App::new("app").function("f"));
    let reply = world.send(get("http://app.test/f")).await.unwrap();
    assert_eq!(
        world.outcomes(),
        [Outcome::Ok],
        "settled before the body is gone"
    );
    drop(reply);
}
