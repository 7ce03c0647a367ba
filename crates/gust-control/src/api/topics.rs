//! Topics, and what waits for triggers.

use axum::{body::Body, extract::State};
use gust_api::{
    Problem,
    queue::{Count, LookQuery, Messages, Purge, Redrive},
    topic::{
        Events, EventsQuery, PublishQuery, PublishedEvents, Seek, Subscription, Topic, Topics,
    },
};
use gust_types::{AppName, Label, ProjectName, changes::TopicName};
use http::{HeaderMap, StatusCode};

use super::{
    error::ApiResult,
    extract::{self, Answer, Json, Path, Query, ok},
};
use crate::control::Control;

/// Bytes of a request to publish: a batch, and some.
const PUBLISH: usize = 16 << 20;

/// The topics of a project.
#[utoipa::path(
    get, path = "/v1/projects/{project}/topics", tag = "topics", operation_id = "list_topics",
    params(("project" = String, Path)),
    responses((status = 200, description = "By name.", body = Topics))
)]
pub(crate) async fn list(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
) -> ApiResult<Answer<Topics>> {
    let topics = control.topics(&project).await?;
    Ok(ok(Topics { topics }))
}

/// A topic, what it holds and who takes from it. One that nobody has named yet is empty.
#[utoipa::path(
    get, path = "/v1/projects/{project}/topics/{topic}", tag = "topics", operation_id = "show_topic",
    params(("project" = String, Path), ("topic" = String, Path)),
    responses((status = 200, description = "What it holds and how it behaves.", body = Topic))
)]
pub(crate) async fn show(
    State(control): State<Control>,
    Path((project, topic)): Path<(ProjectName, TopicName)>,
) -> ApiResult<Answer<Topic>> {
    Ok(ok(control.topic(&project, &topic).await?))
}

/// Publishes events, all of them or none. They are durable when this answers.
///
/// The request is of the CloudEvents HTTP binding: one event in the binary mode (`ce-` headers and the data as the body),
/// one in the structured mode (`application/cloudevents+json`), or a batch (`application/cloudevents-batch+json`).
#[utoipa::path(
    post, path = "/v1/projects/{project}/topics/{topic}/events", tag = "topics", operation_id = "publish_events",
    params(("project" = String, Path), ("topic" = String, Path), PublishQuery),
    request_body(content = Object, content_type = "application/cloudevents+json"),
    responses(
        (status = 202, description = "Their positions, in order.", body = PublishedEvents),
        (status = 400, description = "It is no event, or not a good one.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "It is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn publish(
    State(control): State<Control>,
    Path((project, topic)): Path<(ProjectName, TopicName)>,
    Query(query): Query<PublishQuery>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Answer<PublishedEvents>> {
    let body = extract::bytes(body, PUBLISH).await?;
    let published = control
        .publish_events(&project, &topic, (&headers, body), query.once)
        .await?;
    Ok(Answer(StatusCode::ACCEPTED, PublishedEvents { published }))
}

/// Reads events, in the order of their positions.
#[utoipa::path(
    get, path = "/v1/projects/{project}/topics/{topic}/events", tag = "topics", operation_id = "read_events",
    params(("project" = String, Path), ("topic" = String, Path), EventsQuery),
    responses((status = 200, description = "Events, and where to go on.", body = Events))
)]
pub(crate) async fn read(
    State(control): State<Control>,
    Path((project, topic)): Path<(ProjectName, TopicName)>,
    Query(query): Query<EventsQuery>,
) -> ApiResult<Answer<Events>> {
    Ok(ok(control.read_events(&project, &topic, query).await?))
}

/// Moves the subscription of a trigger: back, so that it gets events again, or forward. What waits for it already stays.
#[utoipa::path(
    post, path = "/v1/projects/{project}/topics/{topic}/subscriptions/{app}/{trigger}/seek", tag = "topics",
    operation_id = "seek_subscription",
    params(("project" = String, Path), ("topic" = String, Path), ("app" = String, Path), ("trigger" = String, Path)),
    request_body = Seek,
    responses((status = 200, description = "Where it stands now.", body = Subscription))
)]
pub(crate) async fn seek(
    State(control): State<Control>,
    Path((project, topic, app, trigger)): Path<(ProjectName, TopicName, AppName, Label)>,
    Json(seek): Json<Seek, 1024>,
) -> ApiResult<Answer<Subscription>> {
    let name = format!("{app}/{trigger}");
    Ok(ok(control.seek(&project, &topic, name, seek).await?))
}

/// Removes all events of a topic, and moves its subscriptions behind them.
#[utoipa::path(
    post, path = "/v1/projects/{project}/topics/{topic}/purge", tag = "topics", operation_id = "purge_topic",
    params(("project" = String, Path), ("topic" = String, Path)),
    responses((status = 200, description = "How many there were.", body = Count))
)]
pub(crate) async fn purge(
    State(control): State<Control>,
    Path((project, topic)): Path<(ProjectName, TopicName)>,
) -> ApiResult<Answer<Count>> {
    let ours = control.clone();
    let purge = async move { ours.purge_topic(&project, &topic).await };
    let count = control.whole("purge a topic", purge).await?;
    Ok(ok(Count { count }))
}

/// Looks at the events of a trigger that were given up, with the cause.
#[utoipa::path(
    get, path = "/v1/projects/{project}/triggers/{app}/{trigger}/dead", tag = "topics", operation_id = "dead_events",
    params(("project" = String, Path), ("app" = String, Path), ("trigger" = String, Path), LookQuery),
    responses((status = 200, description = "Events, as the queue of the trigger keeps them.", body = Messages))
)]
pub(crate) async fn dead(
    State(control): State<Control>,
    Path((project, app, trigger)): Path<(ProjectName, AppName, Label)>,
    Query(query): Query<LookQuery>,
) -> ApiResult<Answer<Messages>> {
    let of = (app, trigger);
    Ok(ok(control.trigger_dead(&project, of, query).await?))
}

/// Delivers events of a trigger again that were given up.
#[utoipa::path(
    post, path = "/v1/projects/{project}/triggers/{app}/{trigger}/redrive", tag = "topics", operation_id = "redrive_events",
    params(("project" = String, Path), ("app" = String, Path), ("trigger" = String, Path)),
    request_body = Redrive,
    responses((status = 200, description = "How many there were.", body = Count))
)]
pub(crate) async fn redrive(
    State(control): State<Control>,
    Path((project, app, trigger)): Path<(ProjectName, AppName, Label)>,
    Json(redrive): Json<Redrive, { 1 << 20 }>,
) -> ApiResult<Answer<Count>> {
    let of = (app, trigger);
    let count = control.trigger_redrive(&project, of, redrive).await?;
    Ok(ok(Count { count }))
}

/// Removes what waits for a trigger, or what was given up.
#[utoipa::path(
    post, path = "/v1/projects/{project}/triggers/{app}/{trigger}/purge", tag = "topics", operation_id = "purge_events",
    params(("project" = String, Path), ("app" = String, Path), ("trigger" = String, Path)),
    request_body = Purge,
    responses((status = 200, description = "How many there were.", body = Count))
)]
pub(crate) async fn purge_trigger(
    State(control): State<Control>,
    Path((project, app, trigger)): Path<(ProjectName, AppName, Label)>,
    Json(purge): Json<Purge, 1024>,
) -> ApiResult<Answer<Count>> {
    let (ours, of) = (control.clone(), (app, trigger));
    let purge = async move { ours.trigger_purge(&project, of, purge.dead).await };
    let count = control.whole("purge a trigger", purge).await?;
    Ok(ok(Count { count }))
}
