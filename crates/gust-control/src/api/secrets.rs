//! Values of variables. Nothing here answers with one.

use axum::extract::State;
use gust_api::{
    Problem,
    secrets::{NewSecret, SecretChanged, Secrets},
};
use gust_types::{AppName, ProjectName};

use super::{
    error::ApiResult,
    extract::{Answer, Json, Path, ok},
};
use crate::control::Control;

/// The names of the values that are set for an app.
#[utoipa::path(
    get, path = "/v1/projects/{project}/apps/{app}/secrets", tag = "secrets", operation_id = "list_secrets",
    params(("project" = String, Path), ("app" = String, Path)),
    responses((status = 200, description = "Names, never values.", body = Secrets))
)]
pub(crate) async fn list(
    State(control): State<Control>,
    Path((project, app)): Path<(ProjectName, AppName)>,
) -> ApiResult<Answer<Secrets>> {
    let secrets = control.secrets(&project, &app).await?;
    Ok(ok(Secrets { secrets }))
}

/// Sets the value of a variable, before or after the app's first deploy.
///
/// It makes no new revision: when the serving deployment uses the variable, it serves with the new value from now on.
#[utoipa::path(
    put, path = "/v1/projects/{project}/apps/{app}/secrets/{name}", tag = "secrets", operation_id = "set_secret",
    params(("project" = String, Path), ("app" = String, Path), ("name" = String, Path)),
    request_body = NewSecret,
    responses((status = 200, description = "It is done.", body = SecretChanged))
)]
pub(crate) async fn set(
    State(control): State<Control>,
    Path((project, app, name)): Path<(ProjectName, AppName, String)>,
    Json(new): Json<NewSecret, { 1 << 20 }>,
) -> ApiResult<Answer<SecretChanged>> {
    let ours = control.clone();
    let changed = control
        .whole("set a value", async move {
            ours.set_secret(&project, &app, &name, &new.value).await
        })
        .await?;
    Ok(ok(changed))
}

/// Forgets the value of a variable.
#[utoipa::path(
    delete, path = "/v1/projects/{project}/apps/{app}/secrets/{name}", tag = "secrets", operation_id = "remove_secret",
    params(("project" = String, Path), ("app" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, description = "It is done.", body = SecretChanged),
        (status = 409, description = "The serving deployment needs it.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn remove(
    State(control): State<Control>,
    Path((project, app, name)): Path<(ProjectName, AppName, String)>,
) -> ApiResult<Answer<SecretChanged>> {
    let ours = control.clone();
    let changed = control
        .whole("forget a value", async move {
            ours.remove_secret(&project, &app, &name).await
        })
        .await?;
    Ok(ok(changed))
}
