//! Where records land first: a few buffers, so that threads seldom meet.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use gust_types::Usage;
use parking_lot::Mutex;

const SHARDS: usize = 16;
/// Records of one buffer before it is emptied out of turn.
const FULL: usize = 4096;

/// The buffers. Each thread keeps to one of them.
pub(super) struct Buffers {
    shards: [Shard; SHARDS],
}

/// How full a buffer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    Fine,
    /// Just now: somebody should empty it.
    Full,
    /// Nobody has: whoever filled it must.
    Overdue,
}

/// A buffer on cache lines of its own.
#[repr(align(128))]
struct Shard(Mutex<Vec<Usage>>);

thread_local! {
    static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
}
static NEXT: AtomicUsize = AtomicUsize::new(0);

impl Buffers {
    pub(super) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard(Mutex::new(Vec::new()))),
        }
    }

    /// Keeps a record; says when it is time to empty the buffers.
    #[inline]
    pub(super) fn push(&self, usage: Usage) -> Fill {
        let mut shard = self.shards[mine()].0.lock();
        shard.push(usage);
        match shard.len() {
            FULL => Fill::Full,
            length if length >= 4 * FULL => Fill::Overdue,
            _ => Fill::Fine,
        }
    }

    /// Takes what is in the buffers.
    pub(super) fn drain(&self) -> impl Iterator<Item = Vec<Usage>> + '_ {
        self.shards.iter().filter_map(|shard| {
            let mut shard = shard.0.lock();
            (!shard.is_empty()).then(|| std::mem::take(&mut *shard))
        })
    }
}

#[inline]
fn mine() -> usize {
    MINE.with(|mine| {
        let mut shard = mine.get();
        if shard == usize::MAX {
            shard = NEXT.fetch_add(1, Relaxed) % SHARDS;
            mine.set(shard);
        }
        shard
    })
}
