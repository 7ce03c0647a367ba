//! The Redis door: a project's key-value stores as every Redis client knows them.
//!
//! It speaks the protocol (RESP2, RESP3) and knows stores by the key-value seam alone. It never names a backend, and it keeps no keys of
//! its own: whose an access key is it asks [`gust_backend::keys::Keys`]. Start with `table.rs` (what is served), then
//! `connection.rs` (from bytes to a request and back), `session.rs` (who is asking), `run.rs` (a command over `tx.rs`), and
//! `value.rs` (how hashes, lists and sets stand in a store).
#![warn(missing_docs)]

mod args;
mod bells;
mod budget;
mod commands;
mod connection;
mod counts;
mod cursors;
mod fault;
mod frame;
mod glob;
mod hub;
mod number;
mod patience;
mod reply;
mod run;
mod serve;
mod session;
mod space;
mod subscriptions;
mod table;
#[cfg(test)]
mod tests;
mod turn;
mod tx;
mod value;

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::{Duration, Instant},
};

use gust_backend::{Backends, keys::Keys};
use gust_task::clock;
use gust_types::ProjectName;

pub use counts::Counted;

use crate::{budget::Budget, counts::Counts, cursors::Cursors, space::Spaces};

/// What the door needs from other rooms.
pub struct Parts {
    /// Opens stores.
    pub backends: Arc<dyn Backends>,
    /// Knows access keys.
    pub keys: Arc<dyn Keys>,
}

/// The door. Clones are handles to the same one.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    backends: Arc<dyn Backends>,
    keys: Arc<dyn Keys>,
    counts: Counts,
    budget: Budget,
    spaces: Spaces,
    cursors: Cursors,
    /// The number of the last client.
    last: AtomicI64,
    since: Instant,
}

// === impl Door ===

impl Door {
    /// A door to these backends.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            backends: parts.backends,
            keys: parts.keys,
            counts: Counts::default(),
            budget: Budget::default(),
            spaces: Spaces::default(),
            cursors: Cursors::default(),
            last: AtomicI64::new(0),
            since: clock::now(),
        }))
    }

    /// What projects have asked for since the start, by name.
    pub fn counted(&self) -> Vec<(ProjectName, Counted)> {
        self.0.counts.all()
    }

    /// How long it has been there.
    pub(crate) fn age(&self) -> Duration {
        self.0.since.elapsed()
    }
}
