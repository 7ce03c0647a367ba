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

use std::time::Duration;

pub(crate) use commit::Committer;
pub(crate) use engine::Engine;

/// How long a caller waits for room in the queue, or for the engine to be back after a fault.
const PATIENCE: Duration = Duration::from_secs(10);
