//! More callers than places: in order, bounded, refused clearly, never a 500.

use std::time::Duration;

use anyhow::Result;
use gust_scenarios::{App, Client, Node};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_the_capacity_is_refused_politely() -> Result<()> {
    let node = Node::start()?;
    let limits = "route = \"/...\"\n[function.busy.limits]\nconcurrency = 4\nqueue = 4\nqueue_time = \"500ms\"\n";
    node.deploy(&App::new("busy")?.function("busy", "faults-p3", limits)?)?;
    let mut callers = Vec::new();
    for _ in 0..80 {
        let mut client = Client::connect(node.functions, "busy.gust.localhost").await?;
        callers.push(gust_task::spawn("caller", async move {
            client.get("/sleep/100").await
        }));
    }
    let (mut served, mut refused) = (0, 0);
    for caller in callers {
        let answer = caller.await?.expect("the caller does not panic")?;
        match answer.status.as_u16() {
            200 => served += 1,
            503 | 429 => {
                refused += 1;
                assert!(
                    answer.headers.contains_key("retry-after"),
                    "{:?}",
                    answer.headers
                );
                assert!(!answer.text().is_empty(), "a refusal explains itself");
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert!(
        served >= 8 && refused > 0,
        "{served} served, {refused} refused"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_own_instances_run_out_without_a_500() -> Result<()> {
    let node = Node::start_with(gust_scenarios::NodeOptions {
        config: "max_instances = 10\n".to_owned(),
        ..Default::default()
    })?;
    let one_each = "route = \"/...\"\n[function.busy.reuse]\ncalls = 1\nconcurrent = 1\n";
    node.deploy(&App::new("busy")?.function("busy", "faults-p3", one_each)?)?;
    let mut callers = Vec::new();
    for _ in 0..100 {
        let mut client = Client::connect(node.functions, "busy.gust.localhost").await?;
        callers.push(gust_task::spawn("caller", async move {
            client.get("/sleep/50").await
        }));
    }
    for caller in callers {
        let answer = caller.await?.expect("the caller does not panic")?;
        assert_eq!(answer.status, 200, "all wait their turn: {}", answer.text());
        assert!(answer.took < Duration::from_secs(10));
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_over_its_rate_is_told_so() -> Result<()> {
    let node = Node::start()?;
    let limits = "route = \"/...\"\n[function.few.limits]\nrate = 5\n";
    node.deploy(&App::new("few")?.function("few", "hello-p2", limits)?)?;
    let mut client = Client::connect(node.functions, "few.gust.localhost").await?;
    let mut refused = 0;
    for _ in 0..30 {
        let answer = client.get("/").await?;
        if answer.status == 429 {
            refused += 1;
            assert!(answer.headers.contains_key("retry-after"));
        }
    }
    assert!(refused >= 15, "{refused} of 30 were refused at 5 a second");
    Ok(())
}
