//! Times and percentiles.

use std::time::{Duration, Instant};

pub(crate) fn now() -> Instant {
    gust_task::clock::now()
}

/// The value at this percentile, 0 to 100.
pub(crate) fn percentile(sorted: &[Duration], p: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last as f64 * p / 100.0).round() as usize)
        .copied()
        .unwrap_or_default()
}

/// `{"p50": ms, "p99": ms}`.
pub(crate) fn p50_p99(mut all: Vec<Duration>) -> serde_json::Value {
    all.sort();
    serde_json::json!({
        "p50": crate::millis(percentile(&all, 50.0)),
        "p99": crate::millis(percentile(&all, 99.0)),
    })
}
