//! Several calls in one live instance.
//!
//! A call usually has its instance to itself and drives it alone. While it waits for something outside, others may
//! enter: each takes a *place*, puts its job into the queue and rings the bell. From the first such guest on, nobody's
//! own task can drive the instance any more, since its caller may leave: a task of its own takes over
//! ([`crate::coach`]), and every call becomes a passenger that waits for its seat and pulls its own body.
//!
//! What a passenger does that leaves early cannot be undone inside the guest, so the instance takes no more calls after
//! that and ends with those that are in it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use gust_runtime::{Instance, Sharer};
use parking_lot::{Mutex, MutexGuard};

use crate::{
    account::Account, fault::Fault, handle::Handle, live::Bell, resident::Resident, seat::Seat,
    work::Job,
};

/// What the calls in one instance share.
pub(crate) struct Shared {
    bell: Arc<Bell>,
    /// Most places, and most calls in a life.
    concurrent: u32,
    calls: u32,
    /// The guest waits for something outside: others may enter.
    parked: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Calls that are in, and promised ones.
    places: u32,
    /// Calls so far, promised ones included.
    served: u32,
    /// Calls that are in but not yet with the guest.
    jobs: VecDeque<Job>,
    /// The seats of those who are in.
    seats: Vec<Weak<Seat>>,
    /// A coach drives; nobody's place is the driver's.
    coached: bool,
    /// Nobody may enter: about to be idle, or lost.
    closed: bool,
    /// A call left before its end: never again idle.
    spoilt: bool,
    lost: Option<Fault>,
    /// The account of the call that ended last: it hands the instance back.
    last: Option<Account>,
    /// When the last of them must be over.
    deadline: Option<Instant>,
    /// Who has the drive at the moment, when it can be taken from them.
    holder: Option<Weak<dyn Holder>>,
}

/// Somebody who drives the instance only while nobody else is in it.
pub(crate) trait Holder: Send + Sync {
    /// Hands the drive to a coach.
    fn let_go(&self);
}

/// The way in while the instance lives.
pub(crate) struct Way {
    shared: Weak<Shared>,
    resident: Weak<Resident>,
}

/// A place that is held for a call. `None` once the call is in.
pub(crate) struct Place(Option<Arc<Shared>>);

// === impl Shared ===

