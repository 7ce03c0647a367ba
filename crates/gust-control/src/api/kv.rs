//! Key-value stores. A value is the body, what is known of it stands in headers.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use gust_api::{
    Problem,
    kv::{EXPIRES, Increment, Incremented, Keys, KeysQuery, Set, SetQuery, Stores, VERSION},
};
use gust_types::{Label, ProjectName};
use http::{HeaderValue, StatusCode, header};

use super::{
    error::ApiResult,
    extract::{Answer, Json, Path, Query, bytes, ok},
};
use crate::control::Control;

/// The stores of a project that anything was ever put into.
#[utoipa::path(
    get, path = "/v1/projects/{project}/kv", tag = "kv", operation_id = "list_stores",
    params(("project" = String, Path)),
    responses((status = 200, description = "By name.", body = Stores))
)]
pub(crate) async fn stores(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
) -> ApiResult<Answer<Stores>> {
    let stores = control.stores(&project).await?;
    Ok(ok(Stores { stores }))
}

/// Keys of a store, in byte order. One that nothing was ever put into is empty.
#[utoipa::path(
    get, path = "/v1/projects/{project}/kv/{store}", tag = "kv", operation_id = "list_keys",
    params(("project" = String, Path), ("store" = String, Path), KeysQuery),
    responses((status = 200, description = "Some of them; `next` says where to go on.", body = Keys))
)]
pub(crate) async fn list(
    State(control): State<Control>,
    Path((project, store)): Path<(ProjectName, Label)>,
    Query(query): Query<KeysQuery>,
) -> ApiResult<Answer<Keys>> {
    Ok(ok(control.kv_keys(&project, &store, query).await?))
}

/// The value of a key.
#[utoipa::path(
    get, path = "/v1/projects/{project}/kv/{store}/{*key}", tag = "kv", operation_id = "get_value",
    params(
        ("project" = String, Path), ("store" = String, Path),
        ("key" = String, Path, description = "Percent-encoded; slashes may stand as they are.")
    ),
    responses(
        (status = 200, description = "Its bytes; `x-gust-version` is their version, `x-gust-expires-us` when they are gone.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, description = "It has none.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn get(
    State(control): State<Control>,
    Path((project, store, key)): Path<(ProjectName, Label, String)>,
) -> ApiResult<Response> {
    let found = control.kv_get(&project, &store, &key).await?;
    let mut response = found.value.into_response();
    let headers = response.headers_mut();
    let media = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, media);
    headers.insert(VERSION, found.version.0.into());
    if let Some(at) = found.expires_us {
        headers.insert(EXPIRES, at.into());
    }
    Ok(response)
}

/// Sets the value of a key. It is durable when this answers.
#[utoipa::path(
    put, path = "/v1/projects/{project}/kv/{store}/{*key}", tag = "kv", operation_id = "set_value",
    params(("project" = String, Path), ("store" = String, Path), ("key" = String, Path), SetQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "It is set.", body = Set),
        (status = 409, description = "The condition does not hold.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "It is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn set(
    State(control): State<Control>,
    Path((project, store, key)): Path<(ProjectName, Label, String)>,
    Query(how): Query<SetQuery>,
    body: Body,
) -> ApiResult<Answer<Set>> {
    let store = control.store(&project, &store).await?;
    let value = bytes(body, store.limits().value).await?;
    Ok(ok(control.kv_set(&*store, &key, value, how).await?))
}

/// Removes the value of a key, if it has one.
#[utoipa::path(
    delete, path = "/v1/projects/{project}/kv/{store}/{*key}", tag = "kv", operation_id = "delete_value",
    params(("project" = String, Path), ("store" = String, Path), ("key" = String, Path)),
    responses((status = 204, description = "It has none."))
)]
pub(crate) async fn remove(
    State(control): State<Control>,
    Path((project, store, key)): Path<(ProjectName, Label, String)>,
) -> ApiResult<StatusCode> {
    control.kv_remove(&project, &store, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds to a number, which is written in decimal digits; a key without a value counts as 0.
#[utoipa::path(
    post, path = "/v1/projects/{project}/increment/{store}", tag = "kv", operation_id = "increment_value",
    params(("project" = String, Path), ("store" = String, Path)),
    request_body = Increment,
    responses((status = 200, description = "The sum.", body = Incremented))
)]
pub(crate) async fn increment(
    State(control): State<Control>,
    Path((project, store)): Path<(ProjectName, Label)>,
    Json(increment): Json<Increment, { 64 << 10 }>,
) -> ApiResult<Answer<Incremented>> {
    Ok(ok(control
        .kv_increment(&project, &store, increment)
        .await?))
}
