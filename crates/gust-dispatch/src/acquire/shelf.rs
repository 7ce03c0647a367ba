//! Who has idle instances, and whose code is mapped: what the node gives up first when it runs short.
//!
//! Both lists are touched when something is first idle or first mapped, never by a call on a warm function.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::pool::{Idle, Unloaded};
use crate::FunctionEntry;

/// The functions that have idle instances.
#[derive(Default)]
pub(crate) struct Awake {
    entries: Mutex<Vec<Weak<FunctionEntry>>>,
    /// Tells the sweeper that there is something to look after.
    pub(crate) nudge: Notify,
    idle: AtomicUsize,
}

/// The functions whose code is mapped.
pub(crate) struct Shelf {
    entries: Mutex<Vec<Weak<FunctionEntry>>>,
    max: usize,
    max_bytes: u64,
    count: AtomicUsize,
    bytes: AtomicU64,
}

/// Idle instances given up at once when the node is full: looking for the oldest costs a look at every function that
/// has any, so it pays to find a few.
const EVICTED_AT_ONCE: usize = 4;

// === impl Awake ===

impl Awake {
    /// A function that had no idle instance has one.
    pub(crate) fn add(&self, entry: &Arc<FunctionEntry>) {
        self.entries.lock().push(Arc::downgrade(entry));
        self.nudge.notify_one();
    }

    /// Gives up the instances that have been idle longest: at least this many, or none when there are fewer, since a
    /// call that gets no place in the end must not cost others their warm instances.
    pub(crate) fn evict(&self, least: usize) -> Vec<Idle> {
        let mut all = 0;
        let mut oldest: Vec<(Instant, Arc<FunctionEntry>)> = Vec::new();
        for entry in self.entries.lock().iter().filter_map(Weak::upgrade) {
            if let Some(since) = entry.pool.oldest() {
                all += entry.pool.count().0;
                oldest.push((since, entry));
            }
        }
        let mut gone = Vec::new();
        if all < least {
            return gone;
        }
        oldest.sort_unstable_by_key(|(since, _)| *since);
        // Each function gives up its oldest in turn; most often one round is enough.
        while gone.len() < least.max(EVICTED_AT_ONCE) {
            let before = gone.len();
            let left = least.max(EVICTED_AT_ONCE) - before;
            let round = oldest.iter().take(left);
            gone.extend(round.filter_map(|(_, entry)| entry.pool.evict()));
            if gone.len() == before {
                break;
            }
        }
        gone
    }

    /// Gives up the instances that have been idle for as long as their functions allow. False when none is left.
    pub(crate) fn expire(&self, now: Instant) -> bool {
        let mut gone = Vec::new();
        let mut entries = self.entries.lock();
        let mut left = 0;
        entries.retain(|entry| {
            let Some(entry) = entry.upgrade() else {
                return false;
            };
            let (old, listed) = entry.pool.expire(now);
            gone.extend(old);
            left += entry.pool.count().0;
            listed
        });
        let any = !entries.is_empty();
        drop(entries);
        self.idle.store(left, Relaxed);
        any
    }

    /// Idle instances when the sweeper last looked.
    pub(crate) fn idle(&self) -> usize {
        self.idle.load(Relaxed)
    }
}

// === impl Shelf ===

impl Shelf {
    pub(crate) fn new(max: usize, max_bytes: u64) -> Self {
        Self {
            entries: Mutex::default(),
            max: max.max(1),
            max_bytes,
            count: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// A function's code was mapped; others may have to go for it.
    pub(crate) fn add(&self, entry: &Arc<FunctionEntry>, bytes: u64) {
        self.entries.lock().push(Arc::downgrade(entry));
        let count = self.count.fetch_add(1, Relaxed) + 1;
        let bytes = self.bytes.fetch_add(bytes, Relaxed) + bytes;
        if count > self.max || bytes > self.max_bytes {
            self.make_room(entry);
        }
    }

    /// What was given up elsewhere is no longer here.
    pub(crate) fn removed(&self, unloaded: &Unloaded) {
        if let Some(mapped) = &unloaded.mapped {
            self.count.fetch_sub(1, Relaxed);
            self.bytes.fetch_sub(mapped.bytes, Relaxed);
        }
    }

    /// Gives up what was used longest ago until a sixteenth is free, so that a full shelf is looked through once for
    /// many loads. `but` was just loaded for a call.
    fn make_room(&self, but: &Arc<FunctionEntry>) {
        let mut by_use = self.by_use();
        by_use.retain(|(_, entry)| !Arc::ptr_eq(entry, but));
        by_use.sort_unstable_by_key(|(used, _)| *used);
        let (room, room_bytes) = (
            self.max - self.max / 16,
            self.max_bytes - self.max_bytes / 16,
        );
        for (_, entry) in by_use {
            if self.count.load(Relaxed) <= room && self.bytes.load(Relaxed) <= room_bytes {
                return;
            }
            self.unload(&entry);
        }
    }

    fn by_use(&self) -> Vec<(u64, Arc<FunctionEntry>)> {
        let mut entries = self.entries.lock();
        let mut found = Vec::with_capacity(entries.len());
        entries.retain(|entry| match entry.upgrade() {
            Some(entry) if entry.pool.mapped().is_some() => {
                found.push((entry.pool.used_ms(), entry));
                true
            }
            _ => false,
        });
        found
    }

    fn unload(&self, entry: &Arc<FunctionEntry>) {
        if let Some(unloaded) = entry.pool.unload() {
            self.removed(&unloaded);
            bury(unloaded);
        }
    }

    /// Gives up the code of functions that nobody has called for this long.
    pub(crate) fn expire(&self, now_ms: u64, idle: Duration) {
        let before = now_ms.saturating_sub(idle.as_millis() as u64);
        for (used, entry) in self.by_use() {
            if used < before {
                self.unload(&entry);
            }
        }
    }

    /// Functions whose code is mapped, and its bytes.
    pub(crate) fn count(&self) -> (usize, u64) {
        (self.count.load(Relaxed), self.bytes.load(Relaxed))
    }
}

/// Drops elsewhere what takes long to drop: unmapping code costs hundreds of microseconds.
pub(crate) fn bury(unloaded: Unloaded) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(unloaded))),
        Err(_) => drop(unloaded),
    }
}
