//! Bodies on their way: counted, and cut off at their limit.

use std::{
    pin::Pin,
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use gust_types::{Blame, Body, Error, Result, call::empty};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::body_error;
use crate::settle::Scope;

/// A request body. It does not keep the call from being settled: a guest may forget one in a table of its own.
struct Incoming {
    body: Body,
    scope: Weak<Scope>,
    left: u64,
    limit: u64,
    over: bool,
}

/// A reply's body. The call is settled when it is gone.
struct Outgoing {
    body: Body,
    scope: Arc<Scope>,
    left: u64,
    limit: u64,
    /// Bytes after which the caller needs nothing more, if that is known.
    enough: Option<u64>,
    ended: bool,
}

/// Counts and limits what the guest is given. An empty body stays as it is.
pub(super) fn incoming(body: Body, scope: &Arc<Scope>) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let limit = scope.entry.limits().request_body.bytes();
    Incoming {
        body,
        scope: Arc::downgrade(scope),
        left: limit,
        limit,
        over: false,
    }
    .boxed_unsync()
}

/// Counts and limits what the caller is given.
pub(super) fn outgoing(body: Body, scope: Arc<Scope>, limit: u64, enough: Option<u64>) -> Body {
    Outgoing {
        body,
        scope,
        left: limit,
        limit,
        enough,
        ended: false,
    }
    .boxed_unsync()
}

/// The error of a reply over its limit.
pub(super) fn too_large(scope: &Scope) -> Error {
    let limit = scope.entry.limits().response_body.bytes();
    body_error("response", Blame::Function, limit)
}

// === impl Incoming ===

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let bytes = length(&frame);
        if bytes > this.left {
            this.over = true;
            // What is left of it is not read.
            this.body = empty();
            if let Some(scope) = this.scope.upgrade() {
                scope.body_limit();
            }
            return Poll::Ready(Some(Err(body_error("request", Blame::Caller, this.limit))));
        }
        this.left -= bytes;
        if bytes > 0
            && let Some(scope) = this.scope.upgrade()
        {
            scope.bytes_in.fetch_add(bytes, Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Outgoing ===

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let bytes = length(&frame);
        if bytes > this.left {
            this.scope.body_limit();
            this.ended = true;
            // The guest is cut off now, not when the caller has read what it was sent.
            this.body = empty();
            return Poll::Ready(Some(Err(body_error(
                "response",
                Blame::Function,
                this.limit,
            ))));
        }
        this.left -= bytes;
        if bytes > 0 {
            this.scope.bytes_out.fetch_add(bytes, Relaxed);
        }
        this.ended = !matches!(frame, Some(Ok(_))) || this.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if self.is_end_stream() {
            return;
        }
        // A server stops reading when it has what `content-length` promised, or when nobody wants a body at all.
        let sent = self.limit - self.left;
        if self.enough.is_some_and(|enough| sent >= enough) {
            self.scope.content();
        } else {
            self.scope.left();
        }
    }
}

fn length(frame: &Option<Result<Frame<Bytes>>>) -> u64 {
    match frame {
        Some(Ok(frame)) => frame.data_ref().map_or(0, |data| data.len() as u64),
        _ => 0,
    }
}
