//! What functions publish to: queues of their project, which behave as the served apps say.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use gust_backend::{
    outlet::Outlet,
    queue::{Message, Published, Queue, QueueLimits, check},
};
use gust_types::{Error, Label, ProjectName, Result};
use parking_lot::Mutex;

use crate::{Core, engine::Engine};

/// A queue of a project.
pub(super) struct QueueOutlet {
    core: Weak<Core>,
    project: ProjectName,
    name: Label,
    opened: Mutex<Option<Opened>>,
}

/// The queue as it behaves since a publish.
struct Opened {
    since: u64,
    queue: Arc<dyn Queue>,
}

// === impl QueueOutlet ===

impl QueueOutlet {
    pub(super) fn new(engine: &Engine, project: &ProjectName, name: &Label) -> Self {
        Self {
            core: engine.core.clone(),
            project: project.clone(),
            name: name.clone(),
            opened: Mutex::default(),
        }
    }

    /// Opened again when something was deployed since: the queue's settings may have changed with it.
    fn queue(&self) -> Result<Arc<dyn Queue>> {
        let core = self.core.upgrade();
        let core = core.ok_or_else(|| Error::unavailable("the node is stopping"))?;
        // Read before the settings are: the worst is one more look.
        let now = *core.published.count().borrow();
        let mut opened = self.opened.lock();
        if let Some(opened) = &*opened
            && opened.since == now
        {
            return Ok(opened.queue.clone());
        }
        let settings = core
            .published
            .table()
            .queue_settings(&self.project, &self.name);
        let backends = &core.engine.parts.backends;
        let queue = backends.queue(&self.project, &self.name, &settings)?;
        *opened = Some(Opened {
            since: now,
            queue: queue.clone(),
        });
        Ok(queue)
    }
}

#[async_trait]
impl Outlet for QueueOutlet {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>> {
        messages.iter().try_for_each(check::attributes)?;
        self.queue()?.publish(messages).await
    }

    fn limits(&self) -> QueueLimits {
        self.queue().map(|queue| queue.limits()).unwrap_or_default()
    }
}
