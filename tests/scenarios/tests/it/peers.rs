//! Functions of an app call each other in process, whatever each of them is made for.

use anyhow::{Context as _, Result, ensure};
use gust_scenarios::{App, Client, Node, until};

/// Callers and callees of WASI 0.2 and 0.3, and programs.
fn app() -> Result<App> {
    let own = "outbound = [\"http://*.gust.internal\", \"http://*.spin.internal\", \"self\"]\n";
    App::new("shop")?
        .function("host2", "host-wasi", own)?
        .function("host3", "host-p3", own)?
        .function("echo2", "echo-p2", "")?
        .function("echo3", "echo-p3", "route = \"/count\"\n")?
        .function("program", "command-p3", "route = \"/program\"\n")?
        .function("slow2", "faults-p2", "")?
        .function("slow3", "faults-p3", "")
}

/// A path that makes its function fetch this.
fn fetch(url: &str, more: &str) -> String {
    let bytes = url.bytes().map(|byte| match byte {
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    });
    format!("/fetch?url={}{more}", bytes.collect::<String>())
}

async fn client(node: &Node, function: &str) -> Result<Client> {
    Client::connect(node.functions, &format!("{function}.shop.gust.localhost")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_of_every_kind_call_each_other() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&app()?)?;
    for from in ["host2", "host3"] {
        let mut client = client(&node, from).await?;
        for to in ["echo2", "echo3"] {
            for domain in ["gust.internal", "spin.internal"] {
                let url = format!("http://{to}.{domain}/echo");
                let path = fetch(&url, "&method=POST&body=%E6%AD%A3%E6%96%87");
                let answer = client.get(&path).await?.json()?;
                ensure!(answer["body"] == "正文", "{from} to {url}: {answer}");
            }
            // More than any buffer on the way.
            let url = format!("http://{to}.gust.internal/size/3000000");
            let answer = client.get(&fetch(&url, "")).await?.json()?;
            let body = answer["body"].as_str().context("no body")?;
            ensure!(body.len() == 3_000_000, "{from} to {url}: {}", body.len());
            let url = format!("http://{to}.gust.internal/sse");
            let answer = client.get(&fetch(&url, "")).await?.json()?;
            ensure!(answer["body_error"].is_null(), "{from} to {url}: {answer}");
        }
        let path = fetch("http://program.gust.internal/", "&method=POST&body=x");
        let answer = client.get(&path).await?.json()?;
        ensure!(answer["status"] == 200, "{from} to a program: {answer}");
        let answer = client.get(&fetch("http://self.alt/count", "")).await?;
        ensure!(
            answer.status == 200 && answer.text().contains("\"status\":200"),
            "{from} to a route of its own: {}",
            answer.text()
        );
    }
    let records = node.gust(&["usage", "--records", "--limit", "1000", "--json"])?;
    ensure!(!records.contains("\"platform\""), "{records}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_functions_answers() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&app()?)?;
    let last = "http://echo3.gust.internal/count".to_owned();
    let hops = ["host3", "host2", "host3", "host3", "host2"];
    let url = hops.iter().fold(last, |url, function| {
        format!("http://{function}.gust.internal{}", fetch(&url, ""))
    });
    let mut client = client(&node, "host3").await?;
    let answer = client.get(&fetch(&url, "")).await?;
    let text = answer.text();
    ensure!(answer.status == 200, "{text}");
    ensure!(text.matches("status").count() >= hops.len(), "{text}");
    ensure!(!text.contains("InternalError"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_no_longer_ends_the_call() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&app()?)?;
    for (from, to) in [("host2", "slow3"), ("host3", "slow2"), ("host3", "slow3")] {
        let mut client = client(&node, from).await?;
        let url = format!("http://{to}.gust.internal/sleep/20000");
        let answer = client.get(&fetch(&url, "&timeout_ms=300")).await?;
        ensure!(answer.text().contains("Timeout"), "{}", answer.text());
    }
    until("the calls that nobody waits for are over", || {
        let records = node.gust(&["usage", "--records", "--limit", "100", "--json"])?;
        Ok(records.matches("cancelled").count() == 3)
    })
}
