//! Hello component, keep-alive, 64 connections: Gust beside `wasmtime serve` and a bare hyper server.
//!
//! Rounds are interleaved (every server once, then again), and the median of each is taken, so that a slow moment of
//! the machine touches all of them.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Map, Value, json};

use crate::{
    Args,
    node::{self, terminate},
    wrk,
};

const ROUNDS: usize = 5;
const SECONDS: u32 = 4;

struct Server {
    name: &'static str,
    url: String,
    host: Option<&'static str>,
    pid: u32,
    runs: Vec<wrk::Run>,
}

pub(crate) async fn run(args: &Args) -> Result<Map<String, Value>> {
    let folder = tempfile::tempdir()?;
    let node = node::start(&args.gust, &folder.path().join("data"), "")?;
    let hello = |name: &str| {
        (
            name.to_owned(),
            args.guests.join(format!("hello-{name}.wasm")),
            "route = \"/...\"\n".to_owned(),
        )
    };
    node::deploy(&node, "p2", &[hello("p2")])?;
    node::deploy(&node, "p3", &[hello("p3")])?;
    let (p2_app, p3_app) = ("p2.gust.localhost", "p3.gust.localhost");
    let mut peers = vec![
        peer(args, "hello-p2")?,
        peer(args, "hello-p3")?,
        hyper_peer()?,
    ];
    let gust_url = format!("http://{}/", node.functions);
    let mut servers = vec![
        server("gust_p2", gust_url.clone(), Some(p2_app), node.pid()),
        server("gust_p3", gust_url, Some(p3_app), node.pid()),
        server("wasmtime_p2", peers[0].1.clone(), None, peers[0].0.id()),
        server("wasmtime_p3", peers[1].1.clone(), None, peers[1].0.id()),
        server("hyper", peers[2].1.clone(), None, peers[2].0.id()),
    ];
    let measured = measure(&mut servers, args.scale.unwrap_or(ROUNDS));
    for (child, _) in &mut peers {
        terminate(child);
    }
    measured?;
    report(&servers)
}

fn server(name: &'static str, url: String, host: Option<&'static str>, pid: u32) -> Server {
    Server {
        name,
        url,
        host,
        pid,
        runs: Vec::new(),
    }
}

fn measure(servers: &mut [Server], rounds: usize) -> Result<()> {
    for server in &mut *servers {
        wrk::run(&server.url, server.host, 1, server.pid)?;
    }
    for round in 1..=rounds {
        for server in &mut *servers {
            let run = wrk::run(&server.url, server.host, SECONDS, server.pid)?;
            eprintln!(
                "round {round}: {:12} {:>9.0}/s  cpu {:>6.1} us  p99 {:>6.2} ms",
                server.name, run.rps, run.cpu_us, run.p99_ms
            );
            ensure!(run.errors == 0, "{}: {} errors", server.name, run.errors);
            server.runs.push(run);
        }
    }
    Ok(())
}

fn report(servers: &[Server]) -> Result<Map<String, Value>> {
    let mut out = Map::new();
    let rps = |name: &str| {
        servers
            .iter()
            .find(|s| s.name == name)
            .map_or(0.0, |s| median(s, |r| r.rps))
    };
    for s in servers {
        out.insert(
            format!("{}_rps", s.name),
            json!(median(s, |r| r.rps).round()),
        );
    }
    out.insert(
        "ratio_p2".into(),
        round2(rps("gust_p2") / rps("wasmtime_p2")),
    );
    out.insert(
        "ratio_p3".into(),
        round2(rps("gust_p3") / rps("wasmtime_p3")),
    );
    for s in servers {
        out.insert(
            format!("{}_cpu_us", s.name),
            round2(median(s, |r| r.cpu_us)),
        );
        out.insert(
            format!("{}_p99_ms", s.name),
            round2(median(s, |r| r.p99_ms)),
        );
    }
    Ok(out)
}

fn round2(value: f64) -> Value {
    json!((value * 100.0).round() / 100.0)
}

fn median(server: &Server, of: impl Fn(&wrk::Run) -> f64) -> f64 {
    let mut all: Vec<f64> = server.runs.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

/// `wasmtime serve`, pooling on (its default for serve is made explicit).
fn peer(args: &Args, guest: &str) -> Result<(Child, String)> {
    let mut child = Command::new(&args.wasmtime)
        .args([
            "serve",
            "-S",
            "p3,cli",
            "-W",
            "component-model-async=y",
            "-O",
            "pooling-allocator=y",
            "--addr",
            "127.0.0.1:0",
        ])
        .arg(args.guests.join(format!("{guest}.wasm")))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run the peer {}", args.wasmtime.display()))?;
    let stderr = child.stderr.take().context("no stderr")?;
    let mut lines = BufReader::new(stderr).lines();
    while let Some(Ok(line)) = lines.next() {
        if let Some(at) = line.find("http://") {
            let url = line[at..]
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned();
            std::thread::spawn(move || lines.for_each(drop));
            return Ok((child, url));
        }
        eprintln!("wasmtime: {line}");
    }
    terminate(&mut child);
    anyhow::bail!("the peer did not start")
}

fn hyper_peer() -> Result<(Child, String)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("hyper-server")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
    Ok((child, format!("http://{}/", line.trim())))
}

/// Bare hyper: a fixed body, nothing else.
pub(crate) async fn hyper_server() -> Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        gust_task::spawn("connection", async move {
            let service = hyper::service::service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(hyper::Response::new(Full::new(
                    Bytes::from_static(b"Hello from hyper\n"),
                )))
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                .await;
        });
    }
}
