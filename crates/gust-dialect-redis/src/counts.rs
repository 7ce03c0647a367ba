//! What projects ask for: commands that read and write, and bytes both ways.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use gust_types::ProjectName;
use parking_lot::Mutex;

use crate::table::Access;

/// What a project has asked for. What comes before a good password is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Commands that may change something, whatever came of them.
    pub writes: u64,
    /// Commands that read.
    pub reads: u64,
    /// Bytes of requests.
    pub bytes_in: u64,
    /// Bytes of answers and messages.
    pub bytes_out: u64,
}

/// The counts of all projects.
#[derive(Default)]
pub(crate) struct Counts(Mutex<BTreeMap<ProjectName, Arc<Counters>>>);

/// The counts of one.
#[derive(Default)]
pub(crate) struct Counters {
    writes: AtomicU64,
    reads: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

// === impl Counts ===

impl Counts {
    pub(crate) fn of(&self, project: &ProjectName) -> Arc<Counters> {
        let mut all = self.0.lock();
        if let Some(counters) = all.get(project) {
            return counters.clone();
        }
        all.entry(project.clone()).or_default().clone()
    }

    pub(crate) fn all(&self) -> Vec<(ProjectName, Counted)> {
        let all = self.0.lock();
        let all = all.iter();
        all.map(|(project, counters)| (project.clone(), counters.read()))
            .collect()
    }
}

// === impl Counters ===

impl Counters {
    pub(crate) fn command(&self, access: Access) {
        match access {
            Access::Write => self.writes.fetch_add(1, Relaxed),
            Access::Read => self.reads.fetch_add(1, Relaxed),
            Access::Neither => 0,
        };
    }

    pub(crate) fn came(&self, bytes: u64) {
        self.bytes_in.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn went(&self, bytes: u64) {
        self.bytes_out.fetch_add(bytes, Relaxed);
    }

    fn read(&self) -> Counted {
        Counted {
            writes: self.writes.load(Relaxed),
            reads: self.reads.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
        }
    }
}
