//! What one function may take, and how its instances are reused.

use serde::{Deserialize, Serialize};

use crate::{ByteSize, Span};

/// The most that any limit may be, in one place for whoever reads a manifest, checks a deploy, keeps the door or sizes
/// the engine: what one of them accepts, the next one can do. An operator's own ceilings lie below these.
pub mod ceiling {
    use crate::{ByteSize, Span};

    /// All that 32-bit Wasm can address.
    pub const MEMORY: ByteSize = ByteSize::mib(4096);
    /// As long as a call may take in all.
    pub const CPU_TIME: Span = WALL_TIME;
    /// The door keeps no call for longer: beyond this, work belongs behind a queue.
    pub const WALL_TIME: Span = Span::secs(900);
    /// More than the instances and connections of any node.
    pub const CONCURRENCY: u32 = 100_000;
    /// A caller that waits holds a connection and a head.
    pub const QUEUE: u32 = 100_000;
    /// Callers rarely have more patience.
    pub const QUEUE_TIME: Span = Span::secs(300);
    /// Streamed, so a matter of time and traffic.
    pub const REQUEST_BODY: ByteSize = ByteSize::mib(1024);
    /// The same.
    pub const RESPONSE_BODY: ByteSize = ByteSize::mib(10 * 1024);
    /// The engine reserves this much for each table of each instance. Language runtimes take some 20,000.
    pub const TABLE_ELEMENTS: u32 = 100_000;
    /// The engine's pool is made for this many. Guests of language runtimes are linked from some dozens.
    pub const CORE_INSTANCES: u32 = 200;
    /// Kept in memory on the way to the disk.
    pub const LOG_BYTES: ByteSize = ByteSize::mib(64);

    /// Calls that one instance serves in its life: by then what starting it took no longer counts.
    pub const REUSE_CALLS: u32 = 1_000_000;
    /// Calls that one instance serves at once. As many as a function may have in flight.
    pub const REUSE_CONCURRENT: u32 = CONCURRENCY;
    /// An idle instance is kept for a day.
    pub const REUSE_IDLE: Span = Span::secs(86_400);
    /// A deploy waits for its probe.
    pub const HEALTH_TIMEOUT: Span = Span::secs(60);

    /// Bytes of the path of a file that a guest sees or a route serves.
    pub const FILE_PATH: usize = 1024;
    /// Bytes of one part of it, as Linux has it.
    pub const FILE_NAME: usize = 255;
}

/// The limits of a function. Every field has a default; the operator's ceilings are applied at deploy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Linear memory of one instance. Default 128 MiB.
    pub memory: ByteSize,
    /// CPU time of one call. Default 10 s.
    pub cpu_time: Span,
    /// Wall time of one call, from admission to the last byte. Default 30 s.
    pub wall_time: Span,
    /// Calls in flight at once. Default 1,000.
    pub concurrency: u32,
    /// Calls waiting for one of those places. Default 1,000.
    pub queue: u32,
    /// The longest a call waits in the queue. Default 10 s.
    pub queue_time: Span,
    /// Calls per second from one caller address; 0 means no limit. Default 0.
    pub rate: u32,
    /// Request body. Default 10 MiB.
    pub request_body: ByteSize,
    /// Response body. Default 100 MiB.
    pub response_body: ByteSize,
    /// Elements of all tables of an instance. Default 100,000.
    pub table_elements: u32,
    /// Core instances inside one component instance. Default 100.
    pub core_instances: u32,
    /// Log bytes kept of one call. Default 1 MiB.
    pub log_bytes: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(128),
            cpu_time: Span::secs(10),
            wall_time: Span::secs(30),
            concurrency: 1000,
            queue: 1000,
            queue_time: Span::secs(10),
            rate: 0,
            request_body: ByteSize::mib(10),
            response_body: ByteSize::mib(100),
            table_elements: 100_000,
            core_instances: 100,
            log_bytes: ByteSize::mib(1),
        }
    }
}

/// How often and for how long an instance is used again. `None` means the runtime's own default:
/// 128 calls, 16 at once and 1 s idle for WASI 0.3 components, a fresh instance per call for 0.2.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reuse {
    /// Calls that one instance serves in its life; 1 means a fresh instance per call.
    pub calls: Option<u32>,
    /// Calls that one instance serves at the same time (WASI 0.3 only).
    pub concurrent: Option<u32>,
    /// How long an idle instance is kept.
    pub idle: Option<Span>,
}
