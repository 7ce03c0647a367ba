//! Functions whose code imports from other components: they become one before they are sent.

use std::path::Path;

use gust_compose::Part;
use gust_types::{
    AppSpec, Digest, Error, Result,
    app::{FunctionSpec, Source},
};
use tempfile::TempDir;

/// Bytes of all components that become one: what a node takes.
const MOST: u64 = 256 << 20;

/// Components that were made; their files go with this.
#[derive(Default)]
pub(crate) struct Composed {
    _folder: Option<TempDir>,
}

/// Composes what has dependencies; from then on its source is one file.
pub(crate) async fn functions(app: &mut AppSpec, root: &Path) -> Result<Composed> {
    if app.functions.values().all(|f| f.dependencies.is_empty()) {
        return Ok(Composed::default());
    }
    let (mut taken, root) = (app.clone(), root.to_owned());
    let work = move || all(&mut taken, &root).map(|composed| (taken, composed));
    let done = tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::internal("composing components failed").because(e))??;
    *app = done.0;
    Ok(done.1)
}

fn all(app: &mut AppSpec, root: &Path) -> Result<Composed> {
    let folder = TempDir::new().map_err(storage)?;
    for (name, function) in &mut app.functions {
        if function.dependencies.is_empty() {
            continue;
        }
        let bytes = one(function, root).map_err(|error| Error {
            message: format!("function `{name}`: {}", error.message),
            ..error
        })?;
        let file = folder.path().join(Digest::of(&bytes).hex());
        std::fs::write(&file, bytes).map_err(storage)?;
        let file = file.into_os_string().into_string().map_err(|path| {
            let text = format!("not a path that can be used: {}", path.display());
            Error::invalid(text).hint("set TMPDIR to a path in UTF-8")
        })?;
        function.source = Source::Path(file);
        function.dependencies.clear();
    }
    Ok(Composed {
        _folder: Some(folder),
    })
}

fn one(function: &FunctionSpec, root: &Path) -> Result<Vec<u8>> {
    let mut room = MOST;
    let code = read(&function.source, root, &mut room)?;
    let mut parts = Vec::with_capacity(function.dependencies.len());
    for dependency in &function.dependencies {
        let bytes = read(&dependency.source, root, &mut room).map_err(|error| Error {
            message: format!("dependency `{}`: {}", dependency.import, error.message),
            ..error
        })?;
        parts.push(Part {
            import: dependency.import.clone(),
            bytes,
            export: dependency.export.clone(),
            inherit: dependency.inherit.clone(),
        });
    }
    gust_compose::compose(&code, &parts)
}

fn read(source: &Source, root: &Path, room: &mut u64) -> Result<Vec<u8>> {
    let Source::Path(path) = source else {
        return Err(Error::internal("code that is composed is in a file"));
    };
    let file = root.join(path);
    let cannot = |error: std::io::Error| {
        let text = format!("cannot read the file: {}", file.display());
        Error::invalid(text).because(error)
    };
    let size = std::fs::metadata(&file).map_err(cannot)?.len();
    *room = room.checked_sub(size).ok_or_else(|| {
        Error::too_large(format!("its components have more than {} MiB", MOST >> 20))
    })?;
    std::fs::read(&file).map_err(cannot)
}

fn storage(error: std::io::Error) -> Error {
    Error::unavailable("a composed component cannot be written")
        .because(error)
        .hint("set TMPDIR to a folder with room")
}
