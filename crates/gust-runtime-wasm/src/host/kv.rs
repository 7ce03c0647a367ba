//! Key-value stores as every interface version sees them. The versions only translate.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use gust_backend::kv::{
    Condition, Kv, KvExt as _, ListOptions, PutOptions, Version, Versioned, Write,
};
use gust_types::Kind;

use super::{
    View,
    open::{MAX_OPEN, Place},
};

/// The most bytes of keys that one answer carries.
pub(crate) const LISTED_BYTES: usize = 8 << 20;

/// Keys of one page, for interfaces that list by page.
const PAGE: usize = 1000;

/// How often an atomic change is tried again when others write to the same key.
const ATTEMPTS: usize = 100;

/// An open store.
#[expect(unreachable_pub, reason = "named in generated code")]
pub struct Store {
    kv: Arc<dyn Kv>,
    _place: Place,
}

/// Why an operation did not happen, in the words that all the interfaces share.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    TableFull,
    NoSuchStore,
    AccessDenied,
    Other(String),
}

// === impl Store ===

impl Store {
    /// Opens what the manifest gives this function under `label`. Nothing is read yet.
    pub(crate) fn open(view: &View<'_>, label: &str) -> Result<Self, Refusal> {
        let kv = view
            .scope
            .bindings
            .kv
            .get(label)
            .ok_or(Refusal::AccessDenied)?;
        let place = view
            .scope
            .host
            .stores
            .take(MAX_OPEN)
            .ok_or(Refusal::TableFull)?;
        Ok(Self {
            kv: kv.clone(),
            _place: place,
        })
    }

    /// What operations work on: they outlive the handle when the guest drops it meanwhile.
    pub(crate) fn keys(&self) -> Keys {
        Keys(self.kv.clone())
    }
}

/// The operations on an open store.
#[derive(Clone)]
pub(crate) struct Keys(Arc<dyn Kv>);

// === impl Keys ===

