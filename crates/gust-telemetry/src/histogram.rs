//! Histograms that many threads write and one scrape reads: atomics only, no lock, no allocation after birth.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds in nanoseconds, from a microsecond to a minute; one more bucket takes the rest.
pub(crate) const BOUNDS: [u64; 24] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
];

/// Writers are spread over this many copies, so that two cores seldom write the same cache line.
const SHARDS: usize = 8;

/// One copy, alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_ns: AtomicU64,
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    shards: [Shard; SHARDS],
}

/// What a histogram held at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Upper bound in seconds (the last is infinite) and how many fell into that bucket alone.
    pub buckets: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// Their sum in seconds.
    pub sum: f64,
}

// === impl Histogram ===

impl Histogram {
    /// Counts one.
    #[inline]
    pub fn observe(&self, took: Duration) {
        let ns = took.as_nanos() as u64;
        let shard = &self.shards[shard()];
        shard.buckets[BOUNDS.partition_point(|bound| *bound < ns)].fetch_add(1, Relaxed);
        shard.sum_ns.fetch_add(ns, Relaxed);
    }

    /// What it holds now. Not atomic over its parts: a scrape may be one call off, never more.
    pub fn snapshot(&self) -> Snapshot {
        let mut counts = [0u64; BOUNDS.len() + 1];
        let mut sum_ns = 0u64;
        for shard in &self.shards {
            for (count, bucket) in counts.iter_mut().zip(&shard.buckets) {
                *count += bucket.load(Relaxed);
            }
            sum_ns = sum_ns.wrapping_add(shard.sum_ns.load(Relaxed));
        }
        Snapshot {
            buckets: bounds().zip(counts).collect(),
            count: counts.iter().sum(),
            sum: sum_ns as f64 / 1e9,
        }
    }
}

/// The bounds in seconds, ending with infinity.
fn bounds() -> impl Iterator<Item = f64> {
    BOUNDS
        .iter()
        .map(|ns| *ns as f64 / 1e9)
        .chain([f64::INFINITY])
}

/// The calling thread's copy.
#[inline]
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Relaxed) % SHARDS;
    }
    MINE.with(|mine| *mine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_their_buckets() {
        let histogram = Histogram::default();
        for us in [0, 1, 2, 900, 1_000, 1_001, 120_000_000] {
            histogram.observe(Duration::from_micros(us));
        }
        let got = histogram.snapshot();
        let at = |bound: f64| got.buckets.iter().find(|(b, _)| *b == bound).unwrap().1;
        assert_eq!(at(1e-6), 2, "0 and 1 µs");
        assert_eq!(at(2.5e-6), 1, "2 µs");
        assert_eq!(at(1e-3), 2, "900 µs and exactly 1 ms");
        assert_eq!(at(2.5e-3), 1, "just above 1 ms");
        assert_eq!(at(f64::INFINITY), 1, "two minutes");
        assert_eq!(got.count, 7);
        assert!((got.sum - 120.002904).abs() < 1e-6, "{}", got.sum);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope
                    .spawn(|| (0..1_000).for_each(|_| histogram.observe(Duration::from_micros(7))));
            }
        });
        assert_eq!(histogram.snapshot().count, 16_000);
    }
}
