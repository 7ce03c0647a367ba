//! Shows a function built for the release candidate `wasi:http/incoming-handler@0.2.0-rc-2023-11-10`: it says hello, and
//! by path it asks the host for what the interfaces of that day had.

use exports::wasi::http::incoming_handler::Guest;
use kit::{Json, Path, url::Url};
use wasi::cli::{environment, stdout};
use wasi::clocks::{monotonic_clock, wall_clock};
use wasi::filesystem::preopens;
use wasi::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasi::http::outgoing_handler;
use wasi::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingRequest,
    OutgoingResponse, RequestOptions, ResponseOutparam, Scheme,
};
use wasi::io::streams::{InputStream, StreamError};

wit_bindgen::generate!({
    path: "wit",
    generate_all,
});

struct Hello;

export!(Hello);

impl Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = Path::parse(&request.path_with_query().unwrap_or_default());
        let json = match path.parts()[..] {
            ["info"] => info(&request),
            ["echo", how] => return echo(&request, how, out),
            ["trailers"] => trailers(&request),
            ["print"] => print(),
            ["env"] => environment::get_environment()
                .into_iter()
                .map(|(name, value)| Json::from_iter([name.into(), value.into()]))
                .collect(),
            ["files", name] => file(name),
            ["clocks"] => clocks(),
            ["random", n] => Json::bytes(wasi::random::random::get_random_bytes(
                n.parse().unwrap_or(0),
            )),
            ["timeouts"] => timeouts(),
            ["fetch"] => fetch(&path),
            ["refuse"] => {
                let error = ErrorCode::InternalError(Some("refused".into()));
                return ResponseOutparam::set(out, Err(error));
            }
            _ => return answer(out, "text/plain", b"Hello from Gust\n"),
        };
        answer(out, "application/json", json.to_string().as_bytes());
    }
}

/// Sends the head of an answer.
fn begin(out: ResponseOutparam, content_type: &str) -> OutgoingBody {
    let headers = Fields::new();
    let _ = headers.set("content-type", &[content_type.as_bytes().to_vec()]);
    let response = OutgoingResponse::new(headers);
    let body = response.body().expect("the body of a new response");
    ResponseOutparam::set(out, Ok(response));
    body
}

