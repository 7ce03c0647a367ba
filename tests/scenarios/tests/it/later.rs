//! Calls that nobody waits for: made all the same, with their results kept, whatever happens to the node.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result};
use gust_scenarios::{App, Client, Node, until};
use serde_json::{Value, json};

fn app(more: &str) -> Result<App> {
    let quick = "retry = { attempts = 2, delay = \"50ms\", jitter = 0 }\n";
    App::new("shop")?
        .function(
            "echo",
            "echo-p2",
            "route = \"/echo\"\n[function.echo.async]\npublic = true\n",
        )?
        .function(
            "sink",
            "sink",
            &format!("route = \"/sink\"\n[function.sink.async]\n{quick}{more}"),
        )
}

fn ask(node: &Node, function: &str, body: &str) -> Result<String> {
    let target = format!("shop/{function}");
    let path = format!("/{function}");
    let id = node.gust(&["invoke", &target, "--async", "-p", &path, "-d", body])?;
    Ok(id.trim().to_owned())
}

fn over(node: &Node, id: &str) -> Result<Value> {
    node.json(&["call", "show", id, "--wait"])
}

fn state(node: &Node, id: &str) -> Result<Value> {
    Ok(node.json(&["call", "show", id])?["state"].clone())
}

#[test]
fn a_result_is_fetched_when_it_is_there() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&app("")?)?;
    let id = ask(&node, "echo", "你好")?;
    let call = over(&node, &id)?;
    assert_eq!(
        json!([
            call["state"],
            call["status"],
            call["attempts"],
            call["bytes"]
        ]),
        json!(["done", 200, 1, 6])
    );
    assert_eq!(node.gust(&["call", "result", &id])?, "你好");
    let waited = [
        "invoke",
        "shop/echo",
        "--async",
        "--wait",
        "-p",
        "/echo",
        "-d",
        "再见",
    ];
    assert_eq!(node.gust(&waited)?, "再见");
    // Of two with one key the second is the first.
    let keyed = |body: &'static str| {
        let key = ["--idempotency-key", "order-7", "-p", "/echo"];
        [&["invoke", "shop/echo", "--async", "-d", body][..], &key].concat()
    };
    assert_eq!(node.gust(&keyed("x"))?, node.gust(&keyed("x"))?);
    let refused = node.gust_fails(&keyed("y"))?;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another request"));
    assert_eq!(
        node.json(&["calls", "ls"])?["calls"]
            .as_array()
            .context("calls")?
            .len(),
        3
    );
    // It is on the bill under its own id, as what it was.
    until("billed", || {
        let usage = node.json(&["usage", "--records"])?;
        let records = usage["records"].as_array().context("records")?;
        Ok(records
            .iter()
            .any(|r| r["call"] == json!(id) && r["trigger"] == "async"))
    })?;
    Ok(())
}

#[test]
fn callers_from_outside_get_their_wish_where_the_function_grants_it() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&app("")?)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let (granted, ignored) = runtime.block_on(async {
        let mut client = Client::connect(node.functions, "shop.gust.localhost").await?;
        let wish = |path: &str| {
            let request = http::Request::post(path.to_owned());
            request
                .header("prefer", "respond-async")
                .header("idempotency-key", "k")
        };
        let granted = client.send(wish("/echo"), "你好".into()).await?;
        anyhow::Ok((granted, client.send(wish("/sink"), "good".into()).await?))
    })?;
    assert_eq!(
        (granted.status.as_u16(), granted.text().as_str()),
        (202, "")
    );
    assert_eq!(granted.headers["preference-applied"], "respond-async");
    let id = granted.headers["x-request-id"].to_str()?;
    assert_eq!(over(&node, id)?["state"], "done");
    assert_eq!(node.gust(&["call", "result", id])?, "你好");
    assert_eq!(ignored.status.as_u16(), 204);
    assert!(!ignored.headers.contains_key("preference-applied"));
    Ok(())
}

