//! Hears when a file of an app changes: `gust up --watch`.
//!
//! Only folders that something was asked about are watched, never a whole tree with its build output.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use globset::{Glob, GlobSet, GlobSetBuilder};
use gust_manifest::Loaded;
use gust_types::{
    Error, Result,
    app::{FileSpec, RouteTarget, Source},
};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Editors and compilers write in bursts; a change is over when nothing more comes for this long.
const QUIET: Duration = Duration::from_millis(150);

/// The longest burst that is waited out.
const BURST: usize = 1000;

/// Folders whose content no source is in.
const IGNORED: [&str; 6] = [
    "target",
    "node_modules",
    ".git",
    ".gust",
    ".venv",
    "__pycache__",
];

/// What has to be done about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Only what is deployed has changed: files, built code.
    Deployed,
    /// Something that a build reads has changed, or the manifest.
    Source,
}

/// Watches until it is dropped.
pub(crate) struct Watcher {
    _watching: RecommendedWatcher,
    changes: mpsc::Receiver<Change>,
    /// Told by an earlier watcher.
    pending: Option<Change>,
}

/// Which paths matter. All of them are absolute, without symbolic links.
#[derive(Debug, Default)]
struct Interests {
    /// Folders to watch; true means with everything below.
    folders: BTreeMap<PathBuf, bool>,
    /// Files and patterns that a build reads.
    sources: BTreeSet<PathBuf>,
    patterns: GlobSet,
    /// Files that are deployed, and the folders they are in.
    deployed: BTreeSet<PathBuf>,
}

// === impl Watcher ===

impl Watcher {
    /// Watches what an app is made of.
    pub(crate) fn new(loaded: &Loaded) -> Result<Self> {
        let interests = Interests::of(loaded)?;
        let folders = interests.folders.clone();
        let (to, changes) = mpsc::channel(64);
        let fault = |e: notify::Error| {
            Error::unavailable("cannot watch files")
                .because(e)
                .hint("the limit on watched files may be reached: see fs.inotify.max_user_watches")
        };
        let mut watching = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Some(change) = event.ok().and_then(|event| interests.judge(&event)) else {
                return;
            };
            // When the queue is full a change is pending anyway.
            let _ = to.try_send(change);
        })
        .map_err(fault)?;
        for (folder, deep) in folders {
            let mode = match deep {
                true => RecursiveMode::Recursive,
                false => RecursiveMode::NonRecursive,
            };
            watching.watch(&folder, mode).map_err(fault)?;
        }
        Ok(Self {
            _watching: watching,
            changes,
            pending: None,
        })
    }

    /// A new watcher for what the app has become, which also tells what `earlier` has heard meanwhile.
    pub(crate) fn after(earlier: &mut Self, loaded: &Loaded) -> Result<Self> {
        let mut next = Self::new(loaded)?;
        while let Ok(change) = earlier.changes.try_recv() {
            next.pending = next.pending.max(Some(change));
        }
        Ok(next)
    }

    /// Waits for the next burst of changes to end.
    pub(crate) async fn changed(&mut self) -> Change {
        let mut worst = match self.pending.take() {
            Some(change) => change,
            None => match self.changes.recv().await {
                Some(change) => change,
                None => std::future::pending().await,
            },
        };
        for _ in 0..BURST {
            match tokio::time::timeout(QUIET, self.changes.recv()).await {
                Ok(Some(change)) => worst = worst.max(change),
                _ => break,
            }
        }
        worst
    }
}

// === impl Interests ===

impl Interests {
    fn of(loaded: &Loaded) -> Result<Self> {
        let fault = |e: std::io::Error| Error::invalid("cannot watch the app's folder").because(e);
        let root = loaded.root.canonicalize().map_err(fault)?;
        let manifest = loaded.file.canonicalize().map_err(fault)?;
        let mut found = Self::default();
        let mut patterns = GlobSetBuilder::new();
        found.file(&manifest);
        found.sources.insert(manifest);
        for function in loaded.spec.functions.values() {
            let others = function.dependencies.iter();
            let others = others.map(|of| (&of.source, of.build.as_ref()));
            let own = std::iter::once((&function.source, function.build.as_ref()));
            for (source, build) in own.chain(others) {
                let Some(build) = build else {
                    found.deploys(&root, source);
                    continue;
                };
                // What a build makes is no reason to build.
                let workdir = root.join(build.workdir.as_deref().unwrap_or("."));
                for glob in &build.watch {
                    found.pattern(&workdir, glob, &mut patterns)?;
                }
            }
            found.deploys_all(&root, &function.files);
        }
        for route in &loaded.spec.routes {
            if let RouteTarget::Files { files, .. } = &route.target {
                found.deploys_all(&root, files);
            }
        }
        found.patterns = patterns
            .build()
            .map_err(|e| Error::invalid("cannot watch these patterns").because(e))?;
        Ok(found)
    }

    fn file(&mut self, file: &Path) {
        if let Some(folder) = file.parent() {
            self.folders.entry(folder.to_owned()).or_insert(false);
        }
    }

