//! How long a command may take, and for whom: neither goes on once its time is up or its client has hung up.

use std::time::Duration;

use gust_task::Stop;
use tokio::time::{Instant, sleep_until};

use crate::fault::Fault;

/// How long a command or a transaction may take before it is written.
const LONGEST: Duration = Duration::from_secs(10);

/// Until when something is tried.
pub(crate) struct Patience {
    gone: Stop,
    until: Option<Instant>,
}

// === impl Patience ===

impl Patience {
    /// Until this client has gone.
    pub(crate) fn of(gone: &Stop) -> Self {
        let gone = gone.clone();
        Self { gone, until: None }
    }

    /// No longer than that from now on.
    pub(crate) fn begin(&mut self) {
        self.until = Some(Instant::now() + LONGEST);
    }

    /// Does something that changes nothing, for as long as there is a point in it.
    pub(crate) async fn with<T>(
        &self,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let time_is_up = async {
            match self.until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.gone.stopped() => Err(Fault::GONE),
            done = work => done,
            () = time_is_up => Err(Fault::TOO_SLOW),
        }
    }
}
