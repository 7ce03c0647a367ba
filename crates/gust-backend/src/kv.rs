//! The key-value seam.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use gust_types::Result;

/// The version of a value: changes with every write, never 0 for a value that exists, never reused within a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

/// A value with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The bytes.
    pub value: Bytes,
    /// Their version.
    pub version: Version,
}

/// When a write applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Always.
    #[default]
    Always,
    /// Only when the key has no value.
    Absent,
    /// Only when the value has this version.
    Version(Version),
}

/// How to write.
#[derive(Debug, Clone, Copy, Default)]
pub struct PutOptions {
    /// When to. A condition that does not hold is a [`gust_types::Kind::Conflict`].
    pub condition: Condition,
    /// Unix microseconds after which the value is gone.
    pub expires_us: Option<u64>,
}

/// One write of an atomic batch.
#[derive(Debug, Clone)]
pub enum Write {
    /// Sets a value.
    Put {
        /// Key.
        key: String,
        /// Value.
        value: Bytes,
        /// How.
        options: PutOptions,
    },
    /// Removes a value, if there is one.
    Delete {
        /// Key.
        key: String,
    },
}

/// How to list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Only keys that start with this.
    pub prefix: String,
    /// Only keys greater than this.
    pub after: Option<String>,
}

/// What a store accepts.
#[derive(Debug, Clone, Copy)]
pub struct KvLimits {
    /// Bytes of a key.
    pub key: usize,
    /// Bytes of a value.
    pub value: usize,
    /// Writes in one batch.
    pub batch: usize,
}

/// A store of keys and values. Keys are UTF-8, listed in byte order.
///
/// `write` answers when the batch is durable: it survives `kill -9` and a power cut.
#[async_trait]
pub trait Kv: Send + Sync {
    /// The value of a key.
    async fn get(&self, key: &str) -> Result<Option<Versioned>>;
    /// Applies all writes or none; answers the new version of each put, in order (`None` for deletes).
    async fn write(&self, batch: Vec<Write>) -> Result<Vec<Option<Version>>>;
    /// Keys in byte order.
    fn list(&self, options: ListOptions) -> BoxStream<'static, Result<String>>;
    /// What it accepts; a caller refuses early.
    fn limits(&self) -> KvLimits;
}
