//! A store as a call with a unit sees it: the unit's writes lie over what the store holds.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream, stream::BoxStream};
use gust_task::clock;
use gust_types::{Label, Result};

use super::{Change, STAGED, Staged, State, Unit, conditions_and_database};
use crate::kv::{
    Condition, Kv, KvLimits, ListOptions, PutOptions, Version, Versioned, Write, check,
};

/// One store over which a unit lies.
pub(super) struct UnitKv {
    unit: Arc<Unit>,
    name: Label,
    store: Arc<dyn Kv>,
}

/// Versions that the store has of keys, read for conditions.
type Seen = BTreeMap<String, Option<Version>>;

// === impl UnitKv ===

impl UnitKv {
    pub(super) fn new(unit: Arc<Unit>, name: Label, store: Arc<dyn Kv>) -> Self {
        Self { unit, name, store }
    }

    /// What the unit has of a key; `None` when it has nothing to say.
    fn staged(&self, key: &str) -> Result<Option<Option<Versioned>>> {
        let state = self.unit.state.lock();
        state.open()?;
        let staged = state.stores.get(&self.name).and_then(|s| s.get(key));
        Ok(staged.map(Staged::live))
    }

    /// Writes while it is this one's turn.
    async fn stage(&self, batch: Vec<Write>) -> Result<Vec<Option<Version>>> {
        let mut seen = Seen::new();
        for write in &batch {
            let key = write.key();
            if write.is_conditional() && !seen.contains_key(key) && self.staged(key)?.is_none() {
                let there = self.store.get(key).await?;
                seen.insert(key.to_owned(), there.map(|there| there.version));
            }
        }
        self.unit.state.lock().stage(&self.name, batch, &seen)
    }
}

#[async_trait]
impl Kv for UnitKv {
    async fn get(&self, key: &str) -> Result<Option<Versioned>> {
        check::key(key, &self.limits())?;
        match self.staged(key)? {
            Some(staged) => Ok(staged),
            None => self.store.get(key).await,
        }
    }

    async fn write(&self, batch: Vec<Write>) -> Result<Vec<Option<Version>>> {
        check::batch(&batch, &self.limits())?;
        let _turn = self.unit.writing.lock().await;
        self.stage(batch).await
    }

    /// Rests on the number that it was told: were it added blindly, two deliveries could be answered the same sum.
    async fn increment(&self, key: &str, delta: i64) -> Result<i64> {
        check::key(key, &self.limits())?;
        let _turn = self.unit.writing.lock().await;
        let there = self.get(key).await?;
        let sum = check::sum(key, there.as_ref().map(|there| &there.value[..]), delta)?;
        let expires_us = there.as_ref().and_then(|there| there.expires_us);
        let condition = there.map_or(Condition::Absent, |there| Condition::Version(there.version));
        let put = Write::Put {
            key: key.to_owned(),
            value: Bytes::from(sum.to_string()),
            options: PutOptions {
                condition,
                expires_us,
            },
        };
        self.stage(vec![put]).await?;
        Ok(sum)
    }

    fn list(&self, options: ListOptions) -> BoxStream<'static, Result<String>> {
        let staged = match self.unit.state.lock().listed(&self.name, &options) {
            Ok(staged) => staged,
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let merged = Merged {
            store: self.store.list(options),
            next: None,
            over: false,
            staged,
        };
        let keys = stream::unfold(merged, async |mut merged| {
            let key = merged.next().await?;
            Some((key, merged))
        });
        keys.boxed()
    }

    fn limits(&self) -> KvLimits {
        self.store.limits()
    }
}

impl Write {
    fn is_conditional(&self) -> bool {
        match self {
            Self::Put { options, .. } => options.condition != Condition::Always,
            Self::Delete { .. } => false,
            Self::Require { condition, .. } => *condition != Condition::Always,
        }
    }
}

// === impl Staged ===

impl Staged {
    /// The value, unless there is none or its time is up.
    fn live(&self) -> Option<Versioned> {
        match &self.change {
            Change::Put {
                value,
                expires_us,
                version,
            } => {
                let lives = expires_us.is_none_or(|at| at > clock::unix_micros());
                lives.then(|| Versioned {
                    value: value.clone(),
                    version: *version,
                    expires_us: *expires_us,
                })
            }
            Change::Delete => None,
        }
    }

