//! How a guest can end badly, in the words of the seam.

use std::time::Duration;

use gust_runtime::Used;
use gust_types::{Blame, Error, Kind, Limits, Outcome, Span};
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use crate::{guest::Counts, pipe::BrokenInput, stubs::Unprovided};

/// The longest note about a crash that goes to the log.
const NOTE: usize = 16 * 1024;

/// A bad end.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) outcome: Outcome,
    kind: Kind,
    blame: Blame,
    /// For the caller: nothing of the guest's inside.
    message: String,
    /// For the function's log: what happened, with the guest's stack.
    pub(crate) note: String,
}

// === impl Fault ===

impl Fault {
    fn new(outcome: Outcome, kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            outcome,
            kind,
            blame: Blame::Function,
            note: message.clone(),
            message,
        }
    }

    /// The error that whoever waits for the call is given.
    pub(crate) fn error(&self) -> Error {
        Error::new(self.kind, self.blame, self.message.clone())
    }

    /// The guest trapped, exited, or a host function failed beyond what its interface can say.
    pub(crate) fn from_guest(error: &wasmtime::Error, counts: Counts, limits: &Limits) -> Self {
        let mut fault = if let Some(broken) = error.downcast_ref::<BrokenInput>() {
            Self::request(&broken.0)
        } else if let Some(exit) = error.downcast_ref::<I32Exit>() {
            Self::new(
                Outcome::Failed,
                Kind::Failed,
                format!("the function exited with code {}", exit.0),
            )
        } else if counts.memory_denied {
            Self::memory(limits)
        } else if let Some(missing) = error.downcast_ref::<Unprovided>() {
            Self::new(Outcome::Failed, Kind::Failed, missing.to_string())
        } else if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            let mut fault = Self::new(
                Outcome::Platform,
                Kind::Unavailable,
                "no room for another instance",
            );
            fault.blame = Blame::Platform;
            fault
        } else if error.downcast_ref::<Trap>() == Some(&Trap::StackOverflow) {
            Self::failed("the function used up its stack")
        } else {
            Self::failed("the function crashed")
        };
        let mut note = format!("{}: {error:?}", fault.message);
        note.truncate(note.floor_char_boundary(NOTE));
        fault.note = note;
        fault
    }

    /// A failure of the guest's own.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Outcome::Failed, Kind::Failed, message)
    }

    /// The request's body broke off. Kind and blame stay as they came: most often it is the caller's doing.
    pub(crate) fn request(error: &Error) -> Self {
        let outcome = match (error.kind, error.blame) {
            (Kind::Exhausted, _) => Outcome::BodyLimit,
            (_, Blame::Caller) => Outcome::Cancelled,
            (_, Blame::Platform) => Outcome::Platform,
            (_, Blame::Function) => Outcome::Failed,
        };
        let mut fault = Self::new(outcome, error.kind, error.message.clone());
        fault.blame = error.blame;
        fault.note = format!("the request's body did not arrive: {}", error.chain());
        fault
    }

    pub(crate) fn memory(limits: &Limits) -> Self {
        Self::new(
            Outcome::MemoryLimit,
            Kind::Exhausted,
            format!(
                "the function needs more memory than its limit of {}",
                limits.memory
            ),
        )
    }

    pub(crate) fn cpu(limit: Duration) -> Self {
        Self::new(
            Outcome::CpuLimit,
            Kind::Timeout,
            format!("the function used its limit of CPU time, {}", Span(limit)),
        )
    }

    pub(crate) fn wall() -> Self {
        Self::new(
            Outcome::WallLimit,
            Kind::Timeout,
            "the function reached its limit of wall time",
        )
    }

    /// The guest ended without a word.
    pub(crate) fn silent() -> Self {
        Self::failed("the function gave no response")
    }

    /// A host function of ours panicked.
    pub(crate) fn panicked() -> Self {
        let mut fault = Self::new(
            Outcome::Platform,
            Kind::Internal,
            "the platform failed in a host function",
        );
        fault.blame = Blame::Platform;
        fault
    }

    /// The copy that the call shared was lost through another call.
    pub(crate) fn neighbour() -> Self {
        Self::failed("the instance was lost through another call in it")
    }
}

/// What a call took, from the counts of its live.
pub(crate) fn used(counts: Counts, cpu: Duration) -> Used {
    Used {
        cpu,
        memory_peak: counts.memory_peak,
        host: counts.host,
    }
}
