//! A unit of work on its way to the committing thread: checked whole, then evaluated whole.
//!
//! Checking changes nothing, so a unit that is refused leaves no trace in its group. Once everything holds nothing can
//! be refused any more: an error after that means that reading failed, and the group is not written.

use std::sync::Arc;

use gust_backend::{
    kv::{Condition, Write},
    queue::{Message, Receipt, Verdict},
};
use gust_types::{Error, Kind, Result};
use tokio::sync::Notify;

use super::commit::tell;
use crate::{
    kv::{group::Group, keys::StoreKey},
    queue::{ask as queue, group::Group as Queues},
    topic::ask as topic,
};

/// What one unit comes to, in the words of the tree.
pub(crate) struct Unit {
    pub(crate) taken: Option<(queue::Target, Vec<Receipt>)>,
    pub(crate) stores: Vec<Changes>,
    pub(crate) queues: Vec<(queue::Target, Vec<Message>)>,
    pub(crate) topics: Vec<(topic::Target, topic::Op)>,
    pub(crate) bytes: usize,
}

/// What changes in one store.
pub(crate) struct Changes {
    pub(crate) store: StoreKey,
    pub(crate) checks: Vec<(String, Condition)>,
    pub(crate) writes: Vec<Write>,
}

// === impl Unit ===

impl Unit {
    /// Whether it takes room on the disk.
    pub(crate) fn grows(&self) -> bool {
        let mut writes = self.stores.iter().flat_map(|changes| &changes.writes);
        !self.queues.is_empty()
            || !self.topics.is_empty()
            || writes.any(|write| matches!(write, Write::Put { .. }))
    }

    /// Whether somebody listens to a store that it changes.
    pub(crate) fn is_heard(&self, queues: &mut Queues<'_>) -> Result<bool> {
        for changes in &self.stores {
            if queues.listens(changes.store.stream())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Who is told afterwards.
    pub(crate) fn bells(&self) -> Vec<Arc<Notify>> {
        let taken = self.taken.iter().map(|(target, _)| target.bell.clone());
        let queues = self.queues.iter().map(|(target, _)| target.bell.clone());
        let topics = self.topics.iter().filter_map(|(t, op)| op.bell(t));
        taken.chain(queues).chain(topics).collect()
    }

    /// Evaluates it, all or nothing. An error of kind `Internal` means that the group is not to be written.
    pub(crate) fn evaluate(self, kv: &mut Group<'_>, queues: &mut Queues<'_>) -> Result<()> {
        self.check(kv, queues)?;
        self.apply(kv, queues).map_err(|error| match error.kind {
            Kind::Internal => error,
            _ => Error::internal("a unit of work was refused half-way").because(error),
        })
    }

    fn check(&self, kv: &mut Group<'_>, queues: &mut Queues<'_>) -> Result<()> {
        if let Some((target, receipts)) = &self.taken {
            queues.holds(target, receipts)?;
        }
        for changes in &self.stores {
            kv.check(&changes.store, &changes.checks)?;
        }
        // Those that would be made with it count with those that are there.
        let mut fresh = 0;
        for (target, messages) in &self.queues {
            queues.may_publish(target, messages, &mut fresh)?;
        }
        let mut fresh = 0;
        for (target, op) in &self.topics {
            queues.may_append(target, op, &mut fresh)?;
        }
        Ok(())
    }

    fn apply(self, kv: &mut Group<'_>, queues: &mut Queues<'_>) -> Result<()> {
        for changes in self.stores {
            let listens = queues.listens(changes.store.stream())?;
            let (_, told) = kv.write(&changes.store, changes.writes, listens)?;
            tell(queues, &changes.store, told)?;
        }
        for (target, messages) in self.queues {
            queues.evaluate(&target, queue::Op::Publish(messages))?;
        }
        for (target, op) in self.topics {
            queues.evaluate_topic(&target, op)?;
        }
        if let Some((target, receipts)) = self.taken {
            let done = |receipt| (receipt, Verdict::Done);
            let verdicts = receipts.into_iter().map(done).collect();
            let settled = queues.evaluate(&target, queue::Op::Settle(verdicts))?;
            if let queue::Done::Settled(answers) = settled {
                answers
                    .into_iter()
                    .try_for_each(|answer| answer.map(drop))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
