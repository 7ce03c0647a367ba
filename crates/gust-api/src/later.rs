//! Calls that are made later, and what became of them.

use gust_types::{AppName, Error, FunctionName, Span, call::CallId, later::CallbackUrl};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::schema;

/// A caller's wish not to wait, as RFC 7240 has it.
pub const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Which of a caller's wishes were granted.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The wish.
pub const RESPOND_ASYNC: HeaderValue = HeaderValue::from_static("respond-async");
/// Of two calls of a function with the same value the second is the first.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The address that is posted to when the call is over.
pub const CALLBACK: HeaderName = HeaderName::from_static("gust-callback");

/// A call was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AcceptedCall {
    /// Under which to ask for it; that of the earlier call when this one was a repetition.
    #[schema(value_type = schema::CallIdText)]
    pub id: CallId,
    /// There was a call with the same idempotency key, and there is no second one.
    pub duplicate: bool,
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LaterState {
    /// For its first attempt, or for the next one.
    Waiting,
    /// With its function.
    Running,
    /// The function answered.
    Done,
    /// Given up.
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
}

/// A call that is made later, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LaterCall {
    /// Its id; usage records know its first attempt by it.
    #[schema(value_type = schema::CallIdText)]
    pub id: CallId,
    /// Its app.
    #[schema(value_type = schema::Name)]
    pub app: AppName,
    /// What is called.
    #[schema(value_type = schema::Name)]
    pub function: FunctionName,
    /// The request's method.
    pub method: String,
    /// The request's path and query.
    pub path: String,
    /// How far it is.
    pub state: LaterState,
    /// Attempts so far, the one under way included.
    pub attempts: u32,
    /// Under which usage records and logs know the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::CallIdText>)]
    pub attempt_id: Option<CallId>,
    /// When it was accepted, Unix microseconds.
    pub accepted_us: u64,
    /// When it is tried next, Unix microseconds, while it waits after an attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_us: Option<u64>,
    /// When it was over, Unix microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_us: Option<u64>,
    /// Until when its result can be fetched, Unix microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_us: Option<u64>,
    /// The status that the function answered at the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// Of the answer only the beginning is kept.
    pub truncated: bool,
    /// What was wrong with the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Why the function's destination has not been told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undelivered: Option<String>,
    /// The address that is posted to when it is over, and what became of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
}

/// How far a callback is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallbackState {
    /// For the end of the call, or for the next attempt.
    Waiting,
    /// It was taken.
    Delivered,
    /// Given up.
    Failed,
}

/// A callback and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Callback {
    /// The address, without its query.
    pub url: String,
    /// How far it is.
    pub state: CallbackState,
    /// Attempts so far.
    pub attempts: u32,
    /// What was answered at the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What was wrong with the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// When it is tried next, Unix microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_us: Option<u64>,
}

/// Calls that are made later.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LaterCalls {
    /// The newest first.
    pub calls: Vec<LaterCall>,
    /// To ask for those that follow; nothing at the end.
    #[schema(value_type = Option<schema::CallIdText>)]
    pub next: Option<CallId>,
}

/// Which calls to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct CallsQuery {
    /// Only those that are older than this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub after: Option<CallId>,
    /// At most this many: 1 to 1,000. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// How long to wait for a call's end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct WaitQuery {
    /// At most this long, 30 s at most. Default not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, example = "30s")]
    pub wait: Option<Span>,
}

/// How AWS Lambda's clients say how they call: `Event` is not to wait.
const INVOCATION_TYPE: HeaderName = HeaderName::from_static("x-amz-invocation-type");

/// Whether the caller would rather not wait: `Prefer: respond-async`, or Lambda's `X-Amz-Invocation-Type: Event`.
pub fn prefers_async(headers: &HeaderMap) -> bool {
    let is_event = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"event");
    if headers.get(INVOCATION_TYPE).is_some_and(is_event) {
        return true;
    }
    let lines = headers.get_all(PREFER).iter();
    let wishes = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    let mut names = wishes.filter_map(|wish| wish.split([';', '=']).next());
    names.any(|name| name.trim().eq_ignore_ascii_case("respond-async"))
}

/// The address in a request's headers, if there is one.
pub fn callback(headers: &HeaderMap) -> Result<Option<CallbackUrl>, Error> {
    let mut urls = headers.get_all(CALLBACK).iter();
    let (url, another) = (urls.next(), urls.next());
    if another.is_some() {
        return Err(Error::invalid("there is more than one gust-callback"));
    }
    let Some(url) = url else {
        return Ok(None);
    };
    let text = url.to_str();
    let text = text.map_err(|_| Error::invalid("the gust-callback is not plain text"))?;
    text.trim().parse().map(Some)
}

// === impl CallbackState ===

impl CallbackState {
    /// The snake_case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

// === impl LaterState ===

impl LaterState {
    /// Whether nothing more becomes of it.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }

    /// The snake_case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_one_of_a_list() {
        for (lines, wanted) in [
            (&["respond-async"][..], true),
            (&["Respond-Async, wait=10"], true),
            (
                &["return=minimal", "handling=lenient; x, respond-async ; y=1"],
                true,
            ),
            (&["return=respond-async"], false),
            (&["respond-asynchronously"], false),
            (&[""], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(PREFER, line.parse().unwrap());
            }
            assert_eq!(prefers_async(&headers), wanted, "{lines:?}");
        }
        for (kind, wanted) in [("Event", true), ("RequestResponse", false)] {
            let headers = HeaderMap::from_iter([(INVOCATION_TYPE, kind.parse().unwrap())]);
            assert_eq!(prefers_async(&headers), wanted, "{kind}");
        }
    }
}
