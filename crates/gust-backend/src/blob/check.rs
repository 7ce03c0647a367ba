//! What implementations share: refusing what is over a limit, conditions, and how a list folds.

use std::collections::BTreeMap;

use gust_types::{Blame, Error, Kind, Result};
use sha2::{Digest as _, Sha256};

use super::{
    BlobLimits, Chosen, Condition, Findings, GetOptions, Got, ListOptions, Object, Part,
    PutOptions, UploadOptions,
};

/// The media type of what nobody has said anything of.
pub const BYTES: &str = "application/octet-stream";
/// What readers can be told by HTTP beside the media type.
pub const HEADERS: [&str; 5] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
];
/// Bytes of a media type.
const CONTENT_TYPE: usize = 255;
/// Characters of an etag, and of what a checksum is called or reads.
const SUM: usize = 128;
/// Checksums of an object.
const SUMS: usize = 8;

fn invalid(text: String) -> Error {
    Error::new(Kind::Invalid, Blame::Function, text)
}

/// Refuses what cannot be a key.
pub fn key(key: &str, limits: &BlobLimits) -> Result<()> {
    if key.is_empty() {
        return Err(invalid("key is empty".to_owned()));
    }
    if key.len() > limits.key {
        let text = format!(
            "key is longer than {} bytes, in bytes: {}",
            limits.key,
            key.len()
        );
        return Err(invalid(text));
    }
    if key.contains('\0') {
        return Err(invalid(format!("key has a NUL in it: {key:?}")));
    }
    Ok(())
}

/// Refuses options that cannot be met, whatever the bytes are.
pub fn put(options: &PutOptions, limits: &BlobLimits) -> Result<()> {
    if let Some(size) = options.size {
        fits(size, limits.object)?;
    }
    if let Some(media) = &options.content_type {
        media_type(media)?;
    }
    said(&options.metadata, &options.headers, limits)
}

/// Refuses what an upload says of its object, as [`put`] does.
pub fn upload(options: &UploadOptions, limits: &BlobLimits) -> Result<()> {
    if let Some(media) = &options.content_type {
        media_type(media)?;
    }
    let notes: usize = options.notes.iter().map(|(k, v)| k.len() + v.len()).sum();
    fits(notes as u64, limits.metadata as u64)?;
    said(&options.metadata, &options.headers, limits)
}

fn media_type(media: &str) -> Result<()> {
    let plain = |c: char| c == ' ' || c.is_ascii_graphic();
    if media.is_empty() || media.len() > CONTENT_TYPE || !media.chars().all(plain) {
        return Err(invalid(format!("not a media type: {media:?}")));
    }
    Ok(())
}

/// Refuses findings that nobody could repeat.
pub fn findings(found: &Findings) -> Result<()> {
    let plain = |text: &str| {
        !text.is_empty()
            && text.len() <= SUM
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"')
    };
    if let Some(etag) = found.etag.as_deref().filter(|etag| !plain(etag)) {
        return Err(invalid(format!("not an etag: {etag:?}")));
    }
    let sums = &found.checksums;
    if sums.len() > SUMS || !sums.iter().all(|(name, sum)| plain(name) && plain(sum)) {
        return Err(invalid(format!("not checksums: {sums:?}")));
    }
    Ok(())
}

/// The number that a part may have.
pub fn number(number: u16, limits: &BlobLimits) -> Result<()> {
    match (1..=limits.parts).contains(&number) {
        true => Ok(()),
        false => Err(invalid(format!(
            "parts have numbers from 1 to {}: {number}",
            limits.parts
        ))),
    }
}

/// Refuses a choice of parts whose numbers do not grow.
pub fn chosen(chosen: &[Chosen], limits: &BlobLimits) -> Result<()> {
    if chosen.is_empty() || chosen.len() > usize::from(limits.parts) {
        let text = format!(
            "an object has 1 to {} parts: {}",
            limits.parts,
            chosen.len()
        );
        return Err(invalid(text));
    }
    match chosen
        .iter()
        .zip(&chosen[1..])
        .find(|(one, next)| one.number >= next.number)
    {
        Some((_, next)) => Err(invalid(format!("part is out of order: {}", next.number))),
        None => Ok(()),
    }
}