impl Shared {
    pub(crate) fn new(bell: Arc<Bell>, concurrent: u32, calls: u32) -> Arc<Self> {
        Arc::new(Self {
            bell,
            concurrent,
            calls,
            parked: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    pub(crate) fn way(self: &Arc<Self>, resident: &Arc<Resident>) -> Arc<dyn Sharer> {
        Arc::new(Way {
            shared: Arc::downgrade(self),
            resident: Arc::downgrade(resident),
        })
    }

    /// A call begins in the idle instance and drives it itself.
    pub(crate) fn begin(&self, deadline: Instant) {
        let mut state = self.state.lock();
        state.places = 1;
        state.served += 1;
        state.closed = false;
        state.coached = false;
        state.deadline = Some(deadline);
    }

    /// Whether the guest waits for something outside.
    pub(crate) fn park(&self, parked: bool) {
        self.parked.store(parked, Ordering::Release);
    }

    /// Whether somebody else is in, or about to be, and nobody but a call drives.
    pub(crate) fn has_company(&self) -> bool {
        let state = self.state.lock();
        !state.coached && !state.is_alone(1)
    }

    /// The call that drives wants to drop the instance. Closes it, unless somebody else is in or about to be.
    pub(crate) fn close_if_alone(&self) -> bool {
        let mut state = self.state.lock();
        let alone = state.is_alone(1);
        state.closed |= alone;
        alone
    }

    /// From now on a coach drives.
    pub(crate) fn coach(&self) {
        let mut state = self.state.lock();
        state.coached = true;
        state.holder = None;
    }

    /// This one drives, until somebody else comes in.
    pub(crate) fn held_by(&self, holder: Weak<dyn Holder>) {
        self.state.lock().holder = Some(holder);
    }

    /// The instance can serve again after the calls so far.
    pub(crate) fn is_fit(&self) -> bool {
        let state = self.state.lock();
        !state.spoilt && state.lost.is_none() && state.served < self.calls
    }

    // --- the guest's side ---

    /// The next call to let in.
    pub(crate) fn next_job(&self) -> Option<Job> {
        self.state.lock().jobs.pop_front()
    }

    /// Asked when the guest has nothing left to do. True when nobody is in and nobody will come: then it is closed.
    pub(crate) fn may_end(&self) -> bool {
        let mut state = self.state.lock();
        let over = state.is_alone(u32::from(!state.coached));
        state.closed |= over;
        over
    }

    /// Whether the guest's own work after its answers counts: not for an instance that is thrown away.
    pub(crate) fn is_spoilt(&self) -> bool {
        self.state.lock().spoilt
    }

    // --- passengers ---

    /// A call gets in: its job is queued, and whoever drives is asked to make room for a coach.
    fn enter(&self, job: Job) {
        let holder = {
            let mut state = self.state.lock();
            if let Some(fault) = &state.lost {
                job.seat.put(Err(fault.clone()));
                return;
            }
            state.deadline = state.deadline.max(Some(job.context.deadline));
            state.admit(&job.seat);
            state.jobs.push_back(job);
            state.holder.take()
        };
        if let Some(holder) = holder.and_then(|holder| holder.upgrade()) {
            holder.let_go();
        }
        self.bell.ring();
    }

    /// The call that has driven until now becomes a passenger.
    pub(crate) fn board(&self, seat: &Arc<Seat>) {
        self.state.lock().admit(seat);
    }

    /// A call's answer is out to its last byte.
    pub(crate) fn leave(&self, mut account: Account) {
        let mut state = self.state.lock();
        state.places -= 1;
        if state.places > 0 || state.lost.is_some() {
            drop(state);
            account.settle_riding();
        } else {
            let before = state.last.replace(account);
            drop(state);
            if let Some(mut before) = before {
                before.settle_riding();
            }
        }
        self.bell.ring();
    }

    /// A call is cut off, whatever its guest still does.
    pub(crate) fn abandon(&self) {
        {
            let mut state = self.state.lock();
            state.places = state.places.saturating_sub(1);
            state.spoilt = true;
            state.closed = true;
        }
        self.bell.ring();
    }

    /// Why the instance was lost, if it was.
    pub(crate) fn lost(&self) -> Option<Fault> {
        self.state.lock().lost.clone()
    }

    // --- the coach ---

    /// Shares time that the guest ran among those who are in. The most that one of them has used by now.
    pub(crate) fn charge(&self, time: Duration) -> Duration {
        let mut state = self.state.lock();
        state.seats.retain(|seat| seat.strong_count() > 0);
        let share = time / (state.seats.len().max(1) as u32);
        let used = state.seats.iter().filter_map(Weak::upgrade);
        used.map(|seat| seat.charge(share)).max().unwrap_or(time)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.state.lock().deadline
    }

    /// Nobody is in any more. Whose account hands the instance back?
    pub(crate) fn take_last(&self) -> Option<Account> {
        self.state.lock().last.take()
    }

    /// The instance is gone: everybody in it has no answer.
    pub(crate) fn lose(&self, fault: &Fault) {
        let (seats, jobs) = {
            let mut state = self.state.lock();
            state.closed = true;
            state.lost = Some(fault.clone());
            (
                std::mem::take(&mut state.seats),
                std::mem::take(&mut state.jobs),
            )
        };
        for seat in seats.iter().filter_map(Weak::upgrade) {
            seat.put(Err(fault.clone()));
        }
        drop(jobs);
    }

    fn share(self: &Arc<Self>) -> Option<Place> {
        if !self.parked.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.open()?;
        if state.places >= self.concurrent || state.served >= self.calls {
            return None;
        }
        state.places += 1;
        state.served += 1;
        Some(Place(Some(self.clone())))
    }

    fn open(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.state.lock();
        let open = !state.closed && !state.spoilt && state.lost.is_none() && state.places > 0;
        open.then_some(state)
    }
}

// === impl State ===

impl State {
    /// Nobody but `drivers` is in or about to be.
    fn is_alone(&self, drivers: u32) -> bool {
        self.places <= drivers && self.jobs.is_empty()
    }

    fn admit(&mut self, seat: &Arc<Seat>) {
        self.seats.retain(|seat| seat.strong_count() > 0);
        self.seats.push(Arc::downgrade(seat));
    }
}

// === impl Place ===

impl Place {
    /// Takes the place with this job.
    pub(crate) fn enter(mut self, job: Job) -> Option<Arc<Shared>> {
        let shared = self.0.take()?;
        shared.enter(job);
        Some(shared)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else {
            return;
        };
        {
            let mut state = shared.state.lock();
            state.places = state.places.saturating_sub(1);
            state.served = state.served.saturating_sub(1);
        }
        shared.bell.ring();
    }
}

impl Sharer for Way {
    fn share(&self) -> Option<Box<dyn Instance>> {
        let place = self.shared.upgrade()?.share()?;
        Some(Handle::placed(place, self.resident.upgrade()?))
    }
}
