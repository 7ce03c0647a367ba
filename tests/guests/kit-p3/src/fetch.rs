//! A call to somewhere else through `wasi:http/client@0.3`, told as JSON.

use kit::{Json, Path, url::Url};
use wasip3::clocks::monotonic_clock;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, RequestOptions, Response, Scheme};
use wasip3::{spawn_local, wit_future, wit_stream};

use crate::Body;

/// Answers `/fetch?url=&method=&body=&timeout_ms=`: status, headers and body, or the error's name and where it came.
pub async fn fetch(path: &Path) -> Json {
    let Some(url) = path.query("url").and_then(Url::parse) else {
        return Json::error("BadUrl", "expected ?url=scheme://host/path");
    };
    match send(path, url).await {
        Ok(response) => receive(response).await,
        Err(e) => failed(&e),
    }
}

/// Sends the first half of a body to `?url=` and traps.
pub async fn half(path: &Path) -> Json {
    let Some(url) = path.query("url").and_then(Url::parse) else {
        return Json::error("BadUrl", "expected ?url=scheme://host/path");
    };
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), Some(contents), trailers, None);
    address(&request, "POST", &url).expect("a URL that is allowed");
    spawn_local(async move {
        writer.write_all(b"half of ".to_vec()).await;
        // Time for the host to send it on.
        monotonic_clock::wait_for(20_000_000).await;
        core::arch::wasm32::unreachable()
    });
    let _response = client::send(request).await;
    std::future::pending().await
}

/// An error's name is what stands before its payload.
fn failed(error: &ErrorCode) -> Json {
    let error = format!("{error:?}");
    let error = error.strip_prefix("ErrorCode::").unwrap_or(&error);
    let name = error
        .split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or(error);
    Json::object([
        ("error", name.into()),
        ("at", "response".into()),
        ("detail", error.into()),
    ])
}

async fn send(path: &Path, url: Url) -> Result<Response, ErrorCode> {
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let options = RequestOptions::new();
    if let Some(ms) = path
        .query("timeout_ms")
        .and_then(|ms| ms.parse::<u64>().ok())
    {
        let _ = options.set_connect_timeout(Some(ms * 1_000_000));
        let _ = options.set_first_byte_timeout(Some(ms * 1_000_000));
    }
    let body = path.query("body").map(|body| body.as_bytes().to_vec());
    let contents = body.is_some().then_some(contents);
    let (request, _sent) = Request::new(Fields::new(), contents, trailers, Some(options));

    address(&request, path.query("method").unwrap_or("GET"), &url)?;
    if let Some(body) = body {
        spawn_local(async move {
            writer.write_all(body).await;
        });
    }
    client::send(request).await
}

fn address(request: &Request, method: &str, url: &Url) -> Result<(), ErrorCode> {
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
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    request
        .set_method(&method)
        .map_err(|()| ErrorCode::HttpRequestMethodInvalid)?;
    request.set_scheme(Some(&scheme)).map_err(invalid)?;
    request
        .set_authority(Some(&url.authority))
        .map_err(invalid)?;
    request
        .set_path_with_query(Some(&url.path_with_query))
        .map_err(invalid)
}

async fn receive(response: Response) -> Json {
    let status = response.get_status_code();
    let headers = crate::fields_json(&response.get_headers());
    let mut body = Body::of_response(response);
    let bytes = body.all().await;
    let ended = body.trailers().await.err().map(|e| format!("{e:?}"));
    Json::object([
        ("status", Json::Int(status.into())),
        ("headers", headers),
        ("body", Json::bytes(bytes)),
        ("body_error", ended.into()),
    ])
}
