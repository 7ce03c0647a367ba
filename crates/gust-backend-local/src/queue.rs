//! Queues on fjall: they share the tree's file, the committing thread and its syncs with the key-value stores.
//!
//! - `keys.rs`, `codec.rs`, `index.rs`: how a queue lies in the tree.
//! - `ask.rs`: what is asked, and what comes of it.
//! - `group.rs`: what a group of requests comes to: pure but for reads.
//! - `sweep.rs`: forgets the dead of queues that nobody asks anything of.
//!
//! Memory does not grow with what a queue holds: everything is in the tree, and a consumer reads from its front.

pub(crate) mod ask;
pub(crate) mod codec;
pub(crate) mod group;
mod index;
pub(crate) mod keys;
pub(crate) mod sweep;
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
use gust_backend::queue::{
    Dead, Message, MessageId, Published, Queue, QueueLimits, QueueSettings, QueueStats, Receipt,
    Seen, TakeOptions, Taken, Timed, Verdict, check,
};
use gust_task::clock;
use gust_types::{Error, Label, ProjectName, Result};
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::{
    ask::{Done, Kind, Op, Target},
    codec::{State, Stored},
    index::Entry,
    keys::{Keys, Place},
};
use crate::store::{Committer, Engine, engine::Open};

/// Messages removed, published again or swept in one commit, at most.
const AT_ONCE: usize = 2000;
/// Messages of one step when each may be of the largest size.
const LARGE: usize = (check::LOOK_BYTES >> 20) as usize;
/// Handles of queues that nobody holds any more are let go when there are so many.
const HANDLES: usize = 1024;
/// Entries of the index that one look goes through to find where messages stand.
const WALKED: usize = 20_000;
/// Messages swept in one commit.
const SWEPT: usize = 200;
/// How often a queue that is full is gone through for what may be forgotten: that reads all its dead.
const TIDY: Duration = Duration::from_secs(60);
/// How often what is over its time is swept.
const SWEEP: Duration = Duration::from_secs(1);

/// All queues of a data folder.
pub(crate) struct Queues {
    engine: Arc<Engine>,
    committer: Arc<Committer>,
    open: Mutex<HashMap<Arc<[u8]>, Weak<Shared>>>,
}

/// What the handles of one queue share.
#[derive(Default)]
struct Shared {
    /// Rung when something may have become ready.
    bell: Arc<Notify>,
    /// No message has a number below this: saves walking over what was removed.
    first: AtomicU64,
    swept_us: AtomicU64,
    /// When it was last gone through for room.
    tidied_us: AtomicU64,
    /// How the last one who opened it wants it to behave.
    settings: Mutex<Option<Arc<QueueSettings>>>,
}

/// One queue.
pub(crate) struct LocalQueue {
    engine: Arc<Engine>,
    committer: Arc<Committer>,
    target: Target,
    shared: Arc<Shared>,
}

// === impl Queues ===

impl Queues {
    pub(crate) fn new(engine: Arc<Engine>, committer: Arc<Committer>) -> Self {
        Self {
            engine,
            committer,
            open: Mutex::default(),
        }
    }

    pub(crate) fn queue(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: &QueueSettings,
    ) -> LocalQueue {
        let name: Arc<[u8]> = keys::queue(project, name).into();
        let shared = {
            let mut open = self.open.lock();
            if open.len() >= HANDLES {
                open.retain(|_, shared| shared.strong_count() > 0);
            }
            let known = open.get(&name).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let shared = Arc::<Shared>::default();
                open.insert(name.clone(), Arc::downgrade(&shared));
                shared
            })
        };
        let settings = Arc::new(settings.clone());
        *shared.settings.lock() = Some(settings.clone());
        LocalQueue {
            engine: self.engine.clone(),
            committer: self.committer.clone(),
            target: Target {
                name,
                settings,
                bell: shared.bell.clone(),
            },
            shared,
        }
    }

    /// The queues of a project, but for the platform's own.
    pub(crate) fn names(&self, project: &ProjectName) -> Result<Vec<Label>> {
        names(&self.engine, keys::QUEUE, project)
    }

    /// The platform's own of a project.
    pub(crate) fn own(&self, project: &ProjectName) -> Result<Vec<Label>> {
        let all = all(&self.engine, keys::QUEUE)?.into_iter();
        let own =
            |(of, name): &(ProjectName, Label)| of == project && name.as_str().starts_with('.');
        Ok(all.filter(own).map(|(_, name)| name).collect())
    }

    /// Lets those go who wait.
    pub(crate) fn stop(&self) {
        for shared in self.open.lock().values().filter_map(Weak::upgrade) {
            shared.bell.notify_waiters();
        }
    }
}

