//! Clients of others over the AWS door: boto3 and the aws command line, with keys of two projects.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use gust_scenarios::{Node, NodeOptions, root};

/// Python with the clients. A missing one is a fault of the set-up, never a reason to skip.
fn python() -> PathBuf {
    let path = root().join("target/clients/bin/python");
    assert!(
        path.is_file(),
        "there are no AWS clients; run: cargo xtask clients"
    );
    path
}

fn node() -> Result<Node> {
    Node::start_with(NodeOptions {
        config: "aws = \"127.0.0.1:0\"\n".to_owned(),
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
    let aws = node.aws.context("the node serves AWS's protocols")?;
    let output = Command::new(python())
        .arg(root().join("tests/scenarios/clients/aws.py"))
        .args(checks)
        .env("ENDPOINT", format!("http://{aws}"))
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

/// The checks that the page names: each stands between backticks in the last column of a table.
fn named() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join("docs/aws.md"))?;
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
    // What boto3 made and left is there for `gust` as well.
    let queues = node.json(&["queue", "ls"])?;
    let queues = queues.to_string();
    ensure!(queues.contains("\"source\""), "{queues}");
    Ok(())
}
