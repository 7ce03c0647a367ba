//! Events go to every trigger that wants them, come back as replies and end as loops; and nothing acknowledged is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use gust_scenarios::{App, Node, until};
use serde_json::{Value, json};

fn app(more: &str) -> Result<App> {
    Ok(App::new("shop")?
        .function("big", "sink", "route = false\n")?
        .function("all", "sink", "route = false\n")?
        .text(more))
}

/// What a function has printed: type and data, in order.
fn lines(node: &Node, function: &str) -> Result<Vec<(String, String)>> {
    let logs = node.json(&["logs", "shop"])?;
    let mut lines = Vec::new();
    for line in logs["entries"].as_array().into_iter().flatten() {
        let text = line["text"].as_str().unwrap_or_default();
        let parts: Vec<_> = text.splitn(5, ' ').collect();
        if let [kind, _, "attempt", _, data] = parts[..]
            && line["function"] == function
        {
            lines.push((kind.to_owned(), data.to_owned()));
        }
    }
    Ok(lines)
}

fn data(node: &Node, function: &str) -> Result<Vec<String>> {
    Ok(lines(node, function)?
        .into_iter()
        .map(|(_, data)| data)
        .collect())
}

fn publish(node: &Node, kind: &str, data: &str) -> Result<u64> {
    let position = node.gust(&["topic", "publish", "orders", "--type", kind, "--data", data])?;
    Ok(position.trim().parse()?)
}

/// Every trigger has looked at everything and has nothing left.
fn is_through(node: &Node) -> Result<bool> {
    let triggers = node.json(&["trigger", "ls"])?;
    let topic = node.json(&["topic", "show", "orders"])?;
    let all = triggers["triggers"].as_array().context("triggers")?;
    let subscriptions = topic["subscriptions"].as_array().context("subscriptions")?;
    Ok(subscriptions.iter().all(|s| s["lag"] == 0)
        && all
            .iter()
            .all(|t| t["progress"]["waiting"] == 0 && t["in_flight"] == 0))
}

const TWO: &str = r#"
[[trigger]]
function = "big"
topic = "orders"
filter = "type = 'order.placed' AND size > 10"

[[trigger]]
function = "all"
topic = "orders"
filters = [{ prefix = { type = "order." } }, { not = { exact = { type = "order.gone" } } }]
"#;

#[test]
fn each_trigger_gets_what_it_wants_and_can_have_it_again() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&app(TWO)?)?;
    for (n, (kind, size)) in [
        ("order.placed", 5),
        ("order.placed", 50),
        ("order.paid", 50),
        ("order.gone", 50),
        ("other", 50),
    ]
    .into_iter()
    .enumerate()
    {
        let (size, data) = (format!("size={size}"), format!("e{n}"));
        let args = ["topic", "publish", "orders", "--type", kind, "-a", &size];
        let position = node.gust(&[&args[..], &["--data", &data]].concat())?;
        assert_eq!(position.trim(), (n + 1).to_string());
    }
    until("delivered", || is_through(&node))?;
    assert_eq!(data(&node, "big")?, ["e1"]);
    let of_all = |node: &Node| -> Result<_> {
        let mut all = data(node, "all")?;
        all.sort();
        Ok(all)
    };
    assert_eq!(of_all(&node)?, ["e0", "e1", "e2"]);
    let topic = node.json(&["topic", "show", "orders"])?;
    let one = &topic["subscriptions"][0];
    assert_eq!(
        json!([
            topic["events"],
            one["name"],
            one["cursor"],
            one["forwarded"]
        ]),
        json!([5, "shop/all", 5, 3])
    );
    // From the beginning, and it keeps its place over a deploy that changes its filter.
    node.gust(&["topic", "replay", "orders", "shop/all", "--earliest"])?;
    until("delivered again", || {
        Ok(of_all(&node)?.len() == 6 && is_through(&node)?)
    })?;
    node.deploy(&app(&TWO.replace("order.gone", "order.odd"))?)?;
    publish(&node, "order.gone", "e6")?;
    until("wanted now", || Ok(of_all(&node)?.len() == 7))?;
    // A new trigger may begin with what was there before it.
    let from_start = "\n[[trigger]]\nname = \"late\"\nfunction = \"big\"\ntopic = \"orders\"\n\
        filter = { exact = { type = \"other\" } }\nfrom = \"earliest\"\n";
    node.deploy(&app(&format!("{TWO}{from_start}"))?)?;
    until("the late one", || Ok(data(&node, "big")? == ["e1", "e4"]))?;
    // Once it is gone its subscription is too.
    node.deploy(&app("")?)?;
    until("unsubscribed", || {
        Ok(node.json(&["topic", "show", "orders"])?["subscriptions"] == json!([]))
    })
}

