//! The instances of one revision, and its code while that is mapped.
//!
//! Things a reader may confuse: an *instance handle* is what a runtime takes a call with; a *copy* is the running thing
//! behind it, of which there may be several handles when calls share it; a *seat* is one call's claim on a copy.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst},
    },
    time::Instant,
};

use gust_runtime::{Bindings, Instance, Prepared, ReusePlan, Sharer};
use parking_lot::Mutex;

use super::{load::Load, places::Place};

/// The instances of one revision.
#[derive(Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
    /// Replaced or removed: nothing is kept any more. Changed under the lock, so that nothing is kept after it is set.
    retired: AtomicBool,
    /// Calls that have a seat.
    out: AtomicU32,
    /// When it was last used, in milliseconds of the engine's life.
    used_ms: AtomicU64,
}

#[derive(Default)]
struct State {
    /// The latest at the end, which is taken first: the others may grow cold.
    idle: Vec<Idle>,
    /// Copies that calls may share while another is under way. Some may be gone.
    open: VecDeque<Weak<Copy>>,
    code: Code,
    /// Whether the sweeper knows of idle instances here.
    listed: bool,
}

/// An instance that waits for a call.
pub(crate) struct Idle {
    ready: Box<dyn Instance>,
    copy: Arc<Copy>,
    since: Instant,
    /// The thread that served its last call: the guest's memory is in the caches of that core.
    thread: usize,
}

/// Whether the code is mapped.
#[derive(Default)]
pub(crate) enum Code {
    /// It is not.
    #[default]
    Absent,
    /// Somebody is at it; everybody else waits for the same.
    Loading(Load),
    /// It failed a moment ago, with this.
    Failed(Instant, Arc<gust_types::Error>),
    /// It is.
    Mapped(Arc<Mapped>),
}

/// Mapped code.
pub(crate) struct Mapped {
    pub(crate) prepared: Arc<dyn Prepared>,
    pub(crate) plan: ReusePlan,
    pub(crate) bytes: u64,
    /// What it was loaded with.
    pub(crate) bindings: Bindings,
}

/// A running copy and its place on the node.
pub(crate) struct Copy {
    sharer: Option<Arc<dyn Sharer>>,
    plan: ReusePlan,
    phase: AtomicU8,
    listed: AtomicBool,
    _place: Place,
}

/// A copy that has its handle out and has not been called with it yet: no further call may come in between.
const FRESH: u8 = 0;
/// Serving; further calls may share it.
const CALLED: u8 = 1;
/// In the idle stack.
const IDLE: u8 = 2;

/// One call's claim on a copy.
pub(crate) struct Seat {
    pool: Arc<Pool>,
    copy: Arc<Copy>,
}

/// An instance that a call can be given to.
pub(crate) struct Ready {
    pub(crate) instance: Box<dyn Instance>,
    pub(crate) seat: Seat,
}

/// Idle instances looked through for one that this thread used last. At rest, threads that serve hold one each.
const NEAR: usize = 8;

/// Copies asked for a share before a call gives up and takes an instance of its own.
const SHARE_TRIES: usize = 8;

/// Tells threads apart, for less than asking the standard library.
fn thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

// === impl Pool ===

impl Pool {
    /// Tells pools apart in the node's queue.
    pub(crate) fn id(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    /// Instances that wait, and calls that have a seat.
    pub(crate) fn count(&self) -> (usize, usize) {
        (
            self.state.lock().idle.len(),
            self.out.load(Relaxed) as usize,
        )
    }

    pub(crate) fn touch(&self, ms: u64) {
        self.used_ms.store(ms, Relaxed);
    }

    pub(crate) fn used_ms(&self) -> u64 {
        self.used_ms.load(Relaxed)
    }

    /// Reads or changes the code under the lock.
    pub(crate) fn with_code<T>(&self, f: impl FnOnce(&mut Code) -> T) -> T {
        f(&mut self.state.lock().code)
    }

    /// The code, if it is mapped.
    pub(crate) fn mapped(&self) -> Option<Arc<Mapped>> {
        match &self.state.lock().code {
            Code::Mapped(mapped) => Some(mapped.clone()),
            _ => None,
        }
    }

    /// The idle instance used last, by this thread if possible, or a share of a busy copy.
    pub(crate) fn reuse(self: &Arc<Self>) -> Option<Ready> {
        let mut state = self.state.lock();
        if let Some(idle) = state.nearest() {
            drop(state);
            return Some(idle.take(self));
        }
        state.share(self)
    }

    /// The idle instance used last.
    pub(crate) fn reuse_idle(self: &Arc<Self>) -> Option<Ready> {
        let idle = self.state.lock().idle.pop()?;
        Some(idle.take(self))
    }

    /// A new copy, which holds `place` for its life.
    pub(crate) fn adopt(
        self: &Arc<Self>,
        instance: Box<dyn Instance>,
        plan: ReusePlan,
        place: Place,
    ) -> Ready {
        let copy = Copy {
            sharer: if plan.concurrent > 1 {
                instance.sharer()
            } else {
                None
            },
            plan,
            phase: AtomicU8::new(FRESH),
            listed: AtomicBool::new(false),
            _place: place,
        };
        let seat = Seat::take(self, Arc::new(copy));
        Ready { instance, seat }
    }

    /// Further calls may share the copy, now that its own has begun.
    pub(crate) fn open(&self, copy: &Arc<Copy>) {
        let begun = copy.phase.compare_exchange(FRESH, CALLED, SeqCst, Relaxed);
        if begun.is_ok() && !copy.listed.swap(true, Relaxed) {
            let mut state = self.state.lock();
            if state.open.len() == state.open.capacity() {
                state.open.retain(|copy| copy.strong_count() > 0);
            }
            state.open.push_back(Arc::downgrade(copy));
        }
    }

    /// Keeps an instance for the next call. True when the sweeper has to be told.
    pub(crate) fn keep(&self, instance: Box<dyn Instance>, copy: Arc<Copy>, now: Instant) -> bool {
        let mut state = self.state.lock();
        if self.is_retired() {
            drop(state);
            return false;
        }
        // Two calls that shared the copy may both come back with a handle; one is enough.
        if copy.phase.swap(IDLE, SeqCst) == IDLE {
            drop(state);
            return false;
        }
        state.idle.push(Idle {
            ready: instance,
            copy,
            since: now,
            thread: thread(),
        });
        !std::mem::replace(&mut state.listed, true)
    }

    /// Takes the idle instances that have waited long enough. The flag is false when none is left and the sweeper
    /// need not come again until it is told.
    pub(crate) fn expire(&self, now: Instant) -> (Vec<Idle>, bool) {
        let mut state = self.state.lock();
        // The oldest are at the front: the stack grows and shrinks at the end.
        let keep = |idle: &Idle| now.saturating_duration_since(idle.since) < idle.copy.plan.idle;
        let old = state.idle.iter().take_while(|idle| !keep(idle)).count();
        let gone: Vec<_> = state.idle.drain(..old).collect();
        state.listed = !state.idle.is_empty();
        (gone, state.listed)
    }

    /// Since when the oldest idle instance has waited.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.state.lock().idle.first().map(|idle| idle.since)
    }

