//! Queues that were made by a command: what is kept of them, so that they are there before any message is. They are in the
//! store that doors have for what only they keep of a project ([`doors`]), under keys of their own.
//!
//! | key | value |
//! |---|---|
//! | `q/` queue | the record; one that says `removed` hides what the engine still knows of the name |
//!
//! Easily confused: a queue is *made* when somebody asked for it by a command, *named* when a served app mentions it, and
//! *there* when either is so or it holds messages. What an app says of a queue goes before what it was made with.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use gust_task::clock;
use gust_types::{Error, Label, ProjectName, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    Backends,
    kv::{Kv, KvExt as _, ListOptions, Write},
    queue::{Queue, QueueSettings},
};

/// Made queues of a project.
const MOST: usize = 2000;
/// Records that are read: removed ones are as many as queues that ever held anything, which are counted elsewhere.
const READ: usize = 20_000;
/// Keys that are forgotten in one batch.
const CLEARED: usize = 500;
/// Bytes of what is noted of one queue.
const NOTES: usize = 64 << 10;

/// Where doors keep what only they know of a project: a store that nobody else can name, and that is forgotten with the
/// project. Keys begin with a letter and `/`; `q/` is taken.
pub fn doors(backends: &dyn Backends, project: &ProjectName) -> Result<Arc<dyn Kv>> {
    backends.kv(project, &Label::reserved("doors"))
}

/// What is kept of a queue beside its messages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MadeQueue {
    /// How it behaves where no app says; `None` for one of which something was only noted.
    pub settings: Option<QueueSettings>,
    /// What a door keeps of it, by names of the door's own: 64 KiB in all.
    pub notes: BTreeMap<String, String>,
    /// When it was made, Unix microseconds.
    pub made_us: u64,
    /// When anything of this changed, Unix microseconds.
    pub changed_us: u64,
    /// Grows with every change.
    pub version: u64,
}

/// A queue that is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FoundQueue {
    /// How it behaves.
    pub settings: QueueSettings,
    /// Whether a served app names it: then it cannot be removed.
    pub named: bool,
    /// Whether a served app says how it behaves: then nobody else does.
    pub given: bool,
    /// What is kept of it, if anything is.
    pub made: Option<MadeQueue>,
}

/// The records of all projects. A project's are read once and kept in mind.
pub struct MadeQueues {
    backends: Arc<dyn Backends>,
    known: Mutex<HashMap<ProjectName, BTreeMap<Label, Record>>>,
    /// One change at a time, so that what is in mind is what is kept. It knows the highest version of what was removed: a
    /// queue that is made again goes on from there, and who changes what was read of the old one is late.
    turn: tokio::sync::Mutex<u64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    made: MadeQueue,
    #[serde(default)]
    removed: bool,
}

// === impl MadeQueues ===

