//! acquire: an instance for an admitted call. This is where cold starts live.
//!
//! In this order, cheapest first: an idle instance, the latest first; a share of a busy one; a new one. A new one needs
//! the code (mapped by the first call that finds it is not, once for all that wait) and a place on the node. When no
//! place is free the instance that has been idle longest, of whatever function, makes room; when none is idle the call
//! waits in order. The code is made ready before the place is taken, so that no place stands empty during a load.
//!
//! A call with a unit of work always gets a new one, which serves nobody else and sees stores, databases and queues through
//! the unit (`unit.rs`): what the guest does can only be this call's, and nothing that it remembers is of an attempt that
//! was never committed.

mod files;
mod load;
mod outlet;
mod places;
mod pool;
mod shelf;
mod unit;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gust_backend::unit::Unit;
use gust_runtime::Instance;
use gust_task::clock;
use gust_types::{Error, Result, usage::Start};

use crate::{FunctionEntry, Refusal};
pub(crate) use files::FileTrees;
pub(crate) use load::check as check_bindings;
use places::Grant;
pub(crate) use places::Places;
use pool::{Copy, Mapped, Ready};
pub(crate) use pool::{Pool, Seat};
pub(crate) use shelf::{Awake, Shelf, bury};

/// An instance for one call, and how it came to be.
pub(crate) struct Acquired {
    pub(crate) ready: Ready,
    pub(crate) start: Start,
    /// What mapping, linking and making it took; and waiting for its place.
    pub(crate) took: Took,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Took {
    pub(crate) map: Duration,
    pub(crate) link: Duration,
    pub(crate) wait: Duration,
    pub(crate) instantiate: Duration,
}

/// Finds or makes an instance. Waiting for a place ends at `until`, everything else at `deadline`. `depth` is how many
/// calls wait for this one. With `unit` the instance is the call's alone.
pub(crate) async fn acquire(
    entry: &Arc<FunctionEntry>,
    depth: u8,
    now: Instant,
    until: Instant,
    deadline: Instant,
    unit: Option<&Arc<Unit>>,
) -> Result<Acquired> {
    entry.pool.touch(entry.engine.millis(now));
    let mut took = Took::default();
    if unit.is_none()
        && let Some(ready) = entry.pool.reuse()
    {
        return Ok(Acquired::reused(ready, took));
    }
    let (mapped, start) = match entry.pool.mapped() {
        Some(mapped) => (mapped, Start::Warm),
        None => (map(entry, now, deadline, &mut took).await?, Start::Cold),
    };
    let pool = match unit {
        None => entry.pool.id(),
        // Of no pool: what is used already is not for it.
        Some(_) => 0,
    };
    let place = match place(entry, pool, depth, until, &mut took).await? {
        Grant::Place(place) => place,
        Grant::Instance(ready) => return Ok(Acquired::reused(ready, took)),
    };
    let begun = clock::now();
    let (bindings, plan) = match unit {
        None => (None, mapped.plan),
        Some(unit) => (Some(unit::bind(unit, &mapped.bindings)), unit::ALONE),
    };
    let instance = mapped.prepared.start(deadline, bindings).await?;
    took.instantiate = clock::now().saturating_duration_since(begun);
    let ready = entry.pool.adopt(instance, plan, place);
    Ok(Acquired { ready, start, took })
}

/// The code, mapped by this call or by one it joins.
async fn map(
    entry: &Arc<FunctionEntry>,
    now: Instant,
    deadline: Instant,
    took: &mut Took,
) -> Result<Arc<Mapped>> {
    let load = match load::join(entry, now) {
        Ok(load) => load,
        Err(known) => return known,
    };
    let loaded = tokio::time::timeout_at(deadline.into(), load)
        .await
        .map_err(|_| Error::unavailable("the function's code is still being made ready"))?
        .map_err(|error| load::again(&error))?;
    (took.map, took.link) = (loaded.map, loaded.link);
    Ok(loaded.mapped)
}

/// A place, or an instance of this function that was given up for it.
async fn place(
    entry: &Arc<FunctionEntry>,
    pool: usize,
    depth: u8,
    until: Instant,
    took: &mut Took,
) -> Result<Grant> {
    let places = &entry.engine.places;
    if let Some(place) = places.take(depth) {
        return Ok(Grant::Place(place));
    }
    // Dropping what is evicted frees its place.
    let evict = || drop(entry.engine.awake.evict(places.missing(depth)));
    evict();
    if let Some(place) = places.take(depth) {
        return Ok(Grant::Place(place));
    }
    let begun = clock::now();
    // Whatever became idle since is given up too: who made it idle may not have seen this call wait.
    let granted = places.wait(pool, depth, until, evict).await;
    took.wait = clock::now().saturating_duration_since(begun);
    granted.map_err(|why: Refusal| why.of_function(entry.key()))
}

impl Acquired {
    fn reused(ready: Ready, took: Took) -> Self {
        Self {
            ready,
            start: Start::Reused,
            took,
        }
    }
}

/// Takes a copy back when the guest is done with a call: keeps its instance for the next one, or, when the node is full
/// and others wait for a place, lets whoever waits longest have it.
pub(crate) fn give_back(
    entry: &Arc<FunctionEntry>,
    seat: Seat,
    instance: Option<Box<dyn Instance>>,
) {
    let copy = seat.leave();
    let Some(instance) = instance else { return };
    if !copy.is_reusable() {
        return;
    }
    keep(entry, instance, copy);
    // Looked at after it was kept: a call that began to wait before that is seen here, and one that begins later finds
    // the idle instance itself.
    if entry.engine.places.is_awaited()
        && let Some(ready) = entry.pool.reuse_idle()
    {
        hand_over(entry, ready);
    }
}

fn hand_over(entry: &Arc<FunctionEntry>, ready: Ready) {
    let places = &entry.engine.places;
    let mut ready = Some(ready);
    places.offer(entry.pool.id(), || ready.take());
    if let Some(ready) = ready
        && !places.is_wanted()
    {
        // Its place would be of no use to those who wait.
        keep(entry, ready.instance, ready.seat.leave());
    }
}

fn keep(entry: &Arc<FunctionEntry>, instance: Box<dyn Instance>, copy: Arc<Copy>) {
    if entry.pool.keep(instance, copy, clock::now()) {
        entry.engine.awake.add(entry);
    }
}
