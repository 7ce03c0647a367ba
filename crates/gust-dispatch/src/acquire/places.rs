//! The node's places for live instances: never more than there are, first come first served when there are none.
//!
//! A place belongs to an instance for its whole life, idle or busy, so a call on an idle instance touches nothing here.
//! Who waits is given either a place, or, when it waits for the very function an instance was just used for, that
//! instance with its place.
//!
//! A call that another call waits for (an in-process one) goes first, and an eighth of the places is for such calls
//! alone: were all places held by callers whose callees find none, nobody would ever give one up. Deeper calls may use
//! more of that eighth, so a chain always has room at its end.

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
    queues: Mutex<Queues>,
    capacity: usize,
    max_waiting: usize,
}

/// Those who wait, by how deep in a chain of in-process calls they are.
#[derive(Default)]
struct Queues([VecDeque<Waiter>; LEVELS]);

/// Depths that are told apart; what is deeper counts as the deepest.
const LEVELS: usize = 4;
/// One place in so many is for in-process calls alone.
const RESERVE: usize = 8;

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
            queues: Mutex::default(),
            capacity,
            max_waiting,
        })
    }

    /// Places that a call of this depth leaves to deeper ones.
    fn floor(&self, level: usize) -> usize {
        if level + 1 < LEVELS {
            (self.capacity / RESERVE) >> level
        } else {
            0
        }
    }

    /// A place, if one is free for a call this deep and nobody waits. `depth` is 0 for a call from outside.
    pub(crate) fn take(self: &Arc<Self>, depth: u8) -> Option<Place> {
        let free = !self.is_awaited() && self.claim(self.floor(depth.into()));
        free.then(|| Place(Some(self.clone())))
    }

    fn claim(&self, floor: usize) -> bool {
        let less = |free: usize| (free > floor).then(|| free - 1);
        self.free.fetch_update(SeqCst, SeqCst, less).is_ok()
    }

    /// Whether calls wait for a place.
    pub(crate) fn is_awaited(&self) -> bool {
        self.waiting.load(SeqCst) > 0
    }

    /// Whether somebody waits who could have one more free place.
    pub(crate) fn is_wanted(&self) -> bool {
        let queues = self.queues.lock();
        let free = self.free.load(SeqCst) + 1;
        (0..LEVELS).any(|level| !queues.level(level).is_empty() && free > self.floor(level))
    }

    /// How many places have to become free before a call this deep can have one.
    pub(crate) fn missing(&self, depth: u8) -> usize {
        (self.floor(depth.into()) + 1).saturating_sub(self.free.load(SeqCst))
    }

    /// Instances alive now.
    pub(crate) fn taken(&self) -> usize {
        self.capacity - self.free.load(SeqCst).min(self.capacity)
    }

    /// Waits for a place, or for an instance of the function with this pool. `waiting` is called once in the queue.
    pub(crate) async fn wait(
        self: &Arc<Self>,
        pool: usize,
        depth: u8,
        until: Instant,
        waiting: impl FnOnce(),
    ) -> Result<Grant, Refusal> {
        let (grant, granted) = oneshot::channel();
        {
            let mut queues = self.queues.lock();
            if queues.len() >= self.max_waiting {
                queues.tidy();
            }
            if queues.len() >= self.max_waiting {
                return Err(Refusal::NoPlace);
            }
            queues.push(depth, Waiter { pool, grant });
            self.waiting.store(queues.len(), SeqCst);
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

    /// Gives free places to those who wait, the deepest first, then in order.
    fn serve(self: &Arc<Self>) {
        while let Some(waiter) = self.next() {
            let place = Place(Some(self.clone()));
            if let Err(Grant::Place(place)) = waiter.grant.send(Grant::Place(place)) {
                place.forget();
                self.free.fetch_add(1, SeqCst);
            }
        }
    }

    /// Who is next, with a place claimed for it.
    fn next(&self) -> Option<Waiter> {
        let mut queues = self.queues.lock();
        let waiter = (0..LEVELS).rev().find_map(|level| {
            let waits = !queues.level(level).is_empty();
            (waits && self.claim(self.floor(level)))
                .then(|| queues.level_mut(level)?.pop_front())
                .flatten()
        });
        self.waiting.store(queues.len(), SeqCst);
        waiter
    }

    /// Hands a used instance to whoever waits longest, if that one waits for this function. `ready` is asked only then.
    pub(crate) fn offer(&self, pool: usize, ready: impl FnOnce() -> Option<Ready>) {
        let Some((level, waiter)) = self.first_for(pool) else {
            return;
        };
        match ready() {
            // Refused by a caller that left just now: the instance is dropped and its place goes on.
            Some(ready) => drop(waiter.grant.send(Grant::Instance(ready))),
            None => {
                let mut queues = self.queues.lock();
                if let Some(queue) = queues.level_mut(level) {
                    queue.push_front(waiter);
                }
                self.waiting.store(queues.len(), SeqCst);
            }
        }
    }

    /// Takes the first of those who wait out of its queue, if it waits for this function.
    fn first_for(&self, pool: usize) -> Option<(usize, Waiter)> {
        let mut queues = self.queues.lock();
        for queue in &mut queues.0 {
            while queue.front().is_some_and(|w| w.grant.is_closed()) {
                queue.pop_front();
            }
        }
        let level = (0..LEVELS).rev().find(|l| !queues.level(*l).is_empty());
        let found = level.and_then(|level| {
            let queue = queues.level_mut(level)?;
            let waiter = queue.pop_front_if(|waiter| waiter.pool == pool)?;
            Some((level, waiter))
        });
        self.waiting.store(queues.len(), SeqCst);
        found
    }
}

impl Queues {
    fn len(&self) -> usize {
        self.0.iter().map(VecDeque::len).sum()
    }

    fn level(&self, level: usize) -> &VecDeque<Waiter> {
        let [first, ..] = &self.0;
        self.0.get(level).unwrap_or(first)
    }

    fn level_mut(&mut self, level: usize) -> Option<&mut VecDeque<Waiter>> {
        self.0.get_mut(level)
    }

    fn push(&mut self, depth: u8, waiter: Waiter) {
        if let Some(queue) = self.level_mut(usize::from(depth).min(LEVELS - 1)) {
            queue.push_back(waiter);
        }
    }

    /// Forgets those who left.
    fn tidy(&mut self) {
        for queue in &mut self.0 {
            queue.retain(|waiter| !waiter.grant.is_closed());
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
