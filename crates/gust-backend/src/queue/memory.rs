//! A queue in memory: the simplest thing that is right. [`Model`] has its time handed in and is what property tests
//! compare other queues with; [`MemoryQueue`] is the same behind the seam.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use gust_task::clock;
use gust_types::Result;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    Dead, Message, MessageId, Published, Queue, QueueLimits, QueueSettings, QueueStats, Receipt,
    Seen, TakeOptions, Taken, Timed, Verdict, check,
};

/// A queue as plain data.
#[derive(Debug, Default)]
pub struct Model {
    settings: QueueSettings,
    last: u64,
    messages: BTreeMap<MessageId, Kept>,
    dead: BTreeMap<MessageId, Dead>,
    keys: HashMap<String, (MessageId, u64)>,
    published: u64,
    done: u64,
}

#[derive(Debug)]
struct Kept {
    message: Message,
    published_us: u64,
    attempts: u32,
    at_us: u64,
    taken: bool,
}

// === impl Model ===

impl Model {
    /// An empty queue.
    pub fn new(settings: QueueSettings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Keeps all or none.
    pub fn publish(&mut self, messages: Vec<Message>, now_us: u64) -> Result<Vec<Published>> {
        let (messages_bytes, dead_bytes) = (self.bytes(), self.dead_bytes());
        let fresh: u64 = messages.iter().map(Message::weight).sum();
        if messages_bytes + dead_bytes + fresh > self.settings.max_bytes.0 {
            return Err(check::full(&self.settings));
        }
        Ok(messages.into_iter().map(|m| self.keep(m, now_us)).collect())
    }

    fn keep(&mut self, message: Message, now_us: u64) -> Published {
        if let Some(key) = &message.key
            && let Some((id, until_us)) = self.keys.get(key)
            && *until_us > now_us
        {
            return Published {
                id: *id,
                duplicate: true,
            };
        }
        self.last += 1;
        let id = MessageId(self.last);
        if let Some(key) = &message.key {
            let until_us = now_us + check::micros(self.settings.dedup.0);
            self.keys.insert(key.clone(), (id, until_us));
        }
        let delay = message.delay.unwrap_or(self.settings.delay.0);
        let kept = Kept {
            published_us: now_us,
            attempts: 0,
            taken: false,
            at_us: now_us + check::micros(delay),
            message,
        };
        self.messages.insert(id, kept);
        self.published += 1;
        Published {
            id,
            duplicate: false,
        }
    }

    /// Takes what is ready: the highest priority first, then what is ready longest, then the lowest number.
    pub fn take(&mut self, most: usize, visibility: Duration, now_us: u64) -> Vec<Taken> {
        let until_us = now_us + check::visibility_us(visibility);
        let mut taken = Vec::new();
        while taken.len() < most {
            let ready = self.messages.iter().filter(|(id, kept)| {
                kept.at_us <= now_us && self.head_of(&kept.message) == Some(**id)
            });
            let first = ready
                .min_by_key(|(id, kept)| {
                    (
                        Message::MAX_PRIORITY - kept.message.priority,
                        kept.at_us,
                        **id,
                    )
                })
                .map(|(id, _)| *id);
            let Some(id) = first else { break };
            if let Some(cause) = self.doomed(id, now_us) {
                self.bury(id, cause.to_owned(), now_us);
                continue;
            }
            let Some(kept) = self.messages.get_mut(&id) else {
                break;
            };
            kept.attempts += 1;
            kept.taken = true;
            kept.at_us = until_us;
            taken.push(Taken {
                receipt: Receipt {
                    id,
                    attempt: kept.attempts,
                    until_us,
                    priority: kept.message.priority,
                },
                published_us: kept.published_us,
                ready_us: ready_us(kept, &self.settings),
                message: kept.message.clone(),
            });
        }
        taken
    }

    /// The message that its group waits for; itself when it has none.
    fn head_of(&self, message: &Message) -> Option<MessageId> {
        let same = |kept: &Kept| match &message.group {
            Some(_) => kept.message.group == message.group,
            None => std::ptr::eq(&kept.message, message),
        };
        self.messages
            .iter()
            .find(|(_, kept)| same(kept))
            .map(|(id, _)| *id)
    }

    fn doomed(&self, id: MessageId, now_us: u64) -> Option<&'static str> {
        let kept = self.messages.get(&id)?;
        if now_us.saturating_sub(ready_us(kept, &self.settings))
            > check::micros(self.settings.max_age.0)
        {
            return Some(check::TOO_OLD);
        }
        (self.settings.attempts > 0 && kept.attempts >= self.settings.attempts)
            .then_some(check::TOO_OFTEN)
    }