impl MadeQueues {
    /// Those that these backends keep.
    pub fn new(backends: Arc<dyn Backends>) -> Self {
        Self {
            backends,
            known: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Reads a project's records, unless they are in mind; answers whether they were not.
    pub async fn load(&self, project: &ProjectName) -> Result<bool> {
        if self.known.lock().contains_key(project) {
            return Ok(false);
        }
        let _turn = self.turn.lock().await;
        self.load_in_turn(project).await
    }

    async fn load_in_turn(&self, project: &ProjectName) -> Result<bool> {
        if self.known.lock().contains_key(project) {
            return Ok(false);
        }
        let store = self.store(project)?;
        let options = ListOptions {
            prefix: "q/".to_owned(),
            after: None,
        };
        let (keys, _) = store.keys(options, READ).await?;
        let values = store.get_many(&keys).await?;
        let mut records = BTreeMap::new();
        for (key, value) in keys.iter().zip(values) {
            let name = key.strip_prefix("q/").map(Label::new);
            if let (Some(Ok(name)), Some(found)) = (name, value) {
                match serde_json::from_slice(&found.value) {
                    Ok(record) => drop(records.insert(name, record)),
                    // One queue is without what was said of it; the others go on.
                    Err(error) => {
                        tracing::error!(%project, queue = %name, %error, "the record of a queue cannot be read; set or make the queue again");
                    }
                }
            }
        }
        let any = !records.is_empty();
        self.known.lock().insert(project.clone(), records);
        Ok(any)
    }

    /// How the made queues of a project behave, of those that are in mind.
    pub fn settings(&self, project: &ProjectName) -> BTreeMap<Label, QueueSettings> {
        let known = self.known.lock();
        let records = known.get(project).into_iter().flatten();
        let live = records.filter(|(_, record)| !record.removed);
        let settings =
            |(name, record): (&Label, &Record)| Some((name.clone(), record.made.settings.clone()?));
        live.filter_map(settings).collect()
    }

    /// What is kept of a queue.
    pub async fn get(&self, project: &ProjectName, name: &Label) -> Result<Option<MadeQueue>> {
        let record = self.record(project, name).await?;
        Ok(record
            .filter(|record| !record.removed)
            .map(|record| record.made))
    }

    /// Whether it was removed, and is hidden as long as it holds nothing.
    pub async fn hides(&self, project: &ProjectName, name: &Label) -> Result<bool> {
        let record = self.record(project, name).await?;
        Ok(record.is_some_and(|record| record.removed))
    }

    /// The made queues of a project.
    pub async fn names(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.load(project).await?;
        let known = self.known.lock();
        let records = known.get(project).into_iter().flatten();
        let live = records.filter(|(_, record)| !record.removed);
        Ok(live.map(|(name, _)| name.clone()).collect())
    }

    async fn record(&self, project: &ProjectName, name: &Label) -> Result<Option<Record>> {
        self.load(project).await?;
        let known = self.known.lock();
        Ok(known.get(project).and_then(|all| all.get(name)).cloned())
    }

    /// Makes a queue; answers whether it was not made before. One that was made otherwise is a `Conflict`.
    pub async fn make(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: QueueSettings,
        notes: BTreeMap<String, String>,
    ) -> Result<bool> {
        let turn = self.turn.lock().await;
        self.load_in_turn(project).await?;
        let before = self.kept(project, name);
        let last = before.as_ref().map_or(0, |record| record.made.version);
        if let Some(Record {
            made,
            removed: false,
        }) = &before
        {
            if made.settings.as_ref().is_some_and(|of| *of != settings)
                || made.settings.is_some() && made.notes != notes
            {
                let text = format!("the queue was made with other settings: {name}");
                return Err(Error::conflict(text).hint("change its settings, or remove it first"));
            }
            if made.settings.is_some() {
                return Ok(false);
            }
        }
        let now_us = clock::unix_micros();
        let mut all = notes;
        // What was noted of it before it was made stays.
        let noted = before.filter(|before| !before.removed);
        for (name, text) in noted.iter().flat_map(|record| record.made.notes.clone()) {
            all.entry(name).or_insert(text);
        }
        let made = MadeQueue {
            settings: Some(settings),
            notes: all,
            made_us: now_us,
            changed_us: now_us,
            version: last.max(*turn) + 1,
        };
        self.keep(project, name, made, false).await?;
        Ok(true)
    }

    /// Changes what is kept of a queue, or begins to keep it: `to` has the version that it was read with, 0 when there was
    /// nothing. `Conflict` when somebody else changed it meanwhile.
    pub async fn set(&self, project: &ProjectName, name: &Label, to: MadeQueue) -> Result<()> {
        let turn = self.turn.lock().await;
        self.load_in_turn(project).await?;
        let before = self.kept(project, name);
        let last = before.as_ref().map_or(0, |before| before.made.version);
        let before = before.filter(|before| !before.removed);
        let version = before.as_ref().map_or(0, |before| before.made.version);
        if version != to.version {
            return Err(Error::conflict(format!(
                "the queue was changed meanwhile: {name}"
            )));
        }
        let now_us = clock::unix_micros();
        let made = MadeQueue {
            made_us: before.map_or(now_us, |before| before.made.made_us),
            changed_us: now_us,
            version: last.max(*turn) + 1,
            ..to
        };
        self.keep(project, name, made, false).await
    }

    /// Forgets that a queue was made, and all that it holds; where it ever held anything, that its name was there, too.
    /// A queue is not made again before that is done: what it gets then stays.
    pub async fn remove(
        &self,
        project: &ProjectName,
        name: &Label,
        queue: &dyn Queue,
    ) -> Result<()> {
        // Most of it before the turn comes, which others wait for.
        purge(queue).await?;
        let mut turn = self.turn.lock().await;
        self.load_in_turn(project).await?;
        let version = self.kept(project, name);
        let version = version.map_or(0, |before| before.made.version);
        *turn = version.max(*turn);
        if queue.stats().await?.published > 0 {
            let made = MadeQueue {
                version,
                ..MadeQueue::default()
            };
            self.keep(project, name, made, true).await?;
        } else {
            self.store(project)?.delete(&key(name)).await?;
            if let Some(records) = self.known.lock().get_mut(project) {
                records.remove(name);
            }
        }
        purge(queue).await
    }

    /// Forgets all that doors keep of a project that is gone.
    pub async fn forget(&self, project: &ProjectName) -> Result<()> {
        let _turn = self.turn.lock().await;
        let store = self.store(project)?;
        loop {
            let (keys, more) = store.keys(ListOptions::default(), CLEARED).await?;
            let deletes: Vec<_> = keys.into_iter().map(|key| Write::Delete { key }).collect();
            if !deletes.is_empty() {
                store.write(deletes).await?;
            }
            if !more {
                break;
            }
        }
        self.known.lock().remove(project);
        Ok(())
    }

    fn kept(&self, project: &ProjectName, name: &Label) -> Option<Record> {
        let known = self.known.lock();
        known.get(project)?.get(name).cloned()
    }

    async fn keep(
        &self,
        project: &ProjectName,
        name: &Label,
        made: MadeQueue,
        removed: bool,
    ) -> Result<()> {
        let notes = made.notes.iter();
        let bytes: usize = notes.map(|(name, text)| name.len() + text.len()).sum();
        if bytes > NOTES {
            let text = format!("more than {NOTES} bytes are noted of the queue: {name}");
            return Err(Error::exhausted(text).hint("use fewer tags"));
        }
        let full = {
            let known = self.known.lock();
            let records = known.get(project);
            let live = |all: &BTreeMap<_, Record>| {
                let others = all
                    .iter()
                    .filter(|(of, record)| *of != name && !record.removed);
                others.count()
            };
            !removed && records.is_some_and(|all| live(all) >= MOST)
        };
        if full {
            let text = format!("the project has made {MOST} queues already");
            return Err(
                Error::exhausted(text).hint("remove some, or use groups or attributes instead")
            );
        }
        let record = Record { made, removed };
        let value = serde_json::to_vec(&record)
            .map_err(|e| Error::internal("the record of a queue cannot be written").because(e))?;
        let store = self.store(project)?;
        store.put(&key(name), Bytes::from(value)).await?;
        if let Some(records) = self.known.lock().get_mut(project) {
            records.insert(name.clone(), record);
        }
        Ok(())
    }

    fn store(&self, project: &ProjectName) -> Result<Arc<dyn Kv>> {
        doors(&*self.backends, project)
    }
}

fn key(name: &Label) -> String {
    format!("q/{name}")
}

async fn purge(queue: &dyn Queue) -> Result<()> {
    queue.purge(false).await?;
    queue.purge(true).await.map(drop)
}
