//! A revision that is mapped and linked, ready to make instances.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock, Weak, atomic::Ordering, mpsc},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use gust_runtime::{Bindings, Ended, Instance, Prepared, ReusePlan};
use gust_task::clock;
use gust_types::{BoxFuture, Error, Result, Revision};
use parking_lot::Mutex;
use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, InstancePre},
};
use wasmtime_wasi::{
    p2::bindings::CommandPre as Command02Pre, p3::bindings::CommandPre as Command03Pre,
};
use wasmtime_wasi_http::{p2::bindings::ProxyPre, p3::bindings::ServicePre};

use crate::{
    Settings,
    coach::Compute,
    contract::Contract,
    engine::LaneEngine,
    fault::{self, Fault},
    guest::{Guest, LastWords},
    handle::Handle,
    live::{Entry, Live},
    meter::CpuClock,
    shelf::Record,
    spin_event::{self, Handler},
    ticker::Ticker,
    watch::Stale,
};

/// What a guest may hand over in one call of the host, or in one answer of a Spin 1 function, in bytes. They are copied
/// at a stretch, which nothing interrupts.
const HANDED_OVER: usize = 32 << 20;

/// A mapped and linked revision.
pub(crate) struct Resident {
    pub(crate) revision: Arc<Revision>,
    pub(crate) bindings: Arc<Bindings>,
    pub(crate) plan: ReusePlan,
    pub(crate) ticker: Ticker,
    pub(crate) compute: Compute,
    pub(crate) contract: Contract,
    engine: Arc<LaneEngine>,
    size: u64,
    /// `Some` until it is dropped.
    entry: Option<EntryPre>,
    disposal: Disposal,
    /// The file it is mapped from was written to.
    stale: Stale,
    home: OnceLock<Weak<Home>>,
}

/// The typed way in, looked up once.
pub(crate) enum EntryPre {
    Http02(ProxyPre<Guest>),
    Http03(ServicePre<Guest>),
    SpinHttp(InstancePre<Guest>, ComponentExportIndex),
    SpinEvent(InstancePre<Guest>, ComponentExportIndex, Contract),
    Run02(Command02Pre<Guest>),
    Run03(Command03Pre<Guest>),
}

/// A thread that unmaps code, which takes up to half a millisecond, so that no call waits for it.
#[derive(Clone)]
pub(crate) struct Disposal(mpsc::SyncSender<EntryPre>);

// === impl Resident ===

impl Resident {
    pub(crate) fn new(
        revision: Arc<Revision>,
        bindings: Arc<Bindings>,
        record: &Record,
        (entry, stale): (EntryPre, Stale),
        engine: Arc<LaneEngine>,
        context: (&Settings, Ticker, Compute, Disposal),
    ) -> Self {
        let (settings, ticker, compute, disposal) = context;
        Self {
            plan: plan(&revision, record.contract, settings),
            contract: record.contract,
            size: record.size,
            bindings,
            revision,
            ticker,
            compute,
            engine,
            entry: Some(entry),
            disposal,
            stale,
            home: OnceLock::new(),
        }
    }

    fn belongs_to(&self, home: &Arc<Home>) {
        // It belongs to one home for all its life.
        let _ = self.home.set(Arc::downgrade(home));
    }

    /// Where the next instance comes from when this is stale.
    pub(crate) fn home(&self) -> Option<Arc<Home>> {
        self.home.get()?.upgrade()
    }

