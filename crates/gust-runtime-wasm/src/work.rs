//! The guest's side of a call: one future for each way to call a component, each owning the copy it runs in.

use std::sync::Arc;

use bytes::Bytes;
use gust_task::ids;
use gust_types::{Body, Call, Kind, call::Trace};
use http::{HeaderMap, HeaderValue, Request, header, uri};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use crate::{
    command,
    drive::Work,
    guest::CallContext,
    http02, http03,
    live::{Entry, Live},
    seat::Seat,
    spin_event, spin_http,
};

/// A call as a guest is given it.
pub(crate) struct Job {
    pub(crate) request: Request<Body>,
    pub(crate) context: CallContext,
    pub(crate) seat: Arc<Seat>,
}

/// Starts a call in `live`. Nothing runs before the future is polled.
pub(crate) fn start(mut live: Live, call: Call, seat: Arc<Seat>) -> Work {
    live.served += 1;
    live.spent = Default::default();
    live.store.set_epoch_deadline(1);
    let job = Job::new(call, seat);
    match live.entry {
        Entry::Http03(_) => Box::pin(http03::run(live, job)),
        Entry::Http02(_) => Box::pin(http02::run(live, job)),
        Entry::SpinHttp(_) => Box::pin(spin_http::run(live, job)),
        Entry::SpinEvent(_) => Box::pin(spin_event::run(live, job)),
        Entry::Run02(_) => Box::pin(command::run02(live, job)),
        Entry::Run03(_) => Box::pin(command::run03(live, job)),
    }
}

// === impl Job ===

impl Job {
    pub(crate) fn new(call: Call, seat: Arc<Seat>) -> Self {
        let mut request = call.request;
        propagate(&mut request, &call.trace);
        Self {
            context: CallContext {
                id: call.id,
                deadline: call.deadline,
                hops: call.origin.hops,
                cause: call.origin.cause,
                trace: call.trace,
            },
            request,
            seat,
        }
    }

    /// Who the request is addressed to: the URI's authority, else the `host` header.
    pub(crate) fn authority(request: &http::request::Parts) -> Option<uri::Authority> {
        let of_headers = || Self::authority_of(&request.headers);
        request.uri.authority().cloned().or_else(of_headers)
    }

    /// Who the `host` header names.
    pub(crate) fn authority_of(headers: &HeaderMap) -> Option<uri::Authority> {
        let host = headers.get(header::HOST)?;
        uri::Authority::from_maybe_shared(Bytes::copy_from_slice(host.as_bytes())).ok()
    }
}

/// The guest sees the trace that its call belongs to.
fn propagate(request: &mut Request<Body>, trace: &Trace) {
    if trace.trace_id == 0 {
        return;
    }
    let span = match trace.parent {
        0 => ids::random_u64(),
        span => span,
    };
    if let Ok(value) = HeaderValue::try_from(trace.header(span)) {
        request.headers_mut().insert("traceparent", value);
    }
}

/// A request's body as `wasi:http` wants it.
pub(crate) fn wasi_body(body: Body) -> WasiBody {
    if body.is_end_stream() {
        return http_body_util::Empty::new()
            .map_err(|never| match never {})
            .boxed_unsync();
    }
    body.map_err(|error| match error.kind {
        Kind::Exhausted => HttpError::HttpRequestBodySize(None),
        Kind::Timeout => HttpError::ConnectionReadTimeout,
        _ => HttpError::ConnectionTerminated,
    })
    .boxed_unsync()
}
