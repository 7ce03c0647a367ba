//! What projects ask of a door that speaks another platform's protocol: operations by class, and bytes both ways.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use gust_types::ProjectName;
use parking_lot::Mutex;

/// What an operation is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It changes something.
    Write,
    /// It reads; a taking of messages is a read.
    Read,
    /// It lists.
    List,
}

/// What a project has asked for. Requests whose signature is not good are nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Operations that change something, whatever came of them.
    pub writes: u64,
    /// Operations that read.
    pub reads: u64,
    /// Operations that list.
    pub lists: u64,
    /// Bytes of bodies that came in.
    pub bytes_in: u64,
    /// Bytes of bodies that went out.
    pub bytes_out: u64,
}

/// The counts of all projects.
#[derive(Default)]
pub struct Counts(Mutex<BTreeMap<ProjectName, Arc<Counters>>>);

/// The counts of one.
#[derive(Default)]
pub struct Counters {
    classes: [AtomicU64; 3],
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

// === impl Counts ===

impl Counts {
    /// Those of a project.
    pub fn of(&self, project: &ProjectName) -> Arc<Counters> {
        let mut all = self.0.lock();
        if let Some(counters) = all.get(project) {
            return counters.clone();
        }
        all.entry(project.clone()).or_default().clone()
    }

    /// What each project has asked for, by name.
    pub fn all(&self) -> Vec<(ProjectName, Counted)> {
        let all = self.0.lock();
        let all = all.iter();
        all.map(|(project, counters)| (project.clone(), counters.read()))
            .collect()
    }
}

impl Counters {
    /// One more of this class.
    pub fn operation(&self, class: Class) {
        let [writes, reads, lists] = &self.classes;
        let of = match class {
            Class::Write => writes,
            Class::Read => reads,
            Class::List => lists,
        };
        of.fetch_add(1, Relaxed);
    }

    /// So many bytes came in.
    pub fn came(&self, bytes: u64) {
        self.bytes_in.fetch_add(bytes, Relaxed);
    }

    /// So many bytes went out.
    pub fn went(&self, bytes: u64) {
        self.bytes_out.fetch_add(bytes, Relaxed);
    }

    fn read(&self) -> Counted {
        let [writes, reads, lists] = &self.classes;
        Counted {
            writes: writes.load(Relaxed),
            reads: reads.load(Relaxed),
            lists: lists.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
        }
    }
}
