//! Channels: who listens to what, within a store and this node.
//!
//! Nothing is kept for those who are not there. What waits for a subscriber is bounded, and beyond a little it is taken from its
//! project's memory: one that does not read is cut off.
//!
//! Names are gone through piece by piece: nobody has the lock while patterns are compared.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use gust_task::Stop;
use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{
    budget::{FREE, Grant, Held, Part},
    glob::Glob,
    reply::Reply,
    turn::Turn,
};

/// Messages that wait for a subscriber, and bytes of them.
const WAITING: usize = 4096;
const WAITING_BYTES: usize = 8 << 20;
/// What a message takes beside its bytes.
const MESSAGE: usize = 256;
/// How long a message waits for memory, for all who listen together.
const PATIENCE: Duration = Duration::from_secs(1);
/// Names looked at while others wait for the lock.
const AT_ONCE: usize = 64;
/// What handing a message over counts when others wait for their turn.
const STEPS: usize = 256;

/// The channels of a store.
#[derive(Default)]
pub(crate) struct Hub(Mutex<State>);

#[derive(Default)]
struct State {
    channels: BTreeMap<Bytes, Listeners>,
    patterns: BTreeMap<Bytes, (Arc<Glob>, Listeners)>,
}

type Listeners = HashMap<i64, Outbox>;

/// What goes to a subscriber.
#[derive(Clone)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Message>,
    bytes: Arc<AtomicUsize>,
    cut: Stop,
    part: Arc<Part>,
}

/// What has come for a subscriber.
pub(crate) struct Inbox {
    queue: mpsc::Receiver<Message>,
    bytes: Arc<AtomicUsize>,
    cut: Stop,
}

/// A message, and the memory that it takes until it is sent.
pub(crate) struct Message {
    pub(crate) reply: Reply,
    pub(crate) grant: Grant,
    size: usize,
}

/// What is subscribed to.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Topic {
    Channel,
    Pattern,
}

