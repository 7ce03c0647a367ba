//! 100,000 schedules on one node, of which a tenth fires at the same moment.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use gust_scenarios::{App, Client, Node};
use gust_task::clock;
use serde_json::{Map, Value, json};

use super::round3;
use crate::{Args, load, node, wrk};

/// Schedules of one app.
const PER_APP: usize = 1000;
const GUEST: &str = "hello-p2.wasm";
/// From the deployment of those that fire until they do.
const AHEAD: Duration = Duration::from_secs(20);
/// For the memory to be what it stays.
const SETTLE: Duration = Duration::from_secs(5);
/// Without a run done, the node is taken to be stuck.
const STUCK: Duration = Duration::from_secs(30);

pub(super) async fn run(args: &Args, disk: &Path, thousands: usize) -> Result<Map<String, Value>> {
    // 100,000 in a whole run.
    let apps = (thousands / 10).max(2);
    let firing = (apps / 10).max(1);
    let node = node::start(&args.gust, &disk.join("schedules"), "")?;
    // Both of the same function, so that only schedules are added.
    deploy(&node, args, "warm", 1, "0 0 1 1 *")?;
    tokio::time::sleep(SETTLE).await;
    let before = wrk::rss(node.pid())?;
    for app in firing..apps {
        deploy(&node, args, &format!("idle{app}"), PER_APP, "0 0 1 1 *")?;
    }
    let at_us = clock::unix_micros() + AHEAD.as_micros() as u64;
    let at_s = at_us / 1_000_000;
    let (minute, second) = (at_s / 60 % 60, at_s % 60);
    let hour = at_s / 3600 % 24;
    for app in 0..firing {
        let cron = format!("{second} {minute} {hour} * * *");
        deploy(&node, args, &format!("fires{app}"), PER_APP, &cron)?;
    }
    let left = at_us.saturating_sub(clock::unix_micros());
    ensure!(left > 3_000_000, "deploying took longer than {AHEAD:?}");
    tokio::time::sleep(SETTLE.min(Duration::from_micros(left - 2_000_000))).await;
    let held = wrk::rss(node.pid())?;
    let count = (firing * PER_APP) as u64;
    let took = until_done(&node, count, at_s * 1_000_000).await?;
    let text = metrics(&node).await?;
    let late = buckets(&text, "gust_schedule_lateness_seconds_bucket")?;
    let fired = late.last().map_or(0, |(_, n)| *n);
    ensure!(fired == count, "{fired} fired of {count}");
    let mb = (held.saturating_sub(before)) as f64 / 1e6;
    eprintln!(
        "{} schedules in {mb:.0} MB; {count} at once, done after {took:.2?}",
        apps * PER_APP
    );
    Ok(Map::from_iter([
        ("schedules".into(), json!(apps * PER_APP)),
        ("schedules_mb".into(), json!(mb.round())),
        ("schedules_fired".into(), json!(count)),
        (
            "schedules_late_ms".into(),
            json!({ "p50": quantile_ms(&late, 0.5), "p99": quantile_ms(&late, 0.99) }),
        ),
        ("schedules_done_s".into(), json!(round3(took.as_secs_f64()))),
    ]))
}

fn deploy(node: &Node, args: &Args, name: &str, count: usize, cron: &str) -> Result<()> {
    let trigger =
        |n: usize| format!("[[trigger]]\nname = \"t{n}\"\nfunction = \"f\"\ncron = \"{cron}\"\n\n");
    let app = App::new(name)?
        .function_from("f", &args.guests.join(GUEST), "route = false\n")?
        .text(&(0..count).map(trigger).collect::<String>());
    node.deploy(&app).map(drop)
}

/// Waits until so many runs are done; answers how long after this moment that was.
async fn until_done(node: &Node, count: u64, at_us: u64) -> Result<Duration> {
    let (mut last, mut since) = (0, load::now() + AHEAD);
    loop {
        let text = metrics(node).await?;
        let done = number(&text, "gust_deliveries_done_total")?;
        if done >= count {
            let now_us = clock::unix_micros();
            return Ok(Duration::from_micros(now_us.saturating_sub(at_us)));
        }
        if done != last {
            (last, since) = (done, load::now());
        }
        ensure!(since.elapsed() < STUCK, "{done} runs done of {count}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn metrics(node: &Node) -> Result<String> {
    let mut control = Client::connect(node.control, &node.control.to_string()).await?;
    Ok(control.get("/metrics").await?.text())
}

fn number(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.with_context(|| format!("no metric {name}"))?;
    Ok(value.trim().parse::<f64>()? as u64)
}

/// Upper bounds in seconds with how many are below each.
fn buckets(text: &str, name: &str) -> Result<Vec<(f64, u64)>> {
    let mut buckets = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix(name)) {
        let (bound, count) = line
            .strip_prefix("{le=\"")
            .and_then(|rest| rest.split_once("\"}"))
            .with_context(|| format!("not understood: {line}"))?;
        let bound = bound.parse().unwrap_or(f64::INFINITY);
        buckets.push((bound, count.trim().parse()?));
    }
    Ok(buckets)
}

/// As Prometheus reads a quantile out of buckets: evenly within the one it falls into.
fn quantile_ms(buckets: &[(f64, u64)], quantile: f64) -> Value {
    let all = buckets.last().map_or(0, |(_, n)| *n) as f64;
    let wanted = all * quantile;
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        let count = *count as f64;
        if count >= wanted && count > below {
            let part = (wanted - below) / (count - below);
            return json!(round3((low + (bound - low) * part) * 1000.0));
        }
        (low, below) = (*bound, count);
    }
    Value::Null
}
