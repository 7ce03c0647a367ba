//! What commands see and change: the store, with what they have changed already over it.
//!
//! Every command works on one of these, and so do all commands of a transaction together. What was read stays as it was read; what
//! was changed goes to the store in one batch, which holds only if nobody else has changed what was read. So a command is a plain
//! function, and it is run again when the batch does not hold.
//!
//! A command reads only keys that were loaded for it; which they are stands in the table of commands.

use std::collections::HashMap;

use bytes::Bytes;
use gust_backend::kv::{Condition, Kv, KvLimits, PutOptions, Version, Versioned, Write};

use crate::{
    budget::Grant,
    fault::Fault,
    value::{ELEMENT, Kind, List, Value, elements},
};

/// Bytes of values that one command or one transaction may take in hand, read or made.
const HELD: usize = 32 << 20;
/// Bytes of values that take long to go through.
const HEAVY: usize = 64 << 10;

/// A view of a store under change.
pub(crate) struct Tx {
    /// The time, the same for all commands of a transaction.
    pub(crate) now_ms: u64,
    /// What is told to channels once the changes are durable.
    pub(crate) published: Vec<(Bytes, Bytes)>,
    limits: KvLimits,
    entries: HashMap<Bytes, Entry>,
    held: usize,
    grant: Grant,
}

/// A key.
#[derive(Default)]
struct Entry {
    base: Base,
    value: Option<Value>,
    expires_us: Option<u64>,
    changed: bool,
}

/// What the store had for it.
#[derive(Default, Clone, Copy, PartialEq)]
enum Base {
    /// Nobody has looked.
    #[default]
    Unread,
    Absent,
    Version(Version),
}

/// What a transaction comes to.
#[derive(Default)]
pub(crate) struct Changes {
    /// Conditions, then what is written under them.
    pub(crate) batch: Vec<Write>,
    /// Keys that were read, and what they had.
    pub(crate) read: Vec<(String, Option<Version>)>,
    /// Whether anything is written.
    pub(crate) writes: bool,
    /// Lists that have elements now, for those who wait for them.
    pub(crate) lists: Vec<(Bytes, usize)>,
    pub(crate) published: Vec<(Bytes, Bytes)>,
}

// === impl Tx ===

impl Tx {
    pub(crate) fn new(limits: KvLimits, now_us: u64, grant: Grant) -> Self {
        Self {
            now_ms: now_us / 1000,
            published: Vec::new(),
            limits,
            entries: HashMap::new(),
            held: 0,
            grant,
        }
    }

    /// Reads a key, unless it was read before; answers how many elements it has.
    pub(crate) async fn load(&mut self, kv: &dyn Kv, key: &Bytes) -> Result<usize, Fault> {
        if self.entries.contains_key(key) {
            return Ok(0);
        }
        let found = kv.get(name(key)?).await?;
        let size = found.as_ref().map_or(0, |found| found.value.len());
        self.hold(size)?;
        // Before it is decoded: an element of one byte takes much more than that.
        let elements = found.as_ref().map_or(0, |found| elements(&found.value));
        self.take(size + elements * ELEMENT).await?;
        self.entries.insert(key.clone(), Entry::of(found));
        Ok(elements)
    }

    /// Takes memory for as long as the answers are needed.
    pub(crate) async fn take(&mut self, bytes: usize) -> Result<(), Fault> {
        match self.grant.grow(bytes).await {
            true => Ok(()),
            false => Err(Fault::of(
                "TRYAGAIN the node has no memory for this command, try again later or with less at once",
            )),
        }
    }

    /// Whether so much is in hand that others should get their turn between commands.
    pub(crate) fn is_heavy(&self) -> bool {
        self.held > HEAVY
    }

    /// What a value may be.
    pub(crate) fn limits(&self) -> KvLimits {
        self.limits
    }

    /// What a key holds.
    pub(crate) fn value(&self, key: &Bytes) -> Result<Option<&Value>, Fault> {
        let entry = self.entries.get(key).filter(|entry| entry.is_known());
        let entry = entry.ok_or(Fault::of(
            "ERR a key was not loaded; this is a fault of the node",
        ))?;
        Ok(entry.value.as_ref().filter(|value| !value.is_nothing()))
    }

    pub(crate) fn has(&self, key: &Bytes) -> Result<bool, Fault> {
        Ok(self.value(key)?.is_some())
    }

    /// What a key holds, which must be of this kind.
    pub(crate) fn get<K: Kind>(&self, key: &Bytes) -> Result<Option<&K>, Fault> {
        match self.value(key)? {
            None => Ok(None),
            Some(value) => K::of(value).map(Some).ok_or(Fault::WRONG_TYPE),
        }
    }

    /// The same, to be changed: an empty one where there is none. Say [`Tx::changed`] when it was.
    pub(crate) fn edit<K: Kind>(&mut self, key: &Bytes) -> Result<&mut K, Fault> {
        if self.value(key)?.is_none() {
            let entry = self.entries.entry(key.clone()).or_default();
            entry.value = Some(K::empty());
            entry.expires_us = None;
        }
        let entry = self.entries.get_mut(key);
        let value = entry.and_then(|entry| entry.value.as_mut());
        value.and_then(K::of_mut).ok_or(Fault::WRONG_TYPE)
    }

