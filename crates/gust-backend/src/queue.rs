//! The queue seam. A message is taken by one consumer at a time, and gone when that consumer says so.
//!
//! Required: eleven methods, one for each thing that is done to messages. A version in memory is in [`memory`]; the checks that every implementation passes are in
//! [`suite`].
//!
//! Easily confused: a message is *ready* (somebody may take it now), *delayed* (later), *taken* (a consumer has it until
//! its time is up) or *dead* (given up, kept aside with the cause). A *receipt* stands for one taking of one message;
//! once the message was taken again, the old receipt is worth nothing.
//!
//! Messages of one *group* are taken one at a time, in the order in which they were published; groups do not wait for
//! each other. Messages without a group come in the order of their publishing as far as priority, delay and repeated
//! deliveries allow.

pub mod check;
pub mod event;
pub mod memory;
pub mod suite;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use gust_types::Result;
pub use gust_types::trigger::QueueSettings;
use serde::{Deserialize, Serialize};

/// A message's number in its queue: grows, never used again.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
pub struct MessageId(pub u64);

/// What somebody publishes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Names and values beside the body.
    pub attributes: BTreeMap<String, String>,
    /// The bytes.
    pub body: Bytes,
    /// Messages of one group are handled one after the other.
    pub group: Option<String>,
    /// Published again under the same key within [`QueueSettings::dedup`], it is not kept again.
    pub key: Option<String>,
    /// 0 to [`Message::MAX_PRIORITY`]; higher is taken first.
    pub priority: u8,
    /// Not to be taken before that long; `None` for the queue's own.
    pub delay: Option<Duration>,
}

/// What became of a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its number, or that of the message that has its key already.
    pub id: MessageId,
    /// It was there already and is not kept again.
    pub duplicate: bool,
}

/// Stands for one taking of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The message.
    pub id: MessageId,
    /// Which taking.
    pub attempt: u32,
    /// Until when it is the consumer's, Unix microseconds.
    pub until_us: u64,
    /// Its priority.
    pub priority: u8,
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// To be given back with the verdict.
    pub receipt: Receipt,
    /// When it was published, Unix microseconds.
    pub published_us: u64,
    /// When it could first be taken: its age counts from there.
    pub ready_us: u64,
    /// The message. Its delay is what it was published with.
    pub message: Message,
}

/// How to take messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeOptions {
    /// At most this many.
    pub most: usize,
    /// How long they are the consumer's; `None` for the queue's own.
    pub visibility: Option<Duration>,
    /// How long to wait for the first one.
    pub wait: Duration,
}

/// What is to become of a message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Done: it is gone.
    Done,
    /// Not done: to be taken again after this long.
    Again(Duration),
    /// Not tried: to be taken again after this long, and this taking does not count as an attempt.
    Back(Duration),
    /// Still at it: the consumer's for this much longer, from now.
    Extend(Duration),
    /// Given up: kept among the dead with this cause.
    Dead(String),
}

/// A message that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// Its number.
    pub id: MessageId,
    /// Why.
    pub cause: String,
    /// How often it was taken.
    pub attempts: u32,
    /// When it was published, Unix microseconds.
    pub published_us: u64,
    /// When it was given up, Unix microseconds.
    pub died_us: u64,
    /// The message.
    pub message: Message,
}

/// A message that was looked at without being taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub id: MessageId,
    /// How often it was taken.
    pub attempts: u32,
    /// When it was published, Unix microseconds.
    pub published_us: u64,
    /// When it can be taken, Unix microseconds; `None` while another of its group is before it.
    pub at_us: Option<u64>,
    /// The message.
    pub message: Message,
}

/// What a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QueueStats {
    /// Messages that are not dead.
    pub messages: u64,
    /// Their bytes: attributes included, and 128 for each message.
    pub bytes: u64,
    /// Of the messages, those that wait for their group.
    pub blocked: u64,
    /// Messages that were given up.
    pub dead: u64,
    /// Bytes of those.
    pub dead_bytes: u64,
    /// When the oldest message was published, Unix microseconds; 0 when there is none.
    pub oldest_us: u64,
    /// Messages published since the queue was made.
    pub published: u64,
    /// Messages done since the queue was made.
    pub done: u64,
}

