//! The key-value seam. Required: five methods; comfort is in [`KvExt`], a version in memory in [`memory`], and the
//! checks that every implementation passes in [`suite`].

pub mod check;
pub mod memory;
pub mod suite;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use gust_types::Result;

/// The version of a value: changes with every write, never 0 for a value that exists, never reused within a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u64);

/// A value with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The bytes.
    pub value: Bytes,
    /// Their version.
    pub version: Version,
    /// Unix microseconds after which they are gone.
    pub expires_us: Option<u64>,
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
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PutOptions {
    /// When to. A condition that does not hold is a [`gust_types::Kind::Conflict`].
    pub condition: Condition,
    /// Unix microseconds after which the value is gone.
    pub expires_us: Option<u64>,
}

/// One write of an atomic batch.
#[derive(Debug, Clone, PartialEq)]
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
    /// Writes nothing. The batch is a [`gust_types::Kind::Conflict`] unless this holds where it stands in the batch.
    Require {
        /// Key.
        key: String,
        /// What must hold.
        condition: Condition,
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
    /// Writes in one batch; what is only required is none.
    pub batch: usize,
    /// Bytes of all keys and values of one batch.
    pub batch_bytes: usize,
}

/// A store of keys and values. Keys are UTF-8, listed in byte order; an empty key is a key.
///
/// `write` and `increment` answer when the change is durable: it survives `kill -9` and a power cut. A change that was
/// refused left nothing behind.
#[async_trait]
pub trait Kv: Send + Sync {
    /// The value of a key.
    async fn get(&self, key: &str) -> Result<Option<Versioned>>;
    /// Applies all writes or none, in order; answers the new version of each put, in order (`None` for the
    /// others).
    async fn write(&self, batch: Vec<Write>) -> Result<Vec<Option<Version>>>;
    /// Adds to a number written in decimal digits and answers the sum, atomically; a key without a value counts as 0.
    /// A value that is no number, or a sum that does not fit, is `Invalid`. The value's expiry stays as it is.
    async fn increment(&self, key: &str, delta: i64) -> Result<i64>;
    /// Keys in byte order. Long lists are read as they are consumed; keys written meanwhile may or may not be seen.
    fn list(&self, options: ListOptions) -> BoxStream<'static, Result<String>>;
    /// What it accepts; a caller refuses early.
    fn limits(&self) -> KvLimits;
}

/// Comfort over any store.
#[async_trait]
pub trait KvExt: Kv {
    /// Sets a value, whatever was there.
    async fn put(&self, key: &str, value: Bytes) -> Result<Version> {
        self.put_with(key, value, PutOptions::default()).await
    }

    /// Sets a value under a condition or with an expiry.
    async fn put_with(&self, key: &str, value: Bytes, options: PutOptions) -> Result<Version> {
        let key = key.to_owned();
        let versions = self
            .write(vec![Write::Put {
                key,
                value,
                options,
            }])
            .await?;
        versions
            .first()
            .copied()
            .flatten()
            .ok_or_else(|| gust_types::Error::internal("a put answered without a version"))
    }

    /// Removes a value, if there is one.
    async fn delete(&self, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.write(vec![Write::Delete { key }]).await.map(|_| ())
    }

    /// Whether a key has a value.
    async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.get(key).await?.is_some())
    }

    /// The values of these keys, in order, read one after the other.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Versioned>>> {
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            values.push(self.get(key).await?);
        }
        Ok(values)
    }

    /// The first keys of a list, and whether there are more.
    async fn keys(&self, options: ListOptions, limit: usize) -> Result<(Vec<String>, bool)> {
        let mut listing = self.list(options);
        let mut keys = Vec::new();
        while let Some(key) = listing.next().await {
            if keys.len() == limit {
                return Ok((keys, true));
            }
            keys.push(key?);
        }
        Ok((keys, false))
    }
}

impl<K: Kv + ?Sized> KvExt for K {}
