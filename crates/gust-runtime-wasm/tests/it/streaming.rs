//! Bodies stream, both ways.

use std::time::Duration;

use bytes::Bytes;
use gust_task::clock;
use gust_types::{Body, Outcome};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, StreamBody};

use crate::kit::{begin, finish, get, post, post_body, shared};

const BOTH: [&str; 2] = ["echo-p2", "echo-p3"];

/// A body whose sender stays in the test's hands.
fn channel() -> (tokio::sync::mpsc::Sender<Frame<Bytes>>, Body) {
    let (to, mut from) = tokio::sync::mpsc::channel(1);
    let frames = futures::stream::poll_fn(move |cx| from.poll_recv(cx));
    let body = StreamBody::new(futures::StreamExt::map(frames, Ok));
    (to, body.boxed_unsync())
}

#[tokio::test]
async fn each_piece_comes_back_before_the_next_is_sent() {
    for name in BOTH {
        let function = shared().load(shared().revision(name)).await;
        let (to, body) = channel();
        let sender = to.clone();
        let (reply, ended) = begin(function.start().await, post_body("/echo", body)).await;
        let mut body = reply.into_body();
        for n in 0..5 {
            let piece = Bytes::from(format!("piece {n}"));
            sender.send(Frame::data(piece.clone())).await.unwrap();
            let back = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(back, piece, "{name}");
        }
        drop((to, sender));
        assert!(body.frame().await.is_none(), "{name}");
        assert_eq!(ended.get("the end of echo").await.outcome, Outcome::Ok);
    }
}

#[tokio::test]
async fn large_bodies_go_through_whole() {
    for name in BOTH {
        let function = shared().load(shared().revision(name)).await;
        let sent: Vec<u8> = (0..8 << 20).map(|n: u32| ((n * 31) >> 7) as u8).collect();
        let answered = function.send(post("/echo", sent.clone())).await;
        assert!(answered.body == sent, "{name}");
        let answered = function.get("/size/5000000").await;
        assert_eq!(answered.body.len(), 5_000_000, "{name}");
        assert!(answered.body.iter().all(|b| *b == b'g'));
    }
}

#[tokio::test]
async fn trailers_go_in_and_out() {
    for name in BOTH {
        let function = shared().load(shared().revision(name)).await;
        let (to, body) = channel();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", "17".parse().unwrap());
        let feed = async {
            to.send(Frame::data(Bytes::from_static(b"12345")))
                .await
                .unwrap();
            to.send(Frame::trailers(trailers)).await.unwrap();
            drop(to);
        };
        let answer = async {
            let (reply, _) = begin(function.start().await, post_body("/trailers", body)).await;
            reply.into_body().collect().await.unwrap()
        };
        let ((), collected) = tokio::join!(feed, answer);
        let behind = collected.trailers().expect("trailers").clone();
        assert_eq!(behind["x-body-bytes"], "5", "{name}");
        assert_eq!(behind["x-echo-x-sum"], "17", "{name}");
    }
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    for name in BOTH {
        let function = shared().load(shared().revision(name)).await;
        let begun = clock::now();
        let (reply, ended) = begin(function.start().await, get("/sse")).await;
        assert!(
            begun.elapsed() < Duration::from_millis(150),
            "{name}: the head comes first"
        );
        assert_eq!(reply.headers()["content-type"], "text/event-stream");
        let mut body = reply.into_body();
        let mut arrivals = Vec::new();
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            assert!(data.starts_with(b"id: "), "{name}");
            arrivals.push(begun.elapsed());
        }
        assert_eq!(arrivals.len(), 5, "{name}");
        let spread = arrivals[4] - arrivals[0];
        assert!(spread > Duration::from_millis(150), "{name}: {spread:?}");
        assert_eq!(ended.get("the end of events").await.outcome, Outcome::Ok);
    }
}

#[tokio::test]
async fn the_request_is_what_was_sent() {
    for name in BOTH {
        let function = shared().load(shared().revision(name)).await;
        let mut call = get("/info?a=b&c");
        call.request
            .headers_mut()
            .insert("x-custom", "value".parse().unwrap());
        call.trace = gust_types::call::Trace::parse(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .unwrap();
        let answered = finish(function.start().await, call).await;
        let text = answered.text();
        for part in [
            "/info?a=b&c",
            "tests.gust.localhost",
            "x-custom",
            "traceparent",
            "4bf92f3577b34da6a3ce929d0e0e4736",
        ] {
            assert!(text.contains(part), "{name}: {part} in {text}");
        }
    }
}

#[tokio::test]
async fn a_small_answer_has_a_known_length() {
    for name in BOTH {
        let function = shared().load(shared().revision(name)).await;
        // A machine under load may interrupt the guest, and then the answer streams.
        let mut lengths = Vec::new();
        for _ in 0..20 {
            let (reply, _) = begin(function.start().await, get("/count")).await;
            lengths.push(reply.body().size_hint().exact());
        }
        assert!(lengths.contains(&Some(2)), "{name}: {lengths:?}");
    }
}
