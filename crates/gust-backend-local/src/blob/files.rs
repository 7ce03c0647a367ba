//! The files of larger objects.
//!
//! | file | what |
//! |---|---|
//! | `incoming/ID` | bytes on their way in, and until a moment after the commit |
//! | `ID's last two digits/ID` | the bytes of an object |
//!
//! A file is written and synced in `incoming`, then its object is committed, then it is moved to its place. So whatever is
//! cut off, only what lies in `incoming` may be nobody's, and a start need not look at the rest. No caller's text ever comes
//! into a path.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use gust_backend::blob::Body;
use gust_types::{Error, Result};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::keys::{Id, Piece};
use crate::disk::{self, Disk};

/// Bytes read at once.
const BLOCK: u64 = 256 << 10;

/// The folder of all files.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    disk: Disk,
    /// How often a file is needed by somebody who reads, whatever became of its object.
    pinned: Mutex<HashMap<Id, usize>>,
}

/// Files that stay as long as this is there.
pub(crate) struct Pins {
    ids: Vec<Id>,
    files: Arc<Files>,
}

/// A file on its way in. Dropping it removes it.
pub(crate) struct Incoming {
    file: File,
    pub(crate) hash: Sha256,
    pub(crate) size: u64,
    own: Own,
}

/// Removes the file when it is dropped, as long as it is ours.
struct Own {
    of: Pledged,
    ours: bool,
}

/// A whole file whose object may be committed at any moment: dropping it leaves it where it is, for the next start to find
/// out about.
#[derive(Clone)]
pub(crate) struct Pledged {
    pub(crate) id: Id,
    files: Arc<Files>,
}

/// An object's file, to be read from.
pub(crate) struct Reading {
    file: Arc<File>,
    at: u64,
    end: u64,
    /// The checksum that the bytes have to have, and that of those read so far, when all are read.
    sum: Option<(Sha256, String)>,
    /// The error should they not be what was put.
    damaged: Arc<dyn Fn() -> Error + Send + Sync>,
}

// === impl Files ===

impl Files {
    pub(crate) fn new(folder: &Path, disk: Disk) -> Self {
        Self {
            folder: folder.to_owned(),
            disk,
            pinned: Mutex::default(),
        }
    }

    /// Keeps these files from now on. One that is garbage by now may be gone: look after this, not before.
    pub(crate) fn pin(self: &Arc<Self>, ids: Vec<Id>) -> Pins {
        let mut pinned = self.pinned.lock();
        for id in &ids {
            *pinned.entry(*id).or_default() += 1;
        }
        Pins {
            ids,
            files: self.clone(),
        }
    }

    pub(crate) fn is_pinned(&self, id: Id) -> bool {
        self.pinned.lock().contains_key(&id)
    }

