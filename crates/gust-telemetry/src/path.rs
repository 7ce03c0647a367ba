//! What a call leaves behind in the metrics: how long each stage took, how it ended, and why it was refused.
//!
//! Dispatch asks for a [`FunctionMetrics`] once per function and keeps it in the function's entry; from then on a call
//! costs atomic adds. A function that was never called holds no counters and appears in no scrape.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use gust_types::{
    FunctionKey, Outcome, Usage,
    call::{Trace, Trigger},
    usage::Start,
};
use parking_lot::Mutex;

use crate::{histogram::Histogram, traces::Traces};

/// The six stages of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Parse, limit, give an id and a deadline.
    Accept,
    /// Host and path to a target.
    Route,
    /// Quota, budget, rate, queue.
    Admit,
    /// An instance.
    Acquire,
    /// The guest, to the head of its answer.
    Call,
    /// From the head of the answer to the record.
    Settle,
}

/// Why a call was turned away before an instance was involved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Malformed, or framed so that two readers could disagree.
    Malformed,
    /// Head, URI or body over its limit.
    TooLarge,
    /// No route.
    NoRoute,
    /// The function's queue is full.
    QueueFull,
    /// It waited in the queue for as long as it may.
    QueueTimeout,
    /// The caller's rate.
    Rate,
    /// The project's budget.
    Budget,
    /// The node has no place for another instance.
    Capacity,
    /// Too many connections.
    Connections,
    /// The node is stopping.
    Draining,
    /// Anything else.
    Other,
}

/// Things that go up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gauge {
    /// Calls between accept and settle.
    InFlight,
    /// Calls waiting for a place.
    Queued,
    /// Instances that live, busy or idle.
    InstancesLive,
    /// Instances that live and serve nothing.
    InstancesIdle,
    /// Resident revisions.
    Resident,
    /// What residency costs, in bytes.
    ResidentBytes,
    /// Deployed functions.
    Functions,
    /// Open client connections.
    Connections,
}

/// The metrics of the path. A cheap handle; clones share everything.
#[derive(Clone, Default)]
pub struct PathMetrics(Arc<Inner>);

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) stages: [Histogram; Stage::ALL.len()],
    refused: [AtomicU64; Refusal::ALL.len()],
    gauges: [AtomicI64; Gauge::ALL.len()],
    functions: Mutex<HashMap<FunctionKey, FunctionMetrics>>,
    traces: Traces,
}

/// One function's counters. A cheap handle; it survives deploys, so that counters never run backwards.
#[derive(Clone)]
pub struct FunctionMetrics(Arc<FunctionInner>);

struct FunctionInner {
    key: FunctionKey,
    counters: OnceLock<Box<Counters>>,
}

/// All of a function's counters, about a kilobyte; made at its first call.
#[derive(Default)]
pub(crate) struct Counters {
    calls: [[[AtomicU64; TRIGGERS.len()]; STARTS.len()]; Outcome::ALL.len()],
    refused: [AtomicU64; Refusal::ALL.len()],
    pub(crate) wall_us: AtomicU64,
    pub(crate) cpu_us: AtomicU64,
    pub(crate) memory_mb_ms: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
}

const STARTS: [(Start, &str); 4] = [
    (Start::Cold, "cold"),
    (Start::Warm, "warm"),
    (Start::Reused, "reused"),
    (Start::None, "none"),
];

const TRIGGERS: [(Trigger, &str); 8] = [
    (Trigger::Http, "http"),
    (Trigger::Internal, "internal"),
    (Trigger::Invoke, "invoke"),
    (Trigger::Health, "health"),
    (Trigger::Queue, "queue"),
    (Trigger::Topic, "topic"),
    (Trigger::Schedule, "schedule"),
    (Trigger::Async, "async"),
];

// === impl Stage, Refusal, Gauge ===

impl Stage {
    /// In the order of the path.
    pub const ALL: [Stage; 6] = [
        Stage::Accept,
        Stage::Route,
        Stage::Admit,
        Stage::Acquire,
        Stage::Call,
        Stage::Settle,
    ];

    /// The word, as in files, functions and spans.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Accept => "accept",
            Stage::Route => "route",
            Stage::Admit => "admit",
            Stage::Acquire => "acquire",
            Stage::Call => "call",
            Stage::Settle => "settle",
        }
    }
}

