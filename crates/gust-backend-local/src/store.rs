//! fjall, and the one thread that writes to it for key-value stores and queues alike, so that all of them share a sync.
//!
//! - `engine.rs`: fjall opened, read, and opened again after a fault of the disk.
//! - `journals.rs`: what a failed sync leaves in doubt.
//! - `commit.rs`: the thread that collects, commits, syncs and answers.
//! - `unit.rs`: what changes stores and queues in one piece.

pub(crate) mod commit;
pub(crate) mod engine;
mod journals;
pub(crate) mod unit;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

pub(crate) use commit::Committer;
pub(crate) use engine::Engine;

/// Maps of the committing thread, whose time is everybody's: hashing with the standard library's took a tenth of it. They
/// are as large as a group, and seeded anew each time, so that nobody can prepare keys for them.
pub(crate) type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
pub(crate) type Set<K> = HashSet<K, foldhash::fast::RandomState>;

/// How long a caller waits for room in the queue, or for the engine to be back after a fault.
const PATIENCE: Duration = Duration::from_secs(10);
