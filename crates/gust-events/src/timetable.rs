//! The schedules of a node: when each fires, and what it fires.
//!
//! A run is an event in a queue of its project that the platform keeps for itself. It comes there in one commit with how far
//! its schedule is settled, so a crash neither loses a run nor fires it twice. From then on it is a delivery like any
//! other, with its trigger's retries.
//!
//! One task looks at all schedules. It decides nothing: [`Schedule::due`] does.
//!
//! - `book.rs`: what is known of them, and which are due.
//! - `runs.rs`: where runs go.

mod book;
mod runs;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, future::try_join_all, stream::FuturesUnordered};
use gust_backend::{
    desk::Counts,
    kv::{Kv, PutOptions, Write},
    queue::{Message, Queue, QueueSettings},
    unit::{Changes, Commit, Place, Publication},
};
use gust_task::{Stop, clock};
use gust_telemetry::Histogram;
use gust_types::{
    AppName, Label, ProjectName, Result, Span,
    call::Trigger,
    event::Event,
    trigger::{self, ScheduleSpec, TriggerSource, TriggerSpec},
};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};

use book::{Book, Due, Entry, LeftOut, Project};
use runs::Runs;
pub(crate) use runs::{APP, NAME};

use crate::{
    Parts,
    deliver::{Consumer, Delivery, EventWork, Once, Tally},
    message::{self, rfc3339},
    retry::RetryPolicy,
    schedule::{self, Overlap, Schedule, State},
    triggers::{Key, target},
};

/// The type of a run's event.
const FIRED: &str = "gust.schedule.fired";
/// The queue of a project's runs, and the store of what was settled.
const RUNS: &str = "schedules";
/// Runs of a project under way at once: the shares of ten functions.
const CONCURRENCY: usize = 10_000;
/// Looks that are being written.
const LOOKS: usize = 16;
/// Runs, and states of schedules, in one commit. Commits share syncs.
const BATCH: usize = 1000;
/// Projects written for at once.
const PROJECTS: usize = 256;
/// After a write that failed.
const REST: Duration = Duration::from_secs(1);
/// Ends of runs that wait to be heard of.
const ENDS: usize = 64 << 10;
/// The longest wait for the next look.
const IDLE: Duration = Duration::from_secs(60);
/// Between the first schedule of a project and its first delivery.
const SETTLING_IN: Duration = Duration::from_millis(200);

/// The schedules of a node.
pub(crate) struct Timetable {
    parts: Arc<Parts>,
    book: Mutex<Book>,
    ended: mpsc::Sender<Key>,
    /// Whether runs are being written down.
    firing: watch::Sender<bool>,
    heard: Mutex<Option<mpsc::Receiver<Key>>>,
    /// The runs that were left of some project are counted.
    counted: Notify,
    /// From when a run is due until it is written down.
    lateness: Arc<Histogram>,
    /// What became of all runs since the node started.
    tally: Arc<Tally>,
}

/// The queue that the runs of a project's schedules are in.
pub(crate) fn queue(parts: &Parts, project: &ProjectName) -> Result<Arc<dyn Queue>> {
    let name = Label::reserved(RUNS);
    parts.backends.queue(project, &name, &runs_settings())
}

fn runs_settings() -> QueueSettings {
    QueueSettings {
        // Only what takes the node down with it gets there: a trigger's own retries end before.
        attempts: 1000,
        max_age: Span::secs(14 * 86_400),
        ..QueueSettings::default()
    }
}

