//! Shows the host's WASI 0.2 interfaces by path, answering JSON; an error of an interface is its variant's name.

use std::io::{Read, Write};
use std::net::TcpStream;

use kit::{Json, Path};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::random;

mod kv;

wit_bindgen::generate!({
    path: "../../../wit",
    world: "gust:host/wasi-drafts",
    generate_all,
});

struct Host;

wasip2::http::proxy::export!(Host);

impl Guest for Host {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = kit_p2::path(&request);
        let answer = match path.parts()[..] {
            ["config"] => config_all(),
            ["config", key] => config(key),
            ["env"] => std::env::vars()
                .map(|(k, v)| Json::from_iter([k.into(), v.into()]))
                .collect(),
            ["files", ..] => file(&path),
            ["list", ..] => list(&path),
            ["write", ..] => write(&path),
            ["fetch"] => kit_p2::fetch(&path),
            ["half"] => kit_p2::half(&path),
            ["connect"] => connect(path.query("addr").unwrap_or_default()),
            ["clocks"] => clocks(),
            ["random", n] => random_bytes(n.parse().unwrap_or(0)),
            ["kv", ..] => kv::answer(&request, &path),
            _ => return kit_p2::text(out, 404, "no such path\n"),
        };
        kit_p2::json(out, 200, &answer);
    }
}

fn config(key: &str) -> Json {
    match wasi::config::store::get(key) {
        Ok(value) => Json::object([("value", value.into())]),
        Err(e) => config_error(e),
    }
}

fn config_all() -> Json {
    match wasi::config::store::get_all() {
        Ok(all) => Json::object(all.into_iter().map(|(k, v)| (k, v.into()))),
        Err(e) => config_error(e),
    }
}

fn config_error(e: wasi::config::store::Error) -> Json {
    match e {
        wasi::config::store::Error::Upstream(e) => Json::error("upstream", e),
        wasi::config::store::Error::Io(e) => Json::error("io", e),
    }
}

fn absolute(path: &Path) -> String {
    format!("/{}", path.segments[1..].join("/"))
}

fn io_error(e: std::io::Error) -> Json {
    Json::error(&format!("{:?}", e.kind()), e.to_string())
}

fn file(path: &Path) -> Json {
    match std::fs::read(absolute(path)) {
        Ok(bytes) => Json::object([
            ("length", bytes.len().into()),
            ("content", Json::bytes(bytes)),
        ]),
        Err(e) => io_error(e),
    }
}

fn list(path: &Path) -> Json {
    let names = std::fs::read_dir(absolute(path)).and_then(|entries| {
        let names = entries.map(|e| e.map(|e| e.file_name().to_string_lossy().into_owned()));
        names.collect::<Result<Vec<_>, _>>()
    });
    match names {
        Ok(mut names) => {
            names.sort();
            names.into_iter().map(Json::from).collect()
        }
        Err(e) => io_error(e),
    }
}

/// The component's files are for reading only: this is expected to fail.
fn write(path: &Path) -> Json {
    match std::fs::write(absolute(path), b"written by a guest") {
        Ok(()) => Json::object([("written", true.into())]),
        Err(e) => io_error(e),
    }
}

/// Connects, sends a line if the other side is to speak first upon one, reports what came back at once.
fn connect(addr: &str) -> Json {
    let mut stream = match TcpStream::connect(addr) {
        Ok(stream) => stream,
        Err(e) => return io_error(e),
    };
    let mut buffer = [0; 1024];
    match stream
        .write_all(b"hello\n")
        .and_then(|()| stream.read(&mut buffer))
    {
        Ok(n) => Json::object([
            ("connected", true.into()),
            ("received", Json::bytes(buffer[..n].into())),
        ]),
        Err(e) => io_error(e),
    }
}

fn clocks() -> Json {
    let before = monotonic_clock::now();
    monotonic_clock::subscribe_duration(5_000_000).block();
    Json::object([
        ("unix_seconds", wall_clock::now().seconds.into()),
        ("slept_ns", (monotonic_clock::now() - before).into()),
        ("resolution_ns", monotonic_clock::resolution().into()),
    ])
}

fn random_bytes(n: u64) -> Json {
    let bytes = random::random::get_random_bytes(n);
    Json::object([
        ("length", bytes.len().into()),
        (
            "bytes",
            bytes.into_iter().map(|b| Json::Int(b.into())).collect(),
        ),
        (
            "insecure",
            random::insecure::get_insecure_random_u64()
                .to_string()
                .into(),
        ),
    ])
}