    /// Whether its code may not be entered any more.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire)
    }

    /// Makes a store and an instance in it, within the function's limits: instantiation runs guest code.
    async fn make(&self, deadline: Instant, bindings: Option<Arc<Bindings>>) -> Result<Live> {
        let Some(entry) = &self.entry else {
            return Err(Error::internal(
                "a revision that is gone was asked to start",
            ));
        };
        let last_words = Arc::new(LastWords::default());
        let guest = Guest::new(
            self.revision.clone(),
            bindings.unwrap_or_else(|| self.bindings.clone()),
            last_words.clone(),
            !self.contract.reusable(),
        );
        let mut store = Store::new(&self.engine.engine, guest);
        store.limiter(|guest| &mut guest.scope.limiter);
        store.set_hostcall_fuel(HANDED_OVER);
        store.epoch_deadline_async_yield_and_update(1);
        store.set_epoch_deadline(1);
        let limits = &self.revision.spec.limits;
        let made = {
            let _running = self.ticker.run();
            Bounded {
                work: Box::pin(entry.instantiate(&mut store)),
                clock: CpuClock::default(),
                cpu_limit: limits.cpu_time.0,
                timer: None,
                end: deadline.min(clock::now() + limits.wall_time.0),
            }
            .await
        };
        let (made, spent) = made;
        let over = match made {
            Ok(Ok(entry)) => return Ok(Live::new(store, entry, last_words, spent, self.plan)),
            Ok(Err(error)) => Over::Failed(error),
            Err(over) => over,
        };
        // What the work had borrowed is ours again: nothing of it runs any more.
        let counts = store.data_mut().scope.take_counts();
        let fault = match over {
            Over::Cpu => Fault::cpu(limits.cpu_time.0),
            Over::Wall => Fault::wall(),
            Over::Failed(error) => Fault::from_guest(&error, counts, limits),
        };
        self.note(&fault);
        Err(fault.error().because(Ended {
            outcome: fault.outcome,
            used: fault::used(counts, spent),
        }))
    }

    fn note(&self, fault: &Fault) {
        self.bindings.logs.write(
            &self.revision.key,
            self.revision.number,
            Default::default(),
            gust_runtime::logs::Stream::Platform,
            format!("while starting: {}", fault.note).as_bytes(),
        );
    }
}

/// A revision as dispatch keeps it.
pub(crate) struct Ready(pub(crate) Arc<Home>);

/// Where a revision's instances are made: its mapping, and the next one should the file be written to.
pub(crate) struct Home {
    resident: Mutex<Arc<Resident>>,
    renew: Box<Renew>,
}

/// Maps a revision once more, from a file that is checked again.
pub(crate) type Renew =
    dyn Fn(Arc<Resident>) -> BoxFuture<'static, Result<Arc<Resident>>> + Send + Sync;

impl Home {
    pub(crate) fn new(resident: Arc<Resident>, renew: Box<Renew>) -> Arc<Self> {
        let home = Arc::new(Self {
            resident: Mutex::new(resident.clone()),
            renew,
        });
        resident.belongs_to(&home);
        home
    }

    fn resident(&self) -> Arc<Resident> {
        self.resident.lock().clone()
    }

    /// Makes an instance of code that is what was compiled.
    pub(crate) async fn make(
        self: &Arc<Self>,
        deadline: Instant,
        bindings: Option<Arc<Bindings>>,
    ) -> Result<(Live, Arc<Resident>)> {
        let mut resident = self.resident();
        if resident.is_stale() {
            resident = (self.renew)(resident).await?;
            resident.belongs_to(self);
            *self.resident.lock() = resident.clone();
        }
        let live = resident.make(deadline, bindings).await?;
        Ok((live, resident))
    }
}

impl Prepared for Ready {
    fn start(
        &self,
        deadline: Instant,
        bindings: Option<Bindings>,
    ) -> BoxFuture<'_, Result<Box<dyn Instance>>> {
        Box::pin(async move {
            // What the runtime made of the rest when it was loaded, holds: where it may connect to, for one.
            let bindings = bindings.map(|given| {
                Arc::new(Bindings {
                    kv: given.kv,
                    sql: given.sql,
                    outlets: given.outlets,
                    blobs: given.blobs,
                    ..Bindings::clone(&self.0.resident().bindings)
                })
            });
            let (live, resident) = self.0.make(deadline, bindings).await?;
            Ok(Handle::idle(live, resident))
        })
    }

    fn reuse(&self) -> ReusePlan {
        self.0.resident().plan
    }

    fn resident_bytes(&self) -> u64 {
        // Measured: what is private to a mapping is a fifth of its file, and some for the linked form.
        64 * 1024 + self.0.resident().size / 5
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else {
            return;
        };
        if self.is_stale() {
            // See the watch: not even unmapping may touch it.
            std::mem::forget(entry);
        } else {
            self.disposal.take(entry);
        }
    }
}

