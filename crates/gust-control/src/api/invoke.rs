//! Calling a function.

use axum::{body::Body, extract::State, response::Response};
use gust_api::{Problem, client::invoke::InvokeQuery};
use gust_types::{AppName, Error, FunctionKey, FunctionName, ProjectName};
use http::HeaderMap;
use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::{
    error::ApiResult,
    extract::{Path, Query},
};
use crate::control::Control;

/// Calls a function, a private one too; it is limited and billed as any call.
///
/// Headers for the function are sent as `x-gust-header-<name>` and no others reach it; the function's own come back the
/// same way, its status as `x-gust-status` and the call's id as `x-gust-call-id`. The answer's body is the function's.
#[utoipa::path(
    post, path = "/v1/projects/{project}/apps/{app}/functions/{function}/invoke", tag = "apps", operation_id = "invoke_function",
    params(("project" = String, Path), ("app" = String, Path), ("function" = String, Path), InvokeQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "The function answered, whatever its status.", body = Vec<u8>,
            content_type = "application/octet-stream",
            headers(("x-gust-status" = u16), ("x-gust-call-id" = String))),
        (status = 429, description = "The budget is used up.", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The function failed.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn invoke(
    State(control): State<Control>,
    Path((project, app, function)): Path<(ProjectName, AppName, FunctionName)>,
    Query(mut query): Query<InvokeQuery>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let by_default = if body.is_end_stream() { "GET" } else { "POST" };
    query.method.get_or_insert_with(|| by_default.to_owned());
    let key = FunctionKey {
        project,
        app,
        function,
    };
    let body = body
        .map_err(|e| Error::invalid("the request body broke off").because(e))
        .boxed_unsync();
    let answer = control.invoke(key, query, &headers, body).await?;
    Ok(answer.map(Body::new))
}
