//! How code runs: the seam between dispatch and a runtime, in three steps by cost.
//!
//! `prepare` once per artifact per machine (compile), `load` once per residency (map, link), `start` once per
//! instance, `call` once per call. A runtime never routes, queues or bills: it reports what a call took through
//! [`Done`]. Start with [`Runtime`], then [`Instance::call`] and [`Done`].
#![warn(missing_docs)]

pub mod artifact;
pub mod logs;
pub mod memory;
pub mod suite;

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use gust_backend::{blob::Bucket, kv::Kv, outlet::Outlet, sql::Sql};
use gust_types::{
    BoxFuture, Call, Digest, FunctionName, Label, Outcome, Reply, Result, Revision, event::Cause,
    outbound::Outbound, usage::HostCalls,
};

use crate::logs::LogSink;

/// Something that can run artifacts of one kind.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Its name in manifests and metrics, such as `wasm`.
    fn kind(&self) -> &'static str;
    /// Makes everything that can be made once for this revision's artifact on this machine, and leaves it on disk.
    /// Idempotent; a second call for the same artifact is cheap. Errors blame the caller for what they uploaded.
    async fn prepare(&self, revision: &Revision, progress: &dyn Progress) -> Result<Preparation>;
    /// Makes a prepared revision resident: maps and links it. Prepares again when the prepared form is missing,
    /// damaged or made for another engine. `bindings` are settled: what is not in them is denied.
    async fn load(&self, revision: Arc<Revision>, bindings: Bindings) -> Result<Loaded>;
    /// The most instances that may live at once; dispatch never holds more.
    fn capacity(&self) -> usize;
}

/// Hears how far a long step is.
pub trait Progress: Send + Sync {
    /// `step` is a short phrase; `done` of `total` units, 0 of 0 when unknown.
    fn report(&self, step: &str, done: u64, total: u64);
}

/// A progress nobody looks at.
pub struct Quiet;

impl Progress for Quiet {
    fn report(&self, _: &str, _: u64, _: u64) {}
}

/// What prepare found.
#[derive(Debug, Clone, Default)]
pub struct Preparation {
    /// What the artifact is, in the runtime's words, such as `wasi:http/handler@0.3.0`.
    pub contract: String,
    /// Things a person should know: imports that nothing provides, deprecated interfaces.
    pub warnings: Vec<String>,
    /// Bytes of the prepared form on disk.
    pub size: u64,
    /// True when it was there already.
    pub cached: bool,
}

/// A resident revision and what making it so took.
pub struct Loaded {
    /// The revision.
    pub prepared: Arc<dyn Prepared>,
    /// Time to map.
    pub map: Duration,
    /// Time to link.
    pub link: Duration,
}

/// A resident revision. Dropping it frees what it maps.
pub trait Prepared: Send + Sync {
    /// Makes an instance, by `deadline` at the latest. Called with a place under [`Runtime::capacity`] already held.
    /// Guest code may run here, within the function's limits; an error of it has an [`Ended`] among its causes.
    /// With `bindings` the instance gets its stores, databases, outlets and buckets from there; all else is as it was loaded.
    fn start(
        &self,
        deadline: Instant,
        bindings: Option<Bindings>,
    ) -> BoxFuture<'_, Result<Box<dyn Instance>>>;
    /// How its instances are reused, defaults filled in.
    fn reuse(&self) -> ReusePlan;
    /// Bytes that residency costs, an estimate for eviction.
    fn resident_bytes(&self) -> u64;
}

/// Reuse with its defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReusePlan {
    /// Calls in an instance's life.
    pub calls: u32,
    /// Calls at the same time.
    pub concurrent: u32,
    /// How long an idle instance is kept.
    pub idle: Duration,
}

/// One running copy of a revision.
pub trait Instance: Send {
    /// Runs one call. The future answers with the head of the response; its body streams on and owns whatever keeps
    /// the guest going. `done` is told exactly once when the guest has finished with the call (after the body's end
    /// or even later), or when it was cut off. Dropping the future or the body cuts the guest off. The limits of CPU
    /// time, wall time (`call.deadline`) and memory are the runtime's to enforce, from outside the guest.
    ///
    /// Errors say how it ended: `Failed` (trap, exit, no answer), `Timeout` (wall or CPU time), `Exhausted` (memory,
    /// body), blame `Function`.
    fn call(self: Box<Self>, call: Call, done: Done) -> BoxFuture<'static, Result<Reply>>;

