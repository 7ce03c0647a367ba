//! The PostgreSQL door: a project's SQL databases as every PostgreSQL client knows them.
//!
//! It speaks the protocol and puts spellings of PostgreSQL's into SQLite's, and knows databases by the SQL seam alone. It never
//! names a backend, and it keeps no keys: whose they are it asks [`gust_backend::keys::Keys`]. Start with `session.rs` (one
//! client, message by message), then `sql.rs` (what becomes of a statement's text), then `types.rs`.
#![warn(missing_docs)]

mod budget;
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

use std::{sync::Arc, time::Duration};

use gust_backend::{Backends, keys::Keys};
use gust_types::ProjectName;
use tokio::sync::Semaphore;

pub use counts::Counted;

use crate::{budget::Budget, cancel::Sessions, counts::Counts, scram::Verifiers};

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
    patience: Patience,
    counts: Counts,
    sessions: Sessions,
    verifiers: Verifiers,
    budget: Budget,
    /// Places for connections that have not logged in.
    strangers: Arc<Semaphore>,
}

/// How long it waits for clients.
struct Patience {
    /// For the first message of a login.
    startup: Duration,
    /// For a whole login.
    login: Duration,
    /// For the next statement of a transaction, which may keep others from writing.
    in_transaction: Duration,
    /// For the next statement of a session.
    idle: Duration,
}

// === impl Patience ===

impl Default for Patience {
    fn default() -> Self {
        Self {
            startup: Duration::from_secs(5),
            login: Duration::from_secs(10),
            in_transaction: Duration::from_secs(60),
            idle: Duration::from_secs(3600),
        }
    }
}

// === impl Door ===

impl Door {
    /// A door to these backends.
    pub fn new(parts: Parts) -> Self {
        Self::patient(parts, Patience::default())
    }

    fn patient(parts: Parts, patience: Patience) -> Self {
        Self(Arc::new(Inner {
            parts,
            patience,
            counts: Counts::default(),
            sessions: Sessions::default(),
            verifiers: Verifiers::new(),
            budget: Budget::default(),
            strangers: Arc::new(Semaphore::new(serve::STRANGERS)),
        }))
    }

    /// What projects have asked for since the start, by name.
    pub fn counted(&self) -> Vec<(ProjectName, Counted)> {
        self.0.counts.all()
    }
}
