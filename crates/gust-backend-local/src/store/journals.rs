//! Journals that a fault left in doubt, looked at before fjall reads them.
//!
//! After a **sync that failed** the kernel may have dropped what was to be synced and yet show it to every reader; a later
//! sync says that all is well and does not write it. So what a journal says is no longer proof that it is on the disk, and
//! what is appended behind the hole is lost with it at a power cut. Writing the same bytes once more makes them dirty
//! again: the sync after that is to be believed. (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX
//! ATC 2020.)
//!
//! After a **power cut** the end of the newest journal holds any part of what was not synced: a disk writes pages in no
//! order. fjall takes a batch that is incomplete for the end, but refuses to open when one is whole and its checksum is
//! wrong. Nothing of it was acknowledged, so it is cut off here.

use std::{
    fs::{File, OpenOptions},
    hash::Hasher as _,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

/// Bytes rewritten or looked at together.
const PIECE: usize = 1 << 20;
/// What is cut off is kept here, for whoever wants to look; of one cut, so many bytes.
const CUT: &str = "cut";
const CUT_BYTES: u64 = 64 << 20;

/// The parts of a journal, as fjall 3 writes them.
const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: [u8; 4] = *b"FJL\x03";

/// Whether the journals of a folder are under suspicion: a file that is there or not.
pub(super) struct Suspicion(PathBuf);

/// Reads a journal as far as it is whole.
struct Reader {
    file: BufReader<File>,
    at: u64,
    len: u64,
    batch: Option<Batch>,
}

/// A batch under way.
struct Batch {
    items: u32,
    hash: Xxh3,
}

// === impl Suspicion ===

impl Suspicion {
    pub(super) fn of(folder: &Path) -> Self {
        Self(folder.join("suspect"))
    }

    /// From now on, and after a restart too. It need not be on the disk: once the machine itself was down, a journal
    /// shows what is there.
    pub(super) fn raise(&self) {
        if let Err(error) = File::create(&self.0) {
            tracing::warn!(%error, "cannot mark the journals of a store as suspect");
        }
    }

    /// Writes the journals once more, if they are suspect. Nobody else may have them open.
    fn settle(&self, journals: &[(u64, PathBuf)]) -> io::Result<()> {
        if !self.0.exists() {
            return Ok(());
        }
        for (_, path) in journals {
            rewrite(path)?;
        }
        std::fs::remove_file(&self.0)
    }
}

/// Makes the journals of a folder such that what they say is so. Nobody else may have them open.
pub(super) fn settle(folder: &Path) -> io::Result<()> {
    let journals = journals(folder)?;
    Suspicion::of(folder).settle(&journals)?;
    match journals.last() {
        Some((_, newest)) => cut(newest, &folder.join(CUT)),
        None => Ok(()),
    }
}

/// The journals by number.
fn journals(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(journals),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(".jnl"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals)
}

/// Writes what a file holds into its place again, and syncs it. Zeros are what is there without being written.
fn rewrite(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut piece = vec![0; PIECE];
    let mut next = data(&file, 0)?;
    while let Some(at) = next {
        let len = file.read_at(&mut piece, at)?;
        let bytes = piece.get(..len).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        if !is_empty(bytes) {
            file.write_all_at(bytes, at)?;
        }
        next = data(&file, at + len as u64)?;
    }
    file.sync_all()
}

/// The first place from here on where a file is not a hole: most of a journal is one, laid out in advance.
fn data(file: &File, from: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(from)) {
        Ok(at) => Ok(Some(at)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Cuts a journal off behind its last whole batch, if there is anything.
fn cut(path: &Path, kept: &Path) -> io::Result<()> {
    let mut reader = Reader::open(path)?;
    let whole = reader.whole()?;
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let Some(end) = end_of(&file, whole)? else {
        return Ok(());
    };
    let bytes = end - whole;
    tracing::warn!(
        journal = %path.display(), bytes, kept = %kept.display(),
        "the end of a journal is torn and cut off: nothing of it was acknowledged, unless the disk is damaged"
    );
    let mut from = file.try_clone()?;
    from.seek(SeekFrom::Start(whole))?;
    // For looking at only: a disk without room for it must not keep the store from opening.
    let kept = File::create(kept)
        .and_then(|mut to| io::copy(&mut from.take(bytes.min(CUT_BYTES)), &mut to));
    if let Err(error) = kept {
        tracing::warn!(%error, "cannot keep what was cut off a journal");
    }
    file.set_len(whole)?;
    file.sync_all()
}

/// Where the last byte behind this place is that is not zero; `None` when there is none.
fn end_of(file: &File, from: u64) -> io::Result<Option<u64>> {
    let mut piece = vec![0; PIECE];
    let (mut next, mut end) = (data(file, from)?, None);
    while let Some(at) = next {
        let len = file.read_at(&mut piece, at)?;
        let bytes = piece.get(..len).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            end = Some(at + last as u64 + 1);
        }
        next = data(file, at + len as u64)?;
    }
    Ok(end)
}

fn is_empty(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

// === impl Reader ===

impl Reader {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self {
            file: BufReader::with_capacity(1 << 16, file),
            at: 0,
            len,
            batch: None,
        })
    }

    /// Where the last whole batch ends.
    fn whole(&mut self) -> io::Result<u64> {
        let mut whole = 0;
        while let Some(ended) = self.part()? {
            if ended {
                whole = self.at;
            }
        }
        Ok(whole)
    }

    /// Reads one part: true when a batch ended with it, `None` when it is none.
    fn part(&mut self) -> io::Result<Option<bool>> {
        let Some([tag]) = self.bytes()? else {
            return Ok(None);
        };
        match (tag, self.batch.take()) {
            (START, None) => {
                let (Some(items), Some(_)) = (self.bytes()?, self.bytes::<8>()?) else {
                    return Ok(None);
                };
                let items = u32::from_le_bytes(items);
                self.batch = Some(Batch {
                    items,
                    hash: Xxh3::new(),
                });
                Ok(Some(false))
            }
            (ITEM, Some(batch)) => self.item(batch),
            (CLEAR, Some(mut batch)) => {
                let Some(keyspace) = self.bytes::<8>()? else {
                    return Ok(None);
                };
                batch.hash.update(&[CLEAR]);
                batch.hash.update(&keyspace);
                Ok(self.go_on(batch))
            }
            (END, Some(batch)) => {
                let (Some(checksum), Some(trailer)) = (self.bytes()?, self.bytes()?) else {
                    return Ok(None);
                };
                let is_whole = batch.items == 0
                    && batch.hash.finish() == u64::from_le_bytes(checksum)
                    && trailer == TRAILER;
                Ok(is_whole.then_some(true))
            }
            _ => Ok(None),
        }
    }

    fn item(&mut self, mut batch: Batch) -> io::Result<Option<bool>> {
        // Kind of value, compression, tree, length of the key, of the value, and of the value as it lies here.
        let Some(head) = self.bytes::<20>()? else {
            return Ok(None);
        };
        let [.., k0, k1, v0, v1, v2, v3, l0, l1, l2, l3] = head;
        let value = u32::from_le_bytes([v0, v1, v2, v3]);
        let lies = u32::from_le_bytes([l0, l1, l2, l3]);
        let is_plain = head[1] == 0;
        let rest = u64::from(u16::from_le_bytes([k0, k1])) + u64::from(lies);
        if (is_plain && value != lies) || self.at + rest > self.len {
            return Ok(None);
        }
        batch.hash.update(&[ITEM]);
        batch.hash.update(&head);
        let mut left = rest;
        let mut piece = [0; 4096];
        while left > 0 {
            let len = left.min(piece.len() as u64) as usize;
            let part = piece.get_mut(..len).unwrap_or_default();
            self.file.read_exact(part)?;
            batch.hash.update(part);
            left -= len as u64;
        }
        self.at += rest;
        Ok(self.go_on(batch))
    }

    /// One entry of a batch was read.
    fn go_on(&mut self, mut batch: Batch) -> Option<bool> {
        batch.items = batch.items.checked_sub(1)?;
        self.batch = Some(batch);
        Some(false)
    }

    /// The next bytes; `None` at the end.
    fn bytes<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        if self.at + N as u64 > self.len {
            return Ok(None);
        }
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use fjall::{Database, KeyspaceCreateOptions, PersistMode};

    use super::*;

    fn write(folder: &Path, from: u32, to: u32) {
        let database = Database::builder(folder)
            .manual_journal_persist(true)
            .open()
            .unwrap();
        let tree = database
            .keyspace("t", KeyspaceCreateOptions::default)
            .unwrap();
        for n in from..to {
            let mut batch = database.batch();
            batch.insert(&tree, n.to_be_bytes(), vec![n as u8; 100]);
            // Large enough to be compressed.
            batch.insert(&tree, format!("large {n}"), vec![n as u8; 9000]);
            batch.remove(&tree, format!("none {n}"));
            batch.commit().unwrap();
        }
        database.persist(PersistMode::SyncAll).unwrap();
    }

    fn numbers(folder: &Path) -> Vec<u32> {
        let database = Database::builder(folder).open().unwrap();
        let tree = database
            .keyspace("t", KeyspaceCreateOptions::default)
            .unwrap();
        let range = tree.range(0u32.to_be_bytes()..1000u32.to_be_bytes());
        range
            .map(|entry| u32::from_be_bytes(entry.key().unwrap()[..].try_into().unwrap()))
            .collect()
    }

    #[test]
    fn whatever_is_torn_the_rest_opens() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 0, 8);
        let (_, journal) = journals(folder.path()).unwrap().pop().unwrap();
        let whole = Reader::open(&journal).unwrap().whole().unwrap() as usize;
        let end = end_of(&File::open(&journal).unwrap(), 0).unwrap();
        assert_eq!(end, Some(whole as u64), "all of it was understood");
        let bytes = std::fs::read(&journal).unwrap()[..whole].to_vec();
        // A piece is missing, so that every field is hit.
        for hole in (0..whole).step_by(13) {
            let mut torn = bytes.clone();
            let end = whole.min(hole + 1 + hole % 40);
            torn[hole..end].fill(0);
            std::fs::write(&journal, &torn).unwrap();
            settle(folder.path()).unwrap();
            let left = std::fs::read(&journal).unwrap();
            let again = Reader::open(&journal).unwrap().whole().unwrap();
            assert!(left.len() == again as usize || is_empty(&left[again as usize..]));
            assert!(bytes.starts_with(&left[..again as usize]));
        }
        std::fs::write(&journal, &bytes[..whole - 3]).unwrap();
        settle(folder.path()).unwrap();
        assert_eq!(numbers(folder.path()), [0, 1, 2, 3, 4, 5, 6]);
        // What comes behind the cut is read again.
        write(folder.path(), 30, 32);
        settle(folder.path()).unwrap();
        assert_eq!(numbers(folder.path()), [0, 1, 2, 3, 4, 5, 6, 30, 31]);
    }

    #[test]
    fn what_is_suspect_is_written_once_more() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 0, 3);
        let suspicion = Suspicion::of(folder.path());
        suspicion.raise();
        settle(folder.path()).unwrap();
        assert!(!suspicion.0.exists());
        assert_eq!(numbers(folder.path()), [0, 1, 2]);
    }
}
