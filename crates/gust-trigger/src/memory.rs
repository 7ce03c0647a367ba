//! The smallest source: a broker in this process. It remembers what was not acknowledged, and can be stopped.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gust_task::Stop;
use gust_types::{Error, Result};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{Inbox, Incoming, Keeper, Peer, Place, Source};

/// A broker. Clones are the same one.
#[derive(Clone, Default)]
pub struct MemoryBroker(Arc<Broker>);

#[derive(Default)]
struct Broker {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    messages: Vec<(u64, Bytes)>,
    last: u64,
    down: bool,
}

/// A source that takes from it.
pub struct MemorySource(MemoryBroker);

// === impl MemoryBroker ===

impl MemoryBroker {
    /// Publishes.
    pub fn publish(&self, payload: impl Into<Bytes>) {
        let mut state = self.0.state.lock();
        state.last += 1;
        let id = state.last;
        state.messages.push((id, payload.into()));
        self.0.changed.notify_waiters();
    }

    /// Is there, or not.
    pub fn set_down(&self, down: bool) {
        self.0.state.lock().down = down;
        self.0.changed.notify_waiters();
    }

    /// A source of what is published.
    pub fn source(&self) -> MemorySource {
        MemorySource(self.clone())
    }

    /// What comes after a message and is not acknowledged.
    fn after(&self, seen: u64) -> Result<Vec<(u64, Bytes)>> {
        let state = self.0.state.lock();
        if state.down {
            return Err(Error::unavailable("the broker is down"));
        }
        let new = state.messages.iter().filter(|(id, _)| *id > seen);
        Ok(new.cloned().collect())
    }

    fn acknowledge(&self, id: u64) {
        self.0.state.lock().messages.retain(|(of, _)| *of != id);
    }
}

// === impl MemorySource ===

#[async_trait]
impl Source for MemorySource {
    async fn run(&self, to: &dyn Inbox, stop: Stop) -> Result<()> {
        let peer = Peer {
            scheme: "memory",
            host: "here".to_owned(),
            port: 0,
            tls: false,
            user: None,
            password: None,
            path: String::new(),
            query: Vec::new(),
        };
        let place = Place {
            kind: "memory",
            peer: &peer,
            name: "all",
        };
        let mut keeper = Keeper::new(to);
        let mut seen = self.0.after(0).map(|_| 0)?;
        to.connected();
        loop {
            let changed = self.0.0.changed.notified();
            for (id, payload) in self.0.after(seen)? {
                let event = place.event(Some(&id.to_string()), None, payload);
                let incoming: Incoming = place.incoming(id.to_string(), event);
                keeper.bring(incoming, id);
                seen = id;
            }
            tokio::select! {
                () = changed => {}
                acks = keeper.kept() => acks?.into_iter().for_each(|id| self.0.acknowledge(id)),
                () = stop.stopped() => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{self, Rig};

    #[async_trait]
    impl Rig for MemoryBroker {
        fn source(&self, _: Option<u16>) -> Result<Box<dyn Source>> {
            Ok(Box::new(self.source()))
        }

        async fn publish(&self, payload: &[u8]) {
            self.publish(payload.to_vec());
        }

        async fn set_down(&self, down: bool) {
            self.set_down(down);
        }

        fn redelivers(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn it_passes_the_suite() {
        let broker = MemoryBroker::default();
        suite::delivers(&broker).await;
        suite::acknowledges_what_is_kept(&broker).await;
        suite::comes_back(&broker).await;
        suite::stops(&broker).await;
    }
}
