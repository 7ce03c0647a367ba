//! The node itself, and what is open without a token.

use std::sync::LazyLock;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use gust_api::node::NodeStatus;
use gust_telemetry::registry::CONTENT_TYPE;
use gust_types::Error;
use http::header;

use super::{
    error::ApiResult,
    extract::{Answer, ok},
};
use crate::control::Control;

/// Whether the process is up.
#[utoipa::path(get, path = "/healthz", tag = "node", security(()), responses((status = 200, description = "It is.")))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the node serves what was deployed before it started.
#[utoipa::path(
    get, path = "/readyz", tag = "node", security(()),
    responses((status = 200, description = "It does."), (status = 503, description = "Not yet.", body = gust_api::Problem))
)]
pub(crate) async fn readyz(State(control): State<Control>) -> ApiResult<&'static str> {
    if control.is_ready() {
        return Ok("ready\n");
    }
    Err(Error::unavailable("the node is starting").into())
}

/// Metrics as OpenMetrics text; open to the node's own machine, elsewhere with the token.
#[utoipa::path(
    get, path = "/metrics", tag = "node", security((), ("token" = [])),
    responses((status = 200, description = "One scrape.", body = String, content_type = "application/openmetrics-text"))
)]
pub(crate) async fn metrics(State(control): State<Control>) -> Response {
    control.count_events().await;
    let text = control.0.parts.registry.encode();
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = "node", security(()),
    responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json"))
)]
pub(crate) async fn openapi_json() -> Response {
    static DOCUMENT: LazyLock<String> =
        LazyLock::new(|| super::openapi().to_json().unwrap_or_default());
    (
        [(header::CONTENT_TYPE, "application/json")],
        DOCUMENT.as_str(),
    )
        .into_response()
}

/// How the node is: capacity, loops, warnings.
#[utoipa::path(get, path = "/v1/status", tag = "node", operation_id = "node_status", responses((status = 200, description = "The status.", body = NodeStatus)))]
pub(crate) async fn status(State(control): State<Control>) -> ApiResult<Answer<NodeStatus>> {
    Ok(ok(control.status().await?))
}