/// A box for messages: where they go in, and where they come out. Their memory is of this part.
pub(crate) fn mailbox(part: &Arc<Part>) -> (Outbox, Inbox) {
    let (to, from) = mpsc::channel(WAITING);
    let (bytes, cut) = (Arc::new(AtomicUsize::new(0)), Stop::new());
    let outbox = Outbox {
        queue: to,
        bytes: bytes.clone(),
        cut: cut.clone(),
        part: part.clone(),
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
    pub(crate) fn subscribe(&self, channel: &Bytes, client: i64, outbox: &Outbox) {
        let mut state = self.0.lock();
        let listeners = state.channels.entry(channel.clone()).or_default();
        listeners.insert(client, outbox.clone());
    }

    pub(crate) fn psubscribe(&self, pattern: Arc<Glob>, client: i64, outbox: &Outbox) {
        let mut state = self.0.lock();
        let name = pattern.text().clone();
        let (_, listeners) = state
            .patterns
            .entry(name)
            .or_insert_with(|| (pattern, Listeners::new()));
        listeners.insert(client, outbox.clone());
    }

    pub(crate) fn unsubscribe(&self, topic: Topic, name: &Bytes, client: i64) {
        let mut state = self.0.lock();
        let there = match topic {
            Topic::Channel => state.channels.get_mut(name),
            Topic::Pattern => state.patterns.get_mut(name).map(|(_, there)| there),
        };
        let Some(there) = there else { return };
        there.remove(&client);
        if there.is_empty() {
            match topic {
                Topic::Channel => drop(state.channels.remove(name)),
                Topic::Pattern => drop(state.patterns.remove(name)),
            }
        }
    }

    /// Hands a message to all who listen.
    pub(crate) async fn publish(&self, channel: &Bytes, message: &Bytes) {
        let bulk = |bytes: &Bytes| Reply::Bulk(bytes.clone());
        let until = Instant::now() + PATIENCE;
        let mut turn = Turn::default();
        for outbox in self.of_channel(channel) {
            let push = vec![Reply::word("message"), bulk(channel), bulk(message)];
            outbox.put(push, until).await;
            turn.spend(STEPS).await;
        }
        for pattern in self.matching(channel).await {
            for outbox in self.of_pattern(pattern.text()) {
                let text = bulk(pattern.text());
                let push = vec![Reply::word("pmessage"), text, bulk(channel), bulk(message)];
                outbox.put(push, until).await;
                turn.spend(STEPS).await;
            }
        }
    }

    /// How many would hear a message.
    pub(crate) async fn listeners(&self, channel: &Bytes) -> usize {
        let mut count = self.subscribers(channel);
        for pattern in self.matching(channel).await {
            let state = self.0.lock();
            count += state
                .patterns
                .get(pattern.text())
                .map_or(0, |(_, there)| there.len());
        }
        count
    }

    pub(crate) fn subscribers(&self, channel: &Bytes) -> usize {
        self.0.lock().channels.get(channel).map_or(0, HashMap::len)
    }

    pub(crate) fn patterns(&self) -> usize {
        self.0.lock().patterns.len()
    }

    /// The channels of a pattern; `None` when they or their bytes are more than so many.
    pub(crate) async fn channels(
        &self,
        pattern: Option<&Glob>,
        most: usize,
        most_bytes: usize,
    ) -> Option<Vec<Bytes>> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        let (mut last, mut turn) = (None, Turn::default());
        loop {
            let piece: Vec<Bytes> = {
                let state = self.0.lock();
                let names = behind(&state.channels, last.as_ref());
                names.map(|(name, _)| name.clone()).collect()
            };
            last = piece.last().cloned();
            if last.is_none() {
                return Some(found);
            }
            for name in piece {
                turn.spend(STEPS).await;
                let is_asked = match pattern {
                    Some(pattern) => pattern.matches(&name, &mut turn).await,
                    None => true,
                };
                if is_asked {
                    bytes += name.len();
                    found.push(name);
                }
                if found.len() > most || bytes > most_bytes {
                    return None;
                }
            }
        }
    }

    /// The patterns that a channel is of.
    async fn matching(&self, channel: &Bytes) -> Vec<Arc<Glob>> {
        let mut found = Vec::new();
        let (mut last, mut turn) = (None::<Bytes>, Turn::default());
        loop {
            let piece: Vec<Arc<Glob>> = {
                let state = self.0.lock();
                let patterns = behind(&state.patterns, last.as_ref());
                patterns.map(|(_, (glob, _))| glob.clone()).collect()
            };
            last = piece.last().map(|glob| glob.text().clone());
            if last.is_none() {
                return found;
            }
            for glob in piece {
                if glob.matches(channel, &mut turn).await {
                    found.push(glob);
                }
            }
        }
    }

    fn of_channel(&self, channel: &Bytes) -> Vec<Outbox> {
        let state = self.0.lock();
        let there = state.channels.get(channel);
        there.map_or_else(Vec::new, |there| there.values().cloned().collect())
    }

    fn of_pattern(&self, pattern: &Bytes) -> Vec<Outbox> {
        let state = self.0.lock();
        let there = state.patterns.get(pattern);
        there.map_or_else(Vec::new, |(_, there)| there.values().cloned().collect())
    }
}

/// The next names behind this one.
fn behind<'a, T>(
    names: &'a BTreeMap<Bytes, T>,
    last: Option<&'a Bytes>,
) -> impl Iterator<Item = (&'a Bytes, &'a T)> {
    let from = last.map_or(Bound::Unbounded, Bound::Excluded);
    names
        .range::<Bytes, _>((from, Bound::Unbounded))
        .take(AT_ONCE)
}

// === impl Outbox ===

impl Outbox {
    /// One who does not read is cut off, and so is one for whom there is no memory then.
    async fn put(&self, push: Vec<Reply>, until: Instant) {
        if self.cut.is_stopped() {
            return;
        }
        let reply = Reply::Push(push);
        let size = reply.size() + MESSAGE;
        let waiting = self.bytes.fetch_add(size, Relaxed) + size;
        if waiting > WAITING_BYTES {
            return self.cut.stop();
        }
        let mut held = None;
        if waiting > FREE {
            held = self.take(size, until).await;
            if held.is_none() {
                return self.cut.stop();
            }
        }
        let grant = Grant::of(held);
        let message = Message { reply, grant, size };
        if self.queue.try_send(message).is_err() {
            self.cut.stop();
        }
    }

    async fn take(&self, size: usize, until: Instant) -> Option<Held> {
        let kib = u32::try_from(size.div_ceil(1024)).ok()?;
        timeout_at(until, self.part.take(kib)).await.ok().flatten()
    }
}

// === impl Inbox ===

