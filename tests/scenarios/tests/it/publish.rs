//! Functions publish, and other functions take it: one trace, nothing lost, and only what the manifest allows.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use gust_scenarios::{App, Client, Node, until};
use serde_json::json;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A function that publishes what it is sent, and one that takes it.
fn shop() -> Result<App> {
    Ok(App::new("shop")?
        .function(
            "till",
            "publish-p2",
            "route = \"/...\"\nqueues = [\"orders\"]\n",
        )?
        .function(
            "quick",
            "publish-p3",
            "route = \"/quick\"\nqueues = [\"orders\"]\n",
        )?
        .function("stock", "publish-p2", "route = false\n")?
        .text("[[trigger]]\nfunction = \"stock\"\nqueue = \"orders\"\npath = \"/take\"\n"))
}

async fn client(node: &Node) -> Result<Client> {
    Client::connect(node.functions, "shop.gust.localhost").await
}

/// What the taking function printed: type, source, trace, data.
fn taken(node: &Node) -> Result<Vec<[String; 4]>> {
    let logs = node.json(&["logs", "shop"])?;
    let mut lines = Vec::new();
    for line in logs["entries"].as_array().into_iter().flatten() {
        let text = line["text"].as_str().unwrap_or_default();
        let parts: Vec<_> = text.splitn(4, ' ').map(str::to_owned).collect();
        lines.extend(<[String; 4]>::try_from(parts).ok());
    }
    Ok(lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_function_publishes_and_another_takes_it_in_the_same_trace() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&shop()?)?;
    let mut client = client(&node).await?;
    for (path, source) in [
        ("/queue/orders?type=order.placed", "till"),
        ("/topic/orders?type=order.placed", "till"),
        ("/queue/orders?type=order.placed", "quick"),
    ] {
        let before = taken(&node)?.len();
        let request = http::Request::post(path)
            .header("host", format!("{source}.shop.gust.localhost"))
            .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
        let answer = client.send(request, Bytes::from("订单 7")).await?;
        ensure!(answer.status == 200, "{}", answer.text());
        ensure!(answer.json()?["error"].is_null(), "{}", answer.text());
        until("taken", || Ok(taken(&node)?.len() > before))?;
        let [kind, from, trace, data] = taken(&node)?.pop().context("a line")?;
        assert_eq!((kind.as_str(), data.as_str()), ("order.placed", "订单 7"));
        assert_eq!(from, format!("/apps/shop/functions/{source}"));
        assert_eq!(trace.split('-').nth(1), Some(TRACE), "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_manifest_does_not_name_is_refused() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&shop()?)?;
    let mut client = client(&node).await?;
    let answer = client.post("/queue/mail", "x").await?.json()?;
    assert_eq!(answer["error"], "access-denied");
    let detail = answer["detail"].as_str().context("detail")?;
    ensure!(
        detail.contains("\"mail\"") && detail.contains("`queues`"),
        "{detail}"
    );
    let queues = node.json(&["queue", "ls"])?;
    ensure!(!queues.to_string().contains("mail"), "{queues}");
    // A key that is there already is told; so is a name that cannot be one.
    let twice = ["/queue/orders?key=k"; 2];
    let mut answers = Vec::new();
    for path in twice {
        answers.push(client.post(path, "x").await?.json()?["duplicate"].clone());
    }
    assert_eq!(answers, [json!(false), json!(true)]);
    let bad = App::new("bad")?.function("f", "publish-p2", "queues = [\"../etc\"]\n")?;
    let failed = node.gust_fails(&["deploy", &bad.write()?.to_string_lossy()])?;
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    ensure!(said.contains("../etc"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_to_a_topic_reaches_everybody_as_an_event() -> Result<()> {
    let node = Node::start()?;
    let outlets = "route = \"/...\"\nqueues = [\"orders\"]\ntopics = [\"news\", \"echo\"]\n";
    let app = App::new("shop")?
        .function("till", "publish-p2", outlets)?
        .function("quick", "publish-p3", &outlets.replace("/...", "/quick"))?
        .function("stock", "publish-p2", "route = false\n")?
        .function("mail", "publish-p2", "route = false\n")?
        .function("echo", "publish-p2", "route = false\ntopics = [\"echo\"]\n")?
        .text(
            r#"
[[trigger]]
function = "stock"
topic = "news"
path = "/take"
exactly_once = true

[[trigger]]
function = "mail"
topic = "news"
filter = "type = 'gust.topic.message'"
path = "/take"

[[trigger]]
function = "echo"
topic = "echo"
path = "/queue/echo"
"#,
        );
    node.deploy(&app)?;
    let shown = node.gust(&["show", "shop"])?;
    ensure!(shown.contains("news, echo"), "{shown}");
    let mut client = client(&node).await?;
    for (path, source, lines) in [
        (
            "/queue/news?type=order.placed&group=%E5%AE%A2%E6%88%B7",
            "till",
            1,
        ),
        ("/topic/news", "till", 2),
        ("/queue/news", "quick", 2),
    ] {
        let before = taken(&node)?.len();
        let request = http::Request::post(path)
            .header("host", format!("{source}.shop.gust.localhost"))
            .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
        let answer = client.send(request, Bytes::from("新闻 7")).await?;
        ensure!(answer.json()?["error"].is_null(), "{}", answer.text());
        until("taken", || Ok(taken(&node)?.len() >= before + lines))?;
        for [_, from, trace, data] in &taken(&node)?[before..] {
            assert_eq!(from, &format!("/apps/shop/functions/{source}"));
            assert_eq!(trace.split('-').nth(1), Some(TRACE), "{path}");
            assert_eq!(data, "新闻 7");
        }
    }
    let tail = [
        "topic",
        "tail",
        "news",
        "--after",
        "0",
        "--no-follow",
        "--json",
    ];
    let first: serde_json::Value =
        serde_json::from_str(node.gust(&tail)?.lines().next().context("an event")?)?;
    let event = &first["event"];
    assert_eq!(
        (&event["type"], &event["partitionkey"]),
        (&"order.placed".into(), &"客户".into())
    );
    ensure!(
        event["time"].is_string() && event["gusthops"].is_null(),
        "{event}"
    );
    // What a topic cannot keep is the function's error.
    let refused = client.post("/queue/news?priority=3", "x").await?.json()?;
    assert_eq!(refused["error"], "invalid", "{refused}");
    let twice = [0; 2].map(|_| "/queue/news?key=k");
    let mut answers = Vec::new();
    for path in twice {
        answers.push(client.post(path, "x").await?.json()?["duplicate"].clone());
    }
    assert_eq!(answers, [json!(false), json!(true)]);
    // A function that hears itself is stopped.
    client.post("/queue/echo", "回声").await?;
    let last = || Ok::<_, anyhow::Error>(node.json(&["topic", "show", "echo"])?["last"].as_u64());
    until("it has gone round", || Ok(last()? == Some(17)))?;
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(last()?, Some(17));
    let failed = app.function("both", "publish-p2", "queues = [\"a\"]\ntopics = [\"a\"]\n")?;
    let failed = node.gust_fails(&["deploy", &failed.write()?.to_string_lossy()])?;
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    ensure!(
        said.contains("`topics` and `queues` have the same name: a"),
        "{said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_the_functions_error_until_there_is_room() -> Result<()> {
    let node = Node::start()?;
    let app = |room: &str| -> Result<App> {
        let till = "route = \"/...\"\nqueues = [\"orders\"]\n";
        let app = App::new("shop")?.function("till", "publish-p2", till)?;
        Ok(app.text(&format!("[queue.orders]\nmax_bytes = \"{room}\"\n")))
    };
    node.deploy(&app("1KiB")?)?;
    let mut client = client(&node).await?;
    let mut full = client
        .post("/queue/orders", "x".repeat(400))
        .await?
        .json()?;
    ensure!(full["number"] == 1, "{full}");
    full = client
        .post("/queue/orders", "x".repeat(900))
        .await?
        .json()?;
    ensure!(full["error"] == "full", "{full}");
    // The function is the same, and so is its code in memory; the queue has changed.
    node.deploy(&app("1MiB")?)?;
    let kept = client
        .post("/queue/orders", "x".repeat(900))
        .await?
        .json()?;
    ensure!(kept["number"].is_u64(), "{kept}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_was_told_is_kept_outlives_a_kill() -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut acknowledged = BTreeSet::new();
    for round in 0..4 {
        let mut node = Node::start_on(data.path())?;
        if round == 0 {
            // Nobody takes anything yet.
            let alone = App::new("shop")?.function(
                "till",
                "publish-p2",
                "route = \"/...\"\nqueues = [\"orders\"]\n",
            )?;
            node.deploy(&alone)?;
        }
        let mut client = client(&node).await?;
        for n in 0..10 {
            let text = format!("{round}-{n}");
            let answer = client.post("/queue/orders", text.clone()).await?;
            ensure!(answer.json()?["number"].is_u64(), "{}", answer.text());
            acknowledged.insert(text);
        }
        node.kill_9()?;
    }
    let node = Node::start_on(data.path())?;
    assert_eq!(node.json(&["queue", "show", "orders"])?["messages"], 40);
    node.deploy(&shop()?)?;
    until("all are taken", || {
        let lines = taken(&node)?;
        let seen: BTreeSet<_> = lines.iter().map(|line| line[3].clone()).collect();
        Ok(seen == acknowledged)
    })
}
