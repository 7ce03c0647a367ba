//! What a topic holds and where its subscriptions stand, as bytes.

use bytes::BufMut as _;
use gust_backend::topic::{Position, Subscription, TopicStats};
use gust_types::Result;

use crate::queue::codec::{FORMAT, Reader, damaged};

/// What a topic holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) bytes: u64,
    pub(super) oldest_us: u64,
    pub(super) newest_us: u64,
}

/// Where a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cursor {
    pub(super) at: Position,
    pub(super) missed: u64,
    pub(super) forwarded: u64,
}

fn encode<const N: usize>(numbers: [u64; N]) -> Vec<u8> {
    let mut to = Vec::with_capacity(1 + 8 * N);
    to.put_u8(FORMAT);
    numbers.iter().for_each(|number| to.put_u64(*number));
    to
}

fn decode<const N: usize>(bytes: &[u8]) -> Result<[u64; N]> {
    let mut from = Reader(bytes);
    if from.byte()? != FORMAT {
        return Err(damaged());
    }
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = from.number()?;
    }
    Ok(numbers)
}

// === impl State ===

impl State {
    pub(super) fn encode(&self) -> Vec<u8> {
        encode([
            self.first,
            self.last,
            self.bytes,
            self.oldest_us,
            self.newest_us,
        ])
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let [first, last, bytes, oldest_us, newest_us] = decode(bytes)?;
        Ok(Self {
            first,
            last,
            bytes,
            oldest_us,
            newest_us,
        })
    }

    pub(super) fn stats(&self) -> TopicStats {
        TopicStats {
            first: self.first,
            last: self.last,
            bytes: self.bytes,
            oldest_us: self.oldest_us,
            newest_us: self.newest_us,
        }
    }
}

impl Default for State {
    /// An empty topic: its first event is to have the position 1.
    fn default() -> Self {
        Self {
            first: 1,
            last: 0,
            bytes: 0,
            oldest_us: 0,
            newest_us: 0,
        }
    }
}

// === impl Cursor ===

impl Cursor {
    pub(super) fn encode(&self) -> Vec<u8> {
        encode([self.at.0, self.missed, self.forwarded])
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let [at, missed, forwarded] = decode(bytes)?;
        Ok(Self {
            at: Position(at),
            missed,
            forwarded,
        })
    }

    pub(super) fn show(&self, name: String, state: &State) -> Subscription {
        Subscription {
            name,
            cursor: self.at,
            lag: Subscription::lag(self.at, &state.stats()),
            missed: self.missed,
            forwarded: self.forwarded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_cursors_read_back_and_damage_is_noticed() {
        let state = State {
            first: 2,
            last: 9,
            bytes: 3,
            oldest_us: 4,
            newest_us: 5,
        };
        assert_eq!(State::decode(&state.encode()).unwrap(), state);
        let cursor = Cursor {
            at: Position(7),
            missed: 1,
            forwarded: 2,
        };
        assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        for length in 0..cursor.encode().len() {
            assert!(Cursor::decode(&cursor.encode()[..length]).is_err());
        }
        assert_eq!(cursor.show("s".into(), &state).lag, 2);
    }
}
