//! A connection's bytes, watched: what arrives between requests, and whether the peer takes what we send.
//!
//! And its end: closing a socket that holds unread bytes makes the kernel reset the connection, and a reset destroys
//! what the peer has not read yet, our refusal among it. So we say that we are done, and take what still comes for a
//! moment before we let go.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::{Sleep, sleep, timeout},
};

use crate::pulse::Pulse;

/// What a caller is told whose head did not come in time.
pub(crate) const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
content-type: text/plain; charset=utf-8\r\ncontent-length: 39\r\n\r\nthe request did not arrive in good time";

/// How long we take what still comes.
const LINGER: Duration = Duration::from_secs(1);

/// A stream under the warden's eye.
pub(crate) struct Wire<S> {
    stream: S,
    /// Bytes read before it was known what is spoken; given out first.
    early: Vec<u8>,
    given: usize,
    pulse: Arc<Pulse>,
    /// How much of a head is kept as it came; 0 when heads are not bytes (HTTP/2).
    keep: usize,
    end: End,
}

/// How far the end of a connection is.
enum End {
    NotYet,
    /// We are done; the peer may not be.
    Lingering(Pin<Box<Sleep>>),
    Over,
}

/// Says `words` on a connection on which nothing else is under way, and ends it.
pub(crate) async fn part<S>(mut stream: S, words: &[u8]) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let parting = async {
        stream.write_all(words).await?;
        stream.shutdown().await?;
        let mut unread = [0; 4096];
        while stream.read(&mut unread).await? > 0 {}
        Ok(())
    };
    timeout(LINGER, parting).await.unwrap_or(Ok(()))
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
            end: End::NotYet,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let End::NotYet = self.end {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.end = End::Lingering(Box::pin(sleep(LINGER)));
        }
        while let End::Lingering(patience) = &mut self.end {
            let mut unread = [0; 4096];
            let mut unread = ReadBuf::new(&mut unread);
            let over = match Pin::new(&mut self.stream).poll_read(cx, &mut unread) {
                Poll::Ready(Ok(())) => unread.filled().is_empty(),
                Poll::Ready(Err(_)) => true,
                Poll::Pending => {
                    ready!(patience.as_mut().poll(cx));
                    true
                }
            };
            // Somebody who never stops sending is not waited for either.
            if over || patience.as_mut().poll(cx).is_ready() {
                self.end = End::Over;
            }
        }
        Poll::Ready(Ok(()))
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
            if let End::NotYet = this.end {
                let _ = Pin::new(&mut this.stream).poll_write(cx, LATE);
                let _ = Pin::new(&mut this.stream).poll_flush(cx);
            }
            ready!(this.poll_end(cx))?;
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
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        }
        if this.keep > 0 {
            this.pulse
                .arrived(buf.filled().get(before..).unwrap_or_default(), this.keep);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
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
        self.poll_end(cx)
    }
}
