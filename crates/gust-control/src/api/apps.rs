//! Apps.

use axum::extract::State;
use gust_api::{
    Problem,
    app::{AppDetails, Apps},
};
use gust_types::{AppName, ProjectName};
use http::StatusCode;

use super::{
    error::ApiResult,
    extract::{Answer, Path, ok},
};
use crate::control::Control;

/// The apps of a project.
#[utoipa::path(
    get, path = "/v1/projects/{project}/apps", tag = "apps", operation_id = "list_apps", params(("project" = String, Path)),
    responses((status = 200, description = "By name.", body = Apps))
)]
pub(crate) async fn list(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
) -> ApiResult<Answer<Apps>> {
    let apps = control.apps(&project).await?;
    Ok(ok(Apps { apps }))
}

/// One app: its configuration, variables and history.
#[utoipa::path(
    get, path = "/v1/projects/{project}/apps/{app}", tag = "apps", operation_id = "show_app",
    params(("project" = String, Path), ("app" = String, Path)),
    responses(
        (status = 200, description = "The app.", body = AppDetails),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn show(
    State(control): State<Control>,
    Path((project, app)): Path<(ProjectName, AppName)>,
) -> ApiResult<Answer<AppDetails>> {
    Ok(ok(control.app(&project, &app).await?))
}

/// Stops serving an app and forgets its history, values and logs. What it stored and what it used stays.
#[utoipa::path(
    delete, path = "/v1/projects/{project}/apps/{app}", tag = "apps", operation_id = "remove_app",
    params(("project" = String, Path), ("app" = String, Path)),
    responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn remove(
    State(control): State<Control>,
    Path((project, app)): Path<(ProjectName, AppName)>,
) -> ApiResult<StatusCode> {
    let ours = control.clone();
    control
        .whole("remove app", async move {
            ours.remove_app(&project, &app).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
