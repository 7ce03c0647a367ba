//! Ten times the capacity for 30 seconds: what still gets through, and how the rest is refused.
//!
//! Capacity is a function's concurrency of 16 with a guest that waits 20 ms; the load is 160 connections beyond a queue
//! of 16, each asking again at once (after a refusal: after 20 ms, as a polite caller that ignores `Retry-After` would).

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use gust_scenarios::{Answer, Client};
use serde_json::{Map, Value, json};

use crate::{Args, load, node};

const CONCURRENCY: usize = 16;
const SECONDS: u64 = 30;
const HOST: &str = "busy.gust.localhost";
const PATH: &str = "/sleep/20";

#[derive(Default)]
struct Counts {
    ok: AtomicU64,
    refused: AtomicU64,
    refused_without_retry_after: AtomicU64,
    status_500: AtomicU64,
    other: AtomicU64,
}

pub(crate) async fn run(args: &Args) -> Result<Map<String, Value>> {
    let folder = tempfile::tempdir()?;
    let node = node::start(&args.gust, &folder.path().join("data"), "")?;
    let limits = format!(
        "route = \"/...\"\n[function.busy.limits]\nconcurrency = {CONCURRENCY}\nqueue = {CONCURRENCY}\nqueue_time = \"1s\"\n"
    );
    node::deploy(
        &node,
        "busy",
        &[("busy".into(), args.guests.join("faults-p3.wasm"), limits)],
    )?;
    let seconds = args.scale.map_or(SECONDS, |s| s as u64);
    storm(node.functions, CONCURRENCY, 1).await?;
    let unloaded = storm(node.functions, CONCURRENCY, seconds.min(5)).await?;
    let loaded = storm(node.functions, CONCURRENCY * 10, seconds).await?;
    let rate = |c: &Counts, s: u64| c.ok.load(Relaxed) as f64 / s as f64;
    let ratio = rate(&loaded, seconds) / rate(&unloaded, seconds.min(5));
    let mut out = Map::new();
    out.insert(
        "unloaded_rps".into(),
        json!(rate(&unloaded, seconds.min(5)).round()),
    );
    out.insert("goodput_rps".into(), json!(rate(&loaded, seconds).round()));
    out.insert(
        "goodput_ratio".into(),
        json!((ratio * 1000.0).round() / 1000.0),
    );
    out.insert("refused".into(), json!(loaded.refused.load(Relaxed)));
    out.insert(
        "refused_without_retry_after".into(),
        json!(loaded.refused_without_retry_after.load(Relaxed)),
    );
    out.insert("status_500".into(), json!(loaded.status_500.load(Relaxed)));
    out.insert("other".into(), json!(loaded.other.load(Relaxed)));
    Ok(out)
}

async fn storm(addr: SocketAddr, connections: usize, seconds: u64) -> Result<Arc<Counts>> {
    let counts = Arc::new(Counts::default());
    let end = load::now() + Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let counts = counts.clone();
        let mut client = Client::connect(addr, HOST).await?;
        tasks.push(gust_task::spawn("caller", async move {
            while load::now() < end {
                match client.get(PATH).await {
                    Ok(answer) => note(&counts, &answer).await,
                    Err(_) => {
                        counts.other.fetch_add(1, Relaxed);
                        match Client::connect(addr, HOST).await {
                            Ok(new) => client = new,
                            Err(_) => return,
                        }
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await?;
    }
    Ok(counts)
}

async fn note(counts: &Counts, answer: &Answer) {
    match answer.status.as_u16() {
        200 => counts.ok.fetch_add(1, Relaxed),
        429 | 503 => {
            if !answer.headers.contains_key("retry-after") {
                counts.refused_without_retry_after.fetch_add(1, Relaxed);
            }
            counts.refused.fetch_add(1, Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
            0
        }
        500 => counts.status_500.fetch_add(1, Relaxed),
        _ => counts.other.fetch_add(1, Relaxed),
    };
}
