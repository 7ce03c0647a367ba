//! The group commit: one thread writes for everybody, so that many durable writes share one sync.
//!
//! A disk syncs some hundred times a second, whoever asks. Callers queue their requests; the thread takes what is there,
//! evaluates it in order, writes one batch with one sync, and only then answers. While it waits for the disk the next
//! group gathers, so groups grow with the load and a lone writer waits for nobody.
//!
//! Who keeps something here may have listeners: what a request changes goes to the change stream in the same group, so that
//! what is committed and what is told are one commit (`topic/stream.rs`).
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

use gust_backend::{
    kv::{Version, Write},
    queue::Verdict,
};
use gust_task::clock;
use gust_types::{ByteSize, Error, Kind, Result};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use super::{
    PATIENCE,
    engine::{Batch, Engine, Open, Refused, fault},
    unit::Unit,
};
use crate::{
    blob::ask as blob,
    disk::{self, Ballast},
    kv::{
        self,
        group::{Group, Told},
        keys::{self, StoreKey},
    },
    queue::{
        ask::{Done, Op, Target},
        group as queue,
    },
    topic::{Handles, ask as topic},
};

/// Requests in one group, and bytes of them.
const GROUP: usize = 4096;
const GROUP_BYTES: usize = 16 << 20;
/// Requests in the queue.
const QUEUE: usize = 16 << 10;
/// After a busy group, how long to let its writers come back before the next sync.
const LINGER: Duration = Duration::from_micros(50);
const LINGERS: usize = 6;
/// What a commit that takes no room needs on the disk all the same: the entries of its requests, which are some times as large
/// as these, but for those that only look at much.
const MARGIN: u64 = 256 << 10;
const ENTRIES: u64 = 4;
const SMALL: usize = 64 << 10;
/// After a fault of the disk, how long writes are refused without trying.
const REST: Duration = Duration::from_millis(200);

/// What the stores have done since they were opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Requests acknowledged: batches and increments.
    pub writes: u64,
    /// Syncs of the disk; each is one commit of many requests.
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
pub(crate) struct Committer {
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
    /// What is ours takes no room.
    _room: Option<tokio::sync::OwnedSemaphorePermit>,
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
    Queue {
        target: Target,
        op: Op,
        answer: Answer<Done>,
    },
    Topic {
        target: topic::Target,
        op: topic::Op,
        answer: Answer<topic::Done>,
    },
    Unit {
        unit: Box<Unit>,
        answer: Answer<()>,
    },
    Blob {
        op: Box<blob::Op>,
        answer: Answer<blob::Done>,
    },
}

type Answer<T> = oneshot::Sender<Result<T>>;

/// An answer that waits for the sync.
enum Ready {
    Write(Answer<Vec<Option<Version>>>, Vec<Option<Version>>),
    Increment(Answer<i64>, i64),
    Sweep(Answer<u64>, u64),
    /// With the bell that is rung afterwards, when something may have become ready.
    Queue(Answer<Done>, Done, Option<Arc<Notify>>),
    Topic(Answer<topic::Done>, topic::Done, Option<Arc<Notify>>),
    Unit(Answer<()>, Vec<Arc<Notify>>),
    Blob(Answer<blob::Done>, blob::Done),
}

// === impl Committer ===