    pub(crate) fn changed(&mut self, key: &Bytes) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.changed = true;
        }
    }

    /// Sets a value, whatever was there; it needs not be loaded.
    pub(crate) fn put(
        &mut self,
        key: &Bytes,
        value: Value,
        expires_us: Option<u64>,
    ) -> Result<(), Fault> {
        name(key)?;
        self.hold(value.size())?;
        let now_ms = self.now_ms;
        let entry = self.entries.entry(key.clone()).or_default();
        let is_over = expires_us.is_some_and(|at| at <= now_ms * 1000);
        entry.value = (!is_over).then_some(value);
        entry.expires_us = expires_us;
        entry.changed = true;
        Ok(())
    }

    /// Sets a value that lives as long as the one before.
    pub(crate) fn replace(&mut self, key: &Bytes, value: Value) -> Result<(), Fault> {
        let expires_us = self.expiry(key)?;
        self.put(key, value, expires_us)
    }

    /// Answers what was there.
    pub(crate) fn remove(&mut self, key: &Bytes) -> Result<Option<Value>, Fault> {
        if self.value(key)?.is_none() {
            return Ok(None);
        }
        let entry = self.entries.entry(key.clone()).or_default();
        entry.changed = true;
        entry.expires_us = None;
        Ok(entry.value.take())
    }

    /// When a value is over, in Unix microseconds.
    pub(crate) fn expiry(&self, key: &Bytes) -> Result<Option<u64>, Fault> {
        self.value(key)?;
        Ok(self.entries.get(key).and_then(|entry| entry.expires_us))
    }

    /// Lets a value end then, which may be at once.
    pub(crate) fn expire(&mut self, key: &Bytes, at_us: Option<u64>) -> Result<(), Fault> {
        if at_us.is_some_and(|at| at <= self.now_ms * 1000) {
            return self.remove(key).map(drop);
        }
        if let Some(entry) = self.entries.get_mut(key) {
            entry.expires_us = at_us;
            entry.changed = true;
        }
        Ok(())
    }

    /// Keys that are changed, and whether they are there now.
    pub(crate) fn overlay(&self) -> impl Iterator<Item = (&Bytes, bool)> {
        let changed = self.entries.iter().filter(|(_, entry)| entry.changed);
        changed.map(|(key, entry)| (key, entry.live().is_some()))
    }

    /// What is to be written, and what it rests on.
    pub(crate) fn finish(self) -> Result<(Changes, Grant), Fault> {
        let mut changes = Changes {
            published: self.published,
            ..Changes::default()
        };
        let mut writes = Vec::new();
        for (key, entry) in self.entries {
            let text = name(&key)?;
            if let Some(version) = entry.base.version() {
                changes.read.push((text.to_owned(), version));
            }
            if let Some(list) = entry.live().filter(|_| entry.changed).and_then(List::of) {
                changes.lists.push((key.clone(), list.len()));
            }
            let write = entry.write(text);
            // A value that is put has the condition with it.
            let is_put = matches!(write, Some(Write::Put { .. }));
            if !is_put && entry.base != Base::Unread {
                changes.batch.push(Write::Require {
                    key: text.to_owned(),
                    condition: entry.base.condition(),
                });
            }
            writes.extend(write);
        }
        changes.writes = !writes.is_empty();
        changes.batch.extend(writes);
        Ok((changes, self.grant))
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Fault> {
        self.has_room(bytes)?;
        self.held += bytes;
        Ok(())
    }

    /// Whether so many bytes of values more can be taken in hand.
    pub(crate) fn has_room(&self, bytes: usize) -> Result<(), Fault> {
        match self.held.saturating_add(bytes) > HELD {
            true => Err(Fault::new(format!(
                "ERR one command or transaction takes no more bytes of values in hand than {HELD}"
            ))),
            false => Ok(()),
        }
    }
}

/// A key as stores know it.
pub(crate) fn name(key: &Bytes) -> Result<&str, Fault> {
    std::str::from_utf8(key).map_err(|_| {
        Fault::of(
            "ERR keys must be UTF-8: this store is shared with functions, which know them as text",
        )
    })
}

// === impl Entry ===

impl Entry {
    fn of(found: Option<Versioned>) -> Self {
        match found {
            None => Self {
                base: Base::Absent,
                ..Self::default()
            },
            Some(found) => Self {
                base: Base::Version(found.version),
                expires_us: found.expires_us,
                value: Some(Value::decode(found.value)),
                changed: false,
            },
        }
    }

    /// What becomes of it in the store.
    fn write(&self, key: &str) -> Option<Write> {
        let key = key.to_owned();
        match self.live() {
            _ if !self.changed => None,
            None if self.base == Base::Absent => None,
            None => Some(Write::Delete { key }),
            Some(value) => Some(Write::Put {
                key,
                value: value.encode(),
                options: PutOptions {
                    condition: self.base.condition(),
                    expires_us: self.expires_us,
                },
            }),
        }
    }

    fn is_known(&self) -> bool {
        self.base != Base::Unread || self.changed
    }

    fn live(&self) -> Option<&Value> {
        self.value.as_ref().filter(|value| !value.is_nothing())
    }
}

// === impl Base ===

impl Base {
    fn condition(self) -> Condition {
        match self {
            Self::Unread => Condition::Always,
            Self::Absent => Condition::Absent,
            Self::Version(version) => Condition::Version(version),
        }
    }

    fn version(self) -> Option<Option<Version>> {
        match self {
            Self::Unread => None,
            Self::Absent => Some(None),
            Self::Version(version) => Some(Some(version)),
        }
    }
}
