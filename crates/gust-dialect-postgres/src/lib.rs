//! The PostgreSQL door: a project's SQL databases as every PostgreSQL client knows them.
//!
//! It speaks the protocol and puts spellings of PostgreSQL's into SQLite's, and knows databases by the SQL seam alone. It never
//! names a backend, and it keeps no keys: whose they are it asks [`gust_backend::keys::Keys`]. Start with `session.rs` (one
//! client, message by message), then `sql.rs` (what becomes of a statement's text), then `types.rs`.
#![warn(missing_docs)]

mod cancel;
mod counts;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod login;
mod scram;
mod serve;
mod session;
mod sql;
#[cfg(test)]
mod tests;
mod types;
mod wire;

use std::sync::Arc;

use gust_backend::{Backends, keys::Keys};
use gust_types::ProjectName;
use tokio::sync::Semaphore;

pub use counts::Counted;

use crate::{cancel::Sessions, counts::Counts, scram::Verifiers, wire::Room};

/// KiB of large messages that are kept at once, of all sessions.
const ROOM: usize = 256 << 10;

/// What the door needs from other rooms.
pub struct Parts {
    /// Opens databases.
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
    sessions: Sessions,
    verifiers: Verifiers,
    room: Room,
}

// === impl Door ===

impl Door {
    /// A door to these backends.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            counts: Counts::default(),
            sessions: Sessions::default(),
            verifiers: Verifiers::new(),
            room: Arc::new(Semaphore::new(ROOM)),
        }))
    }

    /// What projects have asked for since the start, by name.
    pub fn counted(&self) -> Vec<(ProjectName, Counted)> {
        self.0.counts.all()
    }
}
