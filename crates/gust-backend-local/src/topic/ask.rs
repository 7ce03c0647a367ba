//! What is asked of a topic, and what comes of it.

use std::{sync::Arc, time::Duration};

use gust_backend::{
    queue::{Message, check},
    topic::{Appended, Forward, Position, Start, Subscription, TopicSettings},
};
use tokio::sync::Notify;

use crate::queue::ask as queue;

/// A topic's name in the tree and how it behaves.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(super) name: Arc<[u8]>,
    pub(super) settings: Arc<TopicSettings>,
    /// Rung when there is something new to read, or a cursor was moved.
    pub(super) bell: Arc<Notify>,
}

/// What somebody asks of a topic.
pub(crate) enum Op {
    Publish {
        events: Vec<Message>,
        remember: Option<Duration>,
    },
    Subscribe {
        name: String,
        start: Start,
    },
    Seek {
        name: String,
        start: Start,
    },
    Unsubscribe(String),
    /// With the queue that it goes to.
    Forward(Box<Forward>, queue::Target),
    /// Changes with their numbers, of a numbering of this name: those that the stream does not have yet.
    Feed {
        epoch: String,
        events: Vec<(u64, Message)>,
    },
    /// Removes events up to this position, so many of them.
    Purge {
        upto: Position,
        most: usize,
    },
    /// Forgets events and keys whose time is up, so many of them.
    Sweep {
        most: usize,
    },
}

/// What came of it.
pub(crate) enum Done {
    Appended(Vec<Appended>),
    Subscription(Subscription),
    Was(bool),
    Forwarded,
    Count(u64),
}

// === impl Target ===

impl Target {
    /// A topic that nobody has a handle of here: whoever reads it is rung for by the committing thread.
    pub(crate) fn new(name: Arc<[u8]>, settings: TopicSettings) -> Self {
        Self {
            name,
            settings: Arc::new(settings),
            bell: Arc::default(),
        }
    }
}

// === impl Op ===

impl Op {
    /// Whether it takes room on the disk.
    pub(crate) fn grows(&self) -> bool {
        match self {
            Self::Publish { .. } | Self::Subscribe { .. } | Self::Feed { .. } => true,
            Self::Forward(step, _) => !step.messages.is_empty(),
            _ => false,
        }
    }

    /// Whether it has to be on the disk before it is answered.
    pub(crate) fn is_durable(&self) -> bool {
        match self {
            Self::Forward(step, _) => !step.messages.is_empty(),
            Self::Sweep { .. } => false,
            _ => true,
        }
    }

    /// What is rung afterwards.
    pub(crate) fn bell(&self, target: &Target) -> Option<Arc<Notify>> {
        match self {
            Self::Publish { .. } | Self::Seek { .. } | Self::Purge { .. } => {
                Some(target.bell.clone())
            }
            Self::Forward(step, queue) if !step.messages.is_empty() => Some(queue.bell.clone()),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let of = |messages: &[Message]| messages.iter().map(|m| m.size() + 128).sum();
        match self {
            Self::Publish { events, .. } => of(events),
            Self::Forward(step, _) => of(&step.messages),
            Self::Feed { events, .. } => events.iter().map(|(_, m)| m.size() + 128).sum(),
            Self::Purge { .. } => check::LOOK_BYTES as usize,
            Self::Sweep { most } => most * 64,
            _ => 256,
        }
    }
}
