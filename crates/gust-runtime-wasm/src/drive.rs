//! Polling a guest: one turn at a time, timed, within its CPU limit, and never bringing the node down.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::{
    guest::LastWords,
    live::{Bell, Live},
    meter::CpuClock,
    share::Shared,
    ticker::Running,
};

/// A guest at work on a call. Dropping it cuts the guest off and throws the copy away.
pub(crate) struct Drive {
    work: Work,
    pub(crate) bell: Arc<Bell>,
    waker: Waker,
    clock: CpuClock,
    /// What was on the clock before the first turn.
    before: Duration,
    cpu_limit: Duration,
    /// Told when the guest is cut off: before the copy is dropped.
    last_words: Arc<LastWords>,
    /// The guest has ended by itself.
    ended: bool,
    /// Told when others may enter, in an instance that takes several calls.
    shared: Option<Arc<Shared>>,
    /// Makes time pass inside the guest.
    _running: Running,
}

/// A guest that has computed for this long in a call moves to the threads for that; see [`crate::coach`].
const LONG: Duration = Duration::from_millis(5);

/// The guest's side of a call, which owns the live.
pub(crate) type Work = Pin<Box<dyn Future<Output = Exit> + Send>>;

/// How the guest's side of a call ended.
pub(crate) struct Exit {
    pub(crate) live: Live,
    pub(crate) result: wasmtime::Result<()>,
}

/// What came of one turn.
pub(crate) enum Turn {
    /// The guest is done, background work and all.
    Ended(Box<Exit>),
    /// It waits for something outside.
    Parked,
    /// It handed the thread back but has more to do.
    Yielded,
    /// It has used its CPU time.
    Spent,
    /// A host function of ours panicked. The copy is not to be trusted.
    Panicked,
}

// === impl Drive ===

impl Drive {
    pub(crate) fn new(
        work: Work,
        (bell, waker): (Arc<Bell>, Waker),
        last_words: Arc<LastWords>,
        spent: Duration,
        cpu_limit: Duration,
        running: Running,
        shared: Option<Arc<Shared>>,
    ) -> Self {
        let mut clock = CpuClock::default();
        clock.add(spent);
        Self {
            work,
            bell,
            waker,
            clock,
            before: spent,
            cpu_limit,
            last_words,
            ended: false,
            shared,
            _running: running,
        }
    }

    /// Gives the guest a turn. The bell must be held.
    pub(crate) fn turn(&mut self) -> Turn {
        let Some(shared) = self.shared.clone() else {
            return self.poll();
        };
        shared.park(false);
        match self.poll() {
            Turn::Parked => {
                // A second poll finds the event loop at rest, or stuck in a host function that holds the whole store;
                // only in the first case others may enter.
                shared.ask();
                let turn = self.poll();
                shared.park(matches!(turn, Turn::Parked) && shared.is_at_rest());
                turn
            }
            turn => turn,
        }
    }

    /// Polls the guest once.
    fn poll(&mut self) -> Turn {
        let mut cx = Context::from_waker(&self.waker);
        let work = &mut self.work;
        let polled = self
            .clock
            .time(|| catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut cx))));
        match polled {
            Ok(Poll::Ready(exit)) => {
                self.ended = true;
                if exit.result.is_err() {
                    self.last_words.cut_off();
                }
                Turn::Ended(Box::new(exit))
            }
            Ok(Poll::Pending) if self.clock.total() >= self.cpu_limit => Turn::Spent,
            Ok(Poll::Pending) if self.bell.take() => Turn::Yielded,
            Ok(Poll::Pending) => Turn::Parked,
            Err(payload) => {
                tracing::error!(
                    panic = gust_task::panic_text(&*payload),
                    "a host function panicked; its instance is thrown away"
                );
                Turn::Panicked
            }
        }
    }

    /// Forgets the CPU time so far: whoever counts it counts it elsewhere from now on.
    pub(crate) fn restart_clock(&mut self) {
        self.clock = CpuClock::default();
        self.before = Duration::ZERO;
    }

    /// Whether the guest has computed for long since its first turn.
    pub(crate) fn is_long(&self) -> bool {
        self.clock.total() - self.before >= LONG
    }

    pub(crate) fn cpu_limit(&self) -> Duration {
        self.cpu_limit
    }

    /// CPU time of the call so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.clock.total()
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        if !self.ended {
            self.last_words.cut_off();
        }
    }
}
