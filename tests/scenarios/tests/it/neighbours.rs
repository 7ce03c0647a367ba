//! A spinning, a memory-eating and a sleeping guest beside a well-behaved one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use gust_scenarios::{App, Client, Node};

const BAD: &str =
    "cpu_time = \"200ms\"\nwall_time = \"600ms\"\nmemory = \"64MiB\"\nconcurrency = 4\n";

async fn p99(client: &mut Client, calls: usize) -> Result<Duration> {
    let mut took = Vec::with_capacity(calls);
    for _ in 0..calls {
        let answer = client.get("/").await?;
        anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        took.push(answer.took);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    took.sort();
    Ok(took[calls * 99 / 100])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_neighbours_do_not_stop_a_good_one() -> Result<()> {
    let node = Node::start()?;
    let limits = |name: &str| format!("[function.{name}.limits]\n{BAD}");
    node.deploy(&App::new("good")?.function("good", "hello-p3", "route = \"/...\"")?)?;
    node.deploy(
        &App::new("bad")?
            .function("spin", "faults-p3", &limits("spin"))?
            .function("eat", "faults-p2", &limits("eat"))?
            .function("sleep", "faults-p3", &limits("sleep"))?,
    )?;
    let mut good = Client::connect(node.functions, "good.gust.localhost").await?;
    p99(&mut good, 50).await?;
    let alone = p99(&mut good, 500).await?;

    let over = Arc::new(AtomicBool::new(false));
    let mut bad = Vec::new();
    for (function, path) in [
        ("spin", "/spin"),
        ("eat", "/alloc"),
        ("sleep", "/sleep/60000"),
    ] {
        let host = format!("{function}.bad.gust.localhost");
        let mut client = Client::connect(node.functions, &host).await?;
        let over = over.clone();
        let calls = gust_task::spawn("bad neighbour", async move {
            let mut failed = 0u32;
            while !over.load(Relaxed) {
                let answer = client.get(path).await?;
                anyhow::ensure!(answer.status.is_server_error(), "{path}: {}", answer.status);
                failed += 1;
            }
            anyhow::Ok(failed)
        });
        bad.push((function, calls));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let beside = p99(&mut good, 500).await?;
    over.store(true, Relaxed);
    let mut failed = 0;
    for (function, calls) in bad {
        let calls = calls.await?.context("cut off")??;
        ensure!(calls > 0, "{function} was never stopped");
        failed += calls;
    }
    let records = node.gust(&["usage", "--records", "--limit", "10000", "--json"])?;
    for outcome in ["cpu_limit", "memory_limit", "wall_limit"] {
        ensure!(records.contains(outcome), "{outcome} is not on the bill");
    }
    println!(
        "p99 of the good neighbour: {alone:?} alone, {beside:?} beside three bad ones ({failed} stopped)"
    );
    assert!(
        beside < Duration::from_millis(250),
        "the good neighbour's p99 went from {alone:?} to {beside:?}"
    );
    Ok(())
}
