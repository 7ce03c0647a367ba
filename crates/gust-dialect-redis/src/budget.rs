//! Memory that clients make the node keep, bounded for all of them together.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// KiB that all connections together may take beyond what each has for free.
const ALL: usize = 256 << 10;
/// Bytes that everybody has.
const FREE: usize = 64 << 10;
/// How long somebody waits for others to give back.
const PATIENCE: Duration = Duration::from_secs(10);

/// The memory there is. Clones are the same.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

/// A share of it, given back when it is dropped.
pub(crate) struct Grant {
    budget: Budget,
    bytes: usize,
    held: Option<OwnedSemaphorePermit>,
}

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL)))
    }
}

// === impl Budget ===

impl Budget {
    pub(crate) fn grant(&self) -> Grant {
        Grant {
            budget: self.clone(),
            bytes: 0,
            held: None,
        }
    }
}

// === impl Grant ===

impl Grant {
    /// Takes this many bytes more; false when there are none.
    pub(crate) async fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let wanted = self.bytes.saturating_sub(FREE).div_ceil(1024);
        let held = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = wanted.checked_sub(held).filter(|more| *more > 0) else {
            return true;
        };
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let permit = self.budget.0.clone().acquire_many_owned(more);
        let Ok(Ok(permit)) = tokio::time::timeout(PATIENCE, permit).await else {
            return false;
        };
        match &mut self.held {
            Some(held) => held.merge(permit),
            held => *held = Some(permit),
        }
        true
    }

    /// Takes up to this many in all, if it has less.
    pub(crate) async fn cover(&mut self, bytes: usize) -> bool {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.grow(more).await,
            None => true,
        }
    }

    /// Gives everything back.
    pub(crate) fn release(&mut self) {
        self.bytes = 0;
        self.held = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn shares_are_bounded_and_given_back() {
        let budget = Budget::default();
        let (mut one, mut two) = (budget.grant(), budget.grant());
        assert!(
            one.grow(FREE).await && two.grow(FREE).await,
            "free of charge"
        );
        assert!(one.grow(ALL << 10).await);
        assert!(!two.grow(1).await, "somebody has it all");
        one.release();
        assert!(two.grow(1).await);
        assert!(two.cover(FREE).await);
        drop(two);
        assert_eq!(budget.0.available_permits(), ALL);
    }
}
