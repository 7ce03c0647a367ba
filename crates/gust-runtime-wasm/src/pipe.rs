//! The standard input and output of a command while it works on a call: the request's body and the answer's.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use gust_types::{Body, Error};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};
use wasmtime_wasi_io::{
    poll::Pollable,
    streams::{InputStream, StreamError, StreamResult},
};

use crate::{cgi, fault::Fault, seat::Seat};

/// Bytes that a command may be ahead of whoever reads its output.
const AHEAD: usize = 64 * 1024;

/// A command's standard input. All clones read the same body.
#[derive(Clone, Default)]
pub(crate) struct Input(Arc<Mutex<Source>>);

#[derive(Default)]
struct Source {
    body: Option<Body>,
    buffer: Bytes,
    /// Why the body broke off. A command that took the rest for the whole would answer as if all was well.
    broken: Option<Arc<Error>>,
}

/// A command failed after its input had broken off: whoever sent the input is told why.
#[derive(Debug)]
pub(crate) struct BrokenInput(pub(crate) Arc<Error>);

/// A command's standard output.
#[derive(Clone, Default)]
pub(crate) struct Answer(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    /// Where the head goes: when the first byte is written, or when the header before the body is whole.
    seat: Option<Arc<Seat>>,
    /// The header that the output begins with, until it is whole.
    header: Option<cgi::Head>,
    bytes: VecDeque<Bytes>,
    size: usize,
    /// The command has ended well.
    whole: bool,
    /// Nobody reads any more.
    abandoned: bool,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

/// The answer's body.
struct Reader(Answer);

// === impl Input ===

impl Input {
    /// From here on this body is read.
    pub(crate) fn attach(&self, body: Body) {
        *self.0.lock() = Source {
            body: Some(body),
            ..Source::default()
        };
    }

    /// Why there is no more of the body, if that is not its end.
    pub(crate) fn broken(&self) -> Option<Arc<Error>> {
        self.0.lock().broken.clone()
    }

    /// Waits until there are bytes in the buffer, or until there will be no more.
    fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut source = self.0.lock();
        let source = &mut *source;
        while source.buffer.is_empty()
            && let Some(body) = &mut source.body
        {
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => source.buffer = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    source.body = None;
                    source.broken = Some(Arc::new(error));
                }
                None => source.body = None,
            }
        }
        Poll::Ready(())
    }

    /// Takes up to `most` bytes. `None` at the end.
    fn take(&self, most: usize) -> Result<Option<Bytes>, BrokenInput> {
        let mut source = self.0.lock();
        let most = most.min(source.buffer.len());
        let taken = source.buffer.split_to(most);
        match &source.broken {
            Some(error) if taken.is_empty() => Err(BrokenInput(error.clone())),
            _ => Ok((!taken.is_empty() || source.body.is_some()).then_some(taken)),
        }
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let _ = self.poll_fill(&mut Context::from_waker(Waker::noop()));
        match self.take(size) {
            Ok(taken) => taken.ok_or(StreamError::Closed),
            Err(broken) => Err(StreamError::LastOperationFailed(broken.into())),
        }
    }
}

#[async_trait::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await;
    }
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_fill(cx));
        Poll::Ready(match self.take(buffer.remaining()) {
            Ok(taken) => {
                buffer.put_slice(&taken.unwrap_or_default());
                Ok(())
            }
            Err(broken) => Err(io::Error::other(broken)),
        })
    }
}

// === impl BrokenInput ===

impl std::fmt::Display for BrokenInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for BrokenInput {}

// === impl Answer ===

impl Answer {
    /// The next bytes answer this call; with `cgi` a header comes before them.
    pub(crate) fn attach(&self, seat: Arc<Seat>, cgi: bool) {
        *self.0.lock() = Queue {
            seat: Some(seat),
            header: cgi.then(cgi::Head::default),
            ..Queue::default()
        };
    }

    /// How many bytes may be written now.
    pub(crate) fn room(&self) -> usize {
        let queue = self.0.lock();
        if queue.abandoned {
            return AHEAD;
        }
        AHEAD.saturating_sub(queue.size)
    }

    /// Waits for room.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.0.lock();
        if queue.abandoned || queue.size < AHEAD {
            return Poll::Ready(());
        }
        queue.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Writes. Whoever writes has looked for room before.
    pub(crate) fn write(&self, bytes: Bytes) {
        let mut queue = self.0.lock();
        if queue.abandoned || bytes.is_empty() {
            return;
        }
        let (head, bytes) = match &mut queue.header {
            None => (plain(), bytes),
            Some(header) => match header.take(&bytes) {
                None => return,
                Some(Ok((head, rest))) => {
                    queue.header = None;
                    (head, rest)
                }
                Some(Err(why)) => return refuse(queue, &why),
            },
        };
        queue.size += bytes.len();
        queue.bytes.push_back(bytes);
        let (seat, reader) = (queue.seat.take(), queue.reader.take());
        drop(queue);
        if let Some(seat) = seat {
            seat.put(Ok(self.answer(head)));
        }
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The command has ended well: there will be no more.
    pub(crate) fn finish(&self) {
        let mut queue = self.0.lock();
        queue.whole = true;
        if queue.header.is_some() {
            return refuse(queue, "its header does not end with a blank line");
        }
        let (seat, reader) = (queue.seat.take(), queue.reader.take());
        drop(queue);
        if let Some(seat) = seat {
            seat.put(Ok(self.answer(plain())));
        }
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn answer(&self, head: http::Response<()>) -> http::Response<WasiBody> {
        head.map(|()| Reader(self.clone()).boxed_unsync())
    }
}

/// The head of output that says nothing of itself.
fn plain() -> http::Response<()> {
    let mut response = http::Response::new(());
    let text = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, text);
    response
}

/// What is written is no answer: nothing of it is read.
fn refuse(mut queue: MutexGuard<'_, Queue>, why: &str) {
    queue.abandoned = true;
    queue.header = None;
    let (seat, writer) = (queue.seat.take(), queue.writer.take());
    drop(queue);
    if let Some(seat) = seat {
        seat.put(Err(Fault::failed(format!(
            "the function gave no CGI response: {why}"
        ))));
    }
    if let Some(writer) = writer {
        writer.wake();
    }
}

// === impl Reader ===

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let mut queue = self.0.0.lock();
        if let Some(bytes) = queue.bytes.pop_front() {
            queue.size -= bytes.len();
            let writer = queue.writer.take();
            drop(queue);
            if let Some(writer) = writer {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if queue.whole {
            return Poll::Ready(None);
        }
        queue.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let queue = self.0.0.lock();
        queue.whole && queue.bytes.is_empty()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut queue = self.0.0.lock();
        queue.abandoned = true;
        queue.bytes.clear();
        let writer = queue.writer.take();
        drop(queue);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}
