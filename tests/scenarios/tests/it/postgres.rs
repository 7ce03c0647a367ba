//! Clients of others over the PostgreSQL door: psycopg, psycopg2, asyncpg, SQLAlchemy and psql, with keys of two projects.

use anyhow::{Context as _, Result, ensure};
use gust_scenarios::{
    Node,
    visitors::{Visitors, counted, metrics, with_door},
};

#[test]
fn clients_of_others_do_all_that_the_page_says() -> Result<()> {
    let node = Node::start_with(with_door("postgres", None))?;
    let visitors = Visitors::of_two(&node, node.postgres)?;
    visitors.do_all(&node, "postgres.py", "postgres.md")?;
    // What was asked for is counted for the project that asked.
    let metrics = metrics(&node)?;
    for name in ["statements", "rows", "bytes_in", "bytes_out"] {
        let name = format!("postgres_{name}");
        let one = counted(&metrics, &name, "default")?;
        let two = counted(&metrics, &name, "other")?;
        ensure!(one > two, "{name}: {one} {two}");
    }
    ensure!(counted(&metrics, "postgres_rows", "default")? > 100_000.0);
    Ok(())
}

#[test]
fn a_key_that_is_removed_opens_nothing() -> Result<()> {
    let node = Node::start_with(with_door("postgres", None))?;
    let visitors = Visitors::of_one(&node, node.postgres)?;
    visitors.run(&node, "postgres.py", &["transactions_are_kept_or_undone"])?;
    node.gust(&["key", "rm", &visitors.one.0])?;
    let refused = visitors.run(&node, "postgres.py", &["many_rows_are_streamed"]);
    let why = refused.err().context("a removed key is refused")?;
    ensure!(
        why.to_string().contains("password authentication failed"),
        "{why}"
    );
    Ok(())
}
