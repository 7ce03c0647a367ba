//! settle: one usage record per admitted call, whatever happened to it.
//!
//! Three parties take part in a call: the task that waits for its reply, the guest (through its `Done`), and the body of
//! the reply. Each holds the call's [`Scope`]; when the last of them lets go, the scope is dropped and writes the
//! record. So the record is written exactly once, after everything it reports has ended, and no path can forget it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use gust_runtime::{Ended, Finished, Settle, Used};
use gust_task::clock;
use gust_telemetry::Stage;
use gust_types::{
    Blame, Call, Error, Kind, Outcome, Usage,
    call::{CallId, Trace, Trigger},
    usage::{Phases, Start},
};
use parking_lot::Mutex;

use crate::{
    FunctionEntry,
    acquire::{self, Acquired, Seat},
    admit::Permit,
};

/// What is being found out about a call until it is settled.
pub(crate) struct Scope {
    pub(crate) entry: Arc<FunctionEntry>,
    id: CallId,
    trigger: Trigger,
    pub(crate) trace: Trace,
    start_us: u64,
    arrived: Instant,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// Refused after all: no record.
    void: bool,
    phases: Phases,
    start: Option<Start>,
    used: Used,
    ends: Ends,
    status: u16,
    /// It was given an instance.
    held: Option<Instant>,
    /// The guest was done with it.
    released: Option<Instant>,
    headed: Option<Instant>,
}

/// How a call ended, as seen from each side. The order of events is in it: `left` is only set while the guest had not
/// finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ends {
    /// What the guest's side said, once it had finished.
    guest: Option<Outcome>,
    /// The caller let go first.
    left: bool,
    /// The caller let go having everything it needed.
    content: bool,
    /// A body was larger than it may be.
    body_limit: bool,
}

/// Hears from the runtime that the guest is done.
pub(crate) struct Ear {
    pub(crate) scope: Arc<Scope>,
    pub(crate) seat: Seat,
    pub(crate) permit: Permit,
}

// === impl Scope ===

impl Scope {
    /// From here on there will be a record. `queued` is how long ago the call arrived.
    pub(crate) fn open(
        entry: Arc<FunctionEntry>,
        call: &Call,
        arrived: Instant,
        queued: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            entry,
            id: call.id,
            trigger: call.origin.trigger,
            trace: call.trace,
            start_us: clock::unix_micros().saturating_sub(queued.as_micros() as u64),
            arrived,
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            found: Mutex::default(),
        })
    }

    /// The call was refused after all and never reached a guest.
    pub(crate) fn void(&self) {
        self.found.lock().void = true;
    }

    /// It has an instance.
    pub(crate) fn acquired(&self, acquired: &Acquired, queued: Duration, at: Instant) {
        let mut found = self.found.lock();
        found.held = Some(at);
        found.start = Some(acquired.start);
        found.phases = Phases {
            queue_us: micros(queued + acquired.took.wait),
            map_us: micros(acquired.took.map),
            link_us: micros(acquired.took.link),
            instantiate_us: micros(acquired.took.instantiate),
            first_byte_us: 0,
        };
    }

    /// It ended with an error instead of a reply.
    pub(crate) fn failed(&self, error: &Error, at: Instant) {
        let mut found = self.found.lock();
        found.status = gust_api::render::row(error.kind, error.blame).status;
        found.headed = Some(at);
        if found.start.is_some() {
            return;
        }
        // No guest will say how it ended, unless it did so while it was made.
        if let Some(ended) = error.caused_by::<Ended>() {
            found.ends.guest = Some(ended.outcome);
            found.used = ended.used;
        } else {
            found.ends.guest = Some(outcome_of(error));
        }
    }

    /// The head of the reply is there. True when the guest has finished already.
    pub(crate) fn headed(&self, status: u16, called: Instant, at: Instant) -> bool {
        let mut found = self.found.lock();
        found.status = status;
        found.headed = Some(at);
        found.phases.first_byte_us = micros(at.saturating_duration_since(called));
        found.ends.guest.is_some()
    }

    /// The caller let go: of the call, or of a body that had more to come.
    pub(crate) fn left(&self) {
        let mut found = self.found.lock();
        found.ends.left |= found.ends.guest.is_none();
    }

    /// The caller let go of a body that it had no more need of.
    pub(crate) fn content(&self) {
        self.found.lock().ends.content = true;
    }

    /// A body was larger than it may be.
    pub(crate) fn body_limit(&self) {
        self.found.lock().ends.body_limit = true;
    }
}

