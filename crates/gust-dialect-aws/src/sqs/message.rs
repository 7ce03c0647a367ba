//! What a message of SQS's is in a queue, and the other way round.
//!
//! The body is the body. An attribute of a message becomes one of the queue's message where its name and value can be those
//! of an event's (small letters and digits), so that functions see it; what cannot, and what else SQS says of a message,
//! stands in one more attribute, `sqs`, as JSON in ASCII:
//!
//! | key | value |
//! |---|---|
//! | `a` | attributes by name: `[type]` where the value stands outside, else `[type, value]`, bytes in Base64 |
//! | `g` | the group of a message of a standard queue, where groups keep no order |
//! | `d` | the deduplication id |
//! | `x` | the trace header |
//! | `o` | of a message that went to a dead-letter queue: the id, time and queue that it had |
//!
//! A message that was published elsewhere has no `sqs`: its attributes are texts, and a body that SQS could not carry comes
//! in Base64, with an attribute `gustbody` that says so.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use gust_backend::queue::{
    Message, MessageId, Taken,
    check::{self, MEDIA_TYPE},
};
use gust_types::{Event, Label, ProjectName};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::protocol::xml::is_xml;

/// What stands beside.
const SQS: &str = "sqs";
/// What a body is that SQS carries, unless an attribute says.
const TEXT: &str = "text/plain; charset=utf-8";
/// The attribute that says that a body is in Base64.
const ENCODED: &str = "gustbody";
/// Bytes of all attributes, as they are kept: an event has room for a little more.
pub(crate) const ATTRIBUTES: usize = 60 << 10;

/// An attribute of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// `String`, `Number` or `Binary`, with more behind a dot.
    pub(crate) kind: String,
    pub(crate) value: Datum,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Datum {
    Text(String),
    Bytes(Vec<u8>),
}

/// A message as SQS has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) body: String,
    pub(crate) attributes: BTreeMap<String, Attribute>,
    pub(crate) group: Option<String>,
    pub(crate) dedup: Option<String>,
    pub(crate) trace: Option<String>,
    pub(crate) origin: Option<Origin>,
}

/// What a message was before it went to a dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) id: u64,
    pub(crate) sent_us: u64,
    pub(crate) queue: String,
}

// === impl Letter ===

impl Letter {
    /// Bytes as these services count them.
    pub(crate) fn size(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, attribute)| {
            let value = match &attribute.value {
                Datum::Text(text) => text.len(),
                Datum::Bytes(bytes) => bytes.len(),
            };
            name.len() + attribute.kind.len() + value
        });
        self.body.len() + attributes.sum::<usize>()
    }

    /// As a queue keeps it, without key and delay. With `ordered`, its group is one of the queue's.
    pub(crate) fn write(&self, ordered: bool) -> Message {
        let mut message = Message::new(self.body.clone());
        let mut odd = Map::new();
        for (name, attribute) in &self.attributes {
            let kind = attribute.kind.as_str();
            match &attribute.value {
                Datum::Text(text) if stands(name, text) => {
                    message.attributes.insert(name.clone(), text.clone());
                    if kind != "String" {
                        odd.insert(name.clone(), json!([kind]));
                    }
                }
                Datum::Text(text) => {
                    odd.insert(name.clone(), json!([kind, text]));
                }
                Datum::Bytes(bytes) => {
                    odd.insert(name.clone(), json!([kind, BASE64.encode(bytes)]));
                }
            }
        }
        let media = message.attributes.entry(MEDIA_TYPE.to_owned());
        media.or_insert_with(|| TEXT.to_owned());
        let mut beside = Map::new();
        if !odd.is_empty() {
            beside.insert("a".to_owned(), odd.into());
        }
        let mut say = |key: &str, value: Option<Value>| {
            beside.extend(value.map(|value| (key.to_owned(), value)));
        };
        let text = |text: &Option<String>| text.clone().map(Value::String);
        match ordered {
            true => message.group = self.group.clone(),
            false => say("g", text(&self.group)),
        }
        say("d", text(&self.dedup));
        say("x", text(&self.trace));
        let origin = self.origin.as_ref();
        say("o", origin.map(|of| json!([of.id, of.sent_us, of.queue])));
        put_beside(&mut message, beside);
        message
    }

    /// As SQS shows it.
    pub(crate) fn read(message: &Message) -> Self {
        let beside = beside(message);
        let text = |key: &str| beside.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut letter = Self {
            group: message.group.clone().or_else(|| text("g")),
            dedup: text("d").or_else(|| message.key.clone()),
            trace: text("x"),
            origin: beside.get("o").and_then(origin),
            ..Self::default()
        };
        for (name, value) in &message.attributes {
            let ours = name == SQS || name == MEDIA_TYPE && value == TEXT;
            if !ours {
                letter.attributes.insert(name.clone(), plain(value.clone()));
            }
        }
        let odd = beside.get("a").and_then(Value::as_object);
        for (name, value) in odd.into_iter().flatten() {
            letter.restore(name, value);
        }
        match std::str::from_utf8(&message.body) {
            Ok(body) if body.chars().all(is_xml) => letter.body = body.to_owned(),
            _ => {
                letter.body = BASE64.encode(&message.body);
                let encoded = plain("base64".to_owned());
                letter.attributes.insert(ENCODED.to_owned(), encoded);
            }
        }
        letter
    }

    fn restore(&mut self, name: &str, value: &Value) {
        let of = |n: usize| value.get(n).and_then(Value::as_str);
        let Some(kind) = of(0) else { return };
        let value = match of(1) {
            Some(text) if kind.starts_with("Binary") => {
                Datum::Bytes(BASE64.decode(text).unwrap_or_default())
            }
            Some(text) => Datum::Text(text.to_owned()),
            None => match self.attributes.remove(name) {
                Some(attribute) => attribute.value,
                None => return,
            },
        };
        let kind = kind.to_owned();
        self.attributes
            .insert(name.to_owned(), Attribute { kind, value });
    }
}

