//! Who waits for elements of which list. Those who have waited longest are woken first.

use std::{collections::HashMap, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::future::select_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, futures::OwnedNotified};

/// The bells of a store's lists; only those that somebody waits for are there.
#[derive(Default)]
pub(crate) struct Bells(Mutex<HashMap<Bytes, Bell>>);

#[derive(Default)]
struct Bell {
    notify: Arc<Notify>,
    waiting: usize,
}

/// One who waits for some lists, until it is dropped.
pub(crate) struct Waiter<'a> {
    bells: &'a Bells,
    keys: Vec<(Bytes, Arc<Notify>)>,
}

/// Hears the next ring of any of them.
pub(crate) struct Ear(Vec<Pin<Box<OwnedNotified>>>);

// === impl Bells ===

impl Bells {
    pub(crate) fn wait<'a>(&'a self, keys: Vec<&Bytes>) -> Waiter<'a> {
        let mut bells = self.0.lock();
        let mut add = |key: &Bytes| {
            let bell = bells.entry(key.clone()).or_default();
            bell.waiting += 1;
            (key.clone(), bell.notify.clone())
        };
        let keys = keys.into_iter().map(&mut add).collect();
        Waiter { bells: self, keys }
    }

    /// There are so many elements now.
    pub(crate) fn ring(&self, key: &Bytes, elements: usize) {
        let bells = self.0.lock();
        if let Some(bell) = bells.get(key) {
            for _ in 0..elements.min(bell.waiting) {
                bell.notify.notify_one();
            }
        }
    }
}

// === impl Waiter ===

impl Waiter<'_> {
    /// Listens from now on: what is rung between this and the wait is heard.
    pub(crate) fn listen(&self) -> Ear {
        let listen = |(_, notify): &(Bytes, Arc<Notify>)| {
            let mut notified = Box::pin(notify.clone().notified_owned());
            notified.as_mut().enable();
            notified
        };
        Ear(self.keys.iter().map(listen).collect())
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut bells = self.bells.0.lock();
        for (key, _) in &self.keys {
            if let Some(bell) = bells.get_mut(key) {
                bell.waiting -= 1;
                if bell.waiting == 0 {
                    bells.remove(key);
                }
            }
        }
    }
}

// === impl Ear ===

impl Ear {
    pub(crate) async fn hear(self) {
        if !self.0.is_empty() {
            select_all(self.0).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn rings_wake_as_many_as_there_are_elements() {
        let bells = Bells::default();
        let key = Bytes::from("k");
        bells.ring(&key, 5);
        let waiters = [bells.wait(vec![&key]), bells.wait(vec![&key])];
        let mut ears = waiters
            .each_ref()
            .map(|waiter| Box::pin(waiter.listen().hear()));
        assert!(
            ears.each_mut()
                .map(|ear| ear.now_or_never())
                .iter()
                .all(Option::is_none)
        );
        bells.ring(&key, 1);
        assert!(
            ears[0].as_mut().now_or_never().is_some(),
            "the first comes first"
        );
        assert!(ears[1].as_mut().now_or_never().is_none());
        bells.ring(&key, 9);
        assert!(ears[1].as_mut().now_or_never().is_some());
        drop(waiters);
        assert!(bells.0.lock().is_empty());
    }
}
