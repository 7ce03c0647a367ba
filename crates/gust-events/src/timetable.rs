//! The schedules of a node: when each fires, and what it fires.
//!
//! A run is an event in a queue of its project that the platform keeps for itself. It comes there in one commit with how far
//! its schedule is settled, so a crash neither loses a run nor fires it twice. From then on it is a delivery like any
//! other, with its trigger's retries.
//!
//! One task looks at all schedules. It decides nothing: [`Schedule::due`] does.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, future::try_join_all, stream::FuturesUnordered};
use gust_backend::{
    desk::Counts,
    kv::{Kv, KvExt as _, PutOptions, Write},
    queue::{Message, Queue, QueueSettings},
    unit::{Changes, Commit, Place, Publication},
};
use gust_dispatch::Dispatcher;
use gust_task::{Stop, clock};
use gust_telemetry::Histogram;
use gust_types::{
    AppName, FunctionKey, Label, ProjectName, Result, Span,
    call::Trigger,
    event::Event,
    trigger::{self, ScheduleSpec, TriggerSource, TriggerSpec},
};
use parking_lot::{Mutex, RwLock};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    Parts,
    deliver::{Consumer, Delivery, EventWork, Once, Target, Way},
    message::{self, rfc3339},
    retry::RetryPolicy,
    schedule::{self, Overlap, Schedule, State, Timeline},
    triggers::Key,
};

/// The type of a run's event.
const FIRED: &str = "gust.schedule.fired";
/// The extensions that say whose run it is.
pub(crate) const APP: &str = "gustapp";
pub(crate) const NAME: &str = "gusttrigger";
/// The queue of a project's runs, and the store of what was settled.
const RUNS: &str = "schedules";
/// Runs of a project under way at once.
const CONCURRENCY: usize = 1000;
/// Runs read at a time.
const PAGE: usize = 10_000;
/// Schedules of one look: what they fire is written while the next are looked at.
const LOOK: usize = 1000;
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
    heard: Mutex<Option<mpsc::Receiver<Key>>>,
    /// From when a run is due until it is written down.
    lateness: Arc<Histogram>,
}

/// What is known of them. Only the one task changes it; others read.
#[derive(Default)]
struct Book {
    entries: HashMap<u64, Entry>,
    ids: HashMap<Key, u64>,
    /// When to look at which.
    line: Timeline<u64>,
    last_id: u64,
    projects: HashMap<ProjectName, Project>,
    /// Runs that were not over when the node went down.
    left: HashMap<Key, u32>,
    /// What became of the runs of schedules that are gone.
    past: Counts,
}

struct Entry {
    key: Key,
    spec: TriggerSpec,
    schedule: Schedule,
    state: State,
    delivery: Arc<Delivery>,
}

/// What the schedules of one project share.
struct Project {
    /// Up to when each schedule is settled.
    memory: Arc<dyn Kv>,
    way: Arc<Runs>,
    task: JoinHandle<Option<()>>,
}

/// Where runs go: each to its own trigger.
struct Runs {
    project: ProjectName,
    deliveries: RwLock<HashMap<(AppName, Label), Arc<Delivery>>>,
    ended: mpsc::Sender<Key>,
}

