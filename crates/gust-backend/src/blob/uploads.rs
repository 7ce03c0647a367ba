//! Objects that come in parts, one after the other or at once, and are there when they are completed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use gust_types::Result;
use serde::{Deserialize, Serialize};

use super::{Body, Condition, Late, Object};

/// An upload that nobody completed for so long is ended, in microseconds: seven days.
pub const ABANDONED: u64 = 7 * 24 * 3600 * 1_000_000;

/// What the object will be, but for its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UploadOptions {
    /// The media type; `application/octet-stream` without one.
    pub content_type: Option<String>,
    /// What its owner says of it.
    pub metadata: BTreeMap<String, String>,
    /// What readers are to be told by HTTP.
    pub headers: BTreeMap<String, String>,
    /// What whoever begins it wants to know again when parts come: not part of the object.
    pub notes: BTreeMap<String, String>,
}

/// An upload under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The key of the object that it will be.
    pub key: String,
    /// Its name: letters and digits.
    pub id: String,
    /// When it was begun, Unix microseconds.
    pub begun_us: u64,
    /// What was said when it was begun.
    pub options: UploadOptions,
}

/// A part that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its number, from 1 on.
    pub number: u16,
    /// Bytes.
    pub size: u64,
    /// Stands for its bytes.
    pub etag: String,
    /// Further checksums of its bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checksums: BTreeMap<String, String>,
    /// When it came, Unix microseconds.
    pub modified_us: u64,
}

/// How to put a part.
#[derive(Debug, Clone, Default)]
pub struct PartOptions {
    /// What the maker of the body found out about the bytes.
    pub found: Late,
    /// How many bytes will come; others are refused as `Invalid`.
    pub size: Option<u64>,
}

/// Some of the parts of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The upload.
    pub upload: Upload,
    /// By number.
    pub parts: Vec<Part>,
    /// There are more behind this one.
    pub next: Option<u16>,
}

/// A part that the object is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its number.
    pub number: u16,
    /// The etag that it has to have.
    pub etag: String,
}

/// How to complete.
#[derive(Debug, Clone, Default)]
pub struct CompleteOptions {
    /// When to: asked at the moment when the object comes to be.
    pub condition: Condition,
    /// The etag and further checksums of the whole; the bucket makes an etag without them.
    pub found: super::Findings,
}

/// How to list uploads.
#[derive(Debug, Clone, Default)]
pub struct UploadsOptions {
    /// Only of keys that begin so.
    pub prefix: String,
    /// Only behind this key, or behind this upload of it.
    pub after: Option<(String, Option<String>)>,
    /// At most so many, and never more than a page has; 0 for that many.
    pub most: usize,
}

/// Some of the uploads under way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UploadsPage {
    /// By key, then by id.
    pub uploads: Vec<Upload>,
    /// Whether there are more behind the last.
    pub more: bool,
}

/// The uploads of a bucket. What an upload holds is no object and is in no list of objects; completing makes it one, in one
/// step. An upload that is not there is `NotFound`, whoever ended it.
#[async_trait]
pub trait Uploads: Send + Sync {
    /// Begins an upload.
    async fn begin(&self, key: &str, options: UploadOptions) -> Result<Upload>;
    /// Puts a part, in place of the one of this number. When the bytes end in an error nothing is put.
    async fn put_part(
        &self,
        key: &str,
        id: &str,
        number: u16,
        body: Body,
        options: PartOptions,
    ) -> Result<Part>;
    /// The upload and some of its parts: those with greater numbers than `after`, at most so many.
    async fn parts(&self, key: &str, id: &str, after: u16, most: usize) -> Result<Parts>;
    /// Makes the object of these parts, in this order, in place of the one that is there; the other parts go. Numbers that do
    /// not grow, and parts that are not there or have other etags, are `Invalid`.
    async fn complete(
        &self,
        key: &str,
        id: &str,
        parts: Vec<Chosen>,
        options: CompleteOptions,
    ) -> Result<Object>;
    /// Ends an upload without an object.
    async fn abort(&self, key: &str, id: &str) -> Result<()>;
    /// Some of the uploads under way.
    async fn list(&self, options: UploadsOptions) -> Result<UploadsPage>;
}
