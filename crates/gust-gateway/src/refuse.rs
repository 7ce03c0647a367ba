//! Answers that the platform makes itself, because there is none of a function.

use bytes::Bytes;
use gust_api::render::{self, Audience};
use gust_dispatch::Refused;
use gust_telemetry::Refusal;
use gust_types::{Blame, Error, Kind, call::CallId};
use http::{HeaderValue, Response, StatusCode, header};

use crate::{body::ReplyBody, parse, respond};

/// Why a request gets no answer of a function.
#[derive(Debug)]
pub(crate) struct Refuse {
    pub(crate) error: Error,
    pub(crate) status: Option<StatusCode>,
    /// What it is counted as; what dispatch refuses it counts itself.
    pub(crate) reason: Option<Refusal>,
    /// Nothing more is read from this connection: who framed one message badly did so with the next.
    pub(crate) close: bool,
    /// For 405.
    pub(crate) allow: Option<&'static str>,
}

// === impl Refuse ===

impl Refuse {
    /// The request breaks a rule; the status says which sort.
    pub(crate) fn request(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            error: Error::invalid(message),
            status: Some(status),
            reason: Some(Refusal::Malformed),
            close: false,
            allow: None,
        }
    }

    /// The request is framed or written so that it cannot be trusted.
    pub(crate) fn malformed(message: &'static str) -> Self {
        Self {
            close: true,
            ..Self::request(StatusCode::BAD_REQUEST, message)
        }
    }

    pub(crate) fn too_large(status: StatusCode, message: String) -> Self {
        Self {
            reason: Some(Refusal::TooLarge),
            ..Self::request(status, message)
        }
    }

    /// Nothing answers here.
    pub(crate) fn no_route(error: Error) -> Self {
        Self {
            reason: Some(Refusal::NoRoute),
            ..Self::from(error)
        }
    }

    /// The method is not for this resource.
    pub(crate) fn method(message: &'static str, allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::request(StatusCode::METHOD_NOT_ALLOWED, message)
        }
    }

    /// The answer. `accept` is the request's header of that name.
    pub(crate) fn answer(self, id: CallId, accept: Option<&HeaderValue>) -> Response<ReplyBody> {
        let refused = Refused::of(&self.error);
        let row = render::row(self.error.kind, self.error.blame);
        let status = self
            .status
            .or_else(|| StatusCode::from_u16(refused.as_ref()?.status()).ok())
            .or_else(|| over_a_limit(&self.error).then_some(StatusCode::PAYLOAD_TOO_LARGE))
            .or_else(|| StatusCode::from_u16(row.status).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        note(&self.error, status, id);
        let retry = refused
            .and_then(|refused| refused.retry_after_secs())
            .or_else(|| row.retry_after.map(u64::from))
            .unwrap_or(1);
        let json = accept.is_some_and(|accept| parse::accepts_json(accept.as_bytes()));
        let (kind, text) = written(&self.error, status, id, json);
        let mut answer = Response::new(ReplyBody::bytes(text));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(&respond::REQUEST_ID, respond::request_id(id));
        if matches!(status.as_u16(), 429 | 503 | 507) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

impl From<Error> for Refuse {
    fn from(error: Error) -> Self {
        Self {
            error,
            status: None,
            reason: None,
            close: false,
            allow: None,
        }
    }
}

/// A caller that exhausts something without being refused has sent a body that went on and on.
fn over_a_limit(error: &Error) -> bool {
    error.kind == Kind::Exhausted && error.blame == Blame::Caller && Refused::of(error).is_none()
}

/// Our own log hears of our own faults in full; of others' only who asks for it.
fn note(error: &Error, status: StatusCode, id: CallId) {
    let line = || render::log_line(error);
    if error.kind == Kind::Internal {
        tracing::error!(%id, status = status.as_u16(), error = line(), "a call failed");
    } else {
        tracing::debug!(%id, status = status.as_u16(), error = line(), "a request was refused");
    }
}

fn written(error: &Error, status: StatusCode, id: CallId, json: bool) -> (&'static str, Bytes) {
    let mut problem = render::render(error, Audience::Public, Some(id.to_string()));
    problem.status = status.as_u16();
    if json {
        let text = serde_json::to_vec(&problem).unwrap_or_default();
        return (gust_api::problem::MEDIA_TYPE, text.into());
    }
    let hint = problem
        .hint
        .map(|hint| format!("hint: {hint}\n"))
        .unwrap_or_default();
    let text = format!("{}\n{hint}request id: {id}\n", problem.message);
    ("text/plain; charset=utf-8", text.into())
}
