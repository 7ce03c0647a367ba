//! Usage, bills and budgets.

use gust_types::{ProjectName, Result};
use http::Method;

use super::Client;
use crate::usage::{
    Bill, BillQuery, Budget, BudgetState, RecordQuery, Records, UsageQuery, UsageReport,
};

impl Client {
    /// What a project's calls took, summed.
    pub async fn usage(&self, project: &ProjectName, query: &UsageQuery) -> Result<UsageReport> {
        self.get(&format!("/projects/{project}/usage"), query).await
    }

    /// What single calls took, newest first.
    pub async fn records(&self, project: &ProjectName, query: &RecordQuery) -> Result<Records> {
        self.get(&format!("/projects/{project}/records"), query)
            .await
    }

    /// What a month costs.
    pub async fn bill(&self, project: &ProjectName, query: &BillQuery) -> Result<Bill> {
        self.get(&format!("/projects/{project}/bill"), query).await
    }

    /// A project's budget and how much of it is used.
    pub async fn budget(&self, project: &ProjectName) -> Result<BudgetState> {
        self.get(&format!("/projects/{project}/budget"), &()).await
    }

    /// Sets what a project may cost in a month.
    pub async fn set_budget(&self, project: &ProjectName, budget: Budget) -> Result<BudgetState> {
        self.send(Method::PUT, &format!("/projects/{project}/budget"), &budget)
            .await
    }

    /// Lifts a project's budget.
    pub async fn clear_budget(&self, project: &ProjectName) -> Result<()> {
        self.delete(&format!("/projects/{project}/budget")).await
    }
}
