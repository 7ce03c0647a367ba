//! Shows requests and answers of every shape through `wasi:http@0.3.0`: bodies streamed both ways, trailers, events.

use std::sync::atomic::{AtomicU64, Ordering};

use kit::Json;
use kit_p3::{Answered, Body};
use wasip3::clocks::monotonic_clock;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response};

/// Calls since this instance was made: more than 1 shows that it is used again.
static CALLS: AtomicU64 = AtomicU64::new(0);

struct Echo;

wasip3::http::service::export!(Echo);

impl Guest for Echo {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let path = kit_p3::path(&request);
        match path.parts()[..] {
            ["info"] => kit_p3::json(200, &info(&request)),
            ["echo"] => echo(request),
            ["trailers"] => trailers(request).await,
            ["sse"] => events(),
            ["count"] => kit_p3::text(200, format!("{calls}\n")),
            ["status", n] => kit_p3::text(n.parse().unwrap_or(400), "status\n"),
            ["size", n] => size(&request, n.parse().unwrap_or(0)),
            _ => kit_p3::text(404, "no such path\n"),
        }
    }
}

fn info(request: &Request) -> Json {
    Json::object([
        ("method", kit_p3::method(request).into()),
        ("path", request.get_path_with_query().into()),
        ("authority", request.get_authority().into()),
        (
            "scheme",
            request.get_scheme().map(|s| format!("{s:?}")).into(),
        ),
        ("headers", kit_p3::fields_json(&request.get_headers())),
    ])
}

/// Each piece goes back as soon as it has come.
fn echo(request: Request) -> Answered {
    let content_type = request
        .get_headers()
        .get("content-type")
        .pop()
        .unwrap_or_default();
    let content_type = String::from_utf8(content_type).unwrap_or_default();
    let headers = [("content-type", content_type.as_str())];
    let headers: &[_] = if content_type.is_empty() {
        &[]
    } else {
        &headers
    };
    kit_p3::stream(200, headers, |mut writer| async move {
        let mut body = Body::of_request(request);
        while let Some(piece) = body.piece().await {
            if writer.write(piece).await.is_err() {
                break;
            }
        }
        None
    })
}

/// Reads body and trailers, answers with the trailers as JSON, and sends `x-body-bytes` and `x-echo-*` behind it.
async fn trailers(request: Request) -> Answered {
    let mut body = Body::of_request(request);
    let bytes = body.all().await.len();
    let received = body.trailers().await?.unwrap_or_else(Fields::new);
    let behind = Fields::new();
    let _ = behind.set("x-body-bytes", &[bytes.to_string().into_bytes()]);
    for (name, value) in received.copy_all() {
        let _ = behind.append(&format!("x-echo-{name}"), &value);
    }
    let names: Vec<_> = behind
        .copy_all()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let names = names.join(", ");
    let headers = [
        ("content-type", "application/json"),
        ("trailer", names.as_str()),
    ];
    kit_p3::stream(200, &headers, |mut writer| async move {
        let _ = writer
            .write(kit_p3::fields_json(&received).to_string().into_bytes())
            .await;
        Some(behind)
    })
}

/// Five server-sent events, 50 ms apart.
fn events() -> Answered {
    let headers = [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
    ];
    kit_p3::stream(200, &headers, |mut writer| async move {
        for n in 0..5 {
            if n > 0 {
                monotonic_clock::wait_for(50_000_000).await;
            }
            let event = format!("id: {n}\ndata: event {n}\n\n");
            if writer.write(event.into_bytes()).await.is_err() {
                break;
            }
        }
        None
    })
}

/// `n` bytes without ever holding them all; `?length` says so in a header, HEAD gets the header alone.
fn size(request: &Request, n: usize) -> Answered {
    let head = matches!(request.get_method(), Method::Head);
    let length = n.to_string();
    let mut headers = vec![("content-type", "application/octet-stream")];
    if head || kit_p3::path(request).query("length").is_some() {
        headers.push(("content-length", &length));
    }
    kit_p3::stream(200, &headers, move |mut writer| async move {
        let mut left = if head { 0 } else { n };
        while left > 0 {
            let now = left.min(16 * 1024);
            if writer.write(vec![b'g'; now]).await.is_err() {
                break;
            }
            left -= now;
        }
        None
    })
}
