//! Calls that are made later: kept before whoever asked is answered, made with their function's retries, and their
//! results kept for whoever asks again.
//!
//! Each function has a queue of its own for them, so that a slow function delays nobody else's calls. What became of a
//! call is on record in a store of its project; queue and store are the platform's own, and nobody else can name them.
//!
//! - `kept.rs`: a call as its queue keeps it.
//! - `records.rs`: what is known of calls, and the keys of repetitions.
//! - `work.rs`: makes them.
//! - `destination.rs`: tells others what became of them.
//! - `callback.rs`: posts what came of them to addresses.
//! - `board.rs`: which are under way now, and who waits for one.

mod arriving;
mod board;
mod callback;
mod destination;
mod kept;
mod records;
mod work;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use gust_backend::{
    desk::{Accepted, Callback, CallbackState, Counts, Later, LaterCall, LaterState, Wishes},
    queue::{Queue, QueueSettings},
};
use gust_task::Stop;
use gust_types::{
    Blame, Call, Error, FunctionKey, Kind, Label, ProjectName, Result, Span, call::CallId,
    later::LaterSpec,
};
use parking_lot::Mutex;
use tokio::{sync::OnceCell, task::JoinHandle};

use self::{
    arriving::Arriving,
    board::Board,
    callback::Callbacks,
    kept::Kept,
    records::{Record, Records, Repeat},
    work::FunctionCalls,
};
use crate::{
    Parts, Queues,
    deliver::{Consumer, Tally},
    queues::Made,
};

/// After a look that failed.
const REST: Duration = Duration::from_secs(1);
/// Times that a cancellation is tried while others change the same record.
const TRIES: usize = 5;
/// Bytes of an idempotency key.
const KEY: usize = 255;

/// The calls of a node that are made later. Clones are handles to the same ones.
#[derive(Clone)]
pub(crate) struct Calls(Arc<Inner>);

struct Inner {
    parts: Arc<Parts>,
    queues: Queues,
    made: Made,
    board: Board,
    making: Mutex<HashMap<Arc<FunctionKey>, Making>>,
    /// Bodies of calls that are being taken over.
    arriving: Arriving,
    /// What became of the calls of those that are no longer made.
    past: Mutex<Counts>,
    /// Consumers that were told to stop and still settle.
    leaving: Mutex<Vec<JoinHandle<Option<()>>>>,
    stop: Stop,
}

/// The calls of one function are being made.
struct Making {
    concurrency: usize,
    tally: Arc<Tally>,
    /// Whether what a node that is gone had taken was released.
    released: Released,
    stop: Stop,
    task: JoinHandle<Option<()>>,
}

/// Of a function's calls, and of its callbacks.
#[derive(Clone, Default)]
struct Released {
    calls: Arc<OnceCell<()>>,
    callbacks: Arc<OnceCell<()>>,
}

// === impl Calls ===

impl Calls {
    pub(crate) fn new(parts: Arc<Parts>, queues: Queues, made: Made) -> Self {
        Self(Arc::new(Inner {
            parts,
            queues,
            made,
            board: Board::default(),
            making: Mutex::default(),
            arriving: Arriving::default(),
            past: Mutex::default(),
            leaving: Mutex::default(),
            stop: Stop::new(),
        }))
    }

    /// Takes up what was accepted before the node started, and follows what is published, until `stop`.
    pub(crate) async fn run(self, stop: Stop) {
        let mut publishes = self.0.parts.dispatcher.publishes();
        let mut seen = HashSet::new();
        loop {
            publishes.mark_unchanged();
            while !self.arrange(&mut seen).await {
                tokio::select! {
                    () = tokio::time::sleep(REST) => {}
                    () = stop.stopped() => break,
                }
            }
            tokio::select! {
                changed = publishes.changed() => if changed.is_err() { break },
                () = stop.stopped() => break,
            }
        }
    }

    /// Starts what has calls of before, once for each project, and gives each function the number of calls at once that
    /// it has now. False when a project could not be looked at.
    async fn arrange(&self, seen: &mut HashSet<ProjectName>) -> bool {
        let mut all = true;
        for project in self.0.parts.dispatcher.projects() {
            if seen.contains(&project) {
                continue;
            }
            match self.take_up(&project).await {
                Ok(()) => drop(seen.insert(project)),
                Err(error) => {
                    tracing::error!(%project, error = error.chain(), "calls that were accepted before are not made yet");
                    all = false;
                }
            }
        }
        self.retire().await;
        let mut making = self.0.making.lock();
        for (function, making) in making.iter_mut() {
            let concurrency = self.concurrency(function);
            if making.concurrency != concurrency && !self.0.stop.is_stopped() {
                making.stop.stop();
                let (tally, released) = (making.tally.clone(), making.released.clone());
                match self.make(function, concurrency, tally, released) {
                    Ok(new) => {
                        let old = std::mem::replace(making, new);
                        self.0.leaving.lock().push(old.task);
                    }
                    Err(error) => {
                        tracing::error!(%function, error = error.chain(), "calls of a function are not made");
                    }
                }
            }
        }
        self.0.leaving.lock().retain(|task| !task.is_finished());
        all
    }

