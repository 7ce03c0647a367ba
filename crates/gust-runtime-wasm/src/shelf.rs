//! The folder of prepared files: native code that was compiled from artifacts on this machine.
//!
//! A prepared file *is* native code, so only files that this folder's owner wrote are ever mapped. Each has a record
//! beside it, written last, with the file's length, checksum and identity (inode, times of modification and change).
//! The kernel updates the time of change on every write and it cannot be set back, so a file whose identity still
//! matches holds what was verified; that costs one `stat`. Any other file (restored from a backup, touched, damaged)
//! is read and its checksum compared before it is mapped, and compiled again when it differs. A file that lost bytes
//! to the disk itself without a write is found by the checksum at the next prepare. What happens to a file while it is
//! mapped is the watch's business ([`crate::watch`]).
//!
//! File names carry the artifact's digest and a hash over everything that compiled code depends on: wasmtime's
//! version, both engines' configuration, target and CPU features, and the version of the record.

use std::{
    collections::HashMap,
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use gust_runtime::artifact::storage;
use gust_types::{Digest, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{Lane, contract::Contract, engine::Engines, stubs::Missing};

/// Raised when records change their meaning.
const FORMAT: u32 = 2;

/// The folder.
pub(crate) struct Shelf {
    folder: PathBuf,
    /// What the code here was compiled for.
    fit: u64,
    /// Records that were read or written before: saves reading a file in the cold start.
    known: Mutex<HashMap<Digest, Record>>,
}

/// Records kept in memory, at most; each has some hundred bytes.
const KNOWN: usize = 16 * 1024;

/// What stands beside a prepared file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) contract: Contract,
    /// The export that is called, as the component spells it.
    pub(crate) export: String,
    pub(crate) lane: Lane,
    /// Imports that nothing provides.
    pub(crate) missing: Vec<Missing>,
    /// The linear memory that it has from the start, in bytes.
    pub(crate) initial_memory: u64,
    /// The elements of its largest table from the start.
    pub(crate) initial_table: u64,
    /// The core instances that it makes of itself.
    pub(crate) core_instances: u64,
    /// Length of the prepared file.
    pub(crate) size: u64,
    checksum: u32,
    identity: Identity,
}

/// Which file this is and when it last changed, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    inode: u64,
    modified: i128,
    changed: i128,
}

/// What is known before a file is written.
pub(crate) struct Findings {
    pub(crate) contract: Contract,
    pub(crate) export: String,
    pub(crate) lane: Lane,
    pub(crate) missing: Vec<Missing>,
    pub(crate) initial_memory: u64,
    pub(crate) initial_table: u64,
    pub(crate) core_instances: u64,
}

// === impl Shelf ===

