//! The durable ledger: every settled call in a journal, and what they add up to in SQLite, each record once.
//!
//! A record's way: a buffer in memory (`buffer.rs`) → a batch with its sums (`state.rs`) → a block of the journal
//! (`codec.rs`, `segment.rs`) → the roll-ups (`rollups.rs`), committed together with the place in the journal up to which
//! they go. After a crash what lies behind that place is rolled up again from the journal: no record counts twice, none
//! is left out. `writer.rs` is the one thread that does this, `query.rs` answers from memory and disk together.
//!
//! Easily confused: *written* is in the journal, *synced* survives a power cut (within 1 s), *committed* is in the roll-ups.

mod buffer;
mod codec;
mod query;
mod rollups;
mod segment;
mod state;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use async_trait::async_trait;
use gust_meter::{Ledger, Meter, Month, RecordQuery, Totals, UsageQuery, UsageRow, Verification};
use gust_task::clock;
use gust_types::{ByteSize, Error, Kind, ProjectName, Result, Span, Usage};
use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use self::{
    buffer::{Buffers, Fill},
    state::{Batch, State},
    writer::{Command, Writer},
};
use crate::disk::{self, Ballast, Disk};

/// How the ledger behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How often the journal is synced: the time that a power cut or a kill can cost. Default 400 ms.
    pub sync: Span,
    /// How often the roll-ups are committed. Default 3 s.
    pub commit: Span,
    /// Bytes of one journal file. Default 8 MiB.
    pub segment: ByteSize,
    /// How long single records are kept. Default 24 h.
    pub records_age: Span,
    /// Bytes of single records kept, whatever their age. Default 1 GiB.
    pub records_size: ByteSize,
    /// Records kept in memory while the disk is full or slow; beyond, only their sums are. Default 200,000.
    pub waiting: u32,
    /// Free space that the ledger leaves on the disk. Default 4 MiB: less than the stores leave, since it is the bill.
    pub disk_reserve: ByteSize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sync: Span::millis(400),
            commit: Span::secs(3),
            segment: ByteSize::mib(8),
            records_age: Span::secs(24 * 3600),
            records_size: ByteSize(1 << 30),
            waiting: 200_000,
            disk_reserve: ByteSize::mib(4),
        }
    }
}

/// What the ledger has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Records taken.
    pub records: u64,
    /// Records of which only the sums were kept.
    pub unkept: u64,
    /// Records that wait to be written.
    pub waiting: u64,
    /// Records rolled up again from the journal when it was opened.
    pub replayed: u64,
    /// Blocks of the journal that were damaged and left out when it was opened.
    pub damaged: u64,
    /// Syncs of the journal.
    pub syncs: u64,
    /// Commits of the roll-ups.
    pub commits: u64,
}

/// The ledger of a data folder. Dropping it writes and commits what it holds.
pub struct LocalLedger {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What recorders, queries and the writing thread share.
struct Shared {
    folder: PathBuf,
    settings: Settings,
    buffers: Buffers,
    /// Held while records move from the buffers to the state.
    moving: Mutex<()>,
    /// Never held over I/O.
    state: Mutex<State>,
    /// Held for writing only while a commit moves sums from memory to SQLite; whoever adds both up holds it for reading.
    gate: RwLock<()>,
    commands: writer::Inbox,
    reader: Mutex<Connection>,
}

// === impl LocalLedger ===

impl LocalLedger {
    /// Opens or makes the ledger, and rolls up what the last process left in the journal.
    pub fn open(folder: impl AsRef<Path>, settings: Settings) -> Result<Arc<Self>> {
        let folder = folder.as_ref();
        let disk = Disk::new(folder, settings.disk_reserve)?;
        let journal = folder.join("records");
        disk::make_folder(&journal)?;
        let lock = hold(folder)?;
        let database = folder.join("rollups.db");
        let files = || -> Result<_> {
            let rollups = rollups::Rollups::open(&database)?;
            Ok((rollups, rollups::open_reader(&database)?))
        };
        // SQLite needs some room to open anything; a node must start on a full disk all the same.
        let mut ballast = Ballast::new(folder, &disk);
        let (rollups, reader) = loop {
            match files() {
                Err(full) if full.kind == Kind::Exhausted && ballast.give() => {}
                opened => break opened?,
            }
        };
        let state = State::restore(&journal, &rollups, clock::unix_micros())?;
        let shared = Arc::new(Shared {
            folder: journal,
            settings,
            buffers: Buffers::new(),
            moving: Mutex::new(()),
            state: Mutex::new(state),
            gate: RwLock::new(()),
            commands: writer::Inbox::new(),
            reader: Mutex::new(reader),
        });
        let ours = shared.clone();
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || Writer::new(ours, disk, ballast, rollups, lock).run())
            .map_err(|e| Error::internal("cannot start the ledger's thread").because(e))?;
        Ok(Arc::new(Self {
            shared,
            writer: Mutex::new(Some(thread)),
        }))
    }

