//! The life signs of connections, and the warden that acts on them.
//!
//! Connections keep no timers: each notes on a coarse clock what it is waiting for, and one warden task looks at all of
//! them a few times a second. So a request costs a few relaxed atomics, and ten thousand idle connections cost nothing.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    task::Waker,
    time::{Duration, Instant},
};

use futures::task::AtomicWaker;
use gust_task::{Stop, clock};
use parking_lot::Mutex;

use crate::Settings;

/// How often the warden looks.
const ROUND: Duration = Duration::from_millis(200);

/// What the warden wants of a connection, in order of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    None,
    /// Finish what is under way and close.
    Drain,
    /// The head did not come in time: say so and close.
    Late,
    /// Close now.
    Cut,
}

/// One connection's life signs. Times are milliseconds of the warden's clock, 0 when nothing is waited for.
pub(crate) struct Pulse {
    warden: Arc<Ticks>,
    in_flight: AtomicU32,
    idle_since: AtomicU32,
    head_since: AtomicU32,
    stalled_since: AtomicU32,
    /// When a request last began or a piece of an answer was last taken.
    moved_at: AtomicU32,
    order: AtomicU8,
    waker: AtomicWaker,
    /// The bytes of the head being read, as they came, for [`crate::parse::framing`].
    head: Mutex<Vec<u8>>,
}

/// A request being served; its connection is not idle while this lives.
pub(crate) struct Busy(Arc<Pulse>);

/// The coarse clock.
pub(crate) struct Ticks(AtomicU32);

/// Looks after all connections.
pub(crate) struct Warden {
    ticks: Arc<Ticks>,
    born: Instant,
    limits: Limits,
    /// By address, which is unique among the living.
    connections: Mutex<HashMap<usize, Arc<Pulse>>>,
}

#[derive(Clone, Copy)]
struct Limits {
    head_ms: u32,
    idle_ms: u32,
    stall_ms: u32,
    still_ms: u32,
}

// === impl Warden ===

impl Warden {
    pub(crate) fn new(settings: &Settings) -> Self {
        let ms = |span: gust_types::Span| u32::try_from(span.0.as_millis()).unwrap_or(u32::MAX);
        Self {
            ticks: Arc::new(Ticks(AtomicU32::new(1))),
            born: clock::now(),
            limits: Limits {
                head_ms: ms(settings.head_time),
                idle_ms: ms(settings.idle_time),
                stall_ms: ms(settings.body_time),
                // A call's answer begins within the call's time, and then moves.
                still_ms: ms(settings.call_time).saturating_add(ms(settings.body_time)),
            },
            connections: Mutex::default(),
        }
    }

    /// A new connection under the warden's eye, until [`Warden::forget`].
    pub(crate) fn admit(&self) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse {
            warden: self.ticks.clone(),
            in_flight: AtomicU32::new(0),
            idle_since: AtomicU32::new(self.ticks.now()),
            head_since: AtomicU32::new(0),
            stalled_since: AtomicU32::new(0),
            moved_at: AtomicU32::new(0),
            order: AtomicU8::new(Order::None as u8),
            waker: AtomicWaker::new(),
            head: Mutex::default(),
        });
        self.connections
            .lock()
            .insert(address(&pulse), pulse.clone());
        pulse
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.connections.lock().len()
    }

    pub(crate) fn forget(&self, pulse: &Arc<Pulse>) {
        self.connections.lock().remove(&address(pulse));
    }

    /// Gives an order to every connection.
    pub(crate) fn order_all(&self, order: Order) {
        for pulse in self.connections.lock().values() {
            pulse.give(order);
        }
    }

    /// Looks after connections until `stop`.
    pub(crate) async fn watch(&self, stop: &Stop) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(ROUND) => {}
                () = stop.stopped() => return,
            }
            // 0 means that nothing is waited for.
            let now = ((clock::now() - self.born).as_millis() as u32).max(1);
            self.ticks.0.store(now, Relaxed);
            for pulse in self.connections.lock().values() {
                let order = pulse.judge(now, self.limits);
                if order != Order::None {
                    pulse.give(order);
                }
            }
        }
    }
}

fn address(pulse: &Arc<Pulse>) -> usize {
    Arc::as_ptr(pulse).addr()
}

