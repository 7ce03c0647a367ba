//! What a client listens to.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;

use crate::{
    fault::{Fault, Outcome},
    hub::{self, Inbox, Outbox, Topic},
    reply::Reply,
    space::Space,
};

/// Channels and patterns of a client.
const CHANNELS: usize = 10_000;
const PATTERNS: usize = 1_000;

/// The subscriptions of a connection; they end with it.
pub(crate) struct Subscriptions {
    client: i64,
    channels: BTreeSet<Bytes>,
    patterns: BTreeSet<Bytes>,
    open: Option<Open>,
}

/// There since the first subscription.
struct Open {
    space: Arc<Space>,
    outbox: Outbox,
    inbox: Inbox,
}

// === impl Subscriptions ===

impl Subscriptions {
    pub(crate) fn new(client: i64) -> Self {
        Self {
            client,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            open: None,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    pub(crate) fn inbox(&mut self) -> Option<&mut Inbox> {
        self.open.as_mut().map(|open| &mut open.inbox)
    }

    pub(crate) fn begin(&mut self, space: &Arc<Space>, topic: Topic, names: &[Bytes]) -> Outcome {
        let most = if topic == Topic::Channel {
            CHANNELS
        } else {
            PATTERNS
        };
        if self.of(topic).len() + names.len() > most {
            return Err(Fault::new(format!(
                "ERR a client has at most {CHANNELS} channels and {PATTERNS} patterns"
            )));
        }
        let client = self.client;
        let open = self.open.get_or_insert_with(|| {
            let (outbox, inbox) = hub::mailbox();
            let space = space.clone();
            Open {
                space,
                outbox,
                inbox,
            }
        });
        let outbox = open.outbox.clone();
        let mut said = Vec::with_capacity(names.len());
        for name in names {
            self.of(topic).insert(name.clone());
            space.hub.subscribe(topic, name, client, &outbox);
            said.push(self.said(topic, "subscribe", Reply::Bulk(name.clone())));
        }
        Ok(Reply::Several(said))
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
            self.of(topic).remove(&name);
            if let Some(open) = &self.open {
                open.space.hub.unsubscribe(topic, &name, self.client);
            }
            said.push(self.said(topic, "unsubscribe", Reply::Bulk(name)));
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
