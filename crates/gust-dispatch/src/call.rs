//! call: the guest runs. Its bodies are counted and kept within their limits on the way.
//!
//! The limits of CPU time, memory and wall time are the runtime's to enforce. A caller that hangs up drops this stage's
//! future or the reply's body, and with it the guest is cut off.

mod body;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use gust_runtime::Done;
use gust_types::{Blame, Call, Error, Kind, Reply, Result};
use http::{HeaderMap, StatusCode, header::CONTENT_LENGTH};
use http_body::Body as _;

use crate::{
    acquire::Acquired,
    admit::Permit,
    settle::{Ear, Scope},
};

/// Cuts the guest off, on the record, when the call is dropped before its reply.
struct Waiting<'a>(Option<&'a Scope>);

/// Gives the call to its instance and answers as the guest does, with the head of the reply.
pub(crate) async fn call(
    scope: &Arc<Scope>,
    acquired: Acquired,
    permit: Permit,
    mut call: Call,
) -> Result<Reply> {
    let entry = &scope.entry;
    call.request = call.request.map(|body| body::incoming(body, scope));
    let seat = acquired.ready.seat;
    let shared = seat.shared();
    let ear = Ear {
        scope: scope.clone(),
        seat,
        permit,
    };
    let mut answer = acquired.ready.instance.call(call, Done::new(Box::new(ear)));
    if let Some(copy) = shared {
        entry.pool.open(&copy);
    }
    // Declared after the answer, so dropped before it: who left first is on the record before the guest is cut off.
    let mut waiting = Waiting(Some(scope));
    let answered = (&mut answer).await;
    waiting.0 = None;
    answered
}

/// What `content-length` says.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The reply as the caller gets it, its body counted. A body that is complete already needs no watching: its bytes are
/// counted here. `head` is true when the caller wants no body.
pub(crate) fn outgoing(
    scope: &Arc<Scope>,
    reply: Reply,
    head: bool,
    called: Instant,
    at: Instant,
) -> Result<Reply> {
    let finished = scope.headed(reply.status().as_u16(), called, at);
    let limit = scope.entry.limits().response_body.bytes();
    let silent = head || has_no_body(reply.status());
    let known = reply.body().size_hint();
    if !silent && known.lower() > limit {
        scope.body_limit();
        return Err(body::too_large(scope));
    }
    if finished && let Some(bytes) = known.exact() {
        scope
            .bytes_out
            .fetch_add(if silent { 0 } else { bytes }, Relaxed);
        return Ok(reply);
    }
    let enough = if silent {
        Some(0)
    } else {
        declared_length(reply.headers())
    };
    Ok(reply.map(|body| body::outgoing(body, scope.clone(), limit, enough)))
}

fn has_no_body(status: StatusCode) -> bool {
    status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(scope) = self.0 {
            scope.left();
        }
    }
}

/// For a caller whose deadline is nearer than the function's limit of wall time.
pub(crate) fn deadline(call: &Call, admitted: Instant, wall: std::time::Duration) -> Instant {
    call.deadline.min(admitted + wall)
}

/// A body over its limit, in one direction or the other.
fn body_error(what: &str, blame: Blame, limit: u64) -> Error {
    Error::new(
        Kind::Exhausted,
        blame,
        format!("the {what} body is larger than {limit} bytes"),
    )
}
