//! The blob seam: buckets of objects, which are streams of bytes under a key with a few words about them.
//!
//! Required: six methods. Objects that come in parts have a seam of their own, [`Uploads`]. A version of both in memory is in
//! [`memory`]; the checks that every implementation passes are in [`suite`].
//!
//! Easily confused: a *key* is what the caller names an object by and is never a path; an *etag* stands for the bytes of an
//! object, so the same bytes put in the same way have the same one; a *version* stands for one put and is never used again.

pub mod check;
pub mod memory;
pub mod suite;
mod uploads;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream, stream::BoxStream};
use gust_types::Result;
use serde::{Deserialize, Serialize};

pub use uploads::{
    ABANDONED, Chosen, CompleteOptions, Part, PartOptions, Parts, Upload, UploadOptions, Uploads,
    UploadsOptions, UploadsPage,
};

/// Bytes on their way in or out. An error ends them; what came before it is not to be trusted.
pub type Body = BoxStream<'static, Result<Bytes>>;

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Bytes.
    pub size: u64,
    /// Stands for its bytes: up to 128 visible characters, no quotes.
    pub etag: String,
    /// Stands for this put of it: unique in the bucket.
    pub version: String,
    /// The media type that it was put with.
    pub content_type: String,
    /// What its owner says of it: names in lower case.
    pub metadata: BTreeMap<String, String>,
    /// What readers are to be told by HTTP: one or more of [`check::HEADERS`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Further checksums of its bytes, as whoever put it found them: what made them in lower case, and their text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checksums: BTreeMap<String, String>,
    /// When it was put, Unix microseconds.
    pub modified_us: u64,
}

/// When a put or a delete applies. One that does not hold is a [`gust_types::Kind::Conflict`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// Always.
    #[default]
    Always,
    /// Only when there is no such object.
    Absent,
    /// Only when there is one.
    Present,
    /// Only when the object has one of these etags.
    Etag(Vec<String>),
}

/// How to put.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// When to: asked at the moment when the object comes to be, and before its bytes are read.
    pub condition: Condition,
    /// The media type; `application/octet-stream` without one.
    pub content_type: Option<String>,
    /// What its owner says of it.
    pub metadata: BTreeMap<String, String>,
    /// What readers are to be told by HTTP.
    pub headers: BTreeMap<String, String>,
    /// What the maker of the body found out about the bytes.
    pub found: Late,
    /// How many bytes will come: room is asked for once, and others are refused as `Invalid`.
    pub size: Option<u64>,
    /// The SHA-256 that the bytes have to have; others are refused as `Invalid`.
    pub sha256: Option<[u8; 32]>,
}

/// What is known of bytes only when the last of them has come: whoever makes the body says it before the body ends.
pub type Late = Arc<OnceLock<Findings>>;

/// What was found out about the bytes of an object while they came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Their etag; the bucket makes one without it.
    pub etag: Option<String>,
    /// Further checksums of them.
    pub checksums: BTreeMap<String, String>,
}

/// A bucket that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketInfo {
    /// When it came to be, Unix microseconds.
    pub made_us: u64,
}

/// Some of the bytes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From this one on.
    From(u64),
    /// From the first to the last, both included; the last may be behind the end.
    Between(u64, u64),
    /// So many at the end, or all when there are fewer.
    Last(u64),
}

/// How to get.
#[derive(Debug, Clone, Default)]
pub struct GetOptions {
    /// Which bytes; all of them without it.
    pub range: Option<ByteRange>,
    /// Only an object with one of these etags, or any object for `*`: a `Conflict` for another.
    pub if_match: Option<Vec<String>>,
    /// Only an object with none of these etags; `*` stands for all.
    pub if_none_match: Option<Vec<String>>,
}

/// What came of a get.
pub enum Got {
    /// There is no such object.
    Absent,
    /// It has one of the etags that the caller has already.
    Unchanged(Object),
    /// It has none of the bytes that were asked for.
    OutOfRange(Object),
    /// Here it is.
    Found(Found),
}

/// An object and its bytes. Whoever holds it reads this object to its end, whatever becomes of its key meanwhile.
pub struct Found {
    /// What it is.
    pub object: Object,
    /// Which bytes come: from this one up to that one, which does not.
    pub range: std::ops::Range<u64>,
    /// They themselves. When they are all bytes of the object they are held against its checksum: the last thing that comes
    /// is an error when they are not what was put.
    pub body: Body,
}

