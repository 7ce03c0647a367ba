//! Manifests in, an [`AppSpec`] out: `gust.toml` and `spin.toml`.
//!
//! This room reads text and looks at the folder around it. It never builds, uploads, runs or contacts anything, and it
//! never names a file outside that folder. Every fault says where it is, and several are found in one go.
//! Start with [`load`]; `gust.rs` and `spin.rs` are the two readers, `draft.rs` is where they meet, `files.rs` expands
//! globs, and `keys` lists every key (the reference page is made of it).
#![warn(missing_docs)]

mod check;
mod draft;
pub mod error;
mod files;
mod gust;
mod keys;
pub mod limits;
mod parts;
mod reader;
mod reference;
mod spin;
mod suggest;

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use gust_types::{AppSpec, Kind};
use toml::de::DeTable;

pub use error::{Fault, ManifestError, Place};
pub use reference::{reference, spin_reference};

/// The kinds of sources outside the node that a trigger may name, each with its keys.
pub fn outside() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let names = |section: &keys::Section| section.keys.iter().map(|key| key.name).collect();
    keys::OUTSIDE
        .iter()
        .map(move |(kind, section)| (*kind, names(section)))
}

use crate::{draft::Assembled, keys::Family, reader::Cx};

/// How to read.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which profile of a `spin.toml` to apply.
    pub profile: Option<String>,
    /// Whether to look for the files that globs name. A build reads the manifest before they exist.
    pub files: bool,
}

/// An app and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Sources are paths relative to `root`.
    pub spec: AppSpec,
    /// The folder of the manifest.
    pub root: PathBuf,
    /// The manifest.
    pub file: PathBuf,
    /// What a person should know: ignored keys, names that were changed.
    pub notes: Vec<String>,
}

/// The manifests, in the order in which they are looked for.
const NAMES: [&str; 2] = ["gust.toml", "spin.toml"];

impl Default for Options {
    fn default() -> Self {
        Self {
            profile: None,
            files: true,
        }
    }
}

/// Reads the manifest of a folder, or the manifest itself.
pub fn load(path: &Path, options: &Options) -> Result<Loaded, ManifestError> {
    let (file, mut notes) = find(path)?;
    let shown = file.display().to_string();
    let text = read(&file, &shown)?;
    let root = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let expand = options.files.then_some(root.as_path());
    let (spec, more) = parse(&text, &shown, options.profile.as_deref(), None, expand)?;
    notes.extend(more);
    Ok(Loaded {
        spec,
        root,
        file,
        notes,
    })
}

/// Reads the text of a `gust.toml`. File globs are left out: nothing but the text is looked at.
pub fn parse_gust(text: &str) -> Result<(AppSpec, Vec<String>), ManifestError> {
    parse(text, NAMES[0], None, Some(Family::Gust), None)
}

/// Reads the text of a `spin.toml`, as [`parse_gust`] does.
pub fn parse_spin(
    text: &str,
    profile: Option<&str>,
) -> Result<(AppSpec, Vec<String>), ManifestError> {
    parse(text, NAMES[1], profile, Some(Family::Spin), None)
}

fn find(path: &Path) -> Result<(PathBuf, Vec<String>), ManifestError> {
    let shown = path.display().to_string();
    if path.is_file() {
        return Ok((path.to_owned(), Vec::new()));
    }
    if !path.exists() {
        let message = "no such file or folder";
        let error = ManifestError::whole(shown, Kind::NotFound, message);
        return Err(error.hint(
            "give the folder that has gust.toml or spin.toml, or make one with: gust new NAME",
        ));
    }
    let found: Vec<PathBuf> = NAMES
        .iter()
        .map(|name| match path {
            here if here == Path::new(".") || here == Path::new("") => PathBuf::from(name),
            dir => dir.join(name),
        })
        .filter(|file| file.is_file())
        .collect();
    let mut notes = Vec::new();
    if found.len() > 1 {
        notes.push("gust.toml is read; spin.toml beside it is not".to_owned());
    }
    found
        .into_iter()
        .next()
        .map(|file| (file, notes))
        .ok_or_else(|| {
            let message = "there is neither a gust.toml nor a spin.toml here";
            ManifestError::whole(shown, Kind::NotFound, message)
                .hint("make an app with: gust new, or name the folder of one")
        })
}

fn read(file: &Path, shown: &str) -> Result<String, ManifestError> {
    let io = |error: std::io::Error| {
        let kind = match error.kind() {
            ErrorKind::NotFound => Kind::NotFound,
            ErrorKind::PermissionDenied => Kind::Denied,
            _ => Kind::Unavailable,
        };
        ManifestError::whole(shown, kind, format!("cannot read the file: {error}"))
    };
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|f| f.take(limits::MAX_MANIFEST + 1).read_to_end(&mut bytes))
        .map_err(io)?;
    if bytes.len() as u64 > limits::MAX_MANIFEST {
        return Err(too_big(shown));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("the file is not UTF-8, at byte {at}");
        ManifestError::whole(shown, Kind::Invalid, message)
    })
}

fn too_big(shown: &str) -> ManifestError {
    let message = format!("the file is larger than {} bytes", limits::MAX_MANIFEST);
    ManifestError::whole(shown, Kind::Invalid, message)
}

/// The one way from text to an app; `expand` is the folder in which to look for files.
fn parse(
    text: &str,
    shown: &str,
    profile: Option<&str>,
    family: Option<Family>,
    expand: Option<&Path>,
) -> Result<(AppSpec, Vec<String>), ManifestError> {
    if text.len() as u64 > limits::MAX_MANIFEST {
        return Err(too_big(shown));
    }
    let cx = Cx::new(text);
    let (document, faults) = DeTable::parse_recoverable(text);
    for fault in faults {
        let at = fault.span().unwrap_or(0..0);
        cx.fault(&at, fault.message().to_lowercase());
    }
    let mut assembled: Option<Assembled> = None;
    if !cx.has_faults() {
        let table = document.get_ref();
        assembled = match family.unwrap_or_else(|| family_of(table, shown)) {
            Family::Spin => spin::read(&cx, table, profile),
            Family::Gust => gust::read(&cx, table),
        };
    }
    if let (Some(app), Some(root)) = (&mut assembled, expand) {
        files::expand(&cx, app, root);
    }
    let notes = cx.finish(shown)?;
    assembled.map(|app| (app.spec, notes)).ok_or_else(|| {
        ManifestError::whole(
            shown,
            Kind::Internal,
            "the manifest gave neither an app nor a fault",
        )
    })
}

/// By name, and for other names by the key that every `spin.toml` has.
fn family_of(document: &DeTable<'_>, shown: &str) -> Family {
    let spin = shown.ends_with("spin.toml")
        || document.contains_key("spin_manifest_version")
        || document.contains_key("spin_version");
    if spin { Family::Spin } else { Family::Gust }
}
