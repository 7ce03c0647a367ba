//! What a group of requests comes to, before anything is written.
//!
//! Requests are evaluated in order against the tree and what the group has changed so far, so that each sees the ones
//! before it. A request that is refused leaves no trace in the group.

use bytes::Bytes;
use fjall::Slice;
use gust_backend::kv::{Condition, PutOptions, Version, Write, check};
use gust_types::Result;

use super::keys::{self, StoreKey, Stored};
use crate::store::{Map, Set, engine::Open};

/// A group under evaluation.
pub(crate) struct Group<'a> {
    open: &'a Open,
    now_us: u64,
    /// What each data key will hold; `None` when it is removed.
    changes: Map<Vec<u8>, Option<Stored>>,
    /// The last version of each store that the group writes to.
    versions: Map<StoreKey, u64>,
    /// Index entries that are done with.
    swept: Set<Vec<u8>>,
}

/// What to hand to the engine. Cloning it is cheap.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) puts: Vec<(Slice, Slice)>,
    pub(crate) removals: Vec<Slice>,
}

/// The changes of one request, until it is known to hold.
struct Draft {
    changes: Map<Vec<u8>, Option<Stored>>,
    version: u64,
    /// What there is to tell, in order; `None` when nobody listens to the store.
    told: Option<Vec<Told>>,
}

/// What happened to a key of a store that somebody listens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) key: String,
    /// Of the new value, or of the one that is gone.
    pub(crate) version: u64,
    pub(crate) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Set(Bytes),
    Deleted,
    /// Its time was up.
    Expired,
}

impl<'a> Group<'a> {
    pub(crate) fn new(open: &'a Open, now_us: u64) -> Self {
        Self {
            open,
            now_us,
            changes: Map::default(),
            versions: Map::default(),
            swept: Set::default(),
        }
    }

    /// One batch: all of it or nothing. What happened is told when somebody `listens` to the store.
    pub(crate) fn write(
        &mut self,
        store: &StoreKey,
        batch: Vec<Write>,
        listens: bool,
    ) -> Result<(Vec<Option<Version>>, Vec<Told>)> {
        let mut draft = self.draft(store, listens)?;
        let mut versions = Vec::with_capacity(batch.len());
        for write in batch {
            versions.push(self.step(store, &mut draft, write)?);
        }
        let told = draft.told.take().unwrap_or_default();
        self.keep(store, draft);
        Ok((versions, told))
    }

    /// Whether all of this holds.
    pub(crate) fn check(&self, store: &StoreKey, checks: &[(String, Condition)]) -> Result<()> {
        checks.iter().try_for_each(|(key, wanted)| {
            let there = self.live(&store.data(key))?;
            check::condition(key, *wanted, there.map(|s| Version(s.version)))
        })
    }

    /// Adds to a number.
    pub(crate) fn increment(
        &mut self,
        store: &StoreKey,
        key: String,
        delta: i64,
        listens: bool,
    ) -> Result<(i64, Vec<Told>)> {
        let there = self.live(&store.data(&key))?;
        let value = there.as_ref().map(Stored::as_slice);
        let sum = check::sum(&key, value, delta)?;
        let expires_us = there.and_then(|s| s.expires());
        let put = Write::Put {
            key,
            value: Bytes::from(sum.to_string()),
            options: PutOptions {
                condition: Condition::Always,
                expires_us,
            },
        };
        let (_, told) = self.write(store, vec![put], listens)?;
        Ok((sum, told))
    }

    /// Removes a value whose time is up, unless it was given another meanwhile. Answers its version if it was removed.
    pub(crate) fn sweep(&mut self, expires_us: u64, data: Vec<u8>) -> Result<Option<u64>> {
        let found = self.found(&data)?;
        let is_due = |s: &Stored| s.expires_us == expires_us && !s.is_live(self.now_us);
        let due = found.filter(is_due).map(|s| s.version);
        self.swept.insert(keys::expiry(expires_us, &data));
        if due.is_some() {
            self.changes.insert(data, None);
        }
        Ok(due)
    }

