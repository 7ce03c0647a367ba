//! RESP 2, the protocol of Redis: commands out, values in, each within bounds.

use bytes::{Bytes, BytesMut};
use gust_types::{Error, Result};

/// What a server answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A word.
    Simple(String),
    /// The command was refused.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Bytes),
    /// Several.
    Array(Vec<Value>),
    /// Nothing.
    Nil,
}

/// Arrays within arrays; Redis itself needs five.
const DEPTH: usize = 9;
/// Bytes of a line.
const LINE: usize = 64 << 10;
/// Letters of a server's complaint that are repeated.
const SHOWN: usize = 200;

/// A command of these words.
pub fn command<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The value at the front, of at most `most` bytes; `None` while it is not all there.
pub fn read(heard: &mut BytesMut, most: usize) -> Result<Option<Value>> {
    let mut reader = Reader {
        bytes: heard,
        at: 0,
        most,
    };
    // First whether it is all there, so that nothing is made twice.
    if !reader.skip(DEPTH)? {
        return Ok(None);
    }
    let whole = heard.split_to(reader.at).freeze();
    let mut reader = Reader {
        bytes: &whole,
        at: 0,
        most,
    };
    reader.value(&whole)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    most: usize,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Goes past a value. False when it is not all there.
    fn skip(&mut self, depth: usize) -> Result<bool> {
        let Some((kind, line)) = self.line()? else {
            return Ok(false);
        };
        match kind {
            b'+' | b'-' => Ok(true),
            b':' => number(line).map(|_| true),
            b'$' => match length(line)? {
                None => Ok(true),
                Some(length) => self.skip_bulk(length),
            },
            b'*' => {
                for _ in 0..length(line)?.unwrap_or(0) {
                    let below = depth.checked_sub(1).ok_or_else(garbage)?;
                    if self.at > self.most {
                        return Err(too_large(self.most));
                    }
                    if !self.skip(below)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Err(garbage()),
        }
    }

    fn skip_bulk(&mut self, length: usize) -> Result<bool> {
        let end = self.at.saturating_add(length);
        if end > self.most {
            return Err(too_large(self.most));
        }
        match self.bytes.get(end..end + 2) {
            None => Ok(false),
            Some(b"\r\n") => {
                self.at = end + 2;
                Ok(true)
            }
            Some(_) => Err(garbage()),
        }
    }

    /// A value that is all there.
    fn value(&mut self, whole: &Bytes) -> Result<Option<Value>> {
        let Some((kind, line)) = self.line()? else {
            return Ok(None);
        };
        let text = || String::from_utf8_lossy(line).into_owned();
        Ok(Some(match kind {
            b'+' => Value::Simple(text()),
            b'-' => Value::Error(shown(&text())),
            b':' => Value::Integer(number(line)?),
            b'$' => match length(line)? {
                None => Value::Nil,
                Some(length) => {
                    let bytes = whole.slice(self.at..self.at + length);
                    self.at += length + 2;
                    Value::Bulk(bytes)
                }
            },
            _ => match length(line)? {
                None => Value::Nil,
                Some(count) => {
                    let mut items = Vec::new();
                    for _ in 0..count {
                        items.extend(self.value(whole)?);
                    }
                    Value::Array(items)
                }
            },
        }))
    }

    /// The first letter and the rest of the next line.
    fn line(&mut self) -> Result<Option<(u8, &'a [u8])>> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(end) = rest.iter().take(LINE).position(|b| *b == b'\n') else {
            return match rest.len() < LINE {
                true => Ok(None),
                false => Err(garbage()),
            };
        };
        let line = rest.get(..end).and_then(|line| line.strip_suffix(b"\r"));
        let (kind, line) = line.and_then(<[u8]>::split_first).ok_or_else(garbage)?;
        self.at += end + 1;
        Ok(Some((*kind, line)))
    }
}

// === impl Value ===

impl Value {
    /// The value, unless it is a refusal.
    pub fn accepted(self, command: &str) -> Result<Self> {
        match self {
            Self::Error(why) => Err(refused(command, &why)),
            value => Ok(value),
        }
    }

    /// Its items, when it has any.
    pub fn items(self) -> Vec<Value> {
        match self {
            Self::Array(items) => items,
            _ => Vec::new(),
        }
    }

    /// Its bytes, when it has any.
    pub fn bytes(self) -> Option<Bytes> {
        match self {
            Self::Bulk(bytes) => Some(bytes),
            Self::Simple(text) => Some(text.into()),
            _ => None,
        }
    }
}

/// The server does not do what it was asked.
fn refused(command: &str, why: &str) -> Error {
    // A server that does not know the command repeats what it was asked, and here that is a password.
    let why = match command {
        "AUTH" => why.split(' ').next().unwrap_or_default(),
        _ => why,
    };
    let error = Error::unavailable(format!("redis refuses {command}: {why}"));
    match why.split(' ').next().unwrap_or_default() {
        "NOAUTH" | "WRONGPASS" => error.hint("give the url a user and a password"),
        "MOVED" | "ASK" => {
            error.hint("the url is that of one node of a cluster, and another has it")
        }
        "WRONGTYPE" => error.hint("what has this name is no stream"),
        _ => error,
    }
}

fn number(line: &[u8]) -> Result<i64> {
    let text = std::str::from_utf8(line).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(garbage)
}

/// -1 is nothing at all.
fn length(line: &[u8]) -> Result<Option<usize>> {
    match number(line)? {
        -1 => Ok(None),
        length => usize::try_from(length).map(Some).map_err(|_| garbage()),
    }
}

/// What a terminal takes no harm from, and not too much of it.
fn shown(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(SHOWN).collect()
}

/// Not what Redis speaks.
pub(crate) fn garbage() -> Error {
    Error::unavailable("the peer does not speak the protocol of redis").hint(
        "is the url that of a redis server, and of its TLS port when it starts with rediss://?",
    )
}

fn too_large(most: usize) -> Error {
    Error::exhausted(format!("redis answers with more than {most} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Result<Option<Value>> {
        read(&mut BytesMut::from(text), 1000)
    }

    #[test]
    fn a_password_that_is_refused_is_not_repeated() {
        let why = "ERR unknown command `AUTH`, with args beginning with: `me`, `geheim`";
        let error = refused("AUTH", why);
        assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
        assert!(refused("XACK", why).message.contains("unknown command"));
    }

    #[test]
    fn values_are_read_whole_or_not_at_all() {
        let text = b"*5\r\n+OK\r\n:-7\r\n$4\r\na\r\nb\r\n$-1\r\n*1\r\n$0\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(all(&text[..end]).unwrap(), None, "{end}");
        }
        let value = all(text).unwrap().unwrap();
        let wanted = Value::Array(vec![
            Value::Simple("OK".into()),
            Value::Integer(-7),
            Value::Bulk("a\r\nb".into()),
            Value::Nil,
            Value::Array(vec![Value::Bulk("".into())]),
        ]);
        assert_eq!(value, wanted);
        let mut two = BytesMut::from(&b"+a\r\n-b c\x1b\r\n"[..]);
        assert_eq!(read(&mut two, 9).unwrap(), Some(Value::Simple("a".into())));
        let error = read(&mut two, 9)
            .unwrap()
            .unwrap()
            .accepted("x")
            .unwrap_err();
        assert_eq!(error.message, "redis refuses x: b c");
        assert!(two.is_empty());
    }

    #[test]
    fn hostile_values_are_refused_early() {
        for bad in [
            "hello\r\n",
            "\r\n",
            "+a\n",
            ":x\r\n",
            "$-2\r\n",
            "*-5\r\n",
            "$2\r\nabc\r\n",
            "$1001\r\n",
            "$99999999999999999999\r\n",
            "$9223372036854775807\r\n",
        ] {
            assert!(all(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(all(&b"*1\r\n".repeat(40)).is_err(), "too deep");
        assert!(all(&[b'x'; LINE + 1]).is_err(), "an endless line");
        // So many are announced; none is made before it is there.
        assert_eq!(all(b"*9000000000\r\n+a\r\n").unwrap(), None);
        let many = [&b"*9000000\r\n"[..], &b"+a\r\n".repeat(1000)].concat();
        assert!(all(&many).is_err(), "more than it may be");
    }

    #[test]
    fn commands_are_length_prefixed() {
        assert_eq!(
            command(&["GET", "a b"]),
            b"*2\r\n$3\r\nGET\r\n$3\r\na b\r\n"
        );
    }
}
