//! `exactly_once`: however often an event is delivered, what its function writes is there once.

use std::{io::Write as _, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use gust_scenarios::{App, Client, Node, until};
use serde_json::{Value, json};

/// Rounds that end with kill -9, and events in each.
const ROUNDS: u64 = 12;
const EVENTS: u64 = 25;

/// An app that counts what comes through the queue `events`, and one that looks.
fn deploy(node: &Node, path: &str, more: &str) -> Result<()> {
    deploy_all(
        node,
        &format!(
            "[[trigger]]\nfunction = \"count\"\npath = \"{path}\"\nqueue = \"events\"\nexactly_once = true\n{more}"
        ),
        true,
    )
}

fn deploy_all(node: &Node, text: &str, sql: bool) -> Result<()> {
    let sql = if sql { "sql = [\"default\"]\n" } else { "" };
    let counting = format!("route = false\nkv = [\"default\"]\nqueues = [\"told\"]\n{sql}");
    node.deploy(
        &App::new("shop")?
            .function("count", "once", &counting)?
            .text(text),
    )?;
    let look = "route = \"/...\"\nkv = [\"default\"]\nsql = [\"default\"]\n";
    node.deploy(&App::new("look")?.function("look", "host-spin2", look)?)?;
    Ok(())
}

fn publish(node: &Node, lines: &[String]) -> Result<()> {
    let mut child = node
        .command(&["queue", "publish", "events", "--lines"])
        // So that it stands in a batch as it is.
        .args(["-a", "content-type=text/plain"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut to = child.stdin.take().context("stdin")?;
    to.write_all(lines.join("\n").as_bytes())?;
    drop(to);
    ensure!(child.wait()?.success(), "published");
    Ok(())
}

fn queue(node: &Node, name: &str) -> Result<Value> {
    node.json(&["queue", "show", name])
}

fn drained(node: &Node) -> Result<()> {
    until("drained", || Ok(queue(node, "events")?["messages"] == 0))
}

fn ask(node: &Node, method: &str, path: &str, body: &str) -> Result<Value> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (path, body) = (path.to_owned(), body.to_owned().into());
    runtime.block_on(async {
        let mut client = Client::connect(node.functions, "look.gust.localhost").await?;
        let request = http::Request::builder().method(method).uri(path);
        client.send(request, body).await?.json()
    })
}

/// What the key-value store says that `n` is.
fn counted(node: &Node) -> Result<u64> {
    let value = ask(node, "GET", "/kv/default/n", "")?;
    let text = value["value"].as_str().unwrap_or("0");
    Ok(text.parse()?)
}

/// The events that the key-value store has seen.
fn seen(node: &Node) -> Result<u64> {
    let keys = ask(node, "GET", "/kv/default", "")?;
    let keys = keys["keys"].as_array().context("keys")?;
    let keys = keys.iter().filter_map(Value::as_str);
    Ok(keys.filter(|key| key.starts_with("seen/")).count() as u64)
}

fn sql(node: &Node, statement: &str) -> Result<Value> {
    let answer = ask(node, "POST", "/sql/default", statement)?;
    Ok(answer["rows"][0][0].clone())
}

/// Publishes and kills, again and again, in the middle of deliveries. Answers a node that has delivered everything.
fn survive(path: &str, folder: &std::path::Path) -> Result<Node> {
    let more = "[queue.events]\nattempts = 1000\n";
    for round in 0..ROUNDS {
        let mut node = Node::start_on(folder)?;
        if round == 0 {
            deploy(&node, path, more)?;
        }
        let lines: Vec<_> = (0..EVENTS).map(|n| format!("{round}-{n}")).collect();
        publish(&node, &lines)?;
        let pause = gust_task::ids::random_u64() % 150;
        std::thread::sleep(Duration::from_millis(pause));
        node.kill_9()?;
    }
    let node = Node::start_on(folder)?;
    drained(&node)?;
    let stats = queue(&node, "events")?;
    assert_eq!(
        json!([stats["done"], stats["dead"]]),
        json!([ROUNDS * EVENTS, 0])
    );
    Ok(node)
}

#[test]
fn a_counter_in_a_store_counts_every_event_once_through_kill_9() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = survive("/kv", folder.path())?;
    let all = ROUNDS * EVENTS;
    assert_eq!((counted(&node)?, seen(&node)?), (all, all));
    Ok(())
}

#[test]
fn a_counter_in_a_database_counts_every_event_once_through_kill_9() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = survive("/sql", folder.path())?;
    let all = ROUNDS * EVENTS;
    assert_eq!(sql(&node, "SELECT n FROM counter")?, json!(all));
    assert_eq!(sql(&node, "SELECT count(*) FROM seen")?, json!(all));
    assert_eq!(
        sql(&node, "SELECT count(DISTINCT id) FROM seen")?,
        json!(all)
    );
    assert_eq!(seen(&node)?, all);
    // What was published on the way is as many.
    assert_eq!(queue(&node, "told")?["messages"], json!(all));
    Ok(())
}

