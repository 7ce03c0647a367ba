//! First calls of functions that sleep: distinct components, prepared at deploy, none mapped after a restart.

use std::time::Duration;

use anyhow::{Result, ensure};
use gust_scenarios::{Client, Node};
use serde_json::{Map, Value, json};

use crate::{
    Args, guests,
    load::{p50_p99, percentile},
    millis, node,
};

/// Functions, and how many of each hundred are made from which guest (0.2 and 1.7 MB).
const FUNCTIONS: usize = 1000;
const MIX: &[(&str, usize)] = &[("hello-spin", 85), ("js-hello", 15)];
const PER_APP: usize = 100;
/// How long a node is left alone after its start.
const READ_AHEAD: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: &Args) -> Result<Map<String, Value>> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let count = args.scale.unwrap_or(FUNCTIONS);
    let config = format!("max_resident = {}\n", count + 10);
    let node = node::start(&args.gust, &data, &config)?;
    for first in (0..count).step_by(PER_APP) {
        let mut functions = Vec::new();
        for n in first..(first + PER_APP).min(count) {
            let component = guests::distinct(
                &args.guests.join(format!("{}.wasm", guest(n))),
                n,
                folder.path(),
            )?;
            functions.push((format!("f{n}"), component, format!("route = \"/f{n}\"\n")));
        }
        node::deploy(&node, &format!("app{}", first / PER_APP), &functions)?;
        eprintln!("deployed {} of {count}", (first + PER_APP).min(count));
    }
    drop(node);
    let node = node::start(&args.gust, &data, &config)?;
    // A node that has just started reads its prepared files ahead: what is measured is a sleeping function, not the disk.
    tokio::time::sleep(READ_AHEAD).await;
    // Everything the process itself needs is warm before the first measured call: one function outside the measured set.
    node::deploy(
        &node,
        "warmup",
        &[(
            "warmup".into(),
            args.guests.join("hello-p2.wasm"),
            "route = \"/\"\n".into(),
        )],
    )?;
    let mut client = Client::connect(node.functions, "bench.invalid").await?;
    for _ in 0..200 {
        client.get_from("warmup.gust.localhost", "/").await?;
    }
    let (mut cold, mut warm, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..count {
        let (host, path) = (
            format!("app{}.gust.localhost", n / PER_APP),
            format!("/f{n}"),
        );
        let first = client.get_from(&host, &path).await?;
        ensure!(
            first.status == 200,
            "{host}{path}: {} {}",
            first.status,
            String::from_utf8_lossy(&first.body)
        );
        let mut again = Vec::new();
        for _ in 0..5 {
            again.push(client.get_from(&host, &path).await?.took);
        }
        again.sort();
        let usual = percentile(&again, 50.0);
        added.push(first.took.saturating_sub(usual));
        cold.push(first.took);
        warm.push(usual);
    }
    let mut out = Map::new();
    out.insert("functions".into(), json!(count));
    out.insert("warm_ms".into(), p50_p99(warm));
    out.insert("cold_ms".into(), p50_p99(cold));
    out.insert("added_ms".into(), p50_p99(added));
    out.insert("phases_ms".into(), phases(&node)?);
    Ok(out)
}

fn guest(n: usize) -> &'static str {
    let mut place = n % 100;
    for (name, share) in MIX {
        if place < *share {
            return name;
        }
        place -= share;
    }
    MIX[0].0
}

/// What the usage records say of the cold calls.
fn phases(node: &Node) -> Result<Value> {
    let text = node.gust(&["usage", "--records", "--limit", "10000", "--json"])?;
    let records: Value = serde_json::from_str(&text)?;
    let records = records
        .as_array()
        .cloned()
        .unwrap_or_else(|| records["records"].as_array().cloned().unwrap_or_default());
    let mut out = Map::new();
    for phase in ["queue", "map", "link", "instantiate", "first_byte"] {
        let all: Vec<Duration> = records
            .iter()
            .filter(|r| r["start"] == "cold")
            .filter_map(|r| {
                r["phases"][format!("{phase}_us")]
                    .as_u64()
                    .map(Duration::from_micros)
            })
            .collect();
        let mut sorted = all.clone();
        sorted.sort();
        out.insert(phase.into(), json!({"p50": millis(percentile(&sorted, 50.0)), "p99": millis(percentile(&sorted, 99.0))}));
    }
    Ok(Value::Object(out))
}
