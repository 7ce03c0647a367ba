//! Clients of others over the PostgreSQL door: psycopg, psycopg2, asyncpg, SQLAlchemy and psql, with keys of two projects.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use gust_scenarios::{Client, Node, NodeOptions, root};

/// Python with the clients. A missing one is a fault of the set-up, never a reason to skip.
fn python() -> PathBuf {
    let path = root().join("target/clients/bin/python");
    assert!(
        path.is_file(),
        "there are no PostgreSQL clients; run: cargo xtask clients"
    );
    path
}

fn node() -> Result<Node> {
    Node::start_with(NodeOptions {
        config: "postgres = \"127.0.0.1:0\"\n".to_owned(),
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
    let postgres = node.postgres.context("the node serves PostgreSQL")?;
    let output = Command::new(python())
        .arg(root().join("tests/scenarios/clients/postgres.py"))
        .args(checks)
        .env("HOST", postgres.ip().to_string())
        .env("PORT", postgres.port().to_string())
        .env("KEY", &one.0)
        .env("SECRET", &one.1)
        .env("OTHER_KEY", &two.0)
        .env("OTHER_SECRET", &two.1)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}\n{why}\n{}", node.log());
    Ok(said)
}

/// The checks that the page names: each stands between backticks in the last column of its table.
fn named() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join("docs/postgres.md"))?;
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let mut names: Vec<_> = names
        .filter(|name| name.matches('_').count() > 1)
        .map(str::to_owned)
        .collect();
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
    ensure!(named.len() > 8, "{named:?}");
    for check in named {
        ensure!(
            said.contains(&format!("ok {check}\n")),
            "not checked: {check}\n{said}"
        );
    }
    // What was asked for is counted for the project that asked.
    let metrics = metrics(&node)?;
    let number = |name: &str, project: &str| {
        let start = format!("gust_postgres_{name}_total{{project=\"{project}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
        line.and_then(|number| number.parse::<f64>().ok())
            .with_context(|| format!("{start} in {metrics}"))
    };
    for name in ["statements", "rows", "bytes_in", "bytes_out"] {
        let (one, two) = (number(name, "default")?, number(name, "other")?);
        ensure!(one > two, "{name}: {one} {two}");
    }
    ensure!(number("rows", "default")? > 100_000.0);
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
fn a_key_that_is_removed_opens_nothing() -> Result<()> {
    let node = node()?;
    let one = key(&node, "default")?;
    run(&node, &one, &one, &["transactions_are_kept_or_undone"])?;
    node.gust(&["key", "rm", &one.0])?;
    let refused = run(&node, &one, &one, &["many_rows_are_streamed"]);
    let why = refused.err().context("a removed key is refused")?;
    ensure!(
        why.to_string().contains("password authentication failed"),
        "{why}"
    );
    Ok(())
}
