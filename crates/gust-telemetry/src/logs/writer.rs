//! The one thread that joins lines, writes files and feeds followers.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::Duration,
};

use gust_task::clock;
use gust_types::FunctionKey;

use super::{
    Gauges, Line, MAX_FOLLOWERS, Message, Settings,
    files::Files,
    follow::Follower,
    lines::{Joined, Joiner, PATIENCE_US},
};

/// After waking, the thread lets this much time pass before it looks again, so that a busy guest costs one wake-up per
/// batch instead of one per line.
const NAP: Duration = Duration::from_millis(2);
/// How often unfinished lines and slow followers are looked after.
const TICK: Duration = Duration::from_millis(250);
/// Bytes of lines gathered before they are written.
const BATCH: usize = 1 << 20;
/// A disk that keeps refusing is mentioned this often.
const COMPLAIN_US: u64 = 10_000_000;

pub(super) struct Writer {
    files: Files,
    joiner: Joiner,
    out: Batch,
    gauges: Arc<Gauges>,
    complained_us: u64,
}

/// Lines on their way to files and followers.
struct Batch {
    next: u64,
    bytes: usize,
    by_function: HashMap<FunctionKey, (Vec<u8>, u64)>,
    followers: Vec<Follower>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(root: PathBuf, settings: Settings, gauges: Arc<Gauges>) -> Self {
        Self {
            files: Files::new(root, settings),
            joiner: Joiner::default(),
            out: Batch {
                // Lines of a later process get higher numbers than those of an earlier one.
                next: clock::unix_micros(),
                bytes: 0,
                by_function: HashMap::new(),
                followers: Vec::new(),
            },
            gauges,
            complained_us: 0,
        }
    }

    /// Until every handle is gone.
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let first = match self.is_quiet() {
                true => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => inbox.recv_timeout(TICK),
            };
            let ended = match first {
                Ok(message) => {
                    self.handle(message);
                    if matches!(self.out.bytes, 1..BATCH) {
                        std::thread::sleep(NAP);
                    }
                    self.drain(inbox)
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            self.tidy(if ended {
                u64::MAX
            } else {
                clock::unix_micros()
            });
            if ended {
                return;
            }
        }
    }

    /// Nothing to look after until the next message.
    fn is_quiet(&self) -> bool {
        self.joiner.is_empty() && self.out.followers.is_empty()
    }

    /// Handles what is waiting; true when every handle is gone.
    fn drain(&mut self, inbox: &Receiver<Message>) -> bool {
        loop {
            match inbox.try_recv() {
                Ok(message) => self.handle(message),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Chunk(chunk) => {
                self.gauges
                    .queued_bytes
                    .fetch_sub(chunk.bytes.len(), Relaxed);
                self.joiner.push(&chunk, &mut |line| self.out.add(line));
                if self.out.bytes >= BATCH {
                    self.write();
                }
            }
            Message::Flush(answer) => {
                self.settle();
                let _ = answer.send(self.out.next);
            }
            Message::Follow(follower, answer) => {
                self.settle();
                self.out.followers.retain_mut(Follower::confess);
                // When there are too many, dropping the answer says so.
                if self.out.followers.len() < MAX_FOLLOWERS {
                    self.out.followers.push(follower);
                    let _ = answer.send(self.out.next);
                }
            }
            Message::Remove(project, app) => {
                self.settle();
                if let Err(error) = self.files.remove(&project, &app) {
                    tracing::warn!(%project, %app, %error, "cannot remove the log of an app");
                }
            }
        }
    }

    /// Everything that came so far is in the files, unfinished lines too.
    fn settle(&mut self) {
        self.joiner.expire(u64::MAX, &mut |line| self.out.add(line));
        self.write();
    }

    fn tidy(&mut self, now_us: u64) {
        let before = match now_us {
            u64::MAX => u64::MAX,
            now => now.saturating_sub(PATIENCE_US),
        };
        self.joiner.expire(before, &mut |line| self.out.add(line));
        self.write();
        self.out.followers.retain_mut(Follower::confess);
    }

    fn write(&mut self) {
        self.out.bytes = 0;
        for (key, (lines, count)) in self.out.by_function.drain() {
            match self.files.append(&key, &lines) {
                Ok(()) => self.gauges.lines.fetch_add(count, Relaxed),
                Err(error) => {
                    let now = clock::unix_micros();
                    if self.complained_us + COMPLAIN_US < now {
                        self.complained_us = now;
                        tracing::warn!(function = %key, %error, "cannot write guests' output; it is lost");
                    }
                    self.gauges.lost_lines.fetch_add(count, Relaxed)
                }
            };
        }
    }
}

// === impl Batch ===

impl Batch {
    fn add(&mut self, joined: Joined) {
        let line = Line {
            n: self.next,
            time_us: joined.time_us,
            key: joined.key,
            revision: joined.revision,
            call: joined.call,
            stream: joined.stream,
            text: joined.text,
        };
        self.next += 1;
        self.store(&line);
        if self.followers.iter().any(|follower| follower.wants(&line)) {
            let line = Arc::new(line);
            self.followers
                .retain_mut(|follower| !follower.wants(&line) || follower.offer(&line));
        }
    }

    fn store(&mut self, line: &Line) {
        let (lines, count) = match self.by_function.get_mut(&line.key) {
            Some(found) => found,
            None => self.by_function.entry(line.key.clone()).or_default(),
        };
        let before = lines.len();
        if serde_json::to_writer(&mut *lines, line).is_ok() {
            lines.push(b'\n');
            *count += 1;
            self.bytes += lines.len() - before;
        } else {
            lines.truncate(before);
        }
    }
}
