//! What is asked of buckets, and what comes of it.

use bytes::Bytes;
use gust_backend::blob::{Chosen, CompleteOptions, Condition, Object, Part, UploadOptions};

use super::keys::{BucketKey, Id, PartRecord, Record};

/// What somebody asks.
pub(crate) enum Op {
    /// The object is whole: in this request, or in a file that is on the disk.
    Put {
        bucket: BucketKey,
        key: String,
        record: Record,
        /// Its bytes, unless they are in a file.
        content: Option<Bytes>,
        condition: Condition,
    },
    Delete {
        bucket: BucketKey,
        key: String,
        condition: Condition,
    },
    /// These files are gone.
    Forget(Vec<Id>),
    /// The bucket is there from now on.
    Make(BucketKey),
    /// The bucket is not there any more, if it is empty.
    Remove(BucketKey),
    Begin {
        bucket: BucketKey,
        key: String,
        id: Id,
        options: UploadOptions,
    },
    /// The part is in a file that is on the disk.
    Part {
        bucket: BucketKey,
        key: String,
        upload: Id,
        /// The file.
        id: Id,
        record: PartRecord,
    },
    Complete {
        bucket: BucketKey,
        key: String,
        upload: Id,
        /// What the object will be known by.
        id: Id,
        parts: Vec<Chosen>,
        options: CompleteOptions,
    },
    /// The upload of this key ends without an object.
    End(Vec<u8>),
}

/// What came of it, and whether a file is garbage now.
#[derive(Debug)]
pub(crate) enum Done {
    Put(Object, bool),
    Deleted(Option<Object>, bool),
    Forgotten,
    /// Whether the bucket was made, or removed.
    Changed(bool),
    /// When it was begun.
    Begun(u64),
    Part(Part, bool),
    /// Whether there was such an upload.
    Ended(bool, bool),
}

// === impl Done ===

impl Done {
    /// Whether a file is garbage now.
    pub(crate) fn garbage(&self) -> bool {
        match self {
            Self::Put(_, garbage)
            | Self::Deleted(_, garbage)
            | Self::Part(_, garbage)
            | Self::Ended(_, garbage) => *garbage,
            Self::Forgotten | Self::Changed(_) | Self::Begun(_) => false,
        }
    }
}

// === impl Op ===

impl Op {
    /// The bucket whose objects it changes.
    pub(crate) fn bucket(&self) -> Option<&BucketKey> {
        match self {
            Self::Put { bucket, .. }
            | Self::Delete { bucket, .. }
            | Self::Complete { bucket, .. } => Some(bucket),
            _ => None,
        }
    }

    /// Whether it takes room on the disk.
    pub(crate) fn grows(&self) -> bool {
        matches!(
            self,
            Self::Put { .. } | Self::Make(_) | Self::Begin { .. } | Self::Part { .. }
        )
    }

    /// Whether it has to be on the disk before it is answered. What was forgotten and is not would only be looked for once
    /// more.
    pub(crate) fn is_durable(&self) -> bool {
        !matches!(self, Self::Forget(_))
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Put {
                key,
                record,
                content,
                ..
            } => {
                let said = record.object.metadata.iter();
                let said: usize = said.map(|(k, v)| k.len() + v.len()).sum();
                2 * key.len() + said + content.as_ref().map_or(0, Bytes::len) + 512
            }
            Self::Delete { key, .. } => 2 * key.len() + 512,
            Self::Forget(ids) => 17 * ids.len(),
            Self::Make(_) | Self::Remove(_) => 256,
            Self::Begin { key, options, .. } => {
                let said = options.metadata.iter().chain(&options.headers);
                let said = said.chain(&options.notes);
                let said: usize = said.map(|(k, v)| k.len() + v.len()).sum();
                key.len() + said + 512
            }
            Self::Part { key, .. } => key.len() + 1024,
            Self::Complete { key, parts, .. } => 2 * key.len() + 256 * (parts.len() + 8),
            Self::End(place) => place.len() + 512,
        }
    }
}
