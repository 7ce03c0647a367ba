//! Answers of one JSON document per line, as they come.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use gust_api::NDJSON;
use gust_types::Error;
use http::header;
use hyper::body::Frame;
use serde::Serialize;
use tokio::{sync::mpsc, time::Interval};

/// How often an empty line says that the stream is alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// An answer whose lines come from a channel; it ends when the channel does.
pub(super) fn lines(from: mpsc::Receiver<Bytes>) -> Response {
    let mut alive = tokio::time::interval(SIGN_OF_LIFE);
    alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    alive.reset();
    let body = Body::new(Lines { from, alive });
    ([(header::CONTENT_TYPE, NDJSON)], body).into_response()
}

/// A document as a line.
pub(super) fn line(document: &impl Serialize) -> Bytes {
    let mut bytes = serde_json::to_vec(document).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

struct Lines {
    from: mpsc::Receiver<Bytes>,
    alive: Interval,
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(line) = self.from.poll_recv(cx) {
            self.alive.reset();
            return Poll::Ready(line.map(|bytes| Ok(Frame::data(bytes))));
        }
        match self.alive.poll_tick(cx) {
            Poll::Ready(_) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"\n"))))),
            Poll::Pending => Poll::Pending,
        }
    }
}