/// The queues, or topics, of a project by name, but for the platform's own.
pub(crate) fn names(engine: &Engine, kind: u8, project: &ProjectName) -> Result<Vec<Label>> {
    let recovering = || Error::unavailable("the store is being recovered");
    let open = engine.try_get()?.ok_or_else(recovering)?;
    let (from, to) = keys::names(kind, project);
    let mut names = Vec::new();
    for found in open.queue_range(&from, &to) {
        let (key, _) = found?;
        let name = key
            .get(from.len()..)
            .and_then(|name| std::str::from_utf8(name).ok());
        names.extend(name.and_then(|name| Label::new(name).ok()));
    }
    Ok(names)
}

/// The queues, or topics, of all projects, the platform's own among them.
pub(crate) fn all(engine: &Engine, kind: u8) -> Result<Vec<(ProjectName, Label)>> {
    let recovering = || Error::unavailable("the store is being recovered");
    let open = engine.try_get()?.ok_or_else(recovering)?;
    let mut all = Vec::new();
    for found in open.queue_range(&[kind], &[kind + 1]) {
        let (key, _) = found?;
        all.extend(keys::named(&key));
    }
    Ok(all)
}

// === impl LocalQueue ===

impl LocalQueue {
    /// How the committing thread knows it.
    pub(crate) fn target(&self) -> Target {
        self.target.clone()
    }

    async fn ask(&self, op: Op) -> Result<Done> {
        self.committer.queue(self.target.clone(), op).await
    }

    async fn count(&self, op: Op) -> Result<u64> {
        match self.ask(op).await? {
            Done::Count(count) => Ok(count),
            _ => Err(mixed_up()),
        }
    }

    /// Asks for step after step, from key to key, until the end.
    async fn walk(&self, step: impl Fn(Option<Vec<u8>>) -> Op) -> Result<u64> {
        let (mut count, mut after) = (0, None);
        loop {
            let Done::Walked(done, next) = self.ask(step(after)).await? else {
                return Err(mixed_up());
            };
            count += done;
            if next.is_none() {
                return Ok(count);
            }
            after = next;
        }
    }

    /// The last number that was given.
    async fn last(&self) -> Result<MessageId> {
        let open = self.engine.get().await?;
        let state = match self.keys(&open)? {
            Some(keys) => open.queued(&keys.state())?,
            None => None,
        };
        let state = state.map(|bytes| State::decode(&bytes)).transpose()?;
        Ok(MessageId(state.unwrap_or_default().last))
    }

    /// The queue's number, if anything was ever asked of it.
    fn keys(&self, open: &Open) -> Result<Option<Keys>> {
        let number = open.queued(&self.target.name)?;
        let number = number.map(|bytes| codec::read_number(&bytes)).transpose()?;
        Ok(number.map(|number| Keys(number as u32)))
    }

    /// Whether it is worth while to go through the dead for room: not again and again.
    fn may_make_room(&self) -> bool {
        let now_us = clock::unix_micros();
        let before = self.shared.tidied_us.load(Relaxed);
        now_us.saturating_sub(before) >= TIDY.as_micros() as u64
    }

    /// Full: once more, when that was only of dead messages whose time is over.
    async fn make_room(&self, full: Error, messages: Vec<Message>) -> Result<Done> {
        self.shared.tidied_us.store(clock::unix_micros(), Relaxed);
        match self.forget().await? {
            0 => Err(full),
            _ => self.ask(Op::Publish(messages)).await,
        }
    }

    /// Now and then, on the way: what nobody asks of is swept slowly, by a thread of its own.
    async fn sweep(&self) -> Result<()> {
        let now_us = clock::unix_micros();
        let before = self.shared.swept_us.load(Relaxed);
        let due = now_us.saturating_sub(before) >= SWEEP.as_micros() as u64;
        let mine = due && {
            let swap = self
                .shared
                .swept_us
                .compare_exchange(before, now_us, Relaxed, Relaxed);
            swap.is_ok()
        };
        // A few rounds: what is left over is for the next second.
        for _ in 0..if mine { 10 } else { 0 } {
            if self.count(Op::Sweep { most: SWEPT }).await? < SWEPT as u64 {
                break;
            }
        }
        Ok(())
    }
}

fn mixed_up() -> Error {
    Error::internal("a queue got the answer to another question")
}

