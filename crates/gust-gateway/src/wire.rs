//! A connection's bytes, watched: what arrives between requests, and whether the peer takes what we send.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::pulse::Pulse;

/// What a caller is told whose head did not come in time.
pub(crate) const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
content-type: text/plain; charset=utf-8\r\ncontent-length: 39\r\n\r\nthe request did not arrive in good time";

/// A stream under the warden's eye.
pub(crate) struct Wire<S> {
    stream: S,
    /// Bytes read before it was known what is spoken; given out first.
    early: Vec<u8>,
    given: usize,
    pulse: Arc<Pulse>,
    /// How much of a head is kept as it came; 0 when heads are not bytes (HTTP/2).
    keep: usize,
}

// === impl Wire ===

impl<S> Wire<S> {
    pub(crate) fn new(stream: S, early: Vec<u8>, pulse: Arc<Pulse>, keep: usize) -> Self {
        Self {
            stream,
            early,
            given: 0,
            pulse,
            keep,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.keep > 0 && this.pulse.is_late() {
            // The head is half read and nothing half written, so that these words stand alone on the wire.
            let _ = Pin::new(&mut this.stream).poll_write(cx, LATE);
            let _ = Pin::new(&mut this.stream).poll_flush(cx);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        if let Some(early) = this.early.get(this.given..).filter(|rest| !rest.is_empty()) {
            let take = early.len().min(buf.remaining());
            buf.put_slice(early.get(..take).unwrap_or_default());
            this.given += take;
            if this.given == this.early.len() {
                this.early = Vec::new();
                this.given = 0;
            }
        } else {
            std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        }
        if this.keep > 0 {
            this.pulse
                .arrived(buf.filled().get(before..).unwrap_or_default(), this.keep);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.pulse.stalled(wrote.is_pending());
        wrote
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.pulse.stalled(wrote.is_pending());
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        // TLS keeps what the socket does not take, and says so here.
        self.pulse.stalled(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
