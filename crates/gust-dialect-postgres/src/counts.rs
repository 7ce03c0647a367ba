//! What projects ask for: statements, rows, and bytes both ways.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use gust_types::ProjectName;
use parking_lot::Mutex;

/// What a project has asked for. What comes before a login is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Statements that were run, whatever came of them.
    pub statements: u64,
    /// Rows that were sent.
    pub rows: u64,
    /// Bytes of messages that came in.
    pub bytes_in: u64,
    /// Bytes of messages that went out.
    pub bytes_out: u64,
}

/// The counts of all projects.
#[derive(Default)]
pub(crate) struct Counts(Mutex<BTreeMap<ProjectName, Arc<Counters>>>);

/// The counts of one, and its sessions.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) statements: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    /// Sessions that are open.
    sessions: AtomicU64,
}

/// A session's place among those of its project.
pub(crate) struct Place(Arc<Counters>);

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

impl Counters {
    /// A place, if the project has fewer sessions than this.
    pub(crate) fn place(self: &Arc<Self>, most: u64) -> Option<Place> {
        let taken = self.sessions.fetch_add(1, Relaxed);
        let place = Place(self.clone());
        (taken < most).then_some(place)
    }

    fn read(&self) -> Counted {
        Counted {
            statements: self.statements.load(Relaxed),
            rows: self.rows.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
        }
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Relaxed);
    }
}
