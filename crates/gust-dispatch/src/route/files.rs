//! Files that a route serves without an instance.

use std::{collections::HashMap, sync::Arc};

use gust_types::{
    Digest, Error, Result,
    app::{FileSpec, Source},
};

/// The files below one route.
#[derive(Debug)]
pub struct FileSite {
    files: HashMap<Box<str>, SiteFile>,
    index: Box<str>,
    fallback: Option<Box<str>>,
}

/// One file.
#[derive(Debug, Clone)]
pub struct SiteFile {
    /// Its path below the route, without leading slash; its extension says its type.
    pub path: Arc<str>,
    /// Its bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
}

// === impl FileSite ===

impl FileSite {
    pub(crate) fn new(files: &[FileSpec], index: &str, fallback: Option<&str>) -> Result<Self> {
        let mut found = HashMap::with_capacity(files.len());
        for file in files {
            let path = file.path.trim_start_matches('/');
            if !is_clean(path) {
                return Err(Error::invalid(format!(
                    "not a path of a file: {:?}",
                    file.path
                )));
            }
            let Source::Artifact { digest, size } = file.source else {
                return Err(Error::invalid(format!(
                    "file was not uploaded: {:?}",
                    file.path
                )));
            };
            let entry = SiteFile {
                path: path.into(),
                digest,
                size,
            };
            if found.insert(path.into(), entry).is_some() {
                return Err(Error::invalid(format!(
                    "two files have the same path: {path:?}"
                )));
            }
        }
        let fallback = fallback.map(|path| path.trim_start_matches('/'));
        if let Some(path) = fallback
            && !found.contains_key(path)
        {
            return Err(Error::invalid(format!(
                "the fallback is not among the files: {path:?}"
            )));
        }
        Ok(Self {
            files: found,
            index: index.trim_matches('/').into(),
            fallback: fallback.map(Into::into),
        })
    }

    /// The file for the part of a request's path below the route ([`crate::Routed::rest`]), percent-encoded as it came.
    ///
    /// A folder answers its index. A path with `..`, an empty segment or a bad escape names no file: every path is
    /// looked up whole among the files that were deployed, so none leads out of them.
    pub fn find(&self, rest: &str) -> Option<&SiteFile> {
        let path = decode(rest.strip_prefix('/').unwrap_or(rest));
        path.and_then(|path| self.exact(&path)).or_else(|| {
            self.fallback
                .as_deref()
                .and_then(|path| self.files.get(path))
        })
    }

    /// A file by its decoded path; the precompressed forms of `a.js` are asked for as `a.js.br` and `a.js.gz`.
    pub fn get(&self, path: &str) -> Option<&SiteFile> {
        self.files.get(path)
    }

    fn exact(&self, path: &str) -> Option<&SiteFile> {
        if let Some(file) = self.files.get(path) {
            return Some(file);
        }
        let folder = path.trim_end_matches('/');
        if folder.is_empty() {
            return self.files.get(&self.index);
        }
        self.files.get(format!("{folder}/{}", self.index).as_str())
    }
}

fn is_clean(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Undoes percent-encoding; `None` when an escape is broken or the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| char::from(b?).to_digit(16);
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        out.push((high * 16 + low) as u8);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(fallback: Option<&str>) -> FileSite {
        let file = |path: &str| FileSpec {
            path: path.to_owned(),
            source: Source::Artifact {
                digest: Digest::of(path.as_bytes()),
                size: 1,
            },
        };
        let files = [
            file("/index.html"),
            file("docs/index.html"),
            file("a b.txt"),
            file("app.js"),
        ];
        FileSite::new(&files, "index.html", fallback).unwrap()
    }

    #[test]
    fn paths_lead_to_files_and_nowhere_else() {
        let site = site(None);
        for (rest, path) in [
            ("", Some("index.html")),
            ("/", Some("index.html")),
            ("/docs", Some("docs/index.html")),
            ("/docs/", Some("docs/index.html")),
            ("/a%20b.txt", Some("a b.txt")),
            ("/app.js", Some("app.js")),
            ("/../app.js", None),
            ("/%2e%2e/app.js", None),
            ("//app.js", None),
            ("/app.js%00", None),
            ("/%", None),
            ("/%zz", None),
            ("/%ff", None),
            ("/nothing", None),
        ] {
            let found = site.find(rest).map(|file| file.path.as_ref());
            assert_eq!(found, path, "{rest}");
        }
    }

    #[test]
    fn a_fallback_answers_the_rest() {
        let site = site(Some("/index.html"));
        assert_eq!(site.find("/any/page").unwrap().path.as_ref(), "index.html");
        assert_eq!(site.find("/%zz").unwrap().path.as_ref(), "index.html");
        assert!(FileSite::new(&[], "index.html", Some("none.html")).is_err());
    }
}
