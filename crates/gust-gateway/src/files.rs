//! Files without an instance: entity tags, ranges, precompressed forms, and bytes straight from the artifact's file.

mod body;
mod shelf;

use std::sync::Arc;

use gust_dispatch::{FileSite, SiteFile};
use gust_runtime::Artifacts;
use gust_types::{Error, Result};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request};

pub(crate) use body::FileBody;
use shelf::Shelf;

use crate::{
    body::ReplyBody,
    parse::{self, Part},
    refuse::Refuse,
};

/// Serves files. Small ones are kept in memory, by digest.
pub(crate) struct Files {
    artifacts: Arc<dyn Artifacts>,
    shelf: Shelf,
}

/// The form of a file that a request gets.
struct Chosen<'s> {
    file: &'s SiteFile,
    coding: Option<parse::Coding>,
    /// Whether the choice depends on `Accept-Encoding`.
    varies: bool,
    tag: HeaderValue,
}

// === impl Files ===

impl Files {
    pub(crate) fn new(artifacts: Arc<dyn Artifacts>) -> Self {
        Self {
            artifacts,
            shelf: Shelf::default(),
        }
    }

    /// Answers a request for the part of a path below a route.
    pub(crate) async fn serve(
        &self,
        site: &FileSite,
        rest: &str,
        head: &request::Parts,
    ) -> Result<Response<ReplyBody>, Refuse> {
        if head.method != Method::GET && head.method != Method::HEAD {
            return Err(Refuse::method("files are only read here", "GET, HEAD"));
        }
        let file = site
            .find(rest)
            .ok_or_else(|| Error::not_found("no such file here"))?;
        let chosen = choose(site, file, &head.headers);
        let mut answer = Response::new(ReplyBody::empty());
        describe(&chosen, file, answer.headers_mut());
        if let Some(status) = precondition(&chosen, &head.headers) {
            *answer.status_mut() = status;
            return Ok(answer);
        }
        let size = chosen.file.size;
        let (start, length) = match part(&chosen, &head.headers) {
            Part::Whole => (0, size),
            Part::Bytes(first, last) => {
                *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
                set(
                    answer.headers_mut(),
                    header::CONTENT_RANGE,
                    format!("bytes {first}-{last}/{size}"),
                );
                (first, last - first + 1)
            }
            Part::None => {
                *answer.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                set(
                    answer.headers_mut(),
                    header::CONTENT_RANGE,
                    format!("bytes */{size}"),
                );
                return Ok(answer);
            }
        };
        answer
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if head.method == Method::GET {
            *answer.body_mut() = self.bytes(chosen.file, start, length).await?;
        }
        Ok(answer)
    }

    async fn bytes(&self, file: &SiteFile, start: u64, length: u64) -> Result<ReplyBody> {
        if length == 0 {
            return Ok(ReplyBody::empty());
        }
        let part = |whole: bytes::Bytes| {
            let (start, end) = (start as usize, (start + length) as usize);
            (end <= whole.len()).then(|| ReplyBody::bytes(whole.slice(start..end)))
        };
        if let Some(found) = self.shelf.get(&file.digest).and_then(part) {
            return Ok(found);
        }
        let path = self.artifacts.path(&file.digest)?;
        let opened = body::open(path, start, length).await?;
        if !Shelf::takes(file.size) || length != file.size {
            return Ok(ReplyBody::file(opened));
        }
        let whole = opened.read_all().await?;
        self.shelf.put(file.digest, whole.clone());
        Ok(ReplyBody::bytes(whole))
    }
}

/// The stored form that the caller likes best.
fn choose<'s>(site: &'s FileSite, file: &'s SiteFile, headers: &HeaderMap) -> Chosen<'s> {
    let sibling = |coding: parse::Coding| {
        let found = site.get(&format!("{}{}", file.path, coding.suffix()))?;
        Some((coding, found))
    };
    let varies = [parse::Coding::Brotli, parse::Coding::Gzip]
        .into_iter()
        .any(|c| sibling(c).is_some());
    let accepted = headers.get(header::ACCEPT_ENCODING).filter(|_| varies);
    let best = accepted.and_then(|accepted| {
        let mut codings = parse::accepted_codings(accepted.as_bytes()).best_first();
        codings.find_map(sibling)
    });
    let (coding, file) = match best {
        Some((coding, file)) => (Some(coding), file),
        None => (None, file),
    };
    Chosen {
        file,
        coding,
        varies,
        tag: tag(file),
    }
}

/// The bytes' own digest: a strong tag that changes exactly when they do.
fn tag(file: &SiteFile) -> HeaderValue {
    let hex = file.digest.hex();
    text(format!("\"{}\"", hex.get(..32).unwrap_or(&hex)))
}

fn describe(chosen: &Chosen<'_>, asked: &SiteFile, headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, content_type(&asked.path));
    headers.insert(header::ETAG, chosen.tag.clone());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // A deploy may change any file at any time: a copy may be kept, and asks whether it is still good.
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=0, must-revalidate"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if chosen.varies {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if let Some(coding) = chosen.coding {
        headers.insert(
            header::CONTENT_ENCODING,
            HeaderValue::from_static(coding.name()),
        );
    }
}

fn content_type(path: &str) -> HeaderValue {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let is_text = kind.type_() == mime_guess::mime::TEXT
        || matches!(
            kind.subtype().as_str(),
            "javascript" | "json" | "xml" | "manifest+json"
        )
        || kind
            .suffix()
            .is_some_and(|suffix| suffix == mime_guess::mime::XML);
    match is_text {
        true => text(format!("{kind}; charset=utf-8")),
        false => text(kind.to_string()),
    }
}

/// 304 or 412, when the caller's conditions say so.
fn precondition(chosen: &Chosen<'_>, headers: &HeaderMap) -> Option<StatusCode> {
    let names = |name: header::HeaderName, weak: bool| {
        let mut values = headers.get_all(name).iter().peekable();
        values.peek()?;
        Some(values.any(|value| parse::etag_listed(value.as_bytes(), chosen.tag.as_bytes(), weak)))
    };
    if names(header::IF_MATCH, false) == Some(false) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    (names(header::IF_NONE_MATCH, true) == Some(true)).then_some(StatusCode::NOT_MODIFIED)
}

/// The part asked for; a condition on it that does not hold asks for the whole.
fn part(chosen: &Chosen<'_>, headers: &HeaderMap) -> Part {
    let Some(range) = headers.get(header::RANGE) else {
        return Part::Whole;
    };
    match headers.get(header::IF_RANGE) {
        Some(condition) if condition != chosen.tag => Part::Whole,
        _ => parse::range(range.as_bytes(), chosen.file.size),
    }
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: String) {
    headers.insert(name, text(value));
}

/// Text of our own making is always valid in a header.
fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static(""))
}