/// What a manifest says, in the words of [`schedule`].
pub(crate) fn compile(spec: &ScheduleSpec, id: &str) -> Result<Schedule> {
    let d = schedule::ScheduleSpec::default();
    let moment = |text: &Option<String>| text.as_deref().map(str::parse).transpose();
    let spec = schedule::ScheduleSpec {
        cron: spec.cron.clone(),
        timezone: spec.timezone.clone(),
        rate: spec.rate,
        at: moment(&spec.at)?,
        overlap: match spec.overlap {
            trigger::Overlap::Allow => Overlap::Allow,
            trigger::Overlap::Skip => Overlap::Skip,
            trigger::Overlap::Queue => Overlap::Queue,
        },
        missed: match spec.missed {
            trigger::Missed::Skip => schedule::Missed::Skip,
            trigger::Missed::Last => schedule::Missed::Last,
            trigger::Missed::All => schedule::Missed::All,
        },
        missed_within: spec.missed_within.unwrap_or(Span::secs(86_400)),
        jitter: spec.jitter.unwrap_or_default(),
        ..d
    };
    Schedule::compile(&spec, id)
}

// === impl Timetable ===

impl Timetable {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        let (ended, heard) = mpsc::channel(ENDS);
        Self {
            parts,
            book: Mutex::default(),
            ended,
            firing: watch::Sender::new(false),
            heard: Mutex::new(Some(heard)),
            counted: Notify::new(),
            lateness: Arc::default(),
            tally: Arc::default(),
        }
    }

    /// How late runs are written down.
    pub(crate) fn lateness(&self) -> Arc<Histogram> {
        self.lateness.clone()
    }

    /// Follows what is published and fires what is due, until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: Stop) {
        let Some(mut heard) = self.heard.lock().take() else {
            return;
        };
        let mut publishes = self.parts.dispatcher.publishes();
        publishes.mark_changed();
        loop {
            let next_us = self.book.lock().next_us();
            let wait = next_us.map_or(IDLE, |at| {
                Duration::from_micros(at.saturating_sub(clock::unix_micros()))
            });
            tokio::select! {
                changed = publishes.changed() => match changed {
                    Ok(()) => if !self.arrange(&stop).await {
                        tokio::time::sleep(REST).await;
                        publishes.mark_changed();
                    },
                    Err(_) => return,
                },
                Some(key) = heard.recv() => self.book.lock().end(&key),
                () = self.counted.notified() => {}
                // The clock of the machine may jump, so a long wait is not trusted.
                () = tokio::time::sleep(wait.min(IDLE)) => {}
                () = stop.stopped() => return,
            }
            self.fire().await;
        }
    }

    /// Takes up what is new or changed, and lets go of what is gone, many at a time.
    /// False when one could not be.
    async fn arrange(self: &Arc<Self>, stop: &Stop) -> bool {
        let (gone, wanted) = self.changes();
        let mut all = true;
        for (project, keys) in by_project(gone, |key| key) {
            self.forget(&project, keys).await;
        }
        for (project, some) in by_project(wanted, |(key, _)| key) {
            let count = some.len();
            if let Err(error) = self.take_up(&project, some, stop).await {
                tracing::error!(%project, count, error = error.chain(), "schedules do not run yet");
                all = false;
            }
        }
        all
    }

    /// What is gone, and what is new or other than it was. Of very many schedules most are neither.
    fn changes(&self) -> (Vec<Key>, Vec<(Key, TriggerSpec)>) {
        let (mut all, mut known, mut changed) = (HashSet::new(), 0, Vec::new());
        let served = self.parts.dispatcher.events();
        let book = self.book.lock();
        for (project, app, events) in &served {
            for spec in &events.triggers {
                let TriggerSource::Schedule(_) = &spec.source else {
                    continue;
                };
                let key = Key {
                    project: project.clone(),
                    app: app.clone(),
                    name: spec.name.clone(),
                };
                let entry = book.entry(&key);
                known += usize::from(entry.is_some());
                if entry.is_none_or(|entry| entry.spec != *spec) {
                    changed.push((key.clone(), spec.clone()));
                }
                all.insert(key);
            }
        }
        changed.sort_by(|a, b| a.0.cmp(&b.0));
        (book.others(&all, known), changed)
    }

    /// Takes up some schedules of a project. What is new of them is remembered in one write.
    async fn take_up(
        self: &Arc<Self>,
        project: &ProjectName,
        some: Vec<(Key, TriggerSpec)>,
        stop: &Stop,
    ) -> Result<()> {
        let (memory, way) = self.project(project, stop)?;
        let (mut entries, mut writes) = (Vec::with_capacity(some.len()), Vec::new());
        for (key, spec) in some {
            let TriggerSource::Schedule(when) = &spec.source else {
                continue;
            };
            let schedule = match compile(
                when,
                &format!("{project}/{}", memory_key(&key.app, &key.name)),
            ) {
                Ok(schedule) => schedule,
                // A deploy refuses it; what an older one took is no reason to hold up others.
                Err(error) => {
                    let Key { app, name, .. } = &key;
                    tracing::error!(%project, %app, trigger = %name, error = error.chain(), "a schedule does not run");
                    continue;
                }
            };
            let before = {
                let book = self.book.lock();
                let entry = book.entry(&key);
                entry.map(|entry| {
                    let same = entry.spec.source == spec.source;
                    (
                        entry.state,
                        same,
                        entry.delivery.tally.clone(),
                        entry.left_out,
                    )
                })
            };
            let (state, is_new) = match &before {
                Some((state, true, ..)) => (*state, false),
                // Another schedule under the same name: what lies before it was never its business.
                Some((state, false, ..)) => {
                    let state = State {
                        settled_us: state.settled_us.max(clock::unix_micros()),
                        waiting_us: None,
                        ..*state
                    };
                    (state, true)
                }
                None => match remembered(&*memory, &key).await? {
                    Some(state) => (state, false),
                    None => (State::new(clock::unix_micros()), true),
                },
            };
            if is_new {
                writes.push(remember(memory_key(&key.app, &key.name), &state));
            }
            let (tally, left_out) = match before {
                Some((_, _, tally, left_out)) => (tally, left_out),
                None => (
                    Arc::new(Tally::part_of(self.tally.clone())),
                    LeftOut::default(),
                ),
            };
            let delivery = Arc::new(Delivery {
                target: target(&key, &spec, Trigger::Schedule),
                retry: RetryPolicy::from(&spec.retry),
                tally,
                replies: None,
                once: spec
                    .exactly_once
                    .then(|| Once::new(self.parts.clone(), key.project.clone())),
            });
            entries.push(Entry {
                key,
                spec,
                schedule,
                state,
                delivery,
                left_out,
            });
        }
        if !writes.is_empty() {
            memory.write(writes).await?;
        }
        let mut book = self.book.lock();
        for entry in entries {
            way.enter(&entry.key, entry.delivery.clone());
            book.enter(entry);
        }
        Ok(())
    }

    /// What the schedules of a project share, made with the first of them.
    fn project(
        self: &Arc<Self>,
        project: &ProjectName,
        stop: &Stop,
    ) -> Result<(Arc<dyn Kv>, Arc<Runs>)> {
        if let Some(there) = self.book.lock().projects.get(project) {
            return Ok((there.memory.clone(), there.way.clone()));
        }
        let name = Label::reserved(RUNS);
        let queue = queue(&self.parts, project)?;
        let memory = self.parts.backends.kv(project, &name)?;
        let way = Arc::new(Runs::new(
            project.clone(),
            self.ended.clone(),
            self.firing.subscribe(),
        ));
        let work = EventWork {
            queue: name.clone(),
            way: way.clone(),
            dispatcher: self.parts.dispatcher.clone(),
        };
        let consumer = Arc::new(Consumer {
            queue: queue.clone(),
            name,
            work: Arc::new(work),
            batch: 1,
            concurrency: CONCURRENCY,
            released: Arc::default(),
        });
        let (ours, of, stop) = (self.clone(), project.clone(), stop.clone());
        let task = gust_task::spawn("schedules", async move {
            // Once the other schedules of the project are known too: a run whose trigger nobody knows comes later.
            tokio::time::sleep(SETTLING_IN).await;
            tokio::select! {
                () = ours.count_left(&of, &*queue) => {}
                () = stop.stopped() => return,
            }
            consumer.run(stop).await;
        });
        let shared = Project::new(memory.clone(), way.clone(), task);
        self.book.lock().projects.insert(project.clone(), shared);
        Ok((memory, way))
    }

    /// Counts the runs that were not over when the node went down, before one of them can be over. That takes seconds when
    /// there are a million, and only schedules that mind overlaps wait for it.
    async fn count_left(&self, project: &ProjectName, queue: &dyn Queue) {
        let left = loop {
            match runs::left_running(project, queue).await {
                Ok(left) => break left,
                Err(error) => {
                    tracing::warn!(%project, error = error.chain(), "cannot count the runs that are left");
                    tokio::time::sleep(REST).await;
                }
            }
        };
        self.book.lock().count(project, left);
        self.counted.notify_one();
    }

    async fn forget(&self, project: &ProjectName, keys: Vec<Key>) {
        let memory = {
            let mut book = self.book.lock();
            keys.iter().for_each(|key| book.remove(key));
            let shared = book.projects.get(project);
            shared.map(|shared| shared.memory.clone())
        };
        let Some(memory) = memory else { return };
        let deletions = keys.iter().map(|key| Write::Delete {
            key: memory_key(&key.app, &key.name),
        });
        if let Err(error) = memory.write(deletions.collect()).await {
            tracing::warn!(
                %project, error = error.chain(), "schedules that are gone are still remembered"
            );
        }
    }

    /// Fires what is due now. No schedule is moved on before its runs are durable, and none is looked at twice before that:
    /// all looks are at the same time, and the last of them is waited for.
    async fn fire(self: &Arc<Self>) {
        let now_us = clock::unix_micros();
        let mut writing = FuturesUnordered::new();
        loop {
            let looks = self.book.lock().look(now_us);
            if looks.is_empty() {
                break;
            }
            self.firing.send_replace(true);
            let ours = self.clone();
            writing.push(gust_task::spawn("schedules' runs", async move {
                ours.write_all(looks).await;
            }));
            while writing.len() >= LOOKS {
                writing.next().await;
            }
            // Where there is one processor, what is written goes between the looks.
            tokio::task::yield_now().await;
        }
        while writing.next().await.is_some() {}
        self.firing.send_if_modified(std::mem::take);
    }

    /// Projects share syncs, and wait for each other no longer than for the disk.
    async fn write_all(&self, looks: BTreeMap<ProjectName, Vec<Due>>) {
        let writing = looks
            .into_iter()
            .map(|(project, due)| self.write_down(project, due));
        futures::stream::iter(writing)
            .for_each_concurrent(PROJECTS, |writing| writing)
            .await;
    }

    async fn write_down(&self, project: ProjectName, due: Vec<Due>) {
        let settled: Vec<_> = due.iter().map(|due| (due.id, due.state)).collect();
        let written = self.write(&project, due).await;
        // One project's trouble is not another's.
        if let Err(error) = &written {
            tracing::error!(%project, error = error.chain(), "cannot write what schedules fire; trying again");
        }
        let again_us = clock::unix_micros() + REST.as_micros() as u64;
        let mut book = self.book.lock();
        book.settle(settled, written.is_ok(), again_us);
    }

    async fn write(&self, project: &ProjectName, due: Vec<Due>) -> Result<()> {
        let due_us: Vec<u64> = due.iter().flat_map(|due| due.runs.clone()).collect();
        let backends = &self.parts.backends;
        let commits = in_batches(due).map(|batch| backends.commit(project, commit(batch)));
        try_join_all(commits).await?;
        let now_us = clock::unix_micros();
        for due_us in due_us {
            let late = Duration::from_micros(now_us.saturating_sub(due_us));
            self.lateness.observe(late);
        }
        Ok(())
    }

    /// The schedules of a project: what became of their runs, and when they fire next.
    pub(crate) fn of(&self, key: &Key) -> Option<(Counts, Option<u64>)> {
        let book = self.book.lock();
        let entry = book.entry(key)?;
        let next_us = entry.schedule.next_after(entry.state.settled_us);
        Some((entry.delivery.tally.counts(), next_us))
    }

    /// What became of runs since the node started.
    pub(crate) fn counts(&self) -> Counts {
        self.tally.counts()
    }

    /// Waits for what is under way; the stop was given before.
    pub(crate) async fn close(&self) {
        let projects = std::mem::take(&mut self.book.lock().projects);
        for (_, shared) in projects {
            // A consumer that panicked has said so.
            let _ = shared.task.await;
        }
    }
}

