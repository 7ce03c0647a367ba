//! Streams of one JSON document per line.

use std::{marker::PhantomData, time::Duration};

use bytes::BytesMut;
use gust_types::{Error, Result};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::wire;

/// The longest line that is read.
const MAX_LINE: usize = 4 << 20;

/// Documents as they come. Empty lines are signs of life and are skipped.
pub struct Lines<T> {
    body: Incoming,
    buffer: BytesMut,
    idle: Duration,
    ended: bool,
    of: PhantomData<fn() -> T>,
}

// === impl Lines ===

impl<T: DeserializeOwned> Lines<T> {
    pub(super) fn new(body: Incoming, idle: Duration) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            idle,
            ended: false,
            of: PhantomData,
        }
    }

    /// The next document; `None` after the last. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<T>> {
        loop {
            if let Some(line) = self.line() {
                if !line.trim_ascii().is_empty() {
                    return parse(&line).map(Some);
                }
                continue;
            }
            if self.ended {
                return Ok(None);
            }
            match wire::next_frame(&mut self.body, self.idle).await? {
                Some(bytes) => self.push(&bytes)?,
                None => self.ended = true,
            }
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > MAX_LINE + (1 << 20) {
            return Err(Error::new(
                gust_types::Kind::Failed,
                gust_types::Blame::Platform,
                format!("a line of the node's answer is longer than {MAX_LINE} bytes"),
            ));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole line; at the end also one without a line feed.
    fn line(&mut self) -> Option<BytesMut> {
        match self.buffer.iter().position(|b| *b == b'\n') {
            Some(end) => Some(self.buffer.split_to(end + 1)),
            None if self.ended && !self.buffer.is_empty() => Some(self.buffer.split()),
            None => None,
        }
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T> {
    serde_json::from_slice(line).map_err(|e| {
        Error::new(
            gust_types::Kind::Failed,
            gust_types::Blame::Platform,
            "a line of the node's answer is not understood",
        )
        .because(e)
        .hint("are this program and the node of the same version?")
    })
}
