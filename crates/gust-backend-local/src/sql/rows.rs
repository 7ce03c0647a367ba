//! Rows on their way from a connection's thread to whoever reads them: bounded, and stopped when nobody does.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use futures::Stream;
use gust_backend::sql::Value;
use gust_task::clock;
use gust_types::{Error, Result};
use parking_lot::{Condvar, Mutex};

/// Bytes of rows that wait for their reader before the statement pauses.
const AHEAD: usize = 64 << 10;

/// What the thread, the caller and the reader of one statement share.
pub(super) struct Run {
    state: Mutex<State>,
    moved: Condvar,
}

struct State {
    rows: VecDeque<Vec<Value>>,
    bytes: usize,
    /// How it ended.
    end: Option<Result<()>>,
    reader: Option<Waker>,
    /// Nobody wants it any more.
    cancelled: bool,
    /// Somebody waits for the connection: do not wait for the reader.
    hurry: bool,
    /// When the statement must be over.
    deadline: Option<Instant>,
}

impl Run {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                rows: VecDeque::new(),
                bytes: 0,
                end: None,
                reader: None,
                cancelled: false,
                hurry: false,
                deadline: None,
            }),
            moved: Condvar::new(),
        })
    }

    /// The time starts now.
    pub(super) fn start(&self, time: Duration) {
        self.state.lock().deadline = Some(clock::now() + time);
    }

    /// Whether the statement must stop now; SQLite asks every few microseconds.
    pub(super) fn must_stop(&self) -> bool {
        let state = self.state.lock();
        state.cancelled || state.deadline.is_some_and(|at| clock::now() >= at)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.state.lock().cancelled
    }

    /// Nobody wants the rest.
    pub(super) fn cancel(&self) {
        let mut state = self.state.lock();
        state.cancelled = true;
        state.rows.clear();
        self.moved.notify_all();
    }

    /// Somebody waits for the connection behind this statement.
    pub(super) fn hurry(&self) {
        self.state.lock().hurry = true;
        self.moved.notify_all();
    }

    /// Hands a row over. Waits while the reader is behind, at most `patience` at a time; that wait does not count as the
    /// statement's time.
    pub(super) fn push(&self, row: Vec<Value>, patience: Duration) -> Result<()> {
        let mut state = self.state.lock();
        state.bytes += size(&row);
        state.rows.push_back(row);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        let paused = clock::now();
        while state.bytes > AHEAD && !state.hurry && !state.cancelled {
            let left = patience.saturating_sub(paused.elapsed());
            if left.is_zero() {
                return Err(Error::timeout("sql: rows were not read in time"));
            }
            self.moved.wait_for(&mut state, left);
        }
        let waited = paused.elapsed();
        state.deadline = state.deadline.map(|at| at + waited);
        Ok(())
    }

    /// No more rows.
    pub(super) fn end(&self, result: Result<()>) {
        let mut state = self.state.lock();
        state.end.get_or_insert(result);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }
}

/// Bytes that a row counts for.
pub(super) fn size(row: &[Value]) -> usize {
    let of = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Blob(blob) => blob.len(),
        Value::Null | Value::Integer(_) | Value::Real(_) => 0,
    };
    row.iter().map(|value| 16 + of(value)).sum()
}

/// The reader's end. Dropping it stops the statement.
pub(super) struct Reader(pub(super) Arc<Run>);

impl Stream for Reader {
    type Item = Result<Vec<Value>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.state.lock();
        if let Some(row) = state.rows.pop_front() {
            state.bytes -= size(&row);
            if state.bytes <= AHEAD / 2 {
                self.0.moved.notify_all();
            }
            return Poll::Ready(Some(Ok(row)));
        }
        match state.end.as_mut() {
            Some(end) => {
                let end = std::mem::replace(end, Ok(()));
                Poll::Ready(end.err().map(Err))
            }
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