/// These by project, at most a batch at a time. They come in the order of their keys.
fn by_project<T>(all: Vec<T>, key: impl Fn(&T) -> &Key) -> Vec<(ProjectName, Vec<T>)> {
    let mut batches: Vec<(ProjectName, Vec<T>)> = Vec::new();
    for one in all {
        let project = key(&one).project.clone();
        match batches.last_mut() {
            Some((last, batch)) if *last == project && batch.len() < BATCH => batch.push(one),
            _ => batches.push((project, vec![one])),
        }
    }
    batches
}

fn in_batches(all: Vec<Due>) -> impl Iterator<Item = Vec<Due>> {
    let mut rest = all.into_iter();
    std::iter::from_fn(move || {
        let (mut batch, mut count) = (Vec::new(), 0);
        while count < BATCH
            && let Some(due) = rest.next()
        {
            count += 1 + due.runs.len();
            batch.push(due);
        }
        (!batch.is_empty()).then_some(batch)
    })
}

/// Runs, and what is settled with them: all of it or nothing.
fn commit(due: Vec<Due>) -> Commit {
    let (mut writes, mut messages) = (Vec::with_capacity(due.len()), Vec::new());
    for due in due {
        let memory = memory_key(&due.app, &due.name);
        for at_us in due.runs {
            match run((&due.app, &due.name), &memory, at_us) {
                Ok(run) => messages.push(run),
                // Every name that can be deployed makes an event.
                Err(error) => tracing::error!(error = error.chain(), "a run is no event"),
            }
        }
        writes.push(remember(memory, &due.state));
    }
    let published = Publication {
        to: Place::Queue(Label::reserved(RUNS), runs_settings()),
        messages,
    };
    Commit {
        stores: vec![Changes {
            store: Label::reserved(RUNS),
            checks: Vec::new(),
            writes,
        }],
        published: match published.messages.is_empty() {
            true => Vec::new(),
            false => vec![published],
        },
        ..Commit::default()
    }
}

