//! The messages of PostgreSQL's protocol, version 3, as far as somebody who asks in text needs them.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use gust_types::{Error, Result};

/// Letters of a server's complaint that are repeated.
const SHOWN: usize = 300;
/// Columns of a row. PostgreSQL has no more either.
const COLUMNS: usize = 1664;

/// What a server says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// How to log in, or that it is done.
    Login {
        /// Which way.
        way: u32,
        /// What goes with it.
        with: Bytes,
    },
    /// A row, `None` for null.
    Row(Vec<Option<Bytes>>),
    /// Somebody has notified a channel.
    Notified {
        /// The channel.
        channel: String,
        /// What was said there.
        payload: Bytes,
    },
    /// It has had enough, or refuses.
    Error {
        /// Five letters and digits for why.
        code: String,
        /// Why.
        message: String,
    },
    /// It waits for a question.
    Ready,
    /// Something that means nothing here.
    Other,
}

/// The message at the front, of at most `most` bytes; `None` while it is not all there.
pub fn read(heard: &mut BytesMut, most: usize) -> Result<Option<Said>> {
    let Some(&[kind, a, b, c, d]) = heard.first_chunk::<5>() else {
        return Ok(None);
    };
    if !kind.is_ascii_alphanumeric() {
        return Err(garbage());
    }
    let size = (u32::from_be_bytes([a, b, c, d]) as usize).checked_sub(4);
    let size = size.ok_or_else(garbage)?;
    if size > most {
        return Err(Error::exhausted(format!(
            "postgres sends a message of more than {most} bytes: {size}"
        )));
    }
    if heard.len() < 5 + size {
        return Ok(None);
    }
    heard.advance(5);
    let mut body = Body(heard.split_to(size).freeze());
    Ok(Some(match kind {
        b'R' => Said::Login {
            way: body.u32()?,
            with: body.0,
        },
        b'D' => Said::Row(body.row()?),
        b'A' => {
            body.u32()?;
            Said::Notified {
                channel: body.text()?,
                payload: body.bytes_of_text()?,
            }
        }
        b'E' => body.error()?,
        b'Z' => Said::Ready,
        _ => Said::Other,
    }))
}

/// What was said is not the protocol.
pub(crate) fn garbage() -> Error {
    Error::unavailable("the peer does not speak the protocol of postgres")
}

/// What is asked first: whether to go on in TLS.
pub(crate) fn tls() -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u32(8);
    out.put_u32(80_877_103);
    out
}

/// Who we are, and how we want to be spoken to.
pub(crate) fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_u32(196_608);
    for (name, value) in parameters {
        put_text(&mut body, name);
        put_text(&mut body, value);
    }
    body.put_u8(0);
    let mut out = Vec::new();
    out.put_u32(body.len() as u32 + 4);
    out.extend(body);
    out
}

/// A message.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.put_u32(body.len() as u32 + 4);
    out.extend_from_slice(body);
    out
}

/// A question in SQL.
pub(crate) fn query(sql: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, sql);
    message(b'Q', &body)
}

/// A text of SQL's.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name of SQL's, as it is written.
pub(crate) fn identifier(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.put_u8(0);
}

/// What is left of a message.
pub(crate) struct Body(pub(crate) Bytes);

// === impl Body ===

impl Body {
    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.0.try_get_u8().map_err(|_| garbage())
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.0.try_get_u16().map_err(|_| garbage())
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.0.try_get_u32().map_err(|_| garbage())
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.0.try_get_u64().map_err(|_| garbage())
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<Bytes> {
        match self.0.len() >= count {
            true => Ok(self.0.split_to(count)),
            false => Err(garbage()),
        }
    }

    fn bytes_of_text(&mut self) -> Result<Bytes> {
        let end = self.0.iter().position(|b| *b == 0).ok_or_else(garbage)?;
        let bytes = self.0.split_to(end);
        self.0.advance(1);
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<String> {
        let bytes = self.bytes_of_text()?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn row(&mut self) -> Result<Vec<Option<Bytes>>> {
        let count = usize::from(self.u16()?);
        if count > COLUMNS {
            return Err(garbage());
        }
        let mut row = Vec::with_capacity(count);
        for _ in 0..count {
            row.push(match self.u32()? {
                u32::MAX => None,
                size => Some(self.bytes(size as usize)?),
            });
        }
        Ok(row)
    }

    fn error(&mut self) -> Result<Said> {
        let (mut code, mut message) = (String::new(), String::new());
        loop {
            match self.u8()? {
                0 => return Ok(Said::Error { code, message }),
                b'C' => code = shown(&self.text()?),
                b'M' => message = shown(&self.text()?),
                _ => drop(self.bytes_of_text()?),
            }
        }
    }
}

fn shown(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(SHOWN)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_when_they_are_there() {
        let mut heard = BytesMut::new();
        heard.extend(message(b'D', b"\0\x02\0\0\0\x02ab\xff\xff\xff\xff"));
        heard.extend(message(b'A', b"\0\0\0\x07orders\0\xe6\xad\xa3\0"));
        heard.extend(message(b'E', b"SFATAL\0C28P01\0Mno\nway\0\0"));
        heard.extend(message(b'N', b""));
        heard.extend(message(b'Z', b"I"));
        let whole = heard.clone();
        let mut said = Vec::new();
        while let Some(one) = read(&mut heard, 100).unwrap() {
            said.push(one);
        }
        assert_eq!(
            said,
            [
                Said::Row(vec![Some("ab".into()), None]),
                Said::Notified {
                    channel: "orders".into(),
                    payload: "正".into()
                },
                Said::Error {
                    code: "28P01".into(),
                    message: "noway".into()
                },
                Said::Other,
                Said::Ready,
            ]
        );
        for cut in 0..17 {
            let mut part = BytesMut::from(&whole[..cut]);
            assert_eq!(read(&mut part, 100).unwrap(), None, "{cut}");
        }
        for bad in [
            &b"D\0\0\0\x03"[..],
            b"\x01\0\0\0\x04",
            b"D\0\0\0\x06\0\x01",
            b"D\x7f\xff\xff\xff",
            b"E\0\0\0\x06Sx",
            b"D\0\0\0\x06\xff\xff",
        ] {
            assert!(read(&mut BytesMut::from(bad), 100).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_and_texts_stay_one() {
        assert_eq!(literal("a'b\\"), "'a''b\\'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }
}
