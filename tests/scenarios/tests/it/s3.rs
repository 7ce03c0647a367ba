//! Clients of others over the S3 door: boto3 and the aws command line, with keys of two projects.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use gust_scenarios::{Client, Node, NodeOptions, root};
use serde_json::Value;

/// Python with the clients. A missing one is a fault of the set-up, never a reason to skip.
fn python() -> PathBuf {
    let path = root().join("target/clients/bin/python");
    assert!(
        path.is_file(),
        "there are no S3 clients; run: cargo xtask clients"
    );
    path
}

fn node() -> Result<Node> {
    Node::start_with(NodeOptions {
        config: "s3 = \"127.0.0.1:0\"\n".to_owned(),
        ..NodeOptions::default()
    })
}

/// A key of a project.
fn key(node: &Node, project: &str) -> Result<(String, String)> {
    let made = node.json(&["key", "new", "a story", "--project", project])?;
    let text = |name: &str| made[name].as_str().map(str::to_owned);
    text("id").zip(text("secret")).context("a key")
}

/// Runs the script; it must succeed. Answers what it said of each check.
fn run(
    node: &Node,
    one: &(String, String),
    two: &(String, String),
    checks: &[&str],
) -> Result<String> {
    let s3 = node.s3.context("the node serves S3")?;
    let output = Command::new(python())
        .arg(root().join("tests/scenarios/clients/s3.py"))
        .args(checks)
        .env("ENDPOINT", format!("http://{s3}"))
        .env("KEY", &one.0)
        .env("SECRET", &one.1)
        .env("OTHER_KEY", &two.0)
        .env("OTHER_SECRET", &two.1)
        .env_remove("AWS_PROFILE")
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}\n{why}\n{}", node.log());
    Ok(said)
}

/// The checks that the page names: each stands between backticks in the last column of its table.
fn named() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join("docs/s3.md"))?;
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

#[test]
fn clients_of_others_do_all_that_the_page_says() -> Result<()> {
    let node = node()?;
    node.gust(&["project", "new", "other"])?;
    let (one, two) = (key(&node, "default")?, key(&node, "other")?);
    let said = run(&node, &one, &two, &[])?;
    let named = named()?;
    ensure!(named.len() > 10, "{named:?}");
    for check in named {
        ensure!(
            said.contains(&format!("ok {check}\n")),
            "not checked: {check}\n{said}"
        );
    }
    // What was asked for is counted for the project that asked.
    let metrics = metrics(&node)?;
    let number = |name: &str, project: &str| {
        let start = format!("gust_{name}_total{{project=\"{project}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
        line.and_then(|number| number.parse::<f64>().ok())
            .with_context(|| format!("{start} in {metrics}"))
    };
    for name in [
        "s3_writes",
        "s3_reads",
        "s3_lists",
        "s3_bytes_in",
        "s3_bytes_out",
    ] {
        let (one, two) = (number(name, "default")?, number(name, "other")?);
        ensure!(one > two, "{name}: {one} {two}");
    }
    ensure!(number("s3_bytes_in", "default")? > 50.0 * 1024.0 * 1024.0);
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

#[test]
fn keys_are_shown_once_and_end_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = || NodeOptions {
        data: Some(folder.path().join("data")),
        config: "s3 = \"127.0.0.1:0\"\n".to_owned(),
        ..NodeOptions::default()
    };
    let node = Node::start_with(options())?;
    let lines = node.gust(&["key", "new", "for the story"])?;
    let read = |name: &str| {
        let line = lines.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::to_owned).context("a variable")
    };
    let one = (read("AWS_ACCESS_KEY_ID=")?, read("AWS_SECRET_ACCESS_KEY=")?);
    let listed = node.json(&["key", "ls"])?;
    assert_eq!(listed["keys"][0]["id"], one.0.as_str());
    assert_eq!(listed["keys"][0]["note"], "for the story");
    ensure!(!listed.to_string().contains(&one.1), "{listed}");
    let check = ["objects_round_trip"];
    run(&node, &one, &one, &check)?;
    // It is good after a restart, and on the disk only sealed.
    drop(node);
    for file in walk(folder.path())? {
        let bytes = std::fs::read(&file)?;
        let leaks = bytes.windows(one.1.len()).any(|w| w == one.1.as_bytes());
        ensure!(!leaks, "{}", file.display());
    }
    let node = Node::start_with(options())?;
    node.gust(&["blob", "ls"])?;
    let got = node.gust(&["key", "ls"])?;
    ensure!(got.contains(&one.0), "{got}");
    run(&node, &one, &one, &["ranges_are_cut_out"])?;
    node.gust(&["key", "rm", &one.0])?;
    let refused = run(&node, &one, &one, &["lists_page_and_fold"]);
    let why = refused.err().context("a removed key is refused")?;
    ensure!(why.to_string().contains("InvalidAccessKeyId"), "{why}");
    let empty: Value = node.json(&["key", "ls"])?;
    assert_eq!(empty["keys"], serde_json::json!([]));
    Ok(())
}

fn walk(folder: &std::path::Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    Ok(found)
}

/// What S3 clients put, functions and the command line see, and the other way round.
#[test]
fn buckets_are_the_same_from_every_side() -> Result<()> {
    let node = node()?;
    let one = key(&node, "default")?;
    run(&node, &one, &one, &["parts_are_put_listed_and_completed"])?;
    let stat = node.json(&["blob", "stat", "parts/k"])?;
    assert_eq!(stat["size"], 11 * 1024 * 1024 + 3);
    let got = node.command(&["blob", "get", "parts/k"]).output()?.stdout;
    ensure!(got.len() == 11 * 1024 * 1024 + 3 && got.ends_with(b"end"));
    Ok(())
}
