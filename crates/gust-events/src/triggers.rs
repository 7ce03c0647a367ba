//! Which triggers run: what the served apps say, no more and no less.
//!
//! Dispatch tells when something was published; then every app's triggers are compared with those that run. One whose
//! words did not change goes on as it is, with what it has in flight.

use std::{collections::HashMap, sync::Arc, time::Duration};

use gust_backend::desk::{Counts, FeedState, Inbox, Progress};
use gust_dispatch::Dispatcher;
use gust_task::{Stop, clock};
use gust_types::{
    AppName, Error, FunctionKey, Label, ProjectName, Result, Span,
    call::Trigger,
    deployment::Variables,
    event::Event,
    template,
    trigger::{QueueSettings, TopicSettings, TriggerSource, TriggerSpec},
};
use parking_lot::Mutex;
use tokio::{sync::OnceCell, task::JoinHandle};

use crate::{
    Parts, Queues, changes,
    deliver::{Consumer, Delivery, EventWork, Nowhere, Once, Place, Tally, Target, Way},
    feeds::{self, Feed},
    filter::Filter,
    retry::RetryPolicy,
    timetable,
    topics::{Pace, Subscribed, TopicReplies, Topics, Turn},
    webhook,
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
    /// Of its topic, when it has one: whoever reads a topic forgets what is too old there.
    keeps: Option<TopicSettings>,
    /// The variables that its source mentions.
    values: Variables,
}

/// Done once what was taken from a queue before the node started is ready again.
type Released = Arc<OnceCell<()>>;
/// How a feed is doing, and its task.
type Fed = (Arc<Mutex<FeedState>>, JoinHandle<Option<()>>);

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
    /// Who moves the cursor of a trigger that takes from a topic: one at a time.
    turns: Mutex<HashMap<Key, Turn>>,
    stop: Stop,
}

struct Running {
    wanted: Wanted,
    tally: Arc<Tally>,
    stop: Stop,
    task: JoinHandle<Option<()>>,
    /// How it keeps up, when it takes from a topic.
    pace: Option<Arc<Pace>>,
    /// What brings its events in, when they come from outside the node.
    feed: Option<Fed>,
}

/// How a trigger fares that runs.
pub(crate) struct State {
    pub(crate) counts: Counts,
    pub(crate) progress: Option<Progress>,
}

/// Everything goes to one function.
struct OneWay(Arc<Delivery>);

/// While the function is not deployed.
const ABSENT: Duration = Duration::from_secs(5);

#[async_trait::async_trait]
impl Way for OneWay {
    fn of(&self, _: &Event) -> Result<(Arc<Delivery>, Place), Nowhere> {
        Ok((self.0.clone(), Place::default()))
    }