#[test]
fn who_would_rather_not_wait_is_held_to_the_rate_all_the_same() -> Result<()> {
    let node = Node::start()?;
    let more = "route = \"/\"\nlimits.rate = 3\nasync.public = true\n";
    node.deploy(&App::new("shop")?.function("echo", "echo-p2", more)?)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let answers = runtime.block_on(async {
        let mut client = Client::connect(node.functions, "shop.gust.localhost").await?;
        let mut answers = Vec::new();
        for _ in 0..30 {
            let request = http::Request::post("/").header("prefer", "respond-async");
            answers.push(client.send(request, "你好".into()).await?);
        }
        anyhow::Ok(answers)
    })?;
    let taken = answers.iter().filter(|a| a.status == 202).count();
    let refused: Vec<_> = answers.iter().filter(|a| a.status == 429).collect();
    assert_eq!(taken + refused.len(), 30);
    // Three at once, and three more in each second that passes meanwhile.
    assert!((3..20).contains(&taken), "{taken}");
    assert!(
        refused
            .iter()
            .all(|a| a.headers.contains_key("retry-after"))
    );
    Ok(())
}

#[test]
fn what_fails_ends_with_its_cause_and_reaches_the_queue() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&app(
        "on_failure = \"queue:failed\"\non_success = \"topic:done\"\n",
    )?)?;
    let trapped = ask(&node, "sink", "trap")?;
    let call = over(&node, &trapped)?;
    assert_eq!(
        json!([call["state"], call["attempts"]]),
        json!(["failed", 2])
    );
    let cause = call["cause"].as_str().context("cause")?;
    assert!(cause.contains("last try failed"), "{cause}");
    node.gust_fails(&["call", "result", &trapped])?;
    let refused = over(&node, &ask(&node, "sink", "status:400")?)?;
    assert_eq!(
        json!([refused["state"], refused["status"]]),
        json!(["done", 400])
    );
    let told = |queue: &str| node.json(&["queue", "peek", queue]);
    until("told", || {
        let done = node.json(&["topic", "show", "done"])?;
        Ok(told("failed")?["messages"][0].is_object() && done["events"] == 1)
    })?;
    let message = told("failed")?["messages"][0]["message"].clone();
    assert_eq!(message["attributes"]["ce-type"], "gust.call.failed");
    let data: Value = serde_json::from_str(message["text"].as_str().context("text")?)?;
    assert_eq!(
        json!([data["call"], data["request"]["body"]["text"]]),
        json!([trapped, "trap"])
    );
    assert_eq!(
        told("failed")?["messages"]
            .as_array()
            .context("messages")?
            .len(),
        1
    );
    Ok(())
}

#[test]
fn a_cancelled_call_stays_cancelled() -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut node = Node::start_on(data.path())?;
    node.deploy(&app("concurrency = 1\n")?)?;
    let running = ask(&node, "sink", "sleep:25000")?;
    let waiting = ask(&node, "sink", "never")?;
    until("it runs", || Ok(state(&node, &running)? == "running"))?;
    assert_eq!(state(&node, &waiting)?, "waiting");
    node.gust(&["call", "cancel", &waiting])?;
    // Killed while one is under way: it is made again, the other one never.
    node.kill_9()?;
    let node = Node::start_on(data.path())?;
    assert_eq!(state(&node, &waiting)?, "cancelled");
    until("it runs again", || Ok(state(&node, &running)? == "running"))?;
    let begun = gust_task::clock::now();
    node.gust(&["call", "cancel", &running])?;
    let next = ask(&node, "sink", "good")?;
    assert_eq!(over(&node, &next)?["state"], "done");
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "its place was free at once"
    );
    let refused = node.gust_fails(&["call", "cancel", &next])?;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the call is over"));
    let logs = node.json(&["logs", "shop"])?.to_string();
    assert!(logs.contains("good") && !logs.contains("never"), "{logs}");
    Ok(())
}

#[test]
fn killed_with_fifty_calls_the_node_makes_them_all() -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut node = Node::start_on(data.path())?;
    node.deploy(&app("concurrency = 3\n")?)?;
    let mut accepted = BTreeSet::new();
    for n in 0..50 {
        accepted.insert(ask(&node, "sink", &format!("sleep:{}", 300 + n))?);
    }
    node.kill_9()?;
    let node = Node::start_on(data.path())?;
    until("all are made", || {
        let calls = node.json(&["call", "ls", "-n", "100"])?;
        let calls = calls["calls"].as_array().context("calls")?.clone();
        let done = calls.iter().filter(|call| call["state"] == "done");
        let done: BTreeSet<_> = done.filter_map(|call| call["id"].as_str()).collect();
        Ok(done == accepted.iter().map(String::as_str).collect())
    })
}
