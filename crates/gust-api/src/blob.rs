//! Buckets and their objects. What is said of an object stands in headers when its bytes are the body.

use std::collections::BTreeMap;

use gust_types::{Error, Label, Result, event};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::schema;

/// What the header of a name of metadata begins with. Its value is percent-encoded where it is not plain ASCII.
pub const METADATA: &str = "x-gust-meta-";
/// The header with an object's version.
pub const VERSION: &str = "x-gust-version";
/// The header with the SHA-256 that the bytes of a put have to have, in hex digits.
pub const SHA256: &str = "x-gust-sha256";

/// The buckets of a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Buckets {
    /// By name.
    #[schema(value_type = Vec<schema::Label>)]
    pub buckets: Vec<Label>,
}

/// An object, without its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Stands for its bytes.
    pub etag: String,
    /// Stands for this put of it.
    pub version: String,
    /// The media type that it was put with.
    pub content_type: String,
    /// What its owner says of it.
    pub metadata: BTreeMap<String, String>,
    /// When it was put, Unix microseconds.
    pub modified_us: u64,
}

/// Some of the objects of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Objects {
    /// In byte order of their keys.
    pub objects: Vec<Object>,
    /// What further keys have in common, up to the delimiter.
    pub prefixes: Vec<String>,
    /// There is more: ask for what is `after` this.
    pub next: Option<String>,
}

/// Which objects.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ObjectsQuery {
    /// Only keys that begin so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Keys that have this behind the prefix are not listed one by one: what they have in common is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// Only keys greater than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most this many keys and prefixes; 1,000 without it, and never more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Where to go on scrubbing a bucket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scrub {
    /// Only keys greater than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What was found when some objects of a bucket were read whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Scrubbed {
    /// How many were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those whose bytes are not what was put.
    pub damaged: Vec<Damaged>,
    /// There is more: scrub what is `after` this.
    pub next: Option<String>,
}

/// An object that is not what was put.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Damaged {
    /// Its key.
    pub key: String,
    /// Which put of it.
    pub version: String,
    /// What is wrong.
    pub message: String,
}

/// Adds metadata to the headers of a message.
pub fn write_metadata(metadata: &BTreeMap<String, String>, headers: &mut HeaderMap) -> Result<()> {
    for (name, value) in metadata {
        let fault = || Error::invalid(format!("not a name for metadata: {name:?}"));
        let header = HeaderName::try_from(format!("{METADATA}{name}"));
        let header = header.map_err(|e| fault().because(e))?;
        let value = HeaderValue::try_from(event::in_header(value));
        headers.insert(header, value.map_err(|e| fault().because(e))?);
    }
    Ok(())
}

/// The metadata in the headers of a message.
pub fn read_metadata(headers: &HeaderMap) -> Result<BTreeMap<String, String>> {
    let mut metadata = BTreeMap::new();
    for (header, value) in headers {
        let Some(name) = header.as_str().strip_prefix(METADATA) else {
            continue;
        };
        let text = value.to_str().ok().and_then(decode);
        let text =
            text.ok_or_else(|| Error::invalid(format!("a header cannot be read: {header}")))?;
        metadata.insert(name.to_owned(), text);
    }
    Ok(metadata)
}

/// Takes percent-encoding away; `None` when what comes of it is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let byte = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_goes_through_headers() {
        let metadata: BTreeMap<_, _> = [
            ("author", "王小明 100% \"x\""),
            ("a.b-c_1", ""),
            ("z", "%41"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/plain"));
        write_metadata(&metadata, &mut headers).unwrap();
        assert!(headers["x-gust-meta-author"].to_str().is_ok());
        assert_eq!(read_metadata(&headers).unwrap(), metadata);
        headers.insert("x-gust-meta-n", HeaderValue::from_static("50%, %zz +"));
        assert_eq!(read_metadata(&headers).unwrap()["n"], "50%, %zz +");
        headers.insert("x-gust-meta-n", HeaderValue::from_static("%ff"));
        assert!(read_metadata(&headers).is_err());
    }
}
