//! A function as dispatch knows it: one revision, its queue and its instances.

use std::sync::Arc;

use gust_telemetry::FunctionMetrics;
use gust_types::{FunctionKey, Limits, Revision};

use crate::{
    acquire::{Pool, bury},
    admit::{Lane, Tenant},
    engine::Engine,
};

/// One revision of a function that is, or was, routed to.
pub struct FunctionEntry {
    key: Arc<FunctionKey>,
    revision: Arc<Revision>,
    /// Its queue, the same one for all revisions of the function.
    pub(crate) lane: Arc<Lane>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) metrics: FunctionMetrics,
}

/// How a function is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionState {
    /// Which.
    pub key: FunctionKey,
    /// Its current revision.
    pub revision: u64,
    /// Whether its code is mapped.
    pub resident: bool,
    /// Instances that wait for a call.
    pub idle: usize,
    /// Calls being served.
    pub busy: usize,
    /// Calls waiting in its queue.
    pub queued: usize,
}

// === impl FunctionEntry ===

impl FunctionEntry {
    pub(crate) fn new(
        revision: Arc<Revision>,
        lane: Arc<Lane>,
        tenant: Arc<Tenant>,
        engine: Arc<Engine>,
        metrics: FunctionMetrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            key: Arc::new(revision.key.clone()),
            revision,
            lane,
            pool: Arc::default(),
            tenant,
            engine,
            metrics,
        })
    }

    /// Its name, shared: put it into [`gust_types::Call::function`].
    pub fn key(&self) -> &Arc<FunctionKey> {
        &self.key
    }

    /// What is served.
    pub fn revision(&self) -> &Arc<Revision> {
        &self.revision
    }

    /// What it may take.
    pub fn limits(&self) -> &Limits {
        &self.revision.spec.limits
    }

    /// How it is doing.
    pub fn state(&self) -> FunctionState {
        let (idle, busy) = self.pool.count();
        FunctionState {
            key: FunctionKey::clone(&self.key),
            revision: self.revision.number,
            resident: self.pool.mapped().is_some(),
            idle,
            busy,
            queued: self.lane.queued(),
        }
    }

    /// It is replaced or removed: gives up what is idle, at once; calls under way finish on what they have.
    pub(crate) fn retire(&self) {
        let unloaded = self.pool.retire();
        self.engine.shelf.removed(&unloaded);
        bury(unloaded);
    }
}
