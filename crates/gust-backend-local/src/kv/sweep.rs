//! Removes values whose time is up. They are invisible before that: this only gives their space back.

use std::{
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use gust_task::clock;
use gust_types::{Error, Result};
use parking_lot::Mutex;

use crate::store::{Committer, Engine};

/// Values removed in one commit.
const AT_ONCE: usize = 1000;

/// The sweeping thread.
pub(super) struct Sweeper {
    stop: SyncSender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Sweeper {
    pub(super) fn start(
        engine: Arc<Engine>,
        committer: Arc<Committer>,
        every: Duration,
    ) -> Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let sweep = move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = sweep(&engine, &committer) {
                    tracing::warn!(error = error.chain(), "expired values are not swept");
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("kv-sweep".to_owned())
            .spawn(sweep)
            .map_err(|e| Error::internal("cannot start the sweeping thread").because(e))?;
        Ok(Self {
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn stop(&self) {
        let _ = self.stop.try_send(());
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

/// One round: at most ten commits, so that a stop is heard.
fn sweep(engine: &Engine, committer: &Committer) -> Result<()> {
    for _ in 0..10 {
        let Some(open) = engine.try_get()? else {
            return Ok(());
        };
        let due = open.due(clock::unix_micros(), AT_ONCE)?;
        drop(open);
        let more = due.len() == AT_ONCE;
        if !due.is_empty() {
            committer.sweep(due)?;
        }
        if !more {
            return Ok(());
        }
    }
    Ok(())
}