    /// A new file.
    pub(crate) fn create(self: &Arc<Self>) -> Result<Incoming> {
        let id = Id::new();
        let path = self.incoming(id);
        let open = || File::options().write(true).create_new(true).open(&path);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folders()?;
                open()
            }
            opened => opened,
        };
        Ok(Incoming {
            file: file.map_err(|e| disk::fault("make an object's file", &path, e))?,
            hash: Sha256::new(),
            size: 0,
            own: Own {
                of: Pledged {
                    id,
                    files: self.clone(),
                },
                ours: true,
            },
        })
    }

    /// The file of an object; `None` when there is none.
    pub(crate) fn open(&self, id: Id) -> Result<Option<File>> {
        // It may be moved between two looks, once and in this direction.
        for path in [self.place(id), self.incoming(id), self.place(id)] {
            match File::open(&path) {
                Ok(file) => return Ok(Some(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(disk::fault("open an object's file", &path, error)),
            }
        }
        Ok(None)
    }

    /// Moves a file to its place. One that cannot be moved is as good where it is; the next start tries again.
    pub(crate) fn settle(&self, id: Id) {
        let (from, to) = (self.incoming(id), self.place(id));
        let moved = match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let shard = to.parent().unwrap_or(&to);
                fs::create_dir(shard)
                    .or_else(is_there)
                    .and_then(|()| fs::rename(&from, &to))
            }
            moved => moved,
        };
        // Overwritten and removed meanwhile, there is nothing to move.
        if let Err(error) = moved.or_else(is_gone) {
            tracing::warn!(path = %from.display(), %error, "an object's file stays where it came in");
        }
    }

    /// What lies in `incoming`.
    pub(crate) fn all_incoming(&self) -> Result<impl Iterator<Item = Id>> {
        let folder = self.folder.join(INCOMING);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(disk::fault("list", &folder, error)),
        };
        let entries = entries.into_iter().flatten().filter_map(io::Result::ok);
        Ok(entries.filter_map(|entry| Id::parse(entry.file_name().to_str()?)))
    }

    /// Removes files, wherever they are, so that they stay removed. Answers those that are gone.
    pub(crate) fn remove(&self, ids: Vec<Id>) -> Vec<Id> {
        let mut touched = std::collections::BTreeSet::new();
        let remove = |path: PathBuf, touched: &mut std::collections::BTreeSet<PathBuf>| {
            match fs::remove_file(&path) {
                Ok(()) => {
                    touched.extend(path.parent().map(Path::to_owned));
                    true
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => true,
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "an object's file is not removed");
                    false
                }
            }
        };
        let mut gone = ids;
        gone.retain(|id| {
            // Held while it is removed: nobody pins it meanwhile.
            let pinned = self.pinned.lock();
            if pinned.contains_key(id) {
                return false;
            }
            // In this order, and once more: it may be moved meanwhile.
            let paths = [self.incoming(*id), self.place(*id)];
            paths.into_iter().all(|path| remove(path, &mut touched))
        });
        for folder in touched {
            if let Err(error) = sync_folder(&folder) {
                tracing::warn!(path = %folder.display(), %error, "a folder of objects is not synced");
                return Vec::new();
            }
        }
        gone
    }

    fn make_folders(&self) -> Result<()> {
        let incoming = self.folder.join(INCOMING);
        disk::make_folder(&incoming)?;
        let above = self.folder.parent().unwrap_or(&self.folder);
        for folder in [&*self.folder, above] {
            sync_folder(folder).map_err(|e| disk::fault("sync", folder, e))?;
        }
        Ok(())
    }

    fn incoming(&self, id: Id) -> PathBuf {
        self.folder.join(INCOMING).join(id.to_string())
    }

    /// The last digits are random, the first are the time.
    fn place(&self, id: Id) -> PathBuf {
        let name = id.to_string();
        let shard = name.get(30..).unwrap_or_default();
        self.folder.join(shard).join(&name)
    }
}

const INCOMING: &str = "incoming";

fn is_there(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Ok(()),
        _ => Err(error),
    }
}

fn is_gone(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl Drop for Pins {
    fn drop(&mut self) {
        let mut pinned = self.files.pinned.lock();
        for id in &self.ids {
            if let Some(count) = pinned.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    pinned.remove(id);
                }
            }
        }
    }
}

// === impl Incoming ===

impl Incoming {
    /// Adds bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.own.of.files.disk.check(bytes.len() as u64)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        let written = self.file.write_all(bytes);
        written.map_err(|e| self.fault("write", e))
    }

    /// Everything is on the disk, under its name.
    pub(crate) fn sync(&mut self) -> Result<()> {
        let synced = self.file.sync_all();
        let synced = synced.and_then(|()| sync_folder(&self.own.of.files.folder.join(INCOMING)));
        synced.map_err(|e| self.fault("sync", e))
    }

    /// From now on it is not ours to remove.
    pub(crate) fn pledge(mut self) -> Pledged {
        self.own.ours = false;
        self.own.of.clone()
    }

    fn fault(&self, doing: &str, error: io::Error) -> Error {
        let doing = format!("{doing} an object's file");
        let Pledged { id, files } = &self.own.of;
        disk::fault(&doing, &files.incoming(*id), error)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if self.ours {
            self.of.discard();
        }
    }
}

