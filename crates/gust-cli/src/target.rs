//! A file that what comes is written to: it takes its place when all is there, so that what breaks off leaves nothing.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use gust_types::{Error, Result};
use tempfile::{NamedTempFile, TempPath};
use tokio::{fs::File, io::AsyncWriteExt as _};

/// Where to. A pipe or a device cannot be taken the place of: it is written to as it is.
pub(crate) struct Target {
    file: PathBuf,
    to: File,
    beside: Option<TempPath>,
}

// === impl Target ===

impl Target {
    pub(crate) fn open(file: &Path) -> Result<Self> {
        let fault = |e| Error::invalid(format!("cannot write: {}", file.display())).because(e);
        // What a link leads to is meant, not the link.
        let real = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let there = std::fs::metadata(&real).ok();
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            let to = std::fs::File::options().write(true).open(&real);
            return Ok(Self {
                to: File::from_std(to.map_err(fault)?),
                file: real,
                beside: None,
            });
        }
        let folder = real.parent().filter(|folder| *folder != Path::new(""));
        let mode = there.map_or_else(
            || Permissions::from_mode(0o666),
            |there| there.permissions(),
        );
        let beside = tempfile::Builder::new()
            .permissions(mode)
            .tempfile_in(folder.unwrap_or_else(|| Path::new(".")));
        let (to, beside) = NamedTempFile::into_parts(beside.map_err(fault)?);
        Ok(Self {
            to: File::from_std(to),
            file: real,
            beside: Some(beside),
        })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.to.write_all(bytes).await;
        written.map_err(|e| self.fault(e))
    }

    /// All is there.
    pub(crate) async fn keep(mut self) -> Result<()> {
        let Some(beside) = self.beside.take() else {
            let flushed = self.to.flush().await;
            return flushed.map_err(|e| self.fault(e));
        };
        let synced = self.to.sync_all().await;
        synced.map_err(|e| self.fault(e))?;
        beside.persist(&self.file).map_err(|e| self.fault(e.error))
    }

    fn fault(&self, error: std::io::Error) -> Error {
        Error::invalid(format!("cannot write: {}", self.file.display())).because(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn links_modes_and_pipes_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("real"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut target = Target::open(&link).unwrap();
        target.write(b"half").await.unwrap();
        drop(target);
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
        let mut target = Target::open(&link).unwrap();
        target.write("全部".as_bytes()).await.unwrap();
        target.keep().await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "全部");
        assert!(link.is_symlink());
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        let mut target = Target::open(Path::new("/dev/null")).unwrap();
        target.write(b"x").await.unwrap();
        target.keep().await.unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