#[test]
fn replies_come_back_into_the_topic_and_a_loop_ends_by_its_name() -> Result<()> {
    let node = Node::start()?;
    let chain = r#"
[[trigger]]
name = "first"
function = "big"
topic = "orders"
path = "/answer/second"
filter = "type = 'first'"

[[trigger]]
name = "second"
function = "big"
topic = "orders"
path = "/batch/third/fourth"
filter = "type = 'second'"

[[trigger]]
name = "away"
function = "all"
topic = "orders"
path = "/answer/elsewhere"
filter = "type = 'third'"
reply = "other"

[[trigger]]
name = "mute"
function = "all"
topic = "orders"
path = "/answer/fifth"
filter = "type = 'fourth'"
reply = false

[[trigger]]
name = "ping"
function = "all"
topic = "orders"
path = "/answer/pong"
filter = "type = 'ping'"

[[trigger]]
name = "pong"
function = "all"
topic = "orders"
path = "/answer/ping"
filter = "type = 'pong'"

[[trigger]]
name = "broken"
function = "all"
topic = "orders"
path = "/broken"
filter = "type = 'broken'"
retry = { attempts = 2, delay = "10ms" }
"#;
    node.deploy(&app(chain)?)?;
    publish(&node, "first", "数据")?;
    until("the chain", || {
        Ok(node.json(&["topic", "show", "other"])?["events"] == 1)
    })?;
    until("all of it", || is_through(&node))?;
    let events = |topic: &str| -> Result<Vec<Value>> {
        let text = node.gust(&[
            "topic",
            "tail",
            topic,
            "--after",
            "0",
            "--no-follow",
            "--json",
        ])?;
        text.lines()
            .map(|line| Ok(serde_json::from_str(line)?))
            .collect()
    };
    let kinds: Vec<_> = events("orders")?
        .iter()
        .map(|e| e["event"]["type"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(kinds, ["first", "second", "third", "fourth"]);
    let last = &events("other")?[0]["event"];
    assert_eq!(
        json!([last["type"], last["gusthops"], last["gusttrail"]]),
        json!(["elsewhere", 3, "shop/first,shop/second,shop/away"])
    );
    publish(&node, "ping", "again")?;
    let dead = |trigger: &str| -> Result<Vec<String>> {
        let dead = node.json(&["trigger", "dead", trigger])?;
        let dead = dead["messages"].as_array().context("messages")?;
        let cause = |d: &Value| d["cause"].as_str().unwrap_or_default().to_owned();
        Ok(dead.iter().map(cause).collect())
    };
    until("the loop ended", || Ok(!dead("shop/ping")?.is_empty()))?;
    let cause = dead("shop/ping")?.remove(0);
    let wanted = "a loop: the event went through 16 triggers: shop/ping, shop/pong, shop/ping, ";
    assert!(cause.starts_with(wanted), "{cause}");
    assert!(dead("shop/pong")?.is_empty());
    // Seventeen events: the first and sixteen replies.
    assert_eq!(events("orders")?.len(), 4 + 17);
    publish(&node, "broken", "x")?;
    until("given up", || Ok(!dead("shop/broken")?.is_empty()))?;
    let cause = dead("shop/broken")?.remove(0);
    ensure!(cause.contains("its reply is no event"), "{cause}");
    node.gust(&["trigger", "redrive", "shop/broken"])?;
    until("given up again", || {
        Ok(lines(&node, "all")?
            .iter()
            .filter(|l| l.0 == "broken")
            .count()
            == 4)
    })?;
    until("kept again", || Ok(dead("shop/broken")?.len() == 1))?;
    node.gust(&["trigger", "purge", "shop/broken", "--dead", "--yes"])?;
    assert!(dead("shop/broken")?.is_empty());
    Ok(())
}

#[test]
fn killed_while_publishing_the_node_loses_nothing_it_acknowledged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let some = "\n[[trigger]]\nfunction = \"all\"\ntopic = \"orders\"\nfilter = \"type = 't'\"\n";
    let mut acknowledged = BTreeSet::new();
    for round in 0..4 {
        let mut node = Node::start_on(folder.path())?;
        if round == 0 {
            node.deploy(&app(some)?)?;
        }
        // Somebody is in the middle of publishing when it happens.
        let text: String = (0..20_000).map(|n| format!("{round}-line-{n}\n")).collect();
        let mut busy = node.command(&["topic", "publish", "orders", "--type", "bulk", "--lines"]);
        let mut busy = busy
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut pipe = busy.stdin.take().context("stdin")?;
        let writing = std::thread::spawn(move || {
            // It is cut off half-way.
            let _ = std::io::Write::write_all(&mut pipe, text.as_bytes());
        });
        for n in 0..8 {
            let text = format!("{round}-{n}");
            publish(&node, "t", &text)?;
            acknowledged.insert(text);
        }
        node.kill_9()?;
        busy.wait()?;
        let _ = writing.join();
    }
    let node = Node::start_on(folder.path())?;
    until("delivered", || is_through(&node))?;
    let topic = node.json(&["topic", "show", "orders"])?;
    let triggers = node.json(&["trigger", "ls"])?;
    let forwarded = topic["subscriptions"][0]["forwarded"].as_u64();
    assert_eq!(
        forwarded,
        Some(acknowledged.len() as u64),
        "each of them once"
    );
    assert_eq!(triggers["triggers"][0]["progress"]["dead"], 0);
    let args = [
        "topic",
        "tail",
        "orders",
        "--after",
        "0",
        "--no-follow",
        "--json",
    ];
    let mut there = BTreeSet::new();
    for line in node.gust(&args)?.lines() {
        let event: Value = serde_json::from_str(line)?;
        there.extend(event["event"]["data"].as_str().map(str::to_owned));
    }
    ensure!(acknowledged.is_subset(&there), "something is gone");
    Ok(())
}

#[test]
fn events_of_one_key_keep_their_order() -> Result<()> {
    let node = Node::start()?;
    let all = "\n[[trigger]]\nfunction = \"all\"\ntopic = \"orders\"\nretry = { attempts = 3, delay = \"10ms\" }\n";
    node.deploy(&app(all)?)?;
    for n in 0..30 {
        let key = format!("partitionkey=k{}", n % 3);
        // One of each key fails at first, and the others of its key wait for it.
        let text = if n < 3 {
            "first:503".to_owned()
        } else {
            format!("{n}")
        };
        let args = ["topic", "publish", "orders", "--type", "t", "-a", &key];
        node.gust(&[&args[..], &["--data", &text]].concat())?;
    }
    until("delivered", || is_through(&node))?;
    let mut by_key: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for n in data(&node, "all")?.iter().filter_map(|d| d.parse().ok()) {
        by_key.entry(n % 3).or_default().push(n);
    }
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>(), 27);
    for (key, seen) in by_key {
        assert!(seen.is_sorted(), "key {key}: {seen:?}");
    }
    Ok(())
}