/// Of the messages that are not ready, those that wait for their time: see [`Queue::timed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timed {
    /// A consumer has them.
    pub taken: u64,
    /// Nobody has them, and nobody may take them yet.
    pub delayed: u64,
    /// There are more than were looked at.
    pub more: bool,
}

/// What a queue accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Bytes of a message, attributes included.
    pub message: usize,
    /// Messages published in one batch.
    pub batch: usize,
    /// Bytes of a batch.
    pub batch_bytes: usize,
    /// Messages taken at once.
    pub take: usize,
    /// Bytes of a group, and of a key.
    pub name: usize,
}

/// A queue of messages.
///
/// `publish`, `settle`, `redrive` and `purge` answer when the change is durable. A taking need not be durable: after a
/// crash the message is there again, which is what at-least-once means.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Keeps all of these messages or none, in order.
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>>;
    /// Takes messages that are ready. Empty when there was none for as long as the caller wanted to wait.
    async fn take(&self, options: TakeOptions) -> Result<Vec<Taken>>;
    /// Says what is to become of messages. One answer each: the receipt that is good from now on (another one after
    /// [`Verdict::Extend`]), or `NotFound` when the receipt is worth nothing any more.
    async fn settle(&self, verdicts: Vec<(Receipt, Verdict)>) -> Result<Vec<Result<Receipt>>>;
    /// Makes everything that is taken ready again, for whoever knows that its consumers are gone: a node that has just
    /// started. Attempts stay. Answers how many messages there were.
    async fn release(&self) -> Result<u64>;
    /// Looks at messages above a number, in the order of their numbers, without taking them. Fewer than asked for, but at
    /// least one, when they are large.
    async fn peek(&self, after: Option<MessageId>, most: usize) -> Result<Vec<Seen>>;
    /// Looks at the dead above a number.
    async fn dead(&self, after: Option<MessageId>, most: usize) -> Result<Vec<Dead>>;
    /// Publishes dead messages again, under new numbers and with no attempts behind them: these, or with `None` the
    /// first `most`. Answers how many there were.
    async fn redrive(&self, ids: Option<Vec<MessageId>>, most: usize) -> Result<u64>;
    /// Removes all messages that are there now, or all dead ones. Answers how many there were.
    async fn purge(&self, dead: bool) -> Result<u64>;
    /// What it holds.
    async fn stats(&self) -> Result<QueueStats>;
    /// Counts what is taken and what is delayed, but for what waits for its group. It looks at each of them, at `most`.
    async fn timed(&self, most: usize) -> Result<Timed>;
    /// What it accepts; a caller refuses early.
    fn limits(&self) -> QueueLimits;
}

// === impl Message ===

impl Message {
    /// The highest priority.
    pub const MAX_PRIORITY: u8 = 9;

    /// A message of these bytes.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// In this group.
    pub fn in_group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Under this key.
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With this priority.
    pub fn with_priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Not before this long.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// What it counts as in its queue: its size, and what keeping any message takes.
    pub fn weight(&self) -> u64 {
        self.size() as u64 + 128
    }

    /// Bytes of body, attributes, group and key.
    pub fn size(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(n, v)| n.len() + v.len()).sum();
        let names =
            self.group.as_ref().map_or(0, String::len) + self.key.as_ref().map_or(0, String::len);
        self.body.len() + attributes + names
    }
}

impl Default for TakeOptions {
    /// Ten, the queue's own visibility, no waiting.
    fn default() -> Self {
        Self {
            most: 10,
            visibility: None,
            wait: Duration::ZERO,
        }
    }
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            message: 1 << 20,
            batch: 1000,
            batch_bytes: 8 << 20,
            take: 1000,
            name: 256,
        }
    }
}
