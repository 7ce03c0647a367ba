//! Why a call was not run, typed, so that a door can answer with the right status and `Retry-After`.
//!
//! A refusal travels as the source of a [`gust_types::Error`]; [`Refused::of`] finds it again. A refused call was never
//! given to a function and leaves no usage record.

use std::{fmt, time::Duration};

use gust_types::{Blame, Error, FunctionKey, Kind};

/// What stood in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The project's budget is used up: 429.
    Budget,
    /// The caller's address calls more often than it may: 429.
    Rate,
    /// The function's queue is full: 503.
    QueueFull,
    /// The call waited for the function as long as it may: 503.
    QueueTime,
    /// The node has no room for another instance: 503.
    NoPlace,
    /// The request says itself that its body is larger than it may be: 413.
    BodyTooLarge,
}

/// A refusal and when to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// What stood in the way.
    pub kind: Refusal,
    /// When trying again may help, in whole seconds; `None` when it never will.
    pub retry_after: Option<Duration>,
}

/// A queue moves within a second or not at all for this caller.
const SOON: Duration = Duration::from_secs(1);
/// A budget opens again when somebody raises it or the month ends: not worth asking often.
const LATER: Duration = Duration::from_secs(3600);

// === impl Refusal ===

impl Refusal {
    /// All of them, for metrics.
    pub const ALL: [Refusal; 6] = [
        Refusal::Budget,
        Refusal::Rate,
        Refusal::QueueFull,
        Refusal::QueueTime,
        Refusal::NoPlace,
        Refusal::BodyTooLarge,
    ];

    /// The snake_case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Budget => "budget",
            Refusal::Rate => "rate",
            Refusal::QueueFull => "queue_full",
            Refusal::QueueTime => "queue_time",
            Refusal::NoPlace => "no_place",
            Refusal::BodyTooLarge => "body_too_large",
        }
    }

    /// The HTTP status of a call refused for this.
    pub fn status(self) -> u16 {
        match self {
            Refusal::Budget | Refusal::Rate => 429,
            Refusal::QueueFull | Refusal::QueueTime | Refusal::NoPlace => 503,
            Refusal::BodyTooLarge => 413,
        }
    }

    fn retry_after(self) -> Option<Duration> {
        match self {
            Refusal::Budget => Some(LATER),
            Refusal::BodyTooLarge => None,
            _ => Some(SOON),
        }
    }

    /// The error a refused caller is given. `text` is the message; lower case, the value last.
    pub(crate) fn error(self, text: impl Into<String>) -> Error {
        // A caller who asked too much, or a platform that has no room right now.
        let (kind, blame) = match self.status() {
            503 => (Kind::Unavailable, Blame::Platform),
            _ => (Kind::Exhausted, Blame::Caller),
        };
        Error::new(kind, blame, text).because(Refused {
            kind: self,
            retry_after: self.retry_after(),
        })
    }

    /// The error of a refusal that only needs the function's name.
    pub(crate) fn of_function(self, function: &FunctionKey) -> Error {
        let text = match self {
            Refusal::Budget => "the project's budget is used up",
            Refusal::Rate => "too many calls from this address to",
            Refusal::QueueFull => "the function's queue is full",
            Refusal::QueueTime => "the function had no room in time",
            Refusal::NoPlace => "the node had no room for an instance in time",
            Refusal::BodyTooLarge => "the request body is too large for",
        };
        self.error(format!("{text}: {function}"))
    }
}

impl From<Refusal> for gust_telemetry::Refusal {
    fn from(why: Refusal) -> Self {
        match why {
            Refusal::Budget => Self::Budget,
            Refusal::Rate => Self::Rate,
            Refusal::QueueFull => Self::QueueFull,
            Refusal::QueueTime => Self::QueueTimeout,
            Refusal::NoPlace => Self::Capacity,
            Refusal::BodyTooLarge => Self::TooLarge,
        }
    }
}

// === impl Refused ===

impl Refused {
    /// The refusal behind an error, if that is what it is.
    pub fn of(error: &Error) -> Option<Refused> {
        error.caused_by().copied()
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.kind.status()
    }

    /// The value of the `Retry-After` header.
    pub fn retry_after_secs(&self) -> Option<u64> {
        self.retry_after
            .map(|d| d.as_secs() + u64::from(d.subsec_nanos() > 0))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.retry_after_secs() {
            Some(secs) => write!(f, "refused ({}), try again in {secs} s", self.kind.as_str()),
            None => write!(f, "refused ({})", self.kind.as_str()),
        }
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_found_behind_its_error() {
        for kind in Refusal::ALL {
            let error = kind.error("no");
            let found = Refused::of(&error).unwrap();
            assert_eq!(found.kind, kind);
            assert_eq!(
                found.retry_after_secs().is_some(),
                kind != Refusal::BodyTooLarge
            );
            let wrapped = Error::internal("outer").because(error);
            assert_eq!(Refused::of(&wrapped).unwrap().status(), kind.status());
        }
        assert_eq!(Refused::of(&Error::internal("other")), None);
    }
}
