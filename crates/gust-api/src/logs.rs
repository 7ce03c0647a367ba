//! What guests wrote.

use gust_types::{AppName, FunctionName, ProjectName, call::CallId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::schema;

/// The most that one answer has of what is kept.
pub const MAX_KEPT: u32 = 10_000;

/// One piece of a guest's output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogEntry {
    /// Counts up over all entries of the node, also over its restarts; see `after`.
    #[serde(default)]
    pub n: u64,
    /// When, Unix microseconds.
    pub time_us: u64,
    /// The project.
    #[schema(value_type = schema::Name)]
    pub project: ProjectName,
    /// The app.
    #[schema(value_type = schema::Name)]
    pub app: AppName,
    /// Which function wrote it.
    #[schema(value_type = schema::Name)]
    pub function: FunctionName,
    /// Which revision.
    pub revision: u64,
    /// In which call.
    #[schema(value_type = schema::CallIdText)]
    pub call: CallId,
    /// Where to.
    pub stream: Stream,
    /// What; bytes that are not UTF-8 are replaced. A line's end is not part of it.
    pub text: String,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum LogItem {
    /// A guest's output.
    Entry(LogEntry),
    /// The one who follows was too slow for it.
    Missed {
        /// So many entries are not coming.
        missed: u64,
    },
}

/// Where a guest wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Not the guest: the platform's own words about a call.
    Platform,
}

/// Which entries.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Of this function only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<schema::Name>)]
    pub function: Option<FunctionName>,
    /// Of this call only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<schema::CallIdText>)]
    pub call: Option<CallId>,
    /// From this moment on, Unix microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_us: Option<u64>,
    /// Of what is kept, only what came after the entry of this number: whoever lost a connection goes on without a gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The newest so many of what is kept. Default 1,000, at most 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Go on with what is written from now on, across deploys, until the caller hangs up.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}
