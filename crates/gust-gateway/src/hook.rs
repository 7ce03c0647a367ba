//! A request at a webhook's path: its body is collected within limits, and whoever keeps it is asked.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use gust_backend::desk::{Hook, Ring, Rung};
use gust_telemetry::Refusal;
use gust_types::{
    Blame, Error, Kind, ProjectName, Result,
    call::{CallId, Trace},
};
use http::{HeaderValue, Method, Response, StatusCode, header, request};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use parking_lot::Mutex;

use crate::{
    body::{ReplyBody, RequestBody},
    connection::Door,
    refuse::Refuse,
    respond,
};

/// How long a body may take altogether: senders have it ready, and it is kept in memory until it is whole.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Bytes of such bodies in memory, over all requests.
const MAX_HELD: usize = 64 << 20;
/// Of them, those of one project: who sends slowly, and unsigned, holds off no other's senders.
const MAX_SHARE: usize = 16 << 20;

/// Bytes of bodies that are being collected or kept, by project.
#[derive(Default)]
pub(crate) struct Held(Mutex<HashMap<ProjectName, usize>>);

/// The bytes of one body; given back when dropped.
struct Share<'a> {
    held: &'a Held,
    project: &'a ProjectName,
    bytes: usize,
}

/// What came, when, and as which call.
pub(crate) struct Visit {
    pub(crate) started: Instant,
    pub(crate) id: CallId,
    pub(crate) trace: Trace,
}

/// Answers when what the request brought is durable.
pub(crate) async fn serve(
    door: &Door,
    hook: &Arc<Hook>,
    head: request::Parts,
    body: Incoming,
    visit: Visit,
) -> Result<Response<ReplyBody>, Refuse> {
    if head.method != Method::POST {
        return Err(Refuse::method("a webhook takes POST only", "POST"));
    }
    let until = visit.started + door.settings.call_time.0;
    let mut share = Share {
        held: &door.held,
        project: &hook.project,
        bytes: 0,
    };
    let patience = until.min(visit.started + BODY_TIME);
    let late = |what: &str, blame| Error::new(Kind::Timeout, blame, what);
    let body = tokio::time::timeout_at(patience.into(), collect(door, body, &mut share))
        .await
        .map_err(|_| late("the request body did not come in time", Blame::Caller))??;
    let ring = Ring {
        headers: head.headers,
        body,
        trace: visit.trace,
    };
    let rung = tokio::time::timeout_at(until.into(), door.doorbell.ring(hook, ring))
        .await
        .map_err(|_| late("what came could not be kept in time", Blame::Platform))?;
    drop(share);
    let mut answer = match rung.map_err(refuse)? {
        Rung::Kept => answer(StatusCode::ACCEPTED, ReplyBody::empty()),
        Rung::Known => answer(StatusCode::OK, ReplyBody::empty()),
        Rung::Answer(text) => {
            let mut answer = answer(StatusCode::OK, ReplyBody::bytes(text));
            let plain = HeaderValue::from_static("text/plain; charset=utf-8");
            answer.headers_mut().insert(header::CONTENT_TYPE, plain);
            answer
        }
    };
    let id = respond::request_id(visit.id);
    answer.headers_mut().insert(&respond::REQUEST_ID, id);
    Ok(answer)
}

fn answer(status: StatusCode, body: ReplyBody) -> Response<ReplyBody> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

/// Who cannot show that it is who it says it is, is not known: 401, where others who may not are refused with 403.
fn refuse(error: Error) -> Refuse {
    if error.kind == Kind::Denied {
        return Refuse {
            status: Some(StatusCode::UNAUTHORIZED),
            reason: Some(Refusal::Malformed),
            ..Refuse::from(error)
        };
    }
    Refuse::from(error)
}

async fn collect(door: &Door, body: Incoming, share: &mut Share<'_>) -> Result<Bytes, Refuse> {
    let limit = Hook::MAX_BODY;
    let too_large = || {
        let what = format!("the body is larger than a webhook takes, in bytes: {limit}");
        Refuse::too_large(StatusCode::PAYLOAD_TOO_LARGE, what)
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut body = RequestBody::new(body, door.settings.body_time.0);
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        if all.len() + data.len() > limit {
            return Err(too_large());
        }
        if !share.grow(data.len()) {
            let full = Error::unavailable("the node takes no more webhooks right now");
            return Err(full.hint("send it again in a moment").into());
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

// === impl Share ===

impl Share<'_> {
    /// False when the bodies of the project, or all together, would be too many bytes.
    fn grow(&mut self, bytes: usize) -> bool {
        let mut held = self.held.0.lock();
        let all: usize = held.values().sum();
        let own = held.get(self.project).copied().unwrap_or_default();
        if all + bytes > MAX_HELD || own + bytes > MAX_SHARE {
            return false;
        }
        *held.entry(self.project.clone()).or_default() += bytes;
        self.bytes += bytes;
        true
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut held = self.held.0.lock();
        let Some(own) = held.get_mut(self.project) else {
            return;
        };
        *own = own.saturating_sub(self.bytes);
        if *own == 0 {
            held.remove(self.project);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_project_leaves_room_for_others() {
        let (held, one, two) = (
            Held::default(),
            ProjectName::new("one").unwrap(),
            ProjectName::new("two").unwrap(),
        );
        let share = |project| Share {
            held: &held,
            project,
            bytes: 0,
        };
        let mut full = share(&one);
        assert!(full.grow(MAX_SHARE));
        assert!(!share(&one).grow(1));
        let mut other = share(&two);
        assert!(other.grow(MAX_SHARE) && !other.grow(1));
        drop(full);
        assert!(share(&one).grow(MAX_SHARE));
        drop(other);
        assert!(held.0.lock().is_empty());
    }
}
