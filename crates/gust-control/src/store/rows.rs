//! What the rows mean.

use std::collections::BTreeMap;

use gust_api::deploy::Change;
use gust_types::{
    AppName, Digest, FunctionName, ProjectName,
    app::{FunctionSpec, RouteSpec, VariableSpec},
    trigger::EventsSpec,
};
use rusqlite::Row;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{StoreError, StoreResult};

/// An app without its functions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) version: String,
    pub(crate) description: String,
    pub(crate) variables: BTreeMap<String, VariableSpec>,
    pub(crate) routes: Vec<RouteSpec>,
    pub(crate) hosts: Vec<String>,
    #[serde(default)]
    pub(crate) events: EventsSpec,
}

/// A revision as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeptRevision {
    pub(crate) function: FunctionName,
    pub(crate) number: u64,
    pub(crate) artifact: Digest,
    pub(crate) contract: String,
    pub(crate) warnings: Vec<String>,
    pub(crate) spec: FunctionSpec,
}

/// A deployment as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeptDeployment {
    pub(crate) project: ProjectName,
    pub(crate) app: AppName,
    pub(crate) number: u64,
    pub(crate) created_us: u64,
    pub(crate) change: Change,
    pub(crate) rolled_back_to: Option<u64>,
    pub(crate) head: Head,
    /// Defaults of secret variables.
    pub(crate) sealed: Option<Vec<u8>>,
    /// By function name.
    pub(crate) revisions: Vec<KeptRevision>,
}

/// A value as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeptSecret {
    pub(crate) name: String,
    pub(crate) sealed: Vec<u8>,
    pub(crate) updated_us: u64,
}

/// Integers of SQLite are signed.
pub(crate) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column)
        .map(|n| u64::try_from(n).unwrap_or(0))
}

/// For SQLite.
pub(crate) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A name that was checked when it was written.
pub(crate) fn name<T: std::str::FromStr<Err = gust_types::Error>>(
    row: &Row<'_>,
    column: usize,
) -> StoreResult<T> {
    let text = row
        .get_ref(column)?
        .as_str()
        .map_err(|e| StoreError::row("name")(e.into()))?;
    text.parse()
        .map_err(|e: gust_types::Error| StoreError::row("name")(e.into()))
}

/// A JSON column.
pub(crate) fn json<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
    what: &'static str,
) -> StoreResult<T> {
    let text = row
        .get_ref(column)?
        .as_str()
        .map_err(|e| StoreError::row(what)(e.into()))?;
    serde_json::from_str(text).map_err(|e| StoreError::row(what)(e.into()))
}

/// For a JSON column.
pub(crate) fn to_json(value: &impl Serialize, what: &'static str) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|e| StoreError::row(what)(e.into()))
}

/// What made a deployment.
pub(crate) fn change(row: &Row<'_>, column: usize) -> StoreResult<Change> {
    let text: String = row.get(column)?;
    [Change::Deploy, Change::Rollback]
        .into_iter()
        .find(|c| c.as_str() == text)
        .ok_or_else(|| StoreError::row("change")(text.into()))
}
