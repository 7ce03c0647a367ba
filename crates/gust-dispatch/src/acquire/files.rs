//! Functions' read-only file trees, laid out from artifacts.
//!
//! A tree is named by the digest of its list of files, so equal lists share one and a changed list never touches the
//! tree an older revision still reads. It appears whole: built beside, then renamed.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use gust_runtime::{Artifacts, artifact::storage};
use gust_task::ids;
use gust_types::{
    Digest, Error, Result, Revision,
    app::{FileSpec, Source},
};
use parking_lot::Mutex;

/// The folder of trees.
#[derive(Clone)]
pub(crate) struct FileTrees {
    root: PathBuf,
    artifacts: Arc<dyn Artifacts>,
    /// Names that were asked for since the start; whoever removes trees holds it.
    used: Arc<Mutex<HashSet<String>>>,
}

// === impl FileTrees ===

impl FileTrees {
    pub(crate) fn new(root: PathBuf, artifacts: Arc<dyn Artifacts>) -> Self {
        Self {
            root,
            artifacts,
            used: Arc::default(),
        }
    }

    /// The tree of these files; made when it is not there yet.
    pub(crate) async fn lay_out(&self, files: Vec<FileSpec>) -> Result<PathBuf> {
        let trees = self.clone();
        tokio::task::spawn_blocking(move || trees.lay_out_now(&files))
            .await
            .map_err(|e| Error::internal("laying out files was cut off").because(e))?
    }

    fn lay_out_now(&self, files: &[FileSpec]) -> Result<PathBuf> {
        let name = name(files)?;
        let tree = self.root.join(&name);
        self.used.lock().insert(name);
        if tree.is_dir() {
            return Ok(tree);
        }
        let short = format!("draft-{:016x}", ids::random_u64());
        self.used.lock().insert(short.clone());
        let draft = self.root.join(&short);
        let made = self
            .draft(&draft, files)
            .and_then(|()| fs::rename(&draft, &tree).map_err(|e| storage(&tree, "name", e)));
        if made.is_err() {
            // What is left of it would only take space; the error to report is the first one.
            let _ = fs::remove_dir_all(&draft);
        }
        self.used.lock().remove(&short);
        // Somebody else may have been faster; the trees are equal.
        match made {
            Err(_) if tree.is_dir() => Ok(tree),
            made => made.map(|()| tree),
        }
    }

    /// Removes what an earlier life of the node left: trees that none of these revisions reads, and drafts. For the
    /// start, before the first call: later a tree may be read by a call on a revision that is gone.
    pub(crate) fn tidy(&self, current: &[Arc<Revision>]) {
        let lists = current.iter().filter(|r| !r.spec.files.is_empty());
        let known: HashSet<_> = lists.filter_map(|r| name(&r.spec.files).ok()).collect();
        let trees = self.clone();
        let tidy = move || trees.tidy_now(&known);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(tidy)),
            Err(_) => tidy(),
        }
    }

    fn tidy_now(&self, known: &HashSet<String>) {
        let Ok(found) = fs::read_dir(&self.root) else {
            return;
        };
        for found in found.flatten() {
            let name = found.file_name().to_string_lossy().into_owned();
            let used = self.used.lock();
            if known.contains(&name) || used.contains(&name) {
                continue;
            }
            if let Err(error) = fs::remove_dir_all(found.path()) {
                tracing::warn!(%error, name, "cannot remove an old file tree");
            }
        }
    }

    fn draft(&self, draft: &Path, files: &[FileSpec]) -> Result<()> {
        fs::create_dir_all(draft).map_err(|e| storage(draft, "make", e))?;
        for file in files {
            let target = draft.join(relative(&file.path)?);
            let Source::Artifact { digest, .. } = &file.source else {
                return Err(Error::invalid(format!(
                    "file was not uploaded: {:?}",
                    file.path
                )));
            };
            let bytes = self.artifacts.path(digest)?;
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder).map_err(|e| storage(folder, "make", e))?;
            }
            link(&bytes, &target).map_err(|e| storage(&target, "lay out", e))?;
        }
        Ok(())
    }
}

/// A hard link costs no space; a copy serves where the file system has none.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to)?;
    fs::File::open(to)?.sync_all()
}

