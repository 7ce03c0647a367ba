//! Events: what starts a function besides a request, and nothing lost on the way.
//!
//! This room turns what arrives into CloudEvents ([`http`]), decides who gets them ([`filter`]), when schedules fire
//! ([`schedule`]) and what is tried again ([`retry`]), moves what triggers want out of topics, and delivers what the durable
//! queues hold. It never keeps anything itself: that is a backend's. It never runs a function itself: deliveries enter the
//! one path like any call.
//!
//! Start with [`Events`], then `triggers.rs` (which triggers run) and `deliver/consumer.rs` (how one does).
#![warn(missing_docs)]

mod changes;
mod deliver;
mod feeds;
pub mod filter;
mod hooks;
pub mod http;
mod later;
pub mod message;
mod post;
mod queues;
pub mod retry;
pub mod schedule;
mod timetable;
mod topics;
mod triggers;
pub mod webhook;

use std::{collections::BTreeMap, sync::Arc};

use ::http::HeaderMap;
use async_trait::async_trait;
use bytes::Bytes;
use gust_backend::{
    Backends,
    changes::Watched,
    desk::{
        Counts, Desk, EventPage, EventQuery, FoundQueue, Inbox, Later, MadeQueue, Progress, Ready,
        TriggerState,
    },
    queue::{Message, Published, Queue, QueueSettings},
    topic::{Appended, Topic, TopicSettings},
};
use gust_dispatch::Dispatcher;
use gust_task::Stop;
use gust_telemetry::Histogram;
use gust_types::{
    AppName, Event, Label, ProjectName, Result,
    trigger::{EventsSpec, TriggerSource},
};

use self::{
    changes::Watches,
    hooks::Inboxes,
    later::Calls,
    queues::{Made, Queues},
    timetable::Timetable,
    topics::Topics,
    triggers::Triggers,
};
pub use self::{feeds::Sources, post::Callbacks};

/// What this room needs from others.
pub struct Parts {
    /// Calls functions, and tells what is served.
    pub dispatcher: Dispatcher,
    /// Keeps the queues and topics.
    pub backends: Arc<dyn Backends>,
    /// Brings in events from outside the node.
    pub sources: Sources,
    /// How callbacks reach their addresses.
    pub callbacks: Callbacks,
}

/// The events of a node. Clones are handles to the same ones.
#[derive(Clone)]
pub struct Events {
    queues: Queues,
    made: Made,
    topics: Topics,
    triggers: Arc<Triggers>,
    timetable: Arc<Timetable>,
    later: Calls,
    inboxes: Arc<Inboxes>,
    watches: Arc<Watches>,
    stop: Stop,
}

// === impl Events ===

impl Events {
    /// The events of a node; nothing runs yet.
    pub fn new(parts: Parts) -> Self {
        let parts = Arc::new(parts);
        let queues = Queues(parts.clone());
        let made = Made::new(queues.clone());
        Self {
            triggers: Arc::new(Triggers::new(parts.clone(), queues.clone())),
            timetable: Arc::new(Timetable::new(parts.clone())),
            watches: Arc::new(Watches::new(parts.clone())),
            later: Calls::new(parts, queues.clone(), made.clone()),
            inboxes: Arc::default(),
            stop: Stop::new(),
            topics: Topics(queues.0.clone()),
            made,
            queues,
        }
    }

    /// Runs the triggers of what is served, now and after every publish, until they are closed or `stop`.
    pub fn start(&self, stop: &Stop) {
        let (ours, theirs) = (self.clone(), stop.clone());
        gust_task::spawn("events stop", async move {
            theirs.stopped().await;
            ours.stop.stop();
            ours.triggers.stop();
            ours.later.stop();
        });
        gust_task::spawn("timetable", self.timetable.clone().run(self.stop.clone()));
        gust_task::spawn("watches", self.watches.clone().run(self.stop.clone()));
        gust_task::spawn("calls", self.later.clone().run(self.stop.clone()));
        let (triggers, stop) = (self.triggers.clone(), self.stop.clone());
        let mut publishes = self.queues.0.dispatcher.publishes();
        let made = self.made.clone();
        gust_task::spawn("triggers", async move {
            loop {
                publishes.mark_unchanged();
                // Consumers open their queues as these were made.
                made.load_all(made.projects()).await;
                triggers.arrange();
                tokio::select! {
                    changed = publishes.changed() => if changed.is_err() { break },
                    () = made.changed.notified() => {}
                    () = stop.stopped() => break,
                }
            }
        });
    }

    /// Takes nothing more from any queue, and waits until what is under way is settled.
    pub async fn close(&self) {
        self.stop.stop();
        self.triggers.close().await;
        self.timetable.close().await;
        self.later.close().await;
    }

    /// From when runs of schedules are due until they are written down.
    pub fn lateness(&self) -> Arc<Histogram> {
        self.timetable.lateness()
    }

    /// How triggers keep up with their topics, over all that run.
    pub fn progress(&self) -> Progress {
        self.triggers.progress()
    }

    /// What became of deliveries, over all triggers that run.
    pub fn counts(&self) -> Counts {
        let mut sum = self.triggers.counts();
        sum += self.timetable.counts();
        sum += self.later.counts();
        sum
    }

