//! The AWS door: queues as SQS has them, topics as SNS and EventBridge have them, on one port.
//!
//! It speaks the protocols (signatures, JSON, forms and XML, error codes) and knows queues and topics by the desk and the
//! backends' seams. It never delivers anything and keeps no access keys: whose a key is it asks
//! [`gust_backend::keys::Keys`]. Start with `operations.rs` (what is served), then `gate.rs` (one request from its head to
//! its answer), then `sqs/receive.rs`.
#![warn(missing_docs)]

mod events;
mod fault;
mod gate;
mod memory;
mod names;
mod operations;
mod params;
mod protocol;
mod serve;
mod signature;
mod sns;
mod sqs;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gust_backend::{Backends, desk::Desk, keys::Keys};
use gust_task::Stop;
use gust_types::ProjectName;

pub use gust_backend::counts::{Class, Counted};
pub use operations::{Operation, SERVED, Service};

use crate::{
    memory::Memory,
    sqs::{handle::Handles, moves::Moves},
};
use gust_backend::counts::Counts;

/// What the door needs from other rooms.
pub struct Parts {
    /// Knows queues and topics.
    pub desk: Arc<dyn Desk>,
    /// Moves messages from queue to queue, and keeps what only this door needs.
    pub backends: Arc<dyn Backends>,
    /// Knows access keys.
    pub keys: Arc<dyn Keys>,
}

/// The door. Clones are handles to the same one.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    parts: Parts,
    counts: Counts,
    handles: Handles,
    moves: Moves,
    memory: Arc<Memory>,
    /// Given when nobody should wait for messages any more.
    closing: Stop,
}

// === impl Door ===

impl Door {
    /// A door to these.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            counts: Counts::default(),
            handles: Handles::default(),
            moves: Moves::default(),
            memory: Arc::default(),
            closing: Stop::new(),
        }))
    }

    /// What projects have asked for since the start, by name.
    pub fn counted(&self) -> Vec<(ProjectName, Counted)> {
        self.0.counts.all()
    }
}
