//! Calling a function.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use gust_api::{
    Problem,
    client::invoke::{CALL_ID, InvokeQuery},
    later::{AcceptedCall, PREFERENCE_APPLIED, RESPOND_ASYNC, prefers_async},
};
use gust_types::{AppName, Error, FunctionKey, FunctionName, ProjectName};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::{
    error::ApiResult,
    extract::{Answer, Path, Query},
};
use crate::control::Control;

/// Calls a function, a private one too; it is limited and billed as any call.
///
/// Headers for the function are sent as `x-gust-header-<name>` and no others reach it; the function's own come back the
/// same way, its status as `x-gust-status` and the call's id as `x-gust-call-id`. The answer's body is the function's.
///
/// With `Prefer: respond-async` the call is only taken over, durably, and made later; its id leads to what becomes of it.
/// Of two such calls of a function with the same `Idempotency-Key` within a day the second is the first.
#[utoipa::path(
    post, path = "/v1/projects/{project}/apps/{app}/functions/{function}/invoke", tag = "apps", operation_id = "invoke_function",
    params(("project" = String, Path), ("app" = String, Path), ("function" = String, Path), InvokeQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "The function answered, whatever its status.", body = Vec<u8>,
            content_type = "application/octet-stream",
            headers(("x-gust-status" = u16), ("x-gust-call-id" = String))),
        (status = 202, description = "The call is made later.", body = AcceptedCall,
            headers(("location" = String), ("preference-applied" = String), ("x-gust-call-id" = String))),
        (status = 409, description = "The idempotency key belongs to another request.", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than the function takes, or than can be kept for later.",
            body = Problem, content_type = "application/problem+json"),
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
    if prefers_async(&headers) {
        let project = key.project.clone();
        let accepted = control.invoke_later(key, query, &headers, body).await?;
        return later(&project, accepted);
    }
    let answer = control.invoke(key, query, &headers, body).await?;
    Ok(answer.map(Body::new))
}

/// The call is made later; where to ask for it.
fn later(project: &ProjectName, accepted: AcceptedCall) -> ApiResult<Response> {
    let id = accepted.id;
    let mut answer = Answer(StatusCode::ACCEPTED, accepted).into_response();
    let text = |text: String| {
        HeaderValue::try_from(text).map_err(|e| Error::internal("an id is no header").because(e))
    };
    let headers = answer.headers_mut();
    let location = text(format!("/v1/projects/{project}/calls/{id}"))?;
    headers.insert(header::LOCATION, location);
    headers.insert(CALL_ID, text(id.to_string())?);
    headers.insert(PREFERENCE_APPLIED, RESPOND_ASYNC);
    Ok(answer)
}
