//! What a store holds: everything on the host's side of one running copy of a component.
//!
//! [`Guest`] is split so that the parts can be borrowed side by side: WASI's own context, the table of handles, and
//! the [`Scope`], which is all that Gust itself adds. Host functions of ours work on a `&mut Scope` (and the table).

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    time::Instant,
};

use gust_runtime::Bindings;
use gust_types::{
    Revision,
    call::{CallId, Trace},
    event::Cause,
    usage::HostCalls,
};
use parking_lot::Mutex;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::{
    host::{self, HostState},
    output::Output,
};

/// Handles that a guest may hold at once. Each costs the host some hundred bytes that no memory limit counts.
const MAX_HANDLES: usize = 16 * 1024;

/// The data of a store.
pub(crate) struct Guest {
    /// WASI 0.2 and 0.3 (cli, clocks, random, filesystem, sockets). Made by [`host::wasi`].
    pub(crate) wasi: WasiCtx,
    /// Handles that the guest holds. One table for all interfaces.
    pub(crate) table: ResourceTable,
    /// Settings of `wasi:http` in both versions.
    pub(crate) http: WasiHttpCtx,
    /// What Gust adds. Also implements the hooks of `wasi:http` (see `host/outbound.rs`).
    pub(crate) scope: Scope,
}

/// On whose behalf this copy runs, what it may touch and what it has used.
pub(crate) struct Scope {
    /// The revision that it is a copy of.
    pub(crate) revision: Arc<Revision>,
    /// What it may touch; what is not in here is denied.
    pub(crate) bindings: Arc<Bindings>,
    /// The call it works on now. When several calls share one copy: the one that entered last, with the latest
    /// deadline, the most hops and the longest cause of those that have no answer yet. Which of them a host function works for cannot be
    /// told, so none is cut short, and a loop through functions ends whichever of them closes it.
    pub(crate) call: CallContext,
    /// Calls of a shared copy that have no answer yet.
    inside: Vec<CallContext>,
    /// What the calls so far have used.
    pub(crate) meter: Meter,
    /// The limits on memory, tables and instances.
    pub(crate) limiter: Limiter,
    /// Where its stdout and stderr go.
    pub(crate) output: Arc<Output>,
    /// State of the host interfaces (open stores, open databases, clients).
    pub(crate) host: HostState,
    /// Hears the last counts of a copy that is cut off in the middle of a call.
    pub(crate) last_words: Arc<LastWords>,
}

/// What a copy had used when it was dropped. A store that is thrown away in the middle of a call takes its counters
/// with it; this is how the bill still hears of them.
#[derive(Default)]
pub(crate) struct LastWords {
    counts: Mutex<Option<Counts>>,
    /// The copy traps or is thrown away in the middle of a call. Set before it is dropped: what it was sending seems to end
    /// well with it.
    cut_off: AtomicBool,
}

/// Counts of one call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Host calls since the last count was taken.
    pub(crate) host: HostCalls,
    /// The most linear memory held, in bytes.
    pub(crate) memory_peak: u64,
    /// Whether a growth of memory was denied.
    pub(crate) memory_denied: bool,
}

/// What host functions need to know about the call at hand.
#[derive(Debug, Clone)]
pub(crate) struct CallContext {
    /// The request id.
    pub(crate) id: CallId,
    /// When the call must be over; nothing that a host function waits for may last longer.
    pub(crate) deadline: Instant,
    /// In-process calls that led here.
    pub(crate) hops: u8,
    /// The trace, with this call's own span as parent: send it on as it is.
    pub(crate) trace: Trace,
    /// The triggers that led here, when it was an event.
    pub(crate) cause: Option<Arc<Cause>>,
}

/// Counters that host functions add to. Taken by the driver when a call ends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meter {
    /// Host calls of the kinds that are billed. A host function adds 1 when it begins.
    pub(crate) host: HostCalls,
}

/// Denies growth beyond the function's limits and remembers the most memory held.
#[derive(Debug, Clone)]
pub(crate) struct Limiter {
    memory_limit: usize,
    table_limit: usize,
    instance_limit: usize,
    /// Bytes of all linear memories now.
    memory: usize,
    /// The most bytes ever held. Memories only grow, so it survives the call that made it so.
    peak: usize,
    /// Elements of all tables now.
    table_elements: usize,
    /// True once a memory growth was denied: a trap after it is a matter of memory.
    denied: bool,
}