impl Committer {
    pub(crate) fn start(
        engine: Arc<Engine>,
        queue: ByteSize,
        topics: Arc<Handles>,
    ) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let counters = Arc::new(Counters::default());
        let room = (queue.bytes() / 1024).clamp(1024, 1 << 22) as u32;
        let mut thread = Thread {
            ballast: engine.ballast(),
            engine,
            queue: receiver,
            counters: counters.clone(),
            commit: None,
            queues: queue::Cache::default(),
            topics,
            ours: sender.downgrade(),
            last_group: 0,
            resting: None,
        };
        let thread = std::thread::Builder::new()
            .name("commit".to_owned())
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
    pub(crate) async fn write(
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
    pub(crate) async fn increment(&self, store: StoreKey, key: String, delta: i64) -> Result<i64> {
        let make = |answer| Request::Increment {
            store,
            key,
            delta,
            answer,
        };
        self.ask(128, make).await
    }

    /// Asks something of a queue; answers when it is done, and durable if it has to be.
    pub(crate) async fn queue(&self, target: Target, op: Op) -> Result<Done> {
        let bytes = op.bytes();
        let make = |answer| Request::Queue { target, op, answer };
        self.ask(bytes, make).await
    }

    /// Asks something of a topic; answers when it is done, and durable if it has to be.
    pub(crate) async fn topic(&self, target: topic::Target, op: topic::Op) -> Result<topic::Done> {
        let bytes = op.bytes();
        let make = |answer| Request::Topic { target, op, answer };
        self.ask(bytes, make).await
    }

    /// Commits a unit of work; answers when it is durable, and has done nothing when it answers with an error.
    pub(crate) async fn unit(&self, unit: Unit) -> Result<()> {
        let bytes = unit.bytes;
        let unit = Box::new(unit);
        self.ask(bytes, |answer| Request::Unit { unit, answer })
            .await
    }

    /// Gives a change stream what it does not have yet, from the feeding thread; answers when it is durable. That thread
    /// has one such request at a time, and no other room to wait in.
    pub(crate) fn feed(&self, target: topic::Target, op: topic::Op) -> Result<()> {
        let bytes = op.bytes();
        let (answer, reply) = oneshot::channel();
        let queued = Queued {
            request: Request::Topic { target, op, answer },
            bytes,
            _room: None,
        };
        let sender = self.sender()?;
        sender.blocking_send(queued).map_err(|_| closed())?;
        reply.blocking_recv().map_err(|_| closed())?.map(drop)
    }

    /// Asks something of a bucket; answers when it is done, and durable if it has to be.
    pub(crate) async fn blob(&self, op: blob::Op) -> Result<blob::Done> {
        let bytes = op.bytes();
        let op = Box::new(op);
        self.ask(bytes, |answer| Request::Blob { op, answer }).await
    }

    /// The same from a thread of ours, unless the store is busy: what it does can wait.
    pub(crate) fn blob_now(&self, op: blob::Op) -> Result<Option<blob::Done>> {
        let bytes = op.bytes();
        let op = Box::new(op);
        self.ask_now(bytes, |answer| Request::Blob { op, answer })
    }

    /// Removes what is due, from the sweeper's thread; answers how many values went.
    pub(crate) fn sweep(&self, due: Vec<(u64, Vec<u8>)>) -> Result<u64> {
        let bytes = due.iter().map(|(_, key)| key.len() * 2).sum();
        // Should the stores be busy: what is swept later is invisible all the same.
        let swept = self.ask_now(bytes, |answer| Request::Sweep { due, answer })?;
        Ok(swept.unwrap_or(0))
    }

    /// Asks something of a queue from a thread that may wait; `None` when the stores are too busy for what can be done
    /// later.
    pub(crate) fn queue_from_a_thread(&self, target: Target, op: Op) -> Result<Option<Done>> {
        let bytes = op.bytes();
        let Ok(room) = self
            .room
            .clone()
            .try_acquire_many_owned(self.permits(bytes))
        else {
            return Ok(None);
        };
        let (answer, reply) = oneshot::channel();
        let queued = Queued {
            request: Request::Queue { target, op, answer },
            bytes,
            _room: Some(room),
        };
        if self.sender()?.try_send(queued).is_err() {
            return Ok(None);
        }
        reply.blocking_recv().map_err(|_| closed())?.map(Some)
    }

    pub(crate) fn stats(&self) -> Stats {
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
    pub(crate) fn stop(&self) {
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
                _room: Some(room),
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

    /// `None` when the store is busy.
    fn ask_now<T>(
        &self,
        bytes: usize,
        make: impl FnOnce(Answer<T>) -> Request,
    ) -> Result<Option<T>> {
        let room = self.room.clone();
        let Ok(room) = room.try_acquire_many_owned(self.permits(bytes)) else {
            return Ok(None);
        };
        let (answer, reply) = oneshot::channel();
        let queued = Queued {
            request: make(answer),
            bytes,
            _room: Some(room),
        };
        if self.sender()?.try_send(queued).is_err() {
            return Ok(None);
        }
        reply.blocking_recv().map_err(|_| closed())?.map(Some)
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
    Error::unavailable("the store is closed")
}

/// The committing thread's own.
struct Thread {
    engine: Arc<Engine>,
    queue: mpsc::Receiver<Queued>,
    counters: Arc<Counters>,
    /// The number of the last commit; `None` until it is read.
    commit: Option<u64>,
    /// What is known of the queues.
    queues: queue::Cache,
    /// Whom to ring for when a change stream grows.
    topics: Arc<Handles>,
    /// The way back to this thread, for as long as others have one.
    ours: mpsc::WeakSender<Queued>,
    /// Room to give up when the disk is so full that not even what gives room back can be written.
    ballast: Ballast,
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

    fn commit(&mut self, group: std::vec::Drain<'_, Queued>) {
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
        group: std::vec::Drain<'_, Queued>,
    ) -> Result<Vec<Ready>, (Vec<Ready>, Error)> {
        let open = match self.open() {
            Ok(open) => open,
            Err(error) => {
                self.refuse(group, &error);
                return Ok(Vec::new());
            }
        };
        let number = self.commit.unwrap_or(0) + 1;
        let bytes = group
            .as_slice()
            .iter()
            .map(|queued| queued.bytes as u64)
            .sum();
        // What takes room is refused while there is none; what gives it back is not.
        let room = self.engine.disk.check(bytes);
        if room.is_ok() {
            self.ballast.keep(&self.engine.disk);
        } else if let Err(error) = self.make_room(group.as_slice()) {
            self.refuse(group, &error);
            return Ok(Vec::new());
        }
        let mut cache = std::mem::take(&mut self.queues);
        let now_us = clock::unix_micros();
        let mut states = (
            Group::new(&open, now_us),
            queue::Group::new(&open, &mut cache, now_us),
        );
        let (mut ready, mut durable, mut grows, mut broken) = (Vec::new(), false, false, None);
        for queued in group {
            let listens = match listens(&mut states.1, &queued.request) {
                Ok(listens) => listens,
                Err(error) => {
                    self.refuse(std::iter::once(queued), &error);
                    continue;
                }
            };
            // What is told takes room, also of what is gone.
            let more = listens || queued.request.grows();
            if let Some(error) = room.as_ref().err().filter(|_| more) {
                self.refuse(std::iter::once(queued), error);
                continue;
            }
            durable |= queued.request.is_durable();
            grows |= more;
            match self.evaluate(&mut states, queued.request, listens) {
                Ok(answer) => ready.extend(answer),
                Err(error) => broken = Some(error),
            }
        }
        let (kv, mut queues) = states;
        let told = std::mem::take(&mut queues.told);
        let queues = queues.finish();
        if let Some(error) = broken {
            return Err((ready, error));
        }
        let batch = Batch {
            plan: kv.plan(number, !queues.is_empty()),
            queues,
            durable,
        };
        if batch.plan.puts.is_empty() && batch.plan.removals.is_empty() {
            self.queues = cache;
            return Ok(ready);
        }
        let mut result = self.write(open, batch.clone(), number);
        if let Err(error) = &result
            && error.kind == Kind::Exhausted
            && !grows
            && self.ballast.give()
        {
            self.resting = None;
            result = self.open().and_then(|open| self.write(open, batch, number));
        }
        match result {
            Ok(()) => {
                self.queues = cache;
                let bells = told.iter().filter_map(|name| self.topics.bell(name));
                bells.for_each(|bell| bell.notify_waiters());
                Ok(ready)
            }
            Err(error) => Err((ready, error)),
        }
    }

    /// Gives up of the ballast until what takes no room can be written; an error when there is nothing left to give. Without
    /// this the engine would run into the end of the disk, and be opened again each time.
    fn make_room(&mut self, group: &[Queued]) -> Result<()> {
        let mut small = group
            .iter()
            .filter(|queued| !queued.request.grows())
            .peekable();
        if small.peek().is_none() {
            return Ok(());
        }
        let bytes: usize = small.map(|queued| queued.bytes.min(SMALL)).sum();
        while !self.engine.disk.has(MARGIN + ENTRIES * bytes as u64) {
            if !self.ballast.give() {
                return Err(disk::full());
            }
        }
        Ok(())
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

    /// What is taken comes back when nobody receives it: who left took nothing.
    fn guarded(&self, target: &Target, done: Done) -> Done {
        let Done::Taken(mut taken, next_us) = done else {
            return done;
        };
        let (ours, target) = (self.ours.clone(), target.clone());
        taken.guard(move |receipts| {
            let Some(ours) = ours.upgrade() else { return };
            let back = |receipt| (receipt, Verdict::Back(Duration::ZERO));
            let request = Request::Queue {
                target,
                op: Op::Settle(receipts.into_iter().map(back).collect()),
                answer: oneshot::channel().0,
            };
            // Should there be no place, it comes back when its time is up.
            let _ = ours.try_send(Queued {
                request,
                bytes: 0,
                _room: None,
            });
        });
        Done::Taken(taken, next_us)
    }

    /// An error means that nothing of the group is to be written.
    fn evaluate(
        &self,
        (kv, queues): &mut (Group<'_>, queue::Group<'_>),
        request: Request,
        listens: bool,
    ) -> Result<Option<Ready>> {
        let refused = |error: &Error| {
            tracing::trace!(error = error.chain(), "a write is refused");
            self.counters.refused.fetch_add(1, Relaxed);
        };
        Ok(match request {
            Request::Write {
                store,
                batch,
                answer,
            } => match kv.write(&store, batch, listens) {
                Ok((versions, told)) => match tell(queues, &store, told) {
                    Ok(()) => Some(Ready::Write(answer, versions)),
                    Err(error) => return Err(unanswered(answer, error)),
                },
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
            } => match kv.increment(&store, key, delta, listens) {
                Ok((sum, told)) => match tell(queues, &store, told) {
                    Ok(()) => Some(Ready::Increment(answer, sum)),
                    Err(error) => return Err(unanswered(answer, error)),
                },
                Err(error) => {
                    refused(&error);
                    let _ = answer.send(Err(error));
                    None
                }
            },
            Request::Sweep { due, answer } => {
                let mut swept = 0;
                for (expires_us, data) in due {
                    match kv.sweep(expires_us, data.clone()) {
                        Ok(Some(version)) => {
                            swept += 1;
                            tell_expired(queues, &data, version)?;
                        }
                        Ok(None) => {}
                        Err(error) => {
                            let _ = answer.send(Err(error));
                            return Ok(None);
                        }
                    }
                }
                Some(Ready::Sweep(answer, swept))
            }
            Request::Queue { target, op, answer } => {
                let bell = op.rings().then(|| target.bell.clone());
                match queues.evaluate(&target, op) {
                    Ok(done) => Some(Ready::Queue(answer, self.guarded(&target, done), bell)),
                    Err(error) => {
                        refused(&error);
                        let broken = (error.kind == Kind::Internal).then(|| again(&error));
                        let _ = answer.send(Err(error));
                        return broken.map_or(Ok(None), Err);
                    }
                }
            }
            Request::Unit { unit, answer } => {
                let bells = unit.bells();
                match unit.evaluate(kv, queues) {
                    Ok(()) => Some(Ready::Unit(answer, bells)),
                    Err(error) => {
                        refused(&error);
                        let broken = (error.kind == Kind::Internal).then(|| again(&error));
                        let _ = answer.send(Err(error));
                        return broken.map_or(Ok(None), Err);
                    }
                }
            }
            Request::Topic { target, op, answer } => {
                let bell = op.bell(&target);
                match queues.evaluate_topic(&target, op) {
                    Ok(done) => Some(Ready::Topic(answer, done, bell)),
                    Err(error) => {
                        refused(&error);
                        let broken = (error.kind == Kind::Internal).then(|| again(&error));
                        let _ = answer.send(Err(error));
                        return broken.map_or(Ok(None), Err);
                    }
                }
            }
            Request::Blob { op, answer } => {
                let stream = op.bucket().map(|bucket| bucket.stream().clone());
                let evaluated = queues.evaluate_blob(*op, listens);
                match (evaluated, stream) {
                    (Ok((done, told)), Some(stream)) => match queues.tell(&stream, told) {
                        Ok(()) => Some(Ready::Blob(answer, done)),
                        Err(error) => return Err(unanswered(answer, error)),
                    },
                    (Ok((done, _)), None) => Some(Ready::Blob(answer, done)),
                    (Err(error), _) => {
                        refused(&error);
                        let broken = (error.kind == Kind::Internal).then(|| again(&error));
                        let _ = answer.send(Err(error));
                        return broken.map_or(Ok(None), Err);
                    }
                }
            }
        })
    }

    fn write(&mut self, open: Arc<Open>, batch: Batch, number: u64) -> Result<()> {
        let syncs = u64::from(batch.durable);
        let result = open.commit(batch.clone());
        drop(open);
        let result = match result {
            // Nothing of it was written, so it can be written now.
            Err(Refused::Stopped) => {
                self.engine.suspect();
                self.reopen()?.commit(batch)
            }
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
                self.counters.commits.fetch_add(syncs, Relaxed);
            }
            Err(error) => self.rest(error),
        }
        result
    }

    /// After a commit that failed half-way: it is there as a whole or not at all, and its number tells which. What is
    /// there has not been synced yet.
    fn find_out(&mut self, number: u64, error: Error) -> Result<()> {
        tracing::warn!(error = error.chain(), "a commit failed, opening again");
        // A disk that is full has refused to write, not forgotten what was written.
        if error.kind != Kind::Exhausted {
            self.engine.suspect();
        }
        let open = self.reopen().map_err(|e| {
            tracing::error!(error = e.chain(), "cannot open again after a failed commit");
            again(&error)
        })?;
        if open.number(keys::COMMIT)? != number {
            return Err(error);
        }
        open.sync().inspect_err(|_| self.engine.suspect())
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

/// Whether somebody listens to what this request changes.
fn listens(queues: &mut queue::Group<'_>, request: &Request) -> Result<bool> {
    match request {
        Request::Write { store, .. } | Request::Increment { store, .. } => {
            queues.listens(store.stream())
        }
        Request::Sweep { due, .. } => {
            for (_, data) in due {
                if let Some(store) = StoreKey::of(data)
                    && queues.listens(store.stream())?
                {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Request::Unit { unit, .. } => unit.is_heard(queues),
        Request::Blob { op, .. } => match op.bucket() {
            Some(bucket) => queues.listens(bucket.stream()),
            None => Ok(false),
        },
        Request::Queue { .. } | Request::Topic { .. } => Ok(false),
    }
}

/// Appends what happened to keys to the stream of their store.
pub(super) fn tell(queues: &mut queue::Group<'_>, store: &StoreKey, told: Vec<Told>) -> Result<()> {
    let events = kv::events::events(store, told, queues.now_us);
    queues.tell(store.stream(), events)
}

/// The same for a value that was swept.
fn tell_expired(queues: &mut queue::Group<'_>, data: &[u8], version: u64) -> Result<()> {
    let Some(store) = StoreKey::of(data) else {
        return Ok(());
    };
    if !queues.listens(store.stream())? {
        return Ok(());
    }
    let key = store.own(data)?;
    let what = kv::group::What::Expired;
    tell(queues, &store, vec![Told { key, version, what }])
}

/// Tells one caller of what has broken the whole group.
fn unanswered<T>(answer: Answer<T>, error: Error) -> Error {
    let _ = answer.send(Err(again(&error)));
    error
}

// === impl Request ===

impl Request {
    fn refuse(self, error: Error) {
        // A caller that has gone does not hear it.
        let _ = match self {
            Request::Write { answer, .. } => answer.send(Err(error)).is_ok(),
            Request::Increment { answer, .. } => answer.send(Err(error)).is_ok(),
            Request::Sweep { answer, .. } => answer.send(Err(error)).is_ok(),
            Request::Queue { answer, .. } => answer.send(Err(error)).is_ok(),
            Request::Topic { answer, .. } => answer.send(Err(error)).is_ok(),
            Request::Unit { answer, .. } => answer.send(Err(error)).is_ok(),
            Request::Blob { answer, .. } => answer.send(Err(error)).is_ok(),
        };
    }

    /// Whether it takes room on the disk.
    fn grows(&self) -> bool {
        match self {
            Request::Write { batch, .. } => batch.iter().any(|w| matches!(w, Write::Put { .. })),
            Request::Increment { .. } => true,
            Request::Sweep { .. } => false,
            Request::Queue { op, .. } => op.grows(),
            Request::Topic { op, .. } => op.grows(),
            Request::Unit { unit, .. } => unit.grows(),
            Request::Blob { op, .. } => op.grows(),
        }
    }

    /// Whether it has to be on the disk before it is answered.
    fn is_durable(&self) -> bool {
        match self {
            Request::Queue { op, .. } => op.is_durable(),
            Request::Topic { op, .. } => op.is_durable(),
            Request::Blob { op, .. } => op.is_durable(),
            _ => true,
        }
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
            Ready::Queue(answer, done, bell) => and_ring(answer, result.map(|()| done), bell),
            Ready::Topic(answer, done, bell) => and_ring(answer, result.map(|()| done), bell),
            Ready::Unit(answer, bells) => and_ring(answer, result, bells),
            Ready::Blob(answer, done) => answer.send(result.map(|()| done)).is_ok(),
        };
    }
}

/// Answers, and then rings for those who wait for what has changed.
fn and_ring<T>(
    answer: Answer<T>,
    result: Result<T>,
    bells: impl IntoIterator<Item = Arc<Notify>>,
) -> bool {
    let is_ok = result.is_ok();
    let sent = answer.send(result).is_ok();
    let bells = bells.into_iter().filter(|_| is_ok);
    bells.for_each(|bell| bell.notify_waiters());
    sent
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
