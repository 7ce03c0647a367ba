//! How buckets lie in the tree, beside the queues and topics.
//!
//! | key | value |
//! |---|---|
//! | `B` project `0` bucket | when it was made |
//! | `O` project `0` bucket `0` key | an object without its bytes ([`Record`]) |
//! | `C` id | the bytes of a small object |
//! | `F` id | the key of the object, of the part, or of the `P`, whose bytes are in the file of this id |
//! | `G` id | nothing: a file that nobody needs any more |
//! | `U` project `0` bucket `0` key `0` id | an upload under way ([`UploadRecord`]) |
//! | `W` id of the upload, number | a part of it ([`PartRecord`]) |
//! | `P` id | what an object that came in parts is made of: a [`Piece`] for each |
//!
//! Ids are made anew for every put and begin with the time.

use std::sync::Arc;

use gust_backend::{
    blob::{Object, Part, Upload, UploadOptions},
    changes::Watched,
};
use gust_types::{Error, Label, ProjectName, Result};
use serde::{Deserialize, Serialize};

use crate::queue::keys::topic;

const BUCKET: u8 = b'B';
const OBJECT: u8 = b'O';
const CONTENT: u8 = b'C';
const FILE: u8 = b'F';
const GARBAGE: u8 = b'G';
const UPLOAD: u8 = b'U';
const PART: u8 = b'W';
const PARTS: u8 = b'P';

/// What a put is known by, and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(u128);

/// A bucket's place in the tree.
#[derive(Debug, Clone)]
pub(crate) struct BucketKey {
    objects: Arc<[u8]>,
    /// The topic that its changes go to.
    stream: Arc<[u8]>,
    watched: Watched,
}

/// An object as it is kept. Its version is its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(flatten)]
    pub(crate) object: Object,
    /// Whether its bytes are in a file.
    pub(crate) file: bool,
    /// Whether its bytes are in the files of parts.
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) parts: bool,
    /// The SHA-256 of its bytes, where its etag is another checksum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sum: Option<String>,
}

fn is_not(parts: &bool) -> bool {
    !parts
}

/// An upload as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadRecord {
    pub(crate) begun_us: u64,
    pub(crate) options: UploadOptions,
}

/// A part as it is kept: always in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    pub(crate) part: Part,
    /// The file.
    id: String,
    /// The SHA-256 of its bytes.
    sum: String,
}

/// Some of the bytes of an object: a whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) id: Id,
    pub(crate) size: u64,
    pub(crate) sha256: [u8; 32],
}

// === impl Id ===

impl Id {
    pub(crate) fn new() -> Self {
        Self(gust_task::ids::call_id().0)
    }

