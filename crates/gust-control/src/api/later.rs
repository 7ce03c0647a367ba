//! Calls that are made later.

use axum::{body::Body, extract::State, response::Response};
use gust_api::{
    Problem,
    later::{CallsQuery, LaterCall, LaterCalls, WaitQuery},
};
use gust_types::{ProjectName, call::CallId};

use super::{
    error::ApiResult,
    extract::{Answer, Path, Query, ok},
};
use crate::control::Control;

/// The calls of a project that are or were made later, as long as their results are kept.
#[utoipa::path(
    get, path = "/v1/projects/{project}/calls", tag = "calls", operation_id = "list_calls",
    params(("project" = String, Path), CallsQuery),
    responses((status = 200, description = "The newest first.", body = LaterCalls))
)]
pub(crate) async fn list(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
    Query(query): Query<CallsQuery>,
) -> ApiResult<Answer<LaterCalls>> {
    Ok(ok(control.calls(&project, query).await?))
}

/// One of them, and what became of it. With `wait`, when it is over or that time is up.
#[utoipa::path(
    get, path = "/v1/projects/{project}/calls/{id}", tag = "calls", operation_id = "show_call",
    params(("project" = String, Path), ("id" = String, Path), WaitQuery),
    responses(
        (status = 200, description = "How far it is.", body = LaterCall),
        (status = 404, description = "There is none, or its result is not kept any more.", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub(crate) async fn show(
    State(control): State<Control>,
    Path((project, id)): Path<(ProjectName, CallId)>,
    Query(query): Query<WaitQuery>,
) -> ApiResult<Answer<LaterCall>> {
    Ok(ok(control.call(&project, id, query).await?))
}

/// What the function answered, written as the answer of invoking it.
#[utoipa::path(
    get, path = "/v1/projects/{project}/calls/{id}/result", tag = "calls", operation_id = "call_result",
    params(("project" = String, Path), ("id" = String, Path), WaitQuery),
    responses(
        (status = 200, description = "The function answered, whatever its status.", body = Vec<u8>,
            content_type = "application/octet-stream",
            headers(("x-gust-status" = u16), ("x-gust-call-id" = String))),
        (status = 409, description = "It is not over yet, or it was cancelled.", body = Problem,
            content_type = "application/problem+json"),
        (status = 502, description = "It was given up without an answer.", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub(crate) async fn result(
    State(control): State<Control>,
    Path((project, id)): Path<(ProjectName, CallId)>,
    Query(query): Query<WaitQuery>,
) -> ApiResult<Response> {
    let answer = control.call_result(&project, id, query).await?;
    Ok(answer.map(Body::new))
}

/// Does not make a call that waits, and ends one that is under way.
#[utoipa::path(
    delete, path = "/v1/projects/{project}/calls/{id}", tag = "calls", operation_id = "cancel_call",
    params(("project" = String, Path), ("id" = String, Path)),
    responses(
        (status = 200, description = "It is cancelled.", body = LaterCall),
        (status = 409, description = "It is over.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn cancel(
    State(control): State<Control>,
    Path((project, id)): Path<(ProjectName, CallId)>,
) -> ApiResult<Answer<LaterCall>> {
    let ours = control.clone();
    let cancelled = control.whole("cancel a call", async move {
        ours.cancel_call(&project, id).await
    });
    Ok(ok(cancelled.await?))
}
