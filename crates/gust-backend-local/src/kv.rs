//! Key-value stores on fjall: reads go straight to it, writes through one committing thread.
//!
//! - `keys.rs`: how a project's stores share one tree without ever meeting.
//! - `group.rs`: what a group of requests comes to: pure but for reads.
//! - `events.rs`: what a group has changed, as events for those who listen.
//! - `sweep.rs`: removes what has expired.

pub(crate) mod events;
pub(crate) mod group;
pub(crate) mod keys;
mod sweep;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream, stream::BoxStream};
use gust_backend::kv::{Kv, KvLimits, ListOptions, Version, Versioned, Write, check};
use gust_task::clock;
use gust_types::{ByteSize, Error, Label, ProjectName, Result, Span};
use serde::{Deserialize, Serialize};

use self::{keys::StoreKey, sweep::Sweeper};
use crate::store::{Committer, Engine};

pub use crate::store::commit::Stats;

/// How key-value stores behave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Bytes of a key. Default 1,024; 16 KiB at most.
    pub key: ByteSize,
    /// Bytes of a value. Default 1 MiB.
    pub value: ByteSize,
    /// Writes in one batch. Default 1,000.
    pub batch: u32,
    /// Bytes of all keys and values of a batch. Default 8 MiB.
    pub batch_bytes: ByteSize,
    /// Bytes of all writes that wait to be committed; more have to wait outside. Default 64 MiB.
    pub queue: ByteSize,
    /// Memory for blocks read from the disk. Default 32 MiB.
    pub cache: ByteSize,
    /// How often expired values are swept from the disk (they are invisible at once). Default 1 s.
    pub sweep: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            key: ByteSize::kib(1),
            value: ByteSize::mib(1),
            batch: 1000,
            batch_bytes: ByteSize::mib(8),
            queue: ByteSize::mib(64),
            cache: ByteSize::mib(32),
            sweep: Span::secs(1),
        }
    }
}

impl Settings {
    fn limits(&self) -> KvLimits {
        let bytes = |size: ByteSize, most: u64| size.bytes().min(most) as usize;
        KvLimits {
            // fjall's keys have 64 KiB at most, and ours carry the store's name.
            key: bytes(self.key, 16 << 10),
            value: bytes(self.value, 64 << 20),
            batch: self.batch as usize,
            batch_bytes: bytes(self.batch_bytes, 256 << 20),
        }
    }
}

/// All stores of a data folder.
pub(crate) struct Stores {
    engine: Arc<Engine>,
    committer: Arc<Committer>,
    sweeper: Sweeper,
    limits: KvLimits,
}

impl Stores {
    pub(crate) fn new(
        engine: Arc<Engine>,
        committer: Arc<Committer>,
        settings: &Settings,
    ) -> Result<Self> {
        let sweeper = Sweeper::start(engine.clone(), committer.clone(), settings.sweep.0)?;
        Ok(Self {
            engine,
            committer,
            sweeper,
            limits: settings.limits(),
        })
    }

    pub(crate) fn store(&self, project: &ProjectName, name: &Label) -> LocalKv {
        LocalKv {
            engine: self.engine.clone(),
            committer: self.committer.clone(),
            store: StoreKey::new(project, name),
            limits: self.limits,
        }
    }

    /// The stores of a project that anything was ever put into, but for those that the platform keeps for itself.
    pub(crate) fn names(&self, project: &ProjectName) -> Result<Vec<Label>> {
        let recovering = || Error::unavailable("the store is being recovered");
        let open = self.engine.try_get()?.ok_or_else(recovering)?;
        let names = open.store_names(&keys::stores(project))?;
        let labels = names.into_iter().filter_map(|name| Label::new(name).ok());
        Ok(labels.collect())
    }

    /// The sweeper writes through the committer, so it ends first.
    pub(crate) fn stop(&self) {
        self.sweeper.stop();
    }
}

/// One store.
pub(crate) struct LocalKv {
    engine: Arc<Engine>,
    committer: Arc<Committer>,
    store: StoreKey,
    limits: KvLimits,
}

#[async_trait]
impl Kv for LocalKv {
    async fn get(&self, key: &str) -> Result<Option<Versioned>> {
        check::key(key, &self.limits)?;
        let open = self.engine.get().await?;
        let stored = open.stored(&self.store.data(key))?;
        let live = stored.filter(|s| s.is_live(clock::unix_micros()));
        Ok(live.map(|stored| Versioned {
            version: Version(stored.version),
            expires_us: stored.expires(),
            value: stored.value(),
        }))
    }

    async fn write(&self, batch: Vec<Write>) -> Result<Vec<Option<Version>>> {
        check::batch(&batch, &self.limits)?;
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.committer.write(self.store.clone(), batch).await
    }

    async fn increment(&self, key: &str, delta: i64) -> Result<i64> {
        check::key(key, &self.limits)?;
        self.committer
            .increment(self.store.clone(), key.to_owned(), delta)
            .await
    }

    fn list(&self, options: ListOptions) -> BoxStream<'static, Result<String>> {
        let listing = Listing {
            engine: self.engine.clone(),
            store: self.store.clone(),
            options: Some(options),
        };
        let pages = stream::unfold(listing, Listing::next_page);
        pages.flatten().boxed()
    }

    fn limits(&self) -> KvLimits {
        self.limits
    }
}

/// A list that is read page by page, so that neither memory nor a snapshot is held for as long as somebody reads.
struct Listing {
    engine: Arc<Engine>,
    store: StoreKey,
    /// What is left to list; `None` at the end.
    options: Option<ListOptions>,
}

impl Listing {
    async fn next_page(
        mut self,
    ) -> Option<(stream::Iter<std::vec::IntoIter<Result<String>>>, Self)> {
        let options = self.options.take()?;
        let page = match self.engine.get().await {
            Ok(open) => open.page(&self.store, &options, clock::unix_micros()),
            Err(error) => Err(error),
        };
        let items = match page {
            Ok(page) => {
                self.options = page.next.map(|after| ListOptions {
                    after: Some(after),
                    ..options
                });
                page.keys.into_iter().map(Ok).collect()
            }
            Err(error) => vec![Err(error)],
        };
        Some((stream::iter(items), self))
    }
}

/// Bytes of an engine's slice as a caller's.
fn bytes(slice: &[u8]) -> Bytes {
    Bytes::copy_from_slice(slice)
}