    /// Everything to write, with this commit's number if there is anything, here or elsewhere.
    pub(crate) fn plan(mut self, commit: u64, elsewhere: bool) -> Plan {
        let mut plan = Plan {
            puts: Vec::with_capacity(self.changes.len() + self.versions.len() + 1),
            removals: Vec::new(),
        };
        for (data, change) in self.changes {
            match change {
                Some(stored) => {
                    if stored.expires_us != 0 {
                        let entry = keys::expiry(stored.expires_us, &data);
                        // A key put again with the time that was just swept keeps its entry.
                        self.swept.remove(&entry);
                        plan.puts.push((entry.into(), Slice::from([])));
                    }
                    plan.puts.push((data.into(), stored.encode().into()));
                }
                None => plan.removals.push(data.into()),
            }
        }
        plan.removals
            .extend(self.swept.into_iter().map(Slice::from));
        for (store, version) in self.versions {
            plan.puts
                .push((store.version().into(), version.to_be_bytes().into()));
        }
        if elsewhere || !plan.puts.is_empty() || !plan.removals.is_empty() {
            plan.puts
                .push((keys::COMMIT.into(), commit.to_be_bytes().into()));
        }
        plan
    }

    fn step(&self, store: &StoreKey, draft: &mut Draft, write: Write) -> Result<Option<Version>> {
        let data = store.data(write.key());
        self.tell(draft, &data, &write)?;
        match write {
            Write::Put {
                key,
                value,
                options,
            } => {
                if options.condition != Condition::Always {
                    let there = self.version_in(draft, &data)?;
                    check::condition(&key, options.condition, there)?;
                }
                draft.version += 1;
                if let Some(told) = &mut draft.told {
                    told.push(Told {
                        key,
                        version: draft.version,
                        what: What::Set(value.clone()),
                    });
                }
                let stored = Stored::new(draft.version, options.expires_us, value);
                draft.changes.insert(data, Some(stored));
                Ok(Some(Version(draft.version)))
            }
            Write::Delete { .. } => {
                draft.changes.insert(data, None);
                Ok(None)
            }
            Write::Require { key, condition } => {
                let there = self.version_in(draft, &data)?;
                check::condition(&key, condition, there)?;
                Ok(None)
            }
        }
    }

    /// Tells what becomes of the value that is there, before the write. One whose time was up and that nobody has swept
    /// yet went by itself, so that each value that expires is told of once.
    fn tell(&self, draft: &mut Draft, data: &[u8], write: &Write) -> Result<()> {
        let Some(told) = &mut draft.told else {
            return Ok(());
        };
        let there = match draft.changes.get(data) {
            Some(change) => change.clone(),
            None => self.found(data)?,
        };
        let what = match (&there, write) {
            (None, _) | (_, Write::Require { .. }) => return Ok(()),
            (Some(there), _) if !there.is_live(self.now_us) => What::Expired,
            (Some(_), Write::Delete { .. }) => What::Deleted,
            (Some(_), Write::Put { .. }) => return Ok(()),
        };
        let version = there.map_or(0, |there| there.version);
        let key = write.key().to_owned();
        told.push(Told { key, version, what });
        Ok(())
    }

    fn version_in(&self, draft: &Draft, data: &[u8]) -> Result<Option<Version>> {
        let live = match draft.changes.get(data) {
            Some(change) => change.clone().filter(|s| s.is_live(self.now_us)),
            None => self.live(data)?,
        };
        Ok(live.map(|s| Version(s.version)))
    }

    fn live(&self, data: &[u8]) -> Result<Option<Stored>> {
        Ok(self.found(data)?.filter(|s| s.is_live(self.now_us)))
    }

    fn found(&self, data: &[u8]) -> Result<Option<Stored>> {
        match self.changes.get(data) {
            Some(change) => Ok(change.clone()),
            None => self.open.stored(data),
        }
    }

    fn draft(&self, store: &StoreKey, listens: bool) -> Result<Draft> {
        let version = match self.versions.get(store) {
            Some(version) => *version,
            None => self.open.number(&store.version())?,
        };
        Ok(Draft {
            changes: Map::default(),
            version,
            told: listens.then(Vec::new),
        })
    }

    fn keep(&mut self, store: &StoreKey, draft: Draft) {
        self.changes.extend(draft.changes);
        self.versions.insert(store.clone(), draft.version);
    }
}
