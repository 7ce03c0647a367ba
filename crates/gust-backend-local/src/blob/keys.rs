//! How buckets lie in the tree, beside the queues and topics.
//!
//! | key | value |
//! |---|---|
//! | `B` project `0` bucket | when it was made |
//! | `O` project `0` bucket `0` key | an object without its bytes ([`Record`]) |
//! | `C` id | the bytes of a small object |
//! | `F` id | the `O` key of an object whose bytes are in the file of this id |
//! | `G` id | nothing: a file that nobody needs any more |
//!
//! Ids are made anew for every put and begin with the time.

use std::sync::Arc;

use gust_backend::{blob::Object, changes::Watched};
use gust_types::{Error, Label, ProjectName, Result};
use serde::{Deserialize, Serialize};

use crate::queue::keys::topic;

const BUCKET: u8 = b'B';
const OBJECT: u8 = b'O';
const CONTENT: u8 = b'C';
const FILE: u8 = b'F';
const GARBAGE: u8 = b'G';

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
