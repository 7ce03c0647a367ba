//! 10,000 deployed functions: memory when idle, time to restart, first call of any of them.

use std::time::Duration;

use anyhow::{Result, ensure};
use gust_scenarios::Client;
use serde_json::{Map, Value, json};

use crate::{Args, guests, load::p50_p99, node, wrk};

const FUNCTIONS: usize = 10_000;
const PER_APP: usize = 500;
/// Distinct components among them.
const COMPONENTS: usize = 50;
/// Functions that are called for the first time.
const CALLED: usize = 1000;

pub(crate) async fn run(args: &Args) -> Result<Map<String, Value>> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let count = args.scale.unwrap_or(FUNCTIONS);
    let base = args.guests.join("hello-p3.wasm");
    let components = (0..COMPONENTS)
        .map(|n| guests::distinct(&base, n, folder.path()))
        .collect::<Result<Vec<_>>>()?;
    let node = node::start(&args.gust, &data, "")?;
    for first in (0..count).step_by(PER_APP) {
        let functions: Vec<_> = (first..(first + PER_APP).min(count))
            .map(|n| {
                (
                    format!("f{n}"),
                    components[n % COMPONENTS].clone(),
                    format!("route = \"/f{n}\"\n"),
                )
            })
            .collect();
        node::deploy(&node, &format!("app{}", first / PER_APP), &functions)?;
        eprintln!("deployed {} of {count}", (first + PER_APP).min(count));
    }
    drop(node);
    let node = node::start(&args.gust, &data, "")?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rss = wrk::rss(node.pid())?;
    let mut client = Client::connect(node.functions, "bench.invalid").await?;
    let mut first_calls = Vec::new();
    for i in 0..CALLED.min(count) {
        // A stride that is coprime with the count visits apps and components in turn.
        let n = i * 7919 % count;
        let answer = client
            .get_from(
                &format!("app{}.gust.localhost", n / PER_APP),
                &format!("/f{n}"),
            )
            .await?;
        ensure!(answer.status == 200, "f{n}: {}", answer.status);
        first_calls.push(answer.took);
    }
    let mut out = Map::new();
    out.insert("functions".into(), json!(count));
    out.insert("rss_mb".into(), json!(rss / 1_000_000));
    out.insert(
        "rss_after_calls_mb".into(),
        json!(wrk::rss(node.pid())? / 1_000_000),
    );
    out.insert(
        "restart_s".into(),
        json!((node.started_in.as_secs_f64() * 1000.0).round() / 1000.0),
    );
    out.insert("first_call_ms".into(), p50_p99(first_calls));
    Ok(out)
}
