//! The socket: whole messages in, bounded before they are kept; messages out, as fast as the client takes them.
//!
//! - `read.rs`: what clients say.
//! - `write.rs`: what they are told.

pub(crate) mod read;
pub(crate) mod write;

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_io_timeout::TimeoutStream;

use crate::{
    budget::{Grant, Part},
    counts::Counters,
    error::{Fault, Trouble},
};

/// How long a client may take nothing of what it is sent.
const STALLED: Duration = Duration::from_secs(30);
/// How long the rest of a message may take whose beginning is there.
const MESSAGE: Duration = Duration::from_secs(60);
/// Bytes that wait before they are sent.
const AHEAD: usize = 32 << 10;
/// Bytes that are read at once, if they are there.
const READ: usize = 8 << 10;
/// Bytes of a message that come at once, at most.
const SMALL: usize = 64 << 10;
/// Bytes before a login: user, database, a few settings.
const STARTUP: usize = 10_000;
/// What is taken of a client after its end, how long at most, and until it pauses for so long.
const REST: usize = 64 << 20;
const FAREWELL: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(300);

/// One message as it came.
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) body: Bytes,
    /// Its room, while it or something of it is kept.
    pub(crate) room: Grant,
}

/// A client's connection.
pub(crate) struct Wire {
    socket: Pin<Box<TimeoutStream<TcpStream>>>,
    input: BytesMut,
    pub(super) output: BytesMut,
    /// Whose bytes are counted, once that is known.
    pub(crate) counters: Option<Arc<Counters>>,
    /// Whose memory its messages take.
    pub(crate) part: Option<Arc<Part>>,
}

// === impl Wire ===

impl Wire {
    pub(crate) fn new(socket: TcpStream) -> Self {
        let mut socket = TimeoutStream::new(socket);
        socket.set_write_timeout(Some(STALLED));
        Self {
            socket: Box::pin(socket),
            input: BytesMut::new(),
            output: BytesMut::new(),
            counters: None,
            part: None,
        }
    }

    /// The message that a connection begins with, which has no kind.
    pub(crate) async fn startup(&mut self) -> Result<Bytes, Trouble> {
        self.have(4).await?;
        let length = self.length(0);
        if !(8..=STARTUP).contains(&length) {
            return Err(Fault::protocol("invalid length of startup packet").into());
        }
        self.have(length).await?;
        let mut message = self.input.split_to(length).freeze();
        message.advance(4);
        Ok(message)
    }

    /// Whether the client has said more than was read. Before TLS that was refused it must not.
    pub(crate) fn has_more(&self) -> bool {
        !self.input.is_empty()
    }

    /// Waits until a message begins.
    pub(crate) async fn wait(&mut self) -> io::Result<()> {
        self.have(1).await
    }

    /// The kind of the next message, if it has come already.
    pub(crate) fn next_kind(&self) -> Option<u8> {
        self.input.first().copied()
    }

    /// The next message; `most` says how many bytes one of its kind may have.
    pub(crate) async fn frame(
        &mut self,
        most: impl Fn(u8) -> Option<usize>,
    ) -> Result<Frame, Trouble> {
        let read = async {
            self.have(5).await?;
            let kind = self.next_kind().unwrap_or(0);
            let most = most(kind)
                .ok_or_else(|| Fault::protocol(format!("invalid message type {kind}")))?;
            let length = self.length(1);
            if length < 4 {
                return Err(Fault::protocol("invalid message length").into());
            }
            if length > most {
                let text = format!("a message of {length} bytes is larger than {most}");
                return Err(Fault::fatal("54000", text).into());
            }
            let mut room = Grant::of(self.part.as_ref());
            while self.input.len() < 1 + length {
                let next = (self.input.len() + SMALL).min(1 + length);
                if !room.cover(next).await {
                    return Err(no_room().into());
                }
                self.have(next).await?;
            }
            let mut body = self.input.split_to(1 + length).freeze();
            body.advance(5);
            if length > SMALL {
                // What a large message took is given back with it.
                self.input = BytesMut::from(&self.input[..]);
            }
            Ok(Frame { kind, body, room })
        };
        let late = || Fault::fatal("08P01", "a message did not come whole in time").into();
        let frame: Result<Frame, Trouble> = tokio::time::timeout(MESSAGE, read)
            .await
            .unwrap_or_else(|_| Err(late()));
        if let (Ok(frame), Some(counters)) = (&frame, &self.counters) {
            let bytes = frame.body.len() as u64 + 5;
            counters.bytes_in.fetch_add(bytes, Relaxed);
        }
        frame
    }

    /// A length as it stands there, behind so many bytes.
    fn length(&self, at: usize) -> usize {
        let bytes = self.input.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map_or(0, |bytes| u32::from_be_bytes(bytes) as usize)
    }

    /// Reads until so many bytes are there. What is kept grows with what came, never with what was announced.
    async fn have(&mut self, bytes: usize) -> io::Result<()> {
        while self.input.len() < bytes {
            let missing = bytes - self.input.len();
            self.input.reserve(missing.clamp(READ, SMALL));
            if self.socket.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Sends what waits, if it is much.
    pub(crate) async fn ease(&mut self) -> io::Result<()> {
        if self.output.len() < AHEAD {
            return Ok(());
        }
        self.flush().await
    }

    /// Sends what waits.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if let Some(counters) = &self.counters {
            let bytes = self.output.len() as u64;
            counters.bytes_out.fetch_add(bytes, Relaxed);
        }
        self.socket.write_all(&self.output).await?;
        if self.output.capacity() > 2 * AHEAD {
            self.output = BytesMut::new();
        }
        self.output.clear();
        self.socket.flush().await
    }

    /// Says goodbye as TCP has it. Whoever is in the middle of a large message would not hear it, so the rest is taken and
    /// forgotten until there is a pause.
    pub(crate) async fn close(&mut self, amid: bool) {
        let _ = self.flush().await;
        if amid {
            let _ = tokio::time::timeout(FAREWELL, self.forget()).await;
        }
        let _ = self.socket.shutdown().await;
    }

    async fn forget(&mut self) {
        self.input = BytesMut::new();
        let mut left = REST;
        while left > 0 {
            self.input.clear();
            self.input.reserve(SMALL);
            let read = self.socket.read_buf(&mut self.input);
            match tokio::time::timeout(PAUSE, read).await {
                Ok(Ok(bytes)) if bytes > 0 => left = left.saturating_sub(bytes),
                _ => return,
            }
        }
    }
}

fn no_room() -> Fault {
    Fault::fatal("53200", "there is no room for a message of this size")
        .hint("try again, or send less at once")
}
