//! One folder, one node; what it was given is there after a restart.

use std::time::Duration;

use anyhow::Result;
use gust_scenarios::{App, Client, Node, NodeOptions};

#[tokio::test]
async fn data_and_deploys_survive_a_restart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut node = Node::start_on(&data)?;
    node.deploy(&App::new("keep")?.function(
        "keep",
        "host-spin2",
        "route = \"/...\"\nkv = [\"default\"]\n",
    )?)?;
    let mut client = Client::connect(node.functions, "keep.gust.localhost").await?;
    let set = client
        .send(http::Request::put("/kv/default/名前"), "値".into())
        .await?;
    assert!(set.status.is_success(), "{} {}", set.status, set.text());
    node.terminate();
    assert!(
        node.wait(Duration::from_secs(10))?.success(),
        "{}",
        node.log()
    );
    drop(node);

    let node = Node::start_on(&data)?;
    let mut client = Client::connect(node.functions, "keep.gust.localhost").await?;
    let got = client.get("/kv/default/名前").await?;
    assert!(got.text().contains("値"), "{} {}", got.status, got.text());
    Ok(())
}

#[tokio::test]
async fn a_second_node_on_the_same_folder_is_refused() -> Result<()> {
    let node = Node::start()?;
    let second = Node::start_on(node.data());
    let error = second.err().map(|e| format!("{e:#}")).unwrap_or_default();
    assert!(error.contains("holds the data folder"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() -> Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    let taken = node.functions.to_string();
    let output = node
        .command(&[
            "serve",
            "--control",
            "127.0.0.1:0",
            "--listen",
            &taken,
            "--data",
        ])
        .arg(folder.path())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(&taken), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_flight_finish_when_the_node_stops() -> Result<()> {
    let mut node = Node::start_with(NodeOptions {
        config: "grace = \"10s\"\n".to_owned(),
        ..Default::default()
    })?;
    node.deploy(&App::new("slow")?.function("slow", "faults-p3", "route = \"/...\"")?)?;
    let mut client = Client::connect(node.functions, "slow.gust.localhost").await?;
    let call = gust_task::spawn("caller", async move { client.get("/sleep/1500").await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    node.terminate();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        Client::connect(node.functions, "slow.gust.localhost")
            .await
            .is_err(),
        "new connections are refused"
    );
    let answer = call.await?.expect("the caller does not panic")?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(node.wait(Duration::from_secs(5))?.success());
    Ok(())
}