/// What is to be written of a schedule: its runs, and up to when it is settled with them.
struct Due {
    id: u64,
    /// Its key in the memory.
    memory: String,
    state: State,
    /// Each with the time that it was due.
    runs: Vec<(u64, Message)>,
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
            heard: Mutex::new(Some(heard)),
            lateness: Arc::default(),
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
            let next_us = self.book.lock().line.next_us();
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
                // The clock of the machine may jump, so a long wait is not trusted.
                () = tokio::time::sleep(wait.min(IDLE)) => {}
                () = stop.stopped() => return,
            }
            self.fire().await;
        }
    }

    /// Takes up what is new or changed, and lets go of what is gone.
    /// False when one could not be.
    async fn arrange(&self, stop: &Stop) -> bool {
        let mut all = true;
        let mut wanted: BTreeMap<Key, TriggerSpec> = BTreeMap::new();
        for (project, app, events) in self.parts.dispatcher.events() {
            for spec in &events.triggers {
                if let TriggerSource::Schedule(_) = &spec.source {
                    let key = Key {
                        project: project.clone(),
                        app: app.clone(),
                        name: spec.name.clone(),
                    };
                    wanted.insert(key, spec.clone());
                }
            }
        }
        let gone: Vec<Key> = {
            let book = self.book.lock();
            let keys = book.ids.keys();
            let gone = keys
                .filter(|key| !wanted.contains_key(key))
                .cloned()
                .collect();
            wanted.retain(|key, spec| book.entry(key).is_none_or(|entry| entry.spec != *spec));
            gone
        };
        for key in gone {
            self.forget(&key).await;
        }
        for (key, spec) in wanted {
            if let Err(error) = self.take_up(&key, spec, stop).await {
                let Key { project, app, name } = &key;
                tracing::error!(%project, %app, trigger = %name, error = error.chain(), "a schedule does not run yet");
                all = false;
            }
        }
        all
    }

    async fn take_up(&self, key: &Key, spec: TriggerSpec, stop: &Stop) -> Result<()> {
        let TriggerSource::Schedule(schedule) = &spec.source else {
            return Ok(());
        };
        let schedule = compile(schedule, &format!("{}/{}", key.project, memory_key(key)))?;
        let (memory, way) = self.project(&key.project, stop).await?;
        let before = {
            let book = self.book.lock();
            let same = |entry: &Entry| entry.spec.source == spec.source;
            let entry = book.entry(key);
            entry.map(|entry| (entry.state, same(entry), entry.delivery.tally.clone()))
        };
        let tally = before.as_ref().map(|(_, _, tally)| tally.clone());
        let state = match before {
            Some((state, true, _)) => state,
            // Another schedule under the same name: what lies before it was never its business.
            Some((state, false, _)) => {
                let state = State {
                    settled_us: state.settled_us.max(clock::unix_micros()),
                    waiting_us: None,
                    ..state
                };
                memory.put(&memory_key(key), kept(&state)).await?;
                state
            }
            None => remembered(&*memory, key).await?,
        };
        let delivery = Arc::new(Delivery {
            target: Target {
                function: Arc::new(FunctionKey {
                    project: key.project.clone(),
                    app: key.app.clone(),
                    function: spec.function.clone(),
                }),
                path: spec.path.clone(),
                name: key.subscription(),
                trigger: Trigger::Schedule,
            },
            retry: RetryPolicy::from(&spec.retry),
            tally: tally.unwrap_or_default(),
            replies: None,
            once: spec
                .exactly_once
                .then(|| Once::new(self.parts.clone(), key.project.clone())),
        });
        let trigger = (key.app.clone(), key.name.clone());
        way.deliveries.write().insert(trigger, delivery.clone());
        self.book.lock().enter(Entry {
            key: key.clone(),
            spec,
            schedule,
            state,
            delivery,
        });
        Ok(())
    }

    /// What the schedules of a project share, made with the first of them.
    async fn project(
        &self,
        project: &ProjectName,
        stop: &Stop,
    ) -> Result<(Arc<dyn Kv>, Arc<Runs>)> {
        if let Some(there) = self.book.lock().projects.get(project) {
            return Ok((there.memory.clone(), there.way.clone()));
        }
        let name = Label::reserved(RUNS);
        let queue = queue(&self.parts, project)?;
        let memory = self.parts.backends.kv(project, &name)?;
        let left = left_running(project, &*queue).await?;
        let way = Arc::new(Runs {
            project: project.clone(),
            deliveries: RwLock::default(),
            ended: self.ended.clone(),
        });
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
        let stop = stop.clone();
        let task = gust_task::spawn("schedules", async move {
            // Once the other schedules of the project are known too: a run whose trigger nobody knows comes later.
            tokio::time::sleep(SETTLING_IN).await;
            consumer.run(stop).await;
        });
        let mut book = self.book.lock();
        book.left.extend(left);
        let shared = Project {
            memory: memory.clone(),
            way: way.clone(),
            task,
        };
        book.projects.insert(project.clone(), shared);
        Ok((memory, way))
    }

    async fn forget(&self, key: &Key) {
        let memory = self.book.lock().remove(key);
        if let Some(memory) = memory
            && let Err(error) = memory.delete(&memory_key(key)).await
        {
            tracing::warn!(
                error = error.chain(),
                "a schedule that is gone is still remembered"
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
            let ours = self.clone();
            writing.push(gust_task::spawn("schedules' runs", async move {
                ours.write_all(looks).await;
            }));
            while writing.len() >= LOOKS {
                writing.next().await;
            }
        }
        while writing.next().await.is_some() {}
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
        let due_us: Vec<u64> = due
            .iter()
            .flat_map(|due| &due.runs)
            .map(|run| run.0)
            .collect();
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
        let book = self.book.lock();
        let mut sum = book.past;
        for entry in book.entries.values() {
            sum += entry.delivery.tally.counts();
        }
        sum
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
        writes.push(Write::Put {
            key: due.memory,
            value: kept(&due.state),
            options: PutOptions::default(),
        });
        messages.extend(due.runs.into_iter().map(|(_, run)| run));
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

/// A schedule's memory in its project's store.
fn memory_key(key: &Key) -> String {
    format!("{}/{}", key.app, key.name)
}

/// Up to when a schedule is settled; one that is new begins now, and that is kept.
async fn remembered(memory: &dyn Kv, key: &Key) -> Result<State> {
    let name = memory_key(key);
    let found = memory.get(&name).await?;
    let found = found.and_then(|found| serde_json::from_slice::<State>(&found.value).ok());
    if let Some(state) = found {
        // How many are running is counted anew.
        return Ok(State {
            running: 0,
            ..state
        });
    }
    let state = State::new(clock::unix_micros());
    memory.put(&name, kept(&state)).await?;
    Ok(state)
}

fn kept(state: &State) -> Bytes {
    // Three numbers always have a JSON form.
    Bytes::from(serde_json::to_vec(state).unwrap_or_default())
}

/// The runs in the queue, by schedule.
async fn left_running(project: &ProjectName, queue: &dyn Queue) -> Result<HashMap<Key, u32>> {
    let mut left: HashMap<Key, u32> = HashMap::new();
    let mut after = None;
    loop {
        let seen = queue.peek(after, PAGE).await?;
        let Some(last) = seen.last() else {
            return Ok(left);
        };
        after = Some(last.id);
        for seen in &seen {
            let of = |name: &str| seen.message.attributes.get(&format!("ce-{name}"));
            if let (Some(app), Some(name)) = (of(APP), of(NAME))
                && let (Ok(app), Ok(name)) = (AppName::new(app), Label::new(name))
            {
                let project = project.clone();
                *left.entry(Key { project, app, name }).or_default() += 1;
            }
        }
    }
}

// === impl Book ===

impl Book {
    fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(self.ids.get(key)?)
    }

    /// Takes an entry up, in the place of the one before it.
    fn enter(&mut self, mut entry: Entry) {
        let known = self.ids.get(&entry.key).copied();
        let id = known.unwrap_or(self.last_id + 1);
        self.last_id = self.last_id.max(id);
        if !self.entries.contains_key(&id) {
            entry.state.running = self.left.remove(&entry.key).unwrap_or(0);
        }
        self.ids.insert(entry.key.clone(), id);
        self.entries.insert(id, entry);
        self.line.insert(id, 0);
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<dyn Kv>> {
        let id = self.ids.remove(key)?;
        self.line.remove(id);
        let entry = self.entries.remove(&id)?;
        self.past += Counts {
            in_flight: 0,
            ..entry.delivery.tally.counts()
        };
        let shared = self.projects.get(&key.project)?;
        let trigger = (key.app.clone(), key.name.clone());
        shared.way.deliveries.write().remove(&trigger);
        Some(shared.memory.clone())
    }

    /// A run is over: another may have waited for that.
    fn end(&mut self, key: &Key) {
        let Some(id) = self.ids.get(key).copied() else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.state.ended();
            if entry.state.waiting_us.is_some() {
                self.line.insert(id, 0);
            }
        }
    }

    /// What is due, by project.
    fn look(&mut self, now_us: u64) -> BTreeMap<ProjectName, Vec<Due>> {
        let mut looks: BTreeMap<ProjectName, Vec<Due>> = BTreeMap::new();
        for _ in 0..LOOK {
            let Some((id, _)) = self.line.pop_due(now_us) else {
                break;
            };
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            let decision = entry.schedule.due(&entry.state, now_us);
            if let Some(next_us) = decision.next_us {
                self.line.insert(id, next_us);
            }
            if decision.dropped > 0 {
                let Key { project, app, name } = &entry.key;
                let dropped = decision.dropped;
                tracing::info!(%project, %app, trigger = %name, dropped, "runs of a schedule are left out");
            }
            if decision.state == entry.state {
                continue;
            }
            let mut runs = Vec::with_capacity(decision.fire.len());
            for at_us in decision.fire {
                match run(&entry.key, at_us) {
                    Ok(run) => runs.push((at_us, run)),
                    // Every name that can be deployed makes an event.
                    Err(error) => tracing::error!(error = error.chain(), "a run is no event"),
                }
            }
            let look = looks.entry(entry.key.project.clone()).or_default();
            look.push(Due {
                id,
                memory: memory_key(&entry.key),
                state: decision.state,
                runs,
            });
        }
        looks
    }

    /// The looks were written, or are to be looked at again.
    fn settle(&mut self, settled: Vec<(u64, State)>, written: bool, again_us: u64) {
        for (id, state) in settled {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            if written {
                entry.state = state;
            } else {
                self.line.insert(id, again_us);
            }
        }
    }
}

/// A run as an event.
fn run(key: &Key, at_us: u64) -> Result<Message> {
    let source = format!("/apps/{}/triggers/{}", key.app, key.name);
    let id = format!("{}/{at_us}", memory_key(key));
    let event = Event::new(id, source, FIRED)?
        .with("time", rfc3339(at_us))?
        .with(APP, key.app.as_str())?
        .with(NAME, key.name.as_str())?;
    Ok(message::of_event(&event))
}

// === impl Runs ===

impl Way for Runs {
    fn of(&self, event: &Event) -> Option<Arc<Delivery>> {
        let key = self.key(event)?;
        self.deliveries.read().get(&(key.app, key.name)).cloned()
    }

    fn patience(&self, dispatcher: &Dispatcher) -> Duration {
        let deliveries = self.deliveries.read();
        let targets = deliveries.values().filter_map(|d| d.patience(dispatcher));
        targets.max().unwrap_or(REST)
    }

    fn ended(&self, event: &Event) {
        // The one who hears is the task that fires; it reads as fast as it writes. Should it be far behind, the worst is
        // that a run waits which need not.
        if let Some(key) = self.key(event) {
            let _ = self.ended.try_send(key);
        }
    }
}

impl Runs {
    fn key(&self, event: &Event) -> Option<Key> {
        let text = |name: &str| event.attribute(name).map(|value| value.text().into_owned());
        Some(Key {
            project: self.project.clone(),
            app: AppName::new(text(APP)?).ok()?,
            name: Label::new(text(NAME)?).ok()?,
        })
    }
}
