//! One change of an app at a time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use gust_types::{AppName, Error, ProjectName, Result};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// How long a change waits for the one before it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

type Key = (ProjectName, AppName);

/// A lock per app, made when it is needed.
#[derive(Default)]
pub(crate) struct AppLocks(Mutex<HashMap<Key, Arc<AsyncMutex<()>>>>);

/// While it lives, nobody else changes the app.
pub(crate) struct Turn {
    _held: OwnedMutexGuard<()>,
}

// === impl AppLocks ===

impl AppLocks {
    /// Waits for the app's turn, for a bounded time: a second deploy follows the first one, it does not fail at once.
    pub(crate) async fn turn(
        &self,
        project: &ProjectName,
        app: &AppName,
        patience: Duration,
    ) -> Result<Turn> {
        let lock = {
            let mut locks = self.0.lock();
            // Nobody holds or waits for a lock that only the map knows.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            locks
                .entry((project.clone(), app.clone()))
                .or_default()
                .clone()
        };
        match tokio::time::timeout(patience, lock.lock_owned()).await {
            Ok(held) => Ok(Turn { _held: held }),
            Err(_) => Err(Error::conflict(format!(
                "another change of this app is under way: {project}/{app}"
            ))
            .hint("wait until it has ended, then try again")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_per_app_and_no_lock_is_left() {
        let locks = AppLocks::default();
        let project = ProjectName::default_project();
        let (a, b) = (AppName::new("a").unwrap(), AppName::new("b").unwrap());
        let short = Duration::from_millis(10);
        let first = locks.turn(&project, &a, short).await.unwrap();
        let error = locks.turn(&project, &a, short).await.err().unwrap();
        assert_eq!(error.kind, gust_types::Kind::Conflict);
        let other = locks.turn(&project, &b, short).await.unwrap();
        drop((first, other));
        let _again = locks.turn(&project, &a, short).await.unwrap();
        assert_eq!(locks.0.lock().len(), 1);
    }
}