impl Found {
    /// How long the guest had its instance: neither the queue nor a slow reader holds memory.
    fn held_us(&self) -> u64 {
        match (self.held, self.released) {
            (Some(held), Some(released)) => {
                released.saturating_duration_since(held).as_micros() as u64
            }
            _ => 0,
        }
    }
}

impl Ends {
    fn outcome(self) -> Outcome {
        match self.guest {
            _ if self.body_limit => Outcome::BodyLimit,
            _ if self.left => Outcome::Cancelled,
            Some(Outcome::Cancelled) if self.content => Outcome::Ok,
            Some(outcome) => outcome,
            // Dropped on its way to an instance.
            None => Outcome::Cancelled,
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let found = std::mem::take(self.found.get_mut());
        let entry = &self.entry;
        if found.void {
            entry.lane.tally.refused();
            return;
        }
        let now = clock::now();
        let wall_us = now.saturating_duration_since(self.arrived).as_micros() as u64;
        let usage = Usage {
            call: self.id,
            function: entry.key().clone(),
            revision: entry.revision().number,
            trigger: self.trigger,
            start_us: self.start_us,
            wall_us,
            cpu_us: found.used.cpu.as_micros() as u64,
            memory_peak: found.used.memory_peak,
            memory_mb_ms: mb_ms(found.used.memory_peak, found.held_us()),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            host: found.used.host,
            start: found.start.unwrap_or(Start::None),
            outcome: found.ends.outcome(),
            status: found.status,
            phases: found.phases,
        };
        entry.metrics.settled(&usage);
        entry.engine.parts.meter.record(usage);
        entry.lane.tally.settled();
        if let Some(headed) = found.headed {
            let path = &entry.engine.parts.metrics;
            path.stage(Stage::Settle, &self.trace, headed, now);
        }
    }
}

impl Settle for Ear {
    fn settle(self: Box<Self>, finished: Finished) {
        let Ear {
            scope,
            seat,
            permit,
        } = *self;
        {
            let mut found = scope.found.lock();
            found.ends.guest = Some(finished.outcome);
            found.used = finished.used;
            found.released = Some(clock::now());
        }
        // The instance first: the call that the permit lets in shall find it.
        acquire::give_back(&scope.entry, seat, finished.instance);
        drop(permit);
    }
}

fn outcome_of(error: &Error) -> Outcome {
    match (error.kind, error.blame) {
        (Kind::Timeout, _) => Outcome::WallLimit,
        (Kind::Exhausted, Blame::Function) => Outcome::MemoryLimit,
        (_, Blame::Function) => Outcome::Failed,
        _ => Outcome::Platform,
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// Bytes times microseconds in MB times milliseconds, rounded up.
fn mb_ms(bytes: u64, held_us: u64) -> u64 {
    let exact = u128::from(bytes) * u128::from(held_us);
    u64::try_from(exact.div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_merge_into_one_outcome() {
        let told = |guest| Ends {
            guest: Some(guest),
            ..Ends::default()
        };
        for (ends, outcome) in [
            (told(Outcome::Ok), Outcome::Ok),
            (told(Outcome::CpuLimit), Outcome::CpuLimit),
            (Ends::default(), Outcome::Cancelled),
            (
                Ends {
                    left: true,
                    ..told(Outcome::Platform)
                },
                Outcome::Cancelled,
            ),
            (
                Ends {
                    content: true,
                    ..told(Outcome::Cancelled)
                },
                Outcome::Ok,
            ),
            (
                Ends {
                    content: true,
                    ..told(Outcome::Failed)
                },
                Outcome::Failed,
            ),
            (
                Ends {
                    body_limit: true,
                    left: true,
                    ..told(Outcome::Ok)
                },
                Outcome::BodyLimit,
            ),
        ] {
            assert_eq!(ends.outcome(), outcome, "{ends:?}");
        }
    }

    #[test]
    fn memory_time_is_rounded_up() {
        for (bytes, us, expected) in [
            (0, 5, 0),
            (1, 1, 1),
            (1_000_000, 1_000, 1),
            (1_000_000, 1_001, 2),
            (128_000_000, 10_000, 1280),
            (u64::MAX, u64::MAX, u64::MAX),
        ] {
            assert_eq!(mb_ms(bytes, us), expected, "{bytes} {us}");
        }
    }
}
