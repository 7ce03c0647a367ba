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
        if self.reserve == 0 {
            return Ok(());
        }
        // A file system that cannot say is given the benefit of the doubt: the write itself will tell.
        let Ok(stat) = rustix::fs::statvfs(&self.folder) else {
            return Ok(());
        };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free < bytes.saturating_add(self.reserve) {
            return Err(full());
        }
        Ok(())
    }
}

/// A file that only takes room, to be given up when something must be opened on a full disk.
#[derive(Debug, Clone)]
pub(crate) struct Ballast(PathBuf);

impl Ballast {
    const SIZE: usize = 512 << 10;

    pub(crate) fn new(folder: &Path) -> Self {
        Self(folder.join("ballast"))
    }

    /// Makes it when it is missing and there is room to spare. True when it is there.
    pub(crate) fn keep(&self, disk: &Disk) -> bool {
        if self.0.exists() {
            return true;
        }
        if disk.check(4 * Self::SIZE as u64).is_err() {
            return false;
        }
        // Half a ballast would be none, and the next round tries again.
        let made = std::fs::write(&self.0, vec![0xa5; Self::SIZE]).is_ok();
        if !made {
            self.drop();
        }
        made
    }

    /// Gives it up; true when there was one.
    pub(crate) fn drop(&self) -> bool {
        std::fs::remove_file(&self.0).is_ok()
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
