//! What guests wrote.

use axum::{extract::State, response::Response};
use bytes::Bytes;
use gust_api::logs::{LogEntry, LogItem, LogQuery, Stream};
use gust_telemetry::logs::{Filter, Follow, Followed, Line, MAX_READ, Stream as Kept};
use gust_types::{AppName, ProjectName};
use tokio::sync::mpsc;

use super::{
    error::ApiResult,
    extract::{Path, Query},
    stream,
};
use crate::control::Control;

/// Entries when the caller does not say.
const USUAL: u32 = 1000;
/// Lines that may wait for the connection.
const BACKLOG: usize = 64;

/// What the app's guests wrote, oldest first; with `follow` it goes on, across deploys, until the caller hangs up.
#[utoipa::path(
    get, path = "/v1/projects/{project}/apps/{app}/logs", tag = "apps", operation_id = "read_logs",
    params(("project" = String, Path), ("app" = String, Path), LogQuery),
    responses((status = 200, description = "Entries, one per line.", body = LogItem, content_type = "application/x-ndjson"))
)]
pub(crate) async fn logs(
    State(control): State<Control>,
    Path((project, app)): Path<(ProjectName, AppName)>,
    Query(query): Query<LogQuery>,
) -> ApiResult<Response> {
    control.must_have(&project).await?;
    let filter = Filter {
        project,
        app: Some(app),
        function: query.function,
        call: query.call,
        since_us: query.since_us.unwrap_or(0),
        after: query.after.unwrap_or(0),
    };
    let limit = (query.limit.unwrap_or(USUAL) as usize).min(MAX_READ);
    let logs = &control.0.parts.logs;
    let (kept, follow) = if query.follow {
        let (kept, follow) = logs.follow(filter, limit).await?;
        (kept, Some(follow))
    } else {
        (logs.read(filter, limit).await?, None)
    };
    let (to, from) = mpsc::channel(BACKLOG);
    let stop = control.0.stop.clone();
    gust_task::spawn("logs", async move {
        tokio::select! {
            () = write(kept, follow, &to) => {}
            () = stop.stopped() => {}
            () = to.closed() => {}
        }
    });
    Ok(stream::lines(from))
}

/// Until there is nothing more to say, or nobody to say it to.
async fn write(kept: Vec<Line>, follow: Option<Follow>, to: &mpsc::Sender<Bytes>) {
    for line in &kept {
        if to
            .send(stream::line(&LogItem::Entry(entry(line))))
            .await
            .is_err()
        {
            return;
        }
    }
    let Some(mut follow) = follow else {
        return;
    };
    while let Some(next) = follow.next().await {
        let item = match next {
            Followed::Line(line) => LogItem::Entry(entry(&line)),
            Followed::Missed(missed) => LogItem::Missed { missed },
        };
        if to.send(stream::line(&item)).await.is_err() {
            return;
        }
    }
}

fn entry(line: &Line) -> LogEntry {
    LogEntry {
        n: line.n,
        time_us: line.time_us,
        project: line.key.project.clone(),
        app: line.key.app.clone(),
        function: line.key.function.clone(),
        revision: line.revision,
        call: line.call,
        stream: match line.stream {
            Kept::Stdout => Stream::Stdout,
            Kept::Stderr => Stream::Stderr,
            Kept::Platform => Stream::Platform,
        },
        text: line.text.clone(),
    }
}
