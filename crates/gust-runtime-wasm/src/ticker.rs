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
            // With the lock in hand the thread is either waiting already or has not looked at `running` yet.
            drop(self.0.due.lock());
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

/// Waits for a call to begin.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// Busy for the first few times it is asked.
    struct Late {
        busy: AtomicU32,
        ended: AtomicUsize,
    }

    impl Overdue for Late {
        fn end(&self) -> bool {
            let busy = self.busy.load(Ordering::SeqCst);
            if busy > 0 {
                self.busy.store(busy - 1, Ordering::SeqCst);
                return false;
            }
            self.ended.fetch_add(1, Ordering::SeqCst);
            true
        }
    }

    fn late(busy: u32) -> Arc<Late> {
        Arc::new(Late {
            busy: AtomicU32::new(busy),
            ended: AtomicUsize::new(0),
        })
    }

    fn within_a_second(what: impl Fn() -> bool) -> bool {
        (0..1000).any(|_| {
            thread::sleep(TICK);
            what()
        })
    }

    #[test]
    fn what_is_due_ends_once_even_if_it_is_busy_at_first() {
        let engine = wasmtime::Engine::default();
        let ticker = Ticker::start([engine.weak()]).unwrap();
        let _running = ticker.run();
        let (due, far) = (late(3), late(0));
        let as_overdue = |late: &Arc<Late>| -> Weak<dyn Overdue> {
            let late: Arc<dyn Overdue> = late.clone();
            Arc::downgrade(&late)
        };
        let now = gust_task::clock::now();
        ticker.end_at(now + Duration::from_secs(3600), as_overdue(&far));
        ticker.end_at(now, as_overdue(&due));
        let gone = late(0);
        ticker.end_at(now, as_overdue(&gone));
        drop(gone);
        assert!(within_a_second(|| due.ended.load(Ordering::SeqCst) == 1));
        assert_eq!(far.ended.load(Ordering::SeqCst), 0);
        assert!(within_a_second(|| ticker.0.due.lock().heap.len() == 1));
    }

    #[test]
    fn entries_that_are_gone_are_swept() {
        let mut due = Deadlines::default();
        let at = gust_task::clock::now();
        let kept = late(0);
        for n in 0..100_000 {
            let one = if n % 1000 == 0 { kept.clone() } else { late(0) };
            let one: Arc<dyn Overdue> = one;
            due.push(Due {
                at,
                what: Arc::downgrade(&one),
            });
        }
        assert!(due.heap.len() < 3000, "{}", due.heap.len());
    }

    #[test]
    fn it_sleeps_while_nothing_runs_and_wakes_for_a_call() {
        let engine = wasmtime::Engine::default();
        let ticker = Ticker::start([engine.weak()]).unwrap();
        let asleep = || ticker.0.asleep.load(Ordering::SeqCst);
        assert!(within_a_second(asleep));
        let _running = ticker.run();
        assert!(within_a_second(|| !asleep()));
    }
}
