//! The obligation to say how one call ended and what it took, kept on every path.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gust_runtime::{Done, Finished};
use gust_types::{Outcome, call::CallId};

use crate::{
    drive::{Drive, Exit},
    fault::{self, Fault},
    guest::{Counts, LastWords},
    handle::Handle,
    live::Live,
    resident::Resident,
    seat::Seat,
    share::Shared,
};

/// One call's account. Dropped without a word it says that the call was cancelled; drop the drive before it, so that
/// the copy's last words are there.
pub(crate) struct Account {
    done: Option<Done>,
    pub(crate) resident: Arc<Resident>,
    /// `None` for a call that came into an instance beside others.
    last_words: Option<Arc<LastWords>>,
    seat: Arc<Seat>,
    /// Somebody else drives the guest.
    riding: Option<Arc<Shared>>,
    /// How it ends, when not well.
    ending: Option<Outcome>,
    id: CallId,
    /// CPU time of the guest for this call, as far as is known.
    pub(crate) cpu: Duration,
}

// === impl Account ===

impl Account {
    pub(crate) fn new(
        done: Done,
        resident: Arc<Resident>,
        last_words: Option<Arc<LastWords>>,
        seat: Arc<Seat>,
        id: CallId,
    ) -> Self {
        Self {
            done: Some(done),
            resident,
            last_words,
            seat,
            riding: None,
            ending: None,
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
            seat: self.seat.clone(),
            riding: self.riding.take(),
            ending: self.ending,
            id: self.id,
            cpu: self.cpu,
        }
    }

    /// The guest's side has ended. The instance goes back to its pool when it is fit. Hands back the fault, if any, of which
    /// those who share the instance hear first.
    pub(crate) fn exit(&mut self, exit: Exit, shared: Option<&Shared>) -> Result<(), Fault> {
        let Exit { mut live, result } = exit;
        let counts = live.store.data_mut().scope.take_counts();
        match result {
            Ok(()) => {
                self.settle(counts, Some(live));
                Ok(())
            }
            Err(error) => {
                let limits = &self.resident.revision.spec.limits;
                let fault = Fault::from_guest(&error, counts, limits);
                if let Some(shared) = shared {
                    shared.doom(&fault);
                }
                drop(live);
                self.blame(&fault);
                self.settle(counts, None);
                Err(fault)
            }
        }
    }

    /// The guest was cut off, or its answer was no good. The instance is gone, or spoilt for others.
    pub(crate) fn fault(&mut self, fault: &Fault) {
        self.blame(fault);
        self.end_early();
    }

    /// An instance that takes one call at a time, as a coach wants it.
    pub(crate) fn solo(&self, drive: &Drive, deadline: Instant) -> Arc<Shared> {
        let last_words = self.last_words.clone().unwrap_or_default();
        Shared::solo(drive.bell.clone(), last_words, deadline)
    }

    /// From now on the guest is driven for this call by somebody else.
    pub(crate) fn ride(&mut self, shared: &Arc<Shared>) {
        self.seat.charge(std::mem::take(&mut self.cpu));
        self.riding = Some(shared.clone());
    }

    /// It is one that drove until now.
    pub(crate) fn board(&mut self, shared: &Arc<Shared>) {
        self.ride(shared);
        shared.board(&self.seat);
    }

    /// The call that rides has had its answer out to the last byte.
    pub(crate) fn leave(mut self) {
        match self.riding.clone() {
            Some(shared) => shared.leave(self),
            None => self.settle(Counts::default(), None),
        }
    }

    /// Why the instance that the call rides in was lost, if it was.
    pub(crate) fn lost(&self) -> Option<Fault> {
        self.riding.as_ref().and_then(|shared| shared.lost())
    }

    /// Says why it ends, in the function's log. What was said first stands.
    pub(crate) fn blame(&mut self, fault: &Fault) {
        if self.done.is_some() && self.ending.is_none() {
            self.ending = Some(fault.outcome);
            self.note(&fault.note);
        }
    }

    /// Settles without the instance, with the counts that it left.
    pub(crate) fn settle_without(&mut self, counts: Counts) {
        self.settle(counts, None);
    }

    /// A call that rides leaves the instance behind: whoever drives it knows what it has used. One that drove has
    /// dropped it.
    fn end_early(&mut self) {
        if self.done.is_none() {
            return;
        }
        match (self.riding.clone(), &self.last_words) {
            (Some(shared), _) => shared.leave_early(self.hand_over()),
            (None, Some(last_words)) => {
                let counts = last_words.take();
                self.settle(counts, None);
            }
            (None, None) => self.settle(Counts::default(), None),
        }
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

    fn settle(&mut self, mut counts: Counts, live: Option<Live>) {
        let Some(done) = self.done.take() else {
            return;
        };
        let (cpu_riding, counts_riding) = self.seat.used();
        counts.add(counts_riding);
        let well = self.ending.is_none();
        let fit = live.filter(|live| well && live.is_fit(self.resident.plan));
        done.finish(Finished {
            instance: fit.map(|live| Handle::idle(live, self.resident.clone())),
            outcome: self.ending.unwrap_or(Outcome::Ok),
            used: fault::used(counts, self.cpu + cpu_riding),
        });
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.ending.get_or_insert(Outcome::Cancelled);
        self.end_early();
    }
}