    fn deploys_all(&mut self, root: &Path, files: &[FileSpec]) {
        for file in files {
            self.deploys(root, &file.source);
        }
    }

    fn deploys(&mut self, root: &Path, source: &Source) {
        let Source::Path(path) = source else {
            return;
        };
        if let Ok(file) = root.join(path).canonicalize() {
            self.file(&file);
            // New files beside it may be meant by the same pattern.
            if let Some(folder) = file.parent().filter(|folder| *folder != root) {
                self.deployed.insert(folder.to_owned());
            }
            self.deployed.insert(file);
        }
    }

    fn pattern(&mut self, workdir: &Path, glob: &str, patterns: &mut GlobSetBuilder) -> Result<()> {
        let fixed: Vec<&str> = glob
            .split('/')
            .take_while(|part| !part.contains(['*', '?', '[', '{']))
            .collect();
        let rest = glob
            .split('/')
            .skip(fixed.len())
            .collect::<Vec<_>>()
            .join("/");
        let Ok(base) = workdir.join(fixed.join("/")).canonicalize() else {
            return Ok(()); // Not there yet: the next change of the manifest looks again.
        };
        if rest.is_empty() {
            self.file(&base);
            if base.is_dir() {
                self.folders.insert(base.clone(), true);
            }
            self.sources.insert(base);
            return Ok(());
        }
        let full = format!("{}/{rest}", globset::escape(&base.to_string_lossy()));
        let glob = Glob::new(&full)
            .map_err(|e| Error::invalid(format!("not a pattern to watch: {glob:?}")).because(e))?;
        patterns.add(glob);
        let deep = rest.contains('/') || rest.contains("**");
        *self.folders.entry(base).or_insert(deep) |= deep;
        Ok(())
    }

    fn judge(&self, event: &Event) -> Option<Change> {
        if event.kind.is_access() {
            return None;
        }
        event
            .paths
            .iter()
            .filter_map(|path| self.judge_path(path))
            .max()
    }

    fn judge_path(&self, path: &Path) -> Option<Change> {
        if self.sources.iter().any(|source| path.starts_with(source)) {
            return Some(Change::Source);
        }
        if self.patterns.is_match(path) && !ignored(path) {
            return Some(Change::Source);
        }
        let inside = path
            .parent()
            .is_some_and(|folder| self.deployed.contains(folder));
        (inside || self.deployed.contains(path)).then_some(Change::Deployed)
    }
}

fn ignored(path: &Path) -> bool {
    path.components()
        .any(|part| IGNORED.iter().any(|ignored| part.as_os_str() == *ignored))
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "[app]\nname = \"a\"\n[function.f]\nsource = \"out/f.wasm\"\nfiles = [\"assets/*\"]\n\
        build = { command = \"true\", watch = [\"src/**/*.rs\", \"Cargo.toml\", \"**/*.wit\"] }\n\
        [function.g]\nsource = \"g.wasm\"\n";

    fn app() -> (tempfile::TempDir, Loaded) {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "src/lib.rs",
            "src/deep/x.rs",
            "Cargo.toml",
            "assets/a.css",
            "g.wasm",
            "out/f.wasm",
            "target/x.wit",
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::fs::write(dir.path().join("gust.toml"), APP).unwrap();
        let loaded = gust_manifest::load(dir.path(), &gust_manifest::Options::default()).unwrap();
        (dir, loaded)
    }

    #[test]
    fn changes_are_judged_by_where_they_are() {
        let (dir, loaded) = app();
        let interests = Interests::of(&loaded).unwrap();
        let root = dir.path().canonicalize().unwrap();
        for (path, change) in [
            ("src/lib.rs", Some(Change::Source)),
            ("src/deep/new.rs", Some(Change::Source)),
            ("src/notes.txt", None),
            ("Cargo.toml", Some(Change::Source)),
            ("Cargo.lock", None),
            ("gust.toml", Some(Change::Source)),
            ("wit/world.wit", Some(Change::Source)),
            ("target/x.wit", None),
            ("assets/new.css", Some(Change::Deployed)),
            ("g.wasm", Some(Change::Deployed)),
            ("out/f.wasm", None),
        ] {
            assert_eq!(interests.judge_path(&root.join(path)), change, "{path}");
        }
    }

    #[tokio::test]
    async fn a_burst_of_writes_is_one_change() {
        let (dir, loaded) = app();
        let mut watcher = Watcher::new(&loaded).unwrap();
        for i in 0..20 {
            std::fs::write(dir.path().join("src/lib.rs"), format!("// {i}")).unwrap();
        }
        let wait = Duration::from_secs(20);
        let change = tokio::time::timeout(wait, watcher.changed()).await.unwrap();
        assert_eq!(change, Change::Source);
        let more = tokio::time::timeout(Duration::from_millis(400), watcher.changed()).await;
        assert!(more.is_err(), "the burst was told once");
        std::fs::write(dir.path().join("assets/b.css"), "").unwrap();
        let change = tokio::time::timeout(wait, watcher.changed()).await.unwrap();
        assert_eq!(change, Change::Deployed);
    }
}
