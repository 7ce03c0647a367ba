//! Is there space? Asked before writing, since an engine that runs into a full disk half-way has to be reopened.

use std::{
    io,
    path::{Path, PathBuf},
};

use gust_types::{Blame, ByteSize, Error, Kind, Result};

/// The file system under a folder.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    folder: PathBuf,
    reserve: u64,
}

impl Disk {
    /// Makes the folder when it is missing.
    pub(crate) fn new(folder: &Path, reserve: ByteSize) -> Result<Self> {
        make_folder(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            reserve: reserve.bytes(),
        })
    }

    /// Refuses when fewer than `bytes` beyond the reserve are free: `Exhausted`, the platform's fault. Without a reserve
    /// it does not look.
    pub(crate) fn check(&self, bytes: u64) -> Result<()> {
        match self.has(bytes.saturating_add(self.reserve)) {
            true => Ok(()),
            false => Err(full()),
        }
    }

    /// Whether so much is free, the reserve included. Without a reserve it does not look.
    pub(crate) fn has(&self, bytes: u64) -> bool {
        if self.reserve == 0 {
            return true;
        }
        // A file system that cannot say is given the benefit of the doubt: the write itself will tell.
        rustix::fs::statvfs(&self.folder).map_or(true, |stat| {
            stat.f_bavail.saturating_mul(stat.f_frsize) >= bytes
        })
    }
}

/// A file that only takes room. It is given up piece by piece, so that what gives room back can be written on a disk that
/// others have filled.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    size: u64,
    left: u64,
}

impl Ballast {
    const LEAST: u64 = 512 << 10;
    const MOST: u64 = 64 << 20;
    const PIECES: u64 = 8;

    /// Half of what is reserved. It is there once it is kept.
    pub(crate) fn new(folder: &Path, disk: &Disk) -> Self {
        let path = folder.join("ballast");
        Self {
            left: std::fs::metadata(&path).map_or(0, |there| there.len()),
            path,
            size: (disk.reserve / 2).clamp(Self::LEAST, Self::MOST),
        }
    }

    /// Makes it whole again when there is room to spare.
    pub(crate) fn keep(&mut self, disk: &Disk) {
        if self.left >= self.size || disk.check(2 * self.size).is_err() {
            return;
        }
        match take_room(&self.path, self.size) {
            Ok(()) => self.left = self.size,
            // Half of it is better than none, but nobody knows how much there is.
            Err(_) => self.drop(),
        }
    }

    /// Gives up a piece; false when nothing is left.
    pub(crate) fn give(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        let left = self.left.saturating_sub(self.size / Self::PIECES);
        let file = std::fs::OpenOptions::new().write(true).open(&self.path);
        match file.and_then(|file| file.set_len(left)) {
            Ok(()) => self.left = left,
            Err(_) => self.drop(),
        }
        true
    }

    fn drop(&mut self) {
        self.left = 0;
        // The next round tries again.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes a file that has all of its bytes on the disk.
fn take_room(path: &Path, size: u64) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP) => {
            io::copy(&mut io::Read::take(io::repeat(0xa5), size), &mut file).map(drop)
        }
        Err(error) => Err(error.into()),
    }
}

/// The disk is full.
pub(crate) fn full() -> Error {
    Error::new(Kind::Exhausted, Blame::Platform, "disk is full")
        .hint("free some space; writes go on by themselves")
}

/// Whether an I/O error says that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// An I/O error as the platform's, with what was being done.
pub(crate) fn fault(doing: &str, path: &Path, error: io::Error) -> Error {
    if is_full(&error) {
        return full().because(error);
    }
    Error::internal(format!("cannot {doing}: {}", path.display())).because(error)
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| fault("make folder", folder, e))
}