fn answer(out: ResponseOutparam, content_type: &str, bytes: &[u8]) {
    let body = begin(out, content_type);
    let stream = body.write().expect("the stream of a new body");
    for piece in bytes.chunks(4096) {
        let _ = stream.blocking_write_and_flush(piece);
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn info(request: &IncomingRequest) -> Json {
    let headers = request.headers();
    let headers = headers.entries().into_iter();
    Json::object([
        ("method", format!("{:?}", request.method()).into()),
        ("path", request.path_with_query().unwrap_or_default().into()),
        ("scheme", format!("{:?}", request.scheme()).into()),
        ("authority", request.authority().unwrap_or_default().into()),
        (
            "headers",
            headers
                .map(|(name, value)| Json::from_iter([name.into(), Json::bytes(value)]))
                .collect(),
        ),
    ])
}

/// Sends the request's body back.
fn echo(request: &IncomingRequest, how: &str, out: ResponseOutparam) {
    let body = request.consume().expect("the body is taken once");
    let from = body.stream().expect("the stream is taken once");
    let answer = begin(out, "application/octet-stream");
    let to = answer.write().expect("the stream of a new body");
    match how {
        "blocking-splice" => while to.blocking_splice(&from, u64::MAX).is_ok() {},
        _ => {
            while let Some(piece) = piece(&from) {
                for piece in piece.chunks(4096) {
                    let _ = to.blocking_write_and_flush(piece);
                }
            }
        }
    }
    drop(to);
    let _ = OutgoingBody::finish(answer, None);
}

/// The next piece, or `None` at the end.
fn piece(from: &InputStream) -> Option<Vec<u8>> {
    match from.blocking_read(64 * 1024) {
        Ok(piece) => Some(piece),
        Err(StreamError::Closed) => None,
        Err(StreamError::LastOperationFailed(e)) => panic!("{}", e.to_debug_string()),
    }
}

fn all(body: IncomingBody) -> (Vec<u8>, IncomingBody) {
    let mut all = Vec::new();
    let stream = body.stream().expect("the stream is taken once");
    while let Some(piece) = piece(&stream) {
        all.extend(piece);
    }
    drop(stream);
    (all, body)
}

fn trailers(request: &IncomingRequest) -> Json {
    let body = request.consume().expect("the body is taken once");
    let (_, body) = all(body);
    let future = IncomingBody::finish(body);
    future.subscribe().block();
    match future.get() {
        Some(Ok(fields)) => fields
            .iter()
            .flat_map(|fields| fields.entries())
            .map(|(name, value)| Json::from_iter([name.into(), Json::bytes(value)]))
            .collect(),
        other => Json::error("Trailers", format!("{other:?}")),
    }
}

fn print() -> Json {
    let printed = stdout::get_stdout().blocking_write_and_flush(b"printed in November\n");
    Json::object([("printed", printed.is_ok().into())])
}

/// A file of the first folder.
fn file(name: &str) -> Json {
    let Some((folder, _)) = preopens::get_directories().into_iter().next() else {
        return Json::error("NoFolder", "");
    };
    let opened = folder.open_at(
        PathFlags::empty(),
        name,
        OpenFlags::empty(),
        DescriptorFlags::READ,
    );
    match opened.and_then(|file| file.read(4096, 0)) {
        Ok((bytes, _)) => Json::object([("content", Json::bytes(bytes))]),
        Err(e) => Json::error(e.name(), e.message()),
    }
}

fn clocks() -> Json {
    let begun = monotonic_clock::now();
    monotonic_clock::subscribe_duration(5_000_000).block();
    Json::object([
        ("unix_seconds", wall_clock::now().seconds.into()),
        ("slept_ns", (monotonic_clock::now() - begun).into()),
    ])
}

/// What comes of timeouts that are set.
fn timeouts() -> Json {
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout_ms(Some(1));
    let _ = options.set_first_byte_timeout_ms(Some(1500));
    let _ = options.set_between_bytes_timeout_ms(None);
    [
        options.connect_timeout_ms(),
        options.first_byte_timeout_ms(),
        options.between_bytes_timeout_ms(),
    ]
    .into_iter()
    .map(|ms| ms.map_or(Json::Null, Json::from))
    .collect()
}

/// `/fetch?url=&body=&timeout_ms=`: status and body, or the error and where it came.
fn fetch(path: &Path) -> Json {
    let Some(url) = path.query("url").and_then(Url::parse) else {
        return Json::error("BadUrl", "expected ?url=scheme://host/path");
    };
    match send(path, &url) {
        Ok(answer) => answer,
        Err((at, error)) => {
            Json::object([("error", format!("{error:?}").into()), ("at", at.into())])
        }
    }
}

fn send(path: &Path, url: &Url) -> Result<Json, (&'static str, ErrorCode)> {
    let request = OutgoingRequest::new(Fields::new());
    let _ = request.set_method(&Method::Post);
    let _ = request.set_scheme(Some(&Scheme::Http));
    let invalid = |()| ("request", ErrorCode::HttpRequestUriInvalid);
    request
        .set_authority(Some(&url.authority))
        .map_err(invalid)?;
    request
        .set_path_with_query(Some(&url.path_with_query))
        .map_err(invalid)?;
    let options = RequestOptions::new();
    if let Some(ms) = path.query("timeout_ms").and_then(|ms| ms.parse().ok()) {
        let _ = options.set_first_byte_timeout_ms(Some(ms));
    }
    let body = request.body().expect("the body is taken once");
    let future = outgoing_handler::handle(request, Some(options)).map_err(|e| ("handle", e))?;
    let stream = body.write().expect("the stream is taken once");
    let _ = stream.blocking_write_and_flush(path.query("body").unwrap_or_default().as_bytes());
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
    future.subscribe().block();
    let response = future
        .get()
        .expect("it is ready")
        .expect("it is asked once")
        .map_err(|e| ("response", e))?;
    let status = response.status();
    let (body, _) = all(response.consume().expect("the body is taken once"));
    Ok(Json::object([
        ("status", u64::from(status).into()),
        ("body", Json::bytes(body)),
    ]))
}
