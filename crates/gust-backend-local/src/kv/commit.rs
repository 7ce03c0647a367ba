//! The group commit: one thread writes for everybody, so that many durable writes share one sync.
//!
//! A disk syncs some hundred times a second, whoever asks. Callers queue their requests; the thread takes what is there,
//! evaluates it in order, writes one batch with one sync, and only then answers. While it waits for the disk the next
//! group gathers, so groups grow with the load and a lone writer waits for nobody.
//!
//! Easily confused: a *request* is what one caller asked, a *group* the requests of one commit. A request that is refused
//! (a condition does not hold) does not touch the others of its group.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use gust_backend::kv::{Version, Write};
use gust_task::clock;
use gust_types::{Error, Result};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    PATIENCE, Settings,
    engine::{Engine, Open, Refused, fault},
    group::{Group, Plan},
    keys::{self, StoreKey},
};

/// Requests in one group, and bytes of them.
const GROUP: usize = 4096;
const GROUP_BYTES: usize = 16 << 20;
/// Requests in the queue.
const QUEUE: usize = 16 << 10;
/// After a busy group, how long to let its writers come back before the next sync.
const LINGER: Duration = Duration::from_micros(50);
const LINGERS: usize = 6;
/// After a fault of the disk, how long writes are refused without trying.
const REST: Duration = Duration::from_millis(200);

/// What the stores have done since they were opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Requests acknowledged: batches and increments.
    pub writes: u64,
    /// Commits; each is one sync of the disk.
    pub commits: u64,
    /// Requests refused, for whatever reason.
    pub refused: u64,
    /// Expired values removed.
    pub swept: u64,
    /// Times the engine was opened again after a fault of the disk.
    pub reopened: u64,
}

#[derive(Default)]
struct Counters {
    writes: AtomicU64,
    commits: AtomicU64,
    refused: AtomicU64,
    swept: AtomicU64,
    reopened: AtomicU64,
}

/// The way to the committing thread.
pub(super) struct Committer {
    queue: Mutex<Option<mpsc::Sender<Queued>>>,
    /// One permit for each KiB that waits.
    room: Arc<Semaphore>,
    room_size: u32,
    counters: Arc<Counters>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A request with the room it takes.
struct Queued {
    request: Request,
    bytes: usize,
    _room: tokio::sync::OwnedSemaphorePermit,
}

enum Request {
    Write {
        store: StoreKey,
        batch: Vec<Write>,
        answer: Answer<Vec<Option<Version>>>,
    },
    Increment {
        store: StoreKey,
        key: String,
        delta: i64,
        answer: Answer<i64>,
    },
    Sweep {
        due: Vec<(u64, Vec<u8>)>,
        answer: Answer<u64>,
    },
}

type Answer<T> = oneshot::Sender<Result<T>>;

/// An answer that waits for the sync.
enum Ready {
    Write(Answer<Vec<Option<Version>>>, Vec<Option<Version>>),
    Increment(Answer<i64>, i64),
    Sweep(Answer<u64>, u64),
}

// === impl Committer ===

impl Committer {
    pub(super) fn start(engine: Arc<Engine>, settings: &Settings) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let counters = Arc::new(Counters::default());
        let room = (settings.queue.bytes() / 1024).clamp(1024, 1 << 22) as u32;
        let mut thread = Thread {
            engine,
            queue: receiver,
            counters: counters.clone(),
            commit: None,
            last_group: 0,
            resting: None,
        };
        let thread = std::thread::Builder::new()
            .name("kv-commit".to_owned())
            .spawn(move || thread.run())
            .map_err(|e| Error::internal("cannot start the committing thread").because(e))?;
        Ok(Self {
            queue: Mutex::new(Some(sender)),
            room: Arc::new(Semaphore::new(room as usize)),
            room_size: room,
            counters,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Commits a batch; answers when it is durable.
    pub(super) async fn write(
        &self,
        store: StoreKey,
        batch: Vec<Write>,
    ) -> Result<Vec<Option<Version>>> {
        let bytes = batch.iter().map(|w| w.key().len() + w.size() + 64).sum();
        let make = |answer| Request::Write {
            store,
            batch,
            answer,
        };
        self.ask(bytes, make).await
    }

    /// Commits an increment; answers when it is durable.
    pub(super) async fn increment(&self, store: StoreKey, key: String, delta: i64) -> Result<i64> {
        let make = |answer| Request::Increment {
            store,
            key,
            delta,
            answer,
        };
        self.ask(128, make).await
    }

    /// Removes what is due, from the sweeper's thread; answers how many values went.
    pub(super) fn sweep(&self, due: Vec<(u64, Vec<u8>)>) -> Result<u64> {
        let bytes = due.iter().map(|(_, key)| key.len() * 2).sum();
        let Ok(room) = self
            .room
            .clone()
            .try_acquire_many_owned(self.permits(bytes))
        else {
            // The stores are busy; what is swept later is invisible all the same.
            return Ok(0);
        };
        let (answer, reply) = oneshot::channel();
        let queued = Queued {
            request: Request::Sweep { due, answer },
            bytes,
            _room: room,
        };
        if self.sender()?.try_send(queued).is_err() {
            return Ok(0);
        }
        reply.blocking_recv().map_err(|_| closed())?
    }

    pub(super) fn stats(&self) -> Stats {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        Stats {
            writes: of(&self.counters.writes),
            commits: of(&self.counters.commits),
            refused: of(&self.counters.refused),
            swept: of(&self.counters.swept),
            reopened: of(&self.counters.reopened),
        }
    }

    /// Commits what is queued and ends.
    pub(super) fn stop(&self) {
        self.queue.lock().take();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the committing thread panicked");
        }
    }

    async fn ask<T>(&self, bytes: usize, make: impl FnOnce(Answer<T>) -> Request) -> Result<T> {
        let sender = self.sender()?;
        let (answer, reply) = oneshot::channel();
        let enter = async {
            let room = self.room.clone().acquire_many_owned(self.permits(bytes));
            let room = room.await.map_err(|_| closed())?;
            let place = sender.reserve().await.map_err(|_| closed())?;
            place.send(Queued {
                request: make(answer),
                bytes,
                _room: room,
            });
            Ok(())
        };
        match tokio::time::timeout(PATIENCE, enter).await {
            Ok(entered) => entered?,
            Err(_) => return Err(Error::unavailable("too many writes wait for the disk")),
        }
        // From here on the thread answers, whatever happens to the disk.
        reply.await.map_err(|_| closed())?
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes / 1024 + 1)
            .unwrap_or(u32::MAX)
            .min(self.room_size)
    }

