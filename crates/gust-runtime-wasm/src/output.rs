//! A guest's stdout and stderr: to the log sink, attributed to the call at hand, cut at the call's budget.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use gust_runtime::logs::{LogSink, Stream};
use gust_types::{FunctionKey, Revision, call::CallId};
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi_io::{
    poll::Pollable,
    streams::{OutputStream, StreamError, StreamResult},
};

use crate::pipe::{Answer, Input};

/// Where the output of one running copy goes.
pub(crate) struct Output {
    function: FunctionKey,
    revision: u64,
    sink: Arc<dyn LogSink>,
    budget: u64,
    now: Mutex<Now>,
    /// A command's stdin and stdout are its call's own.
    pipes: Option<(Input, Answer)>,
}

/// The call that writes now, and what it may still write.
struct Now {
    call: CallId,
    left: u64,
    dropped: u64,
}

/// One of the two streams of a copy.
#[derive(Clone)]
pub(crate) struct Printer {
    output: Arc<Output>,
    stream: Stream,
    /// Where a command's stdout goes instead.
    answer: Option<Answer>,
}

// === impl Output ===

impl Output {
    /// `command`: stdout is the answer to the call, not a log.
    pub(crate) fn new(revision: &Revision, sink: Arc<dyn LogSink>, command: bool) -> Self {
        let budget = revision.spec.limits.log_bytes.0;
        Self {
            function: revision.key.clone(),
            revision: revision.number,
            sink,
            budget,
            pipes: command.then(Default::default),
            now: Mutex::new(Now {
                call: CallId::default(),
                left: budget,
                dropped: 0,
            }),
        }
    }

    /// A call enters: it has a budget of its own.
    pub(crate) fn enter(&self, call: CallId) {
        *self.now.lock() = Now {
            call,
            left: self.budget,
            dropped: 0,
        };
    }

    /// The platform's own words about the call at hand. Not part of the guest's budget.
    pub(crate) fn note(&self, call: CallId, text: &str) {
        self.sink.write(
            &self.function,
            self.revision,
            call,
            Stream::Platform,
            text.as_bytes(),
        );
    }

    /// Standard input and output of a command; `None` for anything that is called in another way.
    pub(crate) fn pipes(&self) -> Option<&(Input, Answer)> {
        self.pipes.as_ref()
    }

    /// The name a command finds as its first argument.
    pub(crate) fn name(&self) -> &str {
        self.function.function.as_str()
    }

    /// A printer for one stream.
    pub(crate) fn printer(self: &Arc<Self>, stream: Stream) -> Printer {
        Printer {
            answer: match (&self.pipes, stream) {
                (Some((_, answer)), Stream::Stdout) => Some(answer.clone()),
                _ => None,
            },
            output: self.clone(),
            stream,
        }
    }

    /// Takes what the guest wrote, as far as the budget goes. The rest is counted and forgotten, so that a guest that
    /// prints without end costs no more than its own time.
    fn write(&self, stream: Stream, bytes: &[u8]) {
        let (call, kept, cut) = {
            let mut now = self.now.lock();
            let kept = bytes.len().min(usize::try_from(now.left).unwrap_or(0));
            let cut = kept < bytes.len() && now.dropped == 0;
            now.left -= kept as u64;
            now.dropped += (bytes.len() - kept) as u64;
            (now.call, kept, cut)
        };
        if kept > 0 {
            self.sink
                .write(&self.function, self.revision, call, stream, &bytes[..kept]);
        }
        if cut {
            let limit = gust_types::ByteSize(self.budget);
            self.note(call, &format!("the output of this call was cut at {limit}"));
        }
    }
}

// === impl Printer ===

/// The most that one write of a guest hands over.
const CHUNK: usize = 64 * 1024;

impl IsTerminal for Printer {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printer {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Printer {
    /// Nobody else holds the guest to what it was permitted, and what it writes to an answer is kept until it is read.
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > self.check_write()? {
            return Err(StreamError::trap("wrote more than check-write permitted"));
        }
        match &self.answer {
            Some(answer) => answer.write(bytes),
            None => self.output.write(self.stream, &bytes),
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.answer.as_ref().map_or(CHUNK, Answer::room))
    }
}

#[async_trait::async_trait]
impl Pollable for Printer {
    async fn ready(&mut self) {
        if let Some(answer) = &self.answer {
            poll_fn(|cx| answer.poll_room(cx)).await;
        }
    }
}

impl AsyncWrite for Printer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(answer) = &self.answer else {
            let taken = &bytes[..bytes.len().min(CHUNK)];
            self.output.write(self.stream, taken);
            return Poll::Ready(Ok(taken.len()));
        };
        ready!(answer.poll_room(cx));
        let taken = &bytes[..bytes.len().min(answer.room())];
        answer.write(Bytes::copy_from_slice(taken));
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
