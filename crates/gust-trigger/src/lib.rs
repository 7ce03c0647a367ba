//! The trigger seam: events from outside the node, brought in without losing any.
//!
//! A [`Source`] speaks to one broker, database or page. It hands what it hears to an [`Inbox`], and tells its peer that
//! something has arrived only when the inbox has answered: by then it is on the disk. A source never knows which function
//! is called, never retries a connection (whoever runs it does) and never keeps anything itself: where its peer does not know
//! how far it is, the inbox remembers that for it.
//!
//! Start with [`Source`], then [`memory`] for the smallest one and [`suite`] for what each has to pass. What sources share
//! is here too: [`Dial`] reaches a peer within the rules for addresses, [`Wire`] reads its protocol within bounds, and
//! [`Keeper`] keeps what arrives in batches.
#![warn(missing_docs)]

mod dial;
mod keeper;
pub mod memory;
mod peer;
mod settings;
mod shape;
pub mod suite;
mod wire;

use async_trait::async_trait;
use bytes::Bytes;
use gust_task::Stop;
use gust_types::{Result, event::Event, trigger::ExternalSettings};
use serde::de::DeserializeOwned;

pub use dial::{Dial, Stream, Tls};
pub use keeper::Keeper;
pub use peer::{Peer, Scheme};
pub use shape::{Place, carried};
pub use wire::Wire;

/// Where events come from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Connects, and hands over what arrives until `stop` (then it is `Ok`) or until the connection is lost (then it is
    /// an error). Run again, it goes on where it was, as far as its peer remembers.
    async fn run(&self, to: &dyn Inbox, stop: Stop) -> Result<()>;
}

/// Where a source hands over what arrives.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Keeps these events in their order and answers when they are durable. While there is no room it waits. After an
    /// error nothing is known to be kept, and nothing may be acknowledged.
    async fn keep(&self, events: Vec<Incoming>) -> Result<()>;
    /// The source is connected and listens.
    fn connected(&self);
    /// What this trigger's source remembered last; nothing when it is new, or has not remembered anything for a month.
    async fn remembered(&self) -> Result<Option<Bytes>>;
    /// Remembers this instead, durably: for sources whose peer does not know how far they are. [`MEMORY`] at most.
    async fn remember(&self, memory: Bytes) -> Result<()>;
}

/// Bytes that a source may remember.
pub const MEMORY: usize = 128 << 10;

/// An event that arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// The event.
    pub event: Event,
    /// Where the peer has a name for the message: delivered again under the same one, it is not kept again. Another
    /// message never has it.
    pub key: Option<String>,
}

/// A kind of source: what a plug-in is.
pub trait Kind: 'static {
    /// Its name in manifests.
    const KIND: &'static str;
    /// What can be said of one. Unknown keys are refused.
    type Settings: DeserializeOwned;

    /// A source with these settings, variables filled in. Refuses what can never work, and connects to nothing. Its
    /// errors show no value, since any may be a secret.
    fn open(settings: Self::Settings, context: Context) -> Result<Box<dyn Source>>;
}

/// What a source is given besides its settings.
#[derive(Clone)]
pub struct Context {
    /// The same each time, and no other trigger's: for sessions and consumers that a peer remembers. Letters, digits, `-`
    /// and `_`.
    pub identity: String,
    /// How it reaches its peer.
    pub dial: Dial,
}

/// A kind of source in a list of them.
#[derive(Clone, Copy)]
pub struct Provider {
    kind: &'static str,
    open: fn(&ExternalSettings, Context) -> Result<Box<dyn Source>>,
}

// === impl Provider ===

impl Provider {
    /// The provider of a kind.
    pub const fn of<K: Kind>() -> Self {
        Self {
            kind: K::KIND,
            open: |settings, context| K::open(settings::read::<K>(settings)?, context),
        }
    }

    /// Its name in manifests.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// A source with these settings, variables filled in. To check settings, open one and let it go.
    pub fn open(&self, settings: &ExternalSettings, context: Context) -> Result<Box<dyn Source>> {
        (self.open)(settings, context)
    }
}
