//! What one function changes another one hears of: each change once, those of one key in their order, whatever happens in
//! between.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use gust_scenarios::{App, Client, Node, until};
use serde_json::Value;

fn app(triggers: &str) -> Result<App> {
    Ok(App::new("shop")?
        .function(
            "till",
            "host-spin2",
            "route = \"/...\"\nkv = [\"default\"]\nsql = [\"shop\"]\n",
        )?
        .function("audit", "sink", "route = false\n")?
        .text(triggers))
}

const KV: &str = r#"
[[trigger]]
function = "audit"
path = "/subject"
kv = "default"
prefix = "用户/"
retry = { attempts = 4, delay = "10ms" }
"#;

/// Whether every one of `all` changes was forwarded and delivered.
fn is_through(node: &Node, stream: &str, all: usize) -> Result<bool> {
    let shown = node.json(&["topic", "show", stream])?;
    let triggers = node.json(&["trigger", "ls"])?;
    let trigger = &triggers["triggers"][0];
    let progress = &trigger["progress"];
    ensure!(progress["dead"] == 0, "{progress}");
    Ok(shown["subscriptions"][0]["forwarded"] == all
        && progress["waiting"] == 0
        && trigger["in_flight"] == 0)
}

/// The writes before the kill. Their lines may be missing from the log, for it is written a moment later than the event is
/// done; that they were delivered their trigger knows.
const BEFORE_THE_KILL: usize = 20;

/// What was written, by key or row, in order, each with its number.
type Wanted = BTreeMap<String, Vec<(usize, String)>>;

/// Everything was heard in its order, but for lines that the kill took.
fn ensure_heard(mut heard: BTreeMap<String, Vec<String>>, wanted: &Wanted) -> Result<()> {
    for (key, wanted) in wanted {
        let heard = heard.remove(key).unwrap_or_default();
        let mut rest = heard.iter().peekable();
        for (n, value) in wanted {
            let is_heard = rest.next_if_eq(&value).is_some();
            ensure!(
                is_heard || *n < BEFORE_THE_KILL,
                "{key}: {value} of {wanted:?} in {heard:?}"
            );
        }
        ensure!(rest.len() == 0, "{key}: {heard:?} for {wanted:?}");
    }
    ensure!(heard.is_empty(), "{heard:?}");
    Ok(())
}

/// What the audit has heard: type, id, subject and data, in order. What was tried again counts as it came at last, and what
/// a kill has brought twice counts once.
fn heard(node: &Node) -> Result<Vec<[String; 4]>> {
    let logs = node.json(&["logs", "shop", "-n", "5000"])?;
    let (mut lines, mut ids) = (Vec::new(), BTreeSet::new());
    for line in logs["entries"].as_array().into_iter().flatten() {
        let text = line["text"].as_str().unwrap_or_default();
        let parts: Vec<_> = text.splitn(6, ' ').collect();
        if let [kind, id, "attempt", attempt, subject, data] = parts[..]
            && (attempt != "1" || !data.starts_with("first:"))
            && ids.insert(id.to_owned())
        {
            lines.push([kind, id, subject, data].map(str::to_owned));
        }
    }
    Ok(lines)
}

