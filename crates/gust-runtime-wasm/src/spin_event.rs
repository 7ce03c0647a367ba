//! The handlers of Spin's triggers besides HTTP: a message or a time in, done or failed out.
//!
//! An event is delivered as a request. Its body is the message, `ce-subject` the topic, `ce-time` the time; a handler that
//! is done has answered 200, one that fails 500, so that the trigger's retries are for it as for any function.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use percent_encoding::percent_decode_str;
use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, ComponentType, Instance, Lift, Lower, TypedFunc},
};
use wasmtime_wasi_http::WasiBody;

use crate::{
    contract::Contract,
    drive::Exit,
    fault::Fault,
    guest::Guest,
    live::{Entry, Live},
    work::Job,
};

/// `fermyon:spin/redis-types.error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[expect(
    dead_code,
    reason = "guests make them: they are lifted by their number"
)]
pub(crate) enum RedisError {
    #[component(name = "success")]
    Success,
    #[component(name = "error")]
    Error,
}

/// `spin:redis/redis.error`.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum Redis03Error {
    #[component(name = "invalid-address")]
    InvalidAddress,
    #[component(name = "too-many-connections")]
    TooManyConnections,
    #[component(name = "type-error")]
    TypeError,
    #[component(name = "other")]
    Other(String),
}

/// `error` of the cron and mqtt triggers.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum OtherError {
    #[component(name = "other")]
    Other(String),
}

/// `fermyon:spin-cron/cron-types.metadata`.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct CronMetadata {
    timestamp: u64,
}

/// `spin:mqtt-trigger/spin-mqtt-types.metadata`.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct MqttMetadata {
    topic: String,
}

type Message<E> = TypedFunc<(Vec<u8>,), (Result<(), E>,)>;
type MqttMessage = TypedFunc<(Vec<u8>, MqttMetadata), (Result<(), OtherError>,)>;

/// The typed way in.
#[derive(Clone)]
pub(crate) enum Handler {
    Redis(Message<RedisError>),
    Redis03(Message<Redis03Error>),
    Cron(TypedFunc<(CronMetadata,), (Result<(), OtherError>,)>),
    Mqtt(MqttMessage),
}

/// Where the function is in the component: by itself, or in an interface.
pub(crate) fn index(component: &Component, export: &str) -> wasmtime::Result<ComponentExportIndex> {
    let found = component.get_export_index(None, export);
    let found = match export.contains('/') {
        true => found
            .and_then(|interface| component.get_export_index(Some(&interface), "handle-message")),
        false => found,
    };
    found.ok_or_else(|| wasmtime::format_err!("no function to handle a message in {export}"))
}

/// Serves a call until the guest returns.
pub(crate) async fn run(mut live: Live, job: Job) -> Exit {
    let result = serve(&mut live, job).await;
    Exit { live, result }
}

async fn serve(live: &mut Live, job: Job) -> wasmtime::Result<()> {
    let Entry::SpinEvent(handler) = &live.entry else {
        return Ok(());
    };
    let handler = handler.clone();
    let Job {
        request,
        context,
        seat,
    } = job;
    live.store.data_mut().enter(context);
    let (parts, body) = request.into_parts();
    // Limited in size by whoever made the call.
    let message = match body.collect().await {
        Ok(body) => Vec::from(body.to_bytes()),
        Err(error) => {
            seat.put(Err(Fault::request(&error)));
            return Ok(());
        }
    };
    let failed = handler.call(live, message, &parts.headers).await?;
    seat.put(Ok(answer(failed)));
    Ok(())
}

// === impl Handler ===

impl Handler {
    pub(crate) fn find(
        instance: &Instance,
        store: &mut Store<Guest>,
        index: &ComponentExportIndex,
        contract: Contract,
    ) -> wasmtime::Result<Self> {
        Ok(match contract {
            Contract::SpinRedis => Self::Redis(instance.get_typed_func(store, index)?),
            Contract::SpinRedis03 => Self::Redis03(instance.get_typed_func(store, index)?),
            Contract::SpinCron => Self::Cron(instance.get_typed_func(store, index)?),
            Contract::SpinMqtt => Self::Mqtt(instance.get_typed_func(store, index)?),
            other => wasmtime::bail!("no handler of events: {other:?}"),
        })
    }

    /// What it failed with, if it did.
    async fn call(
        &self,
        live: &mut Live,
        message: Vec<u8>,
        headers: &HeaderMap,
    ) -> wasmtime::Result<Option<String>> {
        let store = &mut live.store;
        Ok(match self {
            Self::Redis(function) => {
                let (ended,) = function.call_async(store, (message,)).await?;
                ended.err().map(|error| format!("{error:?}").to_lowercase())
            }
            Self::Redis03(function) => {
                let (ended,) = function.call_async(store, (message,)).await?;
                ended.err().map(|error| match error {
                    Redis03Error::Other(text) => text,
                    other => format!("{other:?}"),
                })
            }
            Self::Cron(function) => {
                let timestamp = seconds(headers);
                let metadata = CronMetadata { timestamp };
                let (ended,) = function.call_async(store, (metadata,)).await?;
                ended.err().map(|OtherError::Other(text)| text)
            }
            Self::Mqtt(function) => {
                let topic = text(headers, "ce-subject");
                let metadata = MqttMetadata { topic };
                let (ended,) = function.call_async(store, (message, metadata)).await?;
                ended.err().map(|OtherError::Other(text)| text)
            }
        })
    }
}

/// A header of an event, without its escapes; empty when there is none.
fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    let value = percent_decode_str(value.unwrap_or_default());
    value.decode_utf8_lossy().into_owned()
}

/// The time of an event, or of now, in seconds since 1970.
fn seconds(headers: &HeaderMap) -> u64 {
    let time = humantime::parse_rfc3339(&text(headers, "ce-time")).ok();
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let now = || Duration::from_micros(gust_task::clock::unix_micros());
    since.unwrap_or_else(now).as_secs()
}

fn answer(failed: Option<String>) -> http::Response<WasiBody> {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    let (status, text) = match failed {
        None => (StatusCode::OK, String::new()),
        Some(why) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the handler failed: {why}\n"),
        ),
    };
    let body = http_body_util::Full::new(bytes::Bytes::from(text));
    let mut reply = http::Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    reply
}
