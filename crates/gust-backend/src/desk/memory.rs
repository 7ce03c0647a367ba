//! The desk without an events room, for the tests of doors: queues and topics of any backends, and no apps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use gust_types::{AppName, Error, Event, Label, ProjectName, Result, trigger::EventsSpec};
use http::HeaderMap;
use parking_lot::Mutex;

use super::{
    Desk, EventPage, EventQuery, FoundQueue, Inbox, MadeQueue, MadeQueues, Ready, TriggerState,
};
use crate::{
    Backends,
    changes::Watched,
    queue::{Message, Published, Queue, QueueSettings, check, event},
    topic::{Appended, Topic, TopicSettings},
};

/// Publishes and keeps, and delivers nothing.
pub struct MemoryDesk {
    backends: Arc<dyn Backends>,
    made: MadeQueues,
    named: Mutex<BTreeMap<Label, QueueSettings>>,
}

// === impl MemoryDesk ===

impl MemoryDesk {
    /// A desk over these backends.
    pub fn new(backends: Arc<dyn Backends>) -> Self {
        Self {
            made: MadeQueues::new(backends.clone()),
            backends,
            named: Mutex::default(),
        }
    }

    /// As if an app were served that says how this queue behaves.
    pub fn name(&self, queue: Label, settings: QueueSettings) {
        self.named.lock().insert(queue, settings);
    }

    fn settings(&self, project: &ProjectName, name: &Label) -> QueueSettings {
        let named = self.named.lock().get(name).cloned();
        named
            .or_else(|| self.made.settings(project).remove(name))
            .unwrap_or_default()
    }
}

fn served() -> Error {
    Error::unavailable("there are no apps in memory")
}

#[async_trait]
impl Desk for MemoryDesk {
    fn check(&self, _: &ProjectName, _: &AppName, _: &EventsSpec) -> Result<()> {
        Err(served())
    }

    fn queues(&self, project: &ProjectName) -> Result<Vec<(Label, QueueSettings)>> {
        let names = self.backends.queues(project)?.into_iter();
        let with = |name| {
            let settings = self.settings(project, &name);
            (name, settings)
        };
        Ok(names.map(with).collect())
    }

    fn queue(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Queue>> {
        let settings = self.settings(project, name);
        self.backends.queue(project, name, &settings)
    }

    async fn find_queue(&self, project: &ProjectName, name: &Label) -> Result<Option<FoundQueue>> {
        let (made, named) = (self.made.get(project, name).await?, {
            let named = self.named.lock();
            named.contains_key(name)
        });
        let mut there = named || made.is_some();
        if !there {
            let stats = self.queue(project, name)?.stats().await?;
            let hidden = self.made.hides(project, name).await?;
            there = stats.messages > 0 || stats.published > 0 && !hidden;
        }
        Ok(there.then(|| FoundQueue {
            settings: self.settings(project, name),
            named,
            given: named,
            made,
        }))
    }

    async fn find_queues(&self, project: &ProjectName) -> Result<BTreeMap<Label, FoundQueue>> {
        let mut names: BTreeSet<_> = self.backends.queues(project)?.into_iter().collect();
        names.extend(self.made.names(project).await?);
        names.extend(self.named.lock().keys().cloned());
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(queue) = self.find_queue(project, &name).await? {
                found.insert(name, queue);
            }
        }
        Ok(found)
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
        let Some(found) = self.find_queue(project, name).await? else {
            return Ok(false);
        };
        if found.named {
            return Err(Error::conflict(format!("an app names the queue: {name}")));
        }
        let queue = self.queue(project, name)?;
        self.made.remove(project, name, &*queue).await?;
        Ok(true)
    }

    async fn publish(
        &self,
        project: &ProjectName,
        queue: &Label,
        messages: Vec<Message>,
    ) -> Result<Vec<Published>> {
        messages.iter().try_for_each(check::attributes)?;
        self.made.load(project).await?;
        self.queue(project, queue)?.publish(messages).await
    }

    async fn prepare(&self, _: &ProjectName, _: &AppName, _: &EventsSpec) -> Result<Ready> {
        Err(served())
    }

    fn restored(&self, _: Vec<ProjectName>, _: Vec<(ProjectName, AppName)>) {}

    fn topics(&self, project: &ProjectName) -> Result<Vec<(Label, TopicSettings)>> {
        let names = self.backends.topics(project)?.into_iter();
        Ok(names.map(|name| (name, TopicSettings::default())).collect())
    }

    fn streams(&self, _: &ProjectName) -> Result<Vec<Watched>> {
        Ok(Vec::new())
    }

    fn topic(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Topic>> {
        let settings = TopicSettings::default();
        self.backends.topic(project, name, &settings)
    }

    async fn publish_events(
        &self,
        project: &ProjectName,
        topic: &Label,
        events: Vec<Event>,
        _: bool,
    ) -> Result<Vec<Appended>> {
        let messages = events.iter().map(event::of_event).collect();
        self.topic(project, topic)?.publish(messages, None).await
    }

    async fn publish_request(
        &self,
        _: &ProjectName,
        _: &Label,
        _: &HeaderMap,
        _: Bytes,
        _: bool,
    ) -> Result<Vec<Appended>> {
        Err(served())
    }

    async fn read_events(&self, _: &ProjectName, _: &Label, _: EventQuery) -> Result<EventPage> {
        Err(served())
    }

    fn inbox(&self, _: &ProjectName, _: &AppName, _: &Label) -> Result<Inbox> {
        Err(served())
    }

    fn triggers(&self, _: &ProjectName) -> Vec<TriggerState> {
        Vec::new()
    }
}
