//! The journal's files. A file is written by one process and never added to by another.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    time::Instant,
};

use gust_task::clock;
use gust_types::{Result, Usage};

use super::codec::{Decoder, Encoder, HEAD, LARGEST};
use crate::disk::{self, Disk};

const MAGIC: &[u8; 8] = b"gustuse1";
const ENDING: &str = "usage";

/// A place in the journal: everything in earlier files, and this many bytes of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Position {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// The file that is written to.
pub(super) struct Segment {
    file: File,
    path: PathBuf,
    id: u64,
    /// Bytes that are whole blocks.
    length: u64,
    encoder: Encoder,
    pub(super) opened: Instant,
    unsynced: bool,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Where the last whole block ends.
    pub(super) length: u64,
    /// Blocks that were left out for what they hold.
    pub(super) damaged: u64,
    /// True when bytes after `length` are of a block that was not finished.
    pub(super) torn: bool,
}

// === impl Segment ===

impl Segment {
    pub(super) fn create(folder: &Path, id: u64) -> Result<Self> {
        let path = path(folder, id);
        let fault = |e| disk::fault("create", &path, e);
        let mut file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&path)
            .map_err(fault)?;
        if let Err(error) = file.write_all(MAGIC).and_then(|()| sync_folder(folder)) {
            // A file without a head would be left behind otherwise.
            let _ = std::fs::remove_file(&path);
            return Err(fault(error));
        }
        Ok(Self {
            file,
            path,
            id,
            length: MAGIC.len() as u64,
            encoder: Encoder::default(),
            opened: clock::now(),
            unsynced: true,
        })
    }

    pub(super) fn position(&self) -> Position {
        Position {
            segment: self.id,
            offset: self.length,
        }
    }

    /// Adds a block, whole or not at all. `Err(false)` beside the error means that the file must not be used further.
    pub(super) fn append(
        &mut self,
        records: &[Usage],
        disk: &Disk,
    ) -> Result<(), (gust_types::Error, bool)> {
        let known = self.encoder.known();
        let block = self.encoder.block(records);
        let written = disk.check(block.len() as u64).and_then(|()| {
            self.file
                .write_all(&block)
                .map_err(|e| disk::fault("write", &self.path, e))
        });
        match written {
            Ok(()) => {
                self.length += block.len() as u64;
                self.unsynced = true;
                Ok(())
            }
            Err(error) => {
                self.encoder.forget(known);
                Err((error, self.cut_back()))
            }
        }
    }

    /// Makes what was added survive a power cut. Answers whether there was anything to do.
    pub(super) fn sync(&mut self) -> Result<bool> {
        if !self.unsynced {
            return Ok(false);
        }
        self.file
            .sync_data()
            .map_err(|e| disk::fault("sync", &self.path, e))?;
        self.unsynced = false;
        Ok(true)
    }

    fn cut_back(&mut self) -> bool {
        use std::io::{Seek as _, SeekFrom};
        let cut = self
            .file
            .set_len(self.length)
            .and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
        cut.is_ok()
    }
}

/// The files of the journal, oldest first.
pub(super) fn list(folder: &Path) -> Result<Vec<u64>> {
    let fault = |e| disk::fault("list", folder, e);
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let name = entry.map_err(fault)?.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.strip_suffix(ENDING)?.strip_suffix('.'))
            .and_then(|digits| u64::from_str_radix(digits, 16).ok());
        ids.extend(id);
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Where a file is.
pub(super) fn path(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("{id:016x}.{ENDING}"))
}

/// Reads a file up to `until` bytes and shows each block's records with the offset of its end.
pub(super) fn read(
    folder: &Path,
    id: u64,
    until: u64,
    mut see: impl FnMut(u64, Vec<Usage>),
) -> Result<Contents> {
    let path = path(folder, id);
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(until).read_to_end(&mut bytes))
        .map_err(|e| disk::fault("read", &path, e))?;
    let mut contents = Contents::default();
    if !bytes.starts_with(MAGIC) {
        contents.torn = true;
        return Ok(contents);
    }
    let mut decoder = Decoder::default();
    let mut at = MAGIC.len();
    contents.length = at as u64;
    while let Some((payload, sum, end)) = block(&bytes, at) {
        let records = match crc32fast::hash(payload) == sum {
            true => decoder.payload(payload).ok(),
            // The last block may be half-written: it was never synced, so nobody was told of it.
            false if end == bytes.len() => break,
            false => None,
        };
        match records {
            Some(records) => see(end as u64, records),
            None => contents.damaged += 1,
        }
        at = end;
        contents.length = end as u64;
    }
    contents.torn = at < bytes.len();
    Ok(contents)
}

/// The block that starts here: payload, sum, end. `None` when it does not fit the file.
fn block(bytes: &[u8], at: usize) -> Option<(&[u8], u32, usize)> {
    let head = bytes.get(at..at + HEAD)?;
    let number = |at: usize| head[at..at + 4].try_into().map(u32::from_le_bytes).ok();
    let (length, sum) = (number(0)? as usize, number(4)?);
    if length == 0 || length > LARGEST {
        return None;
    }
    let end = at + HEAD + length;
    Some((bytes.get(at + HEAD..end)?, sum, end))
}

/// Cuts off an unfinished block.
pub(super) fn truncate(folder: &Path, id: u64, length: u64) -> Result<()> {
    let path = path(folder, id);
    File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(length))
        .map_err(|e| disk::fault("truncate", &path, e))
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
