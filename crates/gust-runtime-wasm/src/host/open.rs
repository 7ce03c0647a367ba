//! How many stores, databases and sends a copy may have open at once, and handles that are plain numbers.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

/// What guests of Spin expect: the 257th open store is refused.
pub(crate) const MAX_OPEN: u32 = 256;

/// Counts what is open.
#[derive(Default, Clone)]
pub(crate) struct Places(Arc<AtomicU32>);

/// The right to hold one thing open; given back when dropped.
pub(crate) struct Place(Arc<AtomicU32>);

// === impl Places ===

impl Places {
    /// A place, unless `most` are taken.
    pub(crate) fn take(&self, most: u32) -> Option<Place> {
        self.0
            .fetch_update(Relaxed, Relaxed, |open| (open < most).then_some(open + 1))
            .ok()
            .map(|_| Place(self.0.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Handles of Spin 1, which are numbers that a guest may forge: each one is looked up. Bounded by [`Places`].
pub(crate) struct Numbered<T> {
    next: u32,
    open: HashMap<u32, T>,
}

// === impl Numbered ===

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            next: 0,
            open: HashMap::new(),
        }
    }
}

impl<T> Numbered<T> {
    pub(crate) fn add(&mut self, thing: T) -> u32 {
        while self.open.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let handle = self.next;
        self.next = self.next.wrapping_add(1);
        self.open.insert(handle, thing);
        handle
    }

    pub(crate) fn get(&self, handle: u32) -> Option<&T> {
        self.open.get(&handle)
    }

    pub(crate) fn close(&mut self, handle: u32) {
        self.open.remove(&handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_run_out_and_come_back() {
        let places = Places::default();
        let mut taken: Vec<_> = (0..MAX_OPEN)
            .map(|_| places.take(MAX_OPEN).unwrap())
            .collect();
        assert!(places.take(MAX_OPEN).is_none());
        taken.pop();
        assert!(places.take(MAX_OPEN).is_some());
    }

    #[test]
    fn numbers_are_not_given_twice_at_once() {
        let mut numbered = Numbered {
            next: u32::MAX,
            open: HashMap::new(),
        };
        let first = numbered.add("a");
        let second = numbered.add("b");
        numbered.next = u32::MAX;
        let third = numbered.add("c");
        assert_eq!((first, second, third), (u32::MAX, 0, 1));
        numbered.close(first);
        assert_eq!(numbered.get(first), None);
        assert_eq!(numbered.get(third), Some(&"c"));
    }
}