    /// How further calls get into this running copy while one is under way; `None` when it serves one at a time.
    /// Ask before [`Instance::call`] takes the handle, and keep the answer beside it.
    fn sharer(&self) -> Option<Arc<dyn Sharer>>;
}

/// The way into a running copy that calls may share. Keeping one does not keep the copy alive.
pub trait Sharer: Send + Sync {
    /// A handle for one more call, with a place held for it until it is called or dropped. `None` when the copy has
    /// no place right now: its guest is computing, it is full, worn out, or gone.
    /// All handles stand for one copy and for one place under [`Runtime::capacity`].
    fn share(&self) -> Option<Box<dyn Instance>>;
}

/// What a runtime tells dispatch when a call is over.
pub struct Finished {
    /// The instance, when it is fit to serve again. Of a copy shared by several calls, the one that ends last gets
    /// it: `None` while others are under way does not say that the copy is lost.
    pub instance: Option<Box<dyn Instance>>,
    /// How the guest ended.
    pub outcome: Outcome,
    /// What it took.
    pub used: Used,
}

/// What a call took, as the runtime saw it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    /// Time the guest was really running.
    pub cpu: Duration,
    /// The most linear memory the instance held.
    pub memory_peak: u64,
    /// Host calls.
    pub host: HostCalls,
}

/// How a guest ended that never got as far as a call, and what it took: the cause of an error of [`Prepared::start`].
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// How the guest ended.
    pub outcome: Outcome,
    /// What it took.
    pub used: Used,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended while starting ({})", self.outcome.as_str())
    }
}

impl std::error::Error for Ended {}

/// Dispatch's ear for the end of a call.
pub trait Settle: Send {
    /// Takes what the call took.
    fn settle(self: Box<Self>, finished: Finished);
}

/// The obligation to say how a call ended. Dropped without [`Done::finish`] it says `Platform`, so nothing is lost.
pub struct Done(Option<Box<dyn Settle>>);

// === impl Done ===

impl Done {
    /// An obligation towards `settle`.
    pub fn new(settle: Box<dyn Settle>) -> Self {
        Self(Some(settle))
    }

    /// Says how it ended.
    pub fn finish(mut self, finished: Finished) {
        if let Some(settle) = self.0.take() {
            settle.settle(finished);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(settle) = self.0.take() {
            settle.settle(Finished {
                instance: None,
                outcome: Outcome::Platform,
                used: Used::default(),
            });
        }
    }
}

/// What a revision may touch, opened and checked before the guest runs.
#[derive(Clone)]
pub struct Bindings {
    /// Key-value stores by label.
    pub kv: BTreeMap<Label, Arc<dyn Kv>>,
    /// SQL databases by label.
    pub sql: BTreeMap<Label, Arc<dyn Sql>>,
    /// What it may publish to, by label.
    pub outlets: BTreeMap<Label, Arc<dyn Outlet>>,
    /// Buckets by label.
    pub blobs: BTreeMap<Label, Arc<dyn Bucket>>,
    /// The function's variables, expanded.
    pub variables: Arc<BTreeMap<String, String>>,
    /// Environment variables.
    pub environment: Arc<Vec<(String, String)>>,
    /// Where it may connect to.
    pub outbound: Arc<Outbound>,
    /// A folder with the component's files, read-only to the guest.
    pub files: Option<std::path::PathBuf>,
    /// Where its output goes.
    pub logs: Arc<dyn LogSink>,
    /// The other functions of its app.
    pub peers: Arc<dyn Peers>,
}

/// Calls between functions of one app, in process: `<function>.spin.internal`, `<function>.gust.internal`.
pub trait Peers: Send + Sync {
    /// Calls `function` of the app that `from` belongs to, with the request as the guest made it.
    /// `function` is `None` for a request to the app's own routes.
    fn call(
        &self,
        from: &Revision,
        function: Option<&FunctionName>,
        request: http::Request<gust_types::Body>,
        context: PeerContext,
    ) -> BoxFuture<'static, Result<Reply>>;
}

/// What an in-process call inherits from the call that makes it.
#[derive(Debug, Clone)]
pub struct PeerContext {
    /// How deep the chain already is.
    pub hops: u8,
    /// When the caller must be over.
    pub deadline: Instant,
    /// The trace, with the caller's span as parent.
    pub trace: gust_types::call::Trace,
    /// The triggers that led there.
    pub cause: Option<Arc<Cause>>,
}

/// Where the bytes of artifacts are.
pub trait Artifacts: Send + Sync {
    /// The file that holds these bytes, verified when it was stored.
    fn path(&self, digest: &Digest) -> Result<std::path::PathBuf>;
}
