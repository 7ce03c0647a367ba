//! Changes of what is kept, as events: the shape that every backend gives them.
//!
//! A backend that keeps something ([`Watched`]) appends its changes to the topic [`Watched::topic`] of the same project, in
//! the same commit or in such a way that it comes to the same, and only while that topic has subscriptions: what nobody
//! listens to costs nothing. From there on a change is an event like any other.

use bytes::Bytes;
use gust_types::event::{Event, in_header, may_hold};
pub use gust_types::{changes::*, trigger::TopicSettings};

use crate::queue::{Message, check::MEDIA_TYPE};

/// Bytes of a new value that an event still carries.
pub const CARRIED: usize = 256 << 10;
/// The extension with the size of what an event does not carry because it is larger.
pub const OMITTED: &str = "omittedsize";
/// The extension with the version that a value has, or had when it went.
pub const VERSION: &str = "version";
/// The extension that says why something is gone, when nobody asked for it.
pub const REASON: &str = "reason";
/// The extension with a key as it is, in hex digits, when it has characters that no attribute may have.
pub const KEY_HEX: &str = "keyhex";

/// Bytes of a key that is its own group.
const GROUP: usize = 200;

/// A change on its way to becoming an event.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// Where: a URI reference.
    pub source: &'a str,
    /// The event's type.
    pub kind: &'a str,
    /// Unique in its source.
    pub id: String,
    /// What changed, in its source: changes of one key keep their order.
    pub key: &'a str,
    /// When, Unix microseconds.
    pub time_us: u64,
    /// Further attributes, such as [`VERSION`].
    pub extensions: Vec<(&'static str, String)>,
    /// The media type and bytes of what it carries.
    pub data: Option<(&'static str, Bytes)>,
}

// === impl Change ===

impl Change<'_> {
    /// The event as topics keep it.
    pub fn into_message(self) -> Message {
        let group = group(self.key);
        let mut message = Message::default();
        let mut set = |name: &str, value: &str| {
            message
                .attributes
                .insert(format!("ce-{name}"), in_header(value));
        };
        set("specversion", Event::SPEC_VERSION);
        set("id", &self.id);
        set("source", self.source);
        set("type", self.kind);
        set("time", &time(self.time_us));
        set(Event::PARTITION_KEY, &group);
        if !self.key.is_empty() {
            set("subject", &subject(self.key));
        }
        if !self.key.chars().all(may_hold) {
            set(KEY_HEX, &hex(self.key));
        }
        for (name, value) in &self.extensions {
            set(name, value);
        }
        match self.data {
            Some((_, bytes)) if bytes.len() > CARRIED => {
                set(OMITTED, &bytes.len().to_string());
            }
            Some((media, bytes)) => {
                message.attributes.insert(MEDIA_TYPE.into(), media.into());
                message.body = bytes;
            }
            None => {}
        }
        message.group = Some(group);
        message
    }
}

/// The media type of bytes that nobody has said anything of.
pub fn media_type(bytes: &[u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(_) => "text/plain; charset=utf-8",
        Err(_) => "application/octet-stream",
    }
}

/// The key as an attribute can have it.
fn subject(key: &str) -> String {
    let shown = |c| if may_hold(c) { c } else { '\u{fffd}' };
    key.chars().map(shown).collect()
}

/// The group that changes of a key are in: the key itself, or for one that cannot be a group something that is always the
/// same for it. That two keys then share a group does no harm.
fn group(key: &str) -> String {
    if !key.is_empty() && key.len() <= GROUP && key.chars().all(may_hold) {
        return key.to_owned();
    }
    // FNV-1a: stays what it is, whatever else changes.
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("#{hash:016x}")
}

fn time(unix_us: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_micros(unix_us);
    humantime::format_rfc3339_micros(time).to_string()
}

fn hex(key: &str) -> String {
    key.bytes().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(key: &str, data: Option<(&'static str, Bytes)>) -> Message {
        let change = Change {
            source: "/kv/default",
            kind: "gust.kv.set",
            id: "7".into(),
            key,
            time_us: 1_700_000_000_000_000,
            extensions: vec![(VERSION, "7".into())],
            data,
        };
        change.into_message()
    }

    #[test]
    fn a_key_is_subject_and_group_as_far_as_it_can_be() {
        let of = |key: &str| {
            let message = message(key, None);
            let attribute = |name: &str| message.attributes.get(name).cloned();
            (
                attribute("ce-subject"),
                attribute("ce-keyhex"),
                message.group,
            )
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(of("user/1"), (text("user/1"), None, text("user/1")));
        assert_eq!(
            of("用户 1"),
            (text("%E7%94%A8%E6%88%B7%201"), None, text("用户 1"))
        );
        let (subject, hex, group) = of("a\0b");
        assert_eq!((subject, hex), (text("a%EF%BF%BDb"), text("610062")));
        assert!(group.unwrap().starts_with('#'));
        let (subject, hex, group) = of("");
        assert!(subject.is_none() && hex.is_none() && group.unwrap().len() < 32);
        let long = "键".repeat(100);
        assert_eq!(of(&long).2, of(&long).2);
        assert_ne!(of(&long).2, of(&"钥".repeat(100)).2);
    }

    #[test]
    fn what_is_too_large_is_left_out_and_said_so() {
        let large = Bytes::from(vec![b'x'; CARRIED + 1]);
        let message_of = |bytes: Bytes| message("k", Some((media_type(&bytes), bytes)));
        let without = message_of(large.clone());
        assert!(without.body.is_empty() && !without.attributes.contains_key(MEDIA_TYPE));
        assert_eq!(without.attributes["ce-omittedsize"], "262145");
        let with = message_of(large.slice(1..));
        assert_eq!(with.body.len(), CARRIED);
        assert_eq!(with.attributes[MEDIA_TYPE], "text/plain; charset=utf-8");
        assert_eq!(media_type(b"\xff"), "application/octet-stream");
    }
}
