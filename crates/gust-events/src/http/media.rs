//! What media types say.

use gust_types::{Error, Result, event::Form};
use http::{HeaderMap, header::CONTENT_TYPE};

/// Does this type mean a JSON document: `*/json` or `*/*+json`?
pub fn declares_json(media: &str) -> bool {
    let sub = subtype(media);
    sub == "json" || sub.ends_with("+json")
}

/// What data of this type is meant as. Without a type nothing is known: bytes.
pub fn form(media: Option<&str>) -> Form {
    let Some(media) = media.filter(|media| is_utf8(media)) else {
        return Form::Binary;
    };
    let sub = subtype(media);
    let text = sub == "xml" || sub.ends_with("+xml");
    let starts = media.get(..5);
    if declares_json(media) {
        Form::Json
    } else if text || starts.is_some_and(|start| start.eq_ignore_ascii_case("text/")) {
        Form::Text
    } else {
        Form::Binary
    }
}

/// The one content type that a message may have.
pub(super) fn content_type(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut all = headers.get_all(CONTENT_TYPE).iter();
    let Some(media) = all.next() else {
        return Ok(None);
    };
    if all.next().is_some() {
        return Err(Error::invalid("a header is there twice: content-type"));
    }
    std::str::from_utf8(media.as_bytes())
        .map(Some)
        .map_err(|_| Error::invalid("not UTF-8: content-type"))
}

/// Is the body of the format that can be read?
pub(super) fn is_format(headers: &HeaderMap, known: &str) -> Result<()> {
    let media = content_type(headers)?.unwrap_or_default();
    if !essence(media).eq_ignore_ascii_case(known) {
        return Err(
            Error::invalid(format!("events cannot be read from: {media:?}"))
                .hint(format!("send {known}")),
        );
    }
    if !is_utf8(media) {
        return Err(Error::invalid(format!(
            "events are in UTF-8 and not: {media:?}"
        )));
    }
    Ok(())
}

fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim()
}

/// In small letters, as it has none of its own.
fn subtype(media: &str) -> String {
    let (_, sub) = essence(media).split_once('/').unwrap_or_default();
    sub.to_ascii_lowercase()
}

/// No charset, or one that UTF-8 can stand in for.
fn is_utf8(media: &str) -> bool {
    let mut parameters = media.split(';').skip(1);
    parameters.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("us-ascii")
        }
        _ => true,
    })
}
