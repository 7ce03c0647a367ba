//! A topic in memory: the simplest thing that is right. [`Model`] has its time handed in and is what property tests
//! compare other topics with; [`MemoryTopic`] is the same behind the seam.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use gust_task::clock;
use gust_types::{Label, Result};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::{
    Appended, Forward, Logged, Position, ReadOptions, Start, Subscription, Topic, TopicSettings,
    TopicStats, check,
};
use crate::queue::{Message, Queue, QueueLimits, QueueSettings};

/// A topic as plain data.
#[derive(Debug, Default)]
pub struct Model {
    settings: TopicSettings,
    last: u64,
    last_us: u64,
    log: VecDeque<Logged>,
    keys: HashMap<String, (Position, u64)>,
    cursors: BTreeMap<String, Cursor>,
}

#[derive(Debug, Default)]
struct Cursor {
    at: Position,
    missed: u64,
    forwarded: u64,
}

// === impl Model ===

impl Model {
    /// An empty topic.
    pub fn new(settings: TopicSettings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Keeps all or none, and forgets what is over.
    pub fn publish(
        &mut self,
        events: Vec<Message>,
        remember: Option<Duration>,
        now_us: u64,
    ) -> Result<Vec<Appended>> {
        check::room(&self.settings, self.bytes(), &events)?;
        let until_us =
            now_us.saturating_add(check::micros(remember.unwrap_or(self.settings.dedup.0)));
        let keep = |event| self.keep(event, until_us, now_us);
        let appended = events.into_iter().map(keep).collect();
        self.trim(now_us);
        Ok(appended)
    }

    fn keep(&mut self, message: Message, until_us: u64, now_us: u64) -> Appended {
        if let Some(key) = &message.key
            && let Some((position, until_us)) = self.keys.get(key)
            && *until_us > now_us
        {
            let position = *position;
            return Appended {
                position,
                duplicate: true,
            };
        }
        self.last += 1;
        self.last_us = self.last_us.max(now_us);
        let position = Position(self.last);
        if let Some(key) = &message.key {
            self.keys.insert(key.clone(), (position, until_us));
        }
        self.log.push_back(Logged {
            position,
            published_us: self.last_us,
            message,
        });
        Appended {
            position,
            duplicate: false,
        }
    }

    /// Whether the topic can take these at all.
    pub(crate) fn fits(&self, events: &[Message]) -> Result<()> {
        check::room(&self.settings, self.bytes(), events)
    }

    /// Forgets what is over its time: events and keys.
    pub fn sweep(&mut self, now_us: u64) {
        self.trim(now_us);
        self.keys.retain(|_, (_, until_us)| *until_us > now_us);
    }

    /// Forgets what is over age or size, in one step.
    fn trim(&mut self, now_us: u64) {
        let mut count = 0;
        while let Some(oldest) = self.log.front()
            && check::is_over(&self.settings, self.bytes(), oldest.published_us, now_us)
            && count < check::STEP
        {
            self.log.pop_front();
            count += 1;
        }
    }

    /// Events behind a position.
    pub fn read(&self, after: Position, most: usize) -> Vec<Logged> {
        let behind = self.log.iter().filter(|logged| logged.position > after);
        behind.take(most).cloned().collect()
    }

    /// Where this stands.
    pub fn position(&self, start: Start) -> Result<Position> {
        let stats = self.stats();
        check::cursor(start, stats.first, stats.last, |time_us| {
            let mut times = self.log.iter();
            let found = times.find(|logged| logged.published_us >= time_us);
            Ok(found.map_or(self.last + 1, |logged| logged.position.0))
        })
    }

    /// Makes a subscription, unless it is there.
    pub fn subscribe(&mut self, name: &str, start: Start) -> Result<Subscription> {
        check::name(name)?;
        if !self.cursors.contains_key(name) {
            if self.cursors.len() >= check::SUBSCRIPTIONS {
                return Err(check::too_many());
            }
            let cursor = Cursor {
                at: self.position(start)?,
                ..Cursor::default()
            };
            self.cursors.insert(name.to_owned(), cursor);
        }
        self.subscription(name)
    }

    /// Moves a cursor.
    pub fn seek(&mut self, name: &str, start: Start) -> Result<Subscription> {
        self.subscription(name)?;
        let at = self.position(start)?;
        if let Some(cursor) = self.cursors.get_mut(name) {
            cursor.at = at;
        }
        self.subscription(name)
    }

    /// Removes a subscription.
    pub fn unsubscribe(&mut self, name: &str) -> bool {
        self.cursors.remove(name).is_some()
    }

    /// The subscriptions by name.
    pub fn subscriptions(&self) -> Vec<Subscription> {
        let names = self.cursors.keys();
        names
            .filter_map(|name| self.subscription(name).ok())
            .collect()
    }

    fn subscription(&self, name: &str) -> Result<Subscription> {
        let cursor = self.cursors.get(name).ok_or_else(|| check::unknown(name))?;
        Ok(Subscription {
            name: name.to_owned(),
            cursor: cursor.at,
            lag: Subscription::lag(cursor.at, &self.stats()),
            missed: cursor.missed,
            forwarded: cursor.forwarded,
        })
    }

    /// Whether this step can be taken.
    pub fn may_step(&self, step: &Forward) -> Result<()> {
        let cursor = self.cursors.get(&step.name);
        let cursor = cursor.ok_or_else(|| check::unknown(&step.name))?;
        if cursor.at != step.from {
            return Err(check::moved(cursor.at));
        }
        check::step(step.from, step.to, self.last)
    }

    /// Takes a step that can be taken and whose messages are published.
    pub fn step(&mut self, step: &Forward) {
        if let Some(cursor) = self.cursors.get_mut(&step.name) {
            cursor.at = step.to;
            cursor.missed += step.missed;
            cursor.forwarded += step.messages.len() as u64;
        }
    }

    /// Removes all events and moves the cursors behind them.
    pub fn purge(&mut self) -> u64 {
        for cursor in self.cursors.values_mut() {
            cursor.at = Position(self.last);
        }
        std::mem::take(&mut self.log).len() as u64
    }

    /// What it holds.
    pub fn stats(&self) -> TopicStats {
        let oldest = self.log.front();
        TopicStats {
            first: oldest.map_or(self.last + 1, |oldest| oldest.position.0),
            last: self.last,
            bytes: self.bytes(),
            oldest_us: oldest.map_or(0, |oldest| oldest.published_us),
            newest_us: self.last_us,
        }
    }

    fn bytes(&self) -> u64 {
        self.log.iter().map(|logged| logged.message.weight()).sum()
    }
}

/// Opens the queues that a topic forwards to.
pub type Open = dyn Fn(&Label, &QueueSettings) -> Result<Arc<dyn Queue>> + Send + Sync;

/// The model behind the seam.
pub struct MemoryTopic {
    model: Mutex<Model>,
    open: Box<Open>,
    changed: Notify,
    /// Held by whoever moves a cursor: publishing into a queue and moving are two steps here.
    moving: tokio::sync::Mutex<()>,
}

// === impl MemoryTopic ===

impl MemoryTopic {
    /// An empty topic that forwards to the queues behind `open`.
    pub fn new(settings: TopicSettings, open: Box<Open>) -> Self {
        Self {
            model: Mutex::new(Model::new(settings)),
            open,
            changed: Notify::new(),
            moving: tokio::sync::Mutex::default(),
        }
    }

