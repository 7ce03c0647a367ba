//! What calls took, what that costs, and where it stops.
//!
//! Amounts of money are decimal strings (`"0.0000002"`, nine decimals at most), so that no reader rounds them.

use gust_types::{AppName, FunctionName, ProjectName, Usage};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::schema;

/// Sums over calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Totals {
    /// Settled calls.
    pub calls: u64,
    /// From accept to settle, microseconds.
    pub wall_us: u64,
    /// Time the guests were really running, microseconds.
    pub cpu_us: u64,
    /// Memory high water in MB (1,000,000 bytes) times milliseconds.
    pub memory_mb_ms: u64,
    /// Request body bytes.
    pub bytes_in: u64,
    /// Response body bytes.
    pub bytes_out: u64,
    /// Key-value operations.
    pub kv: u64,
    /// SQL statements.
    pub sql: u64,
    /// Outbound HTTP requests.
    pub http_out: u64,
    /// Calls that mapped the code first.
    pub cold: u64,
    /// Calls that made a new instance of mapped code.
    pub warm: u64,
    /// Calls that an instance served which had served before.
    pub reused: u64,
    /// Calls without an instance.
    pub uninstanced: u64,
    /// Calls that the function answered.
    pub ok: u64,
    /// Calls in which it trapped, exited or gave no valid answer.
    pub failed: u64,
    /// Calls that used their CPU time.
    pub cpu_limit: u64,
    /// Calls that used their wall time.
    pub wall_limit: u64,
    /// Calls that asked for more memory than they may have.
    pub memory_limit: u64,
    /// Calls with a body larger than it may be.
    pub body_limit: u64,
    /// Calls whose caller went away.
    pub cancelled: u64,
    /// Calls that the platform failed.
    pub platform: u64,
    /// Waiting for admission and an instance's place, microseconds.
    pub queue_us: u64,
    /// Mapping code, microseconds.
    pub map_us: u64,
    /// Linking it, microseconds.
    pub link_us: u64,
    /// Making instances, microseconds.
    pub instantiate_us: u64,
    /// From calling the guest to the head of its response, microseconds.
    pub first_byte_us: u64,
    /// Calls whose single record was not kept; they are in all sums.
    pub unkept: u64,
}

/// Usage of a group in a stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageRow {
    /// Start of the stretch, Unix microseconds.
    pub start_us: u64,
    /// The project.
    #[schema(value_type = schema::Name)]
    pub project: ProjectName,
    /// The app; absent in a sum over apps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Name>)]
    pub app: Option<AppName>,
    /// The function; absent in a sum over functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Name>)]
    pub function: Option<FunctionName>,
    /// What they took.
    #[serde(flatten)]
    pub totals: Totals,
}

/// Which usage, and how it is summed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// From, Unix microseconds; widened to whole periods. Default: the start of the current month (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_us: Option<u64>,
    /// Up to and without, Unix microseconds. Default: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_us: Option<u64>,
    /// Of this app only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<schema::Name>)]
    pub app: Option<AppName>,
    /// Of this function only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<schema::Name>)]
    pub function: Option<FunctionName>,
    /// One row per what. Default `function`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub by: Option<GroupBy>,
    /// One row per stretch of time. Default `whole`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub period: Option<Period>,
}

/// One row per what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// Each project.
    Project,
    /// Each app.
    App,
    /// Each function.
    #[default]
    Function,
}

/// Stretches of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// By minute; kept for weeks.
    Minute,
    /// By hour; kept for more than a year.
    Hour,
    /// By calendar month (UTC); kept.
    Month,
    /// One sum over the whole time asked for.
    #[default]
    Whole,
}

/// The answer to a [`UsageQuery`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageReport {
    /// The project; absent when it was asked over all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Name>)]
    pub project: Option<ProjectName>,
    /// From, Unix microseconds.
    pub from_us: u64,
    /// Up to and without, Unix microseconds.
    pub until_us: u64,
    /// By time, project, app and function.
    pub rows: Vec<UsageRow>,
    /// The sum of the rows.
    pub total: Totals,
}

/// Which records of single calls.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecordQuery {
    /// Of this app only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<schema::Name>)]
    pub app: Option<AppName>,
    /// Of this function only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<schema::Name>)]
    pub function: Option<FunctionName>,
    /// The newest so many. Default 100, at most 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Records of single calls, newest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Records {
    /// One for each settled call.
    #[schema(value_type = Vec<schema::Usage>)]
    pub records: Vec<Usage>,
}

/// Which bill.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BillQuery {
    /// The month (UTC), as `YYYY-MM`. Default: the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<String>,
    /// One line per what. Default `function`. Amounts are summed, never rounded again: the total is the same for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub by: Option<GroupBy>,
}

/// What a month costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Bill {
    /// The project; absent when the bill is over all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Name>)]
    pub project: Option<ProjectName>,
    /// The month (UTC), as `YYYY-MM`.
    pub month: String,
    /// The currency of all amounts, such as `USD`.
    pub currency: String,
    /// One per function, app or project that was called.
    pub lines: Vec<BillLine>,
    /// The sum of all lines.
    #[schema(value_type = schema::Amount)]
    pub total: String,
}

/// What one function, app or project costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BillLine {
    /// The project.
    #[schema(value_type = schema::Name)]
    pub project: ProjectName,
    /// The app; absent in a sum over apps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Name>)]
    pub app: Option<AppName>,
    /// The function; absent in a sum over functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Name>)]
    pub function: Option<FunctionName>,
    /// What it took.
    pub usage: Totals,
    /// What that costs, item by item.
    pub cost: Cost,
    /// The sum of the items.
    #[schema(value_type = schema::Amount)]
    pub total: String,
}

/// What usage costs, item by item.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// Settled calls.
    #[schema(value_type = schema::Amount)]
    pub calls: String,
    /// Memory over time.
    #[schema(value_type = schema::Amount)]
    pub memory: String,
    /// CPU time.
    #[schema(value_type = schema::Amount)]
    pub cpu: String,
    /// Request bodies.
    #[schema(value_type = schema::Amount)]
    pub bytes_in: String,
    /// Response bodies.
    #[schema(value_type = schema::Amount)]
    pub bytes_out: String,
    /// Key-value operations.
    #[schema(value_type = schema::Amount)]
    pub kv: String,
    /// SQL statements.
    #[schema(value_type = schema::Amount)]
    pub sql: String,
    /// Outbound HTTP requests.
    #[schema(value_type = schema::Amount)]
    pub http_out: String,
}

/// What a project may cost in a calendar month (UTC).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The sum, in the node's currency. Calls are refused once it is reached; 0 refuses every call.
    #[schema(value_type = schema::Amount)]
    pub monthly: String,
    /// Warn at this share of it, in percent. Default 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_percent: Option<u32>,
}

/// A budget and how much of it is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetState {
    /// The project.
    #[schema(value_type = schema::Name)]
    pub project: ProjectName,
    /// The month that is counted, as `YYYY-MM`.
    pub month: String,
    /// The budget; absent when none is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// What this month has cost so far.
    #[schema(value_type = schema::Amount)]
    pub spent: String,
    /// The currency.
    pub currency: String,
    /// What follows from the two.
    pub standing: Standing,
}

/// What follows from a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Below the warning, or no budget.
    #[default]
    Ok,
    /// Between the warning and the sum.
    Warn,
    /// At the sum or above: calls are refused.
    Refuse,
}
