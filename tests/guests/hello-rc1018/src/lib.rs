//! Shows a function built for the release candidate `wasi:http/incoming-handler@0.2.0-rc-2023-10-18`: it says hello, and
//! by path it asks the host for what the interfaces of that day had.

use exports::wasi::http::incoming_handler::Guest;
use kit::{Json, Path, url::Url};
use wasi::cli::{environment, stdout};
use wasi::clocks::{monotonic_clock, timezone, wall_clock};
use wasi::filesystem::preopens;
use wasi::filesystem::types::{
    AccessType, Descriptor, DescriptorFlags, ErrorCode, Modes, OpenFlags, PathFlags,
};
use wasi::http::outgoing_handler;
use wasi::http::types::{
    Error, Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingRequest,
    OutgoingResponse, RequestOptions, ResponseOutparam, Scheme,
};
use wasi::io::poll;
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
            ["fetch"] => fetch(&path),
            ["refuse"] => {
                let error = Error::UnexpectedError("refused".into());
                return ResponseOutparam::set(out, Err(error));
            }
            _ => return answer(out, "text/plain", b"Hello from Gust\n"),
        };
        answer(out, "application/json", json.to_string().as_bytes());
    }
}

/// Sends the head of an answer.
fn begin(out: ResponseOutparam, content_type: &str) -> OutgoingBody {
    // A host may keep such a header for itself: then it is left out.
    let kept = ("connection".to_owned(), b"close".to_vec());
    let headers = Fields::new(&[
        ("content-type".to_owned(), content_type.as_bytes().to_vec()),
        kept,
    ]);
    let response = OutgoingResponse::new(200, &headers);
    let body = response.write().expect("the body of a new response");
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
    OutgoingBody::finish(body, None);
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

/// Sends the request's body back, in one of the ways that streams were moved then.
fn echo(request: &IncomingRequest, how: &str, out: ResponseOutparam) {
    let body = request.consume().expect("the body is taken once");
    let from = body.stream().expect("the stream is taken once");
    let answer = begin(out, "application/octet-stream");
    let to = answer.write().expect("the stream of a new body");
    match how {
        "forward" => {
            let _ = to.forward(from);
        }
        // A source is given away whole, so this is the first piece of it.
        "splice" => {
            poll::poll_one(&from.subscribe());
            let _ = to.splice(from, u64::MAX);
        }
        "blocking-splice" => {
            let _ = to.blocking_splice(from, u64::MAX);
        }
        _ => {
            while let Some(piece) = piece(&from) {
                for piece in piece.chunks(4096) {
                    let _ = to.blocking_write_and_flush(piece);
                }
            }
        }
    }
    let _ = to.blocking_flush();
    drop(to);
    OutgoingBody::finish(answer, None);
}

/// The next piece, or `None` at the end.
fn piece(from: &InputStream) -> Option<Vec<u8>> {
    loop {
        poll::poll_list(&[&from.subscribe()]);
        match from.read(64 * 1024) {
            Ok(piece) if piece.is_empty() => continue,
            Ok(piece) => return Some(piece),
            Err(StreamError::Closed) => return None,
            Err(StreamError::LastOperationFailed(e)) => panic!("{}", e.to_debug_string()),
        }
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
    poll::poll_one(&future.subscribe());
    match future.get() {
        Some(Ok(fields)) => fields
            .entries()
            .into_iter()
            .map(|(name, value)| Json::from_iter([name.into(), Json::bytes(value)]))
            .collect(),
        other => Json::error("Trailers", format!("{other:?}")),
    }
}

fn print() -> Json {
    let printed = stdout::get_stdout().blocking_write_and_flush(b"printed in October\n");
    Json::object([("printed", printed.is_ok().into())])
}

/// A file of the first folder, and what that says to questions that no later version asks.
fn file(name: &str) -> Json {
    let Some((folder, _)) = preopens::get_directories().into_iter().next() else {
        return Json::error("NoFolder", "");
    };
    let asked = |access| told(folder.access_at(PathFlags::empty(), name, access));
    let changed = folder.change_file_permissions_at(PathFlags::empty(), name, Modes::READABLE);
    let opened = folder.open_at(
        PathFlags::empty(),
        name,
        OpenFlags::empty(),
        DescriptorFlags::READ,
        Modes::READABLE,
    );
    let content = opened.and_then(|file: Descriptor| {
        let (bytes, _) = file.read(4096, 0)?;
        Ok((bytes, told(file.lock_shared()), told(file.unlock())))
    });
    let (content, locked, unlocked) = match content {
        Ok((bytes, locked, unlocked)) => (Json::bytes(bytes), locked, unlocked),
        Err(e) => return Json::error(e.name(), e.message()),
    };
    Json::object([
        ("content", content),
        ("exists", asked(AccessType::Exists)),
        ("readable", asked(AccessType::Access(Modes::READABLE))),
        ("writable", asked(AccessType::Access(Modes::WRITABLE))),
        ("changed", told(changed)),
        ("locked", locked),
        ("unlocked", unlocked),
    ])
}

fn told(result: Result<(), ErrorCode>) -> Json {
    match result {
        Ok(()) => "ok".into(),
        Err(e) => e.name().into(),
    }
}

fn clocks() -> Json {
    let begun = monotonic_clock::now();
    let soon = monotonic_clock::subscribe(5_000_000, false);
    let later = monotonic_clock::subscribe(begun + 3_600_000_000_000, true);
    let ready = poll::poll_list(&[&later, &soon]);
    let slept = monotonic_clock::now() - begun;
    let now = wall_clock::now();
    let zone = timezone::display(now);
    Json::object([
        ("unix_seconds", now.seconds.into()),
        ("slept_ns", slept.into()),
        (
            "ready",
            ready
                .into_iter()
                .map(|n| Json::from(u64::from(n)))
                .collect(),
        ),
        ("zone", zone.name.into()),
        ("offset", i64::from(timezone::utc_offset(now)).into()),
    ])
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

fn send(path: &Path, url: &Url) -> Result<Json, (&'static str, Error)> {
    let request = OutgoingRequest::new(
        &Method::Post,
        Some(&url.path_with_query),
        Some(&Scheme::Http),
        Some(&url.authority),
        &Fields::new(&[]),
    );
    let timeout = path.query("timeout_ms").and_then(|ms| ms.parse().ok());
    let options = RequestOptions {
        connect_timeout_ms: timeout,
        first_byte_timeout_ms: timeout,
        between_bytes_timeout_ms: timeout,
    };
    let body = request.write().expect("the body is taken once");
    let future = outgoing_handler::handle(request, Some(options)).map_err(|e| ("handle", e))?;
    let stream = body.write().expect("the stream is taken once");
    let _ = stream.blocking_write_and_flush(path.query("body").unwrap_or_default().as_bytes());
    drop(stream);
    OutgoingBody::finish(body, None);
    poll::poll_one(&future.subscribe());
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
