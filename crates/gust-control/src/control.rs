//! The control plane as one thing: what it is made of, how it opens, restores and keeps itself in order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gust_backend::{
    Backends,
    desk::{Desk, Later},
};
use gust_dispatch::Dispatcher;
use gust_meter::{BudgetKeeper, Ledger, Prices};
use gust_runtime::{Runtime, artifact::ArtifactFolder};
use gust_task::{Stop, clock, reconcile};
use gust_telemetry::{GuestLogs, Registry};
use gust_types::{Digest, Error, ProjectName, Result};
use parking_lot::Mutex;
use tokio::sync::{RwLock, Semaphore};

use crate::{
    garbage::Garbage,
    keys::Keys,
    locks::AppLocks,
    publish,
    seal::Seal,
    settings::Settings,
    store::{Store, money, projects},
    token::Tokens,
};

/// Deploys that compile at once; each already uses every core.
const DEPLOYS: usize = 2;
/// Deploys that wait, compile or publish at once, each with its app's description in memory.
const PENDING: usize = 64;
/// Uploads at once.
const UPLOADS: usize = 16;
/// Requests of the API under way at once.
const REQUESTS: usize = 256;
/// How often artifacts that nothing needs are looked for.
const GARBAGE_PERIOD: Duration = Duration::from_secs(300);

/// What control needs from other rooms.
pub struct Parts {
    /// Serves what is published.
    pub dispatcher: Dispatcher,
    /// Prepares artifacts.
    pub runtime: Arc<dyn Runtime>,
    /// Keeps artifacts.
    pub artifacts: ArtifactFolder,
    /// Opens buckets.
    pub backends: Arc<dyn Backends>,
    /// Keeps queues and runs triggers.
    pub events: Arc<dyn Desk>,
    /// Makes calls later.
    pub later: Arc<dyn Later>,
    /// Knows what was used.
    pub ledger: Arc<dyn Ledger>,
    /// Turns usage into money.
    pub prices: Prices,
    /// Keeps what guests wrote.
    pub logs: GuestLogs,
    /// What `/metrics` shows.
    pub registry: Arc<Registry>,
    /// Told of each artifact that was removed, so that what was prepared from it goes too.
    pub forget: Box<dyn Fn(&Digest) + Send + Sync>,
}

/// The control plane. Clones are handles to the same one.
#[derive(Clone)]
pub struct Control(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) parts: Parts,
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) seal: Seal,
    pub(crate) tokens: Tokens,
    pub(crate) keys: Keys,
    pub(crate) keeper: Arc<BudgetKeeper>,
    pub(crate) locks: AppLocks,
    pub(crate) deploys: Semaphore,
    pub(crate) pending: Semaphore,
    pub(crate) uploads: Semaphore,
    pub(crate) requests: Semaphore,
    /// Held for reading while a deploy relies on artifacts, for writing while some are removed.
    pub(crate) needed: RwLock<()>,
    pub(crate) started_us: u64,
    /// When queues, topics and triggers were last counted for `/metrics`.
    pub(crate) counted: tokio::sync::Mutex<Option<std::time::Instant>>,
    ready: AtomicBool,
    pub(crate) loops: Mutex<Vec<reconcile::Handle>>,
    /// Apps that could not be served after a start, and why.
    pub(crate) rejected: Mutex<Vec<String>>,
    /// Ends streams that would go on for ever.
    pub(crate) stop: Stop,
}

// === impl Control ===

