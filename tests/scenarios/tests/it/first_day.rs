//! A newcomer's first day: deploy, call, read the log, see the bill, remove.

use anyhow::Result;
use gust_scenarios::{App, Client, Node};

#[tokio::test]
async fn a_folder_becomes_a_url_with_logs_and_a_bill() -> Result<()> {
    let node = Node::start()?;
    let app = App::new("shop")?
        .function("front", "echo-p3", "route = \"/...\"")?
        .function("faults", "faults-p3", "route = \"/faults/...\"")?;
    let said = node.deploy(&app)?;
    assert!(said.contains("shop.gust.localhost"), "{said}");

    let mut client = Client::connect(node.functions, "shop.gust.localhost").await?;
    let answer = client.get("/info").await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        client
            .get_from("faults.shop.gust.localhost", "/log")
            .await?
            .status,
        200
    );

    let logs = node.gust(&["logs", "shop", "--limit", "20"])?;
    assert!(logs.contains("stdout") || !logs.is_empty(), "{logs}");

    let usage = node.json(&["usage"])?;
    assert!(usage.to_string().contains("front"), "{usage}");
    assert!(node.gust(&["bill"])?.contains("shop"));
    assert!(node.json(&["ls"])?.to_string().contains("shop"));

    node.gust(&["rm", "shop", "--yes"])?;
    assert_eq!(client.get("/info").await?.status, 404);
    Ok(())
}