// === impl Pledged ===

impl Pledged {
    /// The object is committed.
    pub(crate) fn settle(&self) {
        self.files.settle(self.id);
    }

    /// It is certain that the object is not committed, and will not be.
    pub(crate) fn discard(&self) {
        // Should this fail, the next start removes it.
        let _ = fs::remove_file(self.files.incoming(self.id));
    }
}

// === impl Reading ===

impl Reading {
    /// Reads this part of a file; all of it is held against the checksum, when that is given.
    pub(crate) fn new(
        file: File,
        range: std::ops::Range<u64>,
        sum: Option<String>,
        damaged: Arc<dyn Fn() -> Error + Send + Sync>,
    ) -> Self {
        Self {
            file: Arc::new(file),
            at: range.start,
            end: range.end,
            sum: sum.map(|sum| (Sha256::new(), sum)),
            damaged,
        }
    }

    pub(crate) fn body(self) -> Body {
        let blocks = stream::unfold(Some(self), async |reading| {
            let reading = reading.filter(|reading| reading.at < reading.end)?;
            let read = tokio::task::spawn_blocking(move || reading.next());
            let stopped = || Error::unavailable("the node is stopping");
            match read.await.map_err(|_| stopped()).flatten() {
                Ok((block, reading)) => Some((Ok(block), Some(reading))),
                Err(error) => Some((Err(error), None)),
            }
        });
        blocks.boxed()
    }

    /// The next block. The last one is not given away before the checksum holds.
    fn next(mut self) -> Result<(Bytes, Self)> {
        let size = (self.end - self.at).min(BLOCK);
        let mut block = vec![0; size as usize];
        self.file
            .read_exact_at(&mut block, self.at)
            .map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => (self.damaged)(),
                _ => Error::internal("cannot read an object's file").because(e),
            })?;
        self.at += size;
        if let Some((hash, _)) = &mut self.sum {
            hash.update(&block);
        }
        if self.at == self.end
            && let Some((hash, wanted)) = self.sum.take()
            && etag(hash) != wanted
        {
            return Err((self.damaged)());
        }
        Ok((Bytes::from(block), self))
    }
}

/// The bytes of some pieces, one after the other. Each that is read as a whole is held against its checksum.
pub(crate) fn pieces(
    pins: Pins,
    wanted: Vec<(Piece, std::ops::Range<u64>)>,
    damaged: Arc<dyn Fn() -> Error + Send + Sync>,
) -> Body {
    let pins = Arc::new(pins);
    let opened = stream::iter(wanted).then(move |(piece, range)| {
        let (pins, damaged) = (pins.clone(), damaged.clone());
        async move {
            let open = tokio::task::spawn_blocking(move || {
                let file = pins.files.open(piece.id)?;
                let file = file.ok_or_else(|| damaged())?;
                if file.metadata().ok().map(|m| m.len()) != Some(piece.size) {
                    return Err(damaged());
                }
                let whole = range == (0..piece.size);
                let sum = whole.then(|| super::hex(&piece.sha256));
                Ok(Reading::new(file, range, sum, damaged).body())
            });
            let stopped = |_| Error::unavailable("the node is stopping");
            open.await.map_err(stopped).flatten()
        }
    });
    let blocks = opened.flat_map(|body| match body {
        Ok(body) => body,
        Err(error) => stream::once(async { Err(error) }).boxed(),
    });
    // What comes behind an error would be taken for what follows on what came before it.
    let whole = blocks.scan(false, |ended, block: Result<Bytes>| {
        let over = std::mem::replace(ended, block.is_err());
        std::future::ready((!over).then_some(block))
    });
    whole.boxed()
}

/// The checksum as an etag.
pub(crate) fn etag(hash: Sha256) -> String {
    super::hex(&hash.finalize())
}
