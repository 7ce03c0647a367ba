//! Usage, bills and budgets.

use gust_types::{ProjectName, Result};
use http::Method;

use super::Client;
use crate::usage::{
    Bill, BillQuery, Budget, BudgetState, RecordQuery, Records, UsageQuery, UsageReport,
};

impl Client {
    /// What calls took, summed; without a project those of all projects.
    pub async fn usage(
        &self,
        project: Option<&ProjectName>,
        query: &UsageQuery,
    ) -> Result<UsageReport> {
        self.get(&of(project, "usage"), query).await
    }

    /// What single calls took, newest first; without a project those of all projects.
    pub async fn records(
        &self,
        project: Option<&ProjectName>,
        query: &RecordQuery,
    ) -> Result<Records> {
        self.get(&of(project, "records"), query).await
    }

    /// What a month costs; without a project for all projects together.
    pub async fn bill(&self, project: Option<&ProjectName>, query: &BillQuery) -> Result<Bill> {
        self.get(&of(project, "bill"), query).await
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

fn of(project: Option<&ProjectName>, what: &str) -> String {
    match project {
        Some(project) => format!("/projects/{project}/{what}"),
        None => format!("/{what}"),
    }
}
