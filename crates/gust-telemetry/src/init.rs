//! Our own log, and whether traces go anywhere. Called once, by the program.

use std::{io::IsTerminal as _, sync::Arc, time::Duration};

use gust_types::{Error, Result};
use serde::{Deserialize, Serialize};
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{
    otlp::{Exporter, Sender},
    path::PathMetrics,
    traces::Traces,
};

/// How the log reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object per line.
    Json,
}

/// Our own log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,gust_dispatch=debug`. Default `info`.
    pub level: String,
    /// `text` or `json`. Default `text`.
    pub format: Format,
}

/// Where and how traces and metrics are exported. Comes from the environment that OpenTelemetry defines.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// The URL that takes spans, such as `http://127.0.0.1:4318/v1/traces`.
    pub traces_endpoint: String,
    /// The URL that takes metrics, such as `http://127.0.0.1:4318/v1/metrics`, if any.
    pub metrics_endpoint: Option<String>,
    /// How often metrics are sent. Default 60 s.
    pub metrics_interval: Duration,
    /// Headers sent along, such as an API key.
    pub headers: Vec<(String, String)>,
    /// How long one export may take. Default 10 s.
    pub timeout: Duration,
    /// How long spans are collected before a batch goes out. Default 5 s.
    pub delay: Duration,
    /// `service.name`. Default `gust`.
    pub service_name: String,
    /// Further resource attributes.
    pub attributes: Vec<(String, String)>,
    /// The part of traces that start here and are recorded, 0 to 1; a caller who records is always followed. Default 1.
    pub sample_ratio: f64,
}

/// Keeps export going; ends it in order.
#[must_use = "export ends when this is dropped"]
pub struct Guard {
    exporter: Option<Arc<Exporter>>,
    otlp: Option<Otlp>,
    metrics: Option<Sender>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: Format::Text,
        }
    }
}

/// Starts the log on standard error and, when `otlp` is given, the export of traces.
pub fn init(settings: &Settings, otlp: Option<&Otlp>) -> Result<Guard> {
    let guard = Guard::open(otlp)?;
    let filter = EnvFilter::try_new(&settings.level).map_err(|e| {
        Error::invalid(format!("not a log level: {:?}", settings.level))
            .hint("use error, warn, info, debug or trace, or directives such as info,gust_dispatch=debug")
            .because(e)
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match settings.format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|e| Error::internal("the log was started twice").because(e))?;
    Ok(guard)
}

// === impl Guard ===

impl Guard {
    /// Starts the export of traces alone.
    pub fn open(otlp: Option<&Otlp>) -> Result<Self> {
        let exporter = otlp.map(Exporter::open).transpose()?.map(Arc::new);
        Ok(Self {
            exporter,
            otlp: otlp.cloned(),
            metrics: None,
        })
    }

    /// Exports these metrics too, when the settings say where to.
    pub fn observe(&mut self, path: &PathMetrics) -> Result<()> {
        if let (Some(exporter), Some(otlp)) = (&self.exporter, &self.otlp) {
            self.metrics = exporter.observe(otlp, path)?;
        }
        Ok(())
    }

    /// Where spans go, for [`crate::PathMetrics::new`].
    pub fn traces(&self) -> Traces {
        self.exporter.clone().map_or_else(Traces::off, Traces::to)
    }

    /// Sends what is queued, waiting up to `timeout`, and ends export. Blocks: not for async code.
    pub fn shutdown(mut self, timeout: Duration) {
        self.end(timeout);
    }

    fn end(&mut self, timeout: Duration) {
        // Metrics first: they leave through the exporter's thread.
        if let Some(metrics) = self.metrics.take() {
            metrics.shutdown(timeout);
        }
        if let Some(exporter) = self.exporter.take() {
            exporter.shutdown(timeout);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end(Duration::from_secs(2));
    }
}

// === impl Otlp ===

impl Otlp {
    /// Reads the variables that OpenTelemetry defines through `read`. `None` when no endpoint is set.
    pub fn from_env(read: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let read = |name: &str| read(name).filter(|value| !value.is_empty());
        if read("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let base = read("OTEL_EXPORTER_OTLP_ENDPOINT");
        let endpoint = |signal: &str| {
            let own = read(&format!(
                "OTEL_EXPORTER_OTLP_{}_ENDPOINT",
                signal.to_uppercase()
            ));
            let below = base.as_deref().map(|base| base.trim_end_matches('/'));
            own.or_else(|| below.map(|base| format!("{base}/v1/{signal}")))
        };
        let Some(traces_endpoint) = endpoint("traces") else {
            return Ok(None);
        };
        let metrics_endpoint = endpoint("metrics");
        check_endpoint(&traces_endpoint)?;
        metrics_endpoint.as_deref().map_or(Ok(()), check_endpoint)?;
        if let Some(protocol) = read("OTEL_EXPORTER_OTLP_PROTOCOL")
            && protocol != "http/protobuf"
        {
            let why =
                format!("cannot export traces with OTEL_EXPORTER_OTLP_PROTOCOL: {protocol:?}");
            return Err(
                Error::invalid(why).hint("use http/protobuf; collectors take it on port 4318")
            );
        }
        let sampler = read("OTEL_TRACES_SAMPLER").unwrap_or_default();
        let argument = read("OTEL_TRACES_SAMPLER_ARG");
        Ok(Some(Self {
            traces_endpoint,
            metrics_endpoint,
            metrics_interval: millis(read("OTEL_METRIC_EXPORT_INTERVAL"), 60_000),
            headers: pairs(&read("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default()),
            timeout: millis(read("OTEL_EXPORTER_OTLP_TIMEOUT"), 10_000),
            delay: millis(read("OTEL_BSP_SCHEDULE_DELAY"), 5_000),
            service_name: read("OTEL_SERVICE_NAME").unwrap_or_else(|| "gust".to_owned()),
            attributes: pairs(&read("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default()),
            sample_ratio: ratio(&sampler, argument.as_deref())?,
        }))
    }
}

fn check_endpoint(url: &str) -> Result<()> {
    let ok = url.parse::<http::Uri>().is_ok_and(|uri| {
        uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"))
    });
    if ok {
        return Ok(());
    }
    Err(
        Error::invalid(format!("not an endpoint for traces: {url:?}"))
            .hint("set OTEL_EXPORTER_OTLP_ENDPOINT to something like http://127.0.0.1:4318"),
    )
}

fn ratio(sampler: &str, argument: Option<&str>) -> Result<f64> {
    match sampler.strip_prefix("parentbased_").unwrap_or(sampler) {
        "" | "always_on" => Ok(1.0),
        "always_off" => Ok(0.0),
        "traceidratio" => argument
            .unwrap_or("1")
            .parse()
            .ok()
            .filter(|ratio| (0.0..=1.0).contains(ratio))
            .ok_or_else(|| {
                Error::invalid(format!(
                    "OTEL_TRACES_SAMPLER_ARG is not between 0 and 1: {:?}",
                    argument.unwrap_or_default()
                ))
            }),
        _ => Err(
            Error::invalid(format!("unknown OTEL_TRACES_SAMPLER: {sampler:?}")).hint(
                "use always_on, always_off or traceidratio, each also with parentbased_ in front",
            ),
        ),
    }
}

fn millis(text: Option<String>, default: u64) -> Duration {
    Duration::from_millis(text.and_then(|t| t.parse().ok()).unwrap_or(default))
}

/// `name=value,name=value`; values may be percent-encoded.
fn pairs(text: &str) -> Vec<(String, String)> {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| {
            let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8_lossy();
            (name.trim().to_owned(), value.into_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests;
