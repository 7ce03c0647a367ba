//! Bodies on both sides of the door.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use gust_types::{Blame, Body, Error, Kind};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{files::FileBody, pulse::Busy, serve::Ending};

/// A request's body: what the caller sends, at the pace at which it is read, with a limit on pauses.
pub(crate) struct RequestBody {
    incoming: Incoming,
    patience: Duration,
    /// Armed at the first pause, so that a body which is there costs no timer.
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
    waiting: bool,
}

/// An answer's body. Keeps its connection busy until it is gone.
pub(crate) struct ReplyBody {
    inner: Inner,
    /// Why the answer breaks off, held back for a moment.
    broken: Option<Error>,
    pub(crate) busy: Option<Busy>,
    /// Runs when the last byte is handed over or the caller has gone.
    pub(crate) ending: Option<Box<Ending>>,
}

enum Inner {
    Empty,
    Bytes(Bytes),
    Stream(Body),
    File(FileBody),
}

// === impl RequestBody ===

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, patience: Duration) -> Self {
        Self {
            incoming,
            patience,
            pause: None,
            waiting: false,
        }
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.waiting, true) {
            let until = tokio::time::Instant::now() + self.patience;
            match &mut self.pause {
                Some(pause) => pause.as_mut().reset(until),
                none => *none = Some(Box::pin(tokio::time::sleep_until(until))),
            }
        }
        match &mut self.pause {
            Some(pause) => pause.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
            self.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        ready!(self.poll_pause(cx));
        let why = "the request body did not go on in time";
        Poll::Ready(Some(Err(Error::new(Kind::Timeout, Blame::Caller, why))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

fn broken(error: hyper::Error) -> Error {
    let what = match error.is_parse() || error.is_user() {
        true => "the request body is malformed",
        false => "the request body ended early",
    };
    Error::invalid(what).because(error)
}

// === impl ReplyBody ===

impl ReplyBody {
    pub(crate) fn empty() -> Self {
        Self::from_inner(Inner::Empty)
    }

    pub(crate) fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::from_inner(Inner::Bytes(bytes.into()))
    }

    pub(crate) fn stream(body: Body) -> Self {
        Self::from_inner(Inner::Stream(body))
    }

    pub(crate) fn file(body: FileBody) -> Self {
        Self::from_inner(Inner::File(body))
    }

    fn from_inner(inner: Inner) -> Self {
        Self {
            inner,
            broken: None,
            busy: None,
            ending: None,
        }
    }

    /// The body of a function, if that is what this is.
    pub(crate) fn take_stream(&mut self) -> Option<Body> {
        match std::mem::replace(&mut self.inner, Inner::Empty) {
            Inner::Stream(body) => Some(body),
            _ => None,
        }
    }
}

impl HttpBody for ReplyBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = match &mut self.inner {
            Inner::Empty => None,
            Inner::Bytes(bytes) if bytes.is_empty() => None,
            Inner::Bytes(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Inner::Stream(body) => ready!(Pin::new(body).poll_frame(cx)),
            Inner::File(body) => ready!(body.poll_chunk(cx)).map(|chunk| chunk.map(Frame::data)),
        };
        if let Some(busy) = &self.busy {
            busy.moved();
        }
        let Some(Err(error)) = frame else {
            return Poll::Ready(frame);
        };
        // The head is gone, so that the caller only sees the connection end; the log can say more.
        tracing::debug!(
            error = gust_api::render::log_line(&error),
            "an answer broke off"
        );
        // What came before the break is sent first: the connection is flushed when a body pauses, and given up at an
        // error with all that waits in it.
        self.broken = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        if self.broken.is_some() {
            return false;
        }
        match &self.inner {
            Inner::Empty => true,
            Inner::Bytes(bytes) => bytes.is_empty(),
            Inner::Stream(body) => body.is_end_stream(),
            Inner::File(body) => body.left() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Stream(body) => body.size_hint(),
            Inner::File(body) => SizeHint::with_exact(body.left()),
        }
    }
}