    fn sender(&self) -> Result<mpsc::Sender<Queued>> {
        self.queue.lock().clone().ok_or_else(closed)
    }
}

fn closed() -> Error {
    Error::unavailable("key-value store is closed")
}

/// The committing thread's own.
struct Thread {
    engine: Arc<Engine>,
    queue: mpsc::Receiver<Queued>,
    counters: Arc<Counters>,
    /// The number of the last commit; `None` until it is read.
    commit: Option<u64>,
    last_group: usize,
    /// Since when writes are refused without trying, and why.
    resting: Option<(Instant, Error)>,
}

// === impl Thread ===

impl Thread {
    fn run(&mut self) {
        let mut group = Vec::new();
        while self.collect(&mut group) {
            self.last_group = group.len();
            self.commit(group.drain(..));
        }
    }

    /// Takes what is queued; false when everybody is gone.
    fn collect(&mut self, group: &mut Vec<Queued>) -> bool {
        let Some(first) = self.queue.blocking_recv() else {
            return false;
        };
        let mut bytes = first.bytes;
        group.push(first);
        for _ in 0..=LINGERS {
            while group.len() < GROUP && bytes < GROUP_BYTES {
                let Ok(next) = self.queue.try_recv() else {
                    break;
                };
                bytes += next.bytes;
                group.push(next);
            }
            // The writers of the last group are on their way back: a sync for a few of them would make the rest wait
            // for two. A lone writer never gets here.
            if self.last_group < 8 || group.len() * 10 >= self.last_group * 9 {
                break;
            }
            std::thread::sleep(LINGER);
        }
        true
    }

    fn commit(&mut self, group: impl Iterator<Item = Queued>) {
        let (ready, result) = match self.try_commit(group) {
            Ok(ready) => (ready, Ok(())),
            Err((ready, error)) => (ready, Err(error)),
        };
        let count = ready.iter().filter(|r| !r.is_sweep()).count() as u64;
        let counter = match &result {
            Ok(()) => &self.counters.writes,
            Err(_) => &self.counters.refused,
        };
        counter.fetch_add(count, Relaxed);
        for answer in ready {
            if let (Ready::Sweep(_, swept), Ok(())) = (&answer, &result) {
                self.counters.swept.fetch_add(*swept, Relaxed);
            }
            answer.send(result.as_ref().copied().map_err(again));
        }
    }

    /// Evaluates and writes. What comes back with an error holds answers that must not be given.
    fn try_commit(
        &mut self,
        group: impl Iterator<Item = Queued>,
    ) -> Result<Vec<Ready>, (Vec<Ready>, Error)> {
        let open = match self.open() {
            Ok(open) => open,
            Err(error) => {
                self.refuse(group, &error);
                return Ok(Vec::new());
            }
        };
        let number = self.commit.unwrap_or(0) + 1;
        let mut bytes = 0;
        let mut state = Group::new(&open, clock::unix_micros());
        let mut ready = Vec::new();
        for queued in group {
            bytes += queued.bytes as u64;
            ready.extend(self.evaluate(&mut state, queued.request));
        }
        let plan = state.plan(number);
        if plan.puts.is_empty() && plan.removals.is_empty() {
            return Ok(ready);
        }
        match self.write(open, plan, number, bytes) {
            Ok(()) => Ok(ready),
            Err(error) => Err((ready, error)),
        }
    }