    /// Makes calls later, for the doors.
    pub fn later(&self) -> Arc<dyn Later> {
        Arc::new(self.later.clone())
    }
}

#[async_trait]
impl Desk for Events {
    fn check(&self, project: &ProjectName, app: &AppName, events: &EventsSpec) -> Result<()> {
        for trigger in &events.triggers {
            let settings = |queue: &Label| self.queues.settings_with((project, app, events), queue);
            triggers::check(trigger, settings)?;
            if let TriggerSource::External(external) = &trigger.source {
                let checked = self.queues.0.sources.check(external, &events.values);
                checked.map_err(|error| triggers::within(trigger, error))?;
            }
        }
        self.queues.check(project, app, events)?;
        self.topics.check(project, app, events)
    }

    async fn prepare(
        &self,
        project: &ProjectName,
        app: &AppName,
        events: &EventsSpec,
    ) -> Result<Ready> {
        self.made.load(project).await?;
        let _turn = self.watches.turn().await;
        let ready = self.watches.under_way(project, app);
        // Subscribed first: what is watched is told from then on.
        self.topics.prepare(project, app, events).await?;
        self.watches.prepare(project, events).await?;
        Ok(ready)
    }

    fn restored(&self, projects: Vec<ProjectName>, left_out: Vec<(ProjectName, AppName)>) {
        let (made, of) = (self.made.clone(), projects.clone());
        gust_task::spawn("made queues", async move { made.load_all(of).await });
        self.watches.restored(projects, left_out);
    }

    fn queues(&self, project: &ProjectName) -> Result<Vec<(Label, QueueSettings)>> {
        Ok(self.queues.all(project)?.into_iter().collect())
    }

    fn queue(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Queue>> {
        self.queues.open(project, name)
    }

    async fn find_queue(&self, project: &ProjectName, name: &Label) -> Result<Option<FoundQueue>> {
        self.made.find(project, name).await
    }

    async fn find_queues(&self, project: &ProjectName) -> Result<BTreeMap<Label, FoundQueue>> {
        self.made.all(project).await
    }

    async fn make_queue(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: QueueSettings,
        notes: BTreeMap<String, String>,
    ) -> Result<bool> {
        self.made.make(project, name, settings, notes).await
    }

    async fn set_queue(&self, project: &ProjectName, name: &Label, to: MadeQueue) -> Result<()> {
        self.made.set(project, name, to).await
    }

    async fn remove_queue(&self, project: &ProjectName, name: &Label) -> Result<bool> {
        self.made.remove(project, name).await
    }

    async fn publish(
        &self,
        project: &ProjectName,
        queue: &Label,
        messages: Vec<Message>,
    ) -> Result<Vec<Published>> {
        self.made.load(project).await?;
        messages.iter().try_for_each(message::check)?;
        self.queues.open(project, queue)?.publish(messages).await
    }

    fn topics(&self, project: &ProjectName) -> Result<Vec<(Label, TopicSettings)>> {
        Ok(self.topics.all(project)?.into_iter().collect())
    }

    fn streams(&self, project: &ProjectName) -> Result<Vec<Watched>> {
        let all = self.queues.0.backends.streams()?.into_iter();
        let of = all.filter(|(of, _)| of == project);
        Ok(of.map(|(_, watched)| watched).collect())
    }

    fn topic(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Topic>> {
        self.topics.open(project, name)
    }

    async fn publish_events(
        &self,
        project: &ProjectName,
        topic: &Label,
        events: Vec<Event>,
        once: bool,
    ) -> Result<Vec<Appended>> {
        self.topics.publish(project, topic, &events, once).await
    }

    async fn publish_request(
        &self,
        project: &ProjectName,
        topic: &Label,
        headers: &HeaderMap,
        body: Bytes,
        once: bool,
    ) -> Result<Vec<Appended>> {
        let request = (headers, body);
        self.topics
            .publish_request(project, topic, request, once)
            .await
    }

    async fn read_events(
        &self,
        project: &ProjectName,
        topic: &Label,
        query: EventQuery,
    ) -> Result<EventPage> {
        self.topics.read(project, topic, query).await
    }

    fn inbox(&self, project: &ProjectName, app: &AppName, trigger: &Label) -> Result<Inbox> {
        self.triggers.inbox(project, app, trigger)
    }

    fn triggers(&self, project: &ProjectName) -> Vec<TriggerState> {
        let all = self.triggers.of(project).into_iter();
        all.map(|(key, spec, state)| {
            let feed = self.triggers.feed(&key);
            let progress = state.as_ref().and_then(|state| state.progress);
            let (counts, next_us) = match (&spec.source, state) {
                (TriggerSource::Schedule(_), _) => self.timetable.of(&key).unzip(),
                (_, state) => (state.map(|state| state.counts), None),
            };
            let queue = match &spec.source {
                TriggerSource::Schedule(_) => None,
                TriggerSource::Queue { queue, .. } => Some(queue.clone()),
                _ => Some(triggers::inbox(&key)),
            };
            TriggerState {
                app: key.app,
                queue,
                spec,
                running: counts.is_some(),
                counts: counts.unwrap_or_default(),
                next_us: next_us.flatten(),
                progress,
                feed,
            }
        })
        .collect()
    }
}
