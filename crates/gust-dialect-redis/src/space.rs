//! A store as its clients share it: values, channels, and who waits for what.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    sync::{Arc, Weak},
};

use bytes::Bytes;
use gust_backend::kv::Kv;
use gust_types::{Label, ProjectName, Result};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

use crate::{Door, bells::Bells, budget::Part, counts::Counters, hub::Hub};

/// Locks of a store, for the keys that fall to each.
const LOCKS: u64 = 512;

/// A store that somebody is connected to.
pub(crate) struct Space {
    pub(crate) door: Door,
    pub(crate) kv: Arc<dyn Kv>,
    pub(crate) hub: Hub,
    pub(crate) bells: Bells,
    pub(crate) counters: Arc<Counters>,
    pub(crate) part: Arc<Part>,
    project: ProjectName,
    store: Label,
    /// Held while a key is read and written. Others may write meanwhile: that it holds is the store's condition; this is so that
    /// clients do not make each other try again.
    locks: Vec<AsyncMutex<()>>,
}

/// Those of all projects that are in use.
#[derive(Default)]
pub(crate) struct Spaces(Mutex<HashMap<(ProjectName, Label), Weak<Space>>>);

// === impl Spaces ===

impl Spaces {
    /// The store of this name, shared with all who have it open.
    pub(crate) fn open(
        &self,
        door: &Door,
        project: &ProjectName,
        store: &Label,
    ) -> Result<Arc<Space>> {
        let mut spaces = self.0.lock();
        let name = (project.clone(), store.clone());
        if let Some(space) = spaces.get(&name).and_then(Weak::upgrade) {
            return Ok(space);
        }
        spaces.retain(|_, space| space.strong_count() > 0);
        let space = Arc::new(Space {
            door: door.clone(),
            kv: door.0.backends.kv(project, store)?,
            hub: Hub::default(),
            bells: Bells::default(),
            counters: door.0.counts.of(project),
            part: door.0.budget.of(project),
            project: project.clone(),
            store: store.clone(),
            locks: (0..LOCKS).map(|_| AsyncMutex::default()).collect(),
        });
        spaces.insert(name, Arc::downgrade(&space));
        Ok(space)
    }
}

// === impl Space ===

impl Space {
    /// Keeps these keys to oneself. Locks are taken in their order, so that nobody waits for each other.
    pub(crate) async fn lock(&self, keys: impl Iterator<Item = &Bytes>) -> Vec<MutexGuard<'_, ()>> {
        let shard = |key: &Bytes| {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            usize::try_from(hasher.finish() % LOCKS).unwrap_or(0)
        };
        let mut shards: Vec<_> = keys.map(shard).collect();
        shards.sort_unstable();
        shards.dedup();
        let mut guards = Vec::with_capacity(shards.len());
        for shard in shards {
            if let Some(lock) = self.locks.get(shard) {
                guards.push(lock.lock().await);
            }
        }
        guards
    }

    /// Where a scan goes on.
    pub(crate) fn cursor(&self, number: u64) -> Option<String> {
        self.door.0.cursors.find(&self.project, &self.store, number)
    }

    pub(crate) fn remember(&self, after: String) -> u64 {
        self.door
            .0
            .cursors
            .remember(&self.project, &self.store, after)
    }
}
