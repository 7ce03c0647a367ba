//! Calls that are made later, as the doors see them: they hand a call over and ask what became of it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gust_types::{Call, FunctionKey, ProjectName, Result, call::CallId, later::CallbackUrl};
use serde::{Deserialize, Serialize};

/// A call was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Under which it is asked for; that of the earlier call when this one was a repetition.
    pub id: CallId,
    /// There was a call with the same idempotency key, and there is no second one.
    pub duplicate: bool,
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaterState {
    /// For its first attempt, or for the next one.
    Waiting,
    /// With its function.
    Running,
    /// The function answered.
    Done,
    /// Given up.
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
}

/// A call that is made later, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaterCall {
    /// Its id; the ledger knows its first attempt by it.
    pub id: CallId,
    /// What is called.
    pub function: FunctionKey,
    /// The request's method.
    pub method: String,
    /// The request's path and query.
    pub path: String,
    /// How far it is.
    pub state: LaterState,
    /// Attempts so far, the one under way included.
    pub attempts: u32,
    /// Under which the ledger and the log know the last attempt.
    pub attempt_id: Option<CallId>,
    /// When it was accepted, Unix microseconds.
    pub accepted_us: u64,
    /// When it is tried next, Unix microseconds.
    pub next_us: Option<u64>,
    /// When it was over, Unix microseconds.
    pub finished_us: Option<u64>,
    /// Until when its result is kept, Unix microseconds.
    pub expires_us: Option<u64>,
    /// The status that the function answered at the last attempt.
    pub status: Option<u16>,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// Of the answer only a part is kept.
    pub truncated: bool,
    /// What was wrong with the last attempt.
    pub cause: Option<String>,
    /// Why its destination has not been told.
    pub undelivered: Option<String>,
    /// The address that is posted to when it is over, and what became of that.
    pub callback: Option<Callback>,
}

/// What who asks for a call wishes beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Of two calls of a function with the same key within a day the second is the first.
    pub key: Option<String>,
    /// Posted to when the call is over, instead of the function's own address.
    pub callback: Option<CallbackUrl>,
}

/// How far a callback is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackState {
    /// For the end of the call, or for the next attempt.
    Waiting,
    /// It was taken.
    Delivered,
    /// Given up.
    Failed,
}

/// A callback and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The address, without its query.
    pub url: String,
    /// How far it is.
    pub state: CallbackState,
    /// Attempts so far.
    pub attempts: u32,
    /// What was answered at the last attempt.
    pub status: Option<u16>,
    /// What was wrong with the last attempt.
    pub cause: Option<String>,
    /// When it is tried next, Unix microseconds.
    pub next_us: Option<u64>,
}

/// Who makes calls later.
#[async_trait]
pub trait Later: Send + Sync {
    /// Takes a call over; it is durable when this answers.
    async fn accept(&self, call: Call, wishes: Wishes) -> Result<Accepted>;
    /// A call of a project. With `wait`, waits that long at most for its end; without room for one more who waits it
    /// answers at once.
    async fn call(&self, project: &ProjectName, id: CallId, wait: Duration) -> Result<LaterCall>;
    /// What the function answered; `None` while there is no answer, or if there never was one.
    async fn reply(
        &self,
        project: &ProjectName,
        id: CallId,
    ) -> Result<Option<http::Response<Bytes>>>;
    /// The calls of a project, the newest first, from behind one of them.
    async fn calls(
        &self,
        project: &ProjectName,
        after: Option<CallId>,
        most: usize,
    ) -> Result<Vec<LaterCall>>;
    /// Does not make a call that waits, and ends one that is under way. A `Conflict` when it is over.
    async fn cancel(&self, project: &ProjectName, id: CallId) -> Result<LaterCall>;
    /// Forgets the calls of a project that is gone, and their results, and what doors keep of it: whoever makes one of this name again shall not
    /// find them.
    async fn forget(&self, project: &ProjectName) -> Result<()>;
}

// === impl LaterState ===

impl CallbackState {
    /// The snake_case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl LaterState {
    /// Whether nothing more becomes of it.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }

    /// The snake_case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
