//! A guest that misbehaves gets a typed, billed failure; the node and everybody else go on.

use std::time::Duration;

use anyhow::Result;
use gust_scenarios::{App, Client, Node};
use serde_json::Value;

/// Outcomes of the calls so far, newest first.
fn outcomes(node: &Node, function: &str) -> Result<Vec<Value>> {
    let records = node.json(&["usage", "--records", "--limit", "200"])?;
    let all = records["records"].as_array().cloned().unwrap_or_default();
    Ok(all
        .into_iter()
        .filter(|r| r["function"]["function"] == function)
        .collect())
}

const LIMITS: &str = "\
route = \"/...\"
[function.bad.limits]
memory = \"64MiB\"
cpu_time = \"200ms\"
wall_time = \"8s\"
request_body = \"1KiB\"
response_body = \"64KiB\"
";

async fn check(guest: &str) -> Result<()> {
    let node = Node::start()?;
    node.deploy(&App::new("bad")?.function("bad", guest, LIMITS)?)?;
    let mut client = Client::connect(node.functions, "bad.gust.localhost").await?;
    assert_eq!(client.get("/ok").await?.status, 200);
    for (path, status, outcome) in [
        ("/spin", 504, "cpu_limit"),
        ("/sleep/60000", 504, "wall_limit"),
        ("/alloc/500", 502, "memory_limit"),
        ("/trap", 502, "failed"),
        ("/recurse", 502, "failed"),
        ("/exit", 502, "failed"),
        ("/no-response", 502, "failed"),
    ] {
        let answer = client.get(path).await?;
        assert!(
            answer.status.is_server_error(),
            "{guest}{path}: {} {}",
            answer.status,
            answer.text()
        );
        assert_eq!(answer.status, status, "{guest}{path}: {}", answer.text());
        assert!(
            !answer.text().contains("wasm backtrace"),
            "a caller sees no backtrace: {}",
            answer.text()
        );
        let last = outcomes(&node, "bad")?.remove(0);
        assert_eq!(last["outcome"], outcome, "{guest}{path}: {last}");
        assert_eq!(last["status"], status, "{guest}{path}: {last}");
        assert_eq!(
            client.get("/ok").await?.status,
            200,
            "{guest} serves after {path}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_wasi_0_2_guest_that_misbehaves_is_contained() -> Result<()> {
    check("faults-p2").await
}

#[tokio::test]
async fn a_wasi_0_3_guest_that_misbehaves_is_contained() -> Result<()> {
    check("faults-p3").await
}

#[tokio::test]
async fn cpu_time_is_billed_and_stops_close_to_its_limit() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&App::new("bad")?.function("bad", "faults-p3", LIMITS)?)?;
    let mut client = Client::connect(node.functions, "bad.gust.localhost").await?;
    client.get("/ok").await?;
    client.get("/spin").await?;
    let cpu = outcomes(&node, "bad")?[0]["cpu_us"].as_u64().unwrap_or(0);
    assert!(
        (190_000..300_000).contains(&cpu),
        "200 ms of CPU time are allowed, {cpu} us were billed"
    );
    client.get("/spin-ms/100").await?;
    let cpu = outcomes(&node, "bad")?[0]["cpu_us"].as_u64().unwrap_or(0);
    assert!(
        cpu >= 1_000,
        "a call that is busy for 100 ms is billed {cpu} us"
    );
    Ok(())
}

#[tokio::test]
async fn bodies_over_their_limit_are_refused() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&App::new("echo")?.function("bad", "echo-p3", LIMITS)?)?;
    let mut client = Client::connect(node.functions, "echo.gust.localhost").await?;
    assert_eq!(client.post("/echo", vec![b'x'; 1024]).await?.status, 200);
    assert_eq!(client.post("/echo", vec![b'x'; 1025]).await?.status, 413);
    let mut client = Client::connect(node.functions, "echo.gust.localhost").await?;
    let cut = client.get("/size/100000").await;
    let too_big = cut.map_or(true, |a| {
        a.status.is_server_error() || a.body.len() < 100_000
    });
    assert!(
        too_big,
        "a response over its limit is never delivered whole"
    );
    Ok(())
}

#[tokio::test]
async fn a_guest_that_prints_a_gigabyte_costs_the_node_nothing() -> Result<()> {
    let node = Node::start()?;
    let limits =
        "route = \"/...\"\n[function.loud.limits]\ncpu_time = \"30s\"\nwall_time = \"60s\"\n";
    node.deploy(&App::new("loud")?.function("loud", "faults-p2", limits)?)?;
    let mut client = Client::connect(node.functions, "loud.gust.localhost").await?;
    let answer = client.get("/print/1024").await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let kept = folder_size(&node.data().join("logs"));
    assert!(kept < 32 << 20, "{kept} bytes of logs are kept");
    Ok(())
}

fn folder_size(folder: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|e| {
            if e.path().is_dir() {
                folder_size(&e.path())
            } else {
                e.metadata().map_or(0, |m| m.len())
            }
        })
        .sum()
}
