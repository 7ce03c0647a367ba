//! A call as its queue keeps it: the head of its request beside the body.

use std::{sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use gust_backend::queue::{Message, QueueLimits};
use gust_dispatch::{Refusal, Refused};
use gust_task::{clock, ids};
use gust_types::{
    Blame, Call, Error, FunctionKey, Kind, Result,
    call::{self, CallId, Origin, Trace, Trigger},
    later::CallbackUrl,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};

/// Under which attribute the head is kept.
const HEAD: &str = "call";
/// Bytes of a head as it is kept.
const HEAD_MOST: usize = 64 << 10;
/// The longest that a body may take to arrive.
const ARRIVAL: std::time::Duration = std::time::Duration::from_secs(60);

/// What a function is told of the call: its id, the same at each attempt, and which attempt it is.
const CALL_ID: HeaderName = HeaderName::from_static("x-gust-call-id");
const ATTEMPT: HeaderName = HeaderName::from_static("x-gust-attempt");
const TRACE: HeaderName = HeaderName::from_static("traceparent");

/// A call that waits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kept {
    pub(super) head: Head,
    pub(super) body: Bytes,
}

/// Everything of it but the body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) id: CallId,
    pub(super) method: String,
    pub(super) uri: String,
    headers: Vec<(String, String)>,
    /// It came by a route, and is told of it.
    #[serde(default)]
    routed: bool,
    /// Calls that led here, each the destination of the one before.
    #[serde(default)]
    pub(super) hops: u8,
    /// The address that is posted to when it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) callback: Option<CallbackUrl>,
}

// === impl Kept ===

impl Kept {
    /// Reads a call to its end, within what its function takes and what a queue takes.
    pub(super) async fn of(
        call: Call,
        callback: Option<CallbackUrl>,
        most: u64,
        limits: &QueueLimits,
    ) -> Result<Self> {
        let (mut parts, body) = call.request.into_parts();
        if call.trace.parent != 0
            && let Ok(trace) = HeaderValue::try_from(call.trace.header(call.trace.parent))
        {
            parts.headers.entry(TRACE).or_insert(trace);
        }
        let head = Head {
            id: call.id,
            method: parts.method.to_string(),
            uri: parts.uri.to_string(),
            headers: texts(&parts.headers),
            routed: call.origin.trigger == Trigger::Http,
            hops: call.origin.hops,
            callback,
        };
        let size = head.written()?.len();
        if size > HEAD_MOST {
            return Err(Error::invalid(format!(
                "the head of a call made later has more bytes than {HEAD_MOST}: {size}"
            )));
        }
        // A key beside it may be as long as a name may be.
        let room = limits
            .message
            .saturating_sub(size + HEAD.len() + limits.name);
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(room);
        let body = tokio::time::timeout(ARRIVAL, whole(body, most)).await;
        let body = body.map_err(|_| {
            let text = "the request body took too long to arrive";
            Error::new(Kind::Timeout, Blame::Caller, text)
        })??;
        Ok(Self { head, body })
    }

    /// As its queue keeps it.
    pub(super) fn message(&self) -> Result<Message> {
        let mut message = Message::new(self.body.clone());
        message
            .attributes
            .insert(HEAD.to_owned(), self.head.written()?);
        Ok(message)
    }

    /// The call that a message is.
    pub(super) fn read(message: &Message) -> Result<Self> {
        let none = || Error::internal("a kept call is none");
        let head = message.attributes.get(HEAD).ok_or_else(none)?;
        Ok(Self {
            head: serde_json::from_str(head).map_err(|e| none().because(e))?,
            body: message.body.clone(),
        })
    }

    /// The path and query.
    pub(super) fn path(&self) -> String {
        let uri: Option<http::Uri> = self.head.uri.parse().ok();
        let path = uri.and_then(|uri| uri.path_and_query().map(ToString::to_string));
        path.unwrap_or_else(|| "/".to_owned())
    }

    /// What makes it the same call as another one under the same idempotency key.
    pub(super) fn digest(&self) -> gust_types::Digest {
        let head = format!("{}\n{}\n", self.head.method, self.path());
        gust_types::Digest::of(&[head.as_bytes(), &self.body].concat())
    }

    /// The call that is made.
    pub(super) fn call(
        &self,
        id: CallId,
        attempt: u32,
        function: Arc<FunctionKey>,
        deadline: Instant,
    ) -> Result<Call> {
        let broken = |e: http::Error| Error::internal("a kept call is none").because(e);
        let mut request = Request::builder()
            .method(self.head.method.as_str())
            .uri(self.head.uri.as_str())
            .body(call::full(self.body.clone()))
            .map_err(broken)?;
        let headers = request.headers_mut();
        *headers = parsed(&self.head.headers);
        let stable = self.head.id.to_string();
        if let Ok(stable) = HeaderValue::try_from(stable) {
            headers.insert(CALL_ID, stable);
        }
        headers.insert(ATTEMPT, HeaderValue::from(attempt));
        let trace = Trace::of(headers).unwrap_or_else(|| Trace {
            trace_id: ids::call_id().0,
            ..Trace::default()
        });
        Ok(Call {
            id,
            function,
            origin: Origin {
                trigger: Trigger::Async,
                peer: None,
                hops: 0,
                cause: None,
            },
            deadline,
            trace,
            request,
        })
    }

