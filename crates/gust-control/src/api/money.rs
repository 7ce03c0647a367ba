//! Usage, bills and budgets.

use axum::extract::State;
use gust_api::usage::{
    Bill, BillQuery, Budget, BudgetState, RecordQuery, Records, UsageQuery, UsageReport,
};
use gust_types::ProjectName;
use http::StatusCode;

use super::{
    error::ApiResult,
    extract::{Answer, Json, Path, Query, ok},
};
use crate::control::Control;

/// What a project's calls took, summed.
#[utoipa::path(
    get, path = "/v1/projects/{project}/usage", tag = "money", operation_id = "usage", params(("project" = String, Path), UsageQuery),
    responses((status = 200, description = "Rows and their sum.", body = UsageReport))
)]
pub(crate) async fn usage(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
    Query(query): Query<UsageQuery>,
) -> ApiResult<Answer<UsageReport>> {
    Ok(ok(control.usage(Some(project), query).await?))
}

/// What the calls of all projects took, summed.
#[utoipa::path(
    get, path = "/v1/usage", tag = "money", operation_id = "usage_of_all", params(UsageQuery),
    responses((status = 200, description = "Rows and their sum.", body = UsageReport))
)]
pub(crate) async fn usage_of_all(
    State(control): State<Control>,
    Query(query): Query<UsageQuery>,
) -> ApiResult<Answer<UsageReport>> {
    Ok(ok(control.usage(None, query).await?))
}

/// What single calls took, newest first.
#[utoipa::path(
    get, path = "/v1/projects/{project}/records", tag = "money", operation_id = "usage_records", params(("project" = String, Path), RecordQuery),
    responses((status = 200, description = "Newest first.", body = Records))
)]
pub(crate) async fn records(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
    Query(query): Query<RecordQuery>,
) -> ApiResult<Answer<Records>> {
    Ok(ok(control.records(Some(project), query).await?))
}

/// What single calls of all projects took, newest first.
#[utoipa::path(
    get, path = "/v1/records", tag = "money", operation_id = "usage_records_of_all", params(RecordQuery),
    responses((status = 200, description = "Newest first.", body = Records))
)]
pub(crate) async fn records_of_all(
    State(control): State<Control>,
    Query(query): Query<RecordQuery>,
) -> ApiResult<Answer<Records>> {
    Ok(ok(control.records(None, query).await?))
}

/// What a month costs, by function, app or as a whole.
#[utoipa::path(
    get, path = "/v1/projects/{project}/bill", tag = "money", operation_id = "bill", params(("project" = String, Path), BillQuery),
    responses((status = 200, description = "Lines and their sum.", body = Bill))
)]
pub(crate) async fn bill(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
    Query(query): Query<BillQuery>,
) -> ApiResult<Answer<Bill>> {
    Ok(ok(control.bill(Some(project), query).await?))
}

/// What a month costs, for all projects together.
#[utoipa::path(
    get, path = "/v1/bill", tag = "money", operation_id = "bill_of_all", params(BillQuery),
    responses((status = 200, description = "Lines and their sum.", body = Bill))
)]
pub(crate) async fn bill_of_all(
    State(control): State<Control>,
    Query(query): Query<BillQuery>,
) -> ApiResult<Answer<Bill>> {
    Ok(ok(control.bill(None, query).await?))
}

/// The project's budget and how much of it is used.
#[utoipa::path(
    get, path = "/v1/projects/{project}/budget", tag = "money", operation_id = "show_budget", params(("project" = String, Path)),
    responses((status = 200, description = "The budget and what is spent.", body = BudgetState))
)]
pub(crate) async fn budget(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
) -> ApiResult<Answer<BudgetState>> {
    Ok(ok(control.budget(&project).await?))
}

/// Sets what the project may cost in a month; calls are refused once that is reached.
#[utoipa::path(
    put, path = "/v1/projects/{project}/budget", tag = "money", operation_id = "set_budget", params(("project" = String, Path)),
    request_body = Budget, responses((status = 200, description = "The budget and what is spent.", body = BudgetState))
)]
pub(crate) async fn set_budget(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
    Json(budget): Json<Budget, 4096>,
) -> ApiResult<Answer<BudgetState>> {
    let ours = control.clone();
    let state = control
        .whole("set a budget", async move {
            ours.set_budget(&project, Some(budget)).await
        })
        .await?;
    Ok(ok(state))
}

/// Lifts the project's budget.
#[utoipa::path(
    delete, path = "/v1/projects/{project}/budget", tag = "money", operation_id = "clear_budget", params(("project" = String, Path)),
    responses((status = 204, description = "There is none now."))
)]
pub(crate) async fn clear_budget(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
) -> ApiResult<StatusCode> {
    let ours = control.clone();
    control
        .whole("lift a budget", async move {
            ours.set_budget(&project, None).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
