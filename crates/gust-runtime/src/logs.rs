//! Where a guest's output goes.

use gust_types::{FunctionKey, call::CallId};

/// Which of its two streams a guest wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Not the guest: the platform's own words about a call (a trap's message, a limit hit).
    Platform,
}

/// Takes whole chunks as the guest writes them. Never blocks the guest: it drops and counts when it cannot keep up.
pub trait LogSink: Send + Sync {
    /// `bytes` need not be UTF-8 or end at a line.
    fn write(
        &self,
        function: &FunctionKey,
        revision: u64,
        call: CallId,
        stream: Stream,
        bytes: &[u8],
    );
}

/// Forgets everything.
pub struct Discard;

impl LogSink for Discard {
    fn write(&self, _: &FunctionKey, _: u64, _: CallId, _: Stream, _: &[u8]) {}
}
