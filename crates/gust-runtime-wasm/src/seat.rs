//! Where a guest leaves its answer for the host's side of a call.

use std::{task::Waker, time::Duration};

use parking_lot::Mutex;
use wasmtime_wasi_http::WasiBody;

use crate::{fault::Fault, guest::Counts};

/// What a guest answered: a response, or that it has none.
pub(crate) type Answer = Result<http::Response<WasiBody>, Fault>;

/// One call's seat. The guest's side puts the answer, the host's side takes it.
#[derive(Default)]
pub(crate) struct Seat(Mutex<State>);

#[derive(Default)]
struct State {
    answer: Option<Answer>,
    /// Who waits for it, when that is not who drives the guest.
    waiting: Option<Waker>,
    /// What the call has used as one of several in its instance.
    cpu: Duration,
    counts: Counts,
}

// === impl Seat ===

impl Seat {
    /// The first answer counts.
    pub(crate) fn put(&self, answer: Answer) {
        let waiting = {
            let mut state = self.0.lock();
            if state.answer.is_none() {
                state.answer = Some(answer);
            }
            state.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    pub(crate) fn take(&self) -> Option<Answer> {
        self.0.lock().answer.take()
    }

    /// Takes it, or has `waiting` woken when it comes.
    pub(crate) fn take_or_wait(&self, waiting: &Waker) -> Option<Answer> {
        let mut state = self.0.lock();
        let answer = state.answer.take();
        if answer.is_none() {
            state.waiting = Some(waiting.clone());
        }
        answer
    }

    /// Adds CPU time; hands back the sum.
    pub(crate) fn charge(&self, cpu: Duration) -> Duration {
        let mut state = self.0.lock();
        state.cpu += cpu;
        state.cpu
    }

    /// Adds what the guest's side counted for this call.
    pub(crate) fn count(&self, counts: Counts) {
        self.0.lock().counts.add(counts);
    }

    /// What the call has used as one of several.
    pub(crate) fn used(&self) -> (Duration, Counts) {
        let state = self.0.lock();
        (state.cpu, state.counts)
    }
}
