//! `fermyon:spin/inbound-http`: request and response by value, as Spin 1 has them.

use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use wasmtime::component::{Component, ComponentExportIndex, ComponentType, Lift, Lower};
use wasmtime_wasi_http::WasiBody;

use crate::{
    drive::Exit,
    fault::Fault,
    fields::{self, Unfit},
    live::{Entry, Live},
    work::Job,
};

/// `fermyon:spin/http-types.method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum SpinMethod {
    #[component(name = "get")]
    Get,
    #[component(name = "post")]
    Post,
    #[component(name = "put")]
    Put,
    #[component(name = "delete")]
    Delete,
    #[component(name = "patch")]
    Patch,
    #[component(name = "head")]
    Head,
    #[component(name = "options")]
    Options,
}

/// `fermyon:spin/http-types.request`.
#[derive(Debug, Clone, ComponentType, Lower, Lift)]
#[component(record)]
pub(crate) struct SpinRequest {
    method: SpinMethod,
    uri: String,
    headers: Vec<(String, String)>,
    params: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

/// `fermyon:spin/http-types.response`.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct SpinResponse {
    status: u16,
    headers: Option<Vec<(String, String)>>,
    body: Option<Vec<u8>>,
}

/// Where the function is in the component.
pub(crate) fn index(component: &Component, export: &str) -> wasmtime::Result<ComponentExportIndex> {
    let interface = component.get_export_index(None, export);
    interface
        .and_then(|interface| component.get_export_index(Some(&interface), "handle-request"))
        .ok_or_else(|| wasmtime::format_err!("no function handle-request in {export}"))
}

/// Serves a call until the guest returns.
pub(crate) async fn run(mut live: Live, job: Job) -> Exit {
    let result = serve(&mut live, job).await;
    Exit { live, result }
}

async fn serve(live: &mut Live, job: Job) -> wasmtime::Result<()> {
    let Entry::SpinHttp(function) = &live.entry else {
        return Ok(());
    };
    let function = *function;
    let Job {
        request,
        context,
        seat,
    } = job;
    live.store.data_mut().enter(context);
    let Some(method) = method(request.method()) else {
        seat.put(Ok(no_such_method(request.method())));
        return Ok(());
    };
    let request = match take(method, request).await {
        Ok(request) => request,
        Err(fault) => {
            seat.put(Err(fault));
            return Ok(());
        }
    };
    let (response,) = function.call_async(&mut live.store, (request,)).await?;
    seat.put(give(response));
    Ok(())
}

/// The whole request. Its body is limited in size by whoever made the call.
async fn take(
    method: SpinMethod,
    request: http::Request<gust_types::Body>,
) -> Result<SpinRequest, Fault> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|e| Fault::request(&e))?;
    let body = Vec::from(body.to_bytes());
    let headers = parts.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    Ok(SpinRequest {
        method,
        uri: parts
            .uri
            .path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string),
        headers: headers.collect(),
        params: Vec::new(),
        body: (!body.is_empty()).then_some(body),
    })
}

/// `None` for the methods that Spin 1 has no word for.
fn method(method: &Method) -> Option<SpinMethod> {
    Some(match *method {
        Method::GET => SpinMethod::Get,
        Method::POST => SpinMethod::Post,
        Method::PUT => SpinMethod::Put,
        Method::DELETE => SpinMethod::Delete,
        Method::PATCH => SpinMethod::Patch,
        Method::HEAD => SpinMethod::Head,
        Method::OPTIONS => SpinMethod::Options,
        _ => return None,
    })
}

/// Answered in the function's place, which cannot be asked: the caller may use another method, nobody has failed.
fn no_such_method(method: &Method) -> http::Response<WasiBody> {
    const ALLOW: HeaderValue =
        HeaderValue::from_static("GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS");
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    let text = format!("the function's interface has no such method: {method}\n");
    let mut reply = http::Response::new(whole(text));
    *reply.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    reply.headers_mut().insert(header::ALLOW, ALLOW);
    reply.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    reply
}

fn whole(bytes: impl Into<bytes::Bytes>) -> WasiBody {
    let body = http_body_util::Full::new(bytes.into());
    body.map_err(|never| match never {}).boxed_unsync()
}

fn give(response: SpinResponse) -> Result<http::Response<WasiBody>, Fault> {
    let bad = |what: &str| Fault::failed(format!("the function answered with {what}"));
    let mut reply = http::Response::new(whole(response.body.unwrap_or_default()));
    *reply.status_mut() =
        StatusCode::from_u16(response.status).map_err(|_| bad("an invalid status"))?;
    let mut headers =
        fields::map(response.headers.unwrap_or_default()).map_err(|unfit| match unfit {
            Unfit::Name => bad("an invalid header name"),
            Unfit::Value => bad("an invalid header value"),
            Unfit::TooLarge => bad("larger headers than a response may have"),
        })?;
    for name in wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS {
        headers.remove(name);
    }
    *reply.headers_mut() = headers;
    Ok(reply)
}
