//! A function's queue: so many at once, so many waiting, in order. It outlives revisions.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::rate::Rates;
use crate::{FunctionEntry, Refusal};

/// A function's queue.
pub(crate) struct Lane {
    /// Fair: a free permit goes to whoever waits longest, so `try_acquire` never overtakes.
    places: Semaphore,
    limit: Mutex<u32>,
    /// Permits that are out and no longer covered by the limit, since it was lowered.
    debt: AtomicU32,
    queued: AtomicU32,
    /// The callers' rates.
    pub(crate) rate: Rates,
    /// Where its calls went.
    pub(crate) tally: Tally,
    current: Mutex<Weak<FunctionEntry>>,
}

/// A share of a function's concurrency.
pub(crate) struct Permit(Arc<Lane>);

/// Where calls went. At rest, `entered = refused + left + settled`.
#[derive(Default)]
pub(crate) struct Tally {
    entered: AtomicU64,
    refused: AtomicU64,
    left: AtomicU64,
    settled: AtomicU64,
}

/// A place in the queue; dropping it is leaving.
struct Queued<'a> {
    lane: &'a Lane,
    served: bool,
}

// === impl Lane ===

impl Lane {
    pub(crate) fn new(limit: u32) -> Arc<Self> {
        let limit = limit.max(1);
        Arc::new(Self {
            places: Semaphore::new(limit as usize),
            limit: Mutex::new(limit),
            debt: AtomicU32::new(0),
            queued: AtomicU32::new(0),
            rate: Rates::default(),
            tally: Tally::default(),
            current: Mutex::default(),
        })
    }

    /// From now on this revision is current, with its own limit of calls at once.
    pub(crate) fn serve(&self, entry: &Arc<FunctionEntry>) {
        *self.current.lock() = Arc::downgrade(entry);
        self.resize(entry.limits().concurrency.max(1));
    }

    /// The current revision, unless the function was removed.
    pub(crate) fn current(&self) -> Option<Arc<FunctionEntry>> {
        self.current
            .lock()
            .upgrade()
            .filter(|entry| !entry.pool.is_retired())
    }

    fn resize(&self, to: u32) {
        let mut limit = self.limit.lock();
        if to > *limit {
            let more = to - *limit;
            let debt = self
                .debt
                .fetch_update(Relaxed, Relaxed, |debt| Some(debt.saturating_sub(more)));
            let paid = more.min(debt.unwrap_or(0));
            self.places.add_permits((more - paid) as usize);
        } else {
            let less = *limit - to;
            let gone = self.places.forget_permits(less as usize) as u32;
            self.debt.fetch_add(less - gone, Relaxed);
        }
        *limit = to;
    }

    /// A permit, if one is free.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Permit> {
        self.places.try_acquire().ok()?.forget();
        Some(Permit(self.clone()))
    }

    /// Waits in the queue, which may be this long, until then.
    pub(crate) async fn wait(
        self: &Arc<Self>,
        queue: u32,
        until: Instant,
    ) -> Result<Permit, Refusal> {
        let mut place = self.queue(queue)?;
        let turn = tokio::time::timeout_at(until.into(), self.places.acquire()).await;
        place.served = true;
        match turn {
            Ok(Ok(permit)) => {
                permit.forget();
                Ok(Permit(self.clone()))
            }
            _ => Err(Refusal::QueueTime),
        }
    }

    fn queue(&self, bound: u32) -> Result<Queued<'_>, Refusal> {
        let place = Queued {
            lane: self,
            served: false,
        };
        if self.queued.fetch_add(1, Relaxed) < bound {
            return Ok(place);
        }
        let mut place = place;
        place.served = true;
        Err(Refusal::QueueFull)
    }

    fn release(&self) {
        let owed = |debt: u32| debt.checked_sub(1);
        if self.debt.load(Relaxed) > 0 && self.debt.fetch_update(Relaxed, Relaxed, owed).is_ok() {
            return;
        }
        self.places.add_permits(1);
    }

    /// Calls that wait.
    pub(crate) fn queued(&self) -> usize {
        self.queued.load(Relaxed) as usize
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.lane.queued.fetch_sub(1, Relaxed);
        if !self.served {
            self.lane.tally.left();
        }
    }
}

// === impl Tally ===

impl Tally {
    pub(crate) fn entered(&self) {
        self.entered.fetch_add(1, Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Whoever came is gone again, without a call.
    pub(crate) fn left(&self) {
        self.left.fetch_add(1, Relaxed);
    }

    pub(crate) fn settled(&self) {
        self.settled.fetch_add(1, Relaxed);
    }

    /// Calls between admit and settle, or waiting for admission.
    pub(crate) fn open(&self) -> u64 {
        // Read before `entered`: a call that moves on meanwhile is counted as open rather than as less than none.
        let closed =
            self.refused.load(Relaxed) + self.left.load(Relaxed) + self.settled.load(Relaxed);
        self.entered.load(Relaxed).saturating_sub(closed)
    }

    /// `(entered, refused, left, settled)`.
    #[cfg(test)]
    pub(crate) fn read(&self) -> (u64, u64, u64, u64) {
        (
            self.entered.load(Relaxed),
            self.refused.load(Relaxed),
            self.left.load(Relaxed),
            self.settled.load(Relaxed),
        )
    }
}
