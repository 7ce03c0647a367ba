//! Objects go in and come out of the command line, start the functions that want them, and survive the node.

use std::{io::Write as _, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use gust_scenarios::{App, Node};
use serde_json::Value;

const TRIGGER: &str = r#"
[[trigger]]
function = "thumbs"
blob = "photos"
prefix = "in/"
suffix = ".jpg"
on = ["created", "deleted"]
"#;

fn app() -> Result<App> {
    let app = App::new("shop")?.function("thumbs", "sink", "route = false\n")?;
    Ok(app.text(TRIGGER))
}

/// What the function has been told: type and data, in order.
fn told(node: &Node) -> Result<Vec<(String, Value)>> {
    let logs = node.json(&["logs", "shop"])?;
    let mut told = Vec::new();
    for line in logs["entries"].as_array().into_iter().flatten() {
        let text = line["text"].as_str().unwrap_or_default();
        let parts: Vec<_> = text.splitn(5, ' ').collect();
        if let [kind, _, "attempt", _, data] = parts[..] {
            told.push((kind.to_owned(), serde_json::from_str(data)?));
        }
    }
    Ok(told)
}

fn until(what: &str, mut is: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = gust_task::clock::now();
    while begun.elapsed() < Duration::from_secs(30) {
        if is()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("never: {what}")
}

#[test]
fn an_object_starts_the_function_that_wants_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let file = folder.path().join("猫.jpg");
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n / 255 + n) as u8).collect();
    std::fs::write(&file, &large)?;
    let path = file.to_str().context("a path")?;
    let mut node = Node::start_on(&data)?;
    node.deploy(&app()?)?;
    let triggers = node.gust(&["trigger", "ls"])?;
    ensure!(triggers.contains("blob:photos in/*.jpg"), "{triggers}");
    // Not wanted: another beginning, another ending.
    node.gust(&["blob", "put", path, "photos/out/"])?;
    node.gust(&["blob", "put", path, "photos/in/猫.png"])?;
    let etag = node.gust(&["blob", "put", path, "photos/in/", "-m", "author=王小明"])?;
    until("told of it", || Ok(!told(&node)?.is_empty()))?;
    let (kind, event) = told(&node)?.remove(0);
    assert_eq!(kind, "gust.blob.created");
    assert_eq!(event["key"], "in/猫.jpg");
    assert_eq!(
        (&event["bucket"], &event["size"]),
        (&"photos".into(), &3_000_000.into())
    );
    assert_eq!(
        (&event["content_type"], &event["etag"]),
        (&"image/jpeg".into(), &etag.trim().into())
    );

    // What was acknowledged is whole after the node was killed, and the trigger goes on.
    node.kill_9()?;
    drop(node);
    let node = Node::start_on(&data)?;
    let back = folder.path().join("back");
    let to = back.to_str().context("a path")?;
    node.gust(&["blob", "get", "photos/in/猫.jpg", to])?;
    ensure!(std::fs::read(&back)? == large, "the bytes differ");
    let mut cat = node.command(&["blob", "put", "-", "photos/in/small.jpg", "--if-absent"]);
    let mut cat = cat.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    cat.stdin.take().context("stdin")?.write_all(b"small")?;
    ensure!(cat.wait()?.success());
    assert_eq!(node.gust(&["blob", "get", "photos/in/small.jpg"])?, "small");
    let stat = node.json(&["blob", "stat", "photos/in/猫.jpg"])?;
    assert_eq!(
        (&stat["metadata"]["author"], &stat["size"]),
        (&"王小明".into(), &3_000_000.into())
    );
    node.gust(&["blob", "rm", "photos/in/猫.jpg", "photos/in/猫.png"])?;
    until("told of all", || Ok(told(&node)?.len() >= 3))?;
    let all = told(&node)?;
    let kinds: Vec<_> = all
        .iter()
        .map(|(kind, data)| (&**kind, data["key"].as_str()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("gust.blob.created", Some("in/猫.jpg")),
            ("gust.blob.created", Some("in/small.jpg")),
            ("gust.blob.deleted", Some("in/猫.jpg")),
        ]
    );

    let listed = node.json(&["blob", "ls", "photos"])?;
    assert_eq!(listed["prefixes"], serde_json::json!(["in/", "out/"]));
    let table = node.gust(&["blob", "ls", "photos/in/"])?;
    ensure!(
        table.contains("in/small.jpg") && !table.contains("png"),
        "{table}"
    );
    assert_eq!(node.gust(&["blob", "ls"])?, "photos\n");
    // What goes wrong says so, and leaves nothing.
    let missing = node.gust_fails(&["blob", "get", "photos/in/猫.jpg", to])?;
    assert_eq!(missing.status.code(), Some(4));
    let there = node.gust_fails(&["blob", "put", path, "photos/in/small.jpg", "--if-absent"])?;
    assert_eq!(there.status.code(), Some(5));
    let said = String::from_utf8_lossy(&there.stderr).into_owned();
    ensure!(
        said.contains("object is there already: in/small.jpg"),
        "{said}"
    );
    ensure!(
        std::fs::read(&back)? == large,
        "the file that was there is left alone"
    );
    Ok(())
}