impl Control {
    /// Opens the control plane on its data folder, which nobody else may hold.
    pub async fn open(parts: Parts, settings: Settings) -> Result<Self> {
        let now_us = clock::unix_micros();
        let (store, seal, tokens) = match &settings.data {
            Some(data) => {
                let store = Store::open(Some(&data.join("control.db")))?;
                let seal = Seal::open(&data.join("key"))?;
                let tokens = Tokens::open(&store, &data.join("token"), now_us).await?;
                (store, seal, tokens)
            }
            None => (Store::open(None)?, Seal::ephemeral()?, Tokens::none()),
        };
        let keys = Keys::open(&store, &seal).await?;
        let dispatcher = parts.dispatcher.clone();
        let keeper = BudgetKeeper::new(parts.ledger.clone(), parts.prices.clone(), move |found| {
            dispatcher.set_refusal(&found.project, found.refusal());
        });
        for (project, budget) in store.read(money::all).await? {
            keeper.set(project, Some(budget));
        }
        Ok(Self(Arc::new(Inner {
            parts,
            settings,
            store,
            seal,
            tokens,
            keys,
            keeper: Arc::new(keeper),
            locks: AppLocks::default(),
            deploys: Semaphore::new(DEPLOYS),
            pending: Semaphore::new(PENDING),
            uploads: Semaphore::new(UPLOADS),
            requests: Semaphore::new(REQUESTS),
            needed: RwLock::new(()),
            started_us: now_us,
            counted: tokio::sync::Mutex::default(),
            ready: AtomicBool::new(false),
            loops: Mutex::default(),
            rejected: Mutex::default(),
            stop: Stop::new(),
        })))
    }

    /// Serves what served when the node last ran, budgets first. Answers how many functions that is; apps that cannot be
    /// served are named in the status and in the log, and do not stop the others.
    pub async fn restore(&self) -> Result<usize> {
        self.0.keeper.evaluate(clock::unix_micros());
        let (deployments, mut rejected) = publish::stored(self).await?;
        let functions: usize = deployments.iter().map(|d| d.functions.len()).sum();
        for left in self.0.parts.dispatcher.replace_all(deployments) {
            rejected.push((left.project, left.app, left.error));
        }
        let left_out = rejected.iter();
        let left_out = left_out.map(|(project, app, _)| (project.clone(), app.clone()));
        let projects = self.0.store.read(projects::list).await?;
        let projects = projects.into_iter().map(|project| project.name);
        let events = &self.0.parts.events;
        events.restored(projects.collect(), left_out.collect());
        for (project, app, error) in &rejected {
            tracing::error!(%project, %app, error = error.chain(), "an app is not served");
        }
        let lines = rejected
            .iter()
            .map(|(project, app, error)| format!("app is not served: {project}/{app}: {error}"));
        *self.0.rejected.lock() = lines.collect();
        self.0.ready.store(true, Ordering::Release);
        Ok(functions)
    }

    /// Starts the loops that keep things in order; they end with `stop`.
    pub fn start(&self, stop: &Stop) {
        let keeper: Arc<dyn gust_task::Reconcile> = self.0.keeper.clone();
        self.watch(reconcile::drive(keeper, BudgetKeeper::PERIOD, stop.clone()));
        let garbage = Arc::new(Garbage(self.clone()));
        self.watch(reconcile::drive(garbage, GARBAGE_PERIOD, stop.clone()));
        let (ours, stop) = (self.0.stop.clone(), stop.clone());
        gust_task::spawn("control stop", async move {
            stop.stopped().await;
            ours.stop();
        });
    }

    /// Shows another room's loop in the status.
    pub fn watch(&self, running: reconcile::Handle) {
        self.0.loops.lock().push(running);
    }

    /// True once what was deployed before is served.
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    /// Runs a change to its end, whether or not the one who asked still waits.
    pub(crate) async fn whole<T: Send + 'static>(
        &self,
        name: &'static str,
        change: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match gust_task::spawn(name, change).await {
            Ok(Some(result)) => result,
            Ok(None) => Err(Error::internal(format!("a task panicked: {name}"))),
            Err(e) => Err(Error::unavailable("the node is stopping").because(e)),
        }
    }

    /// Whether there is such a project.
    pub(crate) async fn must_have(&self, project: &ProjectName) -> Result<()> {
        let project = project.clone();
        self.0
            .store
            .read(move |db| projects::id(db, &project).map(|_| ()))
            .await
    }
}
