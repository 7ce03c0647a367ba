//! One running copy of a component between two calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use futures::task::AtomicWaker;
use gust_runtime::ReusePlan;
use wasmtime::{Store, component::TypedFunc};
use wasmtime_wasi::{p2::bindings::Command as Command02, p3::bindings::Command as Command03};
use wasmtime_wasi_http::{p2::bindings::Proxy, p3::bindings::Service};

use crate::{
    guest::{Guest, LastWords},
    share::Shared,
    spin_event::Handler,
    spin_http::{SpinRequest, SpinResponse},
};

/// A store with an instance in it. Whoever has it may call it; nothing else refers to the store.
pub(crate) struct Live {
    pub(crate) store: Store<Guest>,
    pub(crate) entry: Entry,
    pub(crate) last_words: Arc<LastWords>,
    /// Rung when something that the guest waits for has happened.
    pub(crate) bell: Arc<Bell>,
    pub(crate) waker: Waker,
    /// Calls that it has served.
    pub(crate) served: u32,
    /// CPU time that its making took; the first call pays.
    pub(crate) spent: Duration,
    /// How further calls get in, when it takes several at once.
    pub(crate) shared: Option<Arc<Shared>>,
}

/// The typed way in.
pub(crate) enum Entry {
    Http02(Proxy),
    Http03(Service),
    SpinHttp(TypedFunc<(SpinRequest,), (SpinResponse,)>),
    SpinEvent(Handler),
    Run02(Command02),
    Run03(Command03),
}

/// The waker that a guest is polled with.
///
/// It tells a guest that woke itself while it was being polled (a yield: poll it again, maybe at once) from one that
/// is woken later by what it waits for (wake the task that polls it). One bell serves all calls of a live, so that no
/// call makes a waker of its own.
#[derive(Default)]
pub(crate) struct Bell {
    state: AtomicU8,
    task: AtomicWaker,
}

/// Nobody polls: a ring wakes the task.
const FREE: u8 = 0;
/// Somebody polls: a ring is noted.
const HELD: u8 = 1;
/// Somebody polls and it has rung.
const RUNG: u8 = 2;

// === impl Live ===

impl Live {
    pub(crate) fn new(
        store: Store<Guest>,
        entry: Entry,
        last_words: Arc<LastWords>,
        spent: Duration,
        plan: ReusePlan,
    ) -> Self {
        let bell = Arc::new(Bell::default());
        let several = plan.concurrent > 1;
        Self {
            shared: several.then(|| {
                Shared::new(
                    bell.clone(),
                    last_words.clone(),
                    plan.concurrent,
                    plan.calls,
                )
            }),
            store,
            entry,
            last_words,
            waker: Waker::from(bell.clone()),
            bell,
            served: 0,
            spent,
        }
    }

    /// Whether it may serve another call.
    pub(crate) fn is_fit(&self, plan: ReusePlan) -> bool {
        match &self.shared {
            Some(shared) => shared.is_fit(),
            None => self.served < plan.calls,
        }
    }
}

// === impl Bell ===

impl Bell {
    /// Has whoever polls poll again.
    pub(crate) fn ring(self: &Arc<Self>) {
        Wake::wake_by_ref(self);
    }

    /// From here on rings are noted; later ones wake `task`.
    pub(crate) fn hold(&self, task: &Waker) {
        self.task.register(task);
        self.state.store(HELD, Ordering::SeqCst);
    }

    /// Whether it has rung since it was held or last asked.
    pub(crate) fn take(&self) -> bool {
        self.state
            .compare_exchange(RUNG, HELD, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Nobody polls any more. True when it has rung and somebody has to poll again.
    pub(crate) fn release(&self) -> bool {
        self.state.swap(FREE, Ordering::SeqCst) == RUNG
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let noted = self
            .state
            .compare_exchange(HELD, RUNG, Ordering::SeqCst, Ordering::SeqCst);
        if noted == Err(FREE) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_ring_is_noted_while_held_and_passed_on_when_free() {
        let counter = Arc::new(Counter::default());
        let task = Waker::from(counter.clone());
        let bell = Arc::new(Bell::default());
        let ring = Waker::from(bell.clone());

        bell.hold(&task);
        ring.wake_by_ref();
        ring.wake_by_ref();
        assert!(bell.take(), "two rings are noted as one");
        assert!(!bell.take());
        assert_eq!(counter.0.load(Ordering::SeqCst), 0);
        ring.wake_by_ref();
        assert!(bell.release(), "a ring that was not taken is handed over");
        ring.wake_by_ref();
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    }
}
