//! What one call took.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    FunctionKey,
    call::{CallId, Trigger},
};

/// How the instance that served a call came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Nothing was resident: the prepared code was mapped for this call.
    Cold,
    /// The code was mapped; a new instance was made.
    #[default]
    Warm,
    /// An instance that had served before.
    Reused,
    /// No instance was involved.
    None,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The function answered, whatever the status.
    Ok,
    /// It trapped, exited or gave no valid answer.
    Failed,
    /// It used its CPU time.
    CpuLimit,
    /// It used its wall time.
    WallLimit,
    /// It asked for more memory than it may have and failed.
    MemoryLimit,
    /// A body was larger than it may be.
    BodyLimit,
    /// The caller went away.
    Cancelled,
    /// The platform failed.
    Platform,
}

impl Outcome {
    /// All outcomes, for metrics and stored forms; the position is the stored number.
    pub const ALL: [Outcome; 8] = [
        Outcome::Ok,
        Outcome::Failed,
        Outcome::CpuLimit,
        Outcome::WallLimit,
        Outcome::MemoryLimit,
        Outcome::BodyLimit,
        Outcome::Cancelled,
        Outcome::Platform,
    ];

    /// The snake_case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
            Outcome::CpuLimit => "cpu_limit",
            Outcome::WallLimit => "wall_limit",
            Outcome::MemoryLimit => "memory_limit",
            Outcome::BodyLimit => "body_limit",
            Outcome::Cancelled => "cancelled",
            Outcome::Platform => "platform",
        }
    }
}

/// Host calls of one call, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostCalls {
    /// Key-value operations.
    pub kv: u32,
    /// SQL statements.
    pub sql: u32,
    /// Outbound HTTP requests.
    pub http_out: u32,
}

/// Where the time before the first byte went, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Phases {
    /// Waiting to be admitted and for an instance's place.
    pub queue_us: u32,
    /// Mapping the precompiled code.
    pub map_us: u32,
    /// Linking it.
    pub link_us: u32,
    /// Making the instance.
    pub instantiate_us: u32,
    /// From calling the guest to the head of its response.
    pub first_byte_us: u32,
}

/// The record that a settled call leaves, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// The call.
    pub call: CallId,
    /// What was called.
    pub function: Arc<FunctionKey>,
    /// Which revision served.
    pub revision: u64,
    /// What started it.
    pub trigger: Trigger,
    /// Accepted at, Unix time in microseconds.
    pub start_us: u64,
    /// From accept to settle, microseconds.
    pub wall_us: u64,
    /// Time the guest was really running, microseconds.
    pub cpu_us: u64,
    /// The most linear memory the instance held, bytes.
    pub memory_peak: u64,
    /// `memory_peak` in MB (1,000,000 bytes) times the time the guest held its instance in ms, rounded up. Time in a
    /// queue and of a reader slower than the guest does not count.
    pub memory_mb_ms: u64,
    /// Request body bytes the guest was given.
    pub bytes_in: u64,
    /// Response body bytes handed to the caller.
    pub bytes_out: u64,
    /// Host calls.
    pub host: HostCalls,
    /// How its instance came to be.
    pub start: Start,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status that the caller was given; 0 when it was gone before.
    pub status: u16,
    /// Where the time before the first byte went.
    pub phases: Phases,
}
