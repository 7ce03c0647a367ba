//! What calls took, what that costs, and where it stops.

use gust_types::{AppName, FunctionName, ProjectName, Usage};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::schema;

/// Usage of a function (or of the sum that was asked for) in a stretch of time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct UsageRow {
    /// Start of the stretch, Unix seconds; absent in a sum over the whole time asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
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
    pub sums: UsageSums,
}

/// Sums over calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UsageSums {
    /// Settled calls.
    pub calls: u64,
    /// Of those, the ones that did not end well.
    pub failures: u64,
    /// Of those, the ones that mapped the code first.
    pub cold_starts: u64,
    /// Of those, the ones that made an instance of mapped code.
    pub warm_starts: u64,
    /// Of those, the ones that an instance served which had served before.
    pub reused_starts: u64,
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
    pub kv_calls: u64,
    /// SQL statements.
    pub sql_calls: u64,
    /// Outbound HTTP requests.
    pub http_out_calls: u64,
}

/// Which usage, and how it is summed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// From, Unix seconds. Default: the start of the current month (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Up to and without, Unix seconds. Default: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
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
    /// One row per stretch of time. Default: one for the whole time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub every: Option<Every>,
}

/// One row per what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// The whole project.
    Project,
    /// Each app.
    App,
    /// Each function.
    #[default]
    Function,
}

/// Stretches of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// A minute; kept for a limited time.
    Minute,
    /// An hour.
    Hour,
    /// A day (UTC).
    Day,
}

/// The answer to a [`UsageQuery`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageReport {
    /// The project.
    #[schema(value_type = schema::Name)]
    pub project: ProjectName,
    /// From, Unix seconds.
    pub from: u64,
    /// Up to and without, Unix seconds.
    pub to: u64,
    /// By time, app and function.
    pub rows: Vec<UsageRow>,
    /// The sum of the rows.
    pub total: UsageSums,
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
}

/// What a month costs. Money is in billionths of the currency's unit (nano-dollars), so that sums are exact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Bill {
    /// The project.
    #[schema(value_type = schema::Name)]
    pub project: ProjectName,
    /// The month (UTC), as `YYYY-MM`.
    pub month: String,
    /// The currency of all sums, such as `USD`.
    pub currency: String,
    /// One per function.
    pub lines: Vec<BillLine>,
    /// The sum of all lines, in billionths.
    pub total_nano: u64,
    /// The budget of the project, if one is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetState>,
}

/// What one function costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BillLine {
    /// The app.
    #[schema(value_type = schema::Name)]
    pub app: AppName,
    /// The function.
    #[schema(value_type = schema::Name)]
    pub function: FunctionName,
    /// What it took.
    pub usage: UsageSums,
    /// What that costs, item by item.
    pub items: Vec<BillItem>,
    /// The sum of the items, in billionths.
    pub total_nano: u64,
}

/// One priced thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BillItem {
    /// What is priced, such as `calls` or `memory`.
    pub item: String,
    /// How much of it.
    pub quantity: u64,
    /// In what unit.
    pub unit: String,
    /// What it costs, in billionths.
    pub amount_nano: u64,
}

/// What a project may cost in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// In billionths of the currency's unit, per calendar month (UTC).
    pub monthly_nano: u64,
}

/// A budget and how much of it is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetState {
    /// The budget, in billionths; absent when none is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_nano: Option<u64>,
    /// What this month has cost so far, in billionths.
    pub spent_nano: u64,
    /// The currency.
    pub currency: String,
    /// What follows from the two.
    pub verdict: BudgetVerdict,
}

/// What follows from a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetVerdict {
    /// Below 80 %, or no budget.
    #[default]
    Within,
    /// From 80 %.
    Warned,
    /// From 100 %: calls are refused.
    Refused,
}
