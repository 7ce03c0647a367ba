//! Artifacts.

use axum::{body::Body, extract::State};
use gust_api::{
    Problem,
    deploy::{Digests, Missing, Stored},
};
use gust_types::Digest;
use http::{HeaderMap, StatusCode, header};

use super::{
    error::ApiResult,
    extract::{Answer, Json, Path, ok},
};
use crate::control::Control;

/// Which of these are to be uploaded.
#[utoipa::path(
    post, path = "/v1/artifacts/missing", tag = "artifacts", operation_id = "missing_artifacts", request_body = Digests,
    responses((status = 200, description = "Those that are missing.", body = Missing))
)]
pub(crate) async fn missing(
    State(control): State<Control>,
    Json(asked): Json<Digests, { 1 << 20 }>,
) -> ApiResult<Answer<Missing>> {
    let missing = control.missing(asked.digests).await?;
    Ok(ok(Missing { missing }))
}

/// Uploads an artifact under its digest.
#[utoipa::path(
    put, path = "/v1/artifacts/{digest}", tag = "artifacts", operation_id = "upload_artifact",
    params(("digest" = gust_api::schema::DigestText, Path)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "It is stored.", body = Stored),
        (status = 200, description = "It was here already.", body = Stored),
        (status = 400, description = "The bytes have another digest.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "It is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn upload(
    State(control): State<Control>,
    Path(digest): Path<Digest>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Answer<Stored>> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok());
    let declared = length.and_then(|text| text.parse().ok());
    let stored = control.upload(digest, declared, body).await?;
    let status = if stored.new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(Answer(status, stored))
}
