//! The ledger's seam: who used what, and the single records behind it.

use async_trait::async_trait;
use gust_types::{AppName, FunctionKey, FunctionName, ProjectName, Result, Usage};
use serde::{Deserialize, Serialize};

use crate::{Meter, Month, Period, Totals};

/// Keeps records and what they add up to. Every answer includes everything recorded before the question.
#[async_trait]
pub trait Ledger: Meter {
    /// Answers when everything recorded so far is durable, records and roll-ups.
    async fn flush(&self) -> Result<()>;
    /// Totals by group and period, ordered by period, then project, app, function.
    /// More rows than the query's limit is an `Exhausted` error, never a silent cut.
    async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>>;
    /// Single records, the newest first.
    async fn records(&self, query: RecordQuery) -> Result<Vec<Usage>>;
    /// Totals of each project in this month, at once and without a scan, for budgets. Kept for the present and the previous
    /// month; older months answer nothing here (ask [`Ledger::usage`]).
    fn month(&self, month: Month) -> Vec<(ProjectName, Totals)>;
    /// Compares the records still kept with the roll-ups of the same minutes.
    async fn verify(&self) -> Result<Verification>;
}

/// What usage is told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// One row a project.
    Project,
    /// One row an app.
    App,
    /// One row a function.
    #[default]
    Function,
}

/// Which usage. The range is widened to whole periods: to hours when asked by hour, to minutes for [`Period::Whole`]
/// (to hours where minutes are no longer kept).
#[derive(Debug, Clone)]
pub struct UsageQuery {
    /// Only of this project.
    pub project: Option<ProjectName>,
    /// Only of the app of this name.
    pub app: Option<AppName>,
    /// Only of the function of this name.
    pub function: Option<FunctionName>,
    /// From here on, Unix microseconds.
    pub from_us: u64,
    /// Before here, Unix microseconds.
    pub until_us: u64,
    /// Told apart in time.
    pub period: Period,
    /// Told apart by.
    pub by: GroupBy,
    /// Rows at most.
    pub limit: usize,
}

/// One group in one period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// The project.
    pub project: ProjectName,
    /// The app, when grouped that finely.
    pub app: Option<AppName>,
    /// The function, when grouped that finely.
    pub function: Option<FunctionName>,
    /// Start of the period, Unix microseconds; the start of the range for [`Period::Whole`].
    pub start_us: u64,
    /// Its sums.
    pub totals: Totals,
}

/// Which records.
#[derive(Debug, Clone)]
pub struct RecordQuery {
    /// Only of this project.
    pub project: Option<ProjectName>,
    /// Only of the app of this name.
    pub app: Option<AppName>,
    /// Only of the function of this name.
    pub function: Option<FunctionName>,
    /// Only calls accepted at or after this, Unix microseconds.
    pub since_us: u64,
    /// Records at most.
    pub limit: usize,
}

/// The result of comparing records with roll-ups.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Minutes of functions that were compared.
    pub minutes: u64,
    /// Records that were read for it.
    pub records: u64,
    /// Where they differ; at most 100 of them.
    pub mismatches: Vec<Mismatch>,
}

/// A minute whose roll-up is not the sum of its records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mismatch {
    /// Whose minute.
    pub function: FunctionKey,
    /// Its start, Unix microseconds.
    pub minute_us: u64,
    /// The sum of the records.
    pub records: Totals,
    /// The roll-up.
    pub rolled_up: Totals,
}

// === impl UsageQuery ===

impl UsageQuery {
    /// Everything in a month, one row a function.
    pub fn month(month: Month) -> Self {
        Self {
            from_us: month.start_us(),
            until_us: month.end_us(),
            period: Period::Month,
            ..Self::default()
        }
    }

    /// Whether it asks for this function.
    pub fn matches(&self, key: &FunctionKey) -> bool {
        names_match(&self.project, &self.app, &self.function, key)
    }

    /// The group and period that this minute of this function counts to; `None` when it is not asked for.
    pub fn group(&self, key: &FunctionKey, minute_us: u64) -> Option<UsageGroup> {
        let grain = self.grain();
        let start = grain.start_of(minute_us);
        if start < grain.start_of(self.from_us) || start >= self.until_us || !self.matches(key) {
            return None;
        }
        let start_us = match self.period {
            Period::Whole => self.from_us,
            _ => start,
        };
        Some(UsageGroup {
            start_us,
            project: key.project.clone(),
            app: (self.by != GroupBy::Project).then(|| key.app.clone()),
            function: (self.by == GroupBy::Function).then(|| key.function.clone()),
        })
    }

    /// What the range is widened to: its period, minutes for the whole.
    pub fn grain(&self) -> Period {
        match self.period {
            Period::Whole => Period::Minute,
            period => period,
        }
    }
}

impl Default for UsageQuery {
    fn default() -> Self {
        Self {
            project: None,
            app: None,
            function: None,
            from_us: 0,
            until_us: u64::MAX,
            period: Period::Whole,
            by: GroupBy::Function,
            limit: 100_000,
        }
    }
}

/// A row's identity; its order is the order of rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UsageGroup {
    /// Start of the period.
    pub start_us: u64,
    /// The project.
    pub project: ProjectName,
    /// The app, when grouped that finely.
    pub app: Option<AppName>,
    /// The function, when grouped that finely.
    pub function: Option<FunctionName>,
}

impl UsageGroup {
    /// The row of this group.
    pub fn row(self, totals: Totals) -> UsageRow {
        UsageRow {
            project: self.project,
            app: self.app,
            function: self.function,
            start_us: self.start_us,
            totals,
        }
    }
}

// === impl RecordQuery ===

impl RecordQuery {
    /// Whether it asks for this record.
    pub fn matches(&self, usage: &Usage) -> bool {
        usage.start_us >= self.since_us
            && names_match(&self.project, &self.app, &self.function, &usage.function)
    }
}

impl Default for RecordQuery {
    fn default() -> Self {
        Self {
            project: None,
            app: None,
            function: None,
            since_us: 0,
            limit: 100,
        }
    }
}

// === impl Verification ===

impl Verification {
    /// True when every minute agrees.
    pub fn is_ok(&self) -> bool {
        self.mismatches.is_empty()
    }
}

fn names_match(
    project: &Option<ProjectName>,
    app: &Option<AppName>,
    function: &Option<FunctionName>,
    key: &FunctionKey,
) -> bool {
    project.as_ref().is_none_or(|p| *p == key.project)
        && app.as_ref().is_none_or(|a| *a == key.app)
        && function.as_ref().is_none_or(|f| *f == key.function)
}