    /// Of a file's name, or an object's version.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let id = u128::from_str_radix(text, 16).ok().map(Self)?;
        (id.to_string() == text).then_some(id)
    }

    pub(crate) fn content(self) -> Vec<u8> {
        self.key(CONTENT)
    }

    pub(crate) fn file(self) -> Vec<u8> {
        self.key(FILE)
    }

    pub(crate) fn garbage(self) -> Vec<u8> {
        self.key(GARBAGE)
    }

    /// What the object of this id is made of.
    pub(crate) fn parts(self) -> Vec<u8> {
        self.key(PARTS)
    }

    /// A part of the upload of this id.
    pub(crate) fn part(self, number: u16) -> Vec<u8> {
        [&self.key(PART)[..], &number.to_be_bytes()].concat()
    }

    /// All parts of the upload of this id with greater numbers.
    pub(crate) fn parts_behind(self, after: u16) -> (Vec<u8>, Vec<u8>) {
        let mut from = self.part(after);
        from.push(0);
        (from, [&self.part(u16::MAX)[..], &[0]].concat())
    }

    /// Of a key that [`Self::garbage`] made.
    pub(crate) fn of_garbage(key: &[u8]) -> Option<Self> {
        let bytes = key.strip_prefix(&[GARBAGE])?.try_into().ok()?;
        Some(Self(u128::from_be_bytes(bytes)))
    }

    fn key(self, kind: u8) -> Vec<u8> {
        [&[kind][..], &self.0.to_be_bytes()].concat()
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// All uploads under way, of all buckets.
pub(crate) fn all_uploads() -> ([u8; 1], [u8; 1]) {
    ([UPLOAD], [UPLOAD + 1])
}

/// The id of the upload in its key.
pub(crate) fn upload_id(key: &[u8]) -> Result<Id> {
    let id = key.last_chunk().copied().map(u128::from_be_bytes);
    id.map(Id)
        .ok_or_else(|| Error::internal("a stored upload's key is damaged"))
}

/// All files that nobody needs any more.
pub(crate) fn all_garbage() -> ([u8; 1], [u8; 1]) {
    ([GARBAGE], [GARBAGE + 1])
}

// === impl BucketKey ===

impl BucketKey {
    pub(crate) fn new(project: &ProjectName, name: &Label) -> Self {
        let mut objects = vec![OBJECT];
        for part in [project.as_str(), name.as_str()] {
            objects.extend_from_slice(part.as_bytes());
            objects.push(0);
        }
        let watched = Watched::Blob(name.clone());
        Self {
            objects: objects.into(),
            stream: topic(project, &watched.topic()).into(),
            watched,
        }
    }

    /// The key of an object; with `""`, the start of all of them.
    pub(crate) fn object(&self, key: &str) -> Vec<u8> {
        [&self.objects[..], key.as_bytes()].concat()
    }

    /// The caller's key in the key of an object of this bucket.
    pub(crate) fn own<'a>(&self, object: &'a [u8]) -> Result<&'a str> {
        object
            .strip_prefix(&self.objects[..])
            .and_then(|key| std::str::from_utf8(key).ok())
            .ok_or_else(|| Error::internal("a stored key is not one of its bucket's"))
    }

    /// All objects of this bucket.
    pub(crate) fn all(&self) -> (Vec<u8>, Vec<u8>) {
        let start = self.object("");
        let end = behind(start.clone());
        (start, end)
    }

    /// An upload of this key.
    pub(crate) fn upload(&self, key: &str, id: Id) -> Vec<u8> {
        [&self.uploads(key)[..], &[0], &id.0.to_be_bytes()].concat()
    }

    /// The start of the uploads of all keys that begin so; with `""`, of all.
    pub(crate) fn uploads(&self, prefix: &str) -> Vec<u8> {
        let mut start = self.object(prefix);
        start[0] = UPLOAD;
        start
    }

    /// Key and id in the key of an upload of this bucket.
    pub(crate) fn own_upload<'a>(&self, place: &'a [u8]) -> Result<(&'a str, Id)> {
        let fault = || Error::internal("a stored upload's key is damaged");
        let rest = place.get(self.objects.len()..).ok_or_else(fault)?;
        let key = rest.len().checked_sub(17).and_then(|end| rest.get(..end));
        let key = key.and_then(|key| std::str::from_utf8(key).ok());
        Ok((key.ok_or_else(fault)?, upload_id(place)?))
    }

    /// The key of the bucket itself.
    pub(crate) fn bucket(&self) -> Vec<u8> {
        let mut key = self.objects.to_vec();
        key[0] = BUCKET;
        key.pop();
        key
    }

    /// All buckets of its project.
    pub(crate) fn siblings(&self) -> (Vec<u8>, Vec<u8>) {
        let end = self.objects.iter().position(|byte| *byte == 0);
        let project = self.objects.get(1..end.unwrap_or(1)).unwrap_or_default();
        range(project)
    }

    pub(crate) fn stream(&self) -> &Arc<[u8]> {
        &self.stream
    }

    pub(crate) fn watched(&self) -> &Watched {
        &self.watched
    }
}

/// All buckets of a project.
pub(crate) fn buckets(project: &ProjectName) -> (Vec<u8>, Vec<u8>) {
    range(project.as_str().as_bytes())
}

fn range(project: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (
        [&[BUCKET], project, &[0]].concat(),
        [&[BUCKET], project, &[1]].concat(),
    )
}

/// The first key behind all that begin so. What begins a key is never empty and never ends in 0xff.
pub(crate) fn behind(mut start: Vec<u8>) -> Vec<u8> {
    if let Some(last) = start.last_mut() {
        *last = last.saturating_add(1);
    }
    start
}

// === impl Record ===

/// The first byte of a record.
const FORMAT: u8 = 1;

impl Record {
    /// The SHA-256 that its bytes have to have, when they are in one place.
    pub(crate) fn sum(&self) -> &str {
        self.sum.as_deref().unwrap_or(&self.object.etag)
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![FORMAT];
        serde_json::to_writer(&mut bytes, self)
            .map_err(|e| Error::internal("cannot write an object's record").because(e))?;
        Ok(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let fault = || Error::internal("a stored object's record is damaged");
        let json = bytes.strip_prefix(&[FORMAT]).ok_or_else(fault)?;
        serde_json::from_slice(json).map_err(|e| fault().because(e))
    }

    pub(crate) fn id(&self) -> Result<Id> {
        let damaged = || Error::internal("a stored object's id is damaged");
        Id::parse(&self.object.version).ok_or_else(damaged)
    }
}

// === impl UploadRecord and PartRecord ===

impl UploadRecord {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        decode(bytes)
    }

    pub(crate) fn upload(self, key: &str, id: Id) -> Upload {
        Upload {
            key: key.to_owned(),
            id: id.to_string(),
            begun_us: self.begun_us,
            options: self.options,
        }
    }
}

impl PartRecord {
    pub(crate) fn new(part: Part, id: Id, sha256: &[u8; 32]) -> Self {
        Self {
            part,
            id: id.to_string(),
            sum: super::hex(sha256),
        }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        decode(bytes)
    }

