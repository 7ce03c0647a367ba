//! Memory that clients make the node keep: bounded for all of them together, and for each project, so that none takes it all.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use gust_types::ProjectName;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// KiB that all sessions together may take beyond what each has for free, and those of a project.
const ALL: usize = 256 << 10;
const OF_A_PROJECT: usize = ALL / 2;
/// Bytes that every message has for free, and what a session keeps.
const FREE: usize = 64 << 10;
/// How long somebody waits for others to give back.
const PATIENCE: Duration = Duration::from_secs(10);

/// The memory there is, and who has it.
pub(crate) struct Budget {
    all: Arc<Semaphore>,
    projects: Mutex<HashMap<ProjectName, Weak<Part>>>,
}

/// What a project may take of it.
pub(crate) struct Part {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
}

/// Memory taken, given back when it is dropped.
#[derive(Default)]
pub(crate) struct Grant {
    /// Nobody's until there is a login: that far only what is free is taken.
    part: Option<Arc<Part>>,
    held: Option<Pair>,
}

/// Of the project's share, and of what there is for all.
type Pair = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Default for Budget {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ALL)),
            projects: Mutex::default(),
        }
    }
}

// === impl Budget ===

impl Budget {
    pub(crate) fn of(&self, project: &ProjectName) -> Arc<Part> {
        let mut projects = self.projects.lock();
        if let Some(part) = projects.get(project).and_then(Weak::upgrade) {
            return part;
        }
        projects.retain(|_, part| part.strong_count() > 0);
        let part = Arc::new(Part {
            all: self.all.clone(),
            own: Arc::new(Semaphore::new(OF_A_PROJECT)),
        });
        projects.insert(project.clone(), Arc::downgrade(&part));
        part
    }
}

// === impl Part ===

impl Part {
    async fn take(&self, kib: u32) -> Option<Pair> {
        let own = self.own.clone().acquire_many_owned(kib).await.ok()?;
        let all = self.all.clone().acquire_many_owned(kib).await.ok()?;
        Some((own, all))
    }

    /// KiB that are taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        OF_A_PROJECT - self.own.available_permits()
    }
}

// === impl Grant ===

impl Grant {
    pub(crate) fn of(part: Option<&Arc<Part>>) -> Self {
        Self {
            part: part.cloned(),
            held: None,
        }
    }

    fn held(&self) -> usize {
        self.held.as_ref().map_or(0, |(own, _)| own.num_permits())
    }

    /// Takes up to so many bytes in all, if it has less; false when there are none.
    pub(crate) async fn cover(&mut self, bytes: usize) -> bool {
        let wanted = bytes.saturating_sub(FREE).div_ceil(1024);
        let more = wanted.saturating_sub(self.held());
        if more == 0 {
            return true;
        }
        let Some(part) = &self.part else {
            return false;
        };
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let Ok(Some(pair)) = tokio::time::timeout(PATIENCE, part.take(more)).await else {
            return false;
        };
        self.merge(pair);
        true
    }

    /// Gives back what is more than so many bytes need.
    pub(crate) fn ease(&mut self, bytes: usize) {
        let wanted = bytes.saturating_sub(FREE).div_ceil(1024);
        let less = self.held().saturating_sub(wanted);
        if let Some((own, all)) = &mut self.held {
            drop((own.split(less), all.split(less)));
        }
    }

    /// What another has is this one's from now on.
    pub(crate) fn absorb(&mut self, other: Self) {
        if let Some(pair) = other.held {
            self.merge(pair);
        }
    }

    fn merge(&mut self, (own, all): Pair) {
        match &mut self.held {
            Some((held_own, held_all)) => {
                held_own.merge(own);
                held_all.merge(all);
            }
            held => *held = Some((own, all)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn shares_are_bounded_and_given_back() {
        let budget = Budget::default();
        let of = |name: &str| budget.of(&ProjectName::new(name).unwrap());
        let (one, two) = (of("one"), of("two"));
        let (mut first, mut second) = (Grant::of(Some(&one)), Grant::of(Some(&one)));
        let mut other = Grant::of(Some(&two));
        let whole = FREE + (OF_A_PROJECT << 10);
        assert!(second.cover(FREE).await, "free of charge");
        assert!(first.cover(whole).await);
        assert!(!second.cover(FREE + 1).await, "the project has no more");
        assert!(other.cover(FREE + 1).await, "others have");
        first.ease(whole - 1024);
        assert!(second.cover(FREE + 1).await);
        first.absorb(second);
        assert_eq!(one.taken(), OF_A_PROJECT);
        first.ease(0);
        assert_eq!(one.taken(), 0);
        drop((first, other));
        assert_eq!(budget.all.available_permits(), ALL);
        assert!(
            !Grant::default().cover(FREE + 1).await,
            "strangers have none"
        );
    }
}