impl Keys {
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        Ok(self.versioned(key).await?.map(|found| found.value.into()))
    }

    pub(crate) async fn versioned(&self, key: &str) -> Result<Option<Versioned>, Refusal> {
        self.check_key(key)?;
        Ok(self.0.get(key).await?)
    }

    pub(crate) async fn exists(&self, key: &str) -> Result<bool, Refusal> {
        Ok(self.versioned(key).await?.is_some())
    }

    /// Answers when the value is durable.
    pub(crate) async fn set(&self, key: String, value: Vec<u8>) -> Result<(), Refusal> {
        self.set_many(vec![(key, value)]).await
    }

    pub(crate) async fn delete(&self, key: String) -> Result<(), Refusal> {
        self.delete_many(vec![key]).await
    }

    /// Checks all before it writes any. More than the store takes at once goes in several batches, each atomic.
    pub(crate) async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), Refusal> {
        for (key, value) in &pairs {
            self.check_key(key)?;
            self.check_value(value)?;
        }
        let puts = pairs.into_iter().map(|(key, value)| Write::Put {
            key,
            value: value.into(),
            options: PutOptions::default(),
        });
        self.write(puts.collect()).await
    }

    pub(crate) async fn delete_many(&self, keys: Vec<String>) -> Result<(), Refusal> {
        for key in &keys {
            self.check_key(key)?;
        }
        let deletes = keys.into_iter().map(|key| Write::Delete { key });
        self.write(deletes.collect()).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), Refusal> {
        let limits = self.0.limits();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for write in writes {
            let size = size_of_write(&write);
            if batch.len() == limits.batch || (bytes + size > limits.batch_bytes && bytes > 0) {
                self.0.write(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
            bytes += size;
            batch.push(write);
        }
        if !batch.is_empty() {
            self.0.write(batch).await?;
        }
        Ok(())
    }

    /// Sets the value if it is still at `version` (`None`: if there is still none). False when it is not.
    pub(crate) async fn swap(
        &self,
        key: &str,
        version: Option<Version>,
        value: Vec<u8>,
    ) -> Result<bool, Refusal> {
        self.check_key(key)?;
        self.check_value(&value)?;
        let condition = version.map_or(Condition::Absent, Condition::Version);
        let put = Write::Put {
            key: key.to_owned(),
            value: value.into(),
            options: PutOptions {
                condition,
                ..PutOptions::default()
            },
        };
        match self.0.write(vec![put]).await {
            Ok(_) => Ok(true),
            Err(e) if e.kind == Kind::Conflict => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Adds to a value written in decimal digits; a key without a value counts as 0.
    pub(crate) async fn increment(&self, key: &str, delta: i64) -> Result<i64, Refusal> {
        for _ in 0..ATTEMPTS {
            let found = self.versioned(key).await?;
            let before = found.as_ref().map_or(Ok(0), |v| number(&v.value))?;
            let after = before
                .checked_add(delta)
                .ok_or_else(|| Refusal::Other(format!("the sum does not fit 64 bits: {before}")))?;
            let version = found.map(|v| v.version);
            if self.swap(key, version, after.to_string().into()).await? {
                return Ok(after);
            }
        }
        Err(Refusal::Other(
            "too many others write to this key, try again later".to_owned(),
        ))
    }

    /// Every key. Refused when there are more than one answer can carry.
    pub(crate) async fn all(&self) -> Result<Vec<String>, Refusal> {
        let mut listing = self.stream();
        let mut keys = Vec::new();
        let mut bytes = 0;
        while let Some(key) = listing.next().await {
            let key = key?;
            bytes += key.len();
            if bytes > LISTED_BYTES {
                return Err(Refusal::Other(format!(
                    "the keys are more than one answer can carry, in bytes: {LISTED_BYTES}"
                )));
            }
            keys.push(key);
        }
        Ok(keys)
    }

    /// Every key, as they come.
    pub(crate) fn stream(&self) -> BoxStream<'static, gust_types::Result<String>> {
        self.0.list(ListOptions::default())
    }

    /// A page of keys after `cursor`, and the cursor of the next page if there is more.
    pub(crate) async fn page(
        &self,
        cursor: Option<String>,
    ) -> Result<(Vec<String>, Option<String>), Refusal> {
        let options = ListOptions {
            after: cursor,
            ..ListOptions::default()
        };
        let (keys, more) = self.0.keys(options, PAGE).await?;
        let next = keys.last().filter(|_| more).cloned();
        Ok((keys, next))
    }

    fn check_key(&self, key: &str) -> Result<(), Refusal> {
        let limit = self.0.limits().key;
        if key.len() > limit {
            return Err(Refusal::Other(format!(
                "the key is longer than {limit} bytes: {}",
                key.len()
            )));
        }
        Ok(())
    }

    fn check_value(&self, value: &[u8]) -> Result<(), Refusal> {
        let limit = self.0.limits().value;
        if value.len() > limit {
            return Err(Refusal::Other(format!(
                "the value is longer than {limit} bytes: {}",
                value.len()
            )));
        }
        Ok(())
    }
}

fn size_of_write(write: &Write) -> usize {
    match write {
        Write::Put { key, value, .. } => key.len() + value.len(),
        Write::Delete { key } | Write::Require { key, .. } => key.len(),
    }
}

fn number(value: &Bytes) -> Result<i64, Refusal> {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            Refusal::Other("the value is not a number in decimal digits of 64 bits".to_owned())
        })
}

/// The guest gets the message and the hint, never the causes: they speak of the platform's insides.
impl From<gust_types::Error> for Refusal {
    fn from(error: gust_types::Error) -> Self {
        match error.kind {
            Kind::NotFound => Self::NoSuchStore,
            Kind::Denied => Self::AccessDenied,
            _ => Self::Other(error.message),
        }
    }
}