    /// What it has done since it was opened.
    pub fn stats(&self) -> Stats {
        self.shared.drain();
        let state = self.shared.state.lock();
        Stats {
            waiting: state.waiting() as u64,
            ..state.stats
        }
    }

    async fn command<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
    ) -> Result<T> {
        let (answer, reply) = oneshot::channel();
        self.shared.commands.send(make(answer))?;
        reply
            .await
            .map_err(|_| Error::unavailable("ledger is closed"))?
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = self.shared.clone();
        tokio::task::spawn_blocking(move || work(&shared))
            .await
            .map_err(|e| Error::internal("a question to the ledger panicked").because(e))?
    }
}

impl Drop for LocalLedger {
    fn drop(&mut self) {
        self.shared.commands.close();
        if let Some(thread) = self.writer.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the ledger's thread panicked");
        }
    }
}

impl Meter for LocalLedger {
    #[inline]
    fn record(&self, usage: Usage) {
        match self.shared.buffers.push(usage) {
            Fill::Fine => {}
            Fill::Full => self.shared.commands.nudge(),
            // The thread does not keep up: what is recorded has to be bounded, so the recorder helps.
            Fill::Overdue => self.shared.drain(),
        }
    }
}

#[async_trait]
impl Ledger for LocalLedger {
    async fn flush(&self) -> Result<()> {
        self.command(Command::Flush).await
    }

    async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>> {
        let now_us = clock::unix_micros();
        self.blocking(move |shared| query::usage(shared, &query, now_us))
            .await
    }

    async fn records(&self, query: RecordQuery) -> Result<Vec<Usage>> {
        let now_us = clock::unix_micros();
        self.blocking(move |shared| query::records(shared, &query, now_us))
            .await
    }

    fn month(&self, month: Month) -> Vec<(ProjectName, Totals)> {
        self.shared.drain();
        self.shared.state.lock().month(month)
    }

    async fn verify(&self) -> Result<Verification> {
        self.command(Command::Verify).await
    }
}

// === impl Shared ===

impl Shared {
    /// Moves what was recorded into batches. When this is over, everything recorded before it began is in the state.
    fn drain(&self) {
        // Held from the buffer to the state: a record must not be in neither while somebody adds up.
        let _moving = self.moving.lock();
        let most = self.settings.waiting as usize;
        for records in self.buffers.drain() {
            let batch = Batch::of(records);
            self.state.lock().accept(batch, most);
        }
    }
}

/// Holds the folder for this process.
fn hold(folder: &Path) -> Result<std::fs::File> {
    let path = folder.join("lock");
    let file = std::fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| disk::fault("open", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Error::conflict("data folder is held by another process")
                .hint("stop the other node, or give this one a folder of its own"))
        }
        Err(std::fs::TryLockError::Error(e)) => Err(disk::fault("lock", &path, e)),
    }
}
