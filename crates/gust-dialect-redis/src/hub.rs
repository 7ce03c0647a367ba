//! Channels: who listens to what, within a store and this node.
//!
//! Nothing is kept for those who are not there. What waits for a subscriber is bounded: one that does not read is cut off, and nobody
//! waits for it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use gust_task::Stop;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::{glob, reply::Reply};

/// Messages that wait for a subscriber, and bytes of them.
const WAITING: usize = 4096;
const WAITING_BYTES: usize = 8 << 20;

/// The channels of a store.
#[derive(Default)]
pub(crate) struct Hub(Mutex<State>);

#[derive(Default)]
struct State {
    channels: Listeners,
    patterns: Listeners,
}

type Listeners = HashMap<Bytes, HashMap<i64, Outbox>>;

/// What goes to a subscriber.
#[derive(Clone)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Reply>,
    bytes: Arc<AtomicUsize>,
    cut: Stop,
}

/// What has come for a subscriber.
pub(crate) struct Inbox {
    queue: mpsc::Receiver<Reply>,
    bytes: Arc<AtomicUsize>,
    cut: Stop,
}

/// What is subscribed to.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Topic {
    Channel,
    Pattern,
}

/// A box for messages: where they go in, and where they come out.
pub(crate) fn mailbox() -> (Outbox, Inbox) {
    let (to, from) = mpsc::channel(WAITING);
    let (bytes, cut) = (Arc::new(AtomicUsize::new(0)), Stop::new());
    let outbox = Outbox {
        queue: to,
        bytes: bytes.clone(),
        cut: cut.clone(),
    };
    let inbox = Inbox {
        queue: from,
        bytes,
        cut,
    };
    (outbox, inbox)
}

// === impl Hub ===

impl Hub {
    pub(crate) fn subscribe(&self, topic: Topic, name: &Bytes, client: i64, outbox: &Outbox) {
        let mut state = self.0.lock();
        let listeners = state.of(topic).entry(name.clone()).or_default();
        listeners.insert(client, outbox.clone());
    }

    pub(crate) fn unsubscribe(&self, topic: Topic, name: &Bytes, client: i64) {
        let mut state = self.0.lock();
        let listeners = state.of(topic);
        if let Some(there) = listeners.get_mut(name) {
            there.remove(&client);
            if there.is_empty() {
                listeners.remove(name);
            }
        }
    }

    /// Hands a message to all who listen.
    pub(crate) fn publish(&self, channel: &Bytes, message: &Bytes) {
        let state = self.0.lock();
        let bulk = |bytes: &Bytes| Reply::Bulk(bytes.clone());
        for outbox in state
            .channels
            .get(channel)
            .into_iter()
            .flat_map(HashMap::values)
        {
            let push = vec![Reply::word("message"), bulk(channel), bulk(message)];
            outbox.put(Reply::Push(push), channel.len() + message.len());
        }
        for (pattern, listeners) in state.matching(channel) {
            for outbox in listeners.values() {
                let push = vec![
                    Reply::word("pmessage"),
                    bulk(pattern),
                    bulk(channel),
                    bulk(message),
                ];
                outbox.put(Reply::Push(push), channel.len() + message.len());
            }
        }
    }

    /// How many would hear a message.
    pub(crate) fn listeners(&self, channel: &Bytes) -> usize {
        let state = self.0.lock();
        let direct = state.channels.get(channel).map_or(0, HashMap::len);
        direct
            + state
                .matching(channel)
                .map(|(_, there)| there.len())
                .sum::<usize>()
    }

    pub(crate) fn subscribers(&self, channel: &Bytes) -> usize {
        self.0.lock().channels.get(channel).map_or(0, HashMap::len)
    }

    pub(crate) fn patterns(&self) -> usize {
        self.0.lock().patterns.len()
    }

    pub(crate) fn channels(&self, pattern: Option<&Bytes>) -> Vec<Bytes> {
        let state = self.0.lock();
        let is_asked = |name: &&Bytes| pattern.is_none_or(|pattern| glob::matches(pattern, name));
        state.channels.keys().filter(is_asked).cloned().collect()
    }
}

impl State {
    fn of(&mut self, topic: Topic) -> &mut Listeners {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
        }
    }

    fn matching<'a>(
        &'a self,
        channel: &Bytes,
    ) -> impl Iterator<Item = (&'a Bytes, &'a HashMap<i64, Outbox>)> {
        let patterns = self.patterns.iter();
        patterns.filter(move |(pattern, _)| glob::matches(pattern, channel))
    }
}

// === impl Outbox ===

impl Outbox {
    fn put(&self, message: Reply, size: usize) {
        let waiting = self.bytes.fetch_add(size, Relaxed) + size;
        if waiting > WAITING_BYTES || self.queue.try_send(message).is_err() {
            self.cut.stop();
        }
    }
}

// === impl Inbox ===

impl Inbox {
    /// The next message; `None` when the subscriber is cut off.
    pub(crate) async fn next(&mut self) -> Option<Reply> {
        let message = tokio::select! {
            biased;
            () = self.cut.stopped() => return None,
            message = self.queue.recv() => message?,
        };
        if let Reply::Push(parts) = &message {
            let size = |part: &Reply| match part {
                Reply::Bulk(bytes) => bytes.len(),
                _ => 0,
            };
            // The last two are what was counted.
            let size = parts.iter().rev().take(2).map(size).sum();
            self.bytes.fetch_sub(size, Relaxed);
        }
        Some(message)
    }

    /// Given when the subscriber is cut off.
    pub(crate) fn cut(&self) -> Stop {
        self.cut.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::from(text.to_owned())
    }

    #[tokio::test]
    async fn messages_go_to_who_listens() {
        let hub = Hub::default();
        let (outbox, mut inbox) = mailbox();
        hub.subscribe(Topic::Channel, &bytes("news"), 1, &outbox);
        hub.subscribe(Topic::Pattern, &bytes("n*"), 1, &outbox);
        assert_eq!(hub.listeners(&bytes("news")), 2);
        assert_eq!(hub.listeners(&bytes("nil")), 1);
        hub.publish(&bytes("news"), &bytes("消息"));
        for kind in ["message", "pmessage"] {
            let Some(Reply::Push(parts)) = inbox.next().await else {
                panic!("no message");
            };
            assert_eq!(parts.first(), Some(&Reply::word(kind)));
            assert_eq!(parts.last(), Some(&Reply::text("消息")));
        }
        assert_eq!(inbox.bytes.load(Relaxed), 0);
        hub.unsubscribe(Topic::Channel, &bytes("news"), 1);
        hub.unsubscribe(Topic::Pattern, &bytes("n*"), 1);
        assert_eq!((hub.listeners(&bytes("news")), hub.patterns()), (0, 0));
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_off() {
        let hub = Hub::default();
        for size in [1, 1 << 20] {
            let (outbox, mut inbox) = mailbox();
            hub.subscribe(Topic::Channel, &bytes("c"), 1, &outbox);
            let message = Bytes::from(vec![0; size]);
            for _ in 0..WAITING + 1 {
                hub.publish(&bytes("c"), &message);
            }
            assert!(inbox.next().await.is_none());
        }
    }
}
