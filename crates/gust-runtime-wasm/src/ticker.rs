//! The one thread that makes time pass inside guests, and ends what nobody polls.
//!
//! Every millisecond it moves the epoch on, so that a guest that computes hands its thread back, and looks for calls
//! past their deadline whose body nobody asks for. It sleeps while no call is under way.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gust_types::{Error, Result};
use parking_lot::{Condvar, Mutex};
use wasmtime::EngineWeak;

/// How often a guest that computes hands its thread back.
pub(crate) const TICK: Duration = Duration::from_millis(1);

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
        if self.0.running.fetch_add(1, Ordering::SeqCst) == 0 {
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
    loop {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if shared.running.load(Ordering::SeqCst) == 0 {
            // A call that begins right here finds its epoch standing still for at most this long.
            let mut due = shared.due.lock();
            if shared.running.load(Ordering::SeqCst) == 0 {
                due.heap.clear();
                shared.wake.wait_for(&mut due, TICK * 20);
            }
            drop(due);
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
