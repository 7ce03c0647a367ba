//! Topics on fjall: in the queues' tree, with their keys and their group (`queue/keys.rs`, `queue/group.rs`).
//!
//! - `ask.rs`: what is asked, and what comes of it.
//! - `codec.rs`: what a topic holds, as bytes.
//! - `group.rs`: what a group of requests comes to.
//! - `stream.rs`: the changes of what else is kept here, which the committing thread itself publishes.
//!
//! Memory does not grow with the log: a reader reads a page, and what is forgotten goes in bounded steps.

pub(crate) mod ask;
mod codec;
mod group;
pub(crate) mod stream;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use gust_backend::{
    changes::Watched,
    queue::{Message, QueueLimits, check as sizes},
    topic::{
        Appended, Forward, Logged, Position, ReadOptions, Start, Subscription, Topic,
        TopicSettings, TopicStats, check,
    },
};
use gust_task::clock;
use gust_types::{Error, Label, ProjectName, Result};
use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use self::codec::State;
use self::{
    ask::{Done, Op, Target},
    codec::Cursor,
};
use crate::{
    queue::{
        self, Queues,
        codec::{self as bytes, Stored},
        keys::{self, Keys},
    },
    store::{Committer, Engine, engine::Open},
};

/// Handles of topics that nobody holds any more are let go when there are so many.
const HANDLES: usize = 1024;
/// How often what is over its time is swept, and in how many steps.
const SWEEP: Duration = Duration::from_secs(1);
const STEPS: usize = 10;

/// All topics of a data folder.
pub(crate) struct Topics {
    engine: Arc<Engine>,
    committer: Arc<Committer>,
    queues: Arc<Queues>,
    handles: Arc<Handles>,
}

/// The topics that somebody has a handle of, and their bells.
#[derive(Default)]
pub(crate) struct Handles(Mutex<HashMap<Arc<[u8]>, Weak<Shared>>>);

/// What the handles of one topic share.
#[derive(Default)]
pub(crate) struct Shared {
    bell: Arc<Notify>,
    swept_us: AtomicU64,
}

/// One topic.
pub(crate) struct LocalTopic {
    engine: Arc<Engine>,
    committer: Arc<Committer>,
    queues: Arc<Queues>,
    project: ProjectName,
    target: Target,
    shared: Arc<Shared>,
}

// === impl Topics ===

impl Topics {
    pub(crate) fn new(
        engine: Arc<Engine>,
        committer: Arc<Committer>,
        queues: Arc<Queues>,
        handles: Arc<Handles>,
    ) -> Self {
        Self {
            engine,
            committer,
            queues,
            handles,
        }
    }

    pub(crate) fn topic(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: &TopicSettings,
    ) -> LocalTopic {
        let name: Arc<[u8]> = keys::topic(project, name).into();
        let shared = self.handles.shared(&name);
        LocalTopic {
            engine: self.engine.clone(),
            committer: self.committer.clone(),
            queues: self.queues.clone(),
            project: project.clone(),
            target: Target {
                name,
                settings: Arc::new(settings.clone()),
                bell: shared.bell.clone(),
            },
            shared,
        }
    }

    /// The topics of a project.
    pub(crate) fn names(&self, project: &ProjectName) -> Result<Vec<Label>> {
        queue::names(&self.engine, keys::TOPIC, project)
    }

    /// The change streams of all projects.
    pub(crate) fn streams(&self) -> Result<Vec<(ProjectName, Watched)>> {
        stream::names(&self.engine)
    }

    /// Lets those go who wait.
    pub(crate) fn stop(&self) {
        for shared in self.handles.0.lock().values().filter_map(Weak::upgrade) {
            shared.bell.notify_waiters();
        }
    }
}

// === impl Handles ===

impl Handles {
    fn shared(&self, name: &Arc<[u8]>) -> Arc<Shared> {
        let mut open = self.0.lock();
        if open.len() >= HANDLES {
            open.retain(|_, shared| shared.strong_count() > 0);
        }
        let known = open.get(name).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let shared = Arc::<Shared>::default();
            open.insert(name.clone(), Arc::downgrade(&shared));
            shared
        })
    }

    /// The bell of a topic, if anybody could hear it.
    pub(crate) fn bell(&self, name: &[u8]) -> Option<Arc<Notify>> {
        let shared = self.0.lock().get(name).and_then(Weak::upgrade)?;
        Some(shared.bell.clone())
    }
}

// === impl LocalTopic ===

impl LocalTopic {
    async fn ask(&self, op: Op) -> Result<Done> {
        self.committer.topic(self.target.clone(), op).await
    }

    async fn count(&self, op: Op) -> Result<u64> {
        match self.ask(op).await? {
            Done::Count(count) => Ok(count),
            _ => Err(mixed_up()),
        }
    }

    async fn place(&self, op: Op) -> Result<Subscription> {
        match self.ask(op).await? {
            Done::Subscription(subscription) => Ok(subscription),
            _ => Err(mixed_up()),
        }
    }

    /// What it holds, and under which keys, if it was ever made.
    fn state(&self, open: &Open) -> Result<Option<(Keys, State)>> {
        let Some(number) = open.queued(&self.target.name)? else {
            return Ok(None);
        };
        let keys = Keys(bytes::read_number(&number)? as u32);
        let state = open.queued(&keys.state())?;
        let state = state.map(|bytes| State::decode(&bytes)).transpose()?;
        Ok(Some((keys, state.unwrap_or_default())))
    }

