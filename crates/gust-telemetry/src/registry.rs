//! Everything that a scrape of `/metrics` shows, as OpenMetrics text.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

use crate::{
    families::{Families, FamiliesCollector, Group, GroupCollector},
    histogram::{Histogram, Snapshot},
    path::{FunctionMetrics, Gauge, PathMetrics, Stage},
    process::Process,
};

/// What `/metrics` says its content is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A number asked for at each scrape.
pub type Source = Box<dyn Fn() -> f64 + Send + Sync>;

/// Things of a kind, asked for at each scrape.
pub type GroupSource = Box<dyn Fn() -> Group + Send + Sync>;

/// What a scrape shows.
pub struct Registry {
    inner: prometheus_client::registry::Registry,
    families: Families,
}

/// Whether a number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// It only grows; `_total` is added to its name.
    Counter,
    /// It goes up and down.
    Gauge,
}

// === impl Shape ===

impl Shape {
    pub(crate) fn kind(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
        }
    }
}

// === impl Registry ===

impl Registry {
    /// The path's metrics and the process's own.
    pub fn new(path: PathMetrics) -> Self {
        let mut inner = prometheus_client::registry::Registry::with_prefix("gust");
        inner.register_collector(Box::new(PathCollector(path)));
        inner.register_collector(Box::new(ProcessCollector));
        let families = Families::default();
        inner.register_collector(Box::new(FamiliesCollector(families.clone())));
        Self { inner, families }
    }

    /// Adds a number of another room, asked for at each scrape. The name gets `gust_` in front.
    pub fn add(&mut self, name: &'static str, help: &'static str, shape: Shape, source: Source) {
        self.inner.register_collector(Box::new(Asked {
            name,
            help,
            shape,
            source: Arc::new(source),
        }));
    }

    /// Adds a histogram of another room. The name gets `gust_` in front and `_seconds` behind it.
    pub fn add_histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        histogram: Arc<Histogram>,
    ) {
        self.inner.register_collector(Box::new(Durations {
            name,
            help,
            histogram,
        }));
    }

    /// Adds things of a kind with their numbers, asked for at each scrape.
    pub fn add_group(&mut self, source: GroupSource) {
        self.inner
            .register_collector(Box::new(GroupCollector(source)));
    }

    /// What it shows of queues, topics and triggers: whoever counts them puts it in.
    pub fn families(&self) -> &Families {
        &self.families
    }

    /// The text of a scrape.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        if let Err(error) = text::encode(&mut out, &self.inner) {
            // Writing to a string does not fail; an encoder might, and then half a scrape is worse than none.
            tracing::error!(%error, "cannot write the metrics");
            out.clear();
        }
        out
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

// === the collectors ===

#[derive(Debug)]
struct PathCollector(PathMetrics);

impl Collector for PathCollector {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let path = self.0.inner();
        stages(&mut to, path)?;
        for gauge in Gauge::ALL {
            let (name, help) = gauge.describe();
            one(
                &mut to,
                name,
                help,
                Shape::Gauge,
                self.0.gauge(gauge) as f64,
            )?;
        }
        let functions = path.touched();
        calls(&mut to, &functions)?;
        totals(&mut to, &functions)?;
        refused(&mut to, path, &functions)
    }
}

