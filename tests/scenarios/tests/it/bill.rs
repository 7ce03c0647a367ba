//! Every settled call is on the bill once: under load, over restarts, through guest failures, up to the budget.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use gust_scenarios::{App, Client, Node};
use serde_json::{Value, json};

const HOST: &str = "paid.gust.localhost";

async fn storm(node: &Node, callers: usize, calls: usize) -> Result<u64> {
    let mut tasks = Vec::new();
    let addr = node.functions;
    for caller in 0..callers {
        let mut client = Client::connect(addr, HOST).await?;
        tasks.push(gust_task::spawn("caller", async move {
            let mut settled = 0;
            for n in 0..calls {
                let path = ["/ok", "/trap", "/spin-ms/1", "/exit", "/log"][(caller + n) % 5];
                settled += match client.get(path).await {
                    Ok(answer) => u64::from(answer.status != 503 && answer.status != 429),
                    Err(_) => {
                        // A trap took the instance, and with it the answer of a call beside it: cut short, and settled.
                        client = Client::connect(addr, HOST).await?;
                        1
                    }
                };
            }
            anyhow::Ok(settled)
        }));
    }
    let mut sum = 0;
    for task in tasks {
        sum += task.await?.expect("a caller does not panic")?;
    }
    Ok(sum)
}

/// Every number of these objects, added up under its name.
fn sums(objects: &Value) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (name, value) in objects
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .flatten()
    {
        if let Some(number) = value.as_u64() {
            *sums.entry(name.clone()).or_default() += number;
        }
    }
    sums
}

/// What records add up to, under the names that sums have in a report of usage. Its one sum that no record shows, of calls
/// whose record was not kept, must be none.
fn record_sums(records: &Value) -> BTreeMap<String, u64> {
    let mut all = sums(records);
    let mut flat = Vec::new();
    for record in records.as_array().into_iter().flatten() {
        let start = match record["start"].as_str() {
            Some("none") => "uninstanced",
            Some(start) => start,
            None => "",
        };
        let outcome = record["outcome"].as_str().unwrap_or_default();
        flat.extend([
            record["host"].clone(),
            record["phases"].clone(),
            json!({ "calls": 1 }),
            json!({ start: 1 }),
            json!({ outcome: 1 }),
        ]);
    }
    all.extend(sums(&Value::Array(flat)));
    all
}

/// The rows, their total and the records that they are of say the same of every number. Answers the records' sums.
pub(crate) fn records_equal_usage(node: &Node, when: &str) -> Result<BTreeMap<String, u64>> {
    let usage = node.json(&["usage"])?;
    let records = node.json(&["usage", "--records", "--limit", "10000"])?;
    let (of_rows, of_records) = (sums(&usage["rows"]), record_sums(&records["records"]));
    for (field, total) in usage["total"].as_object().into_iter().flatten() {
        let rows = of_rows.get(field).copied();
        assert_eq!(rows, total.as_u64(), "the rows' {field} {when}");
        let recorded = of_records.get(field).copied().unwrap_or(0);
        assert_eq!(
            Some(recorded),
            total.as_u64(),
            "the records' {field} {when}"
        );
    }
    Ok(of_records)
}

pub(crate) fn billed(node: &Node) -> Result<u64> {
    Ok(node.json(&["usage"])?["total"]["calls"]
        .as_u64()
        .unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_equal_settled_calls_over_load_failures_and_restarts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut settled = 0;
    for round in 0..3 {
        let mut node = Node::start_on(&data)?;
        if round == 0 {
            node.deploy(&App::new("paid")?.function("paid", "faults-p3", "route = \"/...\"")?)?;
        }
        assert_eq!(billed(&node)?, settled, "after restart {round}");
        settled += storm(&node, 16, 100).await?;
        assert_eq!(billed(&node)?, settled, "round {round}");
        let of_records = records_equal_usage(&node, &format!("in round {round}"))?;
        for field in [
            "wall_us",
            "cpu_us",
            "memory_mb_ms",
            "bytes_out",
            "ok",
            "failed",
        ] {
            assert!(of_records[field] > 0, "the load shows something in {field}");
        }
        node.terminate();
        node.wait(Duration::from_secs(40))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_at_most_the_last_second_of_records() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut node = Node::start_on(&data)?;
    node.deploy(&App::new("paid")?.function("paid", "faults-p3", "route = \"/...\"")?)?;
    let settled = storm(&node, 8, 50).await?;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    node.kill_9()?;
    drop(node);
    let node = Node::start_on(&data)?;
    assert_eq!(
        billed(&node)?,
        settled,
        "records older than a second survive"
    );
    Ok(())
}

/// Billionths in a decimal amount.
fn nanos(amount: &Value) -> Result<u64> {
    let text = amount.as_str().context("an amount is a string")?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    Ok(format!("{whole}{fraction:0<9}").parse()?)
}

/// The least that a call costs: 0.20 for a million, as docs/metering.md has it. Memory and CPU add a little.
const CALL: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_warns_and_then_refuses_within_a_second() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&App::new("paid")?.function("paid", "faults-p3", "route = \"/...\"")?)?;
    let mut client = Client::connect(node.functions, HOST).await?;
    for _ in 0..20 {
        assert_eq!(client.get("/ok").await?.status, 200);
    }
    let state = || node.json(&["budget", "show"]);
    let before = nanos(&state()?["spent"])?;
    assert!((20 * CALL..30 * CALL).contains(&before), "{before}");
    let budget = before + 100 * CALL;
    node.gust(&["budget", "set", &format!("0.{budget:09}")])?;
    assert_eq!(state()?["standing"], "ok");

    let (mut served, mut warned, mut crossed) = (0, false, None);
    let refused = loop {
        assert!(served < 2000, "nothing is refused");
        let answer = client.get("/ok").await?;
        if answer.status != 200 {
            break answer;
        }
        served += 1;
        // By the price of calls alone, so rather late than early.
        if served * CALL >= budget - before {
            crossed.get_or_insert_with(gust_task::clock::now);
        } else if served % 5 == 0 {
            let state = state()?;
            let spent = nanos(&state["spent"])?;
            let standing = if spent * 100 >= budget * 80 {
                "warn"
            } else {
                "ok"
            };
            if spent < budget {
                assert_eq!(state["standing"], standing, "{state}");
            }
            warned |= state["standing"] == "warn";
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let late = crossed.map(|at: Instant| at.elapsed()).unwrap_or_default();
    assert!(late < Duration::from_secs(1), "{late:?} after crossing");
    assert!(warned, "it warned at 80 %");
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.headers.contains_key("retry-after"));
    for part in ["budget", "default", &format!("0.{budget:09}"), "USD"] {
        let part = part.trim_end_matches('0');
        assert!(refused.text().contains(part), "{part}: {}", refused.text());
    }
    let state = state()?;
    assert_eq!(state["standing"], "refuse");
    assert!(
        nanos(&state["spent"])? >= budget,
        "never before it is crossed: {state}"
    );

    node.gust(&["budget", "rm"])?;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(client.get("/ok").await?.status, 200);
    Ok(())
}
