//! What is still to be done of a unit when its database has committed, as bytes.
//!
//! It is written into the database with the mark, and read again only when the node went down between the two commits.
//! How queues and topics behave is not in it: whoever reads it knows that better.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use gust_types::{Error, Label, Result, trigger::TopicSettings};

use super::{Changes, Commit, Place, Publication};
use crate::{
    kv::{PutOptions, Write},
    queue::{Message, QueueSettings},
};

const FORMAT: u8 = 1;

/// Writes down the changes and publications of a commit.
pub(super) fn encode(commit: &Commit) -> Bytes {
    let mut to = Writer(vec![FORMAT]);
    to.number(commit.stores.len() as u64);
    for changes in &commit.stores {
        to.text(changes.store.as_str());
        // What must hold is checked before; a unit with a database has nothing of it.
        let is_change = |write: &&Write| !matches!(write, Write::Require { .. });
        let writes = changes.writes.iter().filter(is_change);
        to.number(writes.clone().count() as u64);
        for write in writes {
            to.text(write.key());
            match write {
                Write::Put { value, options, .. } => {
                    to.0.push(1);
                    to.maybe(options.expires_us);
                    to.bytes(value);
                }
                Write::Delete { .. } | Write::Require { .. } => to.0.push(0),
            }
        }
    }
    to.number(commit.published.len() as u64);
    for Publication {
        to: place,
        messages,
    } in &commit.published
    {
        match place {
            Place::Queue(name, _) => {
                to.0.push(0);
                to.text(name.as_str());
            }
            Place::Topic(name, _, remember) => {
                to.0.push(1);
                to.text(name.as_str());
                to.maybe(remember.map(micros));
            }
        }
        to.number(messages.len() as u64);
        messages.iter().for_each(|message| to.message(message));
    }
    to.0.into()
}

/// Reads what [`encode`] wrote. Places have the default settings.
pub(super) fn decode(bytes: &[u8]) -> Result<Commit> {
    read(bytes).ok_or_else(|| Error::internal("what a delivery left in its database is damaged"))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn read(bytes: &[u8]) -> Option<Commit> {
    let mut from = Reader(bytes.strip_prefix(&[FORMAT])?);
    let mut commit = Commit::default();
    for _ in 0..from.number()? {
        let store = from.label()?;
        let mut writes = Vec::new();
        for _ in 0..from.number()? {
            let key = from.text()?;
            writes.push(match from.byte()? {
                1 => Write::Put {
                    key,
                    options: PutOptions {
                        expires_us: from.maybe()?,
                        ..PutOptions::default()
                    },
                    value: Bytes::copy_from_slice(from.bytes()?),
                },
                _ => Write::Delete { key },
            });
        }
        commit.stores.push(Changes {
            store,
            checks: Vec::new(),
            writes,
        });
    }
    for _ in 0..from.number()? {
        let to = match from.byte()? {
            0 => Place::Queue(from.label()?, QueueSettings::default()),
            _ => {
                let name = from.label()?;
                let remember = from.maybe()?.map(Duration::from_micros);
                Place::Topic(name, TopicSettings::default(), remember)
            }
        };
        let mut messages = Vec::new();
        for _ in 0..from.number()? {
            messages.push(from.message()?);
        }
        commit.published.push(Publication { to, messages });
    }
    from.0.is_empty().then_some(commit)
}

struct Writer(Vec<u8>);

// === impl Writer ===

impl Writer {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn maybe(&mut self, number: Option<u64>) {
        self.0.push(number.is_some().into());
        self.number(number.unwrap_or_default());
    }

    fn name(&mut self, name: Option<&str>) {
        self.0.push(name.is_some().into());
        self.text(name.unwrap_or_default());
    }

    fn message(&mut self, message: &Message) {
        self.number(message.attributes.len() as u64);
        for (name, value) in &message.attributes {
            self.text(name);
            self.text(value);
        }
        self.bytes(&message.body);
        self.name(message.group.as_deref());
        self.name(message.key.as_deref());
        self.0.push(message.priority);
        self.maybe(message.delay.map(micros));
    }
}

struct Reader<'a>(&'a [u8]);

// === impl Reader ===

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn label(&mut self) -> Option<Label> {
        Label::new(&self.text()?).ok()
    }

    fn maybe(&mut self) -> Option<Option<u64>> {
        let is = self.byte()? == 1;
        let number = self.number()?;
        Some(is.then_some(number))
    }

    fn name(&mut self) -> Option<Option<String>> {
        let is = self.byte()? == 1;
        let name = self.text()?;
        Some(is.then_some(name))
    }

    fn message(&mut self) -> Option<Message> {
        let mut attributes = BTreeMap::new();
        for _ in 0..self.number()? {
            attributes.insert(self.text()?, self.text()?);
        }
        Some(Message {
            attributes,
            body: Bytes::copy_from_slice(self.bytes()?),
            group: self.name()?,
            key: self.name()?,
            priority: self.byte()?,
            delay: self.maybe()?.map(Duration::from_micros),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> Commit {
        let label = |name: &str| Label::new(name).unwrap();
        let put = |key: &str, expires_us| Write::Put {
            key: key.to_owned(),
            value: Bytes::from("值"),
            options: PutOptions {
                expires_us,
                ..PutOptions::default()
            },
        };
        let mut message = Message::new("消息").in_group("客户").with_key("k");
        message.attributes.insert("colour".into(), "红".into());
        let message = message.with_priority(3).after(Duration::from_secs(5));
        Commit {
            queue: None,
            receipts: Vec::new(),
            stores: vec![
                Changes {
                    store: label("a"),
                    checks: Vec::new(),
                    writes: vec![
                        put("键", None),
                        put("", Some(7)),
                        Write::Delete { key: "x".into() },
                    ],
                },
                Changes {
                    store: label("b"),
                    checks: Vec::new(),
                    writes: Vec::new(),
                },
            ],
            published: vec![
                Publication {
                    to: Place::Queue(label("q"), QueueSettings::default()),
                    messages: vec![message.clone(), Message::default()],
                },
                Publication {
                    to: Place::Topic(
                        label("t"),
                        TopicSettings::default(),
                        Some(Duration::from_secs(9)),
                    ),
                    messages: vec![message],
                },
            ],
        }
    }

    #[test]
    fn intents_read_back_and_damage_is_noticed() {
        for commit in [commit(), Commit::default()] {
            let bytes = encode(&commit);
            let read = decode(&bytes).unwrap();
            assert_eq!(read.stores, commit.stores);
            assert_eq!(read.published, commit.published);
            for cut in 0..bytes.len() {
                assert!(decode(&bytes[..cut]).is_err(), "{cut}");
            }
            let longer = [&bytes[..], b"x"].concat();
            assert!(decode(&longer).is_err());
        }
        // Lengths that nothing is behind.
        let huge = [&[FORMAT][..], &[0xff; 24]].concat();
        assert!(decode(&huge).is_err());
    }
}
