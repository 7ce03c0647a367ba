//! Letting others have the thread while something takes long.

/// Steps, of some nanoseconds each, after which others get their turn.
const LONG: usize = 64 << 10;

/// Work done since others had their turn.
#[derive(Default)]
pub(crate) struct Turn(usize);

// === impl Turn ===

impl Turn {
    /// Counts so many steps, and lets others have the thread when it was enough.
    pub(crate) async fn spend(&mut self, steps: usize) {
        self.0 = self.0.saturating_add(steps);
        if self.0 >= LONG {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}
