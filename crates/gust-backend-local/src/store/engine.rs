//! fjall, opened; and opened again when a fault of the disk has made it refuse writes.

use std::{
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Slice};
use gust_backend::kv::ListOptions;
use gust_task::clock;
use gust_types::{Error, Result};
use parking_lot::RwLock;

use super::{
    PATIENCE,
    journals::{self, Suspicion},
};
use crate::{
    disk::{self, Ballast, Disk},
    kv::{
        group::Plan,
        keys::{self, StoreKey, Stored},
    },
};

/// Bytes that a tree's memory holds before they go to a file.
const MEMTABLE: u64 = 16 << 20;
/// Bytes of journals that a restart may have to read.
const JOURNALS: u64 = 128 << 20;
/// Entries looked at for one page of a list, and bytes of keys in it.
const PAGE: usize = 512;
const PAGE_BYTES: usize = 64 << 10;

/// The engine of a data folder.
pub(crate) struct Engine {
    folder: PathBuf,
    cache: u64,
    pub(crate) disk: Disk,
    slot: RwLock<Slot>,
}

enum Slot {
    Open(Arc<Open>),
    /// Being opened again; back in a moment.
    Away,
    Closed,
}

/// fjall and its two trees.
pub(crate) struct Open {
    database: Database,
    tree: Keyspace,
    queues: Keyspace,
}

/// What one commit writes.
#[derive(Clone)]
pub(crate) struct Batch {
    /// Into the key-value stores.
    pub(crate) plan: Plan,
    /// Into the queues: keys with their new values, or `None` for those that go.
    pub(crate) queues: Vec<(Slice, Option<Slice>)>,
    /// Whether it has to be on the disk; otherwise it survives the process but not a power cut.
    pub(crate) durable: bool,
}

/// A page of a list.
pub(crate) struct Page {
    pub(crate) keys: Vec<String>,
    /// The key after which to go on; `None` at the end.
    pub(crate) next: Option<String>,
}

// === impl Engine ===

impl Engine {
    pub(crate) fn open(folder: &Path, disk: Disk, cache: u64) -> Result<Self> {
        disk::make_folder(folder)?;
        let open = Open::new(folder, cache)?;
        Ok(Self {
            folder: folder.to_owned(),
            cache,
            disk,
            slot: RwLock::new(Slot::Open(Arc::new(open))),
        })
    }

