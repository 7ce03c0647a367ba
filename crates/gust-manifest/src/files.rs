//! From `files`, `exclude_files` and static folders to the files themselves.
//!
//! Nothing outside the manifest's folder is ever named: no absolute paths, no `..`, and symbolic links only as far as
//! they stay inside. Folders are walked in name order, so that the same tree gives the same app.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use globset::{GlobBuilder, GlobMatcher};
use gust_types::app::{FileSpec, RouteTarget, Source};

use crate::{
    check,
    draft::{Assembled, Mount, Pick},
    limits::{MAX_DEPTH, MAX_ENTRIES, MAX_FILES},
    reader::{Cx, Text},
};

/// The files of the folder, found as they are asked for.
struct Tree<'a> {
    cx: &'a Cx<'a>,
    /// Without symbolic links in it.
    root: PathBuf,
    looked_at: usize,
    taken: usize,
}

/// Why a walk ended early; the fault is reported already.
struct Stopped;

/// Fills in the files of every function and static route.
pub(crate) fn expand<'a>(cx: &'a Cx<'a>, app: &mut Assembled, root: &Path) {
    let root = match root.canonicalize() {
        Ok(root) => root,
        Err(error) => {
            return cx.fault(
                &(0..0),
                format!("cannot open the manifest's folder: {error}"),
            );
        }
    };
    let mut tree = Tree {
        cx,
        root,
        looked_at: 0,
        taken: 0,
    };
    for mount in &app.mounts {
        let Ok(files) = tree.mount(mount) else {
            return;
        };
        if let Err(error) = check::file_paths(&files) {
            cx.refuse(&mount.at(), error);
        }
        if let Some(function) = app.spec.functions.get_mut(&mount.function) {
            function.files = files;
        }
    }
    for (route, site) in &app.sites {
        let Ok(found) = tree.site(&site.dir) else {
            return;
        };
        if let Some(fallback) = &site.fallback
            && !found
                .iter()
                .any(|f| f.path.trim_start_matches('/') == fallback.value.trim_start_matches('/'))
        {
            let message = format!("`fallback` is not among the files: {:?}", fallback.value);
            cx.fault(&fallback.at, message);
        }
        if let Some(RouteTarget::Files { files, .. }) =
            app.spec.routes.get_mut(*route).map(|r| &mut r.target)
        {
            *files = found;
        }
    }
}

// === impl Mount ===

impl Mount {
    /// A place to point at for faults of the whole list.
    fn at(&self) -> std::ops::Range<usize> {
        self.picks.first().map_or(0..0, |pick| match pick {
            Pick::Pattern(text) => text.at.clone(),
            Pick::Place { source, .. } => source.at.clone(),
        })
    }
}

// === impl Tree ===

