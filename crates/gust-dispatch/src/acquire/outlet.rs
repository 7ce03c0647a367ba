//! What functions publish to: queues and topics of their project, which behave as the served apps say.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use gust_backend::{
    outlet::Outlet,
    queue::{Message, MessageId, Published, Queue, QueueLimits, check},
    topic::{Topic, shape},
    unit::Place,
};
use gust_task::clock;
use gust_types::{Error, Label, ProjectName, Result, event::Cause};
use parking_lot::Mutex;

use crate::{Core, engine::Engine};

/// A queue of a project.
pub(super) fn queue(engine: &Engine, project: &ProjectName, name: &Label) -> Arc<dyn Outlet> {
    Arc::new(QueueOutlet(Door::new(engine, project, name)))
}

/// A topic of a project.
pub(super) fn topic(engine: &Engine, project: &ProjectName, name: &Label) -> Arc<dyn Outlet> {
    Arc::new(TopicOutlet(Door::new(engine, project, name)))
}

struct QueueOutlet(Door<Arc<dyn Queue>>);

struct TopicOutlet(Door<Arc<dyn Topic>>);

/// Something of a project, as it behaves since a publish.
struct Door<T> {
    core: Weak<Core>,
    project: ProjectName,
    name: Label,
    opened: Mutex<Option<Opened<T>>>,
}

#[derive(Clone)]
struct Opened<T> {
    since: u64,
    place: Place,
    there: T,
}

// === impl Door ===

impl<T: Clone> Door<T> {
    fn new(engine: &Engine, project: &ProjectName, name: &Label) -> Self {
        Self {
            core: engine.core.clone(),
            project: project.clone(),
            name: name.clone(),
            opened: Mutex::default(),
        }
    }

    /// Opened again when something was deployed since: the settings may have changed with it.
    fn open(&self, open: impl FnOnce(&Core) -> Result<(Place, T)>) -> Result<Opened<T>> {
        let core = self.core.upgrade();
        let core = core.ok_or_else(|| Error::unavailable("the node is stopping"))?;
        // Read before the settings are: the worst is one more look.
        let now = *core.published.count().borrow();
        let mut opened = self.opened.lock();
        if let Some(opened) = &*opened
            && opened.since == now
        {
            return Ok(opened.clone());
        }
        let (place, there) = open(&core)?;
        let fresh = Opened {
            since: now,
            place,
            there,
        };
        *opened = Some(fresh.clone());
        Ok(fresh)
    }
}

// === impl QueueOutlet ===

impl QueueOutlet {
    fn open(&self) -> Result<Opened<Arc<dyn Queue>>> {
        let Door { project, name, .. } = &self.0;
        self.0.open(|core| {
            let settings = core.published.queue_settings(project, name);
            let backends = &core.engine.parts.backends;
            let queue = backends.queue(project, name, &settings)?;
            Ok((Place::Queue(name.clone(), settings), queue))
        })
    }
}

#[async_trait]
impl Outlet for QueueOutlet {
    /// A message of a queue carries no cause: a function that hands itself its next piece of work is no loop.
    fn shape(&self, messages: Vec<Message>, _: Option<&Cause>) -> Result<Vec<Message>> {
        messages.iter().try_for_each(check::attributes)?;
        Ok(messages)
    }

    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>> {
        self.open()?.there.publish(messages).await
    }

    fn limits(&self) -> QueueLimits {
        let opened = self.open();
        opened.map(|it| it.there.limits()).unwrap_or_default()
    }

    fn place(&self) -> Result<Place> {
        Ok(self.open()?.place)
    }
}

// === impl TopicOutlet ===

impl TopicOutlet {
    fn open(&self) -> Result<Opened<Arc<dyn Topic>>> {
        let Door { project, name, .. } = &self.0;
        self.0.open(|core| {
            let settings = core.published.table().topic_settings(project, name);
            let backends = &core.engine.parts.backends;
            let topic = backends.topic(project, name, &settings)?;
            Ok((Place::Topic(name.clone(), settings, None), topic))
        })
    }
}

#[async_trait]
impl Outlet for TopicOutlet {
    fn shape(&self, messages: Vec<Message>, cause: Option<&Cause>) -> Result<Vec<Message>> {
        shape::events(messages, cause, &self.limits(), clock::unix_micros())
    }

    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>> {
        let appended = self.open()?.there.publish(messages, None).await?;
        let published = appended.into_iter().map(|appended| Published {
            id: MessageId(appended.position.0),
            duplicate: appended.duplicate,
        });
        Ok(published.collect())
    }

    fn limits(&self) -> QueueLimits {
        let opened = self.open();
        opened.map(|it| it.there.limits()).unwrap_or_default()
    }

    fn place(&self) -> Result<Place> {
        Ok(self.open()?.place)
    }
}
