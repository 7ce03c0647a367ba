//! The queues that were made by a command. What is kept of them is the desk's ([`MadeQueues`]); how they behave is told
//! to the dispatcher, so that everybody who opens one knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gust_backend::{
    desk::{FoundQueue, MadeQueue, MadeQueues},
    queue::QueueSettings,
};
use gust_types::{Error, Label, ProjectName, Result};
use tokio::sync::Notify;

use super::{Queues, named};

/// Made queues, and those that are there.
#[derive(Clone)]
pub(crate) struct Made {
    queues: Queues,
    records: Arc<MadeQueues>,
    /// Rung when settings changed: consumers open their queues again.
    pub(crate) changed: Arc<Notify>,
}

// === impl Made ===

impl Made {
    pub(crate) fn new(queues: Queues) -> Self {
        Self {
            records: Arc::new(MadeQueues::new(queues.0.backends.clone())),
            queues,
            changed: Arc::default(),
        }
    }

    /// Before anything of a project is opened.
    pub(crate) async fn load(&self, project: &ProjectName) -> Result<()> {
        if self.records.load(project).await? {
            self.tell(project);
        }
        Ok(())
    }

    /// Of which projects something is served.
    pub(crate) fn projects(&self) -> BTreeSet<ProjectName> {
        self.queues.0.dispatcher.projects()
    }

    /// Before anything of these is; what cannot be read is said in the log.
    pub(crate) async fn load_all(&self, projects: impl IntoIterator<Item = ProjectName>) {
        for project in projects {
            if let Err(error) = self.load(&project).await {
                tracing::error!(%project, error = error.chain(), "cannot read how queues were made");
            }
        }
    }

    fn tell(&self, project: &ProjectName) {
        let settings = self.records.settings(project);
        let dispatcher = &self.queues.0.dispatcher;
        dispatcher.set_made_queues(project, settings);
        self.changed.notify_one();
    }

    pub(crate) async fn find(
        &self,
        project: &ProjectName,
        name: &Label,
    ) -> Result<Option<FoundQueue>> {
        self.load(project).await?;
        let made = self.records.get(project, name).await?;
        let (named, given) = self.named(project, name);
        if !named && made.is_none() && !self.holds(project, name).await? {
            return Ok(None);
        }
        Ok(Some(FoundQueue {
            settings: self.queues.settings(project, name),
            named,
            given,
            made,
        }))
    }

    pub(crate) async fn all(&self, project: &ProjectName) -> Result<BTreeMap<Label, FoundQueue>> {
        let mut names = BTreeSet::from_iter(self.records.names(project).await?);
        names.extend(self.queues.all(project)?.into_keys());
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(queue) = self.find(project, &name).await? {
                found.insert(name, queue);
            }
        }
        Ok(found)
    }

    /// Whether an app names a queue, and whether one says how it behaves.
    fn named(&self, project: &ProjectName, name: &Label) -> (bool, bool) {
        let served = self.queues.0.dispatcher.events();
        let mut ours = served.iter().filter(|(of, ..)| of == project);
        let given = ours
            .clone()
            .any(|(.., events)| events.queues.contains_key(name));
        let named = ours.any(|(.., events)| named(events).any(|of| of == *name));
        (named, given)
    }

    /// Whether it ever held anything, and was not removed since, or holds something again.
    async fn holds(&self, project: &ProjectName, name: &Label) -> Result<bool> {
        let stats = self.queues.open(project, name)?.stats().await?;
        let held = stats.published > 0;
        Ok(held && (stats.messages > 0 || !self.records.hides(project, name).await?))
    }

    pub(crate) async fn make(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: QueueSettings,
        notes: BTreeMap<String, String>,
    ) -> Result<bool> {
        let fresh = self.records.make(project, name, settings, notes).await?;
        self.tell(project);
        Ok(fresh)
    }

    pub(crate) async fn set(
        &self,
        project: &ProjectName,
        name: &Label,
        to: MadeQueue,
    ) -> Result<()> {
        self.records.set(project, name, to).await?;
        self.tell(project);
        Ok(())
    }

    /// A project is gone.
    pub(crate) async fn forget(&self, project: &ProjectName) -> Result<()> {
        self.records.forget(project).await?;
        self.tell(project);
        Ok(())
    }

    pub(crate) async fn remove(&self, project: &ProjectName, name: &Label) -> Result<bool> {
        let Some(found) = self.find(project, name).await? else {
            return Ok(false);
        };
        if found.named {
            let text = format!("an app names the queue: {name}");
            return Err(Error::conflict(text).hint("take it out of the app's gust.toml first"));
        }
        let queue = self.queues.open(project, name)?;
        let removed = self.records.remove(project, name, &*queue).await;
        self.tell(project);
        removed?;
        tracing::info!(%project, queue = %name, "a queue was removed");
        Ok(true)
    }
}
