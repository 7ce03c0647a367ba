//! Deploys, their history, and the way back.

use axum::{Extension, extract::State, response::Response};
use bytes::Bytes;
use gust_api::{
    Problem,
    app::Deployments,
    deploy::{DeployRequest, Deployed, Event, Rollback},
};
use gust_types::{AppName, Error, ProjectName};
use tokio::sync::mpsc;

use super::{
    error::{self, ApiResult},
    extract::{Answer, Json, Path, ok},
    gates::RequestId,
    stream,
};
use crate::control::Control;

/// Bytes of an app's description.
const MAX_APP: usize = 4 << 20;
/// Lines that may wait for the one who listens; steps beyond them are left out.
const BACKLOG: usize = 256;

/// Deploys an app whose artifacts are uploaded.
///
/// Answers with one event per line; the last one is `done` or `error`. A deploy goes on to its end when the caller hangs
/// up. Deploys of one app follow each other: a second one waits for the first for 30 seconds and ends with a conflict
/// after that. An app that is deployed as it is already makes no new revision, and `changed` is false.
#[utoipa::path(
    post, path = "/v1/projects/{project}/apps/{app}/deploy", tag = "deploys", operation_id = "deploy_app",
    params(("project" = String, Path), ("app" = String, Path)),
    request_body = DeployRequest,
    responses(
        (status = 200, description = "Events, one per line.", body = Event, content_type = "application/x-ndjson"),
        (status = 413, description = "The app's description is too large.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn deploy(
    State(control): State<Control>,
    Extension(id): Extension<RequestId>,
    Path((project, app)): Path<(ProjectName, AppName)>,
    Json(request): Json<DeployRequest, MAX_APP>,
) -> ApiResult<Response> {
    if request.app.name != app {
        return Err(
            Error::invalid(format!("the path names another app than the body: {app}")).into(),
        );
    }
    let (to, from) = mpsc::channel(BACKLOG);
    gust_task::spawn("deploy", async move {
        let last = run(&control, project, request, &to, &id).await;
        // The last line is worth waiting for, if anybody still listens.
        let _ = to.send(stream::line(&last)).await;
    });
    Ok(stream::lines(from))
}

async fn run(
    control: &Control,
    project: ProjectName,
    request: DeployRequest,
    to: &mpsc::Sender<Bytes>,
    id: &RequestId,
) -> Event {
    let listener = to.clone();
    let heard = move |event: Event| {
        let _ = listener.try_send(stream::line(&event));
    };
    // A panic is caught where the task ends; here it would leave the caller without a last line.
    let ours = control.clone();
    let deployed = control
        .whole("deploy", async move {
            ours.deploy(&project, request, &heard).await
        })
        .await;
    match deployed {
        Ok(deployed) => Event::Done(deployed),
        Err(error) => Event::Error(error::line(&error, &id.0)),
    }
}

/// An app's latest deployments, newest first.
#[utoipa::path(
    get, path = "/v1/projects/{project}/apps/{app}/deployments", tag = "deploys", operation_id = "list_deployments",
    params(("project" = String, Path), ("app" = String, Path)),
    responses((status = 200, description = "Newest first.", body = Deployments))
)]
pub(crate) async fn list(
    State(control): State<Control>,
    Path((project, app)): Path<(ProjectName, AppName)>,
) -> ApiResult<Answer<Deployments>> {
    let deployments = control.deployments(&project, &app).await?;
    Ok(ok(Deployments { deployments }))
}

/// Makes an earlier deployment serve again, as a new deployment with the old revisions.
///
/// Without a number it is the deployment before the serving one; asked again, the one before that.
#[utoipa::path(
    post, path = "/v1/projects/{project}/apps/{app}/rollback", tag = "deploys", operation_id = "rollback_app",
    params(("project" = String, Path), ("app" = String, Path)),
    request_body = Rollback,
    responses(
        (status = 200, description = "It serves.", body = Deployed),
        (status = 409, description = "There is nothing to go back to.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn rollback(
    State(control): State<Control>,
    Path((project, app)): Path<(ProjectName, AppName)>,
    Json(to): Json<Rollback, 4096>,
) -> ApiResult<Answer<Deployed>> {
    let ours = control.clone();
    let deployed = control
        .whole("rollback", async move {
            ours.rollback(&project, &app, to.deployment).await
        })
        .await?;
    Ok(ok(deployed))
}