    /// Whether the function is told of the route that led to it.
    pub(super) fn is_routed(&self) -> bool {
        self.head.routed
    }
}

// === impl Head ===

impl Head {
    fn written(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Error::internal("the head of a call cannot be written").because(e))
    }
}

/// Header values are bytes; as text each byte is the letter of its number.
pub(super) fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let pairs = headers.iter().map(|(name, value)| {
        let text = value.as_bytes().iter().copied().map(char::from);
        (name.to_string(), text.collect())
    });
    pairs.collect()
}

/// The same, back.
pub(super) fn parsed(texts: &[(String, String)]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(texts.len());
    for (name, text) in texts {
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        let value = bytes.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok());
        if let (Ok(name), Some(value)) = (HeaderName::try_from(name), value) {
            headers.append(name, value);
        }
    }
    headers
}

/// The whole body, if it has no more bytes than that.
async fn whole(mut body: gust_types::Body, most: usize) -> Result<Bytes> {
    let too_large = || {
        let text = format!("the body of a call made later has more bytes than {most}");
        let refused = Refused {
            kind: Refusal::BodyTooLarge,
            retry_after: None,
        };
        Error::exhausted(text)
            .because(refused)
            .hint("keep large things in a store, and send their key")
    };
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if all.len() + data.len() > most {
                return Err(too_large());
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}

/// When an attempt that begins now has to be over.
pub(super) fn deadline(patience: std::time::Duration) -> Instant {
    clock::now() + patience
}

#[cfg(test)]
mod tests {
    use gust_types::{AppName, FunctionName, ProjectName};

    use super::*;

    fn asked(body: &str) -> Call {
        let request = Request::put("http://shop.test/a?b=1")
            .header("x-bytes", HeaderValue::from_bytes(b"\xfe a").unwrap())
            .header("x-gust-attempt", "forged");
        Call {
            id: CallId(7),
            function: function(),
            origin: Origin {
                trigger: Trigger::Http,
                peer: None,
                hops: 2,
                cause: None,
            },
            deadline: clock::now(),
            trace: Trace {
                trace_id: 1,
                parent: 2,
                sampled: true,
            },
            request: request.body(call::full(body.to_owned())).unwrap(),
        }
    }

    fn function() -> Arc<FunctionKey> {
        Arc::new(FunctionKey {
            project: ProjectName::default_project(),
            app: AppName::new("shop").unwrap(),
            function: FunctionName::new("cart").unwrap(),
        })
    }

    #[tokio::test]
    async fn a_call_comes_out_of_its_queue_as_it_went_in() {
        let limits = QueueLimits::default();
        let kept = Kept::of(asked("正文"), None, 100, &limits).await.unwrap();
        let read = Kept::read(&kept.message().unwrap()).unwrap();
        assert_eq!(read, kept);
        assert_eq!((read.path().as_str(), read.head.hops), ("/a?b=1", 2));
        assert!(read.is_routed());
        let call = read.call(CallId(8), 3, function(), clock::now()).unwrap();
        assert_eq!(
            (call.id, call.request.method().as_str()),
            (CallId(8), "PUT")
        );
        let headers = call.request.headers();
        assert_eq!(headers["x-bytes"].as_bytes(), b"\xfe a");
        assert_eq!(headers[CALL_ID], CallId(7).to_string().as_str());
        assert_eq!(headers[ATTEMPT], "3");
        assert_eq!((call.trace.trace_id, call.trace.parent), (1, 2));
        let other = Kept::of(asked("其他"), None, 100, &limits).await.unwrap();
        assert_ne!(other.digest(), kept.digest());
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused() {
        let limits = QueueLimits::default();
        for (body, most) in [("12345".to_owned(), 4), ("x".repeat(1 << 20), u64::MAX)] {
            let error = Kept::of(asked(&body), None, most, &limits)
                .await
                .unwrap_err();
            let refused = Refused::of(&error).unwrap();
            assert_eq!(refused.kind, Refusal::BodyTooLarge);
        }
        let mut call = asked("x");
        let long = HeaderValue::try_from("v".repeat(HEAD_MOST)).unwrap();
        call.request.headers_mut().insert("x-long", long);
        let error = Kept::of(call, None, 100, &limits).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{error}");
    }
}
