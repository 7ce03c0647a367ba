//! The content-addressed folder of artifacts on this machine.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use gust_types::{Blame, Digest, Error, Kind, Result};

use crate::Artifacts;

/// A folder whose files are named by their digest. A file appears whole or not at all.
#[derive(Debug, Clone)]
pub struct ArtifactFolder {
    root: PathBuf,
}

// === impl ArtifactFolder ===

impl ArtifactFolder {
    /// Opens (and makes) the folder; removes what an interrupted upload left.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        let fault = |e| storage(&root, "open", e);
        fs::create_dir_all(root.join("incoming")).map_err(fault)?;
        for left in fs::read_dir(root.join("incoming"))
            .map_err(fault)?
            .flatten()
        {
            fs::remove_file(left.path()).map_err(fault)?;
        }
        Ok(Self { root })
    }

    /// Whether these bytes are here.
    pub fn has(&self, digest: &Digest) -> bool {
        self.file(digest).is_file()
    }

    /// Where a file of this digest is or would be.
    pub fn file(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join(&hex[..2]).join(hex)
    }

    /// A path for an upload in progress. Finish with [`ArtifactFolder::adopt`].
    pub fn incoming(&self, id: &str) -> PathBuf {
        self.root.join("incoming").join(id)
    }

    /// Moves a finished, synced upload into place under `digest`, which the caller has verified.
    pub fn adopt(&self, incoming: &Path, digest: &Digest) -> Result<()> {
        let target = self.file(digest);
        let folder = target.parent().unwrap_or(&self.root);
        let fault = |e| storage(&target, "store", e);
        fs::create_dir_all(folder).map_err(fault)?;
        fs::rename(incoming, &target).map_err(fault)?;
        fs::File::open(folder)
            .and_then(|f| f.sync_all())
            .map_err(fault)
    }

    /// Stores these bytes.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if self.has(&digest) {
            return Ok(digest);
        }
        let incoming = self.incoming(&format!(
            "{}-{}",
            digest.hex(),
            gust_task::ids::random_u64()
        ));
        let written = fs::File::create(&incoming).and_then(|mut f| {
            io::Write::write_all(&mut f, bytes)?;
            f.sync_all()
        });
        if let Err(e) = written {
            // A half-written upload must not eat a disk that is already full.
            let _ = fs::remove_file(&incoming);
            return Err(storage(&incoming, "store", e));
        }
        self.adopt(&incoming, &digest)?;
        Ok(digest)
    }

    /// Removes these bytes, if they are here.
    pub fn remove(&self, digest: &Digest) -> Result<()> {
        match fs::remove_file(self.file(digest)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(storage(&self.file(digest), "remove", e))
            }
            _ => Ok(()),
        }
    }

    /// Every digest here.
    pub fn list(&self) -> Result<Vec<Digest>> {
        let fault = |e| storage(&self.root, "list", e);
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.root).map_err(fault)?.flatten() {
            if folder.file_name() == "incoming" || !folder.path().is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path()).map_err(fault)?.flatten() {
                if let Ok(digest) = format!("sha256:{}", file.file_name().to_string_lossy()).parse()
                {
                    found.push(digest);
                }
            }
        }
        Ok(found)
    }
}

impl Artifacts for ArtifactFolder {
    fn path(&self, digest: &Digest) -> Result<PathBuf> {
        let file = self.file(digest);
        if file.is_file() {
            return Ok(file);
        }
        Err(Error::new(
            Kind::NotFound,
            Blame::Platform,
            format!("artifact is not on this machine: {digest}"),
        )
        .hint("deploy the app again"))
    }
}

/// An I/O error as a person should read it: a full disk is `Exhausted`, the rest `Internal`.
pub fn storage(path: &Path, verb: &str, error: io::Error) -> Error {
    let full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    );
    let kind = if full {
        Kind::Exhausted
    } else {
        Kind::Internal
    };
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let found = Error::new(
        kind,
        Blame::Platform,
        format!("cannot {verb} a file of the data folder: {name}"),
    )
    .because(error);
    if full {
        found.hint("the disk is full: free some space; nothing needs a restart")
    } else {
        found
    }
}