// === impl Guest ===

impl Guest {
    /// The data of a fresh store.
    pub(crate) fn new(
        revision: Arc<Revision>,
        bindings: Arc<Bindings>,
        last_words: Arc<LastWords>,
        command: bool,
    ) -> Self {
        let output = Arc::new(Output::new(&revision, bindings.logs.clone(), command));
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self {
            wasi: host::wasi(&bindings, &output),
            table,
            http: WasiHttpCtx::new(),
            scope: Scope {
                call: CallContext::none(),
                inside: Vec::new(),
                meter: Meter::default(),
                limiter: Limiter::new(&revision.spec.limits),
                host: HostState::new(&bindings),
                output,
                revision,
                bindings,
                last_words,
            },
        }
    }

    /// A call enters: from here on host functions act for it.
    pub(crate) fn enter(&mut self, call: CallContext) {
        self.scope.output.enter(call.id);
        self.scope.call = call;
    }

    /// A call enters a copy that others may be in.
    pub(crate) fn enter_beside(&mut self, call: CallContext) {
        self.enter(call.clone());
        self.scope.inside.push(call);
        self.scope.merge();
    }
}

impl Scope {
    /// A call of a shared copy has its answer: what it may no longer counts for the others.
    pub(crate) fn answered(&mut self, call: CallId) {
        self.inside.retain(|inside| inside.id != call);
        self.merge();
    }

    fn merge(&mut self) {
        let Some(last) = self.inside.last() else {
            return;
        };
        let mut merged = last.clone();
        for call in &self.inside {
            merged.deadline = merged.deadline.max(call.deadline);
            merged.hops = merged.hops.max(call.hops);
            let hops = |call: &CallContext| call.cause.as_ref().map_or(0, |cause| cause.hops);
            if hops(call) > hops(&merged) {
                merged.cause = call.cause.clone();
            }
        }
        self.call = merged;
    }

    /// Takes the counts since the last time.
    pub(crate) fn take_counts(&mut self) -> Counts {
        Counts {
            host: std::mem::take(&mut self.meter).host,
            memory_peak: self.limiter.peak as u64,
            memory_denied: std::mem::take(&mut self.limiter.denied),
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let counts = self.take_counts();
        *self.last_words.counts.lock() = Some(counts);
    }
}

impl LastWords {
    /// What the copy had used, once it is gone.
    pub(crate) fn take(&self) -> Counts {
        self.counts.lock().take().unwrap_or_default()
    }

    /// To be said before the copy is dropped.
    pub(crate) fn cut_off(&self) {
        self.cut_off.store(true, Release);
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Acquire)
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.scope,
        }
    }
}

// === impl Counts ===

impl Counts {
    pub(crate) fn add(&mut self, more: Self) {
        self.host.kv += more.host.kv;
        self.host.sql += more.host.sql;
        self.host.http_out += more.host.http_out;
        self.memory_peak = self.memory_peak.max(more.memory_peak);
        self.memory_denied |= more.memory_denied;
    }
}

// === impl CallContext ===

impl CallContext {
    /// No call is under way: the copy is being made.
    fn none() -> Self {
        Self {
            id: CallId::default(),
            deadline: gust_task::clock::now(),
            hops: 0,
            trace: Trace::default(),
            cause: None,
        }
    }
}

// === impl Limiter ===

impl Limiter {
    fn new(limits: &gust_types::Limits) -> Self {
        Self {
            memory_limit: usize::try_from(limits.memory.0).unwrap_or(usize::MAX),
            table_limit: limits.table_elements as usize,
            instance_limit: limits.core_instances as usize,
            memory: 0,
            peak: 0,
            table_elements: 0,
            denied: false,
        }
    }
}

impl wasmtime::ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory - current.min(self.memory) + desired;
        if total > self.memory_limit || maximum.is_some_and(|most| desired > most) {
            self.denied |= total > self.memory_limit;
            return Ok(false);
        }
        self.memory = total;
        self.peak = self.peak.max(total);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.table_elements - current.min(self.table_elements) + desired;
        if total > self.table_limit || maximum.is_some_and(|most| desired > most) {
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instance_limit
    }
}
