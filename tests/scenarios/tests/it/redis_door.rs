//! Clients of others over the Redis door: redis-py and what is built on it, with keys of two projects.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use gust_scenarios::{Client, Node, NodeOptions, root};

/// Python with the clients. A missing one is a fault of the set-up, never a reason to skip.
fn python() -> PathBuf {
    let path = root().join("target/clients/bin/python");
    assert!(
        path.is_file(),
        "there are no Redis clients; run: cargo xtask clients"
    );
    path
}

fn options(data: Option<PathBuf>) -> NodeOptions {
    NodeOptions {
        data,
        config: "redis = \"127.0.0.1:0\"\n".to_owned(),
        ..NodeOptions::default()
    }
}

/// A key of a project.
fn key(node: &Node, project: &str) -> Result<(String, String)> {
    let made = node.json(&["key", "new", "a story", "--project", project])?;
    let text = |name: &str| made[name].as_str().map(str::to_owned);
    text("id").zip(text("secret")).context("a key")
}

/// Python with this to run, and all that it has to know in its environment.
fn script(node: &Node, one: &(String, String), two: &(String, String)) -> Result<Command> {
    let redis = node.redis.context("the node serves Redis")?;
    let mut command = Command::new(python());
    command
        .env("HOST", redis.ip().to_string())
        .env("PORT", redis.port().to_string())
        .env("KEY", &one.0)
        .env("SECRET", &one.1)
        .env("OTHER_KEY", &two.0)
        .env("OTHER_SECRET", &two.1);
    Ok(command)
}

fn run(node: &Node, mut command: Command) -> Result<String> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}\n{why}\n{}", node.log());
    Ok(said)
}

/// The checks that the page names: each begins a row of its last table.
fn named() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join("docs/redis.md"))?;
    let (_, text) = text.split_once("## Checked with").context("a table")?;
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split('`').next());
    Ok(names.map(str::to_owned).collect())
}

#[test]
fn clients_of_others_do_all_that_the_page_says() -> Result<()> {
    let node = Node::start_with(options(None))?;
    node.gust(&["project", "new", "other"])?;
    let (one, two) = (key(&node, "default")?, key(&node, "other")?);
    let mut command = script(&node, &one, &two)?;
    command.arg(root().join("tests/scenarios/clients/redis_door.py"));
    let said = run(&node, command)?;
    let named = named()?;
    ensure!(named.len() >= 10, "{named:?}");
    for check in named {
        ensure!(
            said.contains(&format!("ok {check}\n")),
            "not checked: {check}\n{said}"
        );
    }
    let metrics = metrics(&node)?;
    for name in [
        "redis_writes",
        "redis_reads",
        "redis_bytes_in",
        "redis_bytes_out",
    ] {
        let start = format!("gust_{name}_total{{project=\"default\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
        let number = line.and_then(|number| number.parse::<f64>().ok());
        ensure!(number > Some(100.0), "{start} in {metrics}");
    }
    let log = node.log();
    ensure!(!log.contains("ERROR") && !log.contains(&one.1), "{log}");
    Ok(())
}

/// What a scrape of the node says.
fn metrics(node: &Node) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let host = node.control.to_string();
        let mut client = Client::connect(node.control, &host).await?;
        Ok(client.get("/metrics").await?.text())
    })
}

/// Writes until the node is gone, and says the last number whose answer had come.
const WRITE: &str = "
import os, redis
r = redis.Redis(host=os.environ['HOST'], port=int(os.environ['PORT']), username=os.environ['KEY'], password=os.environ['SECRET'])
n = 0
try:
    while True:
        r.pipeline().set('last', n + 1).rpush('all', n + 1).execute()
        n += 1
        if n == 50:
            print('going', flush=True)
except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
    print(n)
";

/// Says the last number, and whether the list has all up to it.
const READ: &str = "
import os, redis
r = redis.Redis(host=os.environ['HOST'], port=int(os.environ['PORT']), username=os.environ['KEY'], password=os.environ['SECRET'])
n = int(r.get('last'))
assert [int(one) for one in r.lrange('all', 0, -1)] == list(range(1, n + 1))
print(n)
";

#[test]
fn what_was_answered_is_there_after_kill_9() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = || Some(folder.path().join("data"));
    let mut node = Node::start_with(options(data()))?;
    let one = key(&node, "default")?;
    let mut writing = script(&node, &one, &one)?;
    let mut writing = writing
        .args(["-c", WRITE])
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let said = writing.stdout.take().context("what it says")?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(said));
    ensure!(lines.next().context("a line")?? == "going");
    std::thread::sleep(std::time::Duration::from_millis(300));
    node.kill_9()?;
    let answered: u64 = lines.next().context("a number")??.parse()?;
    writing.wait()?;
    let node = Node::start_with(options(data()))?;
    let mut reading = script(&node, &one, &one)?;
    reading.args(["-c", READ]);
    let there: u64 = run(&node, reading)?.trim().parse()?;
    // One more may have been written whose answer did not get out.
    ensure!(
        there == answered || there == answered + 1,
        "{there} {answered}"
    );
    ensure!(there >= 50);
    Ok(())
}
