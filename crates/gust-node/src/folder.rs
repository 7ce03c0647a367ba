//! The data folder: one node at a time.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use gust_types::{Error, Result};
use rustix::fs::{FlockOperation, flock};

/// A data folder that is ours until this is dropped or the process ends, however it ends.
pub(crate) struct DataFolder {
    root: PathBuf,
    _lock: File,
}

// === impl DataFolder ===

impl DataFolder {
    /// Makes the folder if needed and locks it.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let fault = |e| {
            Error::invalid(format!("cannot use the data folder: {}", root.display())).because(e)
        };
        fs::create_dir_all(root).map_err(fault)?;
        let root = fs::canonicalize(root).map_err(fault)?;
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(root.join("lock"))
            .map_err(fault)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let holder = fs::read_to_string(root.join("lock")).unwrap_or_default();
            return Err(Error::conflict(format!(
                "another node holds the data folder: {}",
                root.display()
            ))
            .hint(format!(
                "stop it first{}, or choose another folder with --data",
                process(&holder)
            )));
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(fault)?;
        Ok(Self { root, _lock: lock })
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

fn process(holder: &str) -> String {
    match holder.trim().parse::<u32>() {
        Ok(pid) => format!(" (process {pid})"),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder() {
        let root =
            std::env::temp_dir().join(format!("gust-folder-{}", gust_task::ids::random_u64()));
        let first = DataFolder::open(&root).unwrap();
        let second = DataFolder::open(&root).err().unwrap();
        assert_eq!(second.kind, gust_types::Kind::Conflict);
        assert!(
            second
                .hint
                .unwrap()
                .contains(&std::process::id().to_string())
        );
        drop(first);
        DataFolder::open(&root).unwrap();
        fs::remove_dir_all(root).unwrap();
    }
}
