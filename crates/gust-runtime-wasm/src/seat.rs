//! Where a guest leaves its answer for the host's side of a call.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::Waker,
    time::Duration,
};

use parking_lot::Mutex;
use wasmtime_wasi_http::WasiBody;

use crate::{fault::Fault, guest::Counts};

/// What a guest answered: a response, or that it has none.
pub(crate) type Answer = Result<http::Response<WasiBody>, Fault>;

/// One call's seat. The guest's side puts the answer, the host's side takes it.
#[derive(Default)]
pub(crate) struct Seat {
    state: Mutex<State>,
    /// It came in or was answered since the guest last waited for something outside.
    moved: AtomicBool,
}

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
        self.moves();
        let waiting = {
            let mut state = self.state.lock();
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
        self.state.lock().answer.take()
    }

    /// Takes it, or has `waiting` woken when it comes.
    pub(crate) fn take_or_wait(&self, waiting: &Waker) -> Option<Answer> {
        let mut state = self.state.lock();
        let answer = state.answer.take();
        if answer.is_none() {
            state.waiting = Some(waiting.clone());
        }
        answer
    }

    /// Adds CPU time.
    pub(crate) fn charge(&self, cpu: Duration) {
        self.state.lock().cpu += cpu;
    }

    /// The guest does something for this call, as far as can be seen from here.
    pub(crate) fn moves(&self) {
        self.moved.store(true, Relaxed);
    }

    /// Whether it did since it last waited for something outside.
    pub(crate) fn has_moved(&self) -> bool {
        self.moved.load(Relaxed)
    }

    /// The guest waits for something outside.
    pub(crate) fn rests(&self) {
        self.moved.store(false, Relaxed);
    }

    /// Adds what the guest's side counted for this call.
    pub(crate) fn count(&self, counts: Counts) {
        self.state.lock().counts.add(counts);
    }

    /// What the call has used as one of several.
    pub(crate) fn used(&self) -> (Duration, Counts) {
        let state = self.state.lock();
        (state.cpu, state.counts)
    }
}
