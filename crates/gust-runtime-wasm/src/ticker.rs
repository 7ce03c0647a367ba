//! The one thread that makes time pass inside guests, and ends what nobody polls.
//!
//! Every millisecond it moves the epoch on, so that a guest that computes hands its thread back, and looks for calls
//! past their deadline whose body nobody asks for. It sleeps while no call is under way.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gust_types::{Error, Result};
use parking_lot::{Condvar, Mutex};
use wasmtime::EngineWeak;

/// How often a guest that computes hands its thread back.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// The thread goes to sleep when no call was under way at this many ticks in a row, and looks around this often.
const IDLE_TICKS: u32 = 100;
const SLEEP: Duration = Duration::from_millis(50);

/// Something that must end at a certain time although nobody may look at it.
pub(crate) trait Overdue: Send + Sync {
    /// Ends it. False when it is in use this very moment: it is asked again at the next tick.
    fn end(&self) -> bool;
}

/// The thread's handle. Cheap to clone; the thread ends with its engines.
#[derive(Clone)]
pub(crate) struct Ticker(Arc<Shared>);

/// A call under way: while one exists, time passes.
pub(crate) struct Running(Ticker);

struct Shared {
    running: AtomicUsize,
    /// The thread sleeps until a call begins.
    asleep: AtomicBool,
    wake: Condvar,
    due: Mutex<Deadlines>,
}

/// The soonest first. Most entries are gone long before they are due and are swept when there are too many.
#[derive(Default)]
struct Deadlines {
    heap: BinaryHeap<Reverse<Due>>,
    sweep_at: usize,
}

struct Due {
    at: Instant,
    what: Weak<dyn Overdue>,
}

// === impl Ticker ===

impl Ticker {
    pub(crate) fn start<const N: usize>(engines: [EngineWeak; N]) -> Result<Self> {
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            wake: Condvar::new(),
            due: Mutex::default(),
        });
        let ours = Arc::downgrade(&shared);
        thread::Builder::new()
            .name("gust-epoch".to_owned())
            .spawn(move || tick(&engines, &ours))
            .map_err(|e| Error::internal("cannot start the epoch thread").because(e))?;
        Ok(Self(shared))
    }

    /// A call begins.
    pub(crate) fn run(&self) -> Running {
        self.0.running.fetch_add(1, Ordering::SeqCst);
        if self.0.asleep.load(Ordering::SeqCst) {
            self.0.wake.notify_one();
        }
        Running(self.clone())
    }

    /// Ends `what` at a certain time unless it is gone by then.
    pub(crate) fn end_at(&self, at: Instant, what: Weak<dyn Overdue>) {
        self.0.due.lock().push(Due { at, what });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick<const N: usize>(engines: &[EngineWeak; N], shared: &Weak<Shared>) {
    let mut idle = 0;
    loop {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        idle = match shared.running.load(Ordering::SeqCst) {
            0 => idle + 1,
            _ => 0,
        };
        if idle >= IDLE_TICKS {
            idle = 0;
            sleep(&shared);
        }
        let late = overdue(&shared);
        drop(shared);
        for due in late {
            due();
        }
        thread::sleep(TICK);
        let alive = engines.iter().filter_map(EngineWeak::upgrade);
        if alive.map(|engine| engine.increment_epoch()).count() == 0 {
            return;
        }
    }
}

/// Waits for a call to begin. One that begins just before we are asleep finds time standing still for a moment.
fn sleep(shared: &Shared) {
    let mut due = shared.due.lock();
    shared.asleep.store(true, Ordering::SeqCst);
    if shared.running.load(Ordering::SeqCst) == 0 {
        due.heap.clear();
        shared.wake.wait_for(&mut due, SLEEP);
    }
    shared.asleep.store(false, Ordering::SeqCst);
}

/// Ends what is due, outside of the lock.
fn overdue(shared: &Arc<Shared>) -> Vec<impl FnOnce() + use<>> {
    let now = gust_task::clock::now();
    let mut ends = Vec::new();
    let mut due = shared.due.lock();
    while due
        .heap
        .peek()
        .is_some_and(|Reverse(first)| first.at <= now)
    {
        let Some(Reverse(first)) = due.heap.pop() else {
            break;
        };
        let shared = shared.clone();
        ends.push(move || {
            if let Some(what) = first.what.upgrade()
                && !what.end()
            {
                shared.due.lock().push(first);
            }
        });
    }
    ends
}

// === impl Deadlines ===

impl Deadlines {
    fn push(&mut self, due: Due) {
        if self.heap.len() >= self.sweep_at.max(1024) {
            self.heap.retain(|Reverse(due)| due.what.strong_count() > 0);
            self.sweep_at = self.heap.len() * 2;
        }
        self.heap.push(Reverse(due));
    }
}

// === impl Due ===

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}