    /// The open engine; waits a little while it is being opened again. Do not keep it over an await.
    pub(crate) async fn get(&self) -> Result<Arc<Open>> {
        let start = clock::now();
        while start.elapsed() < PATIENCE {
            if let Some(open) = self.try_get()? {
                return Ok(open);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(Error::unavailable("key-value store is being recovered"))
    }

    /// The open engine; `None` while it is being opened again.
    pub(crate) fn try_get(&self) -> Result<Option<Arc<Open>>> {
        match &*self.slot.read() {
            Slot::Open(open) => Ok(Some(open.clone())),
            Slot::Away => Ok(None),
            Slot::Closed => Err(closed()),
        }
    }

    /// Its ballast, as far as it is there.
    pub(crate) fn ballast(&self) -> Ballast {
        Ballast::new(&self.folder, &self.disk)
    }

    /// From now on the journals are no proof of what is on the disk: they are written once more before they are read.
    pub(crate) fn suspect(&self) {
        Suspicion::of(&self.folder).raise();
    }

    /// Closes and opens again. Only the committing thread calls this.
    pub(crate) fn reopen(&self) -> Result<Arc<Open>> {
        let before = {
            let mut slot = self.slot.write();
            if matches!(*slot, Slot::Closed) {
                return Err(closed());
            }
            std::mem::replace(&mut *slot, Slot::Away)
        };
        wait_for_readers(before)?;
        let open = Arc::new(Open::new(&self.folder, self.cache)?);
        *self.slot.write() = Slot::Open(open.clone());
        Ok(open)
    }

    /// Lets the folder go.
    pub(crate) fn close(&self) {
        let before = std::mem::replace(&mut *self.slot.write(), Slot::Closed);
        if let Slot::Open(open) = &before {
            // Everything acknowledged is on the disk already; this is for a clean journal only.
            let _ = open.database.persist(PersistMode::SyncAll);
        }
        if let Err(error) = wait_for_readers(before) {
            tracing::warn!(error = error.chain(), "closing the key-value stores");
        }
    }
}

fn closed() -> Error {
    Error::unavailable("key-value store is closed")
}

/// Readers hold the engine for microseconds, and its lock on the folder goes with the last of them.
fn wait_for_readers(slot: Slot) -> Result<()> {
    let Slot::Open(mut open) = slot else {
        return Ok(());
    };
    let start = clock::now();
    loop {
        match Arc::try_unwrap(open) {
            Ok(open) => {
                drop(open);
                return Ok(());
            }
            Err(_) if start.elapsed() > PATIENCE => {
                return Err(Error::internal("a reader does not let the store go"));
            }
            Err(held) => open = held,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

// === impl Open ===

impl Open {
    fn new(folder: &Path, cache: u64) -> Result<Self> {
        journals::settle(folder)
            .map_err(|e| fault("look through its journals", fjall::Error::Io(e)))?;
        let database = Database::builder(folder)
            .cache_size(cache)
            .max_journaling_size(JOURNALS)
            .worker_threads(2)
            .manual_journal_persist(true)
            .open()
            .map_err(|e| fault("open", e))?;
        let keyspace = |name| {
            let options = || {
                KeyspaceCreateOptions::default()
                    .max_memtable_size(MEMTABLE)
                    .manual_journal_persist(true)
            };
            database
                .keyspace(name, options)
                .map_err(|e| fault("open", e))
        };
        Ok(Self {
            tree: keyspace("kv")?,
            queues: keyspace("queue")?,
            database,
        })
    }

    /// A value of the queues' tree.
    pub(crate) fn queued(&self, key: &[u8]) -> Result<Option<Slice>> {
        self.queues.get(key).map_err(|e| fault("read", e))
    }

    /// Keys and values of the queues' tree from one key up to another.
    pub(crate) fn queue_range(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> impl Iterator<Item = Result<(Slice, Slice)>> + use<> {
        let range = self
            .queues
            .range::<&[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        range.map(|guard| guard.into_inner().map_err(|e| fault("list", e)))
    }

    /// The value at a data key, live or not.
    pub(crate) fn stored(&self, data: &[u8]) -> Result<Option<Stored>> {
        let slice = self.tree.get(data).map_err(|e| fault("read", e))?;
        slice.map(Stored::decode).transpose()
    }

    /// A number that is kept beside the values; 0 when it is not there.
    pub(crate) fn number(&self, key: &[u8]) -> Result<u64> {
        let slice = self.tree.get(key).map_err(|e| fault("read", e))?;
        match slice {
            None => Ok(0),
            Some(slice) => <[u8; 8]>::try_from(&slice[..])
                .map(u64::from_be_bytes)
                .map_err(|_| Error::internal("a stored number is damaged")),
        }
    }

    /// What stands behind this in keys that begin with it, up to the zero byte that ends a store's name.
    pub(crate) fn store_names(&self, begin: &[u8]) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for guard in self.tree.prefix(begin) {
            let (key, _) = guard.into_inner().map_err(|e| fault("list", e))?;
            let name = key
                .get(begin.len()..)
                .and_then(|name| name.strip_suffix(&[0]));
            names.extend(name.and_then(|name| String::from_utf8(name.to_vec()).ok()));
        }
        Ok(names)
    }

    /// The next keys of a list.
    pub(crate) fn page(
        &self,
        store: &StoreKey,
        options: &ListOptions,
        now_us: u64,
    ) -> Result<Page> {
        let prefix = store.data(&options.prefix);
        let start = match options.after.as_deref() {
            Some(after) if after >= options.prefix.as_str() => Bound::Excluded(store.data(after)),
            _ => Bound::Included(prefix.clone()),
        };
        let mut keys = Vec::new();
        let (mut seen, mut bytes) = (0, 0);
        for guard in self.tree.range((start, Bound::Unbounded)) {
            let (data, slice) = guard.into_inner().map_err(|e| fault("list", e))?;
            if !data.starts_with(&prefix) {
                return Ok(Page { keys, next: None });
            }
            let key = store.own(&data)?;
            (seen, bytes) = (seen + 1, bytes + key.len());
            let full = seen == PAGE || bytes >= PAGE_BYTES;
            let next = full.then(|| key.clone());
            if Stored::decode(slice)?.is_live(now_us) {
                keys.push(key);
            }
            if full {
                return Ok(Page { keys, next });
            }
        }
        Ok(Page { keys, next: None })
    }

    /// Data keys whose time is up, with the time they were given.
    pub(crate) fn due(&self, now_us: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut due = Vec::new();
        for guard in self.tree.range(keys::due(now_us)).take(limit) {
            let key = guard.key().map_err(|e| fault("list", e))?;
            let (expires_us, data) = keys::parse_expiry(&key)
                .ok_or_else(|| Error::internal("a stored expiry is damaged"))?;
            due.push((expires_us, data.to_vec()));
        }
        Ok(due)
    }

    /// Syncs what was written.
    pub(crate) fn sync(&self) -> Result<()> {
        let synced = self.database.persist(PersistMode::SyncAll);
        synced.map_err(|e| fault("sync", e))
    }

    /// Writes all of it or nothing.
    pub(crate) fn commit(&self, batch: Batch) -> Result<(), Refused> {
        self.wait_for_flushes(&self.tree)?;
        self.wait_for_flushes(&self.queues)?;
        let Batch {
            plan,
            queues,
            durable,
        } = batch;
        let count = plan.puts.len() + plan.removals.len() + queues.len();
        let mode = match durable {
            true => PersistMode::SyncData,
            false => PersistMode::Buffer,
        };
        let mut batch =
            OwnedWriteBatch::with_capacity(self.database.clone(), count).durability(Some(mode));
        for (key, value) in plan.puts {
            batch.insert(&self.tree, key, value);
        }
        for key in plan.removals {
            batch.remove(&self.tree, key);
        }
        for (key, value) in queues {
            match value {
                Some(value) => batch.insert(&self.queues, key, value),
                None => batch.remove(&self.queues, key),
            }
        }
        batch.commit().map_err(Refused::from)
    }

    /// fjall makes a writer sleep without end when flushes have stopped, as they do on a full disk. Waiting here instead
    /// sees that they have.
    fn wait_for_flushes(&self, tree: &Keyspace) -> Result<(), Refused> {
        while tree.sealed_memtable_count() >= 2 || tree.l0_table_count() >= 18 {
            self.database.persist(PersistMode::Buffer)?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

/// Why a commit did not happen.
pub(crate) enum Refused {
    /// An earlier fault stopped the engine: nothing of this commit was written.
    Stopped,
    /// It failed half-way: only opening again shows what is there.
    Half(fjall::Error),
}

impl From<fjall::Error> for Refused {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Poisoned => Self::Stopped,
            error => Self::Half(error),
        }
    }
}

/// A fault of the engine in our words.
pub(crate) fn fault(doing: &str, error: fjall::Error) -> Error {
    let full = match &error {
        fjall::Error::Io(e) | fjall::Error::Storage(fjall::LsmError::Io(e)) => disk::is_full(e),
        fjall::Error::Locked => {
            return Error::conflict("data folder is held by another process")
                .hint("stop the other node, or give this one a folder of its own");
        }
        _ => false,
    };
    if full {
        return disk::full().because(error);
    }
    Error::internal(format!("key-value store failed to {doing}")).because(error)
}