/// A run as an event.
fn run((app, name): (&AppName, &Label), memory: &str, at_us: u64) -> Result<Message> {
    let source = format!("/apps/{app}/triggers/{name}");
    let id = format!("{memory}/{at_us}");
    let event = Event::new(id, source, FIRED)?
        .with("time", rfc3339(at_us))?
        .with(APP, app.as_str())?
        .with(NAME, name.as_str())?;
    Ok(message::of_event(&event))
}

/// A schedule's memory in its project's store.
fn memory_key(app: &AppName, name: &Label) -> String {
    format!("{app}/{name}")
}

/// Up to when a schedule is settled; `None` of one that is new.
async fn remembered(memory: &dyn Kv, key: &Key) -> Result<Option<State>> {
    let found = memory.get(&memory_key(&key.app, &key.name)).await?;
    let state = found.and_then(|found| serde_json::from_slice::<State>(&found.value).ok());
    // How many are running is counted anew.
    Ok(state.map(|state| State {
        running: 0,
        ..state
    }))
}

/// Remembers up to when a schedule is settled.
fn remember(key: String, state: &State) -> Write {
    Write::Put {
        key,
        // Three numbers always have a JSON form.
        value: Bytes::from(serde_json::to_vec(state).unwrap_or_default()),
        options: PutOptions::default(),
    }
}
