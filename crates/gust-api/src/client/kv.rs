//! Key-value stores.

use bytes::Bytes;
use gust_types::{Error, Kind, Label, ProjectName, Result, call};
use http::Method;
use http_body_util::BodyExt as _;

use super::{
    Client,
    wire::{self, with_query},
};
use crate::kv::{EXPIRES, Increment, Incremented, Keys, KeysQuery, Set, SetQuery, Stores, VERSION};

/// A value and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The bytes.
    pub bytes: Bytes,
    /// Their version.
    pub version: u64,
    /// When it is gone, Unix microseconds.
    pub expires_us: Option<u64>,
}

impl Client {
    /// The stores of a project.
    pub async fn stores(&self, project: &ProjectName) -> Result<Stores> {
        self.get(&format!("/projects/{project}/kv"), &()).await
    }

    /// Some of the keys of a store.
    pub async fn keys(
        &self,
        project: &ProjectName,
        store: &Label,
        query: &KeysQuery,
    ) -> Result<Keys> {
        self.get(&format!("/projects/{project}/kv/{store}"), query)
            .await
    }

    /// The value of a key, if it has one.
    pub async fn value(
        &self,
        project: &ProjectName,
        store: &Label,
        key: &str,
    ) -> Result<Option<Value>> {
        let request = self.request(Method::GET, &of(project, store, key), call::empty())?;
        let response = match self.exchange(request, Some(self.timeouts.head)).await {
            Err(error) if error.kind == Kind::NotFound && error.message == NO_VALUE => {
                return Ok(None);
            }
            response => response?,
        };
        let number = |name: &str| response.headers().get(name)?.to_str().ok()?.parse().ok();
        let (version, expires_us) = (number(VERSION), number(EXPIRES));
        let broke = |e| Error::unavailable("the node's answer broke off").because(e);
        let bytes = response.into_body().collect().await.map_err(broke)?;
        Ok(Some(Value {
            bytes: bytes.to_bytes(),
            version: version
                .ok_or_else(|| Error::unavailable("the node's answer is not understood"))?,
            expires_us,
        }))
    }

    /// Sets the value of a key.
    pub async fn set_value(
        &self,
        (project, store, key): (&ProjectName, &Label, &str),
        value: Bytes,
        how: &SetQuery,
    ) -> Result<Set> {
        let path = with_query(&of(project, store, key), how)?;
        let request = self.request(Method::PUT, &path, call::full(value))?;
        self.answer(request, Some(self.timeouts.head)).await
    }

    /// Removes the value of a key, if it has one.
    pub async fn delete_value(
        &self,
        project: &ProjectName,
        store: &Label,
        key: &str,
    ) -> Result<()> {
        self.delete(&of(project, store, key)).await
    }

    /// Adds to a number.
    pub async fn increment(
        &self,
        project: &ProjectName,
        store: &Label,
        increment: &Increment,
    ) -> Result<Incremented> {
        self.work(&format!("/projects/{project}/increment/{store}"), increment)
            .await
    }
}

/// How a node says that a key has no value.
pub const NO_VALUE: &str = "the key has no value";

fn of(project: &ProjectName, store: &Label, key: &str) -> String {
    let mut path = format!("/projects/{project}/kv/{store}/");
    wire::escape(key, &mut path);
    path
}
