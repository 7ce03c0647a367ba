//! Removes files that nobody needs any more: at the start what a crash left behind on its way in, from then on what was
//! overwritten or deleted. Ends uploads that nobody completes.

use std::{
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use gust_backend::blob::ABANDONED;
use gust_types::{Error, Result};
use parking_lot::Mutex;

use super::{
    ask::Op,
    files::Files,
    keys::{self, Id, UploadRecord},
};
use crate::store::{Committer, Engine};

/// Files removed in one step.
const AT_ONCE: usize = 500;
/// How often to look without being told.
const EVERY: Duration = Duration::from_secs(5);
/// How often to look for uploads that nobody goes on with.
const LOOK: Duration = Duration::from_secs(3600);

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
            let (mut next, mut looked) = (Ok(false), None);
            while matches!(next, Ok(false) | Err(RecvTimeoutError::Timeout)) {
                if let Err(error) = tidy(&engine, &committer, &files) {
                    tracing::warn!(error = error.chain(), "files of objects are not removed");
                }
                let now = gust_task::clock::now();
                if looked.is_none_or(|at| now.duration_since(at) > LOOK) {
                    looked = Some(now);
                    let before_us = gust_task::clock::unix_micros().saturating_sub(ABANDONED);
                    if let Err(error) = end_abandoned(&engine, &committer, before_us) {
                        tracing::warn!(error = error.chain(), "uploads are not ended");
                    }
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

/// Ends the uploads that were begun before then. Answers how many.
pub(super) fn end_abandoned(
    engine: &Engine,
    committer: &Committer,
    before_us: u64,
) -> Result<usize> {
    let Some(open) = engine.try_get()? else {
        return Ok(0);
    };
    let (from, to) = keys::all_uploads();
    let mut abandoned = Vec::new();
    for found in open.queue_range(&from, &to) {
        let (place, record) = found?;
        if UploadRecord::decode(&record)?.begun_us < before_us {
            abandoned.push(place.to_vec());
        }
        if abandoned.len() == AT_ONCE {
            break;
        }
    }
    drop(open);
    let count = abandoned.len();
    for place in abandoned {
        committer.blob_now(Op::End(place))?;
    }
    if count > 0 {
        tracing::info!(count, "uploads that nobody completed are ended");
    }
    Ok(count)
}

/// Some steps, so that a stop is heard.
fn tidy(engine: &Engine, committer: &Committer, files: &Files) -> Result<()> {
    for _ in 0..10 {
        let Some(open) = engine.try_get()? else {
            return Ok(());
        };
        let (from, to) = keys::all_garbage();
        let mut garbage = Vec::new();
        for found in open.queue_range(&from, &to) {
            let id = Id::of_garbage(&found?.0);
            // What somebody still reads waits until they have.
            garbage.extend(id.filter(|id| !files.is_pinned(*id)));
            if garbage.len() == AT_ONCE {
                break;
            }
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
