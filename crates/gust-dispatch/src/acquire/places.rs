//! The node's places for live instances: never more than there are, first come first served when there are none.
//!
//! A place belongs to an instance for its whole life, idle or busy, so a call on an idle instance touches nothing here.
//! Who waits is given either a place, or, when it waits for the very function an instance was just used for, that
//! instance with its place.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::pool::Ready;
use crate::Refusal;

/// All places of the node.
pub(crate) struct Places {
    free: AtomicUsize,
    /// Length of the queue, those who left included. Kept beside the lock so that nobody takes it without need.
    waiting: AtomicUsize,
    queue: Mutex<VecDeque<Waiter>>,
    capacity: usize,
    max_waiting: usize,
}

/// A place. Dropping it gives it to whoever waits longest.
pub(crate) struct Place(Option<Arc<Places>>);

/// What a waiting call is given.
pub(crate) enum Grant {
    /// A place for a new instance.
    Place(Place),
    /// An instance of the function it waits for.
    Instance(Ready),
}

struct Waiter {
    /// Which function it waits for: the address of its pool.
    pool: usize,
    grant: oneshot::Sender<Grant>,
}

// === impl Places ===

impl Places {
    pub(crate) fn new(capacity: usize, max_waiting: usize) -> Arc<Self> {
        let capacity = capacity.max(1);
        Arc::new(Self {
            free: AtomicUsize::new(capacity),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
            capacity,
            max_waiting,
        })
    }

    /// A place, if one is free and nobody waits.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Place> {
        (!self.is_awaited() && self.claim()).then(|| Place(Some(self.clone())))
    }

    fn claim(&self) -> bool {
        let less = |free: usize| free.checked_sub(1);
        self.free.fetch_update(SeqCst, SeqCst, less).is_ok()
    }

    /// Whether calls wait for a place.
    pub(crate) fn is_awaited(&self) -> bool {
        self.waiting.load(SeqCst) > 0
    }

    /// Instances alive now.
    pub(crate) fn taken(&self) -> usize {
        self.capacity - self.free.load(SeqCst).min(self.capacity)
    }

    /// Waits for a place, or for an instance of the function with this pool. `waiting` is called once in the queue.
    pub(crate) async fn wait(
        self: &Arc<Self>,
        pool: usize,
        until: Instant,
        waiting: impl FnOnce(),
    ) -> Result<Grant, Refusal> {
        let (grant, granted) = oneshot::channel();
        {
            let mut queue = self.queue.lock();
            if queue.len() >= self.max_waiting {
                queue.retain(|waiter| !waiter.grant.is_closed());
            }
            if queue.len() >= self.max_waiting {
                return Err(Refusal::NoPlace);
            }
            queue.push_back(Waiter { pool, grant });
            self.waiting.store(queue.len(), SeqCst);
        }
        // A place given back between the failed `take` and here saw nobody waiting.
        self.serve();
        waiting();
        match tokio::time::timeout_at(until.into(), granted).await {
            Ok(Ok(grant)) => Ok(grant),
            // A grant that came too late is dropped with the channel and goes to the next.
            _ => Err(Refusal::NoPlace),
        }
    }

    /// Gives free places to those who wait, in order.
    fn serve(self: &Arc<Self>) {
        loop {
            let waiter = {
                let mut queue = self.queue.lock();
                if queue.is_empty() || !self.claim() {
                    return;
                }
                let waiter = queue.pop_front();
                self.waiting.store(queue.len(), SeqCst);
                waiter
            };
            let place = Place(Some(self.clone()));
            let Some(waiter) = waiter else { return };
            if let Err(Grant::Place(place)) = waiter.grant.send(Grant::Place(place)) {
                place.forget();
                self.free.fetch_add(1, SeqCst);
            }
        }
    }

    /// Hands a used instance to whoever waits longest, if that one waits for this function. `ready` is asked only then.
    pub(crate) fn offer(&self, pool: usize, ready: impl FnOnce() -> Option<Ready>) {
        let waiter = {
            let mut queue = self.queue.lock();
            while queue.front().is_some_and(|w| w.grant.is_closed()) {
                queue.pop_front();
            }
            let waiter = if queue.front().is_some_and(|w| w.pool == pool) {
                queue.pop_front()
            } else {
                None
            };
            self.waiting.store(queue.len(), SeqCst);
            waiter
        };
        let Some(waiter) = waiter else { return };
        match ready() {
            // Refused by a caller that left just now: the instance is dropped and its place goes on.
            Some(ready) => drop(waiter.grant.send(Grant::Instance(ready))),
            None => {
                let mut queue = self.queue.lock();
                queue.push_front(waiter);
                self.waiting.store(queue.len(), SeqCst);
            }
        }
    }
}

// === impl Place ===

impl Place {
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(places) = self.0.take() {
            places.free.fetch_add(1, SeqCst);
            if places.is_awaited() {
                places.serve();
            }
        }
    }
}
