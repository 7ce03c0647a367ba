//! Keeps what arrives, in batches, while the source goes on listening.
//!
//! One batch is on its way to the disk while the next one gathers: many messages share a sync, and a peer's pings are
//! answered meanwhile. When as much waits as may, the source stops reading.

use std::{collections::VecDeque, time::Duration};

use futures::future::BoxFuture;
use gust_types::Result;
use tokio::time::timeout;

use crate::{Inbox, Incoming};

/// Events that wait at most.
const WAITING: usize = 500;
/// Their bytes.
const BYTES: usize = 4 << 20;
/// How long a source that stops waits for what it has brought.
const REST: Duration = Duration::from_secs(2);

/// What arrived and is not durable yet; `A` is how to acknowledge one of them.
pub struct Keeper<'a, A> {
    inbox: &'a dyn Inbox,
    waiting: VecDeque<(Incoming, A)>,
    bytes: usize,
    keeping: Option<Keeping<'a, A>>,
}

struct Keeping<'a, A> {
    acks: Vec<A>,
    kept: BoxFuture<'a, Result<()>>,
}

// === impl Keeper ===

impl<'a, A> Keeper<'a, A> {
    /// One for this inbox.
    pub fn new(inbox: &'a dyn Inbox) -> Self {
        Self {
            inbox,
            waiting: VecDeque::new(),
            bytes: 0,
            keeping: None,
        }
    }

    /// Whether nothing more should be brought for now.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING || self.bytes >= BYTES
    }

    /// Whether everything that was brought is kept.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.keeping.is_none()
    }

    /// Brings one.
    pub fn bring(&mut self, incoming: Incoming, ack: A) {
        self.bytes += incoming.event.size();
        self.waiting.push_back((incoming, ack));
    }

    /// The acknowledgements of a batch that is durable now. Waits for ever while there is nothing to keep. Dropped while it
    /// waits, it loses nothing.
    pub async fn kept(&mut self) -> Result<Vec<A>> {
        if self.keeping.is_none() {
            if self.waiting.is_empty() {
                return std::future::pending().await;
            }
            let batch = std::mem::take(&mut self.waiting);
            self.bytes = 0;
            let (events, acks) = batch.into_iter().unzip();
            let kept = self.inbox.keep(events);
            self.keeping = Some(Keeping { acks, kept });
        }
        let Some(keeping) = &mut self.keeping else {
            return Ok(Vec::new());
        };
        let kept = (&mut keeping.kept).await;
        let acks = self.keeping.take().map(|keeping| keeping.acks);
        kept.map(|()| acks.unwrap_or_default())
    }

    /// The acknowledgements of what is still to be kept, as far as that takes no time: for a source that stops.
    pub async fn rest(&mut self) -> Vec<A> {
        let mut acks = Vec::new();
        let keeping = async {
            while !self.is_idle() {
                match self.kept().await {
                    Ok(kept) => acks.extend(kept),
                    Err(_) => break,
                }
            }
        };
        // What takes longer comes again, where the peer remembers it.
        let _ = timeout(REST, keeping).await;
        acks
    }
}