impl Shelf {
    /// Opens (and makes) the folder. Removes what an interrupted write left, and what was compiled for another engine.
    pub(crate) fn open(folder: PathBuf, engines: &Engines) -> Result<Self> {
        let mut hasher = DefaultHasher::new();
        FORMAT.hash(&mut hasher);
        for lane in [Lane::P2, Lane::P3] {
            engines
                .lane(lane)
                .engine
                .precompile_compatibility_hash()
                .hash(&mut hasher);
        }
        fs::create_dir_all(&folder).map_err(|e| storage(&folder, "open", e))?;
        let shelf = Self {
            folder,
            fit: hasher.finish(),
            known: Mutex::default(),
        };
        shelf
            .sweep()
            .map_err(|e| storage(&shelf.folder, "sweep", e))?;
        Ok(shelf)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn sweep(&self) -> io::Result<()> {
        let ours = format!("-{:016x}.", self.fit);
        for file in fs::read_dir(&self.folder)? {
            let file = file?;
            let name = file.file_name();
            let name = name.to_string_lossy();
            if !name.contains(&ours) || name.ends_with(".new") {
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }

    /// What is prepared, the newest first.
    pub(crate) fn newest(&self) -> Vec<Digest> {
        let ending = format!("-{:016x}.json", self.fit);
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut records: Vec<_> = files
            .filter_map(|file| {
                let name = file.file_name();
                let hex = name.to_str()?.strip_suffix(&ending)?;
                let artifact = format!("sha256:{hex}").parse().ok()?;
                Some((file.metadata().ok()?.modified().ok()?, artifact))
            })
            .collect();
        records.sort_unstable_by_key(|(time, _)| std::cmp::Reverse(*time));
        records.into_iter().map(|(_, artifact)| artifact).collect()
    }

    fn path(&self, artifact: &Digest, ending: &str) -> PathBuf {
        self.folder
            .join(format!("{}-{:016x}.{ending}", artifact.hex(), self.fit))
    }

    /// Where the prepared file of an artifact is or would be.
    pub(crate) fn code(&self, artifact: &Digest) -> PathBuf {
        self.path(artifact, "cwasm")
    }

    /// The record of a prepared file that may be mapped. `None` when it has to be made (again).
    /// `thorough` compares the checksum even when nobody touched the file.
    pub(crate) fn find(&self, artifact: &Digest, thorough: bool) -> Option<Record> {
        let known = self.known.lock().get(artifact).cloned();
        let mut record = match known {
            Some(record) => record,
            None => self.read_record(artifact)?,
        };
        let code = self.code(artifact);
        let found = fs::metadata(&code).ok()?;
        if found.len() != record.size {
            return self.reject(artifact, "its length is not what was written");
        }
        let identity = Identity::of(&found);
        if !thorough && identity == record.identity {
            return Some(record);
        }
        match checksum(&code) {
            Ok(sum) if sum == record.checksum => {}
            Ok(_) => return self.reject(artifact, "its bytes are not what was written"),
            Err(error) => return self.reject(artifact, &error.to_string()),
        }
        if identity != record.identity {
            record.identity = identity;
            if let Err(error) = self.write_record(artifact, &record) {
                // It stays as it is: the checksum is compared again next time.
                tracing::debug!(error = error.chain(), "cannot renew a record");
            }
        }
        Some(record)
    }

    fn read_record(&self, artifact: &Digest) -> Option<Record> {
        let text = fs::read(self.path(artifact, "json")).ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        self.know(artifact, &record);
        Some(record)
    }

    fn know(&self, artifact: &Digest, record: &Record) {
        let mut known = self.known.lock();
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(*artifact, record.clone());
    }

    fn reject(&self, artifact: &Digest, why: &str) -> Option<Record> {
        tracing::warn!(%artifact, why, "a prepared file is not used and will be compiled again");
        None
    }

    /// Forgets a prepared file, if there is one.
    pub(crate) fn remove(&self, artifact: &Digest) {
        self.known.lock().remove(artifact);
        for ending in ["json", "cwasm"] {
            // What is not there need not go.
            let _ = fs::remove_file(self.path(artifact, ending));
        }
    }

    /// Writes a prepared file and then its record; both appear whole or not at all.
    pub(crate) fn put(&self, artifact: &Digest, code: &[u8], findings: Findings) -> Result<Record> {
        // The old record must not vouch for the new file, should we stop half-way.
        self.remove(artifact);
        let path = self.code(artifact);
        self.write(&path, code)?;
        let found = fs::metadata(&path).map_err(|e| storage(&path, "read", e))?;
        let record = Record {
            contract: findings.contract,
            export: findings.export,
            lane: findings.lane,
            missing: findings.missing,
            initial_memory: findings.initial_memory,
            initial_table: findings.initial_table,
            core_instances: findings.core_instances,
            size: code.len() as u64,
            checksum: crc32fast::hash(code),
            identity: Identity::of(&found),
        };
        self.write_record(artifact, &record)?;
        Ok(record)
    }

    fn write_record(&self, artifact: &Digest, record: &Record) -> Result<()> {
        let path = self.path(artifact, "json");
        let text = serde_json::to_vec(record).map_err(io::Error::other);
        let text = text.map_err(|e| storage(&path, "write", e))?;
        self.write(&path, &text)?;
        self.know(artifact, record);
        Ok(())
    }

    /// Atomically: a temporary file, synced, then renamed, then the folder synced.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let new = path.with_added_extension(format!("{:x}.new", gust_task::ids::random_u64()));
        let written = fs::File::create(&new)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&new, path))
            .and_then(|()| fs::File::open(&self.folder)?.sync_all());
        written.map_err(|e| {
            // A half-written file must not eat a disk that is already full.
            let _ = fs::remove_file(&new);
            storage(path, "write", e)
        })
    }
}

fn checksum(path: &Path) -> io::Result<u32> {
    let mut file = fs::File::open(path)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

// === impl Identity ===

impl Identity {
    fn of(file: &fs::Metadata) -> Self {
        let nanos = |secs: i64, nanos: i64| i128::from(secs) * 1_000_000_000 + i128::from(nanos);
        Self {
            inode: file.ino(),
            modified: nanos(file.mtime(), file.mtime_nsec()),
            changed: nanos(file.ctime(), file.ctime_nsec()),
        }
    }
}
