//! Which triggers run: what the served apps say, no more and no less.
//!
//! Dispatch tells when something was published; then every app's triggers are compared with those that run. One whose
//! words did not change goes on as it is, with what it has in flight.

use std::{collections::HashMap, sync::Arc, time::Duration};

use gust_backend::desk::{Counts, FeedState};
use gust_dispatch::Dispatcher;
use gust_task::Stop;
use gust_types::{
    AppName, Error, FunctionKey, Label, ProjectName, Result,
    call::Trigger,
    deployment::Variables,
    event::Event,
    template,
    trigger::{EventsSpec, QueueSettings, TriggerSource, TriggerSpec},
};
use parking_lot::Mutex;
use tokio::{sync::OnceCell, task::JoinHandle};

use crate::{
    Parts, Queues,
    deliver::{Consumer, Delivery, EventWork, Tally, Target, Way},
    feeds::Feed,
    retry::RetryPolicy,
    timetable,
};

/// A trigger's full name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) project: ProjectName,
    pub(crate) app: AppName,
    pub(crate) name: Label,
}

/// Everything that decides how a trigger behaves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) spec: TriggerSpec,
    /// Of its queue, when it has one.
    settings: Option<QueueSettings>,
    /// The variables that its source mentions.
    values: Variables,
}

/// Done once what was taken from a queue before the node started is ready again.
type Released = Arc<OnceCell<()>>;

/// The triggers of a node.
pub(crate) struct Triggers {
    parts: Arc<Parts>,
    queues: Queues,
    running: Mutex<HashMap<Key, Running>>,
    /// Consumers that were told to stop and still settle.
    leaving: Mutex<Vec<Running>>,
    /// What became of the events of those that are gone.
    past: Mutex<Counts>,
    /// Queues that were taken from since the node started.
    seen: Mutex<HashMap<(ProjectName, Label), Released>>,
    stop: Stop,
}

struct Running {
    wanted: Wanted,
    tally: Arc<Tally>,
    stop: Stop,
    task: JoinHandle<Option<()>>,
    /// What brings its events in, when they come from outside the node.
    feed: Option<(Arc<Mutex<FeedState>>, JoinHandle<Option<()>>)>,
}

/// Everything goes to one function.
struct OneWay(Arc<Delivery>);

/// While the function is not deployed.
const ABSENT: Duration = Duration::from_secs(5);

impl Way for OneWay {
    fn of(&self, _: &Event) -> Option<Arc<Delivery>> {
        Some(self.0.clone())
    }

    fn patience(&self, dispatcher: &Dispatcher) -> Duration {
        self.0.target.patience(dispatcher).unwrap_or(ABSENT)
    }

    fn ended(&self, _: &Event) {}
}

// === impl Triggers ===

impl Triggers {
    pub(crate) fn new(parts: Arc<Parts>, queues: Queues) -> Self {
        Self {
            parts,
            queues,
            running: Mutex::default(),
            leaving: Mutex::default(),
            past: Mutex::default(),
            seen: Mutex::default(),
            stop: Stop::new(),
        }
    }

    /// Starts what is new or changed, stops what is gone. One that cannot start is tried again at the next publish.
    pub(crate) fn arrange(&self) {
        let wanted = wanted(&self.parts.dispatcher, &self.queues);
        let mut running = self.running.lock();
        let mut leaving = self.leaving.lock();
        for left in leaving.extract_if(.., |left| left.task.is_finished()) {
            *self.past.lock() += left.tally.counts();
        }
        let gone = running.extract_if(|key, runs| wanted.get(key) != Some(&runs.wanted));
        for (_, gone) in gone {
            gone.stop.stop();
            leaving.push(gone);
        }
        for (key, wanted) in wanted {
            if running.contains_key(&key) || self.stop.is_stopped() {
                continue;
            }
            match self.start(&key, wanted) {
                Ok(started) => drop(started.map(|started| running.insert(key, started))),
                Err(error) => {
                    let Key { project, app, name } = &key;
                    tracing::error!(%project, %app, trigger = %name, error = error.chain(), "a trigger does not run");
                }
            }
        }
    }

    fn start(&self, key: &Key, wanted: Wanted) -> Result<Option<Running>> {
        let (name, batch) = match &wanted.spec.source {
            TriggerSource::Queue { queue, batch } => (queue.clone(), *batch),
            // The timetable has them.
            TriggerSource::Schedule(_) => return Ok(None),
            TriggerSource::Topic { .. } | TriggerSource::External(_) => (inbox(key), 1),
        };
        let delivery = Arc::new(Delivery {
            target: Target {
                function: Arc::new(FunctionKey {
                    project: key.project.clone(),
                    app: key.app.clone(),
                    function: wanted.spec.function.clone(),
                }),
                path: wanted.spec.path.clone(),
                trigger: Trigger::Queue,
            },
            retry: RetryPolicy::from(&wanted.spec.retry),
            tally: Arc::<Tally>::default(),
        });
        let tally = delivery.tally.clone();
        let work = EventWork {
            queue: name.clone(),
            way: Arc::new(OneWay(delivery)),
            dispatcher: self.parts.dispatcher.clone(),
        };
        let queue = self.queues.open(&key.project, &name)?;
        let stop = self.stop.child();
        let feed = match &wanted.spec.source {
            TriggerSource::External(external) => {
                let (sources, stop) = (&self.parts.sources, stop.clone());
                let feed = Feed::open(sources, key, external, &wanted.values, queue.clone(), stop)?;
                Some((feed.state(), gust_task::spawn("feed", feed.run())))
            }
            _ => None,
        };
        let consumer = Consumer {
            released: self.released(&key.project, &name),
            queue,
            name,
            work: Arc::new(work),
            batch: batch as usize,
            concurrency: wanted.spec.concurrency as usize,
        };
        let task = gust_task::spawn("consumer", Arc::new(consumer).run(stop.clone()));
        Ok(Some(Running {
            wanted,
            tally,
            stop,
            task,
            feed,
        }))
    }