impl Inbox {
    /// The next message; `None` when the subscriber is cut off.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        let message = tokio::select! {
            biased;
            () = self.cut.stopped() => return None,
            message = self.queue.recv() => message?,
        };
        self.bytes.fetch_sub(message.size, Relaxed);
        Some(message)
    }

    /// Given when the subscriber is cut off.
    pub(crate) fn cut(&self) -> Stop {
        self.cut.clone()
    }
}

#[cfg(test)]
mod tests {
    use gust_types::ProjectName;

    use super::*;
    use crate::budget::Budget;

    fn bytes(text: &str) -> Bytes {
        Bytes::from(text.to_owned())
    }

    fn part() -> Arc<Part> {
        Budget::default().of(&ProjectName::default_project())
    }

    fn pattern(text: &str) -> Arc<Glob> {
        Arc::new(Glob::new(&bytes(text)).unwrap())
    }

    #[tokio::test]
    async fn messages_go_to_who_listens() {
        let hub = Hub::default();
        let (outbox, mut inbox) = mailbox(&part());
        hub.subscribe(&bytes("news"), 1, &outbox);
        hub.psubscribe(pattern("n*"), 1, &outbox);
        for n in 0..200 {
            hub.psubscribe(pattern(&format!("{n}*")), 1, &outbox);
            hub.subscribe(&bytes(&format!("c{n:03}")), 1, &outbox);
        }
        assert_eq!(hub.listeners(&bytes("news")).await, 2);
        assert_eq!(hub.listeners(&bytes("nil")).await, 1);
        assert_eq!(hub.listeners(&bytes("199")).await, 3);
        let all = hub.channels(None, 1000, 1000).await.unwrap();
        assert_eq!(all.len(), 201);
        assert_eq!(hub.channels(None, 200, 1000).await, None);
        assert_eq!(hub.channels(None, 1000, 500).await, None);
        let some = hub.channels(Some(&pattern("c00*")), 1000, 1000).await;
        assert_eq!(some.unwrap().len(), 10);
        hub.publish(&bytes("news"), &bytes("消息")).await;
        for kind in ["message", "pmessage"] {
            let Some(Message {
                reply: Reply::Push(parts),
                ..
            }) = inbox.next().await
            else {
                panic!("no message");
            };
            assert_eq!(parts.first(), Some(&Reply::word(kind)));
            assert_eq!(parts.last(), Some(&Reply::text("消息")));
        }
        assert_eq!(inbox.bytes.load(Relaxed), 0);
        hub.unsubscribe(Topic::Channel, &bytes("news"), 1);
        hub.unsubscribe(Topic::Pattern, &bytes("n*"), 1);
        assert_eq!(hub.listeners(&bytes("news")).await, 0);
        assert_eq!(hub.patterns(), 200);
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_off() {
        let (hub, part) = (Hub::default(), part());
        for size in [1, 1 << 20] {
            let (outbox, mut inbox) = mailbox(&part);
            hub.subscribe(&bytes("c"), 1, &outbox);
            let message = Bytes::from(vec![0; size]);
            for _ in 0..WAITING + 1 {
                hub.publish(&bytes("c"), &message).await;
            }
            assert!(inbox.next().await.is_none());
        }
    }

    /// What waits is the project's: when it has no more, the subscriber is cut off, and what was sent is given back.
    #[tokio::test(start_paused = true)]
    async fn what_waits_takes_of_the_projects_memory() {
        let (hub, part) = (Hub::default(), part());
        let mut grant = part.grant();
        assert!(grant.grow(128 << 20).await);
        let (outbox, mut inbox) = mailbox(&part);
        hub.subscribe(&bytes("c"), 1, &outbox);
        let message = Bytes::from(vec![0; 50_000]);
        hub.publish(&bytes("c"), &message).await;
        let sent = inbox.next().await.unwrap();
        assert!(sent.grant.is_free(), "a little is free");
        hub.publish(&bytes("c"), &message).await;
        hub.publish(&bytes("c"), &message).await;
        let sent = inbox.next().await.unwrap();
        let held = inbox.next().await.unwrap();
        assert!(sent.grant.is_free() && !held.grant.is_free());
        hub.publish(&bytes("c"), &message).await;
        hub.publish(&bytes("c"), &message).await;
        assert!(inbox.next().await.is_none(), "there was memory for it");
        drop(held);
        let (outbox, mut inbox) = mailbox(&part);
        hub.subscribe(&bytes("c"), 1, &outbox);
        hub.publish(&bytes("c"), &message).await;
        hub.publish(&bytes("c"), &message).await;
        assert!(inbox.next().await.is_some());
    }
}