    /// Settles one taking.
    pub fn settle(
        &mut self,
        mut receipt: Receipt,
        verdict: Verdict,
        now_us: u64,
    ) -> Result<Receipt> {
        let kept = self
            .messages
            .get_mut(&receipt.id)
            .ok_or_else(check::stale)?;
        if kept.attempts != receipt.attempt || kept.at_us != receipt.until_us {
            return Err(check::stale());
        }
        match verdict {
            Verdict::Done => {
                self.messages.remove(&receipt.id);
                self.done += 1;
            }
            Verdict::Extend(delay) => {
                kept.at_us = now_us + check::micros(delay);
                receipt.until_us = kept.at_us;
            }
            Verdict::Again(delay) => {
                kept.taken = false;
                kept.at_us = now_us + check::micros(delay);
                receipt.until_us = kept.at_us;
            }
            Verdict::Back(delay) => {
                kept.taken = false;
                kept.at_us = now_us + check::micros(delay);
                kept.attempts = kept.attempts.saturating_sub(1);
                receipt.until_us = kept.at_us;
                receipt.attempt = kept.attempts;
            }
            Verdict::Dead(cause) => self.bury(receipt.id, cause, now_us),
        }
        Ok(receipt)
    }

    /// What is taken is ready again.
    pub fn release(&mut self, now_us: u64) -> u64 {
        let taken = self
            .messages
            .values_mut()
            .filter(|kept| kept.taken && kept.at_us > now_us);
        taken
            .map(|kept| (kept.at_us, kept.taken) = (now_us, false))
            .count() as u64
    }

    fn bury(&mut self, id: MessageId, cause: String, now_us: u64) {
        if let Some(kept) = self.messages.remove(&id) {
            let dead = Dead {
                id,
                cause,
                attempts: kept.attempts,
                published_us: kept.published_us,
                died_us: now_us,
                message: kept.message,
            };
            self.dead.insert(id, dead);
        }
    }

    /// Dead messages become new ones.
    pub fn redrive(&mut self, ids: Option<Vec<MessageId>>, most: usize, now_us: u64) -> u64 {
        let ids = ids.unwrap_or_else(|| self.dead.keys().copied().collect());
        let mut count = 0;
        for id in ids.into_iter().take(most) {
            let Some(dead) = self.dead.remove(&id) else {
                continue;
            };
            let message = Message {
                key: None,
                delay: None,
                ..dead.message
            };
            self.keep(message, now_us);
            count += 1;
        }
        count
    }

    /// Removes all messages, or all dead ones.
    pub fn purge(&mut self, dead: bool) -> u64 {
        if dead {
            return std::mem::take(&mut self.dead).len() as u64;
        }
        std::mem::take(&mut self.messages).len() as u64
    }

    /// Messages above a number.
    pub fn peek(&self, after: Option<MessageId>, most: usize) -> Vec<Seen> {
        let above = self
            .messages
            .iter()
            .filter(|(id, _)| after.is_none_or(|a| **id > a));
        above
            .take(most)
            .map(|(id, kept)| Seen {
                id: *id,
                attempts: kept.attempts,
                published_us: kept.published_us,
                at_us: (self.head_of(&kept.message) == Some(*id)).then_some(kept.at_us),
                message: kept.message.clone(),
            })
            .collect()
    }

    /// The dead above a number.
    pub fn dead(&self, after: Option<MessageId>, most: usize) -> Vec<Dead> {
        let above = self
            .dead
            .values()
            .filter(|d| after.is_none_or(|a| d.id > a));
        above.take(most).cloned().collect()
    }

    /// What it holds.
    pub fn stats(&self) -> QueueStats {
        let blocked = |(id, kept): &(&MessageId, &Kept)| self.head_of(&kept.message) != Some(**id);
        QueueStats {
            messages: self.messages.len() as u64,
            bytes: self.bytes(),
            blocked: self.messages.iter().filter(blocked).count() as u64,
            dead: self.dead.len() as u64,
            dead_bytes: self.dead_bytes(),
            oldest_us: self
                .messages
                .values()
                .map(|kept| kept.published_us)
                .next()
                .unwrap_or(0),
            published: self.published,
            done: self.done,
        }
    }

