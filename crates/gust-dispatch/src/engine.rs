//! What all functions share: the parts, the node's places, and the lists of what can be given up.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use gust_runtime::Peers;
use gust_task::clock;

use crate::{
    Core, Parts, Settings,
    acquire::{Awake, FileTrees, Places, Shelf},
    peers,
};

/// What all functions share. Knows no function by name: entries hold it, never the other way round.
pub(crate) struct Engine {
    pub(crate) settings: Settings,
    pub(crate) parts: Parts,
    pub(crate) places: Arc<Places>,
    pub(crate) awake: Awake,
    pub(crate) shelf: Shelf,
    pub(crate) files: FileTrees,
    pub(crate) peers: Arc<dyn Peers>,
    /// For those who look at what is served while functions run.
    pub(crate) core: Weak<Core>,
    started: Instant,
}

// === impl Engine ===

impl Engine {
    pub(crate) fn new(settings: Settings, parts: Parts, core: Weak<Core>) -> Self {
        let capacity = settings.max_instances.min(parts.runtime.capacity());
        Self {
            places: Places::new(capacity, settings.max_waiting),
            awake: Awake::default(),
            shelf: Shelf::new(settings.max_resident, settings.max_resident_bytes),
            files: FileTrees::new(settings.files.clone(), parts.artifacts.clone()),
            peers: Arc::new(peers::Door::new(core.clone())),
            core,
            started: clock::now(),
            settings,
            parts,
        }
    }

    /// Milliseconds of the engine's life: a clock that fits into an atomic.
    pub(crate) fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_millis() as u64
    }
}