fn name(files: &[FileSpec]) -> Result<String> {
    let mut list = String::new();
    for file in files {
        let Source::Artifact { digest, .. } = &file.source else {
            return Err(Error::invalid(format!(
                "file was not uploaded: {:?}",
                file.path
            )));
        };
        // The length keeps a path with strange characters from looking like two.
        list.push_str(&format!("{} {} {digest}\n", file.path.len(), file.path));
    }
    Ok(Digest::of(list.as_bytes()).hex())
}

/// A guest's absolute path as one below the tree. The manifest checked it; this is where it would do harm.
fn relative(path: &str) -> Result<PathBuf> {
    let parts = path.trim_start_matches('/').split('/');
    let clean = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\0', '\\']);
    if !parts.clone().all(clean) {
        return Err(Error::invalid(format!("not a path of a file: {path:?}")));
    }
    Ok(parts.collect())
}

#[cfg(test)]
mod tests {
    use gust_runtime::artifact::ArtifactFolder;

    use super::*;

    fn file(folder: &ArtifactFolder, path: &str, bytes: &[u8]) -> FileSpec {
        let digest = folder.put(bytes).unwrap();
        FileSpec {
            path: path.to_owned(),
            source: Source::Artifact {
                digest,
                size: bytes.len() as u64,
            },
        }
    }

    #[test]
    fn a_tree_appears_whole_once_and_is_shared() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = ArtifactFolder::open(folder.path().join("artifacts")).unwrap();
        let trees = FileTrees::new(folder.path().join("files"), Arc::new(artifacts.clone()));
        let files = [
            file(&artifacts, "/a.txt", b"one"),
            file(&artifacts, "/deep/b.txt", b"two"),
        ];
        let tree = trees.lay_out_now(&files).unwrap();
        assert_eq!(fs::read(tree.join("a.txt")).unwrap(), b"one");
        assert_eq!(fs::read(tree.join("deep/b.txt")).unwrap(), b"two");
        assert_eq!(trees.lay_out_now(&files).unwrap(), tree);
        let other = trees.lay_out_now(&files[..1]).unwrap();
        assert_ne!(other, tree);
        let names = fs::read_dir(folder.path().join("files")).unwrap().count();
        assert_eq!(names, 2, "no drafts are left");
    }

    #[test]
    fn what_an_earlier_life_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = ArtifactFolder::open(folder.path().join("artifacts")).unwrap();
        let trees = || FileTrees::new(folder.path().join("files"), Arc::new(artifacts.clone()));
        let files = [
            file(&artifacts, "/a.txt", b"one"),
            file(&artifacts, "/b.txt", b"two"),
            file(&artifacts, "/c.txt", b"three"),
        ];
        for list in files.chunks(1) {
            trees().lay_out_now(list).unwrap();
        }
        fs::create_dir(folder.path().join("files/draft-1")).unwrap();
        let now = trees();
        let asked_for = now.lay_out_now(&files[..1]).unwrap();
        let known = name(&files[1..2]).unwrap();
        now.tidy_now(&HashSet::from([known.clone()]));
        let mut left: Vec<_> = fs::read_dir(folder.path().join("files"))
            .unwrap()
            .map(|found| found.unwrap().path())
            .collect();
        left.sort();
        let mut expected = [asked_for, folder.path().join("files").join(known)];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_missing_artifact_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = ArtifactFolder::open(folder.path().join("artifacts")).unwrap();
        let trees = FileTrees::new(folder.path().join("files"), Arc::new(artifacts.clone()));
        let files = [file(&artifacts, "/a.txt", b"one")];
        artifacts.remove(&Digest::of(b"one")).unwrap();
        assert!(trees.lay_out_now(&files).is_err());
        assert_eq!(
            fs::read_dir(folder.path().join("files")).unwrap().count(),
            0
        );
    }

    #[test]
    fn no_path_leads_out_of_the_tree() {
        for bad in ["", "/", "/..", "/a/../b", "/a//b", "/a\0b", "/a/", "/..\\x"] {
            assert!(relative(bad).is_err(), "{bad:?}");
        }
        assert_eq!(relative("/a/b").unwrap(), Path::new("a/b"));
    }
}
