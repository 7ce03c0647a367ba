//! The ledger's one thread: from buffers to the journal, from the journal's sums to SQLite, and tidying up.
//!
//! A disk that is full stops neither recorders nor budgets: what cannot be written waits in memory up to a bound, beyond it
//! only the sums are kept, and writing goes on by itself once there is room.

use std::{
    fs::File,
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use gust_meter::Verification;
use gust_task::clock;
use gust_types::{Error, Result};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::{
    Shared,
    rollups::Rollups,
    segment::{self, Segment},
    verify,
};
use crate::disk::{Ballast, Disk};

/// How often the buffers are emptied.
const TICK: Duration = Duration::from_millis(100);
/// After a failed write, how long until the next try.
const RETRY: Duration = Duration::from_millis(250);
/// How often old files and roll-ups are looked for.
const TIDY: Duration = Duration::from_secs(30);
/// A file is not written to for longer, so that what is old can go.
const SEGMENT_AGE: Duration = Duration::from_secs(600);
/// How often a lasting fault is said again.
const COMPLAIN: Duration = Duration::from_secs(30);
/// Questions that may wait.
const QUESTIONS: usize = 256;

/// What the thread is asked to do.
pub(super) enum Command {
    Flush(oneshot::Sender<Result<()>>),
    Verify(oneshot::Sender<Result<Verification>>),
}

/// Commands on their way to the thread.
pub(super) struct Inbox {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    commands: Vec<Command>,
    nudged: bool,
    closed: bool,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    disk: Disk,
    ballast: Ballast,
    rollups: Rollups,
    /// Held for as long as the thread lives.
    _lock: File,
    segment: Option<Segment>,
    next_segment: u64,
    synced: Instant,
    committed: Instant,
    tidied: Option<Instant>,
    complained: Option<Instant>,
    /// Not before this is a failed write tried again.
    retry: Option<Instant>,
}

// === impl Inbox ===

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn send(&self, command: Command) -> Result<()> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::unavailable("ledger is closed"));
        }
        if state.commands.len() >= QUESTIONS {
            return Err(Error::unavailable(
                "ledger has too many questions to answer",
            ));
        }
        state.commands.push(command);
        self.changed.notify_one();
        Ok(())
    }

    /// Asks for a round now.
    pub(super) fn nudge(&self) {
        self.state.lock().nudged = true;
        self.changed.notify_one();
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits for the next round; answers its commands and whether it is the last.
    fn wait(&self) -> (Vec<Command>, bool) {
        let mut state = self.state.lock();
        if state.commands.is_empty() && !state.nudged && !state.closed {
            self.changed.wait_for(&mut state, TICK);
        }
        state.nudged = false;
        (std::mem::take(&mut state.commands), state.closed)
    }
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        disk: Disk,
        ballast: Ballast,
        rollups: Rollups,
        lock: File,
    ) -> Self {
        let next_segment = shared.state.lock().written.segment + 1;
        let now = clock::now();
        Self {
            shared,
            disk,
            ballast,
            rollups,
            _lock: lock,
            segment: None,
            next_segment,
            synced: now,
            committed: now,
            tidied: None,
            complained: None,
            retry: None,
        }
    }

    pub(super) fn run(mut self) {
        // What was replayed goes to SQLite first: the next crash has less to do.
        let restored = self.commit();
        self.note(restored);
        loop {
            let (commands, last) = self.shared.commands.wait();
            let round = self.round();
            self.note(round);
            for command in commands {
                self.serve(command);
            }
            if last {
                let flushed = self.flush();
                self.note(flushed);
                return;
            }
        }
    }

    fn serve(&mut self, command: Command) {
        // Whoever asked may be gone.
        let _ = match command {
            Command::Flush(answer) => answer.send(self.flush()).is_ok(),
            Command::Verify(answer) => {
                let result = self.flush().and_then(|()| {
                    let written = self.shared.state.lock().written;
                    verify::verify(&self.shared.folder, &self.rollups, written)
                });
                answer.send(result).is_ok()
            }
        };
    }

    /// One round: write what waits, sync and commit when due.
    fn round(&mut self) -> Result<()> {
        self.shared.drain();
        let written = match self.retry {
            Some(at) if clock::now() < at => Ok(()),
            _ => self.write(),
        };
        let synced = match self.synced.elapsed() >= self.shared.settings.sync.0 {
            true => self.sync(),
            false => Ok(()),
        };
        let committed = match self.committed.elapsed() >= self.shared.settings.commit.0 {
            true => self.commit(),
            false => Ok(()),
        };
        if self.tidied.is_none_or(|at| at.elapsed() >= TIDY) {
            self.tidied = Some(clock::now());
            let tidied = self.tidy(clock::unix_micros());
            self.note(tidied);
        }
        written.and(synced).and(committed)
    }

    /// Everything recorded so far, durable.
    fn flush(&mut self) -> Result<()> {
        self.shared.drain();
        self.write()?;
        self.sync()?;
        self.commit()
    }

    fn write(&mut self) -> Result<()> {
        loop {
            let next = self.shared.state.lock().next();
            let Some(batch) = next else {
                self.retry = None;
                return Ok(());
            };
            let written = self.append(&batch.records);
            if written.is_err() {
                self.retry = Some(clock::now() + RETRY);
            }
            let position = written?;
            self.shared.state.lock().wrote(position);
        }
    }

    fn append(&mut self, records: &[gust_types::Usage]) -> Result<segment::Position> {
        let full = self.segment.as_ref().is_some_and(|segment| {
            let size = segment.position().offset;
            size >= self.shared.settings.segment.bytes() || segment.opened.elapsed() >= SEGMENT_AGE
        });
        if full {
            self.sync()?;
            self.segment = None;
        }
        if self.segment.is_none() {
            self.disk.check(0)?;
            self.segment = Some(Segment::create(&self.shared.folder, self.next_segment)?);
            self.next_segment += 1;
        }
        let Some(segment) = self.segment.as_mut() else {
            return Err(Error::internal("a journal file is missing"));
        };
        match segment.append(records, &self.disk) {
            Ok(()) => Ok(segment.position()),
            Err((error, usable)) => {
                if !usable {
                    self.segment = None;
                }
                Err(error)
            }
        }
    }

    fn sync(&mut self) -> Result<()> {
        self.synced = clock::now();
        let Some(segment) = self.segment.as_mut() else {
            return Ok(());
        };
        match segment.sync() {
            Ok(true) => self.shared.state.lock().stats.syncs += 1,
            Ok(false) => {}
            Err(error) => {
                // What this file has of the last moments is uncertain; a new one is not.
                self.segment = None;
                return Err(error);
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.committed = clock::now();
        // SQLite must not be ahead of the journal. If the sync fails, the sums are kept all the same: they are the bill.
        let synced = self.sync();
        let Some(commit) = self.shared.state.lock().begin_commit() else {
            return synced;
        };
        let result = self.rollups.commit(&commit, || self.shared.gate.write());
        let mut state = self.shared.state.lock();
        state.end_commit(result.is_ok());
        state.stats.commits += u64::from(result.is_ok());
        drop(state);
        // Only now may questions add up memory and SQLite again.
        result.map(drop).and(synced)
    }

    /// Lets go of what is old enough.
    fn tidy(&mut self, now_us: u64) -> Result<()> {
        self.ballast.keep(&self.disk);
        self.shared.state.lock().forget_months(now_us);
        self.rollups.expire(now_us)?;
        let committed = self.rollups.position()?.segment;
        let mut files = Vec::new();
        for id in segment::list(&self.shared.folder)? {
            files.extend(file(&segment::path(&self.shared.folder, id), id));
        }
        let settings = &self.shared.settings;
        let age_us = settings.records_age.0.as_micros() as u64;
        let oldest_us = now_us.saturating_sub(age_us);
        for id in retired(&files, committed, oldest_us, settings.records_size.bytes()) {
            self.retire(id)?;
        }
        Ok(())
    }

    fn retire(&self, id: u64) -> Result<()> {
        let mut last_us = 0;
        segment::read(&self.shared.folder, id, u64::MAX, |_, records| {
            let last = records.iter().map(|usage| usage.start_us).max();
            last_us = last_us.max(last.unwrap_or(0));
        })?;
        let next_minute = last_us.saturating_add(gust_meter::period::MINUTE_US);
        self.rollups
            .raise_floor(gust_meter::Period::Minute.start_of(next_minute))?;
        let path = segment::path(&self.shared.folder, id);
        std::fs::remove_file(&path).map_err(|e| crate::disk::fault("remove", &path, e))
    }

    /// Says a fault, and not too often.
    fn note(&mut self, result: Result<()>) {
        let Err(error) = result else {
            return;
        };
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
            self.complained = Some(clock::now());
            let (waiting, unkept) = {
                let state = self.shared.state.lock();
                (state.waiting(), state.stats.unkept)
            };
            tracing::error!(
                error = error.chain(),
                waiting,
                unkept,
                "the ledger cannot write; sums are kept in memory"
            );
        }
    }
}

