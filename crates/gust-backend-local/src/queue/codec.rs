//! Messages and the other values of the tree, as bytes.

use bytes::{BufMut as _, Bytes};
use gust_backend::queue::{Dead, Message, MessageId, QueueSettings, QueueStats, check};
use gust_types::{Error, Result};

pub(crate) const FORMAT: u8 = 1;

/// A message and when it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) published_us: u64,
    pub(crate) message: Message,
}

/// What stands in the tree is not what was written there.
pub(crate) fn damaged() -> Error {
    Error::internal("a stored message is damaged")
}

pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| damaged())
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn text(&mut self) -> Result<String> {
        let length = u32::from_be_bytes(self.array()?) as usize;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| damaged())?;
        Ok(text.to_owned())
    }

    /// 0 stands for nothing, anything else for one more than it is.
    fn optional(&mut self) -> Result<Option<u64>> {
        Ok(self.number()?.checked_sub(1))
    }
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    to.put_u32(text.len() as u32);
    to.extend_from_slice(text.as_bytes());
}

// === impl Stored ===

impl Stored {
    /// When it could first be taken.
    pub(crate) fn ready_us(&self, settings: &QueueSettings) -> u64 {
        let delay = self.message.delay.unwrap_or(settings.delay.0);
        self.published_us + check::micros(delay)
    }
}

impl Stored {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let message = &self.message;
        let mut to = Vec::with_capacity(64 + message.size() + 8 * message.attributes.len());
        to.put_u8(FORMAT);
        to.put_u64(self.published_us);
        to.put_u8(message.priority);
        to.put_u64(message.delay.map_or(0, |delay| {
            u64::try_from(delay.as_micros()).unwrap_or(u64::MAX - 1) + 1
        }));
        // Groups and keys are never empty.
        put_text(&mut to, message.group.as_deref().unwrap_or_default());
        put_text(&mut to, message.key.as_deref().unwrap_or_default());
        to.put_u32(message.attributes.len() as u32);
        for (name, value) in &message.attributes {
            put_text(&mut to, name);
            put_text(&mut to, value);
        }
        to.extend_from_slice(&message.body);
        to
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        if from.byte()? != FORMAT {
            return Err(damaged());
        }
        let published_us = from.number()?;
        let mut message = Message {
            priority: from.byte()?,
            ..Message::default()
        };
        message.delay = from.optional()?.map(std::time::Duration::from_micros);
        message.group = Some(from.text()?).filter(|text| !text.is_empty());
        message.key = Some(from.text()?).filter(|text| !text.is_empty());
        for _ in 0..u32::from_be_bytes(from.array()?) {
            let name = from.text()?;
            message.attributes.insert(name, from.text()?);
        }
        message.body = Bytes::copy_from_slice(from.0);
        Ok(Self {
            published_us,
            message,
        })
    }
}

/// A dead message.
pub(crate) fn encode_dead(dead: &Dead) -> Vec<u8> {
    let stored = Stored {
        published_us: dead.published_us,
        message: dead.message.clone(),
    };
    let mut to = Vec::new();
    to.put_u32(dead.attempts);
    to.put_u64(dead.died_us);
    put_text(&mut to, &dead.cause);
    to.extend_from_slice(&stored.encode());
    to
}

pub(crate) fn decode_dead(id: MessageId, bytes: &[u8]) -> Result<Dead> {
    let mut from = Reader(bytes);
    let attempts = u32::from_be_bytes(from.array()?);
    let died_us = from.number()?;
    let cause = from.text()?;
    let stored = Stored::decode(from.0)?;
    Ok(Dead {
        id,
        cause,
        attempts,
        published_us: stored.published_us,
        died_us,
        message: stored.message,
    })
}

/// Two numbers beside each other.
pub(crate) fn pair(first: u64, second: u64) -> Vec<u8> {
    [first.to_be_bytes(), second.to_be_bytes()].concat()
}

pub(crate) fn read_pair(bytes: &[u8]) -> Result<(u64, u64)> {
    let mut from = Reader(bytes);
    Ok((from.number()?, from.number()?))
}

/// When what is stored here was published.
pub(crate) fn published_us(stored: &[u8]) -> Result<u64> {
    let mut from = Reader(stored);
    match from.byte()? {
        FORMAT => from.number(),
        _ => Err(damaged()),
    }
}

pub(crate) fn read_number(bytes: &[u8]) -> Result<u64> {
    Reader(bytes).number()
}

/// What a queue holds, with its last number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct State {
    pub(crate) last: u64,
    /// Bit n is set when a message of priority n was ever published.
    pub(crate) priorities: u64,
    pub(crate) stats: QueueStats,
}

impl State {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let s = &self.stats;
        let numbers = [
            self.last,
            self.priorities,
            s.messages,
            s.bytes,
            s.blocked,
            s.dead,
            s.dead_bytes,
            s.published,
            s.done,
        ];
        let mut to = vec![FORMAT];
        numbers.iter().for_each(|number| to.put_u64(*number));
        to
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        if from.byte()? != FORMAT {
            return Err(damaged());
        }
        Ok(Self {
            last: from.number()?,
            priorities: from.number()?,
            stats: QueueStats {
                messages: from.number()?,
                bytes: from.number()?,
                blocked: from.number()?,
                dead: from.number()?,
                dead_bytes: from.number()?,
                oldest_us: 0,
                published: from.number()?,
                done: from.number()?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn messages_read_back_and_damage_is_noticed() {
        let mut message = Message::new("正文")
            .in_group("组")
            .with_key("键")
            .with_priority(3)
            .after(Duration::ZERO);
        message.attributes.insert("名".into(), "值".into());
        let all = Stored {
            published_us: 5,
            message,
        };
        let none = Stored {
            published_us: 0,
            message: Message::default(),
        };
        for stored in [all, none] {
            let bytes = stored.encode();
            assert_eq!(Stored::decode(&bytes).unwrap(), stored);
            let dead = Dead {
                id: MessageId(9),
                cause: "因".into(),
                attempts: 2,
                published_us: stored.published_us,
                died_us: 7,
                message: stored.message.clone(),
            };
            assert_eq!(
                decode_dead(MessageId(9), &encode_dead(&dead)).unwrap(),
                dead
            );
            let header = bytes.len() - stored.message.body.len();
            for length in 0..header {
                assert!(Stored::decode(&bytes[..length]).is_err(), "{length}");
            }
        }
    }

    #[test]
    fn states_read_back() {
        let state = State {
            last: 1,
            priorities: 2,
            stats: QueueStats {
                messages: 3,
                bytes: 4,
                blocked: 5,
                dead: 6,
                dead_bytes: 7,
                oldest_us: 0,
                published: 8,
                done: 9,
            },
        };
        assert_eq!(State::decode(&state.encode()).unwrap(), state);
        assert!(State::decode(&state.encode()[..70]).is_err());
    }
}
