//! SQL databases: statements run for people, and dumps.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use futures::TryStreamExt as _;
use gust_api::{
    Problem,
    sql::{Databases, RanSql, RunSql},
};
use gust_types::{Label, ProjectName};
use http::{HeaderValue, header};

use super::{
    error::ApiResult,
    extract::{Answer, Json, Path, ok},
};
use crate::control::Control;

/// The databases of a project that anything was ever written to.
#[utoipa::path(
    get, path = "/v1/projects/{project}/sql", tag = "sql", operation_id = "list_databases",
    params(("project" = String, Path)),
    responses((status = 200, description = "By name.", body = Databases))
)]
pub(crate) async fn databases(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
) -> ApiResult<Answer<Databases>> {
    let databases = control.databases(&project).await?;
    Ok(ok(Databases { databases }))
}

/// Runs statements. What they write is durable when this answers.
#[utoipa::path(
    post, path = "/v1/projects/{project}/sql/{database}", tag = "sql", operation_id = "run_sql",
    params(("project" = String, Path), ("database" = String, Path)),
    request_body = RunSql,
    responses(
        (status = 200, description = "What came of them.", body = RanSql),
        (status = 400, description = "A statement is malformed.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A constraint does not hold.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn run(
    State(control): State<Control>,
    Path((project, database)): Path<(ProjectName, Label)>,
    Json(run): Json<RunSql, { 64 << 20 }>,
) -> ApiResult<Answer<RanSql>> {
    Ok(ok(control.run_sql(&project, &database, run).await?))
}

/// The database as SQL that makes it again, as it is at one moment.
#[utoipa::path(
    get, path = "/v1/projects/{project}/sql/{database}/dump", tag = "sql", operation_id = "dump_database",
    params(("project" = String, Path), ("database" = String, Path)),
    responses(
        (status = 200, description = "Statements, one a line. A dump that breaks off has no `COMMIT` at its end.", body = String, content_type = "application/sql"),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn dump(
    State(control): State<Control>,
    Path((project, database)): Path<(ProjectName, Label)>,
) -> ApiResult<Response> {
    let pieces = control.dump_sql(&project, &database).await?;
    let pieces = pieces.inspect_err(move |error| {
        tracing::warn!(%project, %database, error = error.chain(), "a dump broke off");
    });
    let mut response = Body::from_stream(pieces).into_response();
    let media = HeaderValue::from_static("application/sql");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    Ok(response)
}
