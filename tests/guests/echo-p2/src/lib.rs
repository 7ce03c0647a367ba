//! Shows requests and answers of every shape through `wasi:http@0.2`: bodies streamed both ways, trailers, events.

use std::sync::atomic::{AtomicU64, Ordering};

use kit::Json;
use kit_p2::{Answer, Body};
use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, Method, ResponseOutparam};

/// Calls since this instance was made: more than 1 shows that it is used again.
static CALLS: AtomicU64 = AtomicU64::new(0);

struct Echo;

wasip2::http::proxy::export!(Echo);

impl Guest for Echo {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let path = kit_p2::path(&request);
        match path.parts()[..] {
            ["info"] => kit_p2::json(out, 200, &info(&request)),
            ["echo"] => echo(&request, out),
            ["trailers"] => trailers(&request, out),
            ["sse"] => events(out),
            ["count"] => kit_p2::text(out, 200, &format!("{calls}\n")),
            ["status", n] => kit_p2::text(out, n.parse().unwrap_or(400), "status\n"),
            ["size", n] => size(&request, out, n.parse().unwrap_or(0)),
            _ => kit_p2::text(out, 404, "no such path\n"),
        }
    }
}

fn info(request: &IncomingRequest) -> Json {
    Json::object([
        ("method", kit_p2::method(request).into()),
        ("path", request.path_with_query().into()),
        ("authority", request.authority().into()),
        ("scheme", request.scheme().map(|s| format!("{s:?}")).into()),
        ("headers", kit_p2::fields_json(&request.headers())),
    ])
}

/// Each piece goes back as soon as it has come.
fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let content_type = request
        .headers()
        .get("content-type")
        .pop()
        .unwrap_or_default();
    let content_type = String::from_utf8(content_type).unwrap_or_default();
    let headers = [("content-type", content_type.as_str())];
    let answer = Answer::begin(
        out,
        200,
        if content_type.is_empty() {
            &[]
        } else {
            &headers
        },
    );
    let mut body = Body::of(request);
    while let Ok(Some(piece)) = body.piece() {
        if answer.write(&piece).and_then(|()| answer.flush()).is_err() {
            return;
        }
    }
    answer.end(None);
}

/// Reads body and trailers, answers with the trailers as JSON, and sends `x-body-bytes` and `x-echo-*` behind it.
fn trailers(request: &IncomingRequest, out: ResponseOutparam) {
    let mut body = Body::of(request);
    let bytes = body.all().map_or(0, |all| all.len());
    let received = body.trailers().ok().flatten().unwrap_or_else(Fields::new);
    let behind = Fields::new();
    let _ = behind.set("x-body-bytes", &[bytes.to_string().into_bytes()]);
    for (name, value) in received.entries() {
        let _ = behind.append(&format!("x-echo-{name}"), &value);
    }
    let names: Vec<_> = behind.entries().into_iter().map(|(name, _)| name).collect();
    let names = names.join(", ");
    let headers = [
        ("content-type", "application/json"),
        ("trailer", names.as_str()),
    ];
    let answer = Answer::begin(out, 200, &headers);
    let _ = answer.write(kit_p2::fields_json(&received).to_string().as_bytes());
    answer.end(Some(behind));
}

/// Five server-sent events, 50 ms apart.
fn events(out: ResponseOutparam) {
    let headers = [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
    ];
    let answer = Answer::begin(out, 200, &headers);
    for n in 0..5 {
        if n > 0 {
            monotonic_clock::subscribe_duration(50_000_000).block();
        }
        let event = format!("id: {n}\ndata: event {n}\n\n");
        if answer
            .write(event.as_bytes())
            .and_then(|()| answer.flush())
            .is_err()
        {
            return;
        }
    }
    answer.end(None);
}

/// `n` bytes without ever holding them all; `?length` says so in a header, HEAD gets the header alone.
fn size(request: &IncomingRequest, out: ResponseOutparam, n: usize) {
    let head = matches!(request.method(), Method::Head);
    let length = n.to_string();
    let mut headers = vec![("content-type", "application/octet-stream")];
    if head || kit_p2::path(request).query("length").is_some() {
        headers.push(("content-length", &length));
    }
    let answer = Answer::begin(out, 200, &headers);
    let piece = [b'g'; 16 * 1024];
    let mut left = if head { 0 } else { n };
    while left > 0 {
        let now = left.min(piece.len());
        if answer.write(&piece[..now]).is_err() {
            return;
        }
        left -= now;
    }
    answer.end(None);
}
