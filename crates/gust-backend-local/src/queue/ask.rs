//! What is asked of a queue, and what comes of it.

use std::{sync::Arc, time::Duration};

use gust_backend::queue::{
    Message, MessageId, Published, QueueSettings, Receipt, Taken, Verdict, check,
};
use gust_types::Result;
use tokio::sync::Notify;

/// A queue's name in the tree and how it behaves.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(super) name: Arc<[u8]>,
    pub(super) settings: Arc<QueueSettings>,
    /// Rung when something may have become ready.
    pub(crate) bell: Arc<Notify>,
}

/// What somebody asks of a queue.
pub(crate) enum Op {
    Publish(Vec<Message>),
    Take {
        most: usize,
        visibility: Duration,
    },
    Settle(Vec<(Receipt, Verdict)>),
    Redrive {
        ids: Option<Vec<MessageId>>,
        /// Of all, only up to this number.
        upto: MessageId,
        most: usize,
    },
    /// Removes messages up to this number, of so many entries after this key.
    Purge {
        what: Kind,
        upto: MessageId,
        after: Option<Vec<u8>>,
        most: usize,
    },
    /// Makes what is taken ready again, of so many entries after this key of the index.
    Release {
        after: Option<Vec<u8>>,
        most: usize,
    },
    /// Forgets keys and dead messages whose time is up.
    Sweep {
        most: usize,
    },
    /// Forgets these dead messages, those of them whose time is up.
    Forget {
        ids: Vec<MessageId>,
    },
}

/// What came of it.
pub(crate) enum Done {
    Published(Vec<Published>),
    /// And when the next message can be taken, if none could.
    Taken(Handed, Option<u64>),
    Settled(Vec<Result<Receipt>>),
    Count(u64),
    /// How many, and the key to go on after.
    Walked(u64, Option<Vec<u8>>),
}

/// Taken messages on their way to whoever asked for them.
#[derive(Default)]
pub(crate) struct Handed {
    taken: Vec<Taken>,
    back: Option<Box<dyn FnOnce(Vec<Receipt>) + Send>>,
}

/// Where messages lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Blocked,
    Ready,
    Dead,
}

// === impl Op ===

impl Op {
    /// Whether it takes room on the disk.
    pub(crate) fn grows(&self) -> bool {
        matches!(self, Self::Publish(_) | Self::Redrive { .. })
    }

    /// Whether something may be ready afterwards that was not before.
    pub(crate) fn rings(&self) -> bool {
        matches!(
            self,
            Self::Publish(_) | Self::Settle(_) | Self::Redrive { .. } | Self::Release { .. }
        )
    }

    /// Whether it has to be on the disk before it is answered.
    pub(crate) fn is_durable(&self) -> bool {
        !matches!(
            self,
            Self::Take { .. } | Self::Release { .. } | Self::Sweep { .. } | Self::Forget { .. }
        )
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Publish(messages) => messages.iter().map(|m| m.size() + 128).sum(),
            Self::Take { most, .. } | Self::Release { most, .. } | Self::Sweep { most } => {
                most * 64
            }
            Self::Settle(verdicts) => verdicts.len() * 64,
            Self::Forget { ids } => ids.len() * 64,
            Self::Redrive { .. } | Self::Purge { .. } => check::LOOK_BYTES as usize,
        }
    }
}

// === impl Handed ===

impl Handed {
    pub(super) fn new(taken: Vec<Taken>) -> Self {
        Self { taken, back: None }
    }

    /// What is to be done with the receipts when nobody receives these.
    pub(crate) fn guard(&mut self, back: impl FnOnce(Vec<Receipt>) + Send + 'static) {
        self.back = Some(Box::new(back));
    }

    /// Received.
    pub(super) fn receive(mut self) -> Vec<Taken> {
        self.back = None;
        std::mem::take(&mut self.taken)
    }
}

impl std::ops::Deref for Handed {
    type Target = [Taken];

    fn deref(&self) -> &[Taken] {
        &self.taken
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if let Some(back) = self.back.take()
            && !self.taken.is_empty()
        {
            back(self.taken.iter().map(|taken| taken.receipt).collect());
        }
    }
}
