//! What clients say, after a login. Every length is checked against what is there.

use bytes::{Buf as _, Bytes};

use crate::{error::Fault, types::Format};

/// Statement or portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Statement,
    Portal,
}

/// A message.
#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    Query(String),
    Parse {
        name: String,
        text: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target, String),
    /// With the most rows to send; 0 for all.
    Execute(String, u32),
    Close(Target, String),
    Sync,
    Flush,
    Terminate,
    /// Data of a COPY that was refused: read and forgotten.
    Copy,
}

/// Values for a statement.
#[derive(Debug, PartialEq)]
pub(crate) struct Bind {
    pub(crate) portal: String,
    pub(crate) statement: String,
    pub(crate) formats: Vec<Format>,
    pub(crate) values: Vec<Option<Bytes>>,
    pub(crate) results: Vec<Format>,
}

/// Whether there is such a kind, and whether its bodies may be large.
pub(crate) fn is_large(kind: u8) -> Option<bool> {
    match kind {
        b'Q' | b'P' | b'B' | b'd' => Some(true),
        b'D' | b'E' | b'C' | b'S' | b'H' | b'X' | b'p' | b'c' | b'f' | b'F' => Some(false),
        _ => None,
    }
}

/// Reads the body of a message of this kind.
pub(crate) fn message(kind: u8, body: Bytes) -> Result<Message, Fault> {
    let mut body = Body(body);
    let message = match kind {
        b'Q' => Message::Query(body.text()?),
        b'P' => Message::Parse {
            name: body.text()?,
            text: body.text()?,
            types: body.many(Body::u32)?,
        },
        b'B' => Message::Bind(Bind {
            portal: body.text()?,
            statement: body.text()?,
            formats: body.many(Body::format)?,
            values: body.many(Body::value)?,
            results: body.many(Body::format)?,
        }),
        b'D' => Message::Describe(body.target()?, body.text()?),
        b'E' => Message::Execute(body.text()?, body.u32()?),
        b'C' => Message::Close(body.target()?, body.text()?),
        b'S' => Message::Sync,
        b'H' => Message::Flush,
        b'X' => Message::Terminate,
        b'd' | b'c' | b'f' => return Ok(Message::Copy),
        b'F' => return Err(Fault::unserved("the function call protocol")),
        kind => return Err(Fault::protocol(format!("unexpected message type {kind}"))),
    };
    if body.0.has_remaining() {
        return Err(Fault::protocol(
            "invalid message format: bytes are left over",
        ));
    }
    Ok(message)
}

/// What is left of a body.
pub(crate) struct Body(pub(crate) Bytes);

// === impl Body ===

impl Body {
    /// So many bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<Bytes, Fault> {
        if self.0.len() < bytes {
            return Err(short());
        }
        Ok(self.0.split_to(bytes))
    }

    /// A text up to its zero.
    pub(crate) fn text(&mut self) -> Result<String, Fault> {
        let end = self
            .0
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(short)?;
        let text = self.take(end)?;
        self.0.advance(1);
        let text = std::str::from_utf8(&text).map(str::to_owned);
        text.map_err(|_| Fault::new("22021", "invalid byte sequence for encoding \"UTF8\""))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Fault> {
        Ok(self.take(2)?.get_u16())
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Fault> {
        Ok(self.take(4)?.get_u32())
    }

    fn format(&mut self) -> Result<Format, Fault> {
        match self.u16()? {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            n => Err(Fault::protocol(format!("unsupported format code: {n}"))),
        }
    }

    fn value(&mut self) -> Result<Option<Bytes>, Fault> {
        match self.u32()? {
            u32::MAX => Ok(None),
            bytes => self.take(bytes as usize).map(Some),
        }
    }

    fn target(&mut self) -> Result<Target, Fault> {
        match self.take(1)?.first() {
            Some(b'S') => Ok(Target::Statement),
            Some(b'P') => Ok(Target::Portal),
            _ => Err(Fault::protocol("neither a statement nor a portal is meant")),
        }
    }

    /// So many as a number before them says; none is kept before it is there.
    fn many<T>(&mut self, one: impl Fn(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        let count = self.u16()?;
        (0..count).map(|_| one(self)).collect()
    }
}

fn short() -> Fault {
    Fault::protocol("invalid message format: it ends too early")
}
