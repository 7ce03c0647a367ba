//! Removes files that nobody needs any more: at the start what a crash left behind on its way in, from then on what was
//! overwritten or deleted.

use std::{
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use gust_types::{Error, Result};
use parking_lot::Mutex;

use super::{
    ask::Op,
    files::Files,
    keys::{self, Id},
};
use crate::store::{Committer, Engine};

/// Files removed in one step.
const AT_ONCE: usize = 500;
/// How often to look without being told.
const EVERY: Duration = Duration::from_secs(5);

/// The tidying thread.
pub(super) struct Tidier {
    /// `true` to stop, `false` to look.
    nudge: SyncSender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What came in and was committed is moved to its place, what was not is removed. Nobody puts anything yet.
pub(super) fn settle(engine: &Engine, files: &Files) -> Result<()> {
    let Some(open) = engine.try_get()? else {
        return Ok(());
    };
    let (mut settled, mut lost) = (0u64, Vec::new());
    for id in files.all_incoming()? {
        match open.queued(&id.file())? {
            Some(_) => {
                files.settle(id);
                settled += 1;
            }
            None => lost.push(id),
        }
    }
    if settled > 0 || !lost.is_empty() {
        let removed = files.remove(lost).len();
        tracing::info!(
            settled,
            removed,
            "objects that were on their way in are settled"
        );
    }
    Ok(())
}

// === impl Tidier ===

impl Tidier {
    pub(super) fn start(
        engine: Arc<Engine>,
        committer: Arc<Committer>,
        files: Arc<Files>,
    ) -> Result<Self> {
        let (nudge, nudged) = sync_channel(1);
        let run = move || {
            // At once: there may be what the last process did not come to.
            let mut next = Ok(false);
            while matches!(next, Ok(false) | Err(RecvTimeoutError::Timeout)) {
                if let Err(error) = tidy(&engine, &committer, &files) {
                    tracing::warn!(error = error.chain(), "files of objects are not removed");
                }
                next = nudged.recv_timeout(EVERY);
            }
        };
        let thread = std::thread::Builder::new()
            .name("blob-tidy".to_owned())
            .spawn(run)
            .map_err(|e| Error::internal("cannot start the tidying thread").because(e))?;
        Ok(Self {
            nudge,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Something may have become garbage.
    pub(super) fn nudge(&self) {
        // One that waits is as good.
        let _ = self.nudge.try_send(false);
    }

    pub(super) fn stop(&self) {
        if let Some(thread) = self.thread.lock().take() {
            // It may be a step before it hears this.
            let _ = self.nudge.send(true);
            let _ = thread.join();
        }
    }
}

/// Some steps, so that a stop is heard.
fn tidy(engine: &Engine, committer: &Committer, files: &Files) -> Result<()> {
    for _ in 0..10 {
        let Some(open) = engine.try_get()? else {
            return Ok(());
        };
        let (from, to) = keys::all_garbage();
        let mut garbage = Vec::new();
        for found in open.queue_range(&from, &to).take(AT_ONCE) {
            garbage.extend(Id::of_garbage(&found?.0));
        }
        drop(open);
        let count = garbage.len();
        let gone = files.remove(garbage);
        if !gone.is_empty() {
            committer.blob_now(Op::Forget(gone))?;
        }
        if count < AT_ONCE {
            return Ok(());
        }
    }
    Ok(())
}