    async fn page(&self, after: Position, most: usize) -> Result<Vec<Logged>> {
        let open = self.engine.get().await?;
        let Some((keys, state)) = self.state(&open)? else {
            return Ok(Vec::new());
        };
        // Not over what was removed before the first one.
        let after = after.0.max(state.first.saturating_sub(1));
        let (from, to) = keys.all_logged(after);
        let (mut page, mut size) = (Vec::new(), 0);
        for found in open.queue_range(&from, &to).take(most) {
            if size >= sizes::LOOK_BYTES {
                break;
            }
            let (key, value) = found?;
            size += value.len() as u64;
            let stored = Stored::decode(&value)?;
            page.push(Logged {
                position: Position(Keys::id_of(&key).ok_or_else(bytes::damaged)?.0),
                published_us: stored.published_us,
                message: stored.message,
            });
        }
        Ok(page)
    }

    /// Now and then, on the way: what nobody asks of needs no sweeping.
    async fn sweep(&self) {
        let now_us = clock::unix_micros();
        let before = self.shared.swept_us.load(Relaxed);
        let due = now_us.saturating_sub(before) >= SWEEP.as_micros() as u64;
        let swap = || {
            let of = &self.shared.swept_us;
            of.compare_exchange(before, now_us, Relaxed, Relaxed)
        };
        if !due || swap().is_err() {
            return;
        }
        let most = check::STEP;
        for _ in 0..STEPS {
            // What is left over, or fails, is for the next second.
            if !matches!(self.count(Op::Sweep { most }).await, Ok(1..)) {
                return;
            }
        }
    }
}

fn mixed_up() -> Error {
    Error::internal("a topic got the answer to another question")
}

#[async_trait]
impl Topic for LocalTopic {
    async fn publish(
        &self,
        events: Vec<Message>,
        remember: Option<Duration>,
    ) -> Result<Vec<Appended>> {
        check::events(&events, &self.limits())?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let Done::Appended(appended) = self.ask(Op::Publish { events, remember }).await? else {
            return Err(mixed_up());
        };
        self.sweep().await;
        Ok(appended)
    }

    async fn read(&self, options: ReadOptions) -> Result<Vec<Logged>> {
        let most = options.most.min(self.limits().take);
        self.sweep().await;
        // From here on, so that nothing rings unheard between looking and waiting.
        let mut bell = std::pin::pin!(self.shared.bell.notified());
        bell.as_mut().enable();
        let page = self.page(options.after, most).await?;
        if !page.is_empty() || options.wait.is_zero() {
            return Ok(page);
        }
        // Whichever is first: looking again tells.
        let _ = tokio::time::timeout(options.wait, bell).await;
        self.page(options.after, most).await
    }

    async fn position(&self, start: Start) -> Result<Position> {
        let open = self.engine.get().await?;
        let Some((keys, state)) = self.state(&open)? else {
            return check::cursor(start, 1, 0, |_| Ok(1));
        };
        check::cursor(start, state.first, state.last, |time_us| {
            check::since(state.first, state.last, time_us, |position| {
                match open.queued(&keys.logged(position))? {
                    Some(stored) => bytes::published_us(&stored),
                    // Forgotten since: older than everything that is there.
                    None => Ok(0),
                }
            })
        })
    }

    async fn subscribe(&self, name: &str, start: Start) -> Result<Subscription> {
        check::name(name)?;
        let name = name.to_owned();
        self.place(Op::Subscribe { name, start }).await
    }

    async fn seek(&self, name: &str, start: Start) -> Result<Subscription> {
        let name = name.to_owned();
        self.place(Op::Seek { name, start }).await
    }

    async fn unsubscribe(&self, name: &str) -> Result<bool> {
        match self.ask(Op::Unsubscribe(name.to_owned())).await? {
            Done::Was(was) => Ok(was),
            _ => Err(mixed_up()),
        }
    }

    async fn subscriptions(&self) -> Result<Vec<Subscription>> {
        let open = self.engine.get().await?;
        let Some((keys, state)) = self.state(&open)? else {
            return Ok(Vec::new());
        };
        let (from, to) = keys.all_cursors();
        let mut all = Vec::new();
        for found in open.queue_range(&from, &to) {
            let (key, value) = found?;
            let name = Keys::text_of(&key).ok_or_else(bytes::damaged)?;
            all.push(Cursor::decode(&value)?.show(name.to_owned(), &state));
        }
        Ok(all)
    }

    async fn forward(&self, step: Forward) -> Result<()> {
        sizes::batch(&step.messages, &self.limits())?;
        let queue = self
            .queues
            .queue(&self.project, &step.queue, &step.settings);
        match self
            .ask(Op::Forward(Box::new(step), queue.target()))
            .await?
        {
            Done::Forwarded => Ok(()),
            _ => Err(mixed_up()),
        }
    }

    async fn purge(&self) -> Result<u64> {
        // What is published meanwhile stays.
        let upto = self.position(Start::Latest).await?;
        let (mut count, most) = (0, check::STEP);
        loop {
            let done = self.count(Op::Purge { upto, most }).await?;
            count += done;
            if done == 0 {
                return Ok(count);
            }
        }
    }

    async fn stats(&self) -> Result<TopicStats> {
        self.sweep().await;
        let open = self.engine.get().await?;
        let state = self.state(&open)?.map(|(_, state)| state);
        Ok(state.unwrap_or_default().stats())
    }

    fn limits(&self) -> QueueLimits {
        QueueLimits::default()
    }
}
