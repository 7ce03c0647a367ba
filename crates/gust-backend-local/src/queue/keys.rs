//! How queues lie in their tree. Numbers are big-endian, so that they sort.
//!
//! | key | value |
//! |---|---|
//! | `q` project `0` queue | the queue's number |
//! | `n` | the last queue's number |
//! | `s` number | what the queue holds ([`super::state::State`]) |
//! | `m` number, id | a message |
//! | `r` number, 9 - priority, time, id | attempts: the index of what can be taken at that time |
//! | `h` number, group | id of the group's first message, which is in `r` |
//! | `b` number, group `0` id | priority and time: messages behind the first of their group |
//! | `x` number, id | a dead message |
//! | `u` number, key | id, time: keys that are remembered |
//! | `t` number, time, key | nothing: when to forget them |
//! | `T` project `0` topic | the topic's number, out of the same row |
//! | `l` number, position | an event of a topic |
//! | `c` number, name | a subscription of a topic |
//! | `f` number | up to which number, of which numbering, a change stream was fed |
//!
//! Of a topic, `s`, `u` and `t` are what they are of a queue.

use gust_backend::queue::{Message, MessageId};
use gust_types::{Label, ProjectName};

/// Key of the last queue's number.
pub(crate) const LAST_QUEUE: &[u8] = b"n";

/// A queue's name in the tree.
pub(crate) fn queue(project: &ProjectName, name: &Label) -> Vec<u8> {
    let mut key = vec![QUEUE];
    key.extend_from_slice(project.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(name.as_str().as_bytes());
    key
}

/// A topic's name in the tree.
pub(crate) fn topic(project: &ProjectName, name: &Label) -> Vec<u8> {
    let mut key = queue(project, name);
    if let Some(kind) = key.first_mut() {
        *kind = TOPIC;
    }
    key
}

/// What the keys of queues' names begin with, and those of topics' names.
pub(crate) const QUEUE: u8 = b'q';
pub(crate) const TOPIC: u8 = b'T';

/// Project and name out of the name of a queue, or topic, in the tree.
pub(crate) fn named(key: &[u8]) -> Option<(ProjectName, Label)> {
    let key = std::str::from_utf8(key.get(1..)?).ok()?;
    let (project, name) = key.split_once('\0')?;
    let name = match name.strip_prefix('.') {
        Some(reserved) => Label::reserved(reserved),
        None => Label::new(name).ok()?,
    };
    Some((ProjectName::new(project).ok()?, name))
}

/// All queues, or topics, of a project.
pub(crate) fn names(kind: u8, project: &ProjectName) -> (Vec<u8>, Vec<u8>) {
    let mut from = vec![kind];
    from.extend_from_slice(project.as_str().as_bytes());
    let mut to = from.clone();
    from.push(0);
    to.push(1);
    (from, to)
}

/// All queues, or topics, of the project that this one is of, without those that the platform keeps for itself: their
/// names begin with a dot, and no letter sorts before it.
pub(crate) fn siblings(queue: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let end = queue
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(queue.len());
    let project = queue.get(..end).unwrap_or_default();
    ([project, &[0, b'.' + 1]].concat(), [project, &[1]].concat())
}

/// Makes the keys of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Keys(pub(crate) u32);

/// Where a message stands in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) priority: u8,
    pub(crate) at_us: u64,
    pub(crate) id: MessageId,
}

impl Keys {
    fn start(self, kind: u8, room: usize) -> Vec<u8> {
        let mut key = Vec::with_capacity(5 + room);
        key.push(kind);
        key.extend_from_slice(&self.0.to_be_bytes());
        key
    }

    fn with_id(self, kind: u8, id: MessageId) -> Vec<u8> {
        let mut key = self.start(kind, 8);
        key.extend_from_slice(&id.0.to_be_bytes());
        key
    }

    fn with_text(self, kind: u8, text: &str, room: usize) -> Vec<u8> {
        let mut key = self.start(kind, text.len() + room);
        key.extend_from_slice(text.as_bytes());
        key
    }

    pub(crate) fn state(self) -> Vec<u8> {
        self.start(b's', 0)
    }

    pub(crate) fn message(self, id: MessageId) -> Vec<u8> {
        self.with_id(b'm', id)
    }

    pub(crate) fn dead(self, id: MessageId) -> Vec<u8> {
        self.with_id(b'x', id)
    }

    pub(crate) fn ready(self, place: Place) -> Vec<u8> {
        let mut key = self.start(b'r', 17);
        key.push(Message::MAX_PRIORITY.saturating_sub(place.priority));
        key.extend_from_slice(&place.at_us.to_be_bytes());
        key.extend_from_slice(&place.id.0.to_be_bytes());
        key
    }

    pub(crate) fn head(self, group: &str) -> Vec<u8> {
        self.with_text(b'h', group, 0)
    }

    pub(crate) fn blocked(self, group: &str, id: MessageId) -> Vec<u8> {
        let mut key = self.with_text(b'b', group, 9);
        key.push(0);
        key.extend_from_slice(&id.0.to_be_bytes());
        key
    }

    pub(crate) fn remembered(self, name: &str) -> Vec<u8> {
        self.with_text(b'u', name, 0)
    }

    pub(crate) fn forget(self, at_us: u64, name: &str) -> Vec<u8> {
        let mut key = self.start(b't', 8 + name.len());
        key.extend_from_slice(&at_us.to_be_bytes());
        key.extend_from_slice(name.as_bytes());
        key
    }

