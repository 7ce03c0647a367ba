//! An object on its way to a guest: one piece of it in hand at a time, asked for when the guest reads.

use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use gust_backend::blob::{Body, Bucket, ByteRange, GetOptions, Got};
use wasmtime::format_err;
use wasmtime_wasi_io::{
    poll::Pollable,
    streams::{InputStream, StreamError, StreamResult},
};

use super::{Refusal, absent, places};
use crate::host::{View, open::Place};

/// Values that a copy may have open for reading: each has a piece in hand.
const MAX_VALUES: u32 = 64;
/// Bytes that are read at once, into the host's memory, which no limit of the guest's counts.
const AT_ONCE: u64 = 16 << 20;

/// An object, or some of it, that was found and is still to be read.
#[expect(unreachable_pub, reason = "named in generated code")]
pub struct Incoming {
    pub(crate) size: u64,
    body: Body,
    place: Place,
}

/// It as a stream.
struct Source {
    /// `None` after the end, or after what broke it.
    body: Option<Body>,
    piece: Bytes,
    broken: Option<Refusal>,
    _place: Place,
}

// === impl Incoming ===

impl Incoming {
    /// A place for a value, before it is asked for.
    pub(crate) fn place(view: &View<'_>) -> Result<Place, Refusal> {
        let place = places(view).incoming.take(MAX_VALUES);
        place.ok_or_else(|| {
            Refusal(format!(
                "the instance reads more values than it may: {MAX_VALUES}"
            ))
        })
    }

    /// The bytes from `start` to `end`, both included; `end` may be behind the object's.
    pub(crate) async fn find(
        bucket: &dyn Bucket,
        key: &str,
        (start, end): (u64, u64),
        place: Place,
    ) -> Result<Self, Refusal> {
        let options = GetOptions {
            range: Some(ByteRange::Between(start, end)),
            ..GetOptions::default()
        };
        let (size, body) = match bucket.get(key, options).await? {
            Got::Found(found) => (found.range.end - found.range.start, found.body),
            Got::OutOfRange(object) if object.size == 0 && start == 0 => {
                (0, stream::empty().boxed())
            }
            Got::OutOfRange(object) => {
                let size = object.size;
                let text = format!("the object has {size} bytes, and none from {start} to {end}");
                return Err(Refusal(text));
            }
            Got::Absent | Got::Unchanged(_) => return Err(absent(key)),
        };
        Ok(Self { size, body, place })
    }

    /// All of it, when it is not more than may be read at once.
    pub(crate) async fn all(self) -> Result<Vec<u8>, Refusal> {
        if self.size > AT_ONCE {
            let size = self.size;
            return Err(Refusal(format!(
                "the value has more bytes than are read at once, {AT_ONCE}: {size} (consume it as a stream)"
            )));
        }
        let mut all = Vec::with_capacity(usize::try_from(self.size).unwrap_or_default());
        let mut body = self.body;
        while let Some(piece) = body.try_next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    pub(crate) fn stream(self) -> Box<dyn InputStream> {
        Box::new(Source {
            body: Some(self.body),
            piece: Bytes::new(),
            broken: None,
            _place: self.place,
        })
    }
}

// === impl Source ===

impl Source {
    /// Waits until there is a piece in hand, or until there will be no more.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.piece.is_empty()
            && let Some(body) = &mut self.body
        {
            match ready!(body.poll_next_unpin(cx)) {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => {
                    self.body = None;
                    self.broken = Some(error.into());
                }
                None => self.body = None,
            }
        }
        Poll::Ready(())
    }
}

impl InputStream for Source {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let _ = self.poll_fill(&mut Context::from_waker(Waker::noop()));
        if !self.piece.is_empty() || self.body.is_some() {
            return Ok(self.piece.split_to(size.min(self.piece.len())));
        }
        Err(match self.broken.take() {
            Some(Refusal(why)) => StreamError::LastOperationFailed(format_err!("{why}")),
            None => StreamError::Closed,
        })
    }
}

#[async_trait::async_trait]
impl Pollable for Source {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await;
    }
}
