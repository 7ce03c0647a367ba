//! Frames: what everything in AMQP 0-9-1 is cut into.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use gust_types::{Error, Result};

/// What is sent first.
pub const HELLO: &[u8] = b"AMQP\0\0\x09\x01";
/// Bytes in a frame that we agree to.
pub const MOST: u32 = 128 << 10;
/// Around what is in it.
const AROUND: usize = 8;
/// The last byte of each.
const END: u8 = 0xce;

/// A frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Of the connection itself when it is 0.
    pub channel: u16,
    /// What it is.
    pub kind: Kind,
    /// What is in it.
    pub payload: Bytes,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A method.
    Method = 1,
    /// The head of a message.
    Header = 2,
    /// A piece of its body.
    Body = 3,
    /// A sign of life.
    Heartbeat = 8,
}

/// A reader of what is in a frame.
#[derive(Debug, Clone)]
pub struct Fields(pub Bytes);

/// The frame at the front; `None` while it is not all there.
pub fn read(heard: &mut BytesMut) -> Result<Option<Frame>> {
    if heard.first() == Some(&b'A') {
        return Err(Error::unavailable(
            "the broker speaks another version of AMQP than 0-9-1",
        ));
    }
    let Some(&[kind, c1, c2, s1, s2, s3, s4]) = heard.first_chunk::<7>() else {
        return Ok(None);
    };
    let kind = match kind {
        1 => Kind::Method,
        2 => Kind::Header,
        3 => Kind::Body,
        8 => Kind::Heartbeat,
        _ => return Err(garbage()),
    };
    let size = u32::from_be_bytes([s1, s2, s3, s4]) as usize;
    if size + AROUND > MOST as usize {
        return Err(Error::exhausted(
            "the broker sends a frame that is larger than agreed",
        ));
    }
    if heard.len() < size + AROUND {
        return Ok(None);
    }
    heard.advance(7);
    let payload = heard.split_to(size).freeze();
    match heard.get_u8() {
        END => Ok(Some(Frame {
            channel: u16::from_be_bytes([c1, c2]),
            kind,
            payload,
        })),
        _ => Err(garbage()),
    }
}

/// A frame.
pub fn write(out: &mut Vec<u8>, channel: u16, kind: Kind, payload: &[u8]) {
    out.put_u8(kind as u8);
    out.put_u16(channel);
    out.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    out.put_slice(payload);
    out.put_u8(END);
}

/// What was said is not AMQP.
pub(crate) fn garbage() -> Error {
    Error::unavailable("the broker does not speak AMQP 0-9-1")
}

// === impl Fields ===

impl Fields {
    /// A number of one byte.
    pub fn u8(&mut self) -> Result<u8> {
        self.0.try_get_u8().map_err(|_| garbage())
    }

    /// Of two.
    pub fn u16(&mut self) -> Result<u16> {
        self.0.try_get_u16().map_err(|_| garbage())
    }

    /// Of four.
    pub fn u32(&mut self) -> Result<u32> {
        self.0.try_get_u32().map_err(|_| garbage())
    }

    /// Of eight.
    pub fn u64(&mut self) -> Result<u64> {
        self.0.try_get_u64().map_err(|_| garbage())
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Result<Bytes> {
        match self.0.len() >= count {
            true => Ok(self.0.split_to(count)),
            false => Err(garbage()),
        }
    }

    /// A short text. What is no text in it is replaced.
    pub fn short(&mut self) -> Result<String> {
        let count = self.u8()?;
        let bytes = self.bytes(count.into())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Bytes with their count in front.
    pub fn long(&mut self) -> Result<Bytes> {
        let count = self.u32()?;
        self.bytes(count as usize)
    }
}
