//! One error for every boundary: what kind, whose fault, what to do next.

use std::fmt;

/// The result of anything that crosses a room's boundary.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. Whether trying again can help follows from it ([`Kind::retryable`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The input is malformed or breaks a rule.
    Invalid,
    /// The input is understood and not allowed.
    Denied,
    /// The thing named does not exist.
    NotFound,
    /// The thing exists in a state that does not permit this.
    Conflict,
    /// A limit is reached: quota, budget, queue, memory, disk.
    Exhausted,
    /// Something needed is not there right now.
    Unavailable,
    /// It took longer than it may.
    Timeout,
    /// The function's own code failed.
    Failed,
    /// A fault of the platform itself.
    Internal,
}

impl Kind {
    /// True when the same request may succeed later, unchanged.
    pub fn retryable(self) -> bool {
        matches!(self, Kind::Exhausted | Kind::Unavailable | Kind::Timeout)
    }
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// Whoever made the request.
    Caller,
    /// The deployed code.
    Function,
    /// Gust or the machine under it.
    Platform,
}

/// An error as every room hands it to the next.
///
/// `Display` prints the message alone; the source is reached through [`std::error::Error::source`].
#[derive(Debug)]
pub struct Error {
    /// What went wrong.
    pub kind: Kind,
    /// Whose fault it is.
    pub blame: Blame,
    /// Lower case, no full stop, the value last.
    pub message: String,
    /// What to do next, on a line of its own.
    pub hint: Option<String>,
    /// What caused it.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Marks an error of what is larger than it may be, whatever its kind.
#[derive(Debug, thiserror::Error)]
#[error("it is too large")]
pub struct TooLarge;

// === impl Error ===

impl Error {
    /// An error of this kind and blame.
    pub fn new(kind: Kind, blame: Blame, message: impl Into<String>) -> Self {
        Self {
            kind,
            blame,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// The caller sent something malformed.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, Blame::Caller, message)
    }

    /// The caller sent more than is taken: never a matter of trying again.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::invalid(message).because(TooLarge)
    }

    /// The caller asked for something it may not have.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(Kind::Denied, Blame::Caller, message)
    }

    /// The caller named something that does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, Blame::Caller, message)
    }

    /// The caller asked for a change that the present state does not permit.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, Blame::Caller, message)
    }

    /// A limit of the caller is reached.
    pub fn exhausted(message: impl Into<String>) -> Self {
        Self::new(Kind::Exhausted, Blame::Caller, message)
    }

    /// The platform cannot serve right now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, Blame::Platform, message)
    }

    /// The function took too long.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(Kind::Timeout, Blame::Function, message)
    }

    /// The function's code failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, Blame::Function, message)
    }

    /// A fault of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, Blame::Platform, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The first of its causes that is a `T`.
    pub fn caused_by<T: std::error::Error + 'static>(&self) -> Option<&T> {
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            if let Some(found) = cause.downcast_ref() {
                return Some(found);
            }
            next = cause.source();
        }
        None
    }

    /// The message followed by those of its causes, joined by `: `.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|s| s as &(dyn std::error::Error + 'static))
    }
}
