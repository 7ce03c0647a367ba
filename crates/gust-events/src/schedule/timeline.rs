//! Which of very many schedules is to be looked at next.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

/// Ids by the time at which to look at them, each at most once.
///
/// An ordered tree and not a heap: a heap keeps what was replaced until its time comes, and a schedule that is deployed
/// again and again would fill it. An entry takes its time and its id twice, about 50 bytes with a small id.
/// What is due at the same time comes out in the order of the ids, so that a run of it can be repeated.
#[derive(Debug, Clone)]
pub struct Timeline<K> {
    order: BTreeSet<(u64, K)>,
    times: HashMap<K, u64>,
}

// === impl Timeline ===

impl<K> Default for Timeline<K> {
    fn default() -> Self {
        Self {
            order: BTreeSet::new(),
            times: HashMap::new(),
        }
    }
}

impl<K: Copy + Ord + Hash> Timeline<K> {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an id at this time and returns the time at which it was before.
    pub fn insert(&mut self, id: K, at_us: u64) -> Option<u64> {
        let before = self.times.insert(id, at_us);
        if let Some(before) = before {
            self.order.remove(&(before, id));
        }
        self.order.insert((at_us, id));
        before
    }

    /// Takes an id out and returns the time at which it was.
    pub fn remove(&mut self, id: K) -> Option<u64> {
        let at = self.times.remove(&id)?;
        self.order.remove(&(at, id));
        Some(at)
    }

    /// When to look next.
    pub fn next_us(&self) -> Option<u64> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest id whose time has come, with that time. One at a time, so that whoever asks can stop.
    pub fn pop_due(&mut self, now_us: u64) -> Option<(K, u64)> {
        if self.next_us()? > now_us {
            return None;
        }
        let (at, id) = self.order.pop_first()?;
        self.times.remove(&id);
        Some((id, at))
    }

    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}
