//! Asking long-running things to end.

use tokio_util::sync::CancellationToken;

/// A stop signal that is heard by every clone and every child.
#[derive(Debug, Clone, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// A signal nobody has given yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the signal.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Whether the signal was given.
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Ends when the signal is given.
    pub async fn stopped(&self) {
        self.0.cancelled().await;
    }

    /// A signal that is given with this one, or on its own.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }
}
