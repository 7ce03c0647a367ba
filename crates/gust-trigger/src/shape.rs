//! Events out of messages.

use bytes::Bytes;
use gust_task::ids;
use gust_types::event::{Data, Event, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{Incoming, Peer};

/// What stands in a source as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':');
/// What data is when nobody says.
const BYTES: &str = "application/octet-stream";
/// Letters of a place in an event.
const SHOWN: usize = 1000;

/// Where at a peer a message was: a channel, a topic, a stream.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The kind of the source.
    pub kind: &'a str,
    /// The peer.
    pub peer: &'a Peer,
    /// The channel or whatever it is called there.
    pub name: &'a str,
}

// === impl Place ===

impl Place<'_> {
    /// The event that a message at this place is: `gust.KIND.message` from `/KIND/HOST/NAME`. It keeps the id that the peer
    /// has for the message, or gets one.
    pub fn event(&self, id: Option<&str>, media: Option<&str>, bytes: Bytes) -> Event {
        let name = clipped(self.name);
        let escaped = utf8_percent_encode(name, SEGMENT);
        let source = format!("/{}/{}/{escaped}", self.kind, self.peer.host);
        let kind = format!("gust.{}.message", self.kind);
        let new = |id: &str| Event::new(id, source.as_str(), kind.as_str());
        let own = id.and_then(|id| new(clipped(id)).ok());
        let fresh = || format!("{:016x}{:016x}", ids::random_u64(), ids::random_u64());
        let event = own.or_else(|| new(&fresh()).ok());
        let mut event = event.unwrap_or_else(unnamed);
        // What an event cannot say, it does not: the data is what counts.
        let _ = event.set("subject", name);
        if event
            .set("datacontenttype", media.unwrap_or(BYTES))
            .is_err()
        {
            let _ = event.set("datacontenttype", BYTES);
        }
        match bytes.is_empty() {
            true => event,
            false => event.with_data(Data::binary(bytes)),
        }
    }

    /// The same, to be kept once under this name.
    pub fn incoming(&self, key: String, event: Event) -> Incoming {
        Incoming {
            event,
            key: Some(key),
        }
    }
}

/// The event that a message carries in the binary mode: its attributes beside its data, none when they are not one's.
pub fn carried(
    attributes: impl IntoIterator<Item = (String, String)>,
    data: Bytes,
) -> Option<Event> {
    let attributes = attributes
        .into_iter()
        .map(|(name, value)| (name, Value::String(value)));
    let data = (!data.is_empty()).then(|| Data::binary(data));
    Event::from_attributes(attributes, data).ok()
}

/// Control characters in a host: what no resolver ever answers to.
fn unnamed() -> Event {
    #[expect(clippy::expect_used, reason = "these three are valid attributes")]
    Event::new("0", "/", "gust.message").expect("a valid event")
}

fn clipped(text: &str) -> &str {
    let end = text.char_indices().nth(SHOWN).map(|(at, _)| at);
    end.map_or(text, |end| text.get(..end).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_message_becomes_an_event() {
        let peer = Peer {
            scheme: "redis",
            host: "db".into(),
            port: 1,
            tls: false,
            user: None,
            password: Some("secret".into()),
            path: String::new(),
            query: Vec::new(),
        };
        for (name, id) in [
            ("orders", "1-0"),
            ("订单 7?", ""),
            ("\n\0", "\u{1}"),
            ("", "x"),
        ] {
            let place = Place {
                kind: "redis",
                peer: &peer,
                name,
            };
            let event = place.event(Some(id), Some("no media"), Bytes::from_static(b"\xff"));
            assert_eq!(event.kind(), "gust.redis.message");
            assert!(
                event.source().starts_with("/redis/db/"),
                "{}",
                event.source()
            );
            assert_eq!(event.datacontenttype(), Some(BYTES));
            assert!(!event.id().is_empty());
        }
        let long = "长".repeat(5000);
        let place = Place {
            kind: "redis",
            peer: &peer,
            name: &long,
        };
        assert!(place.event(Some(&long), None, Bytes::new()).size() < 20_000);
    }

    #[test]
    fn carried_attributes_are_an_event_or_none() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
            carried(pairs, Bytes::from_static(b"x"))
        };
        let whole = [
            ("specversion", "1.0"),
            ("id", "1"),
            ("source", "/s"),
            ("type", "t"),
        ];
        assert_eq!(of(&whole).unwrap().kind(), "t");
        assert!(of(&whole[1..]).is_none());
        assert!(of(&[]).is_none());
    }
}