#[async_trait]
impl Queue for LocalQueue {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>> {
        check::batch(&messages, &self.limits())?;
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let again = self.may_make_room().then(|| messages.clone());
        let published = match (self.ask(Op::Publish(messages)).await, again) {
            (Err(full), Some(messages)) if full.kind == gust_types::Kind::Exhausted => {
                self.make_room(full, messages).await?
            }
            (published, _) => published?,
        };
        let Done::Published(published) = published else {
            return Err(mixed_up());
        };
        // What is published is published; the next one sweeps again.
        let _ = self.sweep().await;
        Ok(published)
    }

    async fn take(&self, options: TakeOptions) -> Result<Vec<Taken>> {
        let end = clock::now() + options.wait;
        let visibility = options
            .visibility
            .unwrap_or(self.target.settings.visibility.0);
        let most = options.most.min(self.limits().take);
        // Nothing is lost when it is not swept: the next one does.
        let _ = self.sweep().await;
        loop {
            // From here on, so that nothing rings unheard between looking and waiting.
            let mut bell = std::pin::pin!(self.shared.bell.notified());
            bell.as_mut().enable();
            let Done::Taken(taken, next_us) = self.ask(Op::Take { most, visibility }).await? else {
                return Err(mixed_up());
            };
            let taken = taken.receive();
            let now = clock::now();
            if !taken.is_empty() || now >= end {
                return Ok(taken);
            }
            let ready = next_us.map_or(Duration::MAX, |at| {
                Duration::from_micros(at.saturating_sub(clock::unix_micros()))
            });
            // Whichever is first: looking again tells.
            let _ = tokio::time::timeout(ready.min(end - now), bell).await;
        }
    }

    async fn settle(&self, verdicts: Vec<(Receipt, Verdict)>) -> Result<Vec<Result<Receipt>>> {
        if verdicts.is_empty() {
            return Ok(Vec::new());
        }
        let Done::Settled(answers) = self.ask(Op::Settle(verdicts)).await? else {
            return Err(mixed_up());
        };
        Ok(answers)
    }

    async fn release(&self) -> Result<u64> {
        let most = AT_ONCE;
        let count = self.walk(|after| Op::Release { after, most }).await?;
        Ok(count)
    }

    async fn peek(&self, after: Option<MessageId>, most: usize) -> Result<Vec<Seen>> {
        let open = self.engine.get().await?;
        let Some(keys) = self.keys(&open)? else {
            return Ok(Vec::new());
        };
        let (from, to) = keys.all_messages(after);
        let (mut seen, mut bytes) = (Vec::new(), 0);
        for found in open.queue_range(&from, &to).take(most.min(AT_ONCE)) {
            if bytes >= check::LOOK_BYTES {
                break;
            }
            let (key, value) = found?;
            bytes += value.len() as u64;
            let stored = Stored::decode(&value)?;
            seen.push(Seen {
                id: Keys::id_of(&key).ok_or_else(codec::damaged)?,
                attempts: 0,
                published_us: stored.published_us,
                at_us: None,
                message: stored.message,
            });
        }
        place(&open, keys, &self.target.settings, &mut seen)?;
        Ok(seen)
    }

    async fn dead(&self, after: Option<MessageId>, most: usize) -> Result<Vec<Dead>> {
        let open = self.engine.get().await?;
        let Some(keys) = self.keys(&open)? else {
            return Ok(Vec::new());
        };
        let (from, to) = keys.all_dead(after);
        let (mut dead, mut bytes) = (Vec::new(), 0);
        for found in open.queue_range(&from, &to).take(most.min(AT_ONCE)) {
            if bytes >= check::LOOK_BYTES {
                break;
            }
            let (key, value) = found?;
            bytes += value.len() as u64;
            let id = Keys::id_of(&key).ok_or_else(codec::damaged)?;
            dead.push(codec::decode_dead(id, &value)?);
        }
        Ok(dead)
    }

    async fn redrive(&self, ids: Option<Vec<MessageId>>, most: usize) -> Result<u64> {
        // What dies again meanwhile has a number above this.
        let upto = self.last().await?;
        let mut left = most;
        let mut count = 0;
        let mut ids = ids.map(|ids| ids.into_iter().take(most).collect::<Vec<_>>());
        loop {
            // How large they are is not known before they are read, and everybody else's writes wait meanwhile.
            let some = ids
                .as_mut()
                .map(|ids| ids.drain(..ids.len().min(LARGE)).collect());
            if left == 0 || some.as_ref().is_some_and(Vec::is_empty) {
                return Ok(count);
            }
            let op = Op::Redrive {
                most: left.min(AT_ONCE),
                upto,
                ids: some,
            };
            let done = self.count(op).await?;
            (count, left) = (count + done, left.saturating_sub(done as usize));
            if ids.is_none() && done == 0 {
                return Ok(count);
            }
        }
    }

