//! Bodies stream, both ways, at the pace of whoever reads.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use gust_types::{Body, Error, Reply, call::full};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use crate::kit::{behind, echo};

const HOST: &str = "Host: app.gust.localhost\r\n";

/// A body fed by a channel.
struct Fed(mpsc::Receiver<Frame<Bytes>>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

pub(crate) fn fed() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (to, from) = mpsc::channel(1);
    (to, Fed(from).boxed_unsync())
}

/// A streamed body of `n` pieces.
pub(crate) fn pieces(n: usize) -> Body {
    let (to, body) = fed();
    gust_task::spawn("pieces", async move {
        for n in 0..n {
            let _ = to.send(Frame::data(format!("piece {n}\n").into())).await;
        }
    });
    body
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let (to, body) = fed();
    let body = parking_lot::Mutex::new(Some(body));
    let world = behind()
        .function("/...", move |_| {
            let mut reply = Reply::new(body.lock().take().unwrap());
            reply.headers_mut().insert(
                "content-type",
                HeaderValue::from_static("text/event-stream"),
            );
            async { Ok(reply) }
        })
        .open()
        .await;
    let mut caller = world.connect().await;
    caller.send(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
    let head = caller.until("\r\n\r\n").await;
    assert!(
        head.contains("text/event-stream"),
        "the head comes before any event"
    );
    for n in 0..5 {
        let event = format!("data: {n}\n\n");
        to.send(Frame::data(event.clone().into())).await.unwrap();
        let got = caller.until(&event).await;
        assert!(!got.contains(&format!("data: {}", n + 1)));
    }
    drop(to);
    caller.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn an_upload_is_answered_while_it_still_comes() {
    let world = behind()
        .function("/...", |request: http::Request<Body>| async {
            Ok(Reply::new(request.into_body()))
        })
        .open()
        .await;
    let mut caller = world.connect().await;
    caller
        .send(format!(
            "POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n"
        ))
        .await;
    for n in 0..5 {
        caller.send(format!("2\r\n{n}\n\r\n")).await;
        caller.until(&format!("{n}\n")).await;
    }
    caller.send("0\r\n\r\n").await;
    caller.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_caller_that_reads_slowly_slows_the_function_down() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let world = behind()
        .function("/...", move |_| {
            let (to, body) = fed();
            let count = count.clone();
            gust_task::spawn("flood", async move {
                while to
                    .send(Frame::data(Bytes::from(vec![b'x'; 1 << 20])))
                    .await
                    .is_ok()
                {
                    count.fetch_add(1, SeqCst);
                }
            });
            async { Ok(Reply::new(body)) }
        })
        .open()
        .await;
    let mut caller = world.connect().await;
    caller.send(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
    caller.until("\r\n\r\n").await;
    let mut before = usize::MAX;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = made.load(SeqCst);
        if now == before {
            break;
        }
        before = now;
    }
    assert!(
        before < 40,
        "{before} MiB were made for a caller who reads nothing"
    );
}

#[tokio::test]
async fn a_function_that_reads_slowly_slows_the_caller_down() {
    let (release, hold) = tokio::sync::oneshot::channel::<()>();
    let hold = parking_lot::Mutex::new(Some(hold));
    let world = behind()
        .limited(
            "/...",
            |spec| spec.limits.request_body = gust_types::ByteSize::mib(1000),
            move |request: http::Request<Body>| {
                let hold = hold.lock().take().unwrap();
                async move {
                    let _ = hold.await;
                    let bytes = request.into_body().collect().await?.to_bytes();
                    Ok(Reply::new(full(bytes.len().to_string())))
                }
            },
        )
        .open()
        .await;
    let mut caller = world.connect().await;
    let size = 64 << 20;
    caller
        .send(format!(
            "POST / HTTP/1.1\r\n{HOST}Content-Length: {size}\r\n\r\n"
        ))
        .await;
    let block = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while let Ok(n) = {
        let write = tokio::io::AsyncWriteExt::write(&mut caller.stream, &block);
        tokio::time::timeout(Duration::from_millis(500), write).await
    } {
        sent += n.unwrap();
        assert!(sent < size, "everything was taken and nothing read");
    }
    release.send(()).unwrap();
    while sent < size {
        let rest = (size - sent).min(block.len());
        tokio::io::AsyncWriteExt::write_all(&mut caller.stream, &block[..rest])
            .await
            .unwrap();
        sent += rest;
    }
    assert_eq!(caller.answer().await.text(), size.to_string());
}

#[tokio::test]
async fn continue_is_said_when_the_function_reads() {
    let world = behind()
        .function("/reads", echo)
        .function("/reads-not", |_| async {
            Ok(Reply::new(full("no, thank you")))
        })
        .open()
        .await;
    let mut caller = world.connect().await;
    let head = |path: &str| {
        format!("POST {path} HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    };
    caller.send(head("/reads")).await;
    assert_eq!(caller.answer().await.status, 100);
    caller.send("hello").await;
    let answer = caller.answer().await;
    assert!(
        answer.status == 200 && answer.text().ends_with("\n\nhello"),
        "{answer:?}"
    );

    let mut caller = world.connect().await;
    caller.send(head("/reads-not")).await;
    let answer = caller.answer().await;
    assert_eq!(
        (answer.status, answer.text()),
        (200, "no, thank you"),
        "without a 100 before it"
    );
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let world = behind()
        .function("/in", echo)
        .function("/out", |_| async {
            let (to, body) = fed();
            gust_task::spawn("trailers", async move {
                let _ = to.send(Frame::data("body".into())).await;
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", HeaderValue::from_static("42"));
                let _ = to.send(Frame::trailers(trailers)).await;
            });
            let mut reply = Reply::new(body);
            reply
                .headers_mut()
                .insert("trailer", HeaderValue::from_static("x-sum"));
            Ok(reply)
        })
        .open()
        .await;
    let mut caller = world.connect().await;
    let body = "4\r\nbody\r\n0\r\nX-Sum: 7\r\n\r\n";
    caller
        .send(format!(
            "POST /in HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n{body}"
        ))
        .await;
    let answer = caller.answer().await;
    assert!(
        answer.text().contains("trailer x-sum: 7\n\nbody"),
        "{}",
        answer.text()
    );

    caller
        .send(format!("GET /out HTTP/1.1\r\n{HOST}TE: trailers\r\n\r\n"))
        .await;
    let got = caller.until("0\r\nx-sum: 42\r\n\r\n").await;
    assert!(got.contains("4\r\nbody\r\n"), "{got}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to_break_off() {
    let world = behind()
        .function("/...", |_| async {
            let (to, body) = fed();
            gust_task::spawn("half", async move {
                let _ = to.send(Frame::data("half".into())).await;
            });
            let broken = http_body_util::StreamBody::new(futures::stream::StreamExt::chain(
                http_body_util::BodyStream::new(body),
                futures::stream::once(async { Err(Error::failed("trap")) }),
            ));
            Ok(Reply::new(broken.boxed_unsync()))
        })
        .open()
        .await;
    let got = world
        .exchange(format!("GET / HTTP/1.1\r\n{HOST}\r\n"))
        .await;
    assert!(got.contains("half") && !got.ends_with("0\r\n\r\n"), "{got}");
}