    /// The messages of a group behind this one.
    pub(crate) fn behind(self, group: &str, id: MessageId) -> (Vec<u8>, Vec<u8>) {
        let mut to = self.with_text(b'b', group, 1);
        to.push(1);
        (self.blocked(group, id), to)
    }

    /// Dead messages above a number.
    pub(crate) fn all_dead(self, after: Option<MessageId>) -> (Vec<u8>, Vec<u8>) {
        self.above(b'x', after)
    }

    /// Messages above a number.
    pub(crate) fn all_messages(self, after: Option<MessageId>) -> (Vec<u8>, Vec<u8>) {
        self.above(b'm', after)
    }

    fn above(self, kind: u8, after: Option<MessageId>) -> (Vec<u8>, Vec<u8>) {
        let from = MessageId(after.map_or(0, |id| id.0.saturating_add(1)));
        (
            self.with_id(kind, from),
            Keys(self.0.saturating_add(1)).start(kind, 0),
        )
    }

    /// All blocked messages, for a purge.
    pub(crate) fn all_blocked(self) -> (Vec<u8>, Vec<u8>) {
        (
            self.start(b'b', 0),
            Keys(self.0.saturating_add(1)).start(b'b', 0),
        )
    }

    /// All of the index, for a purge.
    pub(crate) fn all_ready(self) -> (Vec<u8>, Vec<u8>) {
        (
            self.start(b'r', 0),
            Keys(self.0.saturating_add(1)).start(b'r', 0),
        )
    }

    /// The index of one priority behind a time.
    pub(crate) fn ready_after(self, priority: u8, at_us: u64) -> (Vec<u8>, Vec<u8>) {
        let at = |at_us| {
            let id = MessageId(u64::MAX);
            self.ready(Place {
                priority,
                at_us,
                id,
            })
        };
        (at(at_us), at(u64::MAX))
    }

    /// An event of a topic.
    pub(crate) fn logged(self, position: u64) -> Vec<u8> {
        self.with_id(b'l', MessageId(position))
    }

    /// The events of a topic behind a position.
    pub(crate) fn all_logged(self, after: u64) -> (Vec<u8>, Vec<u8>) {
        self.above(b'l', Some(MessageId(after)))
    }

    /// Up to which number a change stream has the changes that come to it numbered.
    pub(crate) fn fed(self) -> Vec<u8> {
        self.start(b'f', 0)
    }

    /// A subscription of a topic.
    pub(crate) fn cursor(self, name: &str) -> Vec<u8> {
        self.with_text(b'c', name, 0)
    }

    /// The subscriptions of a topic.
    pub(crate) fn all_cursors(self) -> (Vec<u8>, Vec<u8>) {
        (
            self.start(b'c', 0),
            Keys(self.0.saturating_add(1)).start(b'c', 0),
        )
    }

    /// What is to be forgotten by this time.
    pub(crate) fn to_forget(self, now_us: u64) -> (Vec<u8>, Vec<u8>) {
        (
            self.forget(0, ""),
            self.forget(now_us.saturating_add(1), ""),
        )
    }

    pub(crate) fn place_of(self, key: &[u8]) -> Option<Place> {
        let (priority, rest) = key.strip_prefix(&self.start(b'r', 0)[..])?.split_first()?;
        let (at_us, id) = rest.split_first_chunk::<8>()?;
        Some(Place {
            priority: Message::MAX_PRIORITY.checked_sub(*priority)?,
            at_us: u64::from_be_bytes(*at_us),
            id: MessageId(u64::from_be_bytes(id.try_into().ok()?)),
        })
    }

    /// The number at the end of the key of a message, dead or blocked.
    pub(crate) fn id_of(key: &[u8]) -> Option<MessageId> {
        key.last_chunk::<8>()
            .map(|id| MessageId(u64::from_be_bytes(*id)))
    }

    /// The text at the end of a key: a subscription's name.
    pub(crate) fn text_of(key: &[u8]) -> Option<&str> {
        std::str::from_utf8(key.get(5..)?).ok()
    }

    /// The key that is forgotten, out of its entry.
    pub(crate) fn forgotten(key: &[u8]) -> Option<&str> {
        std::str::from_utf8(key.get(13..)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_sorts_by_priority_then_time_then_number() {
        let keys = Keys(7);
        let place = |priority, at_us, id| Place {
            priority,
            at_us,
            id: MessageId(id),
        };
        let sorted = [
            place(9, 300, 1),
            place(5, 100, 2),
            place(5, 100, 3),
            place(5, 256, 1),
            place(0, 1, 1),
        ];
        let made: Vec<_> = sorted.iter().map(|p| keys.ready(*p)).collect();
        assert!(made.is_sorted());
        for (place, key) in sorted.iter().zip(&made) {
            assert_eq!(keys.place_of(key), Some(*place));
            assert_eq!(Keys(8).place_of(key), None);
        }
        let (from, to) = keys.all_ready();
        assert!(made.iter().all(|key| from < *key && *key < to));
    }

    #[test]
    fn groups_never_share_a_key() {
        let keys = Keys(1);
        let first = keys.blocked("a", MessageId(u64::MAX));
        assert!(first < keys.blocked("a0", MessageId(0)));
        assert!(first < keys.blocked("a\u{1}", MessageId(0)));
        assert_eq!(Keys::id_of(&first), Some(MessageId(u64::MAX)));
        let entry = keys.forget(5, "键");
        assert_eq!(Keys::forgotten(&entry), Some("键"));
        let (from, to) = keys.to_forget(5);
        assert!(from < entry && entry < to);
    }
}