fn plan(revision: &Revision, contract: Contract, settings: &Settings) -> ReusePlan {
    let asked = &revision.spec.reuse;
    let (calls, concurrent) = if contract.reused_by_default() {
        (settings.reuse_calls, settings.reuse_concurrent)
    } else {
        (1, 1)
    };
    let calls = asked.calls.unwrap_or(calls).max(1);
    let concurrent = asked.concurrent.unwrap_or(concurrent).max(1);
    ReusePlan {
        calls: if contract.reusable() { calls } else { 1 },
        concurrent: if contract.shareable() {
            concurrent.min(calls)
        } else {
            1
        },
        idle: asked.idle.map_or(Duration::from_secs(1), |span| span.0),
    }
}

// === impl EntryPre ===

impl EntryPre {
    pub(crate) fn new(pre: InstancePre<Guest>, record: &Record) -> wasmtime::Result<Self> {
        Ok(match record.contract {
            Contract::Http02 => Self::Http02(ProxyPre::new(pre)?),
            Contract::Http03 => Self::Http03(ServicePre::new(pre)?),
            Contract::Run02 => Self::Run02(Command02Pre::new(pre)?),
            Contract::Run03 => Self::Run03(Command03Pre::new(pre)?),
            Contract::SpinHttp => {
                let index = crate::spin_http::index(pre.component(), &record.export)?;
                Self::SpinHttp(pre, index)
            }
            contract @ (Contract::SpinRedis
            | Contract::SpinRedis03
            | Contract::SpinCron
            | Contract::SpinMqtt) => {
                let index = spin_event::index(pre.component(), &record.export)?;
                Self::SpinEvent(pre, index, contract)
            }
        })
    }

    async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Entry> {
        Ok(match self {
            Self::Http02(pre) => Entry::Http02(pre.instantiate_async(store).await?),
            Self::Http03(pre) => Entry::Http03(pre.instantiate_async(store).await?),
            Self::Run02(pre) => Entry::Run02(pre.instantiate_async(store).await?),
            Self::Run03(pre) => Entry::Run03(pre.instantiate_async(store).await?),
            Self::SpinHttp(pre, index) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                Entry::SpinHttp(instance.get_typed_func(store, index)?)
            }
            Self::SpinEvent(pre, index, contract) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                Entry::SpinEvent(Handler::find(&instance, store, index, *contract)?)
            }
        })
    }
}

/// Maps a prepared file.
#[expect(unsafe_code, reason = "mapping native code cannot be safe by type")]
pub(crate) fn map(engine: &LaneEngine, code: &std::path::Path) -> wasmtime::Result<Component> {
    // SAFETY: the file comes from the shelf, which only this process writes to and which vouched for it just now:
    // it is what this version of wasmtime compiled for this configuration, and nobody wrote to it since.
    unsafe { Component::deserialize_file(&engine.engine, code) }
}

// === impl Disposal ===

impl Disposal {
    pub(crate) fn start() -> Result<Self> {
        let (to, from) = mpsc::sync_channel::<EntryPre>(1024);
        std::thread::Builder::new()
            .name("gust-unmap".to_owned())
            .spawn(move || from.into_iter().for_each(drop))
            .map_err(|e| Error::internal("cannot start the unmapping thread").because(e))?;
        Ok(Self(to))
    }

    /// Unmaps it soon; here and now when the thread cannot keep up.
    fn take(&self, entry: EntryPre) {
        let _ = self.0.try_send(entry);
    }
}

/// Work within limits of CPU and wall time.
struct Bounded<'a, T> {
    work: Pin<Box<dyn Future<Output = T> + Send + 'a>>,
    clock: CpuClock,
    cpu_limit: Duration,
    end: Instant,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// Why no instance came of it.
enum Over {
    Cpu,
    Wall,
    Failed(wasmtime::Error),
}

impl<T> Future for Bounded<'_, T> {
    type Output = (Result<T, Over>, Duration);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let work = &mut this.work;
        let polled = this.clock.time(|| work.as_mut().poll(cx));
        let spent = this.clock.total();
        if let Poll::Ready(output) = polled {
            return Poll::Ready((Ok(output), spent));
        }
        if spent >= this.cpu_limit {
            return Poll::Ready((Err(Over::Cpu), spent));
        }
        let end = this.end;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end.into())));
        timer.as_mut().poll(cx).map(|()| (Err(Over::Wall), spent))
    }
}