#[test]
fn what_fails_after_its_writes_has_written_nothing() -> Result<()> {
    for path in ["/kv", "/sql"] {
        let node = Node::start()?;
        let retry = "retry = { attempts = 3, delay = \"20ms\", jitter = 0 }\n";
        deploy(&node, path, retry)?;
        let triggers = node.json(&["trigger", "ls"])?;
        assert_eq!(triggers["triggers"][0]["spec"]["exactly_once"], true);
        let lines = ["fail", "first", "good", "trap", "first", "好"].map(str::to_owned);
        publish(&node, &lines)?;
        drained(&node)?;
        assert_eq!(queue(&node, "events")?["dead"], 2);
        assert_eq!(seen(&node)?, 4);
        if path == "/kv" {
            assert_eq!(counted(&node)?, 4);
            continue;
        }
        assert_eq!(sql(&node, "SELECT n FROM counter")?, json!(4));
        assert_eq!(queue(&node, "told")?["messages"], 4);
        // Its own transaction is refused in words.
        publish(&node, &["begin".to_owned()])?;
        drained(&node)?;
        let logs = node.gust(&["logs", "shop"])?;
        assert!(logs.contains("leave out BEGIN"), "{logs}");
        assert_eq!(queue(&node, "events")?["dead"], 3);
        // Nobody looks at what the platform keeps there.
        let answer = ask(&node, "POST", "/sql/default", "SELECT * FROM _gust_units")?;
        assert_eq!(answer["error"], "access-denied", "{answer}");
    }
    Ok(())
}

#[test]
fn a_batch_is_counted_as_one_or_not_at_all() -> Result<()> {
    let node = Node::start()?;
    publish(&node, &["a", "part", "b"].map(str::to_owned))?;
    let text = "[[trigger]]\nfunction = \"count\"\nqueue = \"events\"\nbatch = 10\nexactly_once = true\n\
                retry = { attempts = 1 }\n";
    deploy_all(&node, text, false)?;
    drained(&node)?;
    // One of them was not taken, so none was.
    assert_eq!(queue(&node, "events")?["dead"], 3);
    assert_eq!((counted(&node)?, seen(&node)?), (0, 0));
    publish(&node, &["c", "d", "e"].map(str::to_owned))?;
    drained(&node)?;
    assert_eq!(counted(&node)?, 3);
    // With a database there are no batches.
    let text = format!("{text}[queue.more]\nmax_age = \"1d\"\n");
    let app = App::new("shop")?
        .function("count", "once", "route = false\nsql = [\"default\"]\n")?
        .text(&text);
    let folder = app.write()?;
    let failed = node.gust_fails(&["deploy", &folder.to_string_lossy()])?;
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(said.contains("not a batch of 10"), "{said}");
    Ok(())
}

#[test]
fn every_kind_of_trigger_can_have_it() -> Result<()> {
    let node = Node::start()?;
    let text = r#"
[[trigger]]
name = "queue"
function = "count"
queue = "events"
exactly_once = true

[[trigger]]
name = "topic"
function = "count"
topic = "news"
exactly_once = true

[[trigger]]
name = "time"
function = "count"
rate = "1s"
exactly_once = true

[[trigger]]
name = "hook"
function = "count"
webhook = { path = "/hook", scheme = "none" }
exactly_once = true
"#;
    deploy_all(&node, text, true)?;
    publish(&node, &["a", "b", "c"].map(str::to_owned))?;
    for n in 0..3 {
        let data = n.to_string();
        node.gust(&["topic", "publish", "news", "--type", "t", "--data", &data])?;
    }
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let mut client = Client::connect(node.functions, "shop.gust.localhost").await?;
        let rung = client.post("/hook", "{}").await?;
        ensure!(rung.status == 202, "{}", rung.status);
        anyhow::Ok(())
    })?;
    let done = || -> Result<Vec<u64>> {
        let triggers = node.json(&["trigger", "ls"])?;
        let triggers = triggers["triggers"].as_array().context("triggers")?;
        Ok(triggers.iter().filter_map(|t| t["done"].as_u64()).collect())
    };
    // Between two ticks it is quiet.
    until("as many as there were", || {
        let done = done()?;
        let all: u64 = done.iter().sum();
        Ok(done.iter().all(|n| *n > 0) && all > 8 && (counted(&node)?, seen(&node)?) == (all, all))
    })
}