    /// The engine, opened again if need be and not tried too often.
    fn open(&mut self) -> Result<Arc<Open>> {
        if let Some((since, error)) = &self.resting
            && since.elapsed() < REST
        {
            return Err(again(error));
        }
        let open = match self.engine.try_get()? {
            Some(open) => open,
            None => self.reopen()?,
        };
        if self.commit.is_none() {
            self.commit = Some(open.number(keys::COMMIT)?);
        }
        Ok(open)
    }

    fn refuse(&self, group: impl Iterator<Item = Queued>, error: &Error) {
        for queued in group {
            if !matches!(queued.request, Request::Sweep { .. }) {
                self.counters.refused.fetch_add(1, Relaxed);
            }
            queued.request.refuse(again(error));
        }
    }

    fn evaluate(&self, state: &mut Group<'_>, request: Request) -> Option<Ready> {
        let refused = |error: &Error| {
            tracing::trace!(error = error.chain(), "a write is refused");
            self.counters.refused.fetch_add(1, Relaxed);
        };
        match request {
            Request::Write {
                store,
                batch,
                answer,
            } => match state.write(&store, batch) {
                Ok(versions) => Some(Ready::Write(answer, versions)),
                Err(error) => {
                    refused(&error);
                    let _ = answer.send(Err(error));
                    None
                }
            },
            Request::Increment {
                store,
                key,
                delta,
                answer,
            } => match state.increment(&store, key, delta) {
                Ok(sum) => Some(Ready::Increment(answer, sum)),
                Err(error) => {
                    refused(&error);
                    let _ = answer.send(Err(error));
                    None
                }
            },
            Request::Sweep { due, answer } => {
                let mut swept = 0;
                for (expires_us, data) in due {
                    match state.sweep(expires_us, data) {
                        Ok(removed) => swept += u64::from(removed),
                        Err(error) => {
                            let _ = answer.send(Err(error));
                            return None;
                        }
                    }
                }
                Some(Ready::Sweep(answer, swept))
            }
        }
    }

    fn write(&mut self, open: Arc<Open>, plan: Plan, number: u64, bytes: u64) -> Result<()> {
        self.engine.disk.check(bytes)?;
        let result = open.commit(plan.clone());
        drop(open);
        let result = match result {
            // Nothing of it was written, so it can be written now.
            Err(Refused::Stopped) => self.reopen()?.commit(plan),
            result => result,
        };
        let result = match result {
            Ok(()) => Ok(()),
            Err(Refused::Stopped) => Err(Error::unavailable("key-value store does not recover")),
            Err(Refused::Half(error)) => self.find_out(number, fault("write", error)),
        };
        match &result {
            Ok(()) => {
                self.commit = Some(number);
                self.counters.commits.fetch_add(1, Relaxed);
            }
            Err(error) => self.rest(error),
        }
        result
    }

    /// After a commit that failed half-way: it is there as a whole or not at all, and its number tells which.
    fn find_out(&mut self, number: u64, error: Error) -> Result<()> {
        tracing::warn!(error = error.chain(), "a commit failed, opening again");
        let open = self.reopen().map_err(|e| {
            tracing::error!(error = e.chain(), "cannot open again after a failed commit");
            again(&error)
        })?;
        if open.number(keys::COMMIT)? == number {
            return Ok(());
        }
        Err(error)
    }

    fn reopen(&mut self) -> Result<Arc<Open>> {
        self.counters.reopened.fetch_add(1, Relaxed);
        self.commit = None;
        let open = self.engine.reopen().inspect_err(|e| self.rest(e))?;
        self.commit = Some(open.number(keys::COMMIT)?);
        Ok(open)
    }

    fn rest(&mut self, why: &Error) {
        self.resting = Some((clock::now(), again(why)));
    }
}

// === impl Request ===

impl Request {
    fn refuse(self, error: Error) {
        // A caller that has gone does not hear it.
        let _ = match self {
            Request::Write { answer, .. } => answer.send(Err(error)).is_ok(),
            Request::Increment { answer, .. } => answer.send(Err(error)).is_ok(),
            Request::Sweep { answer, .. } => answer.send(Err(error)).is_ok(),
        };
    }
}

// === impl Ready ===

impl Ready {
    fn is_sweep(&self) -> bool {
        matches!(self, Ready::Sweep(..))
    }

    fn send(self, result: Result<()>) {
        let _ = match self {
            Ready::Write(answer, versions) => answer.send(result.map(|()| versions)).is_ok(),
            Ready::Increment(answer, sum) => answer.send(result.map(|()| sum)).is_ok(),
            Ready::Sweep(answer, swept) => answer.send(result.map(|()| swept)).is_ok(),
        };
    }
}

/// The same error for one more caller: causes cannot be cloned, so they go as text.
fn again(error: &Error) -> Error {
    let mut copy = Error::new(error.kind, error.blame, error.message.clone());
    copy.hint.clone_from(&error.hint);
    match std::error::Error::source(error) {
        Some(cause) => copy.because(cause.to_string()),
        None => copy,
    }
}