/// A file of the journal.
#[derive(Debug, Clone, Copy)]
struct Found {
    id: u64,
    size: u64,
    changed_us: u64,
}

fn file(path: &std::path::Path, id: u64) -> Option<Found> {
    let metadata = std::fs::metadata(path).ok()?;
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Found {
        id,
        size: metadata.len(),
        changed_us: changed.as_micros() as u64,
    })
}

/// Which files go: too old, or the oldest of too many bytes; never one that is not rolled up.
fn retired(files: &[Found], committed: u64, oldest_us: u64, most: u64) -> Vec<u64> {
    let mut size: u64 = files.iter().map(|file| file.size).sum();
    let mut ids = Vec::new();
    for file in files.iter().take_while(|file| file.id < committed) {
        if file.changed_us >= oldest_us && size <= most {
            break;
        }
        size -= file.size;
        ids.push(file.id);
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_surplus_files_go_oldest_first() {
        let files: Vec<_> = (1..=5)
            .map(|id| Found {
                id,
                size: 10,
                changed_us: id * 100,
            })
            .collect();
        for (committed, oldest_us, most, expected) in [
            (5, 0, 100, &[][..]),
            (5, 250, 100, &[1, 2]),
            (5, 0, 25, &[1, 2, 3]),
            (5, 999, 100, &[1, 2, 3, 4]),
            (2, 999, 0, &[1]),
            (0, 999, 0, &[]),
        ] {
            assert_eq!(
                retired(&files, committed, oldest_us, most),
                expected,
                "{committed} {oldest_us} {most}"
            );
        }
    }
}
