//! What a NATS server says, read within bounds.

use bytes::{Buf as _, Bytes, BytesMut};
use gust_types::{Error, Result};
use serde::Deserialize;

/// What a server says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// What it is.
    Info(Info),
    /// A message.
    Message(Message),
    /// Is anybody there?
    Ping,
    /// Somebody is.
    Pong,
    /// Fine.
    Ok,
    /// Not fine.
    Error(String),
}

/// What a server is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Info {
    /// It speaks TLS only.
    pub tls_required: bool,
    /// It knows messages with headers.
    pub headers: bool,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// Where it was published.
    pub subject: String,
    /// Where an answer is awaited.
    pub reply: Option<String>,
    /// The number of the status, and what it says, of a message that is none but tells of something.
    pub status: Option<(u16, String)>,
    /// Names and values beside the payload.
    pub headers: Vec<(String, String)>,
    /// The payload.
    pub payload: Bytes,
}

/// Bytes of a line.
const LINE: usize = 64 << 10;
/// Letters of a complaint that are repeated.
const SHOWN: usize = 200;

/// What is said at the front, of at most `most` bytes; `None` while it is not all there.
pub fn read(heard: &mut BytesMut, most: usize) -> Result<Option<Said>> {
    let Some(end) = heard.iter().take(LINE).position(|b| *b == b'\n') else {
        return match heard.len() < LINE {
            true => Ok(None),
            false => Err(garbage()),
        };
    };
    let line = heard.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = std::str::from_utf8(line).map_err(|_| garbage())?;
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let rest = rest.trim();
    let said = match word.to_ascii_uppercase().as_str() {
        "INFO" => Said::Info(serde_json::from_str(rest).map_err(|_| garbage())?),
        "PING" => Said::Ping,
        "PONG" => Said::Pong,
        "+OK" => Said::Ok,
        "-ERR" => Said::Error(shown(rest.trim_matches('\''))),
        "MSG" => {
            let head = Head::read(rest, false)?;
            return head.message(heard, end + 1, most);
        }
        "HMSG" => {
            let head = Head::read(rest, true)?;
            return head.message(heard, end + 1, most);
        }
        _ => return Err(garbage()),
    };
    heard.advance(end + 1);
    Ok(Some(said))
}

/// The first line of a message.
struct Head {
    subject: String,
    reply: Option<String>,
    headers: usize,
    bytes: usize,
}

// === impl Head ===

impl Head {
    /// `subject sid [reply] [bytes of headers] bytes`
    fn read(rest: &str, has_headers: bool) -> Result<Self> {
        let words: Vec<&str> = rest.split_ascii_whitespace().collect();
        let numbers = 1 + usize::from(has_headers);
        let names = words.len().checked_sub(numbers).ok_or_else(garbage)?;
        let (names, sizes) = words.split_at(names);
        let size = |n: usize| {
            let word = sizes.get(n).and_then(|word| word.parse::<u32>().ok());
            word.map(|size| size as usize).ok_or_else(garbage)
        };
        let (subject, reply) = match names {
            [subject, _sid] => (subject, None),
            [subject, _sid, reply] => (subject, Some((*reply).to_owned())),
            _ => return Err(garbage()),
        };
        let headers = if has_headers { size(0)? } else { 0 };
        let bytes = size(numbers - 1)?;
        match headers <= bytes {
            true => Ok(Self {
                subject: (*subject).to_owned(),
                reply,
                headers,
                bytes,
            }),
            false => Err(garbage()),
        }
    }

