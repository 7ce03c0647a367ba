//! An object on its way from a guest.
//!
//! What the guest writes waits in a [`Pipe`] until the bucket takes it. The put begins when the guest says where the value
//! goes, runs as a task of its own, and sees the end of the bytes only when the guest says that they are all: a value
//! that is dropped before breaks the put off, and nothing is there.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use gust_backend::blob::{Body, Bucket, Object, PutOptions};
use gust_types::{Blame, Error, Kind, Result as Answer};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use wasmtime::format_err;
use wasmtime_wasi_io::{
    poll::Pollable,
    streams::{OutputStream, StreamError, StreamResult},
};

use super::{Refusal, places};
use crate::host::{View, open::Place};

/// Values that a copy may be writing at once: each has bytes in hand.
const MAX_VALUES: u32 = 16;
/// Bytes that wait in a value that nobody has said yet where it goes.
const UNNAMED: usize = 1 << 20;
/// Bytes that a guest may be ahead of the bucket.
const AHEAD: usize = 256 << 10;
/// Bytes of one write.
const PERMIT: usize = 64 << 10;

/// A value that a guest makes.
#[expect(unreachable_pub, reason = "named in generated code")]
pub struct Outgoing {
    /// `None` for one too many: making a value cannot fail, so everything that is done with it does.
    pipe: Option<Arc<Pipe>>,
    stream_taken: bool,
    put: Option<JoinHandle<Option<Result<(), Refusal>>>>,
}

/// Between a guest that writes and a bucket that takes.
struct Pipe {
    state: Mutex<State>,
    _place: Place,
}

#[derive(Default)]
struct State {
    bytes: BytesMut,
    /// A bucket takes them.
    named: bool,
    end: Option<End>,
    /// Why no more is taken.
    failed: Option<Refusal>,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

#[derive(Clone, Copy)]
enum End {
    /// These were all.
    Whole,
    /// The guest has let go of the value.
    Unfinished,
}

/// The guest's stream.
struct Sink(Arc<Pipe>);

/// Tells the writer when the put is over, however it ends.
struct Watch(Arc<Pipe>);

// === impl Outgoing ===

impl Outgoing {
    pub(crate) fn new(view: &View<'_>) -> Self {
        let place = places(view).outgoing.take(MAX_VALUES);
        let pipe = place.map(|place| {
            Arc::new(Pipe {
                state: Mutex::default(),
                _place: place,
            })
        });
        Self {
            pipe,
            stream_taken: false,
            put: None,
        }
    }

    fn pipe(&self) -> Result<&Arc<Pipe>, Refusal> {
        self.pipe.as_ref().ok_or_else(|| {
            Refusal(format!(
                "the instance writes more values than it may: {MAX_VALUES}"
            ))
        })
    }

    /// The stream to write to, once.
    pub(crate) fn stream(&mut self) -> Option<Box<dyn OutputStream>> {
        let pipe = self.pipe.clone()?;
        (!std::mem::replace(&mut self.stream_taken, true)).then(|| Box::new(Sink(pipe)) as _)
    }

    /// Says where it goes. What the bucket refuses at once is told at once.
    pub(crate) async fn put(
        &mut self,
        bucket: Arc<dyn Bucket>,
        key: String,
    ) -> Result<(), Refusal> {
        let pipe = self.pipe()?.clone();
        if let Some(failed) = pipe.failed() {
            return Err(failed);
        }
        if pipe.is_named() {
            return Err(Refusal("the value has been written already".to_owned()));
        }
        let body = pipe.body();
        let watch = Watch(pipe);
        let mut put: BoxFuture<'static, Answer<Object>> =
            async move { bucket.put(&key, body, PutOptions::default()).await }.boxed();
        if let Poll::Ready(done) = futures::poll!(&mut put) {
            return watch.over(done);
        }
        self.put = Some(gust_task::spawn("put object", async move {
            let done = put.await;
            watch.over(done)
        }));
        Ok(())
    }

