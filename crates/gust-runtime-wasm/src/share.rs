//! Calls whose instance somebody else drives: several in one, and one whose guest computes for long.
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
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use gust_runtime::{Instance, Sharer};
use gust_task::clock;
use parking_lot::{Mutex, MutexGuard};

use crate::{
    account::Account,
    drive::{Drive, Exit},
    fault::Fault,
    guest::{Counts, LastWords},
    handle::Handle,
    live::Bell,
    resident::Resident,
    seat::Seat,
    work::Job,
};

/// See [`Shared::ask`].
const ASKED: u8 = 1;
const AT_REST: u8 = 2;

/// What the calls in one instance share.
pub(crate) struct Shared {
    bell: Arc<Bell>,
    last_words: Arc<LastWords>,
    /// Most places, and most calls in a life.
    concurrent: u32,
    calls: u32,
    /// The guest waits for something outside: others may enter.
    parked: AtomicBool,
    /// Whether the event loop is at rest: not asked, asked, or so it said.
    rest: AtomicU8,
    /// There are jobs; saves a lock at each turn of the event loop.
    has_jobs: AtomicBool,
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
    /// Those who are in.
    riders: Vec<Rider>,
    /// CPU time of the guest since a coach drives.
    burnt: Duration,
    /// Calls that came in since.
    entered: u32,
    /// A coach drives; nobody's place is the driver's.
    coached: bool,
    /// Nobody may enter: about to be idle, or lost.
    closed: bool,
    /// A call left before its end: never again idle.
    spoilt: bool,
    /// Why the instance is lost. Set before its copy is dropped: a body whose guest is gone looks as if it had ended well.
    lost: Option<Fault>,
    /// The copy of a lost instance is dropped too, and what it left charged to somebody.
    gone: bool,
    /// The account of the call that ended last: it hands the instance back.
    last: Option<Account>,
    /// The guest was done before the call whose answer is still read.
    rest: Option<Exit>,
    /// When the last of them must be over.
    deadline: Option<Instant>,
    /// Who has the drive at the moment, when it can be taken from them.
    holder: Option<Weak<dyn Holder>>,
}