    /// The message whose headers and payload begin at `at`.
    fn message(self, heard: &mut BytesMut, at: usize, most: usize) -> Result<Option<Said>> {
        if self.bytes > most {
            return Err(Error::exhausted(format!(
                "nats sends a message of more than {most} bytes: {}",
                self.bytes
            )));
        }
        let end = at + self.bytes;
        match heard.get(end..end + 2) {
            None => return Ok(None),
            Some(b"\r\n") => {}
            Some(_) => return Err(garbage()),
        }
        heard.advance(at);
        let head = heard.split_to(self.headers);
        let payload = heard.split_to(self.bytes - self.headers).freeze();
        heard.advance(2);
        let mut message = Message {
            subject: self.subject,
            reply: self.reply,
            payload,
            ..Message::default()
        };
        if !head.is_empty() {
            message.read_headers(&head)?;
        }
        Ok(Some(Said::Message(message)))
    }
}

// === impl Message ===

impl Message {
    /// `NATS/1.0[ status[ words]]`, then a line for each header.
    fn read_headers(&mut self, head: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.strip_prefix("NATS/1.0").ok_or_else(garbage)?.trim();
        if !status.is_empty() {
            let (number, words) = status.split_once(' ').unwrap_or((status, ""));
            let number = number.parse().map_err(|_| garbage())?;
            self.status = Some((number, shown(words)));
        }
        for line in lines.filter(|line| !line.is_empty()) {
            if let Some((name, value)) = line.split_once(':') {
                self.headers
                    .push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Ok(())
    }
}

/// What a terminal takes no harm from, and not too much of it.
pub(crate) fn shown(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(SHOWN).collect()
}

/// Not what NATS speaks.
pub(crate) fn garbage() -> Error {
    Error::unavailable("the peer does not speak the protocol of nats")
        .hint("is the url that of a NATS server's client port?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Result<Option<Said>> {
        read(&mut BytesMut::from(text), 1000)
    }

    #[test]
    fn what_is_said_is_read_whole_or_not_at_all() {
        let head = "NATS/1.0 503 No Responders\r\nce-id: a%20b\r\n\r\n";
        let text = format!(
            "HMSG a.b 1 _R.1 {} {}\r\n{head}pay\r\nload\r\n",
            head.len(),
            head.len() + 9
        );
        for end in 0..text.len() {
            assert_eq!(all(&text.as_bytes()[..end]).unwrap(), None, "{end}");
        }
        let Some(Said::Message(message)) = all(text.as_bytes()).unwrap() else {
            panic!("no message");
        };
        assert_eq!(message.status, Some((503, "No Responders".to_owned())));
        assert_eq!(message.headers, [("ce-id".to_owned(), "a%20b".to_owned())]);
        assert_eq!(message.reply.as_deref(), Some("_R.1"));
        assert_eq!(&message.payload[..], b"pay\r\nload");
        for (text, wanted) in [
            ("PING\r\n", Said::Ping),
            ("pong\r\n", Said::Pong),
            (
                "-ERR 'Authorization Violation'\r\n",
                Said::Error("Authorization Violation".into()),
            ),
            (
                "INFO {\"headers\":true,\"other\":[1]}\r\n",
                Said::Info(Info {
                    tls_required: false,
                    headers: true,
                }),
            ),
        ] {
            assert_eq!(all(text.as_bytes()).unwrap(), Some(wanted));
        }
    }

    #[test]
    fn hostile_words_are_refused() {
        for bad in [
            "\r\n",
            "HELLO\r\n",
            "MSG\r\n",
            "MSG a\r\n",
            "MSG a 1 x\r\n",
            "MSG a 1 -1\r\n",
            "MSG a 1 r r 1\r\n",
            "MSG a 1 1001\r\n",
            "MSG a 1 99999999999\r\n",
            "HMSG a 1 9 3\r\nabc\r\n",
            "MSG a 1 1\r\nabcd",
            "HMSG a 1 4 4\r\nabcd\r\n",
            "INFO nonsense\r\n",
            "INFO [1]\r\n",
            "HMSG a 1 12 12\r\nNATS/1.0 x\r\n\r\n",
        ] {
            assert!(all(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(all(&[b'x'; LINE]).is_err());
        assert!(all(b"\xff\xff\n").is_err());
    }
}
