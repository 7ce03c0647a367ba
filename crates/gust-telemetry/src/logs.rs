//! What guests print: kept per function in bounded, rotated files, and handed live to whoever follows.
//!
//! A guest never waits for its log. [`GuestLogs::append`] copies the bytes into a bounded queue and returns; when the
//! queue is full the bytes are dropped and counted. One thread joins the bytes into lines, writes them and feeds the
//! followers. A function that prints nothing has no file, no handle and no memory here.

mod files;
mod follow;
mod lines;
mod read;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{SyncSender, TrySendError},
    },
    time::Duration,
};

use gust_types::{
    AppName, ByteSize, Error, FunctionKey, FunctionName, ProjectName, Result, call::CallId,
};
use serde::{Deserialize, Serialize};

pub use follow::{Follow, Followed};

/// Chunks that may wait for the writer.
const QUEUE: usize = 16 * 1024;
/// Larger writes are handed over in pieces of this size.
const PIECE: usize = 64 * 1024;
/// The most lines one [`GuestLogs::read`] answers with.
pub const MAX_READ: usize = 10_000;
/// The most followers at once.
pub const MAX_FOLLOWERS: usize = 256;

/// How much is kept. Every limit bounds the disk or the memory that guests can fill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// One file of one function. Default 5 MiB.
    pub file: ByteSize,
    /// Files kept per function, the one being written among them. Default 2.
    pub files: u32,
    /// All functions together; the oldest files go first. Default 1 GiB.
    pub total: ByteSize,
    /// Bytes that may wait in memory for the disk. Default 16 MiB.
    pub queue: ByteSize,
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The guest's standard output.
    Stdout,
    /// The guest's standard error.
    Stderr,
    /// The platform's own words about a call.
    Platform,
}

/// One line of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Counts up over all functions of the node; the order in which lines were written.
    pub n: u64,
    /// Unix microseconds.
    pub time_us: u64,
    /// Who printed it.
    #[serde(flatten)]
    pub key: FunctionKey,
    /// Which revision of it.
    pub revision: u64,
    /// During which call.
    pub call: CallId,
    /// On which stream.
    pub stream: Stream,
    /// What it says, without the line's end. Bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// Which lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Of this project.
    pub project: ProjectName,
    /// Of this app alone.
    pub app: Option<AppName>,
    /// Of this function alone.
    pub function: Option<FunctionName>,
    /// Of this call alone.
    pub call: Option<CallId>,
    /// Not before this Unix microsecond.
    pub since_us: u64,
    /// Of what is kept, only lines with a higher number: where somebody who read before goes on. What comes is new anyway.
    pub after: u64,
}

/// What the log did and could not do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines written.
    pub lines: u64,
    /// Bytes of guests dropped because the queue was full.
    pub dropped_bytes: u64,
    /// Lines lost because the disk refused them.
    pub lost_lines: u64,
}

/// The log of all guests. A cheap handle.
#[derive(Clone)]
pub struct GuestLogs(Arc<Shared>);

struct Shared {
    root: PathBuf,
    settings: Settings,
    queue: SyncSender<Message>,
    gauges: Arc<Gauges>,
}

/// What both sides of the queue count.
#[derive(Default)]
struct Gauges {
    queued_bytes: AtomicUsize,
    lines: AtomicU64,
    dropped_bytes: AtomicU64,
    lost_lines: AtomicU64,
}

/// What the writer is told.
enum Message {
    Chunk(Chunk),
    /// Everything before this is on disk when it answers; with the number that the next line will get.
    Flush(tokio::sync::oneshot::Sender<u64>),
    Follow(follow::Follower, tokio::sync::oneshot::Sender<u64>),
    Remove(ProjectName, AppName),
}

/// Some bytes of a guest.
struct Chunk {
    key: FunctionKey,
    revision: u64,
    call: CallId,
    stream: Stream,
    time_us: u64,
    bytes: Box<[u8]>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            file: ByteSize::mib(5),
            files: 2,
            total: ByteSize::mib(1024),
            queue: ByteSize::mib(16),
        }
    }
}

// === impl GuestLogs ===

impl GuestLogs {
    /// The log in this folder; the folder is made when the first line is written.
    pub fn open(root: impl Into<PathBuf>, settings: Settings) -> Result<Self> {
        let root = root.into();
        let gauges = Arc::new(Gauges::default());
        let (queue, inbox) = std::sync::mpsc::sync_channel(QUEUE);
        let writer = writer::Writer::new(root.clone(), settings.clone(), gauges.clone());
        std::thread::Builder::new()
            .name("gust-logs".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|e| Error::internal("cannot start the log's thread").because(e))?;
        Ok(Self(Arc::new(Shared {
            root,
            settings,
            queue,
            gauges,
        })))
    }