/// Refuses a chosen part that did not come, or came otherwise.
pub fn came(chosen: &Chosen, there: Option<&Part>) -> Result<()> {
    match there {
        Some(part) if part.etag == chosen.etag => Ok(()),
        Some(_) => Err(invalid(format!("part has another etag: {}", chosen.number))),
        None => Err(invalid(format!("part did not come: {}", chosen.number))),
    }
}

/// The etag of an object of these parts, where nobody has another.
pub fn whole_etag<'a>(etags: impl Iterator<Item = &'a str>) -> String {
    let (mut hash, mut count) = (Sha256::new(), 0);
    for etag in etags {
        hash.update(etag);
        hash.update([0]);
        count += 1;
    }
    let hash = hash.finalize();
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hash}-{count}")
}

/// There is no such upload, or there is none any more.
pub fn no_upload(key: &str) -> Error {
    let text = format!("no such upload of: {key}");
    Error::new(Kind::NotFound, Blame::Function, text)
}

/// Refuses one more upload than there may be.
pub fn one_more_upload(under_way: usize, limits: &BlobLimits) -> Result<()> {
    if under_way < limits.uploads {
        return Ok(());
    }
    let text = format!(
        "the bucket has {} uploads under way already",
        limits.uploads
    );
    Err(Error::new(Kind::Exhausted, Blame::Function, text)
        .hint("complete some, or abort those that nobody goes on with"))
}

/// A bucket that has objects or uploads stays: `Conflict`.
pub fn not_empty(name: &str) -> Error {
    let text = format!("the bucket is not empty: {name}");
    Error::new(Kind::Conflict, Blame::Function, text)
}

fn said(
    metadata: &BTreeMap<String, String>,
    headers: &BTreeMap<String, String>,
    limits: &BlobLimits,
) -> Result<()> {
    let size: usize = metadata
        .iter()
        .chain(headers)
        .map(|(k, v)| k.len() + v.len())
        .sum();
    if size > limits.metadata {
        let text = format!("metadata has more bytes than {}: {size}", limits.metadata);
        return Err(Error::new(Kind::Exhausted, Blame::Function, text));
    }
    for (name, value) in headers {
        if !HEADERS.contains(&&**name) {
            return Err(invalid(format!("not a header that is kept: {name:?}")));
        }
        if !value
            .bytes()
            .all(|b| b == b' ' || b.is_ascii_graphic() || b >= 0x80)
        {
            return Err(invalid(format!(
                "header has a control character in it: {name}"
            )));
        }
    }
    for (name, value) in metadata {
        let token =
            |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9') || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(invalid(format!("not a name for metadata: {name:?}"))
                .hint("small letters, digits, - _ and ."));
        }
        if value.chars().any(char::is_control) {
            let text = format!("metadata has a control character in it: {name}");
            return Err(invalid(text));
        }
    }
    Ok(())
}

/// Refuses more bytes than there may be: `Exhausted`.
pub fn fits(size: u64, most: u64) -> Result<()> {
    if size > most {
        let text = format!("object has more bytes than {most}: {size}");
        return Err(Error::new(Kind::Exhausted, Blame::Function, text));
    }
    Ok(())
}

/// Refuses more bytes than may come, while they come: so many have.
pub fn coming(size: u64, announced: Option<u64>, limits: &BlobLimits) -> Result<()> {
    fits(size, limits.object)?;
    match announced {
        Some(announced) if size > announced => Err(invalid(format!(
            "more bytes came than the {announced} that were announced"
        ))),
        _ => Ok(()),
    }
}

/// Refuses bytes that are not those that were announced.
pub fn announced(options: &PutOptions, size: u64, sha256: &[u8]) -> Result<()> {
    if let Some(announced) = options.size.filter(|announced| *announced != size) {
        let text = format!("{announced} bytes were announced, and so many came: {size}");
        return Err(invalid(text));
    }
    if options.sha256.is_some_and(|wanted| wanted != sha256) {
        let text = "the bytes do not have the checksum that was announced".to_owned();
        return Err(invalid(text));
    }
    options.found.get().map_or(Ok(()), findings)
}