    /// Nobody waits any more for the calls of a function that is gone and has none left.
    async fn retire(&self) {
        let is_gone = |function: &Arc<FunctionKey>| {
            let function = self.0.parts.dispatcher.function(function);
            function.is_none()
        };
        let gone: Vec<_> = {
            let making = self.0.making.lock();
            making.keys().filter(|of| is_gone(of)).cloned().collect()
        };
        for function in gone {
            let retired = async {
                let (queue, records) = (self.queue(&function)?, self.records(&function.project)?);
                if queue.stats().await?.messages > 0 {
                    return Ok(());
                }
                records.unmark(&function).await?;
                self.unmake(|made| *made == *function);
                // One that was on its way in found it still being made.
                if queue.stats().await?.messages > 0 {
                    records.mark(&function).await?;
                    self.start(&function)?;
                }
                Ok(())
            };
            // The next publish tries again.
            let retired: Result<()> = retired.await;
            if let Err(error) = retired {
                tracing::warn!(%function, error = error.chain(), "calls of a function that is gone are still waited for");
            }
        }
    }

    /// Makes no more calls of these functions.
    fn unmake(&self, which: impl Fn(&FunctionKey) -> bool) {
        let mut making = self.0.making.lock();
        for (_, gone) in making.extract_if(|function, _| which(function)) {
            gone.stop.stop();
            *self.0.past.lock() += gone.tally.counts();
            self.0.leaving.lock().push(gone.task);
        }
    }

    async fn take_up(&self, project: &ProjectName) -> Result<()> {
        let records = self.records(project)?;
        for function in records.marked().await? {
            let gone = self.0.parts.dispatcher.function(&function).is_none();
            let waiting = self.queue(&function)?.stats().await?.messages
                + self.callbacks(&function)?.stats().await?.messages;
            if gone && waiting == 0 {
                records.unmark(&function).await?;
                continue;
            }
            self.start(&Arc::new(function))?;
        }
        Ok(())
    }

    /// Makes the calls of a function from now on; false when it is done already.
    fn start(&self, function: &Arc<FunctionKey>) -> Result<bool> {
        let mut making = self.0.making.lock();
        // What is accepted while the node stops is made after the next start.
        if making.contains_key(function) || self.0.stop.is_stopped() {
            return Ok(false);
        }
        let concurrency = self.concurrency(function);
        let new = self.make(function, concurrency, Arc::default(), Released::default())?;
        making.insert(function.clone(), new);
        Ok(true)
    }

    fn make(
        &self,
        function: &Arc<FunctionKey>,
        concurrency: usize,
        tally: Arc<Tally>,
        released: Released,
    ) -> Result<Making> {
        let work = FunctionCalls {
            calls: self.clone(),
            function: function.clone(),
            records: self.records(&function.project)?,
            tally: tally.clone(),
        };
        let consumer = Consumer {
            queue: self.queue(function)?,
            name: queue_name(function),
            work: Arc::new(work),
            batch: 1,
            concurrency,
            released: released.calls.clone(),
        };
        let callbacks = Consumer {
            queue: self.callbacks(function)?,
            name: callback::queue_name(function),
            work: Arc::new(Callbacks {
                calls: self.clone(),
                function: function.clone(),
                records: self.records(&function.project)?,
            }),
            batch: 1,
            concurrency: callback::AT_ONCE,
            released: released.callbacks.clone(),
        };
        let stop = self.0.stop.child();
        let ours = stop.clone();
        let run = async move {
            tokio::join!(
                Arc::new(consumer).run(ours.clone()),
                Arc::new(callbacks).run(ours),
            );
        };
        Ok(Making {
            concurrency,
            tally,
            released,
            task: gust_task::spawn("calls", run),
            stop,
        })
    }

    /// How calls of this function are made, whatever was said when they came in.
    fn spec(&self, function: &FunctionKey) -> LaterSpec {
        let entry = self.0.parts.dispatcher.function(function);
        let spec = entry.and_then(|entry| entry.revision().spec.later.clone());
        spec.unwrap_or_default()
    }

