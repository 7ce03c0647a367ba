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
    /// The call is one of several in its instance.
    riding: Option<Arc<Shared>>,
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

    /// The guest was cut off, or its answer was no good. The instance is gone, or spoilt for others.
    pub(crate) fn fault(&mut self, fault: &Fault) {
        self.abandon();
        let counts = self.last_counts();
        self.blame(fault, counts);
    }

    /// From now on the call is one of several.
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
        match &self.riding {
            Some(shared) => shared.clone().leave(self),
            None => self.settle(Outcome::Ok, Counts::default(), None),
        }
    }

    /// The call has ended well while others are still in.
    pub(crate) fn settle_riding(&mut self) {
        self.settle(Outcome::Ok, Counts::default(), None);
    }

    /// Why the instance that the call rides in was lost, if it was.
    pub(crate) fn lost(&self) -> Option<Fault> {
        self.riding.as_ref().and_then(|shared| shared.lost())
    }

    fn abandon(&self) {
        if self.done.is_some()
            && let Some(shared) = &self.riding
        {
            shared.abandon();
        }
    }

    fn last_counts(&self) -> Counts {
        match (&self.riding, &self.last_words) {
            (None, Some(last_words)) => last_words.take(),
            _ => Counts::default(),
        }
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

    fn settle(&mut self, outcome: Outcome, mut counts: Counts, live: Option<Live>) {
        let Some(done) = self.done.take() else {
            return;
        };
        let (cpu_riding, counts_riding) = self.seat.used();
        counts.add(counts_riding);
        let fit = live.filter(|live| live.is_fit(self.resident.plan));
        done.finish(Finished {
            instance: fit.map(|live| Handle::idle(live, self.resident.clone())),
            outcome,
            used: fault::used(counts, self.cpu + cpu_riding),
        });
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if self.done.is_none() {
            return;
        }
        self.abandon();
        let counts = self.last_counts();
        self.settle(Outcome::Cancelled, counts, None);
    }
}
