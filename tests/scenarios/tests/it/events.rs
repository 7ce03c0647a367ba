//! Queues and schedules start functions; what fails is tried again, what cannot be is kept, and nothing is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use gust_scenarios::{App, Node, until};
use serde_json::{Value, json};

const SINK: &str = r#"
[[trigger]]
function = "sink"
queue = "orders"
retry = { attempts = 3, delay = "50ms", jitter = 0 }
"#;

fn app(more: &str) -> Result<App> {
    Ok(App::new("shop")?
        .function("sink", "sink", "route = false\n")?
        .text(more))
}

/// The lines that the sink has printed: type, id, attempt, data.
fn lines(node: &Node) -> Result<Vec<Vec<String>>> {
    let logs = node.json(&["logs", "shop"])?;
    let mut lines = Vec::new();
    for line in logs["entries"].as_array().into_iter().flatten() {
        let text = line["text"].as_str().unwrap_or_default();
        let parts: Vec<_> = text.splitn(5, ' ').map(str::to_owned).collect();
        if let [kind, id, _, attempt, data] = &parts[..]
            && kind.starts_with("gust.")
        {
            lines.push(vec![
                kind.clone(),
                id.clone(),
                attempt.clone(),
                data.clone(),
            ]);
        }
    }
    Ok(lines)
}

fn queue(node: &Node, name: &str) -> Result<Value> {
    node.json(&["queue", "show", name])
}

fn is_drained(node: &Node, name: &str) -> Result<bool> {
    Ok(queue(node, name)?["messages"] == 0)
}

#[test]
fn a_published_message_reaches_its_function() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&app(SINK)?)?;
    let id = node.gust(&["queue", "publish", "orders", "订单 7", "-a", "colour=红"])?;
    assert_eq!(id.trim(), "1");
    until("delivered", || is_drained(&node, "orders"))?;
    assert_eq!(lines(&node)?, [["gust.queue.message", "1", "1", "订单 7"]]);
    let triggers = node.json(&["trigger", "ls"])?;
    let trigger = &triggers["triggers"][0];
    assert_eq!(
        json!([trigger["spec"]["name"], trigger["done"], trigger["dead"]]),
        json!(["sink", 1, 0])
    );
    // It is on the bill as what it was.
    until("billed", || {
        let usage = node.json(&["usage", "--records"])?;
        Ok(usage["records"][0]["trigger"] == "queue")
    })
}

#[test]
fn what_fails_is_tried_again_and_what_cannot_be_is_kept_with_its_cause() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&app(SINK)?)?;
    for data in ["first:503", "status:500", "trap", "status:400", "good"] {
        node.gust(&["queue", "publish", "orders", data])?;
    }
    until("settled", || is_drained(&node, "orders"))?;
    let mut attempts: BTreeMap<String, u64> = BTreeMap::new();
    for line in lines(&node)? {
        *attempts.entry(line[3].clone()).or_default() += 1;
    }
    let wanted = [
        ("first:503", 2),
        ("good", 1),
        ("status:400", 1),
        ("status:500", 3),
        ("trap", 3),
    ];
    let wanted = wanted.map(|(data, n)| (data.to_owned(), n));
    assert_eq!(attempts, BTreeMap::from(wanted));
    let dead = node.json(&["queue", "dead", "orders"])?;
    let dead: Vec<_> = dead["messages"]
        .as_array()
        .context("messages")?
        .iter()
        .collect();
    let of = |n: usize| {
        let cause = dead[n]["cause"].as_str().unwrap_or_default();
        (
            dead[n]["message"]["text"].as_str(),
            cause,
            dead[n]["attempts"].as_u64(),
        )
    };
    assert_eq!(dead.len(), 3, "{dead:?}");
    let mut texts: Vec<_> = (0..3).map(|n| of(n).0.unwrap_or_default()).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["status:400", "status:500", "trap"]);
    for n in 0..3 {
        let (text, cause, attempts) = of(n);
        match text {
            Some("status:400") => ensure!(cause.contains("400") && attempts == Some(1), "{cause}"),
            Some("status:500") => ensure!(cause.contains("500") && attempts == Some(3), "{cause}"),
            _ => ensure!(attempts == Some(3), "{cause}"),
        }
    }
    // Once it is mended, what was given up is delivered.
    let one = dead.iter().find(|d| d["message"]["text"] == "status:400");
    let id = one.context("one")?["id"].to_string();
    node.gust(&["queue", "redrive", "orders", &id])?;
    until(
        "given up again",
        || Ok(queue(&node, "orders")?["dead"] == 3),
    )?;
    node.gust_fails(&["queue", "purge", "orders", "--dead"])?;
    node.gust(&["queue", "purge", "orders", "--dead", "--yes"])?;
    assert_eq!(queue(&node, "orders")?["dead"], 0);
    Ok(())
}

