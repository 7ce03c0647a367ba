//! MQTT's packets, as far as somebody who only listens needs them.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use gust_types::{Error, Result};

/// Which of the two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 3.1.1.
    V3,
    /// 5.
    V5,
}

/// What a broker sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Packet {
    /// Connected, or not.
    ConnAck {
        /// It knows this client from before.
        session: bool,
        /// 0, or why not.
        code: u8,
    },
    /// A message.
    Publish(Publish),
    /// Subscribed, or not.
    SubAck {
        /// The quality that is granted, or why there is none.
        code: u8,
    },
    /// It is still there.
    Pong,
    /// It ends the connection.
    Disconnect {
        /// Why.
        code: u8,
    },
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Publish {
    /// Where it was published.
    pub topic: String,
    /// Under what it is acknowledged, when it is to be.
    pub id: Option<u16>,
    /// Its media type.
    pub content_type: Option<String>,
    /// Names and values beside the payload.
    pub properties: Vec<(String, String)>,
    /// The payload.
    pub payload: Bytes,
}

/// How to connect.
#[derive(Debug, Clone)]
pub struct Connect<'a> {
    /// In which version.
    pub version: Version,
    /// Who.
    pub client_id: &'a str,
    /// Whether to forget what was before.
    pub clean: bool,
    /// Seconds of silence that the broker puts up with.
    pub keep_alive: u16,
    /// Seconds that the broker keeps the session.
    pub session: u32,
    /// Messages given out and not acknowledged.
    pub receive: u16,
    /// Bytes of a packet.
    pub most: u32,
    /// A name to log in with.
    pub user: Option<&'a str>,
    /// A password.
    pub password: Option<&'a str>,
}

/// The only number of a subscription: there is one.
const SUBSCRIPTION: u16 = 1;
/// Retain handling 1 of version 5 (section 3.8.3.1): what is retained is sent for a subscription that is new.
const RETAINED_ONCE: u8 = 1 << 4;

/// A packet to log in with.
pub fn connect(of: &Connect<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, "MQTT");
    body.put_u8(match of.version {
        Version::V3 => 4,
        Version::V5 => 5,
    });
    let flag = |is: bool, bit: u8| u8::from(is) << bit;
    body.put_u8(flag(of.clean, 1) | flag(of.password.is_some(), 6) | flag(of.user.is_some(), 7));
    body.put_u16(of.keep_alive);
    if of.version == Version::V5 {
        let mut properties = Vec::new();
        properties.put_u8(0x11);
        properties.put_u32(of.session);
        properties.put_u8(0x21);
        properties.put_u16(of.receive);
        properties.put_u8(0x27);
        properties.put_u32(of.most);
        put_varint(&mut body, properties.len());
        body.extend_from_slice(&properties);
    }
    put_text(&mut body, of.client_id);
    for text in [of.user, of.password].into_iter().flatten() {
        put_text(&mut body, text);
    }
    whole(0x10, &body)
}

/// A packet that subscribes to one filter. Version 5 can say that what is retained is sent only when that is new.
pub fn subscribe(version: Version, filter: &str, qos: u8) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_u16(SUBSCRIPTION);
    if version == Version::V5 {
        body.put_u8(0);
    }
    put_text(&mut body, filter);
    body.put_u8(match version {
        Version::V5 => qos | RETAINED_ONCE,
        Version::V3 => qos,
    });
    whole(0x82, &body)
}

/// A packet that acknowledges a message.
pub fn acknowledge(id: u16) -> Vec<u8> {
    whole(0x40, &id.to_be_bytes())
}

/// A packet that asks whether the broker is still there.
pub fn ping() -> Vec<u8> {
    whole(0xc0, &[])
}

/// A packet that says goodbye.
pub fn disconnect() -> Vec<u8> {
    whole(0xe0, &[])
}

fn whole(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    put_varint(&mut out, body.len());
    out.extend_from_slice(body);
    out
}

/// Texts come from settings that are far shorter than this could write.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..usize::from(u16::MAX)).unwrap_or(bytes);
    out.put_u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        out.push(if number > 0 { low | 0x80 } else { low });
        if number == 0 {
            return;
        }
    }
}