#[test]
fn people_follow_a_topic_and_what_is_wrong_is_said() -> Result<()> {
    let node = Node::start()?;
    let args = ["topic", "tail", "orders", "--json", "-n", "2"];
    let filters = ["--filter", "type=a", "--filter", "EXISTS subject"];
    let mut tail = node.command(&[&args[..], &filters[..]].concat());
    let tail = tail.stdout(Stdio::piped()).spawn()?;
    std::thread::sleep(Duration::from_millis(500));
    for (kind, subject) in [("a", "1"), ("b", "2"), ("a", "3")] {
        let args = [
            "topic",
            "publish",
            "orders",
            "--type",
            kind,
            "--subject",
            subject,
        ];
        node.gust(&args)?;
    }
    let printed = tail.wait_with_output()?;
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    let subjects: Vec<_> = printed
        .lines()
        .map(|line| Ok(serde_json::from_str::<Value>(line)?["event"]["subject"].clone()))
        .collect::<Result<_>>()?;
    assert_eq!(subjects, ["1", "3"]);
    let once = [
        "topic", "publish", "orders", "--type", "c", "--id", "x", "--once",
    ];
    assert_eq!(node.gust(&once)?, node.gust(&once)?);
    let topics = node.json(&["topic", "ls"])?;
    assert_eq!(topics["topics"][0]["events"], 4);
    let fails = |args: &[&str], wanted: &str| -> Result<()> {
        let failed = node.gust_fails(args)?;
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        ensure!(said.contains(wanted), "{args:?}: {said}");
        Ok(())
    };
    fails(
        &["topic", "tail", "orders", "--filter", "type = "],
        "filter:",
    )?;
    fails(
        &["topic", "publish", "orders", "--type", "a", "-a", "Bad=1"],
        "Bad",
    )?;
    fails(
        &["topic", "replay", "orders", "shop/all", "--earliest"],
        "no such subscription",
    )?;
    fails(&["topic", "purge", "orders"], "--yes")?;
    node.gust(&["topic", "purge", "orders", "--yes"])?;
    assert_eq!(node.json(&["topic", "show", "orders"])?["events"], 0);
    let bad = "\n[[trigger]]\nfunction = \"all\"\ntopic = \"orders\"\nfilters = [{ any = [\"type = \"] }]\n";
    let app = app(bad)?;
    let folder = app.write()?;
    fails(
        &["deploy", &folder.to_string_lossy()],
        "filters[0].any[0].sql",
    )
}