    fn concurrency(&self, function: &FunctionKey) -> usize {
        let entry = self.0.parts.dispatcher.function(function);
        let own = entry.map_or(u32::MAX, |entry| entry.limits().concurrency);
        self.spec(function).concurrency.min(own).max(1) as usize
    }

    fn queue(&self, function: &FunctionKey) -> Result<Arc<dyn Queue>> {
        let settings = QueueSettings {
            // When a call is given up is its function's to say, and on record.
            attempts: 0,
            max_age: Span::secs(14 * 86_400),
            // Not before its idempotency key.
            dedup: records::REMEMBERED,
            ..QueueSettings::default()
        };
        let name = queue_name(function);
        self.0
            .parts
            .backends
            .queue(&function.project, &name, &settings)
    }

    fn records(&self, project: &ProjectName) -> Result<Records> {
        Records::open(&*self.0.parts.backends, project)
    }

    /// Takes a call over; it is durable when this answers.
    async fn keep(&self, call: Call, wishes: Wishes) -> Result<Accepted> {
        let function = call.function.clone();
        let entry = self.0.parts.dispatcher.function(&function).ok_or_else(|| {
            Error::not_found(format!("no such function: {function}"))
                .hint("list the apps with: gust ls")
        })?;
        let function = entry.key().clone();
        let (queue, records) = (self.queue(&function)?, self.records(&function.project)?);
        let spec = entry.revision().spec.later.clone().unwrap_or_default();
        let callback = wishes.callback.or(spec.callback);
        if let Some(url) = &callback {
            self.check_callback(url, !spec.callback_secrets.is_empty())?;
        }
        let key = wishes.key;
        let most = entry.limits().request_body.bytes();
        let room = self.0.arriving.room(&function.project)?;
        let mut kept = Kept::of(call, callback, most, &queue.limits()).await?;
        drop(room);
        let method = kept.head.method.clone();
        let mut record = Record::new(kept.head.id, &function, method, kept.path());
        record.callback = kept.head.callback.as_ref().map(|url| Callback {
            url: url.to_string(),
            state: CallbackState::Waiting,
            attempts: 0,
            status: None,
            cause: None,
            next_us: None,
        });
        let repeat = key.map(|key| Repeat {
            digest: kept.digest(),
            key,
        });
        let mark = !self.0.making.lock().contains_key(&function);
        let earlier = records.enter(&record, repeat.as_ref(), mark).await?;
        let duplicate = earlier.is_some();
        kept.head.id = earlier.unwrap_or(kept.head.id);
        let mut message = kept.message()?;
        // A repetition is published too, and not kept again: the node may have gone down before it was the first time.
        message.key = repeat.map(|_| kept.head.id.to_string());
        if let Err(error) = queue.publish(vec![message.clone()]).await {
            if message.key.is_none()
                && let Err(error) = records.forget(record.id).await
            {
                tracing::debug!(call = %record.id, error = error.chain(), "a call that was not accepted is still on record");
            }
            return Err(full(error, &function));
        }
        // They were made when this began, and are not any more: the mark may have gone with that.
        if self.start(&function)? && !mark {
            records.mark(&function).await?;
        }
        Ok(Accepted {
            id: kept.head.id,
            duplicate,
        })
    }

    /// A record as it is now.
    async fn look(
        &self,
        records: &Records,
        project: &ProjectName,
        id: CallId,
    ) -> Result<LaterCall> {
        let (record, _) = records.must(id).await?;
        Ok(self.shown(record, project))
    }

    fn shown(&self, record: Record, project: &ProjectName) -> LaterCall {
        let mut call = record.shown(project);
        if !call.state.is_over()
            && let Some(attempt) = self.0.board.attempt(call.id)
        {
            call.state = LaterState::Running;
            call.attempts = attempt;
            call.next_us = None;
        }
        call
    }

    /// What became of calls since the node started.
    pub(crate) fn counts(&self) -> Counts {
        let mut sum = *self.0.past.lock();
        for making in self.0.making.lock().values() {
            sum += making.tally.counts();
        }
        sum
    }

    /// Takes nothing more.
    pub(crate) fn stop(&self) {
        self.0.stop.stop();
    }

    /// Takes nothing more, and waits for what is under way.
    pub(crate) async fn close(&self) {
        self.stop();
        let mut tasks = std::mem::take(&mut *self.0.leaving.lock());
        let making = std::mem::take(&mut *self.0.making.lock());
        tasks.extend(making.into_values().map(|making| making.task));
        for task in tasks {
            // A consumer that panicked has said so.
            let _ = task.await;
        }
    }
}

