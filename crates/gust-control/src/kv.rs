//! Key-value stores as the API speaks of them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gust_api::{
    client::kv::NO_VALUE,
    kv::{Increment, Incremented, Keys, KeysQuery, Set, SetQuery},
};
use gust_backend::kv::{Condition, Kv, KvExt as _, ListOptions, PutOptions, Version, Versioned};
use gust_task::clock;
use gust_types::{Error, Label, ProjectName, Result};

use crate::{blobs::theirs, control::Control};

/// Keys of one answer.
const PAGE: u32 = 1000;

impl Control {
    /// The stores of a project, by name.
    pub(crate) async fn stores(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.must_have(project).await?;
        self.0.parts.backends.stores(project)
    }

    /// A store. One that nobody has put anything into is empty.
    pub(crate) async fn store(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Kv>> {
        self.must_have(project).await?;
        self.0.parts.backends.kv(project, name)
    }

    /// Some of the keys of a store.
    pub(crate) async fn kv_keys(
        &self,
        project: &ProjectName,
        store: &Label,
        query: KeysQuery,
    ) -> Result<Keys> {
        let store = self.store(project, store).await?;
        let limit = query.limit.unwrap_or(PAGE);
        if !(1..=PAGE).contains(&limit) {
            let text = format!("ask for 1 to {PAGE} keys: {limit}");
            return Err(Error::invalid(text));
        }
        let options = ListOptions {
            prefix: query.prefix.unwrap_or_default(),
            after: query.after,
        };
        let longest = options.after.as_ref().map_or(0, String::len);
        if longest.max(options.prefix.len()) > 2 * store.limits().key {
            return Err(Error::invalid("a prefix or key is longer than any key"));
        }
        let keys = store.keys(options, limit as usize).await;
        let (keys, more) = keys.map_err(theirs)?;
        let next = keys.last().filter(|_| more).cloned();
        Ok(Keys { keys, next })
    }

    /// The value of a key.
    pub(crate) async fn kv_get(
        &self,
        project: &ProjectName,
        store: &Label,
        key: &str,
    ) -> Result<Versioned> {
        let found = self.store(project, store).await?.get(key).await;
        let found = found.map_err(theirs)?;
        found.ok_or_else(|| Error::not_found(NO_VALUE))
    }

    /// Sets the value of a key; durable when it answers.
    pub(crate) async fn kv_set(
        &self,
        store: &dyn Kv,
        key: &str,
        value: Bytes,
        how: SetQuery,
    ) -> Result<Set> {
        let condition = match (how.if_absent, how.if_version) {
            (true, Some(_)) => {
                return Err(Error::invalid(
                    "`if_absent` and `if_version` exclude each other",
                ));
            }
            (true, None) => Condition::Absent,
            (false, Some(version)) => Condition::Version(Version(version)),
            (false, None) => Condition::Always,
        };
        let expires_us = match how.ttl {
            Some(0) => return Err(Error::invalid("`ttl` is 1 second at least: 0")),
            Some(seconds) => {
                let ttl = Duration::from_secs(seconds).as_micros();
                let at = u128::from(clock::unix_micros()) + ttl;
                let far = |_| Error::invalid(format!("`ttl` is too long: {seconds}"));
                Some(u64::try_from(at).map_err(far)?)
            }
            None => None,
        };
        let options = PutOptions {
            condition,
            expires_us,
        };
        let version = store.put_with(key, value, options).await;
        let version = version.map_err(theirs)?;
        Ok(Set { version: version.0 })
    }

    /// Removes the value of a key.
    pub(crate) async fn kv_remove(
        &self,
        project: &ProjectName,
        store: &Label,
        key: &str,
    ) -> Result<()> {
        let store = self.store(project, store).await?;
        store.delete(key).await.map_err(theirs)
    }

    /// Adds to a number.
    pub(crate) async fn kv_increment(
        &self,
        project: &ProjectName,
        store: &Label,
        increment: Increment,
    ) -> Result<Incremented> {
        let store = self.store(project, store).await?;
        let value = store.increment(&increment.key, increment.by).await;
        let value = value.map_err(theirs)?;
        Ok(Incremented { value })
    }
}