/// How to list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Only keys that begin so.
    pub prefix: String,
    /// Keys that have this behind the prefix are not listed one by one: what they have in common, this included, is.
    pub delimiter: Option<String>,
    /// Only keys greater than this. What keys have in common counts as all of them.
    pub after: Option<String>,
    /// At most so many keys and common beginnings, and never more than [`BlobLimits::page`]; 0 for that many.
    pub most: usize,
}

/// Some of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Objects by key, in byte order.
    pub objects: Vec<(String, Object)>,
    /// What further keys have in common, in byte order.
    pub prefixes: Vec<String>,
    /// There is more: the rest is `after` this.
    pub next: Option<String>,
}

/// What a bucket accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobLimits {
    /// Bytes of a key.
    pub key: usize,
    /// Bytes of an object.
    pub object: u64,
    /// Bytes of all names and values of its metadata.
    pub metadata: usize,
    /// Keys and common beginnings in one page.
    pub page: usize,
    /// Parts of an object that comes in parts.
    pub parts: u16,
    /// Bytes of all its parts.
    pub whole: u64,
    /// Uploads under way in a bucket.
    pub uploads: usize,
}

/// A bucket of objects. Keys are UTF-8 of 1 to 1,024 bytes without NUL, listed in byte order. A bucket is there as soon as
/// something is put into it, or when it is made ([`crate::Backends::make_bucket`]).
///
/// `put` and `delete` answer when the change is durable. An object is there as a whole or not at all, whatever fails.
#[async_trait]
pub trait Bucket: Send + Sync {
    /// Puts an object, in place of the one that is there. When the bytes end in an error nothing is put.
    async fn put(&self, key: &str, body: Body, options: PutOptions) -> Result<Object>;
    /// Gets an object, or some of it.
    async fn get(&self, key: &str, options: GetOptions) -> Result<Got>;
    /// What is known of an object.
    async fn head(&self, key: &str) -> Result<Option<Object>>;
    /// Removes an object; answers the one that was there.
    async fn delete(&self, key: &str, condition: Condition) -> Result<Option<Object>>;
    /// Some of the objects, in byte order of their keys. Those that come or go meanwhile may or may not be seen.
    async fn list(&self, options: ListOptions) -> Result<Page>;
    /// What it accepts; a caller refuses early.
    fn limits(&self) -> BlobLimits;
}

/// Comfort over any bucket.
#[async_trait]
pub trait BucketExt: Bucket {
    /// Puts bytes that are at hand.
    async fn put_bytes(&self, key: &str, bytes: Bytes) -> Result<Object> {
        self.put(key, body(bytes), PutOptions::default()).await
    }

    /// Reads an object of which it is known that it fits into memory: one that is larger than `most` is `Exhausted`.
    async fn read(&self, key: &str, most: u64) -> Result<Option<(Object, Bytes)>> {
        let Got::Found(found) = self.get(key, GetOptions::default()).await? else {
            return Ok(None);
        };
        check::fits(found.object.size, most)?;
        let bytes = collect(found.body).await?;
        Ok(Some((found.object, bytes)))
    }
}

impl<B: Bucket + ?Sized> BucketExt for B {}

/// What was found out, where it is known before the bytes come.
pub fn known(findings: Findings) -> Late {
    Arc::new(OnceLock::from(findings))
}

/// Bytes at hand as a body.
pub fn body(bytes: Bytes) -> Body {
    stream::iter((!bytes.is_empty()).then_some(Ok(bytes))).boxed()
}

/// All bytes of a body, which the caller knows to fit into memory.
pub async fn collect(mut body: Body) -> Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(chunk) = body.next().await {
        all.extend_from_slice(&chunk?);
    }
    Ok(all.freeze())
}

// === impl BlobLimits ===

impl Default for BlobLimits {
    /// What S3 has, but for the size of an object put at once.
    fn default() -> Self {
        Self {
            key: 1024,
            object: 64 << 30,
            metadata: 8 << 10,
            page: 1000,
            parts: 10_000,
            whole: 5 << 40,
            uploads: 1000,
        }
    }
}

// === impl ByteRange ===

impl ByteRange {
    /// The bytes of an object of this size that are meant; `None` when it has none of them.
    pub fn of(self, size: u64) -> Option<std::ops::Range<u64>> {
        let range = match self {
            Self::From(first) => first..size,
            Self::Between(first, last) if first <= last => first..last.saturating_add(1).min(size),
            Self::Between(..) => return None,
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found")
            .field("object", &self.object)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}
