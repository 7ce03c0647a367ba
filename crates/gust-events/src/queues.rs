//! The queues of projects: those that apps name, those that were made by a command, and those that somebody has just
//! published to.

mod made;

use std::{collections::BTreeMap, sync::Arc};

use gust_backend::queue::{Queue, QueueSettings};
use gust_types::{
    AppName, Error, Label, ProjectName, Result, Span,
    trigger::{EventsSpec, TriggerSource, TriggerSpec, WebhookSpec},
};

pub(crate) use self::made::Made;
use crate::{
    Parts,
    triggers::{self, Key},
    webhook,
};

/// Opens queues with the settings that the served apps give them, or that they were made with.
#[derive(Clone)]
pub(crate) struct Queues(pub(crate) Arc<Parts>);

// === impl Queues ===

impl Queues {
    /// A queue of a project, whether or not an app names it.
    pub(crate) fn open(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Queue>> {
        let settings = match triggers::is_inbox(name) {
            true => triggers::inbox_settings(),
            false => self.settings(project, name),
        };
        self.0.backends.queue(project, name, &settings)
    }

    /// The inbox of a webhook, which knows what came for as long as it could come again.
    pub(crate) fn inbox(&self, key: &Key, webhook: &WebhookSpec) -> Result<Arc<dyn Queue>> {
        let settings = QueueSettings {
            dedup: Span(webhook::memory(webhook)),
            ..triggers::inbox_settings()
        };
        let backends = &self.0.backends;
        backends.queue(&key.project, &triggers::inbox(key), &settings)
    }

    /// What the app says that gives it settings, else what it was made with, else the defaults.
    pub(crate) fn settings(&self, project: &ProjectName, name: &Label) -> QueueSettings {
        self.0.dispatcher.queue_settings(project, name)
    }

    /// What will hold once this app is served: what it says itself, or another app.
    pub(crate) fn settings_with(
        &self,
        (project, app, events): (&ProjectName, &AppName, &EventsSpec),
        name: &Label,
    ) -> QueueSettings {
        if let Some(settings) = events.queues.get(name) {
            return settings.clone();
        }
        let served = self.0.dispatcher.events();
        let mut others = served
            .iter()
            .filter(|(of, other, _)| of == project && other != app);
        let settings = others.find_map(|(.., theirs)| theirs.queues.get(name));
        let settings = settings.cloned().or_else(|| {
            let mut made = self.0.dispatcher.made_queues(project);
            made.remove(name)
        });
        settings.unwrap_or_default()
    }

    /// Every queue of a project: those that hold or held something, those that apps name, and those that were made.
    pub(crate) fn all(&self, project: &ProjectName) -> Result<BTreeMap<Label, QueueSettings>> {
        let mut names = self.0.backends.queues(project)?;
        for (of, _, events) in self.0.dispatcher.events() {
            if of == *project {
                names.extend(named(&events));
            }
        }
        names.extend(self.0.dispatcher.made_queues(project).into_keys());
        Ok(names
            .into_iter()
            .map(|name| {
                let settings = self.settings(project, &name);
                (name, settings)
            })
            .collect())
    }

    /// Refuses settings for a queue that another app of the project has given others: who would be right?
    pub(crate) fn check(
        &self,
        project: &ProjectName,
        app: &AppName,
        events: &EventsSpec,
    ) -> Result<()> {
        for (of, other, theirs) in self.0.dispatcher.events() {
            if of != *project || other == *app {
                continue;
            }
            for (name, settings) in &events.queues {
                if theirs
                    .queues
                    .get(name)
                    .is_some_and(|there| there != settings)
                {
                    let text = format!(
                        "app {other:?} has other settings for the queue: {name}",
                        other = other.as_str()
                    );
                    return Err(Error::conflict(text)
                        .hint("let one app say how the queue behaves, or both the same"));
                }
                // Theirs is the trigger, ours are the settings: the queue would give up before the trigger does.
                if let Some(trigger) = theirs
                    .triggers
                    .iter()
                    .find(|theirs| outlasts(theirs, name, settings))
                {
                    let text = format!(
                        "trigger {:?} of app {:?} tries {} times, and the queue would give messages up after {}: {name}",
                        trigger.name.as_str(),
                        other.as_str(),
                        trigger.retry.attempts,
                        settings.attempts
                    );
                    return Err(Error::conflict(text)
                        .hint("give the queue as many attempts, or the trigger fewer"));
                }
            }
        }
        Ok(())
    }
}

/// Whether a trigger takes from this queue and tries more often than the queue does.
fn outlasts(trigger: &TriggerSpec, queue: &Label, settings: &QueueSettings) -> bool {
    let ours = matches!(&trigger.source, TriggerSource::Queue { queue: of, .. } if of == queue);
    ours && settings.attempts != 0 && settings.attempts < trigger.retry.attempts
}

/// The queues that an app names.
fn named(events: &EventsSpec) -> impl Iterator<Item = Label> {
    let of_triggers = events
        .triggers
        .iter()
        .filter_map(|trigger| match &trigger.source {
            TriggerSource::Queue { queue, .. } => Some(queue.clone()),
            _ => None,
        });
    of_triggers.chain(events.queues.keys().cloned())
}
