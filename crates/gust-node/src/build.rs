//! Building the rooms, bottom up, and closing them, top down.

use std::{sync::Arc, time::Duration};

use gust_backend_local::{LocalBackends, LocalLedger};
use gust_control::{Control, Public};
use gust_dispatch::Dispatcher;
use gust_events::Events;
use gust_gateway::Gateway;
use gust_meter::{Ledger, Prices};
use gust_runtime::artifact::ArtifactFolder;
use gust_runtime_wasm::WasmRuntime;
use gust_telemetry::{GuestLogs, PathMetrics, Registry, registry::Shape};
use gust_types::{Error, Result};

use crate::{
    Settings,
    doors::{Counts, Doors},
    folder::DataFolder,
    output::Sink,
    sources,
};

/// Everything a node is made of.
pub(crate) struct Rooms {
    pub(crate) control: Control,
    pub(crate) artifacts: ArtifactFolder,
    pub(crate) logs: GuestLogs,
    pub(crate) scheme: &'static str,
    pub(crate) events: Events,
    pub(crate) doors: Doors,
    dispatcher: Dispatcher,
    ledger: Arc<LocalLedger>,
    telemetry: gust_telemetry::Guard,
    grace: Duration,
    // Last: it keeps other nodes out until everything above is closed.
    _folder: DataFolder,
}

// === impl Rooms ===

impl Rooms {
    /// Opens the data folder and builds every room on it.
    pub(crate) async fn build(settings: Settings) -> Result<(Self, Gateway)> {
        let wasm = settings.wasm()?;
        let folder = DataFolder::open(&settings.data)?;
        let mut telemetry = gust_telemetry::Guard::open(settings.otlp.as_ref())?;
        let artifacts = ArtifactFolder::open(folder.path("artifacts"))?;
        let logs = GuestLogs::open(folder.path("logs"), Default::default())?;
        let backends = Arc::new(LocalBackends::open(folder.path("data"))?);
        let ledger = LocalLedger::open(folder.path("ledger"), Default::default())?;
        let runtime =
            WasmRuntime::open(folder.path("prepared"), Arc::new(artifacts.clone()), wasm)?;
        let metrics = PathMetrics::new(telemetry.traces());
        telemetry.observe(&metrics)?;
        let mut registry = registry(metrics.clone(), &backends, &logs);
        let dispatcher = Dispatcher::new(
            settings.dispatch(folder.path("files")),
            gust_dispatch::Parts {
                runtime: Arc::new(runtime.clone()),
                backends: backends.clone(),
                meter: ledger.clone(),
                logs: Arc::new(Sink(logs.clone())),
                artifacts: Arc::new(artifacts.clone()),
                metrics: metrics.clone(),
            },
        );
        let events = Events::new(gust_events::Parts {
            dispatcher: dispatcher.clone(),
            backends: backends.clone(),
            sources: sources::sources(settings.blocked()?),
            callbacks: settings.callbacks()?,
        });
        count_deliveries(&mut registry, &events);
        let counts = Counts::default();
        counts.show(&mut registry);
        // Bound before control opens: its answers name the port.
        let gateway = Gateway::bind(
            settings.gateway(),
            dispatcher.clone(),
            Arc::new(artifacts.clone()),
            Some(events.later()),
            Arc::new(events.clone()),
            metrics,
        )?;
        let scheme = gateway.scheme();
        let parts = gust_control::Parts {
            dispatcher: dispatcher.clone(),
            runtime: Arc::new(runtime.clone()),
            artifacts: artifacts.clone(),
            backends: backends.clone(),
            later: events.later(),
            events: Arc::new(events.clone()),
            ledger: ledger.clone(),
            prices: prices(&settings)?,
            logs: logs.clone(),
            registry: Arc::new(registry),
            forget: Box::new(move |digest| runtime.forget(digest)),
        };
        let public = Public {
            scheme,
            port: Some(gateway.local_addr().port()),
        };
        let control = Control::open(parts, settings.control_plane(folder.root(), public)).await?;
        let doors = Doors::new(backends, Arc::new(control.clone()), &events);
        counts.of(&doors);
        let rooms = Self {
            doors,
            control,
            artifacts,
            logs,
            scheme,
            events,
            dispatcher,
            ledger,
            telemetry,
            grace: settings.grace.0,
            _folder: folder,
        };
        Ok((rooms, gateway))
    }
}