impl Ticks {
    fn now(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

// === impl Pulse ===

impl Pulse {
    /// What is due by now. A pure decision.
    fn judge(&self, now: u32, limits: Limits) -> Order {
        let overdue = |since: &AtomicU32, limit: u32| {
            let since = since.load(Relaxed);
            // The clock wraps after seven weeks.
            since != 0 && now.wrapping_sub(since) > limit
        };
        if overdue(&self.stalled_since, limits.stall_ms) {
            return Order::Cut;
        }
        if self.in_flight.load(Relaxed) > 0 {
            // An HTTP/2 caller that grants no window takes no bytes and stalls no write.
            return match overdue(&self.moved_at, limits.still_ms) {
                true => Order::Cut,
                false => Order::None,
            };
        }
        if overdue(&self.head_since, limits.head_ms) {
            return Order::Late;
        }
        if overdue(&self.idle_since, limits.idle_ms) {
            return Order::Drain;
        }
        Order::None
    }

    fn give(&self, order: Order) {
        self.order.fetch_max(order as u8, Relaxed);
        self.waker.wake();
    }

    /// The present order; `waker` is woken when it changes.
    pub(crate) fn order(&self, waker: &Waker) -> Order {
        self.waker.register(waker);
        match self.order.load(Relaxed) {
            0 => Order::None,
            1 => Order::Drain,
            2 => Order::Late,
            _ => Order::Cut,
        }
    }

    /// A request begins.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.in_flight.fetch_add(1, Relaxed);
        self.head_since.store(0, Relaxed);
        self.moved_at.store(self.warden.now(), Relaxed);
        // The head came after all, while the warden was giving up on it.
        let (late, none) = (Order::Late as u8, Order::None as u8);
        let _ = self.order.compare_exchange(late, none, Relaxed, Relaxed);
        Busy(self.clone())
    }

    /// Bytes arrived. Between requests they belong to a head; up to `keep` of them are kept as they came.
    /// An HTTP/2 wire does not say what arrives: its frames are not heads.
    pub(crate) fn arrived(&self, bytes: &[u8], keep: usize) {
        if self.in_flight.load(Relaxed) > 0 || bytes.is_empty() {
            return;
        }
        let first = self.head_since.load(Relaxed) == 0;
        if first {
            self.head_since.store(self.warden.now(), Relaxed);
        }
        if keep > 0 {
            let mut head = self.head.lock();
            if first {
                head.clear();
            }
            let room = keep.saturating_sub(head.len()).min(bytes.len());
            head.extend_from_slice(&bytes[..room]);
        }
    }

    /// What arrived so far was not the beginning of a head.
    pub(crate) fn head_is_over(&self) {
        self.head_since.store(0, Relaxed);
    }

    /// Whether the head that is being read should have been here long ago.
    pub(crate) fn is_late(&self) -> bool {
        self.order.load(Relaxed) == Order::Late as u8 && self.in_flight.load(Relaxed) == 0
    }

    /// Looks at the bytes of the head that was just read, as they came, and forgets them.
    pub(crate) fn with_head<A>(&self, look: impl FnOnce(&[u8]) -> A) -> A {
        let mut head = self.head.lock();
        let answer = look(&head);
        head.clear();
        answer
    }

    /// The peer takes nothing, or does again.
    pub(crate) fn stalled(&self, is: bool) {
        let since = self.stalled_since.load(Relaxed);
        if is && since == 0 {
            self.stalled_since.store(self.warden.now(), Relaxed);
        } else if !is && since != 0 {
            self.stalled_since.store(0, Relaxed);
        }
    }
}

// === impl Busy ===

impl Busy {
    /// A piece of the answer was taken.
    pub(crate) fn moved(&self) {
        self.0.moved_at.store(self.0.warden.now(), Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.warden.now(), Relaxed);
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            head_time: gust_types::Span::millis(100),
            idle_time: gust_types::Span::millis(500),
            body_time: gust_types::Span::millis(300),
            call_time: gust_types::Span::millis(60_000),
            ..Settings::default()
        }
    }

    #[test]
    fn what_is_waited_for_decides_what_happens() {
        let warden = Warden::new(&settings());
        let pulse = warden.admit();
        let at = |now| pulse.judge(now, warden.limits);
        assert_eq!(
            (at(400), at(502)),
            (Order::None, Order::Drain),
            "idle since 1"
        );
        pulse.arrived(b"GET", 10);
        assert_eq!(
            (at(100), at(102)),
            (Order::None, Order::Late),
            "a head since 1"
        );
        let busy = pulse.busy();
        assert_eq!(at(10_000), Order::None, "a call may take its time");
        assert_eq!(at(60_302), Order::Cut, "but not all time");
        pulse.stalled(true);
        assert_eq!(
            (at(300), at(302)),
            (Order::None, Order::Cut),
            "but the caller must read"
        );
        pulse.stalled(false);
        warden.ticks.0.store(9_000, Relaxed);
        drop(busy);
        assert_eq!(
            (at(9_400), at(9_501)),
            (Order::None, Order::Drain),
            "idle again"
        );
    }

    #[test]
    fn a_heads_bytes_are_kept_up_to_a_bound_and_once() {
        let warden = Warden::new(&settings());
        let pulse = warden.admit();
        pulse.arrived(b"0123456", 10);
        pulse.arrived(b"789abc", 10);
        pulse.with_head(|head| assert_eq!(head, b"0123456789"));
        pulse.with_head(|head| assert_eq!(head, b""));
        let _busy = pulse.busy();
        pulse.arrived(b"body", 10);
        pulse.with_head(|head| assert_eq!(head, b"", "bodies are not kept"));
    }

    #[test]
    fn connections_come_and_go() {
        let warden = Warden::new(&settings());
        let (one, two) = (warden.admit(), warden.admit());
        warden.forget(&one);
        warden.forget(&one);
        assert_eq!(warden.open(), 1);
        warden.order_all(Order::Drain);
        warden.order_all(Order::None);
        assert_eq!(two.order(Waker::noop()), Order::Drain);
        assert_eq!(one.order(Waker::noop()), Order::None);
    }
}