fn plain(text: String) -> Attribute {
    Attribute {
        kind: "String".to_owned(),
        value: Datum::Text(text),
    }
}

fn origin(value: &Value) -> Option<Origin> {
    Some(Origin {
        id: value.get(0)?.as_u64()?,
        sent_us: value.get(1)?.as_u64()?,
        queue: value.get(2)?.as_str()?.to_owned(),
    })
}

/// Whether an attribute can stand for itself: as functions see it, and not as one of those that say something else.
fn stands(name: &str, text: &str) -> bool {
    let ours = name == SQS || name == ENCODED || name == MEDIA_TYPE && text == TEXT;
    // What an event says of itself to the platform is not for senders.
    let platforms = name.starts_with("gust") || name == "specversion" || name == "id";
    if ours || platforms || !(Event::is_name(name) || name == MEDIA_TYPE) {
        return false;
    }
    let mut alone = Message::default();
    alone.attributes.insert(name.to_owned(), text.to_owned());
    check::attributes(&alone).is_ok()
}

fn beside(message: &Message) -> Map<String, Value> {
    let text = message.attributes.get(SQS);
    let value = text.and_then(|text| serde_json::from_str(text).ok());
    value.unwrap_or_default()
}

fn put_beside(message: &mut Message, beside: Map<String, Value>) {
    if !beside.is_empty() {
        let text = ascii(&Value::Object(beside).to_string());
        message.attributes.insert(SQS.to_owned(), text);
    }
}

/// JSON without a letter that an attribute of an event could not have.
fn ascii(json: &str) -> String {
    let mut written = String::with_capacity(json.len());
    for c in json.chars() {
        if (' '..='~').contains(&c) {
            written.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            written.push_str(&format!("\\u{unit:04x}"));
        }
    }
    written
}

/// A taken message as it goes to a dead-letter queue: it says where it was, and no key keeps it out.
pub(crate) fn moved(from: &Label, taken: &Taken) -> Message {
    let mut message = taken.message.clone();
    let mut beside = beside(&message);
    let before = beside.get("o").and_then(origin);
    let id = before.as_ref().map_or(taken.receipt.id.0, |o| o.id);
    let sent_us = before.map_or(taken.published_us, |o| o.sent_us);
    beside.insert("o".to_owned(), json!([id, sent_us, from.as_str()]));
    if let Some(key) = message.key.take() {
        beside.entry("d").or_insert(Value::String(key));
    }
    put_beside(&mut message, beside);
    message.delay = Some(std::time::Duration::ZERO);
    message
}