    fn patience(&self, dispatcher: &Dispatcher) -> Duration {
        self.0.patience(dispatcher).unwrap_or(ABSENT)
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
            turns: Mutex::default(),
            stop: Stop::new(),
        }
    }

    /// Starts what is new or changed, stops what is gone. One that cannot start is tried again at the next publish.
    pub(crate) fn arrange(&self) {
        let wanted = wanted(&self.parts, &self.queues);
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
        self.turns
            .lock()
            .retain(|_, turn| Arc::strong_count(turn) > 1);
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
        let name = match &wanted.spec.source {
            // The timetable has them.
            TriggerSource::Schedule(_) => return Ok(None),
            TriggerSource::Queue { queue, .. } => queue.clone(),
            _ => inbox(key),
        };
        let delivery = Arc::new(self.delivery(key, &wanted.spec));
        let tally = delivery.tally.clone();
        let work = EventWork {
            queue: name.clone(),
            way: Arc::new(OneWay(delivery)),
            dispatcher: self.parts.dispatcher.clone(),
        };
        let queue = match &wanted.spec.source {
            TriggerSource::Webhook(webhook) => self.queues.inbox(key, webhook)?,
            _ => self.queues.open(&key.project, &name)?,
        };
        let turn = self.turns.lock().entry(key.clone()).or_default().clone();
        let (topics, of) = (Topics(self.parts.clone()), (key, &wanted.spec));
        let subscribed = Subscribed::new(&topics, of, &queue, turn)?;
        let pace = subscribed.as_ref().map(Subscribed::pace);
        let stop = self.stop.child();
        let feed = match &wanted.spec.source {
            TriggerSource::External(external) => {
                let (sources, stop) = (&self.parts.sources, stop.clone());
                let kept = feeds::Kept {
                    queue: queue.clone(),
                    memory: self
                        .parts
                        .backends
                        .kv(&key.project, &Label::reserved("feeds"))?,
                };
                let feed = Feed::open(sources, key, external, &wanted.values, kept, stop)?;
                Some((feed.state(), gust_task::spawn("feed", feed.run())))
            }
            _ => None,
        };
        let consumer = Arc::new(Consumer {
            released: self.released(&key.project, &name),
            queue,
            name,
            work: Arc::new(work),
            batch: wanted.spec.source.batch() as usize,
            concurrency: wanted.spec.concurrency as usize,
        });
        let ours = stop.clone();
        let task = gust_task::spawn("consumer", async move {
            let pumping = async {
                if let Some(subscribed) = subscribed {
                    subscribed.run(&ours).await;
                }
            };
            tokio::join!(consumer.run(ours.clone()), pumping);
        });
        Ok(Some(Running {
            wanted,
            tally,
            stop,
            task,
            pace,
            feed,
        }))
    }

    fn delivery(&self, key: &Key, spec: &TriggerSpec) -> Delivery {
        let trigger = match &spec.source {
            TriggerSource::Topic { .. } | TriggerSource::Changes(_) => Trigger::Topic,
            _ => Trigger::Queue,
        };
        Delivery {
            target: target(key, spec, trigger),
            retry: RetryPolicy::from(&spec.retry),
            tally: Arc::<Tally>::default(),
            replies: TopicReplies::of(Topics(self.parts.clone()), key, spec),
            once: spec
                .exactly_once
                .then(|| Once::new(self.parts.clone(), key.project.clone())),
        }
    }

    /// Where a trigger's events wait, also of one that is gone.
    pub(crate) fn inbox(
        &self,
        project: &ProjectName,
        app: &AppName,
        trigger: &Label,
    ) -> Result<Inbox> {
        let key = Key {
            project: project.clone(),
            app: app.clone(),
            name: trigger.clone(),
        };
        let wanted = wanted(&self.parts, &self.queues);
        let source = wanted.get(&key).map(|wanted| &wanted.spec.source);
        let queue = match source {
            Some(TriggerSource::Queue { queue, .. }) => self.queues.open(project, queue)?,
            Some(TriggerSource::Schedule(_)) => {
                let runs = timetable::queue(&self.parts, project)?;
                return Ok(Inbox::part(runs, key.app, key.name));
            }
            Some(_) => self.queues.open(project, &inbox(&key))?,
            // What one that is gone has left can still be looked at.
            None if self
                .parts
                .backends
                .own_queues(project)?
                .contains(&inbox(&key)) =>
            {
                self.queues.open(project, &inbox(&key))?
            }
            None => {
                let text = format!("there is no such trigger: {app}/{trigger}");
                return Err(Error::not_found(text).hint("list them with: gust trigger ls"));
            }
        };
        Ok(Inbox::whole(queue))
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
    pub(crate) fn of(&self, project: &ProjectName) -> Vec<(Key, TriggerSpec, Option<State>)> {
        let running = self.running.lock();
        let wanted = wanted(&self.parts, &self.queues);
        let mut all: Vec<_> = wanted
            .into_iter()
            .filter(|(key, _)| key.project == *project)
            .map(|(key, wanted)| {
                let state = running.get(&key).map(|runs| State {
                    counts: runs.tally.counts(),
                    progress: runs.pace.as_ref().map(|pace| pace.progress()),
                });
                (key, wanted.spec, state)
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

    /// How those keep up that take from topics, all together.
    pub(crate) fn progress(&self) -> Progress {
        let running = self.running.lock();
        let all = running.values().filter_map(|runs| runs.pace.as_ref());
        all.fold(Progress::default(), |sum, pace| {
            let one = pace.progress();
            Progress {
                lag: sum.lag + one.lag,
                missed: sum.missed + one.missed,
            }
        })
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

// === impl Key ===

impl Key {
    /// The trigger that has a subscription of this name.
    pub(crate) fn of_subscription(project: &ProjectName, name: &str) -> Option<Self> {
        let (app, trigger) = name.split_once('/')?;
        Some(Self {
            project: project.clone(),
            app: AppName::new(app).ok()?,
            name: Label::new(trigger).ok()?,
        })
    }

    /// What its subscription of a topic is called.
    pub(crate) fn subscription(&self) -> String {
        format!("{}/{}", self.app, self.name)
    }
}

/// How the inbox of a trigger behaves: its retries give events up, not the queue.
pub(crate) fn inbox_settings() -> QueueSettings {
    QueueSettings {
        // Only what takes the node down with it gets there.
        attempts: 10_000,
        max_age: Span::secs(14 * 86_400),
        ..QueueSettings::default()
    }
}

/// The queue of a trigger whose events come from somewhere else: they are kept there before anybody is told that they
/// arrived, and delivered from there.
pub(crate) fn inbox(key: &Key) -> Label {
    Label::reserved(&format!("in/{}/{}", key.app, key.name))
}

/// Whether a queue is the inbox of a trigger.
pub(crate) fn is_inbox(queue: &Label) -> bool {
    queue.as_str().starts_with(Label::reserved("in/").as_str())
}

fn wanted(parts: &Arc<Parts>, queues: &Queues) -> HashMap<Key, Wanted> {
    let topics = Topics(parts.clone());
    let mut wanted = HashMap::new();
    for (project, app, events) in parts.dispatcher.events() {
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
            let topic = spec.source.topic();
            let keeps = topic.map(|topic| topics.settings(&project, &topic));
            let wants = Wanted {
                spec: spec.clone(),
                settings,
                keeps,
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
    let names = external.texts().into_iter().flat_map(template::names);
    let of = |name: &str| Some((name.to_owned(), values.0.get(name)?.clone()));
    Variables(names.filter_map(of).collect())
}

/// The same error, saying which trigger's it is.
pub(crate) fn within(trigger: &TriggerSpec, mut error: Error) -> Error {
    error.message = format!("trigger {:?}: {}", trigger.name.as_str(), error.message);
    error
}

/// What a trigger calls.
pub(crate) fn target(key: &Key, spec: &TriggerSpec, trigger: Trigger) -> Target {
    Target {
        function: Arc::new(FunctionKey {
            project: key.project.clone(),
            app: key.app.clone(),
            function: spec.function.clone(),
        }),
        path: spec.path.clone(),
        name: key.subscription(),
        trigger,
        mode: spec.mode,
    }
}

/// Refuses a trigger that could never run. `settings` says how a queue will behave once the app is served.
pub(crate) fn check(
    trigger: &TriggerSpec,
    settings: impl Fn(&Label) -> QueueSettings,
) -> Result<()> {
    let refuse = |why: String| {
        let text = format!("trigger {:?} {why}", trigger.name.as_str());
        Err(Error::invalid(text))
    };
    RetryPolicy::from(&trigger.retry).check()?;
    match &trigger.source {
        TriggerSource::Queue { queue, .. } => {
            let settings = settings(queue);
            if settings.attempts != 0 && settings.attempts < trigger.retry.attempts {
                return refuse(format!(
                    "tries {} times, and its queue gives messages up after {}",
                    trigger.retry.attempts, settings.attempts
                ));
            }
            Ok(())
        }
        TriggerSource::Topic { filters, .. } => match Filter::new(filters) {
            Ok(_) => Ok(()),
            Err(error) => Err(within(trigger, error)),
        },
        TriggerSource::Changes(spec) => {
            let checked = spec.check().and_then(|()| changes::filter(spec));
            checked.map(drop).map_err(|error| within(trigger, error))
        }
        TriggerSource::Schedule(schedule) => {
            let compiled =
                timetable::compile(schedule, "").map_err(|error| within(trigger, error))?;
            match (&schedule.cron, compiled.next_after(clock::unix_micros())) {
                (Some(cron), None) => refuse(format!("never fires again: {cron:?}")),
                _ => Ok(()),
            }
        }
        // Its plug-in checks it.
        TriggerSource::External(_) => Ok(()),
        TriggerSource::Webhook(spec) => {
            webhook::check(spec).map_err(|error| within(trigger, error))
        }
    }
}