async fn write(client: &mut Client, key: &str, value: &str) -> Result<()> {
    let path = format!("/kv/default/{key}");
    let request = match value {
        "-" => http::Request::delete(path),
        _ => http::Request::put(path),
    };
    let answer = client.send(request, value.to_owned().into()).await?;
    ensure!(answer.text().contains("ok"), "{}", answer.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_function_writes_another_hears_of_in_order() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut node = Node::start_on(folder.path())?;
    let connect = async |node: &Node| Client::connect(node.functions, "shop.gust.localhost").await;
    node.deploy(&app("")?)?;
    let mut client = connect(&node).await?;
    write(&mut client, "用户%2F0", "unheard").await?;
    node.deploy(&app(KV)?)?;
    let mut wanted = Wanted::new();
    for n in 0..60 {
        if n == BEFORE_THE_KILL {
            // In the middle of it all.
            node.kill_9()?;
            drop(node);
            node = Node::start_on(folder.path())?;
            client = connect(&node).await?;
        }
        let key = format!("用户%2F{}", n % 4);
        let value = match n % 7 {
            3 => "first:503".to_owned(),
            5 => "-".to_owned(),
            _ => format!("值{n}"),
        };
        write(&mut client, &key, &value).await?;
        write(&mut client, "another", &value).await?;
        wanted
            .entry(format!("用户/{}", n % 4))
            .or_default()
            .push((n, value));
    }
    let all: usize = wanted.values().map(Vec::len).sum();
    until("everything is heard", || {
        is_through(&node, "kv:default", all)
    })?;
    let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for [kind, _, subject, data] in heard(&node)? {
        let value = match &*kind {
            "gust.kv.deleted" => "-".to_owned(),
            _ => data,
        };
        // As the binding writes it in a header.
        let key = subject.replace("%E7%94%A8%E6%88%B7", "用户");
        by_key.entry(key).or_default().push(value);
    }
    ensure_heard(by_key, &wanted)?;
    people_see_the_stream(&node, all)
}

fn people_see_the_stream(node: &Node, all: usize) -> Result<()> {
    let listed = node.gust(&["trigger", "ls"])?;
    ensure!(listed.contains("kv:default 用户/*"), "{listed}");
    let shown = node.json(&["topic", "show", "kv:default"])?;
    assert_eq!(shown["topic"], "kv:default");
    let one = &shown["subscriptions"][0];
    assert_eq!(
        (&one["name"], &one["lag"]),
        (&"shop/audit".into(), &0.into())
    );
    assert_eq!(one["forwarded"], all);
    let topics = node.json(&["topic", "ls"])?;
    assert_eq!(topics["topics"][0]["topic"], "kv:default");
    let tail = ["topic", "tail", "kv:default", "--after", "0", "--no-follow"];
    let filter = ["--json", "--filter", "subject=用户/1"];
    let printed = node.gust(&[&tail[..], &filter[..]].concat())?;
    let first: Value = serde_json::from_str(printed.lines().next().context("a line")?)?;
    let event = &first["event"];
    assert_eq!(
        [&event["type"], &event["source"], &event["data"]],
        ["gust.kv.set", "/kv/default", "值1"]
    );
    let publish = ["topic", "publish", "kv:default", "--type", "gust.kv.set"];
    let failed = node.gust_fails(&publish)?;
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    ensure!(said.contains("read only: kv:default"), "{said}");
    // Delivered again from the beginning; then, without the trigger, nothing more is kept.
    node.gust(&["topic", "replay", "kv:default", "shop/audit", "--earliest"])?;
    until("forwarded again", || {
        let shown = node.json(&["topic", "show", "kv:default"])?;
        Ok(shown["subscriptions"][0]["forwarded"] == 2 * all)
    })?;
    node.deploy(&app("")?)?;
    until("nobody listens", || {
        let shown = node.json(&["topic", "show", "kv:default"])?;
        Ok(shown["subscriptions"].as_array().is_some_and(Vec::is_empty))
    })
}

const SQL: &str = r#"
[[trigger]]
name = "rows"
function = "audit"
path = "/subject"
sql = "shop"
tables = ["orders", "later"]
retry = { attempts = 4, delay = "10ms" }
"#;

async fn sql(client: &mut Client, statement: &str) -> Result<String> {
    let request = http::Request::post("/sql/shop");
    let answer = client.send(request, statement.to_owned().into()).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    Ok(answer.text())
}

async fn must(client: &mut Client, statement: &str) -> Result<()> {
    let said = sql(client, statement).await?;
    ensure!(!said.contains("\"error\""), "{statement}: {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_function_changes_in_rows_another_hears_of_in_order() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut node = Node::start_on(folder.path())?;
    let connect = async |node: &Node| Client::connect(node.functions, "shop.gust.localhost").await;
    node.deploy(&app("")?)?;
    let mut client = connect(&node).await?;
    must(
        &mut client,
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, state TEXT)",
    )
    .await?;
    must(&mut client, "INSERT INTO orders VALUES (0, 'unheard')").await?;
    node.deploy(&app(SQL)?)?;
    let mut wanted = Wanted::new();
    for n in 0..45 {
        if n == BEFORE_THE_KILL {
            node.kill_9()?;
            drop(node);
            node = Node::start_on(folder.path())?;
            client = connect(&node).await?;
        }
        if n == 30 {
            must(&mut client, "ALTER TABLE orders ADD COLUMN note TEXT").await?;
        }
        let (id, state) = (n % 3 + 1, format!("态{n}"));
        let (statement, kind) = match n / 3 % 3 {
            0 => (
                format!("INSERT INTO orders (id, state) VALUES ({id}, '{state}')"),
                "inserted",
            ),
            1 => (
                format!("UPDATE orders SET state = '{state}' WHERE id = {id}"),
                "updated",
            ),
            _ => (format!("DELETE FROM orders WHERE id = {id}"), "deleted"),
        };
        must(&mut client, &statement).await?;
        let line = match kind {
            "deleted" => kind.to_owned(),
            _ => format!("{kind} {state}"),
        };
        wanted.entry(id.to_string()).or_default().push((n, line));
    }
    must(&mut client, "CREATE TABLE later (名 TEXT PRIMARY KEY)").await?;
    must(&mut client, "INSERT INTO later VALUES ('k')").await?;
    wanted
        .entry("k".into())
        .or_default()
        .push((usize::MAX, "inserted ".into()));
    let all: usize = wanted.values().map(Vec::len).sum();
    until("everything is heard", || is_through(&node, "sql:shop", all))?;
    let mut by_row: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for [kind, _, subject, data] in heard(&node)? {
        let kind = kind.replace("gust.sql.", "");
        let data: Value = serde_json::from_str(&data)?;
        let line = match data["new"].as_object() {
            None => kind,
            Some(new) => {
                let state = new.get("state").and_then(Value::as_str);
                format!("{kind} {}", state.unwrap_or_default())
            }
        };
        by_row.entry(subject).or_default().push(line);
    }
    ensure_heard(by_row, &wanted)?;
    // What is the platform's no function touches.
    let said = sql(&mut client, "DELETE FROM _gust_changes").await?;
    ensure!(said.contains("error"), "{said}");
    let shown = node.json(&["topic", "show", "sql:shop"])?;
    assert_eq!(shown["subscriptions"][0]["name"], "shop/rows");
    // Without the trigger nobody writes anything down.
    node.deploy(&app("")?)?;
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_gust%' ESCAPE '\\'";
    let begun = gust_task::clock::now();
    while !sql(&mut client, tables).await?.contains("[[0]]") {
        ensure!(begun.elapsed() < Duration::from_secs(20), "still watched");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A table that nobody could watch is said at deploy.
    must(&mut client, "CREATE VIEW seen AS SELECT * FROM orders").await?;
    let folder = app(&SQL.replace("\"later\"", "\"seen\""))?;
    let path = folder.write()?;
    let failed = node.gust_fails(&["deploy", &path.to_string_lossy()])?;
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    ensure!(
        said.contains("\"seen\" cannot be watched: it is a view"),
        "{said}"
    );
    Ok(())
}
