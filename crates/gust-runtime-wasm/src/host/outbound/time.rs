//! How long the steps of a request may take: what the guest asked for, and never longer than its call.

use std::time::{Duration, Instant};

use wasmtime_wasi_http::{Error, RequestOptions};

/// What is left to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    deadline: Instant,
    connect: Option<Duration>,
    first_byte: Option<Duration>,
    between_bytes: Option<Duration>,
}

// === impl Budget ===

impl Budget {
    pub(super) fn new(options: &RequestOptions, deadline: Instant) -> Self {
        Self {
            deadline,
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
        }
    }

    /// When a connection must be there.
    pub(super) fn connected_by(&self) -> Instant {
        self.limit(self.connect)
    }

    /// When the head of the response must be there.
    pub(super) fn answered_by(&self) -> Instant {
        self.limit(self.first_byte)
    }

    /// When the next piece of the body must be there.
    pub(super) fn continued_by(&self) -> Instant {
        self.limit(self.between_bytes)
    }

    fn limit(&self, wish: Option<Duration>) -> Instant {
        let wish = wish.and_then(|wish| gust_task::clock::now().checked_add(wish));
        wish.map_or(self.deadline, |wish| wish.min(self.deadline))
    }
}

/// Waits for `step` until `by`, else fails with `late`.
pub(super) async fn until<T>(
    by: Instant,
    late: Error,
    step: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout_at(by.into(), step).await {
        Ok(done) => done,
        Err(_) => Err(late),
    }
}