/// Refuses a change whose condition does not hold: `Conflict`.
pub fn condition(key: &str, condition: &Condition, there: Option<&Object>) -> Result<()> {
    let conflict = |text: String| Err(Error::new(Kind::Conflict, Blame::Function, text));
    match (condition, there) {
        (Condition::Absent, Some(_)) => conflict(format!("object is there already: {key}")),
        (Condition::Present | Condition::Etag(_), None) => {
            conflict(format!("there is no such object any more: {key}"))
        }
        (Condition::Etag(etags), Some(there)) if !etags.contains(&there.etag) => {
            conflict(format!("object is another by now: {key}"))
        }
        _ => Ok(()),
    }
}

/// What the conditions of a get come to, before any bytes are looked at; `None` when they hold.
pub fn get(key: &str, options: &GetOptions, object: &Object) -> Result<Option<Got>> {
    let names = |etags: &Vec<String>| etags.iter().any(|e| e == "*" || *e == object.etag);
    if options.if_match.as_ref().is_some_and(|etags| !names(etags)) {
        let text = format!("object is another by now: {key}");
        return Err(Error::new(Kind::Conflict, Blame::Function, text));
    }
    if options.if_none_match.as_ref().is_some_and(names) {
        return Ok(Some(Got::Unchanged(object.clone())));
    }
    Ok(None)
}

/// What a key has in common with others, when the list folds it.
pub fn folded<'a>(key: &'a str, options: &ListOptions) -> Option<&'a str> {
    let delimiter = options.delimiter.as_deref().filter(|d| !d.is_empty())?;
    let rest = key.strip_prefix(options.prefix.as_str())?;
    let end = rest.find(delimiter)? + delimiter.len();
    key.get(..options.prefix.len() + end)
}

/// Where a list goes on behind `after`: at keys greater than it, or when it stands for many, behind all of them.
pub fn is_behind(key: &str, options: &ListOptions) -> bool {
    let Some(after) = options.after.as_deref() else {
        return true;
    };
    key > after && !(is_fold(after, options) && key.starts_with(after))
}

/// Whether this is what keys have in common.
pub fn is_fold(text: &str, options: &ListOptions) -> bool {
    folded(text, options) == Some(text)
}

/// How many a page has at most.
pub fn most(options: &ListOptions, limits: &BlobLimits) -> usize {
    match options.most {
        0 => limits.page,
        most => most.min(limits.page),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::ByteRange;

    #[test]
    fn ranges_are_what_http_says() {
        for (range, size, wanted) in [
            (ByteRange::From(0), 10, Some(0..10)),
            (ByteRange::From(9), 10, Some(9..10)),
            (ByteRange::From(10), 10, None),
            (ByteRange::Between(2, 4), 10, Some(2..5)),
            (ByteRange::Between(2, u64::MAX), 10, Some(2..10)),
            (ByteRange::Between(4, 2), 10, None),
            (ByteRange::Between(10, 12), 10, None),
            (ByteRange::Last(3), 10, Some(7..10)),
            (ByteRange::Last(30), 10, Some(0..10)),
            (ByteRange::Last(0), 10, None),
            (ByteRange::Last(1), 0, None),
        ] {
            assert_eq!(range.of(size), wanted, "{range:?} of {size}");
        }
    }

    #[test]
    fn keys_fold_behind_the_prefix() {
        let options = |prefix: &str, delimiter: &str| ListOptions {
            prefix: prefix.into(),
            delimiter: Some(delimiter.into()),
            ..ListOptions::default()
        };
        for (key, prefix, delimiter, wanted) in [
            ("a/b/c", "", "/", Some("a/")),
            ("a/b/c", "a/", "/", Some("a/b/")),
            ("a/b", "a/", "/", None),
            ("a/", "", "/", Some("a/")),
            ("a/", "a/", "/", None),
            ("照片/一/二", "照片/", "/", Some("照片/一/")),
            ("aXXbXXc", "a", "XX", Some("aXX")),
            ("a/b", "", "", None),
        ] {
            assert_eq!(folded(key, &options(prefix, delimiter)), wanted, "{key}");
        }
    }
}
