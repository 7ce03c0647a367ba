//! Projects.

use axum::extract::State;
use gust_api::{
    Problem,
    app::{NewProject, Project, Projects},
};
use gust_types::ProjectName;
use http::StatusCode;

use super::{
    error::ApiResult,
    extract::{Answer, Json, Path, ok},
};
use crate::control::Control;

/// All projects.
#[utoipa::path(get, path = "/v1/projects", tag = "projects", operation_id = "list_projects", responses((status = 200, description = "By name.", body = Projects)))]
pub(crate) async fn list(State(control): State<Control>) -> ApiResult<Answer<Projects>> {
    let projects = control.projects().await?;
    Ok(ok(Projects { projects }))
}

/// Makes a project.
#[utoipa::path(
    post, path = "/v1/projects", tag = "projects", operation_id = "create_project", request_body = NewProject,
    responses(
        (status = 201, description = "It is made.", body = Project),
        (status = 409, description = "It exists.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn create(
    State(control): State<Control>,
    Json(new): Json<NewProject, 4096>,
) -> ApiResult<Answer<Project>> {
    Ok(Answer(
        StatusCode::CREATED,
        control.create_project(new.name).await?,
    ))
}

/// Removes a project that has no apps, with its budget.
#[utoipa::path(
    delete, path = "/v1/projects/{project}", tag = "projects", operation_id = "remove_project", params(("project" = String, Path)),
    responses(
        (status = 204, description = "It is gone."),
        (status = 409, description = "It has apps.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn remove(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
) -> ApiResult<StatusCode> {
    let ours = control.clone();
    control
        .whole("remove project", async move {
            ours.remove_project(project).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
