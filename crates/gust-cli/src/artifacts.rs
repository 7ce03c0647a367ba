//! From files to artifacts: every source gets its digest, every distinct content is sent once.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use gust_types::{
    AppSpec, Digest, Error, Result,
    app::{FileSpec, RouteTarget, Source},
};
use sha2::Digest as _;

/// An app whose sources are artifacts, and where their bytes are.
pub(crate) struct Artifacts {
    pub(crate) app: AppSpec,
    pub(crate) files: BTreeMap<Digest, Content>,
}

/// The bytes of an artifact.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    /// What it is, for progress: a function's name or a file's path.
    pub(crate) label: String,
}

/// Reads and digests everything the app names.
pub(crate) fn collect(app: &AppSpec, root: &Path) -> Result<Artifacts> {
    let mut all = Collector {
        root,
        seen: BTreeMap::new(),
        files: BTreeMap::new(),
    };
    let mut app = app.clone();
    for (name, function) in &mut app.functions {
        all.source(&mut function.source, name.as_str())
            .map_err(|e| missing_code(e, name.as_str(), function.build.is_some()))?;
        all.all(&mut function.files)?;
    }
    for route in &mut app.routes {
        if let RouteTarget::Files { files, .. } = &mut route.target {
            all.all(files)?;
        }
    }
    Ok(Artifacts {
        app,
        files: all.files,
    })
}

fn missing_code(error: Error, function: &str, has_build: bool) -> Error {
    let message = format!("function `{function}`: {}", error.message);
    let error = Error { message, ..error };
    match has_build {
        true => error.hint("build it first: gust build, or add --build"),
        false => error.hint("`source` is read from the manifest's folder, and without a [function.<name>.build] nothing makes it"),
    }
}

struct Collector<'a> {
    root: &'a Path,
    /// Paths that have been read, since functions often share them.
    seen: BTreeMap<String, (Digest, u64)>,
    files: BTreeMap<Digest, Content>,
}

// === impl Collector ===

impl Collector<'_> {
    fn all(&mut self, files: &mut [FileSpec]) -> Result<()> {
        for file in files {
            let label = file.path.clone();
            self.source(&mut file.source, &label)?;
        }
        Ok(())
    }

    fn source(&mut self, source: &mut Source, label: &str) -> Result<()> {
        let Source::Path(path) = source else {
            return Ok(());
        };
        let (digest, size) = match self.seen.get(path) {
            Some(known) => *known,
            None => {
                let full = self.root.join(&*path);
                let found = digest(&full)?;
                self.files.insert(
                    found.0,
                    Content {
                        path: full,
                        size: found.1,
                        label: label.to_owned(),
                    },
                );
                self.seen.insert(path.clone(), found);
                found
            }
        };
        *source = Source::Artifact { digest, size };
        Ok(())
    }
}

/// Digest and size of a file, read in pieces.
pub(crate) fn digest(path: &Path) -> Result<(Digest, u64)> {
    let fault = |error: std::io::Error| {
        let message = format!("cannot read the file: {}", path.display());
        match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::not_found(format!("no such file: {}", path.display()))
            }
            std::io::ErrorKind::PermissionDenied => Error::denied(message).because(error),
            _ => Error::invalid(message).because(error),
        }
    };
    let mut file = File::open(path).map_err(fault)?;
    let mut hash = sha2::Sha256::new();
    let mut piece = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        let n = file.read(&mut piece).map_err(fault)?;
        if n == 0 {
            return Ok((Digest::from_bytes(hash.finalize().into()), size));
        }
        hash.update(&piece[..n]);
        size += n as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(dir: &Path) -> AppSpec {
        let text = "[app]\nname = \"a\"\n[function.f]\nsource = \"f.wasm\"\nfiles = [\"*.txt\"]\n[function.g]\nsource = \"f.wasm\"\n[function.g.build]\ncommand = \"true\"\n";
        std::fs::write(dir.join("gust.toml"), text).unwrap();
        gust_manifest::load(dir, &gust_manifest::Options::default())
            .unwrap()
            .spec
    }

    #[test]
    fn equal_content_is_one_artifact() {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in [("f.wasm", "code"), ("a.txt", "same"), ("b.txt", "same")] {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        let artifacts = collect(&app(dir.path()), dir.path()).unwrap();
        assert_eq!(artifacts.files.len(), 2);
        let expected = Source::Artifact {
            digest: Digest::of(b"code"),
            size: 4,
        };
        assert_eq!(artifacts.app.functions["f"].source, expected);
        assert_eq!(artifacts.app.functions["g"].source, expected);
        assert_eq!(artifacts.app.functions["f"].files.len(), 2);
    }

    #[test]
    fn code_that_is_not_built_is_told_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f.wasm"), "").unwrap();
        let app = app(dir.path());
        std::fs::remove_file(dir.path().join("f.wasm")).unwrap();
        let error = collect(&app, dir.path()).err().unwrap();
        assert!(
            error.message.starts_with("function `f`: no such file: "),
            "{error}"
        );
        assert_eq!(error.kind, gust_types::Kind::NotFound);
        let hint = error.hint.unwrap();
        assert!(
            hint.contains("nothing makes it"),
            "f has no build command: {hint}"
        );
        let mut only_g = app.clone();
        only_g.functions.retain(|name, _| name.as_str() == "g");
        let error = collect(&only_g, dir.path()).err().unwrap();
        assert!(error.hint.unwrap().contains("gust build"));
    }
}
