//! Export of spans to an OpenTelemetry collector: OTLP over HTTP, protobuf, in batches, from threads of its own.
//!
//! The SDK's batch processor runs its exporter on a plain thread without a reactor, and the client needs one: so the
//! client runs on a small runtime that belongs to the exporter, and the processor's thread only waits for it.

mod metrics;

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use gust_types::{Error, Result, call::Trace};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanProcessor as _},
};
use parking_lot::Mutex;

pub(crate) use metrics::Sender;

use crate::{
    init::Otlp,
    path::{PathMetrics, Stage},
    traces::{CallSpan, Ended},
};

/// A collector's answer is a line or two; more is not read.
const MAX_ANSWER: usize = 64 * 1024;

/// Spans on their way to a collector. The queue is bounded; spans that find it full are dropped and counted.
pub(crate) struct Exporter {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    /// The same moment on both clocks, since stages are measured on the monotonic one.
    anchor: (Instant, SystemTime),
    /// Trace ids whose lower half is below this are recorded.
    threshold: u64,
    runtime: Mutex<Option<tokio::runtime::Runtime>>,
}

// === impl Exporter ===

impl Exporter {
    pub(crate) fn open(settings: &Otlp) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("gust-otlp")
            .enable_all()
            .build()
            .map_err(|e| Error::internal("cannot start the exporter's thread").because(e))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Wire::new(runtime.handle().clone(), settings.timeout))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&settings.traces_endpoint)
            .with_timeout(settings.timeout)
            .with_headers(settings.headers.iter().cloned().collect())
            .build()
            .map_err(|e| {
                let to = &settings.traces_endpoint;
                Error::invalid(format!("cannot export traces to: {to}")).because(e)
            })?;
        let batch = BatchConfigBuilder::default()
            .with_scheduled_delay(settings.delay)
            .with_max_queue_size(8192)
            .build();
        let mut processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batch)
            .build();
        processor.set_resource(&resource(settings));
        Ok(Self {
            processor,
            scope: InstrumentationScope::builder("gust").build(),
            anchor: (gust_task::clock::now(), system_now()),
            threshold: (settings.sample_ratio.clamp(0.0, 1.0) * u64::MAX as f64) as u64,
            runtime: Mutex::new(Some(runtime)),
        })
    }

    /// Sends the path's metrics as well, when there is somewhere to.
    pub(crate) fn observe(&self, settings: &Otlp, path: &PathMetrics) -> Result<Option<Sender>> {
        let handle = self
            .runtime
            .lock()
            .as_ref()
            .map(|runtime| runtime.handle().clone());
        let (Some(handle), Some(to)) = (handle, &settings.metrics_endpoint) else {
            return Ok(None);
        };
        let wire = Wire::new(handle, settings.timeout);
        Sender::open(settings, to, wire, path).map(Some)
    }

    pub(crate) fn samples(&self, trace_id: u128) -> bool {
        self.threshold == u64::MAX || (trace_id as u64) < self.threshold
    }

    pub(crate) fn stage(&self, stage: Stage, trace: &Trace, started: Instant, ended: Instant) {
        let span = self.span(
            stage.as_str().into(),
            Ids {
                trace: trace.trace_id,
                span: gust_task::ids::random_u64(),
                parent: trace.parent,
                remote: false,
            },
            (started, ended),
        );
        self.processor.on_end(span);
    }

    pub(crate) fn call(&self, call: &CallSpan, ended: &Ended<'_>, at: Instant) {
        let name = match ended.function {
            Some(function) => format!("{} {function}", ended.method),
            None => ended.method.to_owned(),
        };
        let ids = Ids {
            trace: call.trace.trace_id,
            span: call.trace.parent,
            parent: call.parent,
            remote: call.parent != 0,
        };
        let mut span = self.span(name.into(), ids, (call.started, at));
        span.span_kind = SpanKind::Server;
        span.attributes = attributes(ended);
        if ended.status >= 500 || ended.status == 0 {
            span.status = Status::error("");
        }
        self.processor.on_end(span);
    }

    fn span(
        &self,
        name: std::borrow::Cow<'static, str>,
        ids: Ids,
        (started, ended): (Instant, Instant),
    ) -> SpanData {
        SpanData {
            span_context: SpanContext::new(
                TraceId::from_bytes(ids.trace.to_be_bytes()),
                SpanId::from_bytes(ids.span.to_be_bytes()),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: SpanId::from_bytes(ids.parent.to_be_bytes()),
            parent_span_is_remote: ids.remote,
            span_kind: SpanKind::Internal,
            name,
            start_time: self.system(started),
            end_time: self.system(ended),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }

    fn system(&self, at: Instant) -> SystemTime {
        let (instant, system) = self.anchor;
        match at.checked_duration_since(instant) {
            Some(later) => system + later,
            None => system - instant.duration_since(at),
        }
    }

    /// Sends what is queued and ends. Blocks up to the timeout.
    pub(crate) fn shutdown(&self, timeout: Duration) {
        if let Err(error) = self.processor.shutdown_with_timeout(timeout) {
            tracing::warn!(%error, "the last spans may not have reached the collector");
        }
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // A runtime must not be dropped where blocking is not allowed, and nobody knows where we are dropped.
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}

struct Ids {
    trace: u128,
    span: u64,
    parent: u64,
    remote: bool,
}

fn attributes(ended: &Ended<'_>) -> Vec<KeyValue> {
    let mut found = vec![
        KeyValue::new("http.request.method", ended.method.to_owned()),
        KeyValue::new("url.path", ended.path.to_owned()),
        KeyValue::new("http.response.status_code", i64::from(ended.status)),
    ];
    if let Some(key) = ended.function {
        found.push(KeyValue::new("gust.project", key.project.to_string()));
        found.push(KeyValue::new("gust.app", key.app.to_string()));
        found.push(KeyValue::new("faas.name", key.function.to_string()));
    }
    found
}

fn resource(settings: &Otlp) -> Resource {
    let attributes = settings
        .attributes
        .iter()
        .map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_attributes(attributes)
        .with_attribute(KeyValue::new("service.name", settings.service_name.clone()))
        .build()
}

fn system_now() -> SystemTime {
    std::time::UNIX_EPOCH + Duration::from_micros(gust_task::clock::unix_micros())
}

// === the client ===

/// An HTTP client that runs on the exporter's own runtime, whoever waits for it.
struct Wire {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: tokio::runtime::Handle,
    timeout: Duration,
}

impl Wire {
    fn new(runtime: tokio::runtime::Handle, timeout: Duration) -> Self {
        let provider = rustls::crypto::ring::default_provider();
        let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        let tls = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .map(|builder| {
                builder
                    .with_root_certificates(rustls::RootCertStore { roots })
                    .with_no_client_auth()
            });
        let connector = hyper_rustls::HttpsConnectorBuilder::new();
        let connector = match tls {
            Ok(tls) => connector.with_tls_config(tls),
            // Unreachable with a provider that knows TLS 1.2 and 1.3; falls back to the connector's own choice.
            Err(_) => connector.with_webpki_roots(),
        };
        let connector = connector.https_or_http().enable_http1().build();
        let client = Client::builder(hyper_util::rt::TokioExecutor::new()).build(connector);
        Self {
            client,
            runtime,
            timeout,
        }
    }
}

#[async_trait]
impl HttpClient for Wire {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, timeout) = (self.client.clone(), self.timeout);
        let exchange = async move {
            let answer = client.request(request.map(Full::new)).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await?;
            Ok::<_, HttpError>(Response::from_parts(head, body.to_bytes()))
        };
        self.runtime
            .spawn(async move { tokio::time::timeout(timeout, exchange).await })
            .await??
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}
