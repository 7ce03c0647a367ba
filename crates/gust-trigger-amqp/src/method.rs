//! Methods and the heads of messages, as far as somebody who only consumes needs them.

use bytes::{BufMut as _, Bytes};
use gust_types::Result;

use crate::{
    frame::{Fields, Frame, Kind, garbage},
    table,
};

/// What a broker says.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// It is there, and takes these ways to log in.
    Start {
        /// With spaces between.
        mechanisms: String,
    },
    /// What it would agree on.
    Tune {
        /// Bytes of a frame, 0 for any.
        frame: u32,
        /// Seconds of silence, 0 for any.
        heartbeat: u16,
    },
    /// A yes, of this class and method.
    Ok(u16, u16),
    /// It ends the connection, or the channel.
    Close {
        /// Whether it is the connection.
        connection: bool,
        /// Why, as a number.
        code: u16,
        /// Why, in words.
        text: String,
    },
    /// It gives out nothing more: the queue is gone.
    Cancel,
    /// A message begins.
    Deliver(Deliver),
    /// Its head.
    Head(Head),
    /// A piece of its body.
    Body(Bytes),
    /// A sign of life, or something that means nothing here.
    Nothing,
}

/// A message begins.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deliver {
    /// Under what it is acknowledged.
    pub tag: u64,
    /// Whether it was given out before.
    pub redelivered: bool,
    /// Where it was published.
    pub exchange: String,
    /// With what word.
    pub key: String,
}

/// The head of a message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Head {
    /// Bytes of its body.
    pub size: u64,
    /// Its media type.
    pub content_type: Option<String>,
    /// Its id, by its publisher.
    pub id: Option<String>,
    /// Names and values beside the body.
    pub headers: Vec<(String, String)>,
}

/// What a frame says.
pub fn read(frame: Frame) -> Result<Heard> {
    let mut fields = Fields(frame.payload);
    match frame.kind {
        Kind::Heartbeat => Ok(Heard::Nothing),
        Kind::Body => Ok(Heard::Body(fields.0)),
        Kind::Header => head(fields).map(Heard::Head),
        Kind::Method => {
            let (class, method) = (fields.u16()?, fields.u16()?);
            of(class, method, fields)
        }
    }
}

fn of(class: u16, method: u16, mut fields: Fields) -> Result<Heard> {
    Ok(match (class, method) {
        (10, 10) => {
            fields.u16()?;
            fields.long()?;
            Heard::Start {
                mechanisms: String::from_utf8_lossy(&fields.long()?).into_owned(),
            }
        }
        (10, 30) => {
            fields.u16()?;
            Heard::Tune {
                frame: fields.u32()?,
                heartbeat: fields.u16()?,
            }
        }
        (10, 50) | (20, 40) => Heard::Close {
            connection: class == 10,
            code: fields.u16()?,
            text: fields.short()?,
        },
        (60, 30) => Heard::Cancel,
        (60, 60) => {
            fields.short()?;
            Heard::Deliver(Deliver {
                tag: fields.u64()?,
                redelivered: fields.u8()? & 1 == 1,
                exchange: fields.short()?,
                key: fields.short()?,
            })
        }
        (10, 41 | 51) | (20, 11 | 41) | (40, 11) | (50, 11 | 21) | (60, 11 | 21) => {
            Heard::Ok(class, method)
        }
        // Blocked and unblocked are said to those who publish; flow was never used.
        (10, 60 | 61) => Heard::Nothing,
        _ => return Err(garbage()),
    })
}

fn head(mut fields: Fields) -> Result<Head> {
    let (_class, _weight) = (fields.u16()?, fields.u16()?);
    let mut head = Head {
        size: fields.u64()?,
        ..Head::default()
    };
    let flags = fields.u16()?;
    // More flags than there are properties.
    if flags & 1 == 1 {
        return Err(garbage());
    }
    let has = |bit: u16| flags >> bit & 1 == 1;
    if has(15) {
        head.content_type = Some(fields.short()?);
    }
    if has(14) {
        fields.short()?;
    }
    if has(13) {
        head.headers = table::entries(Fields(fields.long()?))?;
    }
    for _ in [12, 11].into_iter().filter(|bit| has(*bit)) {
        fields.u8()?;
    }
    for _ in [10, 9, 8].into_iter().filter(|bit| has(*bit)) {
        fields.short()?;
    }
    if has(7) {
        head.id = Some(fields.short()?);
    }
    Ok(head)
}

/// A method and what it says.
pub(crate) struct Method(Vec<u8>);

// === impl Method ===

impl Method {
    pub(crate) fn new(class: u16, method: u16) -> Self {
        let mut out = Vec::new();
        out.put_u16(class);
        out.put_u16(method);
        Self(out)
    }

    pub(crate) fn u8(mut self, number: u8) -> Self {
        self.0.put_u8(number);
        self
    }

    pub(crate) fn u16(mut self, number: u16) -> Self {
        self.0.put_u16(number);
        self
    }

    pub(crate) fn u32(mut self, number: u32) -> Self {
        self.0.put_u32(number);
        self
    }

    pub(crate) fn u64(mut self, number: u64) -> Self {
        self.0.put_u64(number);
        self
    }

    /// A short text; settings that are longer are refused before.
    pub(crate) fn short(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let bytes = bytes.get(..usize::from(u8::MAX)).unwrap_or(bytes);
        self.0.put_u8(bytes.len() as u8);
        self.0.put_slice(bytes);
        self
    }

    pub(crate) fn long(mut self, bytes: &[u8]) -> Self {
        self.0.put_u32(bytes.len() as u32);
        self.0.put_slice(bytes);
        self
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.0
    }
}
