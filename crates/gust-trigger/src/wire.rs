//! A connection read piece by piece, within bounds: whatever a peer sends, no more of it is held than one message may be.

use std::time::Duration;

use bytes::BytesMut;
use gust_types::{Error, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::Stream;

/// How long a peer may take to take what it is sent.
const SEND: Duration = Duration::from_secs(30);
/// Room for what is read at once.
const CHUNK: usize = 32 << 10;

/// A connection.
pub struct Wire {
    stream: Box<dyn Stream>,
    heard: BytesMut,
    most: usize,
}

// === impl Wire ===

impl Wire {
    /// What most sources allow one message to be, with everything around it.
    pub const MESSAGE: usize = 16 << 20;

    /// Over this connection, holding at most that many bytes that have not been understood.
    pub fn new(stream: Box<dyn Stream>, most: usize) -> Self {
        Self {
            stream,
            heard: BytesMut::new(),
            most,
        }
    }

    /// The next piece, as `read` finds it at the front; `None` of it means that more is needed. Dropped while it waits, it
    /// loses nothing.
    pub async fn take<T>(
        &mut self,
        mut read: impl FnMut(&mut BytesMut) -> Result<Option<T>>,
    ) -> Result<T> {
        loop {
            if let Some(found) = read(&mut self.heard)? {
                return Ok(found);
            }
            if self.heard.len() > self.most {
                return Err(too_large(self.most));
            }
            self.heard.reserve(CHUNK);
            let count = self.stream.read_buf(&mut self.heard).await;
            match count {
                Ok(0) => return Err(Error::unavailable("the peer closed the connection")),
                Ok(_) => {}
                Err(error) => {
                    return Err(Error::unavailable("the connection is lost").because(error));
                }
            }
        }
    }

    /// Sends all of it. To be awaited to its end: half of it is not a message.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sending = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(SEND, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::unavailable("the connection is lost").because(error)),
            Err(_) => Err(Error::unavailable("the peer does not take what it is sent")),
        }
    }

    /// The connection itself, for protocols that begin anew on it. What was heard and not understood is an error.
    pub fn into_stream(self) -> Result<Box<dyn Stream>> {
        match self.heard.is_empty() {
            true => Ok(self.stream),
            false => Err(Error::unavailable("the peer spoke out of turn")),
        }
    }
}

/// A message is larger than any may be.
pub(crate) fn too_large(most: usize) -> Error {
    Error::exhausted(format!("the peer sent more than {most} bytes in one piece"))
}