fn stages(to: &mut DescriptorEncoder<'_>, path: &crate::path::Inner) -> fmt::Result {
    let mut family = to.encode_descriptor(
        "stage",
        "Time that a stage of the path took",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for stage in Stage::ALL {
        let Snapshot {
            buckets,
            count,
            sum,
        } = path.stages[stage as usize].snapshot();
        family
            .encode_family(&[("stage", stage.as_str())])?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
    }
    Ok(())
}

fn calls(to: &mut DescriptorEncoder<'_>, functions: &[FunctionMetrics]) -> fmt::Result {
    let mut family = to.encode_descriptor("calls", "Settled calls", None, MetricType::Counter)?;
    for function in functions {
        let [project, app, name] = labels(function);
        for (outcome, start, trigger, n) in function.counters().into_iter().flat_map(|c| c.calls())
        {
            let labels = [
                project,
                app,
                name,
                ("outcome", outcome),
                ("start", start),
                ("trigger", trigger),
            ];
            ConstCounter::new(n).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn totals(to: &mut DescriptorEncoder<'_>, functions: &[FunctionMetrics]) -> fmt::Result {
    type Read = fn(&crate::path::Counters) -> f64;
    let seconds = |us: u64| us as f64 / 1e6;
    let table: [(&str, &str, Read); 5] = [
        ("call_wall_seconds", "Time from accept to settle", |c| {
            c.wall_us.load(Relaxed) as f64
        }),
        (
            "call_cpu_seconds",
            "Time that guests were really running",
            |c| c.cpu_us.load(Relaxed) as f64,
        ),
        (
            "call_memory_mb_ms",
            "Memory peak times the time the guest held it",
            |c| c.memory_mb_ms.load(Relaxed) as f64,
        ),
        ("call_bytes_in", "Request body bytes given to guests", |c| {
            c.bytes_in.load(Relaxed) as f64
        }),
        (
            "call_bytes_out",
            "Response body bytes handed to callers",
            |c| c.bytes_out.load(Relaxed) as f64,
        ),
    ];
    for (name, help, read) in table {
        let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
        for function in functions {
            let Some(counters) = function.counters() else {
                continue;
            };
            let value = match name.ends_with("_seconds") {
                true => seconds(read(counters) as u64),
                false => read(counters),
            };
            ConstCounter::new(value).encode(family.encode_family(&labels(function))?)?;
        }
    }
    Ok(())
}

fn refused(
    to: &mut DescriptorEncoder<'_>,
    path: &crate::path::Inner,
    functions: &[FunctionMetrics],
) -> fmt::Result {
    let help = "Calls turned away before an instance was involved";
    let mut family = to.encode_descriptor("calls_refused", help, None, MetricType::Counter)?;
    for (why, n) in path.refused() {
        ConstCounter::new(n).encode(family.encode_family(&[("reason", why.as_str())])?)?;
    }
    for function in functions {
        let [project, app, name] = labels(function);
        for (why, n) in function.counters().into_iter().flat_map(|c| c.refused()) {
            let labels = [project, app, name, ("reason", why.as_str())];
            ConstCounter::new(n).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn labels(function: &FunctionMetrics) -> [(&'static str, &str); 3] {
    let key = function.key();
    [
        ("project", key.project.as_str()),
        ("app", key.app.as_str()),
        ("function", key.function.as_str()),
    ]
}

#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        use Shape::{Counter, Gauge};
        let Some(read) = Process::read() else {
            return Ok(());
        };
        let (resident, virt) = (read.resident_bytes as f64, read.virtual_bytes as f64);
        let (fds, threads) = (read.open_fds as f64, read.threads as f64);
        let to = &mut to;
        one(
            to,
            "process_resident_memory_bytes",
            "Resident memory",
            Gauge,
            resident,
        )?;
        one(
            to,
            "process_virtual_memory_bytes",
            "Mapped address space",
            Gauge,
            virt,
        )?;
        one(to, "process_open_fds", "Open file descriptors", Gauge, fds)?;
        one(to, "process_threads", "Threads", Gauge, threads)?;
        let help = "CPU time, user and system";
        one(to, "process_cpu_seconds", help, Counter, read.cpu_seconds)
    }
}

struct Asked {
    name: &'static str,
    help: &'static str,
    shape: Shape,
    source: Arc<Source>,
}

impl Collector for Asked {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        one(&mut to, self.name, self.help, self.shape, (self.source)())
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[derive(Debug)]
struct Durations {
    name: &'static str,
    help: &'static str,
    histogram: Arc<Histogram>,
}

impl Collector for Durations {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let Snapshot {
            buckets,
            count,
            sum,
        } = self.histogram.snapshot();
        to.encode_descriptor(
            self.name,
            self.help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?
        .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

/// A metric without labels.
fn one(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    shape: Shape,
    value: f64,
) -> fmt::Result {
    number(
        to.encode_descriptor(name, help, None, shape.kind())?,
        shape,
        value,
    )
}

/// One number of a metric.
pub(crate) fn number(to: MetricEncoder<'_>, shape: Shape, value: f64) -> fmt::Result {
    // Whole numbers are written without a fraction.
    let whole = value.fract() == 0.0 && value.abs() < 9e15;
    match shape {
        Shape::Counter if whole => ConstCounter::new(value as u64).encode(to),
        Shape::Counter => ConstCounter::new(value).encode(to),
        Shape::Gauge if whole => ConstGauge::new(value as i64).encode(to),
        Shape::Gauge => ConstGauge::new(value).encode(to),
    }
}
