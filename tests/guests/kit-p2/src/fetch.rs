//! A call to somewhere else through `wasi:http/outgoing-handler@0.2`, told as JSON.

use kit::{Json, Path, url::Url};
use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

/// Answers `/fetch?url=&method=&body=&timeout_ms=`: status, headers and body, or the error's name and where it came.
pub fn fetch(path: &Path) -> Json {
    let Some(url) = path.query("url").and_then(Url::parse) else {
        return Json::error("BadUrl", "expected ?url=scheme://host/path");
    };
    match send(path, url).and_then(receive) {
        Ok(answer) => answer,
        Err((at, e)) => failed(at, &format!("{e:?}")),
    }
}

/// An error's name is what stands before its payload.
fn failed(at: &str, error: &str) -> Json {
    let error = error.strip_prefix("ErrorCode::").unwrap_or(error);
    let name = error
        .split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or(error);
    Json::object([
        ("error", name.into()),
        ("at", at.into()),
        ("detail", error.into()),
    ])
}

type Failed = (&'static str, ErrorCode);

fn send(path: &Path, url: Url) -> Result<IncomingResponse, Failed> {
    let request = OutgoingRequest::new(Fields::new());
    address(&request, path.query("method").unwrap_or("GET"), &url)?;
    let options = RequestOptions::new();
    if let Some(ms) = path
        .query("timeout_ms")
        .and_then(|ms| ms.parse::<u64>().ok())
    {
        let _ = options.set_connect_timeout(Some(ms * 1_000_000));
        let _ = options.set_first_byte_timeout(Some(ms * 1_000_000));
    }

    let body = request.body().expect("the body is taken once");
    let response = outgoing_handler::handle(request, Some(options)).map_err(|e| ("handle", e))?;
    let stream = body.write().expect("the stream is taken once");
    for piece in path
        .query("body")
        .unwrap_or_default()
        .as_bytes()
        .chunks(4096)
    {
        if stream.blocking_write_and_flush(piece).is_err() {
            break;
        }
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);

    response.subscribe().block();
    let response = response
        .get()
        .expect("it is ready")
        .expect("it is asked once");
    response.map_err(|e| ("response", e))
}

fn address(request: &OutgoingRequest, method: &str, url: &Url) -> Result<(), Failed> {
    let scheme = match url.scheme.as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.into()),
    };
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        other => Method::Other(other.into()),
    };
    let _ = request.set_scheme(Some(&scheme));
    let _ = request.set_method(&method);
    let invalid = |()| ("request", ErrorCode::HttpRequestUriInvalid);
    request
        .set_authority(Some(&url.authority))
        .map_err(invalid)?;
    request
        .set_path_with_query(Some(&url.path_with_query))
        .map_err(invalid)
}

/// Sends the first half of a body to `?url=` and traps.
pub fn half(path: &Path) -> Json {
    let Some(url) = path.query("url").and_then(Url::parse) else {
        return Json::error("BadUrl", "expected ?url=scheme://host/path");
    };
    let request = OutgoingRequest::new(Fields::new());
    address(&request, "POST", &url).expect("a URL that is allowed");
    let body = request.body().expect("the body is taken once");
    let _response = outgoing_handler::handle(request, None).expect("a request that is sent");
    let stream = body.write().expect("the stream is taken once");
    let _ = stream.blocking_write_and_flush(b"half of ");
    // Time for the host to send it on.
    monotonic_clock::subscribe_duration(20_000_000).block();
    core::arch::wasm32::unreachable()
}

fn receive(response: IncomingResponse) -> Result<Json, Failed> {
    let body = response.consume().expect("the body is taken once");
    let stream = body.stream().expect("the stream is taken once");
    let mut bytes = Vec::new();
    let ended = loop {
        match stream.blocking_read(crate::PIECE) {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(StreamError::Closed) => break Json::Null,
            Err(StreamError::LastOperationFailed(e)) => break e.to_debug_string().into(),
        }
    };
    drop(stream);
    drop(IncomingBody::finish(body));
    Ok(Json::object([
        ("status", Json::Int(response.status().into())),
        ("headers", crate::fields_json(&response.headers())),
        ("body", Json::bytes(bytes)),
        ("body_error", ended),
    ]))
}
