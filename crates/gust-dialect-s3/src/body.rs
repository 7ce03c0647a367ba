//! Bytes on their way through the door: summed up as they come, and held against what was said of them before they count.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use gust_backend::blob::{Body, Findings, Late};
use gust_types::{Blame, Error, Kind};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::StreamBody;
use parking_lot::Mutex;
use s3s::{S3Error, S3Result, TrailingHeaders, dto::StreamingBlob};

use crate::{
    error, gate,
    sums::{Sums, Wanted},
};
use gust_backend::counts::Counters;

/// Why the bytes broke off, in the words of S3: the seam between knows others.
pub(crate) type Fault = Arc<Mutex<Option<S3Error>>>;

/// Bytes that come, and what becomes known of them.
pub(crate) struct Taken {
    pub(crate) body: Body,
    pub(crate) found: Late,
    pub(crate) fault: Fault,
}

struct Taking {
    bytes: BoxStream<'static, S3Result<Bytes>>,
    sums: Sums,
    wanted: Wanted,
    trailers: Option<TrailingHeaders>,
    /// Asked when the last byte has come.
    still: Option<Still>,
    found: Late,
    fault: Fault,
}

/// Whether what a request was let in for still holds.
pub(crate) type Still = BoxFuture<'static, S3Result<()>>;

/// Takes the body of a request.
pub(crate) fn of_request(
    blob: Option<StreamingBlob>,
    wanted: Wanted,
    trailers: Option<TrailingHeaders>,
    still: Still,
) -> Taken {
    let bytes = match blob {
        Some(blob) => blob.map_err(|e| error::broken(&e)).boxed(),
        None => stream::empty().boxed(),
    };
    take(bytes, wanted, trailers, Some(still))
}

/// Takes the bytes of an object that is there.
pub(crate) fn of_object(body: Body, wanted: Wanted) -> Taken {
    take(body.map_err(error::of).boxed(), wanted, None, None)
}

fn take(
    bytes: BoxStream<'static, S3Result<Bytes>>,
    wanted: Wanted,
    trailers: Option<TrailingHeaders>,
    still: Option<Still>,
) -> Taken {
    let (found, fault) = (Late::default(), Fault::default());
    let taking = Taking {
        bytes,
        sums: Sums::new(&wanted.algorithms),
        wanted,
        trailers,
        still,
        found: found.clone(),
        fault: fault.clone(),
    };
    let body = stream::unfold(Some(taking), async |taking| {
        let mut taking = taking?;
        let error = match taking.bytes.next().await {
            Some(Ok(bytes)) => {
                taking.sums.update(&bytes);
                return Some((Ok(bytes), Some(taking)));
            }
            Some(Err(error)) => error,
            None => {
                let fault = taking.fault.clone();
                let still = match taking.still.take() {
                    Some(still) => still.await,
                    None => Ok(()),
                };
                match still.and_then(|()| taking.end()) {
                    Ok(()) => return None,
                    Err(error) => return Some((Err(broken(&fault, error)), None)),
                }
            }
        };
        Some((Err(broken(&taking.fault, error)), None))
    });
    Taken {
        body: body.boxed(),
        found,
        fault,
    }
}

/// Remembers why, and says to the seam that it is over.
fn broken(fault: &Fault, error: S3Error) -> Error {
    *fault.lock() = Some(error);
    Error::new(Kind::Failed, Blame::Caller, "the bytes broke off")
}

// === impl Taken and Taking ===

impl Taken {
    /// What came of a put of these bytes, in the words of S3.
    pub(crate) fn outcome<T>(
        fault: &Fault,
        put: gust_types::Result<T>,
        otherwise: impl FnOnce(Error) -> S3Error,
    ) -> S3Result<T> {
        put.map_err(|error| fault.lock().take().unwrap_or_else(|| otherwise(error)))
    }
}

impl Taking {
    /// All bytes came: they count if they are what was said.
    fn end(self) -> S3Result<()> {
        let summed = self.sums.finish();
        let trailers = self.trailers.and_then(|trailers| trailers.take());
        self.wanted.check(&summed, trailers.as_ref())?;
        let findings = Findings {
            etag: Some(hex::encode(summed.md5)),
            checksums: summed.checksums,
        };
        // Nobody else says anything of these bytes.
        let _ = self.found.set(findings);
        Ok(())
    }
}

/// The bytes of an object as the body of an answer.
pub(crate) fn of_answer(body: Body, bucket: String, key: String) -> StreamingBlob {
    let told = move |error: &Error| {
        tracing::error!(
            bucket,
            key,
            error = error.chain(),
            "an object is not read to its end"
        );
    };
    let frames = body.inspect_err(told).map_ok(Frame::data);
    StreamingBlob::from(s3s::Body::http_body_unsync(StreamBody::new(frames)))
}

pin_project_lite::pin_project! {
    /// A request's body: so long may it pause, and it is counted.
    pub(crate) struct Coming<B> {
        #[pin]
        inner: B,
        #[pin]
        pause: tokio::time::Sleep,
        patience: Duration,
        waiting: bool,
        came: Arc<std::sync::atomic::AtomicU64>,
    }
}

impl<B> Coming<B> {
    pub(crate) fn new(
        inner: B,
        patience: Duration,
        came: Arc<std::sync::atomic::AtomicU64>,
    ) -> Self {
        Self {
            inner,
            pause: tokio::time::sleep(patience),
            patience,
            waiting: false,
            came,
        }
    }
}

impl<B: HttpBody<Data = Bytes>> HttpBody for Coming<B>
where
    B::Error: Into<s3s::StdError>,
{
    type Data = Bytes;
    type Error = s3s::StdError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, s3s::StdError>>> {
        let mut this = self.project();
        if let Poll::Ready(frame) = this.inner.poll_frame(cx) {
            *this.waiting = false;
            if let Some(Ok(frame)) = &frame
                && let Some(data) = frame.data_ref()
            {
                let bytes = data.len() as u64;
                this.came
                    .fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if !std::mem::replace(this.waiting, true) {
            let until = tokio::time::Instant::now() + *this.patience;
            this.pause.as_mut().reset(until);
        }
        ready!(this.pause.poll(cx));
        Poll::Ready(Some(Err(gate::PAUSED.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pin_project_lite::pin_project! {
    /// An answer's body: it is counted, and holds what its request holds.
    pub(crate) struct Going<H> {
        #[pin]
        inner: s3s::Body,
        counters: Option<Arc<Counters>>,
        // Let go when the last byte is gone, or the client is.
        _held: H,
    }
}

impl<H> Going<H> {
    pub(crate) fn new(inner: s3s::Body, counters: Option<Arc<Counters>>, held: H) -> Self {
        Self {
            inner,
            counters,
            _held: held,
        }
    }
}

impl<H> HttpBody for Going<H> {
    type Data = Bytes;
    type Error = s3s::StdError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, s3s::StdError>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let (Some(data), Some(counters)) = (frame.data_ref(), this.counters)
        {
            counters.went(data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