#[async_trait]
impl Later for Calls {
    async fn accept(&self, call: Call, wishes: Wishes) -> Result<Accepted> {
        if let Some(key) = &wishes.key
            && (key.is_empty() || key.len() > KEY)
        {
            let text = format!("an idempotency key has 1 to {KEY} bytes, not {}", key.len());
            return Err(Error::invalid(text));
        }
        // The door's own keys and a caller's never meet.
        let key = wishes.key.map(|key| format!("caller/{key}"));
        self.keep(call, Wishes { key, ..wishes }).await
    }

    async fn call(&self, project: &ProjectName, id: CallId, wait: Duration) -> Result<LaterCall> {
        let records = self.records(project)?;
        let call = self.look(&records, project, id).await?;
        if call.state.is_over() || wait.is_zero() {
            return Ok(call);
        }
        let Some(seat) = self.0.board.seat(id) else {
            return Ok(call);
        };
        let mut ended = std::pin::pin!(seat.ended.notified());
        ended.as_mut().enable();
        // It may have ended before somebody listened.
        let call = self.look(&records, project, id).await?;
        if call.state.is_over() {
            return Ok(call);
        }
        tokio::select! {
            () = ended => {}
            () = tokio::time::sleep(wait) => {}
            () = self.0.stop.stopped() => {}
        }
        self.look(&records, project, id).await
    }

    async fn reply(
        &self,
        project: &ProjectName,
        id: CallId,
    ) -> Result<Option<http::Response<Bytes>>> {
        let records = self.records(project)?;
        let (record, _) = records.must(id).await?;
        let (Some(status), true) = (record.status, record.state.is_over()) else {
            return Ok(None);
        };
        let mut reply = http::Response::new(records.body(id).await?);
        *reply.status_mut() = http::StatusCode::from_u16(status)
            .map_err(|e| Error::internal("the record of a call has no status").because(e))?;
        *reply.headers_mut() = kept::parsed(&record.headers);
        Ok(Some(reply))
    }

    async fn calls(
        &self,
        project: &ProjectName,
        after: Option<CallId>,
        most: usize,
    ) -> Result<Vec<LaterCall>> {
        let records = self.records(project)?.list(after, most).await?;
        let shown = records
            .into_iter()
            .map(|record| self.shown(record, project));
        Ok(shown.collect())
    }

    async fn cancel(&self, project: &ProjectName, id: CallId) -> Result<LaterCall> {
        let records = self.records(project)?;
        for _ in 0..TRIES {
            let (mut record, version) = records.must(id).await?;
            if record.state == LaterState::Cancelled {
                return Ok(record.shown(project));
            }
            if record.state.is_over() {
                let text = format!("the call is over: {}", record.state.as_str());
                return Err(Error::conflict(text)
                    .hint(format!("see what became of it with: gust call show {id}")));
            }
            let function = FunctionKey {
                project: project.clone(),
                app: record.app.clone(),
                function: record.function.clone(),
            };
            record.end(LaterState::Cancelled, self.spec(&function).keep);
            if let Some(attempt) = self.0.board.attempt(id) {
                record.attempts = attempt;
            }
            // On record first: what begins after this reads it, what began before hears of it.
            if records.change(&record, version, None).await?.is_some() {
                self.0.board.cancel(id);
                self.0.board.over(id);
                return Ok(record.shown(project));
            }
        }
        Err(Error::unavailable("the call changes all the time"))
    }

    async fn forget(&self, project: &ProjectName) -> Result<()> {
        self.0.made.forget(project).await?;
        let records = self.records(project)?;
        // Whoever accepts a call after this marks its function again.
        self.unmake(|function| function.project == *project);
        for function in records.marked().await? {
            self.queue(&function)?.purge(false).await?;
            for dead in [false, true] {
                self.callbacks(&function)?.purge(dead).await?;
            }
        }
        // The marks with the rest, after the queues: a crash before that leaves them to be found again.
        records.clear().await
    }
}

/// A queue that has no room is no fault of the one call that finds it so.
fn full(error: Error, function: &FunctionKey) -> Error {
    if error.kind != Kind::Exhausted || error.blame != Blame::Caller {
        return error;
    }
    Error::unavailable(format!("too many calls wait for the function: {function}"))
        .hint("try again when some of them are made")
        .because(error)
}

/// The queue of a function's calls.
fn queue_name(function: &FunctionKey) -> Label {
    Label::reserved(&format!("calls/{}/{}", function.app, function.function))
}
