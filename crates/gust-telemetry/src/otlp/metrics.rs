//! The path's metrics on their way to a collector, as sums and gauges: histograms of stages are for the scrape.
//!
//! The SDK keeps a bounded number of attribute sets per instrument and folds the rest into one, so that functions are
//! counted by outcome alone here; the scrape has every label.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use gust_types::{Error, Result};
use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter, MeterProvider as _},
};
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};

use super::{Wire, resource};
use crate::{
    init::Otlp,
    path::{FunctionMetrics, Gauge, PathMetrics},
};

/// Metrics that are sent every now and then until shut down.
pub(crate) struct Sender(SdkMeterProvider);

// === impl Sender ===

impl Sender {
    pub(super) fn open(settings: &Otlp, to: &str, wire: Wire, path: &PathMetrics) -> Result<Self> {
        let exporter = MetricExporter::builder()
            .with_http()
            .with_http_client(wire)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(to)
            .with_timeout(settings.timeout)
            .with_headers(settings.headers.iter().cloned().collect())
            .build()
            .map_err(|e| Error::invalid(format!("cannot export metrics to: {to}")).because(e))?;
        let reader = PeriodicReader::builder(exporter)
            .with_interval(settings.metrics_interval)
            .build();
        let provider = SdkMeterProvider::builder()
            .with_resource(resource(settings))
            .with_reader(reader)
            .build();
        register(&provider.meter("gust"), path);
        Ok(Self(provider))
    }

    /// Sends what is there and ends. Blocks up to the timeout.
    pub(crate) fn shutdown(&self, timeout: Duration) {
        if let Err(error) = self.0.shutdown_with_timeout(timeout) {
            tracing::warn!(%error, "the last metrics may not have reached the collector");
        }
    }
}

fn register(meter: &Meter, path: &PathMetrics) {
    let metrics = path.clone();
    meter
        .u64_observable_counter("gust.calls")
        .with_description("Settled calls")
        .with_callback(move |to| {
            each_function(&metrics, |function, labels| calls(function, labels, to));
        })
        .build();
    let metrics = path.clone();
    meter
        .f64_observable_counter("gust.call.cpu")
        .with_description("Time that guests were really running")
        .with_unit("s")
        .with_callback(move |to| {
            each_function(&metrics, |function, labels| {
                let us = function.counters().map_or(0, |c| c.cpu_us.load(Relaxed));
                to.observe(us as f64 / 1e6, labels);
            });
        })
        .build();
    let metrics = path.clone();
    meter
        .u64_observable_counter("gust.calls.refused")
        .with_description("Calls turned away before an instance was involved")
        .with_callback(move |to| {
            for (why, n) in metrics.inner().refused_by_all() {
                to.observe(n, &[KeyValue::new("reason", why.as_str())]);
            }
        })
        .build();
    for gauge in Gauge::ALL {
        let metrics = path.clone();
        let (name, help) = gauge.describe();
        meter
            .i64_observable_gauge(format!("gust.{name}"))
            .with_description(help)
            .with_callback(move |to| to.observe(metrics.gauge(gauge), &[]))
            .build();
    }
}

fn each_function(metrics: &PathMetrics, mut look: impl FnMut(&FunctionMetrics, &[KeyValue])) {
    for function in metrics.inner().touched() {
        let key = function.key();
        let labels = [
            KeyValue::new("gust.project", key.project.to_string()),
            KeyValue::new("gust.app", key.app.to_string()),
            KeyValue::new("faas.name", key.function.to_string()),
        ];
        look(&function, &labels);
    }
}

fn calls(function: &FunctionMetrics, labels: &[KeyValue], to: &dyn AsyncInstrument<u64>) {
    let mut by_outcome = std::collections::BTreeMap::<_, u64>::new();
    for (outcome, _, _, n) in function.counters().into_iter().flat_map(|c| c.calls()) {
        *by_outcome.entry(outcome).or_default() += n;
    }
    for (outcome, n) in by_outcome {
        let outcome = KeyValue::new("outcome", outcome);
        to.observe(n, &[labels, &[outcome]].concat());
    }
}
