//! Every settled call is on the bill once: under load, over restarts, through guest failures, up to the budget.

use std::time::Duration;

use anyhow::Result;
use gust_scenarios::{App, Client, Node};

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

fn billed(node: &Node) -> Result<u64> {
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
        let by_function = node.json(&["usage"])?;
        let rows: u64 = by_function["rows"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|r| r["calls"].as_u64())
            .sum();
        assert_eq!(rows, settled, "the rows add up to the total");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_warns_and_then_refuses_within_a_second() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&App::new("paid")?.function("paid", "faults-p3", "route = \"/...\"")?)?;
    let mut client = Client::connect(node.functions, "paid.gust.localhost").await?;
    assert_eq!(client.get("/ok").await?.status, 200);
    node.gust(&["budget", "set", "0.0000001"])?;
    storm(&node, 4, 50).await?;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let answer = client.get("/ok").await?;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(answer.text().contains("budget"), "{}", answer.text());
    assert!(answer.headers.contains_key("retry-after"));
    node.gust(&["budget", "rm"])?;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(client.get("/ok").await?.status, 200);
    Ok(())
}