    async fn purge(&self, dead: bool) -> Result<u64> {
        let upto = self.last().await?;
        let whole = |what| {
            move |after| Op::Purge {
                what,
                upto,
                after,
                most: AT_ONCE,
            }
        };
        if dead {
            return self.walk(whole(Kind::Dead)).await;
        }
        Ok(self.walk(whole(Kind::Blocked)).await? + self.walk(whole(Kind::Ready)).await?)
    }

    async fn stats(&self) -> Result<QueueStats> {
        let open = self.engine.get().await?;
        let Some(keys) = self.keys(&open)? else {
            return Ok(QueueStats::default());
        };
        let state = open.queued(&keys.state())?;
        let state = state.map(|bytes| State::decode(&bytes)).transpose()?;
        let mut stats = state.unwrap_or_default().stats;
        let first = self.shared.first.load(Relaxed);
        let (from, to) = keys.all_messages(first.checked_sub(1).map(MessageId));
        if let Some(found) = open.queue_range(&from, &to).next() {
            let (key, value) = found?;
            let id = Keys::id_of(&key).ok_or_else(codec::damaged)?;
            self.shared.first.fetch_max(id.0, Relaxed);
            stats.oldest_us = Stored::decode(&value)?.published_us;
        }
        Ok(stats)
    }

    async fn timed(&self, most: usize) -> Result<Timed> {
        let open = self.engine.get().await?;
        let Some(keys) = self.keys(&open)? else {
            return Ok(Timed::default());
        };
        let state = open.queued(&keys.state())?;
        let state = state.map(|bytes| State::decode(&bytes)).transpose()?;
        let (now_us, mut looked, mut timed) = (clock::unix_micros(), 0, Timed::default());
        for priority in group::priorities(&state.unwrap_or_default()) {
            // The index is in the order of time: what is ready is stepped over.
            let (from, to) = keys.ready_after(priority, now_us);
            for found in open.queue_range(&from, &to) {
                if looked == most {
                    timed.more = true;
                    return Ok(timed);
                }
                looked += 1;
                match Entry::decode(&found?.1)?.taken {
                    true => timed.taken += 1,
                    false => timed.delayed += 1,
                }
            }
        }
        Ok(timed)
    }

    fn limits(&self) -> QueueLimits {
        QueueLimits::default()
    }
}

/// Fills in where messages stand. Those that nobody has taken yet stand where they were put; for the others the index
/// is read through, once and not for ever: of one that is not found it stays unknown.
fn place(open: &Open, keys: Keys, settings: &QueueSettings, seen: &mut [Seen]) -> Result<()> {
    let mut elsewhere = HashMap::new();
    for (n, seen) in seen.iter_mut().enumerate() {
        let delay = seen.message.delay.unwrap_or(settings.delay.0);
        let place = Place {
            priority: seen.message.priority,
            at_us: seen.published_us + check::micros(delay),
            id: seen.id,
        };
        match open.queued(&keys.ready(place))? {
            Some(entry) => {
                seen.attempts = Entry::decode(&entry)?.attempts;
                seen.at_us = Some(place.at_us);
            }
            None => {
                elsewhere.insert(seen.id, n);
            }
        }
    }
    let (from, to) = keys.all_ready();
    let mut index = open.queue_range(&from, &to).take(WALKED);
    // The blocked are in no index: those that wait for their group are looked up before the index is.
    elsewhere.retain(|id, n| {
        let group = seen.get(*n).and_then(|seen| seen.message.group.as_deref());
        let blocked = group.map(|group| open.queued(&keys.blocked(group, *id)));
        !matches!(blocked, Some(Ok(Some(_))))
    });
    while !elsewhere.is_empty()
        && let Some(found) = index.next()
    {
        let (key, value) = found?;
        let place = keys.place_of(&key).ok_or_else(codec::damaged)?;
        if let Some(seen) = elsewhere.remove(&place.id).and_then(|n| seen.get_mut(n)) {
            seen.attempts = Entry::decode(&value)?.attempts;
            seen.at_us = Some(place.at_us);
        }
    }
    Ok(())
}
