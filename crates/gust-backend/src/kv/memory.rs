//! A store in memory: for tests, and the shortest statement of what a store does.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream, stream::BoxStream};
use gust_task::clock;
use gust_types::Result;
use parking_lot::{Mutex, MutexGuard};

use super::{Condition, Kv, KvLimits, ListOptions, PutOptions, Version, Versioned, Write, check};

/// A store that forgets at the end of the process. Clones share their values.
#[derive(Clone)]
pub struct MemoryKv {
    state: Arc<Mutex<State>>,
    limits: KvLimits,
}

#[derive(Default)]
pub(crate) struct State {
    values: BTreeMap<String, Versioned>,
    version: u64,
}

/// Keys taken under the lock at once while listing.
const PAGE: usize = 256;

impl Default for MemoryKv {
    fn default() -> Self {
        Self::new(KvLimits {
            key: 1024,
            value: 1 << 20,
            batch: 1000,
            batch_bytes: 8 << 20,
        })
    }
}

impl MemoryKv {
    /// An empty store with these limits.
    pub fn new(limits: KvLimits) -> Self {
        Self {
            state: Arc::default(),
            limits,
        }
    }

    /// Nobody else reads or writes meanwhile.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[async_trait]
impl Kv for MemoryKv {
    async fn get(&self, key: &str) -> Result<Option<Versioned>> {
        check::key(key, &self.limits)?;
        let state = self.state.lock();
        Ok(state.live(key).cloned())
    }

    async fn write(&self, batch: Vec<Write>) -> Result<Vec<Option<Version>>> {
        check::batch(&batch, &self.limits)?;
        let mut state = self.state.lock();
        state.check(&batch)?;
        Ok(batch.into_iter().map(|write| state.apply(write)).collect())
    }

    async fn increment(&self, key: &str, delta: i64) -> Result<i64> {
        check::key(key, &self.limits)?;
        let mut state = self.state.lock();
        let there = state.live(key);
        let value = there.map(|v| &v.value[..]);
        let sum = check::sum(key, value, delta)?;
        let expires_us = there.and_then(|v| v.expires_us);
        state.apply(Write::Put {
            key: key.to_owned(),
            value: Bytes::from(sum.to_string()),
            options: PutOptions {
                condition: Condition::Always,
                expires_us,
            },
        });
        Ok(sum)
    }

    fn list(&self, options: ListOptions) -> BoxStream<'static, Result<String>> {
        let state = self.state.clone();
        let pages = stream::unfold(options, move |mut options| {
            let page = state.lock().page(&options);
            async move {
                options.after = Some(page.last()?.clone());
                Some((stream::iter(page.into_iter().map(Ok)), options))
            }
        });
        pages.flatten().boxed()
    }

    fn limits(&self) -> KvLimits {
        self.limits
    }
}

// === impl State ===

impl State {
    fn live(&self, key: &str) -> Option<&Versioned> {
        let now = clock::unix_micros();
        self.values.get(key).filter(|value| value.is_live(now))
    }

    /// Every condition of a batch against what the batch's own earlier writes will leave.
    fn check(&self, batch: &[Write]) -> Result<()> {
        let mut ours: BTreeMap<&str, Option<Version>> = BTreeMap::new();
        let mut next = self.version;
        let now = clock::unix_micros();
        for write in batch {
            let key = write.key();
            let there = ours.get(key).copied();
            let there = there.unwrap_or_else(|| self.live(key).map(|v| v.version));
            match write {
                Write::Put { options, .. } => {
                    check::condition(key, options.condition, there)?;
                    next += 1;
                    let stays = options.expires_us.is_none_or(|at| at > now);
                    ours.insert(key, stays.then_some(Version(next)));
                }
                Write::Delete { .. } => {
                    ours.insert(key, None);
                }
                Write::Require { condition, .. } => check::condition(key, *condition, there)?,
            }
        }
        Ok(())
    }

    /// Whether all of this holds.
    pub(crate) fn check_all(&self, checks: &[(String, Condition)]) -> Result<()> {
        checks.iter().try_for_each(|(key, wanted)| {
            let there = self.live(key).map(|value| value.version);
            check::condition(key, *wanted, there)
        })
    }

    /// Writes that have no conditions.
    pub(crate) fn apply_all(&mut self, writes: Vec<Write>) {
        for write in writes {
            self.apply(write);
        }
    }

    fn apply(&mut self, write: Write) -> Option<Version> {
        match write {
            Write::Put {
                key,
                value,
                options,
            } => {
                self.version += 1;
                let version = Version(self.version);
                let versioned = Versioned {
                    value,
                    version,
                    expires_us: options.expires_us,
                };
                self.values.insert(key, versioned);
                Some(version)
            }
            Write::Delete { key } => {
                self.values.remove(&key);
                None
            }
            Write::Require { .. } => None,
        }
    }

    fn page(&self, options: &ListOptions) -> Vec<String> {
        let now = clock::unix_micros();
        let prefix = options.prefix.as_str();
        let start = match options.after.as_deref() {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.values
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(_, value)| value.is_live(now))
            .take(PAGE)
            .map(|(key, _)| key.clone())
            .collect()
    }
}

impl Versioned {
    fn is_live(&self, now_us: u64) -> bool {
        self.expires_us.is_none_or(|at| at > now_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passes_the_suite() {
        crate::kv::suite::run(async || Arc::new(MemoryKv::default()) as Arc<dyn Kv>).await;
    }
}