/// A call that is in, and where the instance's counts stood when it came.
struct Rider {
    seat: Weak<Seat>,
    /// What it had used itself, while it drove.
    before: Duration,
    burnt: Duration,
    /// Calls that had come and gone.
    gone: u32,
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
    pub(crate) fn new(
        bell: Arc<Bell>,
        last_words: Arc<LastWords>,
        concurrent: u32,
        calls: u32,
    ) -> Arc<Self> {
        Arc::new(Self {
            bell,
            last_words,
            concurrent,
            calls,
            parked: AtomicBool::new(false),
            rest: AtomicU8::new(0),
            has_jobs: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    /// For an instance that takes one call at a time and has one.
    pub(crate) fn solo(
        bell: Arc<Bell>,
        last_words: Arc<LastWords>,
        deadline: Instant,
    ) -> Arc<Self> {
        let shared = Self::new(bell, last_words, 1, 1);
        shared.begin(deadline);
        shared
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

    /// Asks the event loop whether it is at rest: it answers when it is polled next, unless it is stuck.
    pub(crate) fn ask(&self) {
        self.rest.store(ASKED, Ordering::Relaxed);
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.rest.load(Ordering::Relaxed) == ASKED
    }

    /// The event loop is at rest and the guest open for another call.
    pub(crate) fn answer(&self) {
        self.rest.store(AT_REST, Ordering::Relaxed);
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        self.rest.load(Ordering::Relaxed) == AT_REST
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
        if !self.has_jobs.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state.lock();
        let job = state.jobs.pop_front();
        self.has_jobs
            .store(!state.jobs.is_empty(), Ordering::Release);
        job
    }

    /// Asked when the guest has nothing left to do. True when nobody is in and nobody will come: then it is closed.
    pub(crate) fn may_end(&self) -> bool {
        let mut state = self.state.lock();
        let over = state.is_alone(u32::from(!state.coached));
        state.closed |= over;
        over
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
            self.has_jobs.store(true, Ordering::Release);
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
    pub(crate) fn leave(&self, account: Account) {
        let mut state = self.state.lock();
        state.places = state.places.saturating_sub(1);
        self.put_away(state, account);
    }

    /// A call is cut off, whatever its guest still does.
    pub(crate) fn leave_early(&self, account: Account) {
        let mut state = self.state.lock();
        state.places = state.places.saturating_sub(1);
        state.spoilt = true;
        state.closed = true;
        self.put_away(state, account);
    }

    /// The last account waits for the guest to be done; any other is settled.
    fn put_away(&self, mut state: MutexGuard<'_, State>, mut account: Account) {
        if state.places > 0 || state.gone {
            drop(state);
            account.settle_without(Counts::default());
        } else if let Some(rest) = state.rest.take() {
            drop(state);
            // The guest's side went well, or there would be no rest.
            let _ = account.exit(rest, None);
        } else {
            let before = state.last.replace(account);
            drop(state);
            if let Some(mut before) = before {
                before.settle_without(Counts::default());
            }
        }
        self.bell.ring();
    }

    /// Why the instance was lost, if it was.
    pub(crate) fn lost(&self) -> Option<Fault> {
        self.state.lock().lost.clone()
    }

    // --- the coach ---

    /// Shares time that the guest ran among those who are in. True when one of them must have used more than `limit`.
    ///
    /// Which of several calls a guest worked for cannot be seen from outside. Those that came in or were answered since
    /// it last waited pay for it; when there was none, all do. That is good enough for the bill, which adds up, but not for
    /// cutting anybody off: a call that waits beside busy ones must not die of their work. So the limit is held where it
    /// is certain: when the instance has used more, during one call's stay, than all calls of that time together may.
    pub(crate) fn charge(&self, time: Duration, limit: Duration, waits: bool) -> bool {
        let mut state = self.state.lock();
        state.burnt += time;
        let (burnt, entered) = (state.burnt, state.entered);
        let mut over = false;
        let mut present = Vec::with_capacity(state.riders.len());
        state.riders.retain(|rider| {
            let Some(seat) = rider.seat.upgrade() else {
                return false;
            };
            let used = burnt - rider.burnt + rider.before;
            over |= used >= limit.saturating_mul(entered - rider.gone);
            present.push(seat);
            true
        });
        drop(state);
        let moved = present.iter().filter(|seat| seat.has_moved()).count();
        let payers = if moved == 0 { present.len() } else { moved };
        let share = time / u32::try_from(payers.max(1)).unwrap_or(u32::MAX);
        for seat in present {
            if moved == 0 || seat.has_moved() {
                seat.charge(share);
            }
            if waits {
                seat.rests();
            }
        }
        over
    }

    /// When the last of them must be over.
    pub(crate) fn deadline(&self) -> Instant {
        self.state.lock().deadline.unwrap_or_else(clock::now)
    }

    /// Everybody has left, somebody of them early: the guest is of no use any more.
    pub(crate) fn is_deserted(&self) -> bool {
        let state = self.state.lock();
        state.spoilt && state.is_alone(0)
    }

    /// The guest is done. The call that ended last hands the instance back, now or when its answer is read.
    pub(crate) fn end(&self, exit: Exit) {
        let mut state = self.state.lock();
        state.closed = true;
        if let Some(mut last) = state.last.take() {
            drop(state);
            let _ = last.exit(exit, None);
        } else if state.places > 0 {
            state.rest = Some(exit);
        }
    }

    /// The guest crashed.
    pub(crate) fn crash(&self, exit: Exit) {
        let Exit { mut live, result } = exit;
        let scope = &mut live.store.data_mut().scope;
        let counts = scope.take_counts();
        let Err(error) = result else {
            return;
        };
        let fault = Fault::from_guest(&error, counts, &scope.revision.spec.limits);
        self.doom(&fault);
        drop(live);
        self.fail(&fault, counts);
    }

    /// The instance is lost: everybody in it has no answer, or no more of it. Drops the copy in between.
    pub(crate) fn lose(&self, drive: Option<Drive>, fault: &Fault) {
        self.doom(fault);
        drop(drive);
        self.fail(fault, self.last_words.take());
    }

    /// From now on no end of a body in here is a good one. To be said before the copy is dropped.
    pub(crate) fn doom(&self, fault: &Fault) {
        let mut state = self.state.lock();
        state.closed = true;
        state.lost.get_or_insert_with(|| fault.clone());
    }

    /// `counts` are what nobody was charged for yet: the call that ended last pays, or one of those who are in.
    fn fail(&self, fault: &Fault, counts: Counts) {
        let (riders, jobs, last) = {
            let mut state = self.state.lock();
            state.closed = true;
            state.lost.get_or_insert_with(|| fault.clone());
            state.gone = true;
            (
                std::mem::take(&mut state.riders),
                std::mem::take(&mut state.jobs),
                state.last.take(),
            )
        };
        let mut counts = Some(counts);
        if let Some(mut last) = last {
            last.blame(fault);
            last.settle_without(counts.take().unwrap_or_default());
        }
        for seat in riders.iter().filter_map(|rider| rider.seat.upgrade()) {
            seat.count(counts.take().unwrap_or_default());
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
        self.riders.retain(|rider| rider.seat.strong_count() > 0);
        self.riders.push(Rider {
            seat: Arc::downgrade(seat),
            before: seat.used().0,
            burnt: self.burnt,
            gone: self.entered.saturating_sub(self.riders.len() as u32),
        });
        self.entered += 1;
        seat.moves();
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
        let resident = self.resident.upgrade().filter(|r| !r.is_stale())?;
        let place = self.shared.upgrade()?.share()?;
        Some(Handle::placed(place, resident))
    }
}