impl Rooms {
    /// Waits for what is still running, writes down what was counted and sends what was traced.
    pub(crate) async fn close(self) -> Result<()> {
        // What is under way is settled first: otherwise it would be done and delivered again.
        let end = gust_task::clock::now() + self.grace;
        let closed = tokio::time::timeout_at(end.into(), self.events.close());
        if closed.await.is_err() {
            tracing::warn!("deliveries were cut off at the end of the grace time; they come again");
        }
        let rest = end.saturating_duration_since(gust_task::clock::now());
        let left = self.dispatcher.drain(rest).await;
        if left > 0 {
            tracing::warn!(left, "calls were cut off at the end of the grace time");
        }
        let flushed = self.ledger.flush().await;
        if let Err(error) = self.logs.flush().await {
            tracing::warn!(%error, "the last lines of guests may be missing from their logs");
        }
        let telemetry = self.telemetry;
        let _ =
            tokio::task::spawn_blocking(move || telemetry.shutdown(Duration::from_secs(5))).await;
        flushed
    }
}

fn registry(metrics: PathMetrics, backends: &Arc<LocalBackends>, logs: &GuestLogs) -> Registry {
    let mut registry = Registry::new(metrics);
    let stats = backends.clone();
    registry.add(
        "kv_writes",
        "Acknowledged key-value writes",
        Shape::Counter,
        Box::new(move || stats.kv_stats().writes as f64),
    );
    let stats = backends.clone();
    registry.add(
        "kv_commits",
        "Syncs that key-value writes took",
        Shape::Counter,
        Box::new(move || stats.kv_stats().commits as f64),
    );
    let counts = logs.clone();
    registry.add(
        "log_dropped_bytes",
        "Guest output dropped",
        Shape::Counter,
        Box::new(move || counts.counts().dropped_bytes as f64),
    );
    registry.add(
        "task_panics",
        "Panics of the node's own tasks",
        Shape::Counter,
        Box::new(|| gust_task::panics() as f64),
    );
    registry
}

fn count_deliveries(registry: &mut Registry, events: &Events) {
    type Of = fn(gust_backend::desk::Counts) -> u64;
    let numbers: [(&str, &str, Shape, Of); 5] = [
        (
            "deliveries_in_flight",
            "Events with their function",
            Shape::Gauge,
            |counts| counts.in_flight,
        ),
        (
            "deliveries_done",
            "Events that their function took",
            Shape::Counter,
            |counts| counts.done,
        ),
        (
            "deliveries_retried",
            "Deliveries to be tried again",
            Shape::Counter,
            |counts| counts.retried,
        ),
        (
            "deliveries_refused",
            "Deliveries put back because the node had no room for the call",
            Shape::Counter,
            |counts| counts.refused,
        ),
        (
            "deliveries_dead",
            "Events given up",
            Shape::Counter,
            |counts| counts.dead,
        ),
    ];
    registry.add_histogram(
        "schedule_lateness",
        "From when a run of a schedule is due until it is written down",
        events.lateness(),
    );
    for (name, help, shape, of) in numbers {
        let events = events.clone();
        let source = move || of(events.counts()) as f64;
        registry.add(name, help, shape, Box::new(source));
    }
    let lag = events.clone();
    registry.add(
        "topic_lag",
        "Events of topics that their triggers have not looked at",
        Shape::Gauge,
        Box::new(move || lag.progress().lag as f64),
    );
    let missed = events.clone();
    registry.add(
        "topic_missed",
        "Events that topics forgot before the triggers that run came to them",
        Shape::Gauge,
        Box::new(move || missed.progress().missed as f64),
    );
}

fn prices(settings: &Settings) -> Result<Prices> {
    let Some(path) = &settings.prices else {
        return Ok(Prices::default());
    };
    let text = std::fs::read_to_string(path).map_err(|e| {
        Error::invalid(format!("cannot read the prices: {}", path.display())).because(e)
    })?;
    text.parse()
}
