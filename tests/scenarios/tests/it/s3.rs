//! Clients of others over the S3 door: boto3 and the aws command line, with keys of two projects.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use gust_scenarios::{
    Node,
    visitors::{Visitors, counted, metrics, with_door},
};
use serde_json::Value;

#[test]
fn clients_of_others_do_all_that_the_page_says() -> Result<()> {
    let node = Node::start_with(with_door("s3", None))?;
    let visitors = Visitors::of_two(&node, node.s3)?;
    visitors.do_all(&node, "s3.py", "s3.md")?;
    // What was asked for is counted for the project that asked.
    let metrics = metrics(&node)?;
    for name in ["writes", "reads", "lists", "bytes_in", "bytes_out"] {
        let name = format!("s3_{name}");
        let one = counted(&metrics, &name, "default")?;
        let two = counted(&metrics, &name, "other")?;
        ensure!(one > two, "{name}: {one} {two}");
    }
    ensure!(counted(&metrics, "s3_bytes_in", "default")? > 50.0 * 1024.0 * 1024.0);
    Ok(())
}

#[test]
fn keys_are_shown_once_and_end_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = || with_door("s3", Some(folder.path().join("data")));
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
    let mut visitors = Visitors::of_one(&node, node.s3)?;
    node.gust(&["key", "rm", &visitors.one.0])?;
    visitors.one = one.clone();
    visitors.two = one.clone();
    visitors.run(&node, "s3.py", &["objects_round_trip"])?;
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
    let visitors = visitors.at(node.s3)?;
    visitors.run(&node, "s3.py", &["ranges_are_cut_out"])?;
    node.gust(&["key", "rm", &one.0])?;
    let refused = visitors.run(&node, "s3.py", &["lists_page_and_fold"]);
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
    let node = Node::start_with(with_door("s3", None))?;
    let visitors = Visitors::of_one(&node, node.s3)?;
    visitors.run(&node, "s3.py", &["parts_are_put_listed_and_completed"])?;
    let stat = node.json(&["blob", "stat", "parts/k"])?;
    assert_eq!(stat["size"], 11 * 1024 * 1024 + 3);
    let got = node.command(&["blob", "get", "parts/k"]).output()?.stdout;
    ensure!(got.len() == 11 * 1024 * 1024 + 3 && got.ends_with(b"end"));
    Ok(())
}