impl Tree<'_> {
    /// The files of one function. Where two entries give the guest the same path, the later one wins.
    fn mount(&mut self, mount: &Mount) -> Result<Vec<FileSpec>, Stopped> {
        let exclude: Vec<GlobMatcher> = mount
            .exclude
            .iter()
            .filter_map(|text| self.glob(text, false))
            .collect();
        let mut found = BTreeMap::new();
        for pick in &mount.picks {
            let files = match pick {
                Pick::Pattern(pattern) => self.pattern(pattern)?,
                Pick::Place {
                    source,
                    destination,
                } => self.place(source, destination)?,
            };
            for (guest, path) in files {
                if !exclude.iter().any(|glob| glob.is_match(&path)) {
                    found.insert(guest, path);
                }
            }
        }
        self.count(found.len(), &mount.at())?;
        Ok(specs(found))
    }

    fn site(&mut self, dir: &Text) -> Result<Vec<FileSpec>, Stopped> {
        let Some(path) = self.inside(dir) else {
            return Ok(Vec::new());
        };
        let full = self.root.join(&path);
        if !full.is_dir() {
            self.cx
                .fault(&dir.at, format!("no such folder: {:?}", dir.value));
            return Ok(Vec::new());
        }
        let mut found = BTreeMap::new();
        for file in self.walk(&path, dir)? {
            let below = strip(&file, &path);
            let hidden = |part: &str| part.starts_with('.') && part != ".well-known";
            if !below.split('/').any(hidden) {
                found.insert(format!("/{below}"), file);
            }
        }
        self.count(found.len(), &dir.at)?;
        Ok(specs(found))
    }

    fn count(&mut self, more: usize, at: &std::ops::Range<usize>) -> Result<(), Stopped> {
        self.taken += more;
        if self.taken <= MAX_FILES {
            return Ok(());
        }
        self.cx.fault(at, format!("more files than {MAX_FILES}"));
        Err(Stopped)
    }

    /// Guest path and path in the folder of everything a pattern names.
    fn pattern(&mut self, pattern: &Text) -> Result<Vec<(String, String)>, Stopped> {
        let Some(path) = self.inside(pattern) else {
            return Ok(Vec::new());
        };
        // A name that exists is a name, whatever characters it has.
        let literal = !path.contains(['*', '?', '[', '{']);
        let files = if literal || self.root.join(&path).exists() {
            self.file_or_folder(&path, pattern)?
        } else {
            self.matches(&path, pattern)?
        };
        Ok(files.into_iter().map(|f| (format!("/{f}"), f)).collect())
    }

    fn matches(&mut self, path: &str, pattern: &Text) -> Result<Vec<String>, Stopped> {
        let clean = Text {
            value: path.to_owned(),
            at: pattern.at.clone(),
        };
        let Some(glob) = self.glob(&clean, true) else {
            return Ok(Vec::new());
        };
        let base: Vec<&str> = path
            .split('/')
            .take_while(|part| !part.contains(['*', '?', '[', '{']))
            .collect();
        let base = base.join("/");
        if !self.root.join(&base).is_dir() {
            self.cx
                .note(format!("no file matches: {:?}", pattern.value));
            return Ok(Vec::new());
        }
        let mut files = self.walk(&base, pattern)?;
        files.retain(|file| glob.is_match(file));
        if files.is_empty() {
            self.cx
                .note(format!("no file matches: {:?}", pattern.value));
        }
        Ok(files)
    }

    fn place(
        &mut self,
        source: &Text,
        destination: &Text,
    ) -> Result<Vec<(String, String)>, Stopped> {
        let to = destination.value.trim_matches('/');
        if to.split('/').any(|part| part == "..") {
            let message = format!("`destination` has '..': {:?}", destination.value);
            self.cx.fault(&destination.at, message);
            return Ok(Vec::new());
        }
        let Some(path) = self.inside(source) else {
            return Ok(Vec::new());
        };
        let files = self.file_or_folder(&path, source)?;
        let guest = |file: &str| match (strip(file, &path), to) {
            ("", to) => format!("/{to}"),
            (below, "") => format!("/{below}"),
            (below, to) => format!("/{to}/{below}"),
        };
        Ok(files.into_iter().map(|f| (guest(&f), f)).collect())
    }

    fn file_or_folder(&mut self, path: &str, text: &Text) -> Result<Vec<String>, Stopped> {
        let full = self.root.join(path);
        let Ok(real) = full.canonicalize() else {
            let message = format!("no such file or folder: {:?}", text.value);
            self.cx.fault(&text.at, message);
            return Ok(Vec::new());
        };
        if !self.holds(&real, text) {
            return Ok(Vec::new());
        }
        if real.is_dir() {
            return self.walk(path, text);
        }
        if !real.is_file() {
            let message = format!("neither a file nor a folder: {:?}", text.value);
            self.cx.fault(&text.at, message);
            return Ok(Vec::new());
        }
        Ok(vec![path.to_owned()])
    }

    /// Every file below a folder, by name.
    fn walk(&mut self, base: &str, text: &Text) -> Result<Vec<String>, Stopped> {
        let mut files = Vec::new();
        let Ok(real) = self.root.join(base).canonicalize() else {
            return Ok(files);
        };
        if !self.holds(&real, text) {
            return Ok(files);
        }
        // Each folder with the real folders above it: a link back to one of them would never end.
        let mut open = vec![(base.to_owned(), vec![real])];
        while let Some((dir, above)) = open.pop() {
            for name in self.names(&dir, text)? {
                let path = if dir.is_empty() {
                    name
                } else {
                    format!("{dir}/{name}")
                };
                let Ok(real) = self.root.join(&path).canonicalize() else {
                    continue; // A link to nothing.
                };
                if !self.holds(&real, text) {
                    return Ok(files);
                }
                if real.is_file() {
                    files.push(path);
                } else if real.is_dir() && !above.contains(&real) && above.len() < MAX_DEPTH {
                    let mut above = above.clone();
                    above.push(real);
                    open.push((path, above));
                }
            }
        }
        files.sort();
        Ok(files)
    }

    fn names(&mut self, dir: &str, text: &Text) -> Result<Vec<String>, Stopped> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(self.root.join(dir)) {
            Ok(entries) => entries,
            Err(error) => {
                let message = format!("cannot read the folder {dir:?}: {error}");
                self.cx.fault(&text.at, message);
                return Ok(names);
            }
        };
        for entry in entries.flatten() {
            self.looked_at += 1;
            if self.looked_at > MAX_ENTRIES {
                let message = format!("looked at more folder entries than {MAX_ENTRIES}");
                let hint = "name a smaller folder, or one without build output";
                self.cx.fault_hint(&text.at, message, hint);
                return Err(Stopped);
            }
            match entry.file_name().into_string() {
                Ok(name) if !name.contains('\\') => names.push(name),
                Ok(name) => {
                    let message = format!("file name has a backslash: {name:?}");
                    self.cx.fault(&text.at, message);
                }
                Err(name) => {
                    let message = format!("file name is not UTF-8: {name:?}");
                    self.cx.fault(&text.at, message);
                }
            }
        }
        Ok(names)
    }

    /// The path as written, cleaned, if it stays inside the folder.
    fn inside(&self, text: &Text) -> Option<String> {
        let path = text.value.trim_end_matches('/');
        let fault = |why: &str| {
            let message = format!("path {why}: {:?}", text.value);
            let hint = "name files below the manifest's folder, with '/' between names";
            self.cx.fault_hint(&text.at, message, hint);
            None
        };
        if text.value.is_empty() {
            return fault("is empty");
        }
        if path.is_empty() || path.starts_with('/') {
            return fault("is absolute");
        }
        if path.contains(['\\', '\0']) {
            return fault("has a backslash or a NUL");
        }
        let parts: Vec<&str> = path
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect();
        if parts.contains(&"..") {
            return fault("has '..'");
        }
        Some(parts.join("/"))
    }

    fn holds(&self, real: &Path, text: &Text) -> bool {
        let inside = real.starts_with(&self.root);
        if !inside {
            let message = format!(
                "a symbolic link leads out of the manifest's folder, to {}: {:?}",
                real.display(),
                text.value
            );
            self.cx.fault(&text.at, message);
        }
        inside
    }

    fn glob(&self, text: &Text, separator: bool) -> Option<GlobMatcher> {
        let built = GlobBuilder::new(&text.value)
            .literal_separator(separator)
            .backslash_escape(true)
            .build();
        match built {
            Ok(glob) => Some(glob.compile_matcher()),
            Err(error) => {
                let message = format!(
                    "not a pattern of files ({}): {:?}",
                    error.kind(),
                    text.value
                );
                self.cx.fault(&text.at, message);
                None
            }
        }
    }
}

fn strip<'p>(file: &'p str, base: &str) -> &'p str {
    file.strip_prefix(base)
        .map_or(file, |rest| rest.trim_start_matches('/'))
}

fn specs(found: BTreeMap<String, String>) -> Vec<FileSpec> {
    found
        .into_iter()
        .map(|(path, source)| FileSpec {
            path,
            source: Source::Path(source),
        })
        .collect()
}
