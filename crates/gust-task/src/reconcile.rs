//! Loops that keep the world in order: idempotent, without input, with a status.

use std::{sync::Arc, time::Duration};

use gust_types::{BoxFuture, Result};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{Stop, clock, ids};

/// One step of keeping something in order. It may be repeated at any time and interrupted half-way.
pub trait Reconcile: Send + Sync + 'static {
    /// The loop's name, for status pages and logs.
    fn name(&self) -> &'static str;
    /// Does what needs doing now and says what it did.
    fn reconcile(&self) -> BoxFuture<'_, Result<String>>;
}

/// What a loop last did.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The loop's name.
    pub name: &'static str,
    /// How often it ran.
    pub runs: u64,
    /// How many of the latest runs failed in a row.
    pub failures: u64,
    /// Unix microseconds of the last end.
    pub last_us: u64,
    /// What the last run said, or its error.
    pub last: String,
}

/// A running loop.
#[derive(Clone)]
pub struct Handle {
    status: Arc<Mutex<Status>>,
    nudge: Arc<Notify>,
}

impl Handle {
    /// Asks for a run now.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// What it last did.
    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }
}

/// Runs `task` every `period` (with up to a tenth of jitter), on a nudge, and once more when stopped;
/// failures back off up to eight periods.
pub fn drive(task: Arc<dyn Reconcile>, period: Duration, stop: Stop) -> Handle {
    let handle = Handle {
        status: Arc::new(Mutex::new(Status {
            name: task.name(),
            ..Status::default()
        })),
        nudge: Arc::new(Notify::new()),
    };
    let ours = handle.clone();
    crate::spawn("reconcile", async move {
        loop {
            let stopped = stop.is_stopped();
            let result = task.reconcile().await;
            let failures = note(&ours.status, result);
            if stopped {
                return;
            }
            let wait = period * (1 << failures.min(3)) as u32;
            let jitter = wait.mul_f64((ids::random_u64() % 100) as f64 / 1000.0);
            tokio::select! {
                () = tokio::time::sleep(wait + jitter) => {}
                () = ours.nudge.notified() => {}
                () = stop.stopped() => {}
            }
        }
    });
    handle
}

fn note(status: &Mutex<Status>, result: Result<String>) -> u64 {
    let mut status = status.lock();
    status.runs += 1;
    status.last_us = clock::unix_micros();
    match result {
        Ok(text) => (status.failures, status.last) = (0, text),
        Err(error) => {
            tracing::warn!(
                task = status.name,
                error = error.chain(),
                "a loop's run failed"
            );
            status.failures += 1;
            status.last = error.chain();
        }
    }
    status.failures
}