    /// Gives up the oldest idle instance.
    pub(crate) fn evict(&self) -> Option<Idle> {
        let mut state = self.state.lock();
        (!state.idle.is_empty()).then(|| state.idle.remove(0))
    }

    /// Gives up the code and what is idle, unless calls are being served.
    pub(crate) fn unload(&self) -> Option<Unloaded> {
        let mut state = self.state.lock();
        if self.out.load(SeqCst) > 0 || !matches!(state.code, Code::Mapped(_)) {
            return None;
        }
        Some(state.empty())
    }

    /// Keeps nothing from now on. Calls under way keep what they use.
    pub(crate) fn retire(&self) -> Unloaded {
        let mut state = self.state.lock();
        self.retired.store(true, SeqCst);
        state.empty()
    }
}

impl State {
    /// Takes the idle instance to use next. The order of the others stays.
    fn nearest(&mut self) -> Option<Idle> {
        let here = thread();
        let latest = self.idle.iter().rev().take(NEAR);
        match latest.clone().position(|idle| idle.thread == here) {
            Some(back) => Some(self.idle.remove(self.idle.len() - 1 - back)),
            None => self.idle.pop(),
        }
    }

    fn share(&mut self, pool: &Arc<Pool>) -> Option<Ready> {
        for _ in 0..SHARE_TRIES.min(self.open.len()) {
            let asked = self.open.pop_front()?;
            let Some(copy) = asked.upgrade() else {
                continue;
            };
            // Round robin: what was asked goes to the back.
            self.open.push_back(asked);
            if copy.phase.load(SeqCst) == CALLED
                && let Some(instance) = copy.sharer.as_ref().and_then(|sharer| sharer.share())
            {
                let seat = Seat::take(pool, copy);
                return Some(Ready { instance, seat });
            }
        }
        None
    }

    fn empty(&mut self) -> Unloaded {
        self.listed = false;
        self.open.clear();
        let mapped = match std::mem::take(&mut self.code) {
            Code::Mapped(mapped) => Some(mapped),
            other => {
                self.code = other;
                None
            }
        };
        Unloaded {
            _idle: std::mem::take(&mut self.idle),
            mapped,
        }
    }
}

/// What a pool gave up; dropping it may take a while (unmapping), so not on the path of a call.
pub(crate) struct Unloaded {
    _idle: Vec<Idle>,
    pub(crate) mapped: Option<Arc<Mapped>>,
}

impl Idle {
    fn take(self, pool: &Arc<Pool>) -> Ready {
        self.copy.phase.store(FRESH, SeqCst);
        Ready {
            instance: self.ready,
            seat: Seat::take(pool, self.copy),
        }
    }
}

// === impl Seat ===

impl Seat {
    fn take(pool: &Arc<Pool>, copy: Arc<Copy>) -> Self {
        pool.out.fetch_add(1, SeqCst);
        let pool = pool.clone();
        Self { pool, copy }
    }

    /// The copy, when several calls can share it.
    pub(crate) fn shared(&self) -> Option<Arc<Copy>> {
        self.copy.sharer.is_some().then(|| self.copy.clone())
    }

    /// The copy, and the end of this call's claim on it.
    pub(crate) fn leave(self) -> Arc<Copy> {
        self.copy.clone()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.pool.out.fetch_sub(1, SeqCst);
    }
}

impl Copy {
    /// Whether it can serve a further call at all.
    pub(crate) fn is_reusable(&self) -> bool {
        self.plan.calls > 1
    }
}
