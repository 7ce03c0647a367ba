//! Queues, their messages, and the triggers that take from them.

use axum::extract::State;
use gust_api::queue::{
    Count, LookQuery, Messages, Publish, PublishedAll, Purge, Queue, Queues, Redrive, Triggers,
};
use gust_types::{Label, ProjectName, call::Trace};
use http::HeaderMap;

use super::{
    error::ApiResult,
    extract::{Answer, Json, Path, Query, ok},
};
use crate::control::Control;

/// Bytes of a request to publish: a batch in base64, and some.
const PUBLISH: usize = 16 << 20;

/// The queues of a project.
#[utoipa::path(
    get, path = "/v1/projects/{project}/queues", tag = "queues", operation_id = "list_queues",
    params(("project" = String, Path)),
    responses((status = 200, description = "By name.", body = Queues))
)]
pub(crate) async fn list(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
) -> ApiResult<Answer<Queues>> {
    let queues = control.queues(&project).await?;
    Ok(ok(Queues { queues }))
}

/// A queue and what it holds. One that nobody has named yet is empty.
#[utoipa::path(
    get, path = "/v1/projects/{project}/queues/{queue}", tag = "queues", operation_id = "show_queue",
    params(("project" = String, Path), ("queue" = String, Path)),
    responses((status = 200, description = "What it holds and how it behaves.", body = Queue))
)]
pub(crate) async fn show(
    State(control): State<Control>,
    Path((project, queue)): Path<(ProjectName, Label)>,
) -> ApiResult<Answer<Queue>> {
    Ok(ok(control.queue(&project, &queue).await?))
}

/// Publishes messages, all of them or none. They are durable when this answers. Those that name no trace go on with that of
/// the request's `traceparent`.
#[utoipa::path(
    post, path = "/v1/projects/{project}/queues/{queue}/messages", tag = "queues", operation_id = "publish",
    params(("project" = String, Path), ("queue" = String, Path)),
    request_body = Publish,
    responses((status = 200, description = "Their numbers, in order.", body = PublishedAll))
)]
pub(crate) async fn publish(
    State(control): State<Control>,
    Path((project, queue)): Path<(ProjectName, Label)>,
    headers: HeaderMap,
    Json(publish): Json<Publish, PUBLISH>,
) -> ApiResult<Answer<PublishedAll>> {
    let parent = Trace::header_of(&headers);
    let published = control
        .publish_messages(&project, &queue, publish.messages, parent)
        .await?;
    Ok(ok(PublishedAll { published }))
}

/// Looks at messages without taking them, in the order of their numbers.
#[utoipa::path(
    get, path = "/v1/projects/{project}/queues/{queue}/messages", tag = "queues", operation_id = "peek",
    params(("project" = String, Path), ("queue" = String, Path), LookQuery),
    responses((status = 200, description = "Messages.", body = Messages))
)]
pub(crate) async fn peek(
    State(control): State<Control>,
    Path((project, queue)): Path<(ProjectName, Label)>,
    Query(query): Query<LookQuery>,
) -> ApiResult<Answer<Messages>> {
    Ok(ok(control.peek(&project, &queue, query).await?))
}

/// Looks at messages that were given up, with the cause.
#[utoipa::path(
    get, path = "/v1/projects/{project}/queues/{queue}/dead", tag = "queues", operation_id = "dead_messages",
    params(("project" = String, Path), ("queue" = String, Path), LookQuery),
    responses((status = 200, description = "Messages.", body = Messages))
)]
pub(crate) async fn dead(
    State(control): State<Control>,
    Path((project, queue)): Path<(ProjectName, Label)>,
    Query(query): Query<LookQuery>,
) -> ApiResult<Answer<Messages>> {
    Ok(ok(control.dead(&project, &queue, query).await?))
}

/// Publishes dead messages again, under new numbers and with no attempts behind them.
#[utoipa::path(
    post, path = "/v1/projects/{project}/queues/{queue}/redrive", tag = "queues", operation_id = "redrive",
    params(("project" = String, Path), ("queue" = String, Path)),
    request_body = Redrive,
    responses((status = 200, description = "How many there were.", body = Count))
)]
pub(crate) async fn redrive(
    State(control): State<Control>,
    Path((project, queue)): Path<(ProjectName, Label)>,
    Json(redrive): Json<Redrive, { 1 << 20 }>,
) -> ApiResult<Answer<Count>> {
    let count = control.redrive(&project, &queue, redrive).await?;
    Ok(ok(Count { count }))
}

/// Removes all messages, or all dead ones. What is published meanwhile may be removed too.
#[utoipa::path(
    post, path = "/v1/projects/{project}/queues/{queue}/purge", tag = "queues", operation_id = "purge",
    params(("project" = String, Path), ("queue" = String, Path)),
    request_body = Purge,
    responses((status = 200, description = "How many there were.", body = Count))
)]
pub(crate) async fn purge(
    State(control): State<Control>,
    Path((project, queue)): Path<(ProjectName, Label)>,
    Json(purge): Json<Purge, 1024>,
) -> ApiResult<Answer<Count>> {
    let ours = control.clone();
    let count = control
        .whole("purge a queue", async move {
            ours.purge(&project, &queue, purge.dead).await
        })
        .await?;
    Ok(ok(Count { count }))
}

/// The triggers of a project, and what became of their events.
#[utoipa::path(
    get, path = "/v1/projects/{project}/triggers", tag = "queues", operation_id = "list_triggers",
    params(("project" = String, Path)),
    responses((status = 200, description = "By app and name.", body = Triggers))
)]
pub(crate) async fn triggers(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
) -> ApiResult<Answer<Triggers>> {
    let triggers = control.triggers(&project).await?;
    Ok(ok(Triggers { triggers }))
}