    /// Takes what a guest wrote. Never waits; `bytes` need not be UTF-8 or end at a line.
    pub fn append(
        &self,
        key: &FunctionKey,
        revision: u64,
        call: CallId,
        stream: Stream,
        bytes: &[u8],
    ) {
        let time_us = gust_task::clock::unix_micros();
        for piece in bytes.chunks(PIECE) {
            let taken = self.enqueue(Chunk {
                key: key.clone(),
                revision,
                call,
                stream,
                time_us,
                bytes: piece.into(),
            });
            if !taken {
                let dropped = piece.len() as u64;
                self.0.gauges.dropped_bytes.fetch_add(dropped, Relaxed);
            }
        }
    }

    fn enqueue(&self, chunk: Chunk) -> bool {
        let gauges = &self.0.gauges;
        let size = chunk.bytes.len();
        let before = gauges.queued_bytes.fetch_add(size, Relaxed);
        let fits = before + size <= self.0.settings.queue.bytes() as usize;
        if fits && self.0.queue.try_send(Message::Chunk(chunk)).is_ok() {
            return true;
        }
        gauges.queued_bytes.fetch_sub(size, Relaxed);
        false
    }

    /// Waits until everything appended before is in the files.
    pub async fn flush(&self) -> Result<()> {
        self.ask(Message::Flush).await.map(|_| ())
    }

    /// The newest `limit` lines that match, oldest of them first.
    pub async fn read(&self, filter: Filter, limit: usize) -> Result<Vec<Line>> {
        let before = self.ask(Message::Flush).await?;
        self.read_before(filter, limit, before).await
    }

    /// The newest `limit` lines that match, and every matching line after them, none missing in between and none twice.
    /// Following goes on across deploys. A follower that is too slow is told how many lines it missed.
    pub async fn follow(&self, filter: Filter, limit: usize) -> Result<(Vec<Line>, Follow)> {
        let (follower, follow) = follow::pair(filter.clone());
        let before = self.ask(|answer| Message::Follow(follower, answer)).await?;
        let lines = match limit {
            0 => Vec::new(),
            _ => self.read_before(filter, limit, before).await?,
        };
        Ok((lines, follow))
    }

    /// Forgets what the functions of this app printed.
    pub async fn remove(&self, project: ProjectName, app: AppName) -> Result<()> {
        self.send(Message::Remove(project, app)).await?;
        self.flush().await
    }

    /// What the log did and could not do.
    pub fn counts(&self) -> Counts {
        let gauges = &self.0.gauges;
        Counts {
            lines: gauges.lines.load(Relaxed),
            dropped_bytes: gauges.dropped_bytes.load(Relaxed),
            lost_lines: gauges.lost_lines.load(Relaxed),
        }
    }

    async fn read_before(&self, filter: Filter, limit: usize, before: u64) -> Result<Vec<Line>> {
        let shared = self.0.clone();
        tokio::task::spawn_blocking(move || {
            read::newest(
                &shared.root,
                shared.settings.files,
                &filter,
                limit.min(MAX_READ),
                before,
            )
        })
        .await
        .map_err(|e| Error::internal("reading the log failed").because(e))?
    }

    async fn ask(
        &self,
        message: impl FnOnce(tokio::sync::oneshot::Sender<u64>) -> Message,
    ) -> Result<u64> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.send(message(answer)).await?;
        match tokio::time::timeout(Duration::from_secs(10), answered).await {
            Ok(Ok(n)) => Ok(n),
            Ok(Err(_)) => Err(Error::exhausted("too many follow the log at once")
                .hint(format!("{MAX_FOLLOWERS} may; end one of them"))),
            Err(_) => Err(Error::unavailable("the log is too busy; try again")),
        }
    }

    /// Puts a question into the queue, which guests may be filling, without blocking a thread.
    async fn send(&self, mut message: Message) -> Result<()> {
        for _ in 0..500 {
            match self.0.queue.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back)) => message = back,
                Err(TrySendError::Disconnected(_)) => break,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(Error::unavailable("the log is too busy; try again"))
    }
}

// === impl Filter ===

impl Filter {
    /// Everything of a project.
    pub fn project(project: ProjectName) -> Self {
        Self {
            project,
            app: None,
            function: None,
            call: None,
            since_us: 0,
            after: 0,
        }
    }

    /// Whether a line is meant, wherever the reading begins ([`Filter::after`]).
    pub fn matches(&self, line: &Line) -> bool {
        self.project == line.key.project
            && self.app.as_ref().is_none_or(|app| *app == line.key.app)
            && self
                .function
                .as_ref()
                .is_none_or(|f| *f == line.key.function)
            && self.call.is_none_or(|call| call == line.call)
            && self.since_us <= line.time_us
    }
}

impl Stream {
    /// The word in stored lines and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
            Stream::Platform => "platform",
        }
    }
}
