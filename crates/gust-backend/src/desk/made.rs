//! Queues that were made by a command: what is kept of them, so that they are there before any message is. They are in the
//! store that doors have for what only they keep of a project ([`doors`]), under keys of their own.
//!
//! | key | value |
//! |---|---|
//! | `q/` queue | the record; one that says `removed` hides what the engine still knows of the name |
//!
//! Easily confused: a queue is *made* when somebody asked for it by a command, *named* when a served app mentions it, and
//! *there* when either is so or it holds messages. What an app says of a queue goes before what it was made with.

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
    queue::QueueSettings,
};

/// Made queues of a project, removed ones that are remembered included.
const MOST: usize = 2000;
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
    /// One change at a time, so that what is in mind is what is kept.
    turn: tokio::sync::Mutex<()>,
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
        let (keys, _) = store.keys(options, MOST).await?;
        let values = store.get_many(&keys).await?;
        let mut records = BTreeMap::new();
        for (key, value) in keys.iter().zip(values) {
            let name = key.strip_prefix("q/").map(Label::new);
            if let (Some(Ok(name)), Some(found)) = (name, value) {
                let record = serde_json::from_slice(&found.value);
                records.insert(name, record.map_err(damaged)?);
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
        let _turn = self.turn.lock().await;
        self.load_in_turn(project).await?;
        let before = self.kept(project, name);
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
            version: noted.map_or(0, |record| record.made.version) + 1,
        };
        self.keep(project, name, made, false).await?;
        Ok(true)
    }

    /// Changes what is kept of a queue, or begins to keep it: `to` has the version that it was read with, 0 when there was
    /// nothing. `Conflict` when somebody else changed it meanwhile.
    pub async fn set(&self, project: &ProjectName, name: &Label, to: MadeQueue) -> Result<()> {
        let _turn = self.turn.lock().await;
        self.load_in_turn(project).await?;
        let before = self.kept(project, name).filter(|before| !before.removed);
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
            version: version + 1,
            ..to
        };
        self.keep(project, name, made, false).await
    }

    /// Forgets that a queue was made. With `hide`, that its name was there at all.
    pub async fn remove(&self, project: &ProjectName, name: &Label, hide: bool) -> Result<()> {
        let _turn = self.turn.lock().await;
        self.load_in_turn(project).await?;
        if hide {
            return self.keep(project, name, MadeQueue::default(), true).await;
        }
        self.store(project)?.delete(&key(name)).await?;
        if let Some(records) = self.known.lock().get_mut(project) {
            records.remove(name);
        }
        Ok(())
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
            records.is_some_and(|all| all.len() >= MOST && !all.contains_key(name))
        };
        if full {
            let text = format!("the project has made {MOST} queues already");
            return Err(Error::exhausted(text).hint("use groups or attributes instead"));
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

fn damaged(error: serde_json::Error) -> Error {
    Error::internal("the record of a queue cannot be read").because(error)
}

#[cfg(test)]
mod tests {
    use gust_types::{Kind, Span};

    use super::*;
    use crate::unit::memory::MemoryBackends;

    fn slow() -> QueueSettings {
        QueueSettings {
            visibility: Span::secs(60),
            ..QueueSettings::default()
        }
    }

    #[tokio::test]
    async fn what_was_made_is_there_after_a_restart() {
        let backends: Arc<dyn Backends> = Arc::new(MemoryBackends::default());
        let project = ProjectName::default_project();
        let name = Label::new("jobs").unwrap();
        let made = MadeQueues::new(backends.clone());
        let make = async |settings| made.make(&project, &name, settings, BTreeMap::new()).await;
        assert!(make(slow()).await.unwrap());
        assert!(!make(slow()).await.unwrap());
        let error = make(QueueSettings::default()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Conflict);
        let again = MadeQueues::new(backends.clone());
        assert!(again.settings(&project).is_empty());
        assert!(again.load(&project).await.unwrap());
        assert_eq!(again.settings(&project)[&name], slow());
        again.remove(&project, &name, true).await.unwrap();
        assert!(again.hides(&project, &name).await.unwrap());
        let third = MadeQueues::new(backends);
        assert!(third.get(&project, &name).await.unwrap().is_none());
        assert!(third.hides(&project, &name).await.unwrap());
        assert!(third.names(&project).await.unwrap().is_empty());
        third.forget(&project).await.unwrap();
        assert!(!third.hides(&project, &name).await.unwrap());
    }

    #[tokio::test]
    async fn two_who_change_the_same_queue_do_not_undo_each_other() {
        let made = MadeQueues::new(Arc::new(MemoryBackends::default()));
        let project = ProjectName::default_project();
        let name = Label::new("jobs").unwrap();
        let noted = |text: &str, version| MadeQueue {
            notes: [("tag".to_owned(), text.to_owned())].into(),
            version,
            ..MadeQueue::default()
        };
        made.set(&project, &name, noted("一", 0)).await.unwrap();
        let late = made.set(&project, &name, noted("二", 0)).await;
        assert_eq!(late.unwrap_err().kind, Kind::Conflict);
        made.set(&project, &name, noted("三", 1)).await.unwrap();
        let kept = made.get(&project, &name).await.unwrap().unwrap();
        assert_eq!((kept.notes["tag"].as_str(), kept.version), ("三", 2));
        // Making it keeps what was noted.
        let fresh = made.make(&project, &name, slow(), BTreeMap::new()).await;
        assert!(fresh.unwrap());
        let kept = made.get(&project, &name).await.unwrap().unwrap();
        assert_eq!(kept.notes["tag"], "三");
    }
}
