//! What a client listens to.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;

use crate::{
    budget::Grant,
    fault::{Fault, Outcome},
    glob::{self, Glob},
    hub::{self, Inbox, Outbox, Topic},
    reply::Reply,
    space::Space,
};

/// Channels and patterns of a client.
const CHANNELS: usize = 10_000;
const PATTERNS: usize = 1_000;
/// Bytes of all their names.
const NAMES: usize = 1 << 20;
/// What a name takes beside its bytes.
const NAME: usize = 256;

/// The subscriptions of a connection; they end with it.
pub(crate) struct Subscriptions {
    client: i64,
    channels: BTreeSet<Bytes>,
    patterns: BTreeSet<Bytes>,
    /// Of their names, and what is kept for these.
    bytes: usize,
    memory: usize,
    open: Option<Open>,
}

/// There since the first subscription.
struct Open {
    space: Arc<Space>,
    outbox: Outbox,
    inbox: Inbox,
    /// Memory of the names.
    grant: Grant,
}

/// A channel, or a pattern made ready.
type Name = (Bytes, Option<Arc<Glob>>);

/// Bytes that a name takes at most: a pattern has up to eleven for each of its bytes.
fn cost(topic: Topic, name: &Bytes) -> usize {
    NAME + match topic {
        Topic::Channel => name.len(),
        Topic::Pattern => name.len() * 12,
    }
}

// === impl Open ===

impl Open {
    fn new(space: &Arc<Space>) -> Self {
        let (outbox, inbox) = hub::mailbox(&space.part);
        Self {
            space: space.clone(),
            outbox,
            inbox,
            grant: space.part.grant(),
        }
    }
}

// === impl Subscriptions ===

impl Subscriptions {
    pub(crate) fn new(client: i64) -> Self {
        Self {
            client,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            bytes: 0,
            memory: 0,
            open: None,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    pub(crate) fn inbox(&mut self) -> Option<&mut Inbox> {
        self.open.as_mut().map(|open| &mut open.inbox)
    }

    pub(crate) async fn begin(
        &mut self,
        space: &Arc<Space>,
        topic: Topic,
        names: &[Bytes],
    ) -> Outcome {
        let names = self.admit(space, topic, names).await?;
        let client = self.client;
        let Some(outbox) = self.open.as_ref().map(|open| open.outbox.clone()) else {
            return Err(Fault::SYNTAX);
        };
        let mut said = Vec::with_capacity(names.len());
        for (name, glob) in names {
            match glob {
                None => space.hub.subscribe(&name, client, &outbox),
                Some(glob) => space.hub.psubscribe(glob, client, &outbox),
            }
            if self.of(topic).insert(name.clone()) {
                self.bytes += name.len();
                self.memory += cost(topic, &name);
            }
            said.push(self.said(topic, "subscribe", Reply::Bulk(name)));
        }
        Ok(Reply::Several(said))
    }

    /// Names that this client may listen to as well, and memory for them.
    async fn admit(
        &mut self,
        space: &Arc<Space>,
        topic: Topic,
        names: &[Bytes],
    ) -> Result<Vec<Name>, Fault> {
        let most = if topic == Topic::Channel {
            CHANNELS
        } else {
            PATTERNS
        };
        let bytes = self.bytes + names.iter().map(Bytes::len).sum::<usize>();
        if self.of(topic).len() + names.len() > most || bytes > NAMES {
            return Err(Fault::new(format!(
                "ERR a client has at most {CHANNELS} channels and {PATTERNS} patterns, and {NAMES} bytes of their names"
            )));
        }
        let mut admitted = Vec::with_capacity(names.len());
        let mut memory = self.memory;
        for name in names {
            memory += cost(topic, name);
            let glob = match topic {
                Topic::Channel => glob::channel(name).map(|()| None)?,
                Topic::Pattern => Some(Arc::new(Glob::new(name)?)),
            };
            // A name of its own, not a part of all that has come.
            admitted.push((Bytes::copy_from_slice(name), glob));
        }
        let open = self.open.get_or_insert_with(|| Open::new(space));
        if !open.grant.cover(memory).await {
            return Err(Fault::of(
                "TRYAGAIN the node has no memory for these subscriptions",
            ));
        }
        Ok(admitted)
    }

    /// Ends these, or all when none is named.
    pub(crate) fn end(&mut self, topic: Topic, names: &[Bytes]) -> Reply {
        let names: Vec<_> = match names {
            [] => self.of(topic).iter().cloned().collect(),
            names => names.to_vec(),
        };
        if names.is_empty() {
            return self.said(topic, "unsubscribe", Reply::Null);
        }
        let mut said = Vec::with_capacity(names.len());
        for name in names {
            if self.of(topic).remove(&name) {
                self.bytes -= name.len();
                self.memory -= cost(topic, &name);
            }
            if let Some(open) = &self.open {
                open.space.hub.unsubscribe(topic, &name, self.client);
            }
            said.push(self.said(topic, "unsubscribe", Reply::Bulk(name)));
        }
        if self.count() == 0
            && let Some(open) = &mut self.open
        {
            open.grant = open.space.part.grant();
        }
        Reply::Several(said)
    }

    /// Ends all of them.
    pub(crate) fn clear(&mut self) {
        self.end(Topic::Channel, &[]);
        self.end(Topic::Pattern, &[]);
        self.open = None;
    }

    fn of(&mut self, topic: Topic) -> &mut BTreeSet<Bytes> {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
        }
    }

    fn said(&self, topic: Topic, what: &'static str, name: Reply) -> Reply {
        let kind = match (topic, what) {
            (Topic::Channel, what) => what,
            (Topic::Pattern, "subscribe") => "psubscribe",
            (Topic::Pattern, _) => "punsubscribe",
        };
        Reply::Push(vec![Reply::word(kind), name, Reply::count(self.count())])
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.clear();
    }
}