    fn size(&self) -> usize {
        match &self.change {
            Change::Put { value, .. } => value.len(),
            Change::Delete => 0,
        }
    }
}

// === impl State ===

impl State {
    /// All of a batch or nothing, in order.
    fn stage(
        &mut self,
        store: &Label,
        batch: Vec<Write>,
        seen: &Seen,
    ) -> Result<Vec<Option<Version>>> {
        self.open()?;
        let mut draft: BTreeMap<String, Staged> = BTreeMap::new();
        let mut required = Vec::new();
        let mut versions = Vec::with_capacity(batch.len());
        let mut last = self.version;
        let there = self.stores.get(store);
        for write in batch {
            let key = write.key().to_owned();
            let before = draft.get(&key).or_else(|| there?.get(&key));
            let version = match before {
                Some(before) => before.live().map(|live| live.version),
                None => seen.get(&key).copied().flatten(),
            };
            let rests = before.is_none() && write.is_conditional();
            if rests && self.database.is_some() {
                return Err(conditions_and_database());
            }
            let mut base = before.and_then(|before| before.base);
            let change = match write {
                Write::Require { condition, .. } => {
                    check::condition(&key, condition, version)?;
                    if rests {
                        required.push((key, condition));
                    }
                    versions.push(None);
                    continue;
                }
                Write::Delete { .. } => {
                    versions.push(None);
                    Change::Delete
                }
                Write::Put { value, options, .. } => {
                    check::condition(&key, options.condition, version)?;
                    if rests {
                        base = Some(options.condition);
                    }
                    last += 1;
                    let version = Version(STAGED + last);
                    versions.push(Some(version));
                    Change::Put {
                        value,
                        expires_us: options.expires_us,
                        version,
                    }
                }
            };
            draft.insert(key, Staged { base, change });
        }
        let (mut count, mut more, mut less) = (required.len(), 0, 0);
        more += required.iter().map(|(key, _)| key.len()).sum::<usize>();
        for (key, staged) in &draft {
            more += key.len() + staged.size();
            match there.and_then(|there| there.get(key)) {
                Some(before) => less += key.len() + before.size(),
                None => count += 1,
            }
        }
        let bytes = self.bytes;
        self.bytes = bytes.saturating_sub(less);
        self.grow(count, more).inspect_err(|_| self.bytes = bytes)?;
        self.version = last;
        self.conditional |=
            !required.is_empty() || draft.values().any(|staged| staged.base.is_some());
        let there = self.required.entry(store.clone()).or_default();
        there.extend(required);
        self.stores.entry(store.clone()).or_default().extend(draft);
        Ok(versions)
    }

    /// The keys of a list that the unit has something to say of, and whether they are there.
    fn listed(&self, store: &Label, options: &ListOptions) -> Result<VecDeque<(String, bool)>> {
        self.open()?;
        let Some(staged) = self.stores.get(store) else {
            return Ok(VecDeque::new());
        };
        let from = match &options.after {
            Some(after) if *after >= options.prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(options.prefix.as_str()),
        };
        let range = staged.range::<str, _>((from, Bound::Unbounded));
        let listed = range.take_while(|(key, _)| key.starts_with(&options.prefix));
        Ok(listed
            .map(|(key, staged)| (key.clone(), staged.live().is_some()))
            .collect())
    }
}

/// Two lists in byte order as one; of a key in both, what the unit says holds.
struct Merged {
    store: BoxStream<'static, Result<String>>,
    next: Option<String>,
    over: bool,
    staged: VecDeque<(String, bool)>,
}

impl Merged {
    async fn next(&mut self) -> Option<Result<String>> {
        loop {
            if self.next.is_none() && !self.over {
                match self.store.next().await {
                    Some(Ok(key)) => self.next = Some(key),
                    Some(Err(error)) => return Some(Err(error)),
                    None => self.over = true,
                }
            }
            let Some((staged, _)) = self.staged.front() else {
                return self.next.take().map(Ok);
            };
            match &self.next {
                Some(next) if next < staged => return self.next.take().map(Ok),
                Some(next) if next == staged => self.next = None,
                _ => {}
            }
            if let Some((key, true)) = self.staged.pop_front() {
                return Some(Ok(key));
            }
        }
    }
}
