//! Memory and connections that clients make the node keep: bounded for all of them together, and for each project, so that
//! none takes it all.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use gust_types::ProjectName;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// KiB that all connections together may take beyond what each has for free, and those of a project.
const ALL: usize = 256 << 10;
const OF_A_PROJECT: usize = ALL / 2;
/// Bytes that everybody has.
pub(crate) const FREE: usize = 64 << 10;
/// Connections at once that have logged in, and that have not.
pub(crate) const MEMBERS: usize = 4096;
pub(crate) const STRANGERS: usize = if cfg!(test) { 64 } else { 1024 };
/// Connections of a project at once.
const CONNECTIONS: usize = 1024;
/// How long somebody waits for others to give back.
const PATIENCE: Duration = Duration::from_secs(10);

/// The memory there is, and who has it.
pub(crate) struct Budget {
    all: Arc<Semaphore>,
    members: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    projects: Mutex<HashMap<ProjectName, Weak<Part>>>,
}

/// What a project may take of it.
pub(crate) struct Part {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
    members: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

/// A member's place: of all there are, and of the project's.
pub(crate) type Place = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// Memory taken, given back when it is dropped.
#[derive(Default)]
pub(crate) struct Grant {
    /// Nobody's until there is a login: that far only what is free is taken.
    part: Option<Arc<Part>>,
    bytes: usize,
    held: Option<Held>,
}

/// Of the project's part, and of all there is.
pub(crate) type Held = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Default for Budget {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ALL)),
            members: Arc::new(Semaphore::new(MEMBERS)),
            strangers: Arc::new(Semaphore::new(STRANGERS)),
            projects: Mutex::default(),
        }
    }
}

// === impl Budget ===

impl Budget {
    /// A place for somebody who has not logged in, if there is one.
    pub(crate) fn stranger(&self) -> Option<OwnedSemaphorePermit> {
        self.strangers.clone().try_acquire_owned().ok()
    }

    pub(crate) fn of(&self, project: &ProjectName) -> Arc<Part> {
        let mut projects = self.projects.lock();
        if let Some(part) = projects.get(project).and_then(Weak::upgrade) {
            return part;
        }
        projects.retain(|_, part| part.strong_count() > 0);
        let part = Arc::new(Part {
            all: self.all.clone(),
            members: self.members.clone(),
            own: Arc::new(Semaphore::new(OF_A_PROJECT)),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
        });
        projects.insert(project.clone(), Arc::downgrade(&part));
        part
    }
}

// === impl Part ===

impl Part {
    pub(crate) fn grant(self: &Arc<Self>) -> Grant {
        Grant {
            part: Some(self.clone()),
            ..Grant::default()
        }
    }

    /// A place for a connection, if there is one.
    pub(crate) fn connect(&self) -> Option<Place> {
        let own = self.connections.clone().try_acquire_owned().ok()?;
        let all = self.members.clone().try_acquire_owned().ok()?;
        Some((own, all))
    }

    pub(crate) async fn take(&self, kib: u32) -> Option<Held> {
        let own = self.own.clone().acquire_many_owned(kib).await.ok()?;
        let all = self.all.clone().acquire_many_owned(kib).await.ok()?;
        Some((own, all))
    }
}

// === impl Grant ===

impl Grant {
    /// Takes this many bytes more; false when there are none.
    pub(crate) async fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let wanted = self.bytes.saturating_sub(FREE).div_ceil(1024);
        let held = self.held.as_ref().map_or(0, |(own, _)| own.num_permits());
        let Some(more) = wanted.checked_sub(held).filter(|more| *more > 0) else {
            return true;
        };
        let Some(part) = &self.part else {
            return false;
        };
        if wanted > OF_A_PROJECT {
            return false;
        }
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let Ok(Some((own, all))) = tokio::time::timeout(PATIENCE, part.take(more)).await else {
            return false;
        };
        match &mut self.held {
            Some((held_own, held_all)) => {
                held_own.merge(own);
                held_all.merge(all);
            }
            held => *held = Some((own, all)),
        }
        true
    }

    /// A grant that has this already.
    pub(crate) fn of(held: Option<Held>) -> Self {
        Self {
            held,
            ..Self::default()
        }
    }

    /// Whether nothing is taken.
    #[cfg(test)]
    pub(crate) fn is_free(&self) -> bool {
        self.held.is_none()
    }

    /// Takes up to this many in all, if it has less.
    pub(crate) async fn cover(&mut self, bytes: usize) -> bool {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.grow(more).await,
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(budget: &Budget, name: &str) -> Arc<Part> {
        budget.of(&ProjectName::new(name).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn shares_are_bounded_and_given_back() {
        let budget = Budget::default();
        let (one, two) = (part(&budget, "one"), part(&budget, "two"));
        let (mut first, mut second, mut other) = (one.grant(), one.grant(), two.grant());
        assert!(
            first.grow(FREE).await && second.grow(FREE).await,
            "free of charge"
        );
        assert!(first.grow(OF_A_PROJECT << 10).await);
        assert!(!second.grow(1).await, "the project has no more");
        assert!(other.cover(FREE + 1).await, "others have");
        assert!(other.cover(FREE).await);
        drop(first);
        assert!(second.grow(1).await);
        drop((second, other));
        assert_eq!(budget.all.available_permits(), ALL);
        assert_eq!(part(&budget, "one").own.available_permits(), OF_A_PROJECT);
        assert!(
            !Grant::default().grow(FREE + 1).await,
            "strangers have none"
        );
    }
}