    pub(crate) fn piece(&self) -> Result<Piece> {
        let damaged = || Error::internal("a stored part's record is damaged");
        let mut sha256 = [0; 32];
        let digits = self.sum.as_bytes().chunks_exact(2);
        if digits.len() != sha256.len() {
            return Err(damaged());
        }
        for (byte, digits) in sha256.iter_mut().zip(digits) {
            let digits = std::str::from_utf8(digits).map_err(|_| damaged())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| damaged())?;
        }
        Ok(Piece {
            id: Id::parse(&self.id).ok_or_else(damaged)?,
            size: self.part.size,
            sha256,
        })
    }
}

fn encode(record: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = vec![FORMAT];
    serde_json::to_writer(&mut bytes, record)
        .map_err(|e| Error::internal("cannot write an upload's record").because(e))?;
    Ok(bytes)
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let fault = || Error::internal("a stored upload's record is damaged");
    let json = bytes.strip_prefix(&[FORMAT]).ok_or_else(fault)?;
    serde_json::from_slice(json).map_err(|e| fault().because(e))
}

// === impl Piece ===

impl Piece {
    const LENGTH: usize = 56;

    pub(crate) fn encode_all(pieces: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(pieces.len() * Self::LENGTH);
        for piece in pieces {
            bytes.extend_from_slice(&piece.id.0.to_be_bytes());
            bytes.extend_from_slice(&piece.size.to_be_bytes());
            bytes.extend_from_slice(&piece.sha256);
        }
        bytes
    }

    pub(crate) fn decode_all(bytes: &[u8]) -> Result<Vec<Self>> {
        let damaged = || Error::internal("a stored list of parts is damaged");
        let pieces = bytes.chunks_exact(Self::LENGTH);
        if !pieces.remainder().is_empty() {
            return Err(damaged());
        }
        let piece = |bytes: &[u8]| {
            let (id, rest) = bytes.split_first_chunk()?;
            let (size, sha256) = rest.split_first_chunk()?;
            Some(Self {
                id: Id(u128::from_be_bytes(*id)),
                size: u64::from_be_bytes(*size),
                sha256: sha256.try_into().ok()?,
            })
        };
        pieces
            .map(|bytes| piece(bytes).ok_or_else(damaged))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_never_share_a_key() {
        let of = |project: &str, name: &str| {
            let project = ProjectName::new(project).unwrap();
            BucketKey::new(&project, &Label::new(name).unwrap())
        };
        let all = [of("a", "b"), of("ab", "b"), of("a", "bb"), of("b", "a")];
        for (n, one) in all.iter().enumerate() {
            for (m, other) in all.iter().enumerate() {
                let inside = one.object("x").starts_with(&other.object(""));
                assert_eq!((inside, one.bucket() == other.bucket()), (n == m, n == m));
            }
        }
        let (from, to) = all[0].siblings();
        let within = |key: &Vec<u8>| *key >= from && *key < to;
        let inside: Vec<_> = all.iter().map(|of| within(&of.bucket())).collect();
        assert_eq!(inside, [true, false, true, false]);
        assert_eq!((from, to), buckets(&ProjectName::new("a").unwrap()));
        assert_eq!(all[0].own(&all[0].object("键/1")).unwrap(), "键/1");
        assert!(all[0].own(&all[1].object("k")).is_err());
    }

    #[test]
    fn uploads_and_pieces_read_back() {
        let bucket = BucketKey::new(&ProjectName::default_project(), &Label::new("b").unwrap());
        let id = Id::new();
        let place = bucket.upload("键/1", id);
        assert_eq!(bucket.own_upload(&place).unwrap(), ("键/1", id));
        assert!(place.starts_with(&bucket.uploads("键")));
        assert!(!place.starts_with(&bucket.uploads("键/1/")));
        let (from, to) = id.parts_behind(3);
        let within = |number: u16| (from.clone()..to.clone()).contains(&id.part(number));
        assert_eq!([3, 4, u16::MAX].map(within), [false, true, true]);
        let piece = |size| Piece {
            id: Id::new(),
            size,
            sha256: [size as u8; 32],
        };
        let pieces = [piece(1), piece(1 << 40)];
        let bytes = Piece::encode_all(&pieces);
        assert_eq!(Piece::decode_all(&bytes).unwrap(), pieces);
        assert!(Piece::decode_all(&bytes[1..]).is_err());
    }

    #[test]
    fn ids_read_back() {
        let id = Id::new();
        assert_eq!(Id::parse(&id.to_string()), Some(id));
        assert_eq!(Id::of_garbage(&id.garbage()), Some(id));
        assert_eq!(Id::of_garbage(&id.file()), None);
        for bad in [
            "",
            "x",
            "ab",
            "../../etc/passwd",
            "+0000000000000000000000000000001",
        ] {
            assert_eq!(Id::parse(bad), None, "{bad}");
        }
    }
}