#[test]
fn groups_keep_their_order_and_a_slow_one_stops_no_other() -> Result<()> {
    let node = Node::start()?;
    // Published before anybody is there to take it.
    for n in 0..5 {
        node.gust(&[
            "queue",
            "publish",
            "orders",
            &format!("sleep:{}", 60 - n),
            "--group",
            "slow",
        ])?;
        node.gust(&[
            "queue",
            "publish",
            "orders",
            &format!("q{n}"),
            "--group",
            "quick",
        ])?;
    }
    assert_eq!(queue(&node, "orders")?["blocked"], 8);
    node.deploy(&app(SINK)?)?;
    until("delivered", || is_drained(&node, "orders"))?;
    let data: Vec<_> = lines(&node)?
        .into_iter()
        .map(|line| line[3].clone())
        .collect();
    let of = |word: &str| {
        data.iter()
            .filter(|d| d.starts_with(word))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(of("q"), ["q0", "q1", "q2", "q3", "q4"]);
    assert_eq!(
        of("sleep"),
        ["sleep:60", "sleep:59", "sleep:58", "sleep:57", "sleep:56"]
    );
    let last_quick = data
        .iter()
        .rposition(|d| d.starts_with('q'))
        .context("quick")?;
    let last_slow = data
        .iter()
        .rposition(|d| d.starts_with('s'))
        .context("slow")?;
    assert!(last_quick < last_slow, "{data:?}");
    Ok(())
}

#[test]
fn killed_at_any_moment_the_node_delivers_everything_it_acknowledged() -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut acknowledged = BTreeSet::new();
    for round in 0..5 {
        let mut node = Node::start_on(data.path())?;
        if round == 0 {
            node.deploy(&app(SINK)?)?;
        }
        for n in 0..12 {
            let text = format!("{round}-{n}");
            node.gust(&["queue", "publish", "orders", &text])?;
            acknowledged.insert(text);
        }
        node.kill_9()?;
    }
    let node = Node::start_on(data.path())?;
    until("delivered", || is_drained(&node, "orders"))?;
    let stats = queue(&node, "orders")?;
    assert_eq!(json!([stats["done"], stats["dead"]]), json!([60, 0]));
    // Lines of the last second before a kill may be missing from the log; what was done is what counts.
    let seen: BTreeSet<_> = lines(&node)?
        .into_iter()
        .map(|line| line[3].clone())
        .collect();
    assert!(seen.is_subset(&acknowledged), "{seen:?}");
    Ok(())
}

#[test]
fn a_schedule_fires_and_goes_on_after_a_restart() -> Result<()> {
    let data = tempfile::tempdir()?;
    let node = Node::start_on(data.path())?;
    let schedules = r#"
[[trigger]]
name = "tick"
function = "sink"
rate = "1s"
missed = "all"

[[trigger]]
name = "nightly"
function = "sink"
cron = "0 3 * * *"
timezone = "Asia/Shanghai"
"#;
    node.deploy(&app(schedules)?)?;
    let ticks = |node: &Node| -> Result<Vec<String>> {
        let lines = lines(node)?
            .into_iter()
            .filter(|line| line[0] == "gust.schedule.fired");
        Ok(lines.map(|line| line[1].clone()).collect())
    };
    until("two ticks", || Ok(ticks(&node)?.len() >= 2))?;
    let triggers = node.json(&["trigger", "ls"])?;
    assert!(triggers["triggers"][0]["next_us"].is_u64(), "{triggers}");
    drop(node);
    std::thread::sleep(Duration::from_millis(2500));
    let node = Node::start_on(data.path())?;
    // Those that were missed are made up for, each once.
    until("the missed ticks", || {
        let ids = ticks(&node)?;
        let second = |id: &String| id.rsplit('/').next()?.parse::<u64>().ok();
        let seconds: BTreeSet<_> = ids
            .iter()
            .filter_map(second)
            .map(|us| us / 1_000_000)
            .collect();
        ensure!(seconds.len() == ids.len(), "each fires once: {ids:?}");
        let (first, last) = (
            seconds.first().context("ticks")?,
            seconds.last().context("ticks")?,
        );
        Ok(seconds.len() >= 7 && last - first + 1 == seconds.len() as u64)
    })?;
    // Once it is gone, it fires no more.
    node.deploy(&app("")?)?;
    let before = ticks(&node)?.len();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(ticks(&node)?.len() <= before + 1);
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_at_deploy_with_its_place() -> Result<()> {
    let node = Node::start()?;
    for (text, wanted) in [
        (
            "[[trigger]]\nfunction = \"sink\"\ncron = \"0 0 30 2 *\"\n",
            "never fire",
        ),
        (
            "[[trigger]]\nfunction = \"sink\"\ncron = \"* * * *\"\n",
            "cron",
        ),
        (
            "[[trigger]]\nfunction = \"sink\"\nrate = \"1m\"\ntimezone = \"UTC\"\n",
            "timezone",
        ),
        (
            "[[trigger]]\nfunction = \"sink\"\nrate = \"10ms\"\n",
            "rate",
        ),
        (
            "[[trigger]]\nfunction = \"sink\"\ncron = \"* * * * *\"\ntimezone = \"Asia/Shangai\"\n",
            "Asia/Shanghai",
        ),
        (
            "[[trigger]]\nfunction = \"sunk\"\nqueue = \"q\"\n",
            "did you mean `sink`",
        ),
        ("[[trigger]]\nfunction = \"sink\"\n", "exactly one of"),
        (
            "[[trigger]]\nfunction = \"sink\"\nqueue = \"q\"\nretry = { attempts = 50 }\n",
            "gives messages up after 10",
        ),
        ("[queue.q]\nvisibilty = \"1s\"\n", "visibility"),
    ] {
        let app = app(text)?;
        let folder = app.write()?;
        let failed = node.gust_fails(&["deploy", &folder.to_string_lossy()])?;
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(said.contains(wanted), "{text}\n{said}");
    }
    node.deploy(&app("[queue.q]\nvisibility = \"1m\"\n")?)?;
    let other = App::new("other")?
        .function("sink", "sink", "")?
        .text("[queue.q]\nvisibility = \"2m\"\n");
    let failed = node.gust_fails(&["deploy", &other.write()?.to_string_lossy()])?;
    assert!(String::from_utf8_lossy(&failed.stderr).contains("other settings for the queue"));
    Ok(())
}
