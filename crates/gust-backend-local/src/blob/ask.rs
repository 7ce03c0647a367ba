//! What is asked of buckets, and what comes of it.

use bytes::Bytes;
use gust_backend::blob::{Condition, Object};

use super::keys::{BucketKey, Id, Record};

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
}

/// What came of it, and whether a file is garbage now.
#[derive(Debug)]
pub(crate) enum Done {
    Put(Object, bool),
    Deleted(Option<Object>, bool),
    Forgotten,
}

// === impl Op ===

impl Op {
    /// The bucket that it changes.
    pub(crate) fn bucket(&self) -> Option<&BucketKey> {
        match self {
            Self::Put { bucket, .. } | Self::Delete { bucket, .. } => Some(bucket),
            Self::Forget(_) => None,
        }
    }

    /// Whether it takes room on the disk.
    pub(crate) fn grows(&self) -> bool {
        matches!(self, Self::Put { .. })
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
        }
    }
}