    /// Nobody else does anything meanwhile.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock()
    }

    /// There is something new.
    pub(crate) fn ring(&self) {
        self.changed.notify_waiters();
    }

    async fn moved<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        let _moving = self.moving.lock().await;
        let moved = change(&mut self.model.lock());
        self.changed.notify_waiters();
        moved
    }
}

#[async_trait]
impl Topic for MemoryTopic {
    async fn publish(
        &self,
        events: Vec<Message>,
        remember: Option<Duration>,
    ) -> Result<Vec<Appended>> {
        check::events(&events, &self.limits())?;
        let now_us = clock::unix_micros();
        let appended = self.model.lock().publish(events, remember, now_us)?;
        self.changed.notify_waiters();
        Ok(appended)
    }

    async fn read(&self, options: ReadOptions) -> Result<Vec<Logged>> {
        let most = options.most.min(self.limits().take);
        let look = || {
            let mut model = self.model.lock();
            model.sweep(clock::unix_micros());
            model.read(options.after, most)
        };
        let changed = self.changed.notified();
        let found = look();
        if found.is_empty() && !options.wait.is_zero() {
            let _ = tokio::time::timeout(options.wait, changed).await;
            return Ok(look());
        }
        Ok(found)
    }

    async fn position(&self, start: Start) -> Result<Position> {
        self.model.lock().position(start)
    }

    async fn subscribe(&self, name: &str, start: Start) -> Result<Subscription> {
        self.moved(|model| model.subscribe(name, start)).await
    }

    async fn seek(&self, name: &str, start: Start) -> Result<Subscription> {
        self.moved(|model| model.seek(name, start)).await
    }

    async fn unsubscribe(&self, name: &str) -> Result<bool> {
        Ok(self.moved(|model| model.unsubscribe(name)).await)
    }

    async fn subscriptions(&self) -> Result<Vec<Subscription>> {
        Ok(self.model.lock().subscriptions())
    }

    async fn forward(&self, step: Forward) -> Result<()> {
        let _moving = self.moving.lock().await;
        self.model.lock().may_step(&step)?;
        if !step.messages.is_empty() {
            let queue = (self.open)(&step.queue, &step.settings)?;
            queue.publish(step.messages.clone()).await?;
        }
        self.model.lock().step(&step);
        Ok(())
    }

    async fn purge(&self) -> Result<u64> {
        Ok(self.moved(Model::purge).await)
    }

    async fn stats(&self) -> Result<TopicStats> {
        let mut model = self.model.lock();
        model.sweep(clock::unix_micros());
        Ok(model.stats())
    }

    fn limits(&self) -> QueueLimits {
        QueueLimits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{queue::memory::MemoryQueue, topic::suite};

    #[tokio::test]
    async fn passes_the_suite() {
        suite::run(async |settings| {
            let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(QueueSettings {
                max_bytes: suite::QUEUE_BYTES,
                ..QueueSettings::default()
            }));
            let given = queue.clone();
            let open = move |_: &Label, _: &QueueSettings| Ok(given.clone());
            suite::Made {
                topic: Arc::new(MemoryTopic::new(settings, Box::new(open))),
                queue,
            }
        })
        .await;
    }
}