impl Refusal {
    /// All of them.
    pub const ALL: [Refusal; 11] = [
        Refusal::Malformed,
        Refusal::TooLarge,
        Refusal::NoRoute,
        Refusal::QueueFull,
        Refusal::QueueTimeout,
        Refusal::Rate,
        Refusal::Budget,
        Refusal::Capacity,
        Refusal::Connections,
        Refusal::Draining,
        Refusal::Other,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Malformed => "malformed",
            Refusal::TooLarge => "too_large",
            Refusal::NoRoute => "no_route",
            Refusal::QueueFull => "queue_full",
            Refusal::QueueTimeout => "queue_timeout",
            Refusal::Rate => "rate",
            Refusal::Budget => "budget",
            Refusal::Capacity => "capacity",
            Refusal::Connections => "connections",
            Refusal::Draining => "draining",
            Refusal::Other => "other",
        }
    }
}

impl Gauge {
    /// All of them.
    pub const ALL: [Gauge; 8] = [
        Gauge::InFlight,
        Gauge::Queued,
        Gauge::InstancesLive,
        Gauge::InstancesIdle,
        Gauge::Resident,
        Gauge::ResidentBytes,
        Gauge::Functions,
        Gauge::Connections,
    ];

    /// The metric's name and what it says.
    pub fn describe(self) -> (&'static str, &'static str) {
        match self {
            Gauge::InFlight => ("calls_in_flight", "Calls between accept and settle"),
            Gauge::Queued => ("calls_queued", "Calls waiting for a place"),
            Gauge::InstancesLive => ("instances_live", "Instances alive, busy or idle"),
            Gauge::InstancesIdle => ("instances_idle", "Instances alive that serve nothing"),
            Gauge::Resident => ("revisions_resident", "Revisions whose code is mapped"),
            Gauge::ResidentBytes => ("revisions_resident_bytes", "What residency costs"),
            Gauge::Functions => ("functions", "Deployed functions"),
            Gauge::Connections => ("connections", "Open client connections"),
        }
    }
}

// === impl PathMetrics ===

impl PathMetrics {
    /// Metrics that also make a span of each stage of a recorded call.
    pub fn new(traces: Traces) -> Self {
        Self(Arc::new(Inner {
            traces,
            ..Inner::default()
        }))
    }

    /// Where spans go.
    pub fn traces(&self) -> &Traces {
        &self.0.traces
    }

    /// A stage of a call is over. `trace` is the call's own: with its span as parent when it is recorded.
    #[inline]
    pub fn stage(&self, stage: Stage, trace: &Trace, started: Instant, ended: Instant) {
        self.observe(stage, ended.saturating_duration_since(started));
        if trace.sampled && self.0.traces.is_on() {
            self.0.traces.stage(stage, trace, started, ended);
        }
    }

    /// A stage took this long; no span is made.
    #[inline]
    pub fn observe(&self, stage: Stage, took: Duration) {
        self.0.stages[stage as usize].observe(took);
    }

    /// A call was turned away before its function was known.
    pub fn refused(&self, why: Refusal) {
        self.0.refused[why as usize].fetch_add(1, Relaxed);
    }

    /// A gauge rises by `n`, or falls when `n` is negative.
    #[inline]
    pub fn add(&self, gauge: Gauge, n: i64) {
        self.0.gauges[gauge as usize].fetch_add(n, Relaxed);
    }

    /// A gauge is `n` now.
    pub fn set(&self, gauge: Gauge, n: i64) {
        self.0.gauges[gauge as usize].store(n, Relaxed);
    }

    /// A gauge's value.
    pub fn gauge(&self, gauge: Gauge) -> i64 {
        self.0.gauges[gauge as usize].load(Relaxed)
    }

    /// The counters of a function: the same ones for the same key, whatever was deployed in between.
    pub fn function(&self, key: &FunctionKey) -> FunctionMetrics {
        self.0
            .functions
            .lock()
            .entry(key.clone())
            .or_insert_with(|| FunctionMetrics::unregistered(key.clone()))
            .clone()
    }

    /// Forgets a function that was removed for good.
    pub fn forget(&self, key: &FunctionKey) {
        self.0.functions.lock().remove(key);
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl fmt::Debug for PathMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PathMetrics")
    }
}

impl Inner {
    /// Every function that was called or refused, in the order of their names.
    pub(crate) fn touched(&self) -> Vec<FunctionMetrics> {
        let mut found: Vec<_> = self
            .functions
            .lock()
            .values()
            .filter(|function| function.counters().is_some())
            .cloned()
            .collect();
        found.sort_by(|a, b| a.key().cmp(b.key()));
        found
    }