    /// How the source of a trigger is doing that is outside the node.
    pub(crate) fn feed(&self, key: &Key) -> Option<FeedState> {
        let running = self.running.lock();
        let (state, _) = running.get(key)?.feed.as_ref()?;
        let state = state.lock().clone();
        Some(state)
    }

    fn released(&self, project: &ProjectName, queue: &Label) -> Released {
        let key = (project.clone(), queue.clone());
        self.seen.lock().entry(key).or_default().clone()
    }

    /// The triggers of a project, by app and name, with what became of their messages.
    pub(crate) fn of(&self, project: &ProjectName) -> Vec<(Key, TriggerSpec, Option<Arc<Tally>>)> {
        let running = self.running.lock();
        let wanted = wanted(&self.parts.dispatcher, &self.queues);
        let mut all: Vec<_> = wanted
            .into_iter()
            .filter(|(key, _)| key.project == *project)
            .map(|(key, wanted)| {
                let tally = running.get(&key).map(|runs| runs.tally.clone());
                (key, wanted.spec, tally)
            })
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// What became of events since the node started, over all triggers there were.
    pub(crate) fn counts(&self) -> Counts {
        let running = self.running.lock();
        let leaving = self.leaving.lock();
        let mut sum = *self.past.lock();
        for runs in running.values().chain(leaving.iter()) {
            sum += runs.tally.counts();
        }
        sum
    }

    /// Takes nothing more.
    pub(crate) fn stop(&self) {
        self.stop.stop();
    }

    /// Takes nothing more, and waits for what is under way.
    pub(crate) async fn close(&self) {
        self.stop();
        let mut all = std::mem::take(&mut *self.leaving.lock());
        all.extend(self.running.lock().drain().map(|(_, runs)| runs));
        for left in all {
            // A consumer that panicked has said so.
            let _ = left.task.await;
            if let Some((_, feed)) = left.feed {
                let _ = feed.await;
            }
            *self.past.lock() += left.tally.counts();
        }
    }
}

/// The queue of a trigger whose events come from somewhere else: they are kept there before anybody is told that they
/// arrived, and delivered from there.
pub(crate) fn inbox(key: &Key) -> Label {
    Label::reserved(&format!("in/{}/{}", key.app, key.name))
}

fn wanted(dispatcher: &Dispatcher, queues: &Queues) -> HashMap<Key, Wanted> {
    let mut wanted = HashMap::new();
    for (project, app, events) in dispatcher.events() {
        for spec in &events.triggers {
            let key = Key {
                project: project.clone(),
                app: app.clone(),
                name: spec.name.clone(),
            };
            let settings = match &spec.source {
                TriggerSource::Queue { queue, .. } => Some(queues.settings(&project, queue)),
                _ => None,
            };
            let wants = Wanted {
                spec: spec.clone(),
                settings,
                values: mentioned(spec, &events.values),
            };
            wanted.insert(key, wants);
        }
    }
    wanted
}

/// The variables that a trigger's source mentions: another one's new value does not disturb it.
fn mentioned(spec: &TriggerSpec, values: &Variables) -> Variables {
    let TriggerSource::External(external) = &spec.source else {
        return Variables::default();
    };
    let names = external.texts().flat_map(template::names);
    let of = |name: &str| Some((name.to_owned(), values.0.get(name)?.clone()));
    Variables(names.filter_map(of).collect())
}

/// The same error, saying which trigger's it is.
pub(crate) fn within(trigger: &TriggerSpec, mut error: Error) -> Error {
    error.message = format!("trigger {:?}: {}", trigger.name.as_str(), error.message);
    error
}

/// Refuses a trigger that could never run.
pub(crate) fn check(trigger: &TriggerSpec, events: &EventsSpec) -> Result<()> {
    let refuse = |why: String| {
        let text = format!("trigger {:?} {why}", trigger.name.as_str());
        Err(Error::invalid(text))
    };
    RetryPolicy::from(&trigger.retry).check()?;
    match &trigger.source {
        TriggerSource::Queue { queue, .. } => {
            let settings = events.queues.get(queue).cloned().unwrap_or_default();
            if settings.attempts != 0 && settings.attempts < trigger.retry.attempts {
                return refuse(format!(
                    "tries {} times, and its queue gives messages up after {}",
                    trigger.retry.attempts, settings.attempts
                ));
            }
            Ok(())
        }
        TriggerSource::Topic { .. } => refuse("names a topic, which is not built yet".to_owned()),
        TriggerSource::Schedule(schedule) => match timetable::compile(schedule, "") {
            Ok(_) => Ok(()),
            Err(error) => Err(within(trigger, error)),
        },
        // Its plug-in checks it.
        TriggerSource::External(_) => Ok(()),
    }
}
