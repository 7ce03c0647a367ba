//! Bodies on their way out and in: bounded, and never silent for longer than the guest will wait.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Sleep;
use wasmtime_wasi_http::{Error, WasiBody};

use super::{fault, time::Budget};
use crate::guest::LastWords;

/// A request's body that fails once it has sent more than `limit` bytes, and when the guest that sends it is cut off.
pub(super) fn sent(body: WasiBody, limit: u64, copy: &Arc<LastWords>) -> WasiBody {
    if body.is_end_stream() {
        return body;
    }
    Sent {
        body,
        limit,
        left: limit,
        copy: copy.clone(),
    }
    .boxed_unsync()
}

struct Sent {
    body: WasiBody,
    limit: u64,
    left: u64,
    copy: Arc<LastWords>,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // The body of a copy that is gone looks whole.
        if frame.is_none() && self.copy.is_cut_off() {
            return Poll::Ready(Some(Err(Error::ConnectionTerminated)));
        }
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            match self.left.checked_sub(data.remaining() as u64) {
                Some(left) => self.left = left,
                None => {
                    let limit = self.limit;
                    return Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(limit)))));
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && !self.copy.is_cut_off()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body as the guest reads it.
pub(super) struct Received {
    body: Incoming,
    budget: Budget,
    limit: u64,
    left: u64,
    /// Set while a read waits.
    patience: Option<Pin<Box<Sleep>>>,
}

// === impl Received ===

impl Received {
    pub(super) fn new(body: Incoming, budget: Budget, limit: u64) -> Self {
        Self {
            body,
            budget,
            limit,
            left: limit,
            patience: None,
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        let size = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.left = self
            .left
            .checked_sub(size)
            .ok_or(Error::HttpResponseBodySize(Some(self.limit)))?;
        Ok(frame)
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.patience = None;
            return Poll::Ready(frame.map(|frame| match frame {
                Ok(frame) => self.take(frame),
                Err(e) => Err(fault::of_response(e)),
            }));
        }
        let budget = self.budget;
        let patience = self.patience.get_or_insert_with(|| {
            Box::pin(tokio::time::sleep_until(budget.continued_by().into()))
        });
        ready!(patience.as_mut().poll(cx));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
