//! The one thing that flows.

use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc, time::Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use serde::{Deserialize, Serialize};

use crate::{Error, FunctionKey, event::Cause};

/// A streaming body.
pub type Body = UnsyncBoxBody<Bytes, Error>;

/// What a call answers.
pub type Reply = http::Response<Body>;

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body without bytes.
pub fn empty() -> Body {
    http_body_util::Empty::new()
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// One call of one function.
pub struct Call {
    /// Given at accept; the caller sees it as the request id.
    pub id: CallId,
    /// What is called.
    pub function: Arc<FunctionKey>,
    /// Where it came from.
    pub origin: Origin,
    /// When it must be over, whatever happens.
    pub deadline: Instant,
    /// Its place in a distributed trace.
    pub trace: Trace,
    /// The request itself.
    pub request: http::Request<Body>,
}

/// A 128-bit id: 48 bits of Unix milliseconds, then random bits; sorts by time. Written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct CallId(pub u128);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CallId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() == 32
            && let Ok(id) = u128::from_str_radix(text, 16)
        {
            return Ok(Self(id));
        }
        Err(Error::invalid(format!("not a call id: {text:?}")))
    }
}

impl Serialize for CallId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What started a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// An HTTP request from outside.
    Http,
    /// Another function of the same app, in process.
    Internal,
    /// `gust invoke` and the control API.
    Invoke,
    /// The probe before a revision serves.
    Health,
    /// Messages of a queue.
    Queue,
    /// An event of a topic.
    Topic,
    /// A schedule.
    Schedule,
    /// A call that was to be made later.
    Async,
}

/// Where a call came from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// What started it.
    pub trigger: Trigger,
    /// The caller's address, when there is one.
    pub peer: Option<SocketAddr>,
    /// How many in-process calls led here; loops end at [`Origin::MAX_HOPS`].
    pub hops: u8,
    /// The triggers that led here, when it was an event.
    pub cause: Option<Arc<Cause>>,
}

impl Origin {
    /// In-process calls that may be nested.
    pub const MAX_HOPS: u8 = 16;
}

/// W3C trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trace {
    /// Shared by the whole trace.
    pub trace_id: u128,
    /// The span that made this call; 0 at the start of a trace.
    pub parent: u64,
    /// Whether somebody records this trace.
    pub sampled: bool,
}

impl Trace {
    /// The trace that a request's `traceparent` names, if it has a valid one.
    pub fn of(headers: &http::HeaderMap) -> Option<Self> {
        Self::parse(headers.get("traceparent")?.to_str().ok()?)
    }

    /// The `traceparent` of a request as it stands there, if it is a valid one.
    pub fn header_of(headers: &http::HeaderMap) -> Option<&str> {
        let text = headers.get("traceparent")?.to_str().ok()?;
        Self::parse(text).map(|_| text)
    }

    /// Reads a `traceparent` header of version 00.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, trace, parent, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, len: usize| {
            text.len() == len
                && text
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let known = version == "00" && parts.next().is_none()
            || version != "00" && version != "ff" && hex(version, 2);
        if !(known && hex(trace, 32) && hex(parent, 16) && hex(flags, 2)) {
            return None;
        }
        let trace_id = u128::from_str_radix(trace, 16).ok()?;
        let parent = u64::from_str_radix(parent, 16).ok()?;
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        (trace_id != 0 && parent != 0).then_some(Self {
            trace_id,
            parent,
            sampled,
        })
    }

    /// The header for a span of this trace.
    pub fn header(&self, span: u64) -> String {
        format!(
            "00-{:032x}-{span:016x}-{:02x}",
            self.trace_id,
            u8::from(self.sampled)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_context_round_trips() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = Trace::parse(text).unwrap();
        assert!(trace.sampled);
        assert_eq!(trace.header(trace.parent), text);
        for bad in [
            "",
            "00-0-0-0",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(Trace::parse(bad), None, "{bad}");
        }
    }
}