/// The packet at the front, of at most `most` bytes; `None` while it is not all there.
pub fn read(heard: &mut BytesMut, version: Version, most: usize) -> Result<Option<Packet>> {
    let Some((&first, rest)) = heard.split_first() else {
        return Ok(None);
    };
    let Some((length, size)) = varint(rest)? else {
        return Ok(None);
    };
    if length > most {
        return Err(Error::exhausted(format!(
            "the broker sends a packet of more than {most} bytes: {length}"
        )));
    }
    let start = 1 + size;
    if heard.len() < start + length {
        return Ok(None);
    }
    heard.advance(start);
    let mut body = Body {
        rest: heard.split_to(length).freeze(),
        version,
    };
    let packet = match first >> 4 {
        2 => {
            let (flags, code) = (body.u8()?, body.u8()?);
            Packet::ConnAck {
                session: flags & 1 == 1,
                code,
            }
        }
        3 => Packet::Publish(body.publish(first)?),
        9 => {
            body.u16()?;
            body.properties(|_| Ok(()))?;
            Packet::SubAck { code: body.u8()? }
        }
        13 => Packet::Pong,
        14 => Packet::Disconnect {
            code: body.u8().unwrap_or(0),
        },
        _ => return Err(garbage()),
    };
    Ok(Some(packet))
}

/// A number of up to four bytes, and how many they were.
fn varint(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut number = 0;
    for (n, byte) in bytes.iter().take(4).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Ok(Some((number, n + 1)));
        }
    }
    match bytes.len() < 4 {
        true => Ok(None),
        false => Err(garbage()),
    }
}

/// What is left of a packet.
struct Body {
    rest: Bytes,
    version: Version,
}

/// A property that somebody who listens cares for.
enum Property {
    ContentType(String),
    User(String, String),
    Other,
}

// === impl Body ===

impl Body {
    fn publish(mut self, first: u8) -> Result<Publish> {
        let mut publish = Publish {
            topic: self.text()?,
            ..Publish::default()
        };
        publish.id = match (first >> 1) & 3 {
            0 => None,
            1 => Some(self.u16()?).filter(|id| *id != 0),
            // Never granted.
            _ => return Err(garbage()),
        };
        if publish.topic.is_empty() || ((first >> 1) & 3 == 1 && publish.id.is_none()) {
            return Err(garbage());
        }
        let (mut media, mut user) = (None, Vec::new());
        self.properties(|property| {
            match property {
                Property::ContentType(text) => media = Some(text),
                Property::User(name, value) => user.push((name, value)),
                Property::Other => {}
            }
            Ok(())
        })?;
        (publish.content_type, publish.properties) = (media, user);
        publish.payload = self.rest;
        Ok(publish)
    }

    /// Version 5 has properties; before it there are none.
    fn properties(&mut self, mut each: impl FnMut(Property) -> Result<()>) -> Result<()> {
        if self.version == Version::V3 {
            return Ok(());
        }
        let length = self.varint()?;
        let mut these = Body {
            rest: self.bytes(length)?,
            version: self.version,
        };
        while !these.rest.is_empty() {
            each(these.property()?)?;
        }
        Ok(())
    }

    fn property(&mut self) -> Result<Property> {
        match self.varint()? {
            0x03 => return self.text().map(Property::ContentType),
            0x26 => return Ok(Property::User(self.text()?, self.text()?)),
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => drop(self.u8()?),
            0x13 | 0x21 | 0x22 => drop(self.u16()?),
            0x02 | 0x11 | 0x18 | 0x27 => drop(self.bytes(4)?),
            0x08 | 0x12 | 0x15 | 0x1a | 0x1c | 0x1f => drop(self.text()?),
            0x09 | 0x16 => {
                let length = self.u16()?;
                self.bytes(length.into())?;
            }
            0x0b => drop(self.varint()?),
            // A topic by number was never agreed on, and others there are none.
            _ => return Err(garbage()),
        }
        Ok(Property::Other)
    }

    fn bytes(&mut self, length: usize) -> Result<Bytes> {
        match length <= self.rest.len() {
            true => Ok(self.rest.split_to(length)),
            false => Err(garbage()),
        }
    }

    fn u8(&mut self) -> Result<u8> {
        let bytes = self.bytes(1)?;
        bytes.first().copied().ok_or_else(garbage)
    }

    fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    fn varint(&mut self) -> Result<usize> {
        let (number, size) = varint(&self.rest)?.ok_or_else(garbage)?;
        self.bytes(size)?;
        Ok(number)
    }

    fn text(&mut self) -> Result<String> {
        let length = self.u16()?;
        let bytes = self.bytes(length.into())?;
        let text = std::str::from_utf8(&bytes).map_err(|_| garbage())?;
        Ok(text.to_owned())
    }
}

/// Not what MQTT speaks.
pub(crate) fn garbage() -> Error {
    Error::unavailable("the peer does not speak mqtt in this version")
        .hint("is the url that of an MQTT broker, and `version` one that it knows?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(version: Version, bytes: &[u8]) -> Result<Option<Packet>> {
        read(&mut BytesMut::from(bytes), version, 1000)
    }

    #[test]
    fn packets_are_read_whole_or_not_at_all() {
        let mut body = Vec::new();
        put_text(&mut body, "a/b");
        body.put_u16(9);
        let mut properties = vec![0x01, 1, 0x0b, 0x80, 0x01, 0x03];
        put_text(&mut properties, "text/plain");
        properties.push(0x26);
        put_text(&mut properties, "type");
        put_text(&mut properties, "t");
        put_varint(&mut body, properties.len());
        body.extend(properties);
        body.extend_from_slice("正文".as_bytes());
        let packet = whole(0x32, &body);
        for end in 0..packet.len() {
            assert_eq!(all(Version::V5, &packet[..end]).unwrap(), None, "{end}");
        }
        let wanted = Publish {
            topic: "a/b".into(),
            id: Some(9),
            content_type: Some("text/plain".into()),
            properties: vec![("type".into(), "t".into())],
            payload: "正文".into(),
        };
        assert_eq!(
            all(Version::V5, &packet).unwrap(),
            Some(Packet::Publish(wanted))
        );
        let known = Packet::ConnAck {
            session: true,
            code: 0,
        };
        assert_eq!(all(Version::V3, &[0x20, 2, 1, 0]).unwrap(), Some(known));
        assert_eq!(
            all(Version::V3, &[0x90, 3, 0, 1, 1]).unwrap(),
            Some(Packet::SubAck { code: 1 })
        );
        assert_eq!(
            all(Version::V5, &[0x90, 4, 0, 1, 0, 0x80]).unwrap(),
            Some(Packet::SubAck { code: 0x80 })
        );
        assert_eq!(all(Version::V3, &[0xd0, 0]).unwrap(), Some(Packet::Pong));
        assert_eq!(
            all(Version::V5, &[0xe0, 0]).unwrap(),
            Some(Packet::Disconnect { code: 0 })
        );
    }

    #[test]
    fn hostile_packets_are_refused() {
        let bad: [&[u8]; 12] = [
            &[0x20, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0xff, 0xff, 0xff, 0x7f],
            &[0x20, 1, 0],
            &[0x30, 0],
            &[0x30, 2, 0, 0],
            &[0x30, 3, 0, 9, b'a'],
            &[0x32, 3, 0, 1, b'a'],
            &[0x32, 5, 0, 1, b'a', 0, 0],
            &[0x34, 5, 0, 1, b'a', 0, 1],
            &[0x30, 3, 0, 1, 0xff],
            &[0x40, 2, 0, 1],
            &[0xf0, 0],
        ];
        for bytes in bad {
            assert!(all(Version::V3, bytes).is_err(), "{bytes:?}");
        }
        let bad: [&[u8]; 4] = [
            &[0x30, 5, 0, 1, b'a', 3, 0x23],
            &[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 1],
            &[0x30, 4, 0, 1, b'a', 9],
            &[0x30, 6, 0, 1, b'a', 2, 0x03, 9],
        ];
        for bytes in bad {
            assert!(all(Version::V5, bytes).is_err(), "{bytes:?}");
        }
        // Whatever comes, it is a packet, an error or not enough.
        let mut seed = 3_u64;
        for _ in 0..200_000 {
            let bytes: Vec<u8> = (0..12)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    match seed >> 60 {
                        0..8 => (seed >> 40) as u8 % 16,
                        8 => 0x30,
                        _ => (seed >> 40) as u8,
                    }
                })
                .collect();
            let _ = all(Version::V5, &bytes);
            let _ = all(Version::V3, &bytes);
        }
    }
}
