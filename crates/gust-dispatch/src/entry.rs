//! A function as dispatch knows it: one revision, its queue and its instances.

use std::sync::Arc;

use gust_types::{FunctionKey, Limits, Revision};

/// One revision of a function that is, or was, routed to.
pub struct FunctionEntry {
    key: Arc<FunctionKey>,
    revision: Arc<Revision>,
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
}
