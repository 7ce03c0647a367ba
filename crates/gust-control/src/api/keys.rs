//! Access keys. A secret is in the answer that makes its key, and in no other.

use axum::extract::State;
use gust_api::{
    Problem,
    keys::{AccessKeys, MadeAccessKey, NewAccessKey},
};
use gust_types::ProjectName;
use http::StatusCode;

use super::{
    error::ApiResult,
    extract::{Answer, Json, Path, ok},
};
use crate::control::Control;

/// The access keys of a project, without their secrets.
#[utoipa::path(
    get, path = "/v1/projects/{project}/keys", tag = "keys", operation_id = "list_access_keys", params(("project" = String, Path)),
    responses((status = 200, description = "The oldest first.", body = AccessKeys))
)]
pub(crate) async fn list(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
) -> ApiResult<Answer<AccessKeys>> {
    let keys = control.access_keys(&project).await?;
    Ok(ok(AccessKeys { keys }))
}

/// Makes an access key. Its secret is told this once.
#[utoipa::path(
    post, path = "/v1/projects/{project}/keys", tag = "keys", operation_id = "create_access_key", params(("project" = String, Path)),
    request_body = NewAccessKey,
    responses(
        (status = 201, description = "It is made.", body = MadeAccessKey),
        (status = 429, description = "The project has too many.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn create(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
    Json(new): Json<NewAccessKey, 4096>,
) -> ApiResult<Answer<MadeAccessKey>> {
    let ours = control.clone();
    let made = control
        .whole("make an access key", async move {
            ours.create_access_key(&project, &new.note).await
        })
        .await?;
    Ok(Answer(StatusCode::CREATED, made))
}

/// Removes an access key: what is signed with it is refused from now on.
#[utoipa::path(
    delete, path = "/v1/projects/{project}/keys/{id}", tag = "keys", operation_id = "remove_access_key",
    params(("project" = String, Path), ("id" = String, Path)),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "The project has no such key.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn remove(
    State(control): State<Control>,
    Path((project, id)): Path<(ProjectName, String)>,
) -> ApiResult<StatusCode> {
    let ours = control.clone();
    control
        .whole("remove an access key", async move {
            ours.remove_access_key(&project, &id).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
