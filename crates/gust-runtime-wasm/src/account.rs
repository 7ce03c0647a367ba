//! The obligation to say how one call ended and what it took, kept on every path.

use std::{sync::Arc, time::Duration};

use gust_runtime::{Done, Finished};
use gust_types::{Outcome, call::CallId};

use crate::{
    drive::Exit,
    fault::{self, Fault},
    guest::{Counts, LastWords},
    handle::Handle,
    live::Live,
    resident::Resident,
};

/// One call's account. Dropped without a word it says that the call was cancelled; drop the drive before it, so that
/// the copy's last words are there.
pub(crate) struct Account {
    done: Option<Done>,
    pub(crate) resident: Arc<Resident>,
    last_words: Arc<LastWords>,
    id: CallId,
    /// CPU time of the guest for this call, as far as is known.
    pub(crate) cpu: Duration,
}

// === impl Account ===

impl Account {
    pub(crate) fn new(
        done: Done,
        resident: Arc<Resident>,
        last_words: Arc<LastWords>,
        id: CallId,
    ) -> Self {
        Self {
            done: Some(done),
            resident,
            last_words,
            id,
            cpu: Duration::ZERO,
        }
    }

    /// The same obligation in other hands.
    pub(crate) fn hand_over(&mut self) -> Self {
        Self {
            done: self.done.take(),
            resident: self.resident.clone(),
            last_words: self.last_words.clone(),
            id: self.id,
            cpu: self.cpu,
        }
    }

    /// The guest's side has ended. The copy goes back to its pool when it is fit. Hands back the fault, if any.
    pub(crate) fn exit(&mut self, exit: Exit) -> Result<(), Fault> {
        let Exit { mut live, result } = exit;
        let counts = live.store.data_mut().scope.take_counts();
        match result {
            Ok(()) => {
                self.settle(Outcome::Ok, counts, Some(live));
                Ok(())
            }
            Err(error) => {
                let limits = &self.resident.revision.spec.limits;
                let fault = Fault::from_guest(&error, counts, limits);
                drop(live);
                self.blame(&fault, counts);
                Err(fault)
            }
        }
    }

    /// The guest was cut off, or its answer was no good; the copy is gone.
    pub(crate) fn fault(&mut self, fault: &Fault) {
        let counts = self.last_words.take();
        self.blame(fault, counts);
    }

    fn blame(&mut self, fault: &Fault, counts: Counts) {
        if self.done.is_some() {
            self.note(&fault.note);
        }
        self.settle(fault.outcome, counts, None);
    }

    /// The platform's words, in the function's log.
    fn note(&self, text: &str) {
        let resident = &self.resident;
        resident.bindings.logs.write(
            &resident.revision.key,
            resident.revision.number,
            self.id,
            gust_runtime::logs::Stream::Platform,
            text.as_bytes(),
        );
    }

    fn settle(&mut self, outcome: Outcome, counts: Counts, live: Option<Live>) {
        let Some(done) = self.done.take() else {
            return;
        };
        let fit = live.filter(|live| live.served < self.resident.plan.calls);
        done.finish(Finished {
            instance: fit.map(|live| Handle::boxed(live, self.resident.clone())),
            outcome,
            used: fault::used(counts, self.cpu),
        });
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if self.done.is_none() {
            return;
        }
        let counts = self.last_words.take();
        self.settle(Outcome::Cancelled, counts, None);
    }
}