    /// These were all bytes. Answers when the object is there.
    pub(crate) async fn finish(mut self) -> Result<(), Refusal> {
        let pipe = self.pipe()?.clone();
        if let Some(failed) = pipe.failed() {
            return Err(failed);
        }
        let Some(put) = self.put.take() else {
            let text = "the value was finished before it was written to a container";
            return Err(Refusal(text.to_owned()));
        };
        pipe.end(End::Whole);
        match put.await {
            Ok(Some(done)) => done,
            _ => Err(Refusal("the write was cut off".to_owned())),
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(pipe) = &self.pipe {
            pipe.end(End::Unfinished);
        }
    }
}

// === impl Pipe ===

impl Pipe {
    fn is_named(&self) -> bool {
        self.state.lock().named
    }

    fn failed(&self) -> Option<Refusal> {
        self.state.lock().failed.clone()
    }

    /// What the bucket takes.
    fn body(self: &Arc<Self>) -> Body {
        let mut state = self.state.lock();
        state.named = true;
        state.wake_writer();
        drop(state);
        let pipe = self.clone();
        stream::poll_fn(move |cx| pipe.poll_take(cx)).boxed()
    }

    fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Answer<Bytes>>> {
        let mut state = self.state.lock();
        // Asked for first: of a value that was dropped nothing more is needed.
        if let Some(End::Unfinished) = state.end {
            let text = "the value was dropped before it was finished";
            return Poll::Ready(Some(Err(Error::new(Kind::Invalid, Blame::Function, text))));
        }
        if !state.bytes.is_empty() {
            let most = state.bytes.len().min(AHEAD);
            let bytes = state.bytes.split_to(most).freeze();
            state.wake_writer();
            return Poll::Ready(Some(Ok(bytes)));
        }
        if state.end.is_some() {
            return Poll::Ready(None);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The first end counts.
    fn end(&self, end: End) {
        let mut state = self.state.lock();
        state.end.get_or_insert(end);
        state.wake_reader();
    }

    /// No more is taken. The first reason counts.
    fn fail(&self, why: Refusal) {
        let mut state = self.state.lock();
        state.failed.get_or_insert(why);
        state.bytes = BytesMut::new();
        state.wake_writer();
    }

    /// Waits until there is room, or until there will be none.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if !matches!(state.permit(), Ok(0)) {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

// === impl State ===

impl State {
    /// How much may be written now. What has no place to go yet takes any write that fits: nobody would ever make room.
    fn permit(&self) -> StreamResult<usize> {
        match &self.failed {
            Some(Refusal(why)) => Err(StreamError::LastOperationFailed(format_err!("{why}"))),
            None if !self.named => Ok(PERMIT),
            None => Ok(AHEAD.saturating_sub(self.bytes.len()).min(PERMIT)),
        }
    }

    fn add(&mut self, bytes: &[u8]) -> StreamResult<()> {
        if bytes.len() > self.permit()? {
            return Err(StreamError::trap("more was written than was permitted"));
        }
        if !self.named && self.bytes.len() + bytes.len() > UNNAMED {
            self.failed = Some(Refusal(format!(
                "the value goes nowhere yet, and no more than {UNNAMED} bytes wait in it (call write-data first)"
            )));
            return self.permit().map(drop);
        }
        self.bytes.extend_from_slice(bytes);
        self.wake_reader();
        Ok(())
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

// === impl Sink ===

impl OutputStream for Sink {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.state.lock().add(&bytes)
    }

    /// Nothing is there before the value is finished, so there is nothing to wait for.
    fn flush(&mut self) -> StreamResult<()> {
        self.0.state.lock().permit().map(drop)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.0.state.lock().permit()
    }
}

#[async_trait::async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.0.poll_room(cx)).await;
    }
}

// === impl Watch ===

impl Watch {
    fn over(self, done: Answer<Object>) -> Result<(), Refusal> {
        let done = done.map(drop).map_err(Refusal::from);
        if let Err(why) = &done {
            self.0.fail(why.clone());
        }
        done
    }
}

impl Drop for Watch {
    /// A writer that waits is told in any case.
    fn drop(&mut self) {
        self.0.fail(Refusal("the write is over".to_owned()));
    }
}