/// A message on its way back from a dead-letter queue: a new one, and the queue that it had come from.
pub(crate) fn returned(taken: &Taken) -> (Message, Option<Label>) {
    let mut message = taken.message.clone();
    let mut beside = beside(&message);
    let origin = beside.remove("o").as_ref().and_then(origin);
    message.key = None;
    message.attributes.remove(SQS);
    put_beside(&mut message, beside);
    message.delay = Some(std::time::Duration::ZERO);
    (message, origin.and_then(|of| Label::new(of.queue).ok()))
}

/// A message's id, which looks like those of SQS: its number, and what tells its queue from others.
pub(crate) fn id(project: &ProjectName, queue: &str, id: MessageId) -> String {
    let hash = Sha256::digest(format!("{project}/{queue}"));
    let &[a, b, c, d, e, f, ..] = &hash[..] else {
        return id.0.to_string();
    };
    let (high, middle, low) = (id.0 >> 60, (id.0 >> 48) & 0xfff, id.0 & 0xffff_ffff_ffff);
    format!("{a:02x}{b:02x}{c:02x}{d:02x}-{e:02x}{f:02x}-80{high:02x}-8{middle:03x}-{low:012x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter {
        let text = |kind: &str, text: &str| Attribute {
            kind: kind.to_owned(),
            value: Datum::Text(text.to_owned()),
        };
        let attributes = [
            ("colour", text("String", "红")),
            ("type", text("String", "order.made")),
            ("count", text("Number", "3")),
            ("Upper-Case.name", text("String", "a\nb\u{7f}\u{85}𝄞")),
            ("source", text("String", "not a uri")),
            ("content-type", text("String", TEXT)),
            ("sqs", text("String.mine", "{}")),
            ("id", text("String", "7")),
            (
                "bytes",
                Attribute {
                    kind: "Binary.png".to_owned(),
                    value: Datum::Bytes(vec![0, 255]),
                },
            ),
        ];
        Letter {
            body: "正文\r\n<&>".to_owned(),
            attributes: attributes.map(|(n, a)| (n.to_owned(), a)).into(),
            group: Some("组".to_owned()),
            dedup: Some("d".to_owned()),
            trace: Some("Root=1-5".to_owned()),
            origin: None,
        }
    }

    #[test]
    fn letters_come_back_as_they_were_and_functions_see_what_they_can() {
        for ordered in [true, false] {
            let letter = letter();
            let message = letter.write(ordered);
            check::attributes(&message).unwrap();
            assert_eq!(Letter::read(&message), letter);
            assert_eq!(message.group.is_some(), ordered);
            let seen = |name: &str| message.attributes.get(name).map(String::as_str);
            assert_eq!(seen("colour"), Some("红"));
            assert_eq!(seen("type"), Some("order.made"));
            assert_eq!(seen("count"), Some("3"));
            assert_eq!((seen("source"), seen("id")), (None, None));
        }
        let simple = Letter {
            body: "x".to_owned(),
            ..Letter::default()
        };
        let message = simple.write(false);
        assert_eq!(message.attributes.len(), 1, "{message:?}");
        assert_eq!(Letter::read(&message), simple);
    }

    #[test]
    fn what_others_published_can_be_received() {
        let mut message = Message::new(vec![0xff, 0]);
        message.attributes.insert("ce-type".into(), "a%20b".into());
        message.key = Some("k".into());
        let letter = Letter::read(&message);
        assert_eq!(letter.body, "/wA=");
        assert_eq!(letter.attributes["ce-type"], plain("a%20b".to_owned()));
        assert_eq!(letter.attributes["gustbody"], plain("base64".to_owned()));
        assert_eq!(letter.dedup.as_deref(), Some("k"));
        // Nonsense in our own attribute is no panic.
        message
            .attributes
            .insert("sqs".into(), "{\"a\":{\"b\":7},\"o\":[1]".into());
        assert_eq!(Letter::read(&message).origin, None);
    }

    #[test]
    fn ids_are_those_of_one_message() {
        let project = ProjectName::default_project();
        let one = id(&project, "q", MessageId(1));
        assert_eq!(one.len(), 36);
        assert_ne!(one, id(&project, "r", MessageId(1)));
        assert!(one.ends_with("-8000-000000000001"), "{one}");
        let most = id(&project, "q", MessageId(u64::MAX));
        assert!(most.ends_with("-800f-8fff-ffffffffffff"), "{most}");
    }
}
