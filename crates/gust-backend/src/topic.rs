//! The topic seam. A topic is a log of events that everybody may read, each at a pace of their own.
//!
//! A version in memory is in [`memory`]; the checks that every implementation passes are in [`suite`].
//!
//! Easily confused: a *position* is an event's number in its topic, from 1 on and without gaps. A *cursor* is the position
//! up to which somebody is done. A *subscription* is a cursor that is kept under a name. What the log keeps is a
//! [`Message`] of a queue without priority and delay: what is forwarded to a queue is the same thing there.
//!
//! A topic forgets what is over its age or its size, the oldest first. No cursor holds anything back; who falls behind that
//! far is told how much was missed.

pub mod check;
pub mod memory;
pub mod shape;
pub mod suite;

use std::time::Duration;

use async_trait::async_trait;
pub use gust_types::trigger::TopicSettings;
use gust_types::{Label, Result};
use serde::{Deserialize, Serialize};

use crate::queue::{Message, QueueLimits, QueueSettings};

/// An event's number in its topic: 1 for the first, without gaps, never used again. 0 is before all of them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
pub struct Position(pub u64);

/// What became of a published event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its position, or that of the event that has its key already.
    pub position: Position,
    /// It was there already and is not kept again.
    pub duplicate: bool,
}

/// An event in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Where it stands.
    pub position: Position,
    /// When it was published, Unix microseconds. Never before the one in front of it.
    pub published_us: u64,
    /// The event.
    pub message: Message,
}

/// How to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOptions {
    /// Only what stands behind this.
    pub after: Position,
    /// At most this many.
    pub most: usize,
    /// How long to wait for the first one.
    pub wait: Duration,
}

/// Where a subscription begins, or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what is published from now on.
    Latest,
    /// With the oldest event there is.
    Earliest,
    /// Behind this position.
    After(Position),
    /// With the first event that was published at this time or later, Unix microseconds.
    Since(u64),
}

/// A cursor under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its name in the topic.
    pub name: String,
    /// Everything up to here is done with.
    pub cursor: Position,
    /// Events that are kept behind the cursor.
    pub lag: u64,
    /// Events that were forgotten before it came to them.
    pub missed: u64,
    /// Events that were forwarded.
    pub forwarded: u64,
}

/// A step of a subscription: everything up to a position is done with, and this goes to its queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    /// The subscription.
    pub name: String,
    /// Where its cursor is expected to stand.
    pub from: Position,
    /// Where it is to stand.
    pub to: Position,
    /// How many events between the two were forgotten before anybody looked at them.
    pub missed: u64,
    /// What is published, of what stands between the two.
    pub messages: Vec<Message>,
    /// Where it goes: a queue of the topic's project.
    pub queue: Label,
    /// How that queue behaves.
    pub settings: QueueSettings,
}

/// What a topic holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TopicStats {
    /// The position of the oldest event; one more than `last` when there is none.
    pub first: u64,
    /// The position of the newest event there ever was; 0 when there was none.
    pub last: u64,
    /// Bytes of the events: attributes included, and 128 for each.
    pub bytes: u64,
    /// When the oldest event was published, Unix microseconds; 0 when there is none.
    pub oldest_us: u64,
    /// When the newest event was published, Unix microseconds; 0 when there never was one.
    pub newest_us: u64,
}

/// A log of events.
///
/// Everything that changes something answers when the change is durable, but for a [`Topic::forward`] of no messages:
/// should that be lost, the same events are looked at once more and nothing is forwarded twice.
#[async_trait]
pub trait Topic: Send + Sync {
    /// Keeps all of these events or none, in order. Their keys are remembered for so long; `None` for the topic's own.
    async fn publish(
        &self,
        events: Vec<Message>,
        remember: Option<Duration>,
    ) -> Result<Vec<Appended>>;
    /// Events in the order of their positions: fewer than asked for, but at least one, when they are large. Empty when
    /// there was none for as long as the caller wanted to wait, and before that when somebody moved a cursor: who follows
    /// one looks where it stands.
    async fn read(&self, options: ReadOptions) -> Result<Vec<Logged>>;
    /// The position that this stands for now: what comes behind it is what is meant.
    async fn position(&self, start: Start) -> Result<Position>;
    /// Makes a subscription that begins there. One that is there already stays where it is.
    async fn subscribe(&self, name: &str, start: Start) -> Result<Subscription>;
    /// Moves a subscription's cursor, forward or back. What its queue holds already stays there.
    async fn seek(&self, name: &str, start: Start) -> Result<Subscription>;
    /// Removes a subscription; answers whether it was there.
    async fn unsubscribe(&self, name: &str) -> Result<bool>;
    /// The subscriptions by name.
    async fn subscriptions(&self) -> Result<Vec<Subscription>>;
    /// Moves a cursor and publishes into the subscription's queue, both or neither. `Conflict` when the cursor is not
    /// where it was expected, `Exhausted` when the queue is full.
    async fn forward(&self, step: Forward) -> Result<()>;
    /// Removes all events that are there now, and moves the cursors behind them. Answers how many there were.
    async fn purge(&self) -> Result<u64>;
    /// What it holds.
    async fn stats(&self) -> Result<TopicStats>;
    /// What it accepts, as a queue says it; a caller refuses early.
    fn limits(&self) -> QueueLimits;
}

// === impl TopicStats ===

impl TopicStats {
    /// How many events there are.
    pub fn events(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }
}

// === impl Subscription ===

impl Subscription {
    /// How many events are kept behind a cursor.
    pub fn lag(cursor: Position, stats: &TopicStats) -> u64 {
        stats
            .last
            .saturating_sub(cursor.0.max(stats.first.saturating_sub(1)))
    }
}

impl Default for ReadOptions {
    /// A hundred from the beginning, no waiting.
    fn default() -> Self {
        Self {
            after: Position(0),
            most: 100,
            wait: Duration::ZERO,
        }
    }
}