    /// What is taken and what is delayed.
    pub fn timed(&self, most: usize, now_us: u64) -> Timed {
        let mut heads = self
            .messages
            .iter()
            .filter(|(id, kept)| kept.at_us > now_us && self.head_of(&kept.message) == Some(**id));
        let mut timed = Timed::default();
        for (_, kept) in heads.by_ref().take(most) {
            match kept.taken {
                true => timed.taken += 1,
                false => timed.delayed += 1,
            }
        }
        timed.more = heads.next().is_some();
        timed
    }

    /// When the next message can be taken that cannot be now.
    pub fn next_us(&self) -> Option<u64> {
        let heads = self
            .messages
            .iter()
            .filter(|(id, kept)| self.head_of(&kept.message) == Some(**id));
        heads.map(|(_, kept)| kept.at_us).min()
    }

    fn bytes(&self) -> u64 {
        self.messages
            .values()
            .map(|kept| kept.message.weight())
            .sum()
    }

    fn dead_bytes(&self) -> u64 {
        self.dead.values().map(|dead| dead.message.weight()).sum()
    }
}

fn ready_us(kept: &Kept, settings: &QueueSettings) -> u64 {
    kept.published_us + check::micros(kept.message.delay.unwrap_or(settings.delay.0))
}

/// The model behind the seam.
pub struct MemoryQueue {
    model: Mutex<Model>,
    settings: QueueSettings,
    changed: Arc<Notify>,
}

// === impl MemoryQueue ===

impl MemoryQueue {
    /// An empty queue.
    pub fn new(settings: QueueSettings) -> Self {
        Self {
            model: Mutex::new(Model::new(settings.clone())),
            settings,
            changed: Arc::default(),
        }
    }

    fn take_now(&self, options: &TakeOptions) -> Vec<Taken> {
        let visibility = options.visibility.unwrap_or(self.settings.visibility.0);
        let most = options.most.min(self.limits().take);
        self.model
            .lock()
            .take(most, visibility, clock::unix_micros())
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>> {
        check::batch(&messages, &self.limits())?;
        let published = self.model.lock().publish(messages, clock::unix_micros())?;
        self.changed.notify_waiters();
        Ok(published)
    }

    async fn take(&self, options: TakeOptions) -> Result<Vec<Taken>> {
        let end = clock::now() + options.wait;
        loop {
            let changed = self.changed.notified();
            let taken = self.take_now(&options);
            let now = clock::now();
            if !taken.is_empty() || now >= end {
                return Ok(taken);
            }
            let next = self.model.lock().next_us();
            let ready = next.map_or(Duration::MAX, |at| {
                Duration::from_micros(at.saturating_sub(clock::unix_micros()).max(1000))
            });
            // Whichever is first; that it was the time is no fault.
            let _ = tokio::time::timeout(ready.min(end - now), changed).await;
        }
    }

    async fn settle(&self, verdicts: Vec<(Receipt, Verdict)>) -> Result<Vec<Result<Receipt>>> {
        let mut model = self.model.lock();
        let now_us = clock::unix_micros();
        let answers = verdicts
            .into_iter()
            .map(|(receipt, verdict)| model.settle(receipt, verdict, now_us));
        let answers = answers.collect();
        self.changed.notify_waiters();
        Ok(answers)
    }

    async fn release(&self) -> Result<u64> {
        let count = self.model.lock().release(clock::unix_micros());
        self.changed.notify_waiters();
        Ok(count)
    }

    async fn peek(&self, after: Option<MessageId>, most: usize) -> Result<Vec<Seen>> {
        Ok(self.model.lock().peek(after, most))
    }

    async fn dead(&self, after: Option<MessageId>, most: usize) -> Result<Vec<Dead>> {
        Ok(self.model.lock().dead(after, most))
    }

    async fn redrive(&self, ids: Option<Vec<MessageId>>, most: usize) -> Result<u64> {
        let count = self.model.lock().redrive(ids, most, clock::unix_micros());
        self.changed.notify_waiters();
        Ok(count)
    }

    async fn purge(&self, dead: bool) -> Result<u64> {
        Ok(self.model.lock().purge(dead))
    }

    async fn stats(&self) -> Result<QueueStats> {
        Ok(self.model.lock().stats())
    }

    async fn timed(&self, most: usize) -> Result<Timed> {
        Ok(self.model.lock().timed(most, clock::unix_micros()))
    }

    fn limits(&self) -> QueueLimits {
        QueueLimits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::suite;

    #[tokio::test]
    async fn passes_the_suite() {
        suite::run(async |settings| Arc::new(MemoryQueue::new(settings)) as Arc<dyn Queue>).await;
    }
}