    pub(crate) fn refused(&self) -> impl Iterator<Item = (Refusal, u64)> {
        nonzero(&self.refused)
    }

    /// Reasons and how many, over functions and what never found one.
    pub(crate) fn refused_by_all(&self) -> Vec<(Refusal, u64)> {
        let mut sums: HashMap<Refusal, u64> = self.refused().collect();
        for function in self.touched() {
            for (why, n) in function.counters().into_iter().flat_map(Counters::refused) {
                *sums.entry(why).or_default() += n;
            }
        }
        sums.into_iter().collect()
    }
}

fn nonzero(counts: &[AtomicU64; Refusal::ALL.len()]) -> impl Iterator<Item = (Refusal, u64)> {
    Refusal::ALL
        .into_iter()
        .zip(counts)
        .map(|(why, n)| (why, n.load(Relaxed)))
        .filter(|(_, n)| *n > 0)
}

// === impl FunctionMetrics ===

impl FunctionMetrics {
    /// Counters that no scrape shows, for probes of revisions that are not routed.
    pub fn unregistered(key: FunctionKey) -> Self {
        Self(Arc::new(FunctionInner {
            key,
            counters: OnceLock::new(),
        }))
    }

    /// A call settled.
    pub fn settled(&self, usage: &Usage) {
        let counters = self.made();
        counters.calls[usage.outcome as usize][usage.start as usize][usage.trigger as usize]
            .fetch_add(1, Relaxed);
        counters.wall_us.fetch_add(usage.wall_us, Relaxed);
        counters.cpu_us.fetch_add(usage.cpu_us, Relaxed);
        counters.memory_mb_ms.fetch_add(usage.memory_mb_ms, Relaxed);
        counters.bytes_in.fetch_add(usage.bytes_in, Relaxed);
        counters.bytes_out.fetch_add(usage.bytes_out, Relaxed);
    }

    /// A call was turned away.
    pub fn refused(&self, why: Refusal) {
        self.made().refused[why as usize].fetch_add(1, Relaxed);
    }

    /// Whose counters these are.
    pub fn key(&self) -> &FunctionKey {
        &self.0.key
    }

    /// How many calls have settled.
    pub fn calls(&self) -> u64 {
        self.counters()
            .map_or(0, |counters| counters.calls().map(|(.., n)| n).sum())
    }

    pub(crate) fn counters(&self) -> Option<&Counters> {
        self.0.counters.get().map(|boxed| &**boxed)
    }

    fn made(&self) -> &Counters {
        self.0.counters.get_or_init(Box::default)
    }
}

impl fmt::Debug for FunctionMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FunctionMetrics({})", self.0.key)
    }
}

// === impl Counters ===

impl Counters {
    /// Reasons and how many, without the zeros.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (Refusal, u64)> {
        nonzero(&self.refused)
    }

    /// Outcome, start, trigger and how many, without the zeros.
    pub(crate) fn calls(
        &self,
    ) -> impl Iterator<Item = (&'static str, &'static str, &'static str, u64)> {
        self.calls
            .iter()
            .zip(Outcome::ALL)
            .flat_map(|(by_start, outcome)| {
                by_start
                    .iter()
                    .zip(STARTS)
                    .flat_map(move |(by_trigger, start)| {
                        by_trigger
                            .iter()
                            .zip(TRIGGERS)
                            .map(move |(n, trigger)| {
                                (outcome.as_str(), start.1, trigger.1, n.load(Relaxed))
                            })
                            .filter(|(.., n)| *n > 0)
                    })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_the_order_of_their_numbers() {
        assert!(Stage::ALL.iter().enumerate().all(|(i, s)| *s as usize == i));
        assert!(
            Refusal::ALL
                .iter()
                .enumerate()
                .all(|(i, s)| *s as usize == i)
        );
        assert!(Gauge::ALL.iter().enumerate().all(|(i, s)| *s as usize == i));
        assert!(STARTS.iter().enumerate().all(|(i, s)| s.0 as usize == i));
        assert!(TRIGGERS.iter().enumerate().all(|(i, s)| s.0 as usize == i));
        assert!(
            Outcome::ALL
                .iter()
                .enumerate()
                .all(|(i, s)| *s as usize == i)
        );
    }
}
