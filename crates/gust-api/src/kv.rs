//! Key-value stores. A value is the body, what is known of it stands in headers.

use gust_types::Label;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::schema;

/// The header with a value's version.
pub const VERSION: &str = "x-gust-version";
/// The header with the time at which a value is gone, Unix microseconds.
pub const EXPIRES: &str = "x-gust-expires-us";

/// The stores of a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stores {
    /// By name.
    #[schema(value_type = Vec<schema::Label>)]
    pub stores: Vec<Label>,
}

/// Some of the keys of a store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    /// In byte order.
    pub keys: Vec<String>,
    /// There is more: ask for what is `after` this.
    pub next: Option<String>,
}

/// Which keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct KeysQuery {
    /// Only keys that begin so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Only keys greater than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most this many; 1,000 without it, and never more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// How to set a value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SetQuery {
    /// Seconds after which it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// Only when the key has no value.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub if_absent: bool,
    /// Only when the value has this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u64>,
}

/// A value that was set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Set {
    /// Its version.
    pub version: u64,
}

/// What to add to a number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Increment {
    /// Its key; one without a value counts as 0.
    pub key: String,
    /// What is added.
    pub by: i64,
}

/// A number that was added to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Incremented {
    /// The sum.
    pub value: i64,
}
