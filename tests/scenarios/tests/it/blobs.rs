//! Objects go in and come out of the command line, start the functions that want them, and survive the node.

use std::{io::Write as _, process::Stdio};

use anyhow::{Context, Result, ensure};
use gust_scenarios::{App, Client, Node, until};
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

/// A function that keeps objects, one that hears of them, and one that is called within a unit of work.
fn keeper() -> Result<App> {
    let once = "[[trigger]]\nfunction = \"once\"\nqueue = \"looks\"\npath = \"/once/photos\"\nexactly_once = true\n";
    Ok(app()?
        .function(
            "keep",
            "blobs-p2",
            "route = \"/...\"\nblobs = [\"photos\", \"thumbs\"]\n",
        )?
        .function("once", "blobs-p2", "route = false\nblobs = [\"photos\"]\n")?
        .text(once))
}

/// The most memory that the node ever had, in MiB.
fn most_memory(node: &Node) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid()))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let size = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(size.context("VmHWM")?.parse::<u64>()? >> 10)
}

async fn client(node: &Node) -> Result<Client> {
    Client::connect(node.functions, "shop.gust.localhost").await
}

const CAT: &str = "photos/in/%E7%8C%AB.jpg";

#[tokio::test(flavor = "multi_thread")]
async fn a_function_keeps_objects_that_others_see() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut node = Node::start_on(&data)?;
    node.deploy(&keeper()?)?;
    let shown = node.gust(&["show", "shop"])?;
    ensure!(shown.contains("photos, thumbs"), "{shown}");
    let mut keep = client(&node).await?;
    let put = keep.post(&format!("/put/{CAT}"), "喵喵").await?.json()?;
    assert_eq!(put, serde_json::json!({"ok": true}));
    until("told of it", || Ok(!told(&node)?.is_empty()))?;
    let (kind, event) = told(&node)?.remove(0);
    assert_eq!(
        (&*kind, &event["key"]),
        ("gust.blob.created", &"in/猫.jpg".into())
    );
    // What was finished is on the disk, and what was not is nowhere.
    keep.post("/put/photos/in/no.jpg?when=unfinished", "x")
        .await?;
    node.kill_9()?;
    drop(node);
    let node = Node::start_on(&data)?;
    assert_eq!(node.gust(&["blob", "get", "photos/in/猫.jpg"])?, "喵喵");
    let missing = node.gust_fails(&["blob", "stat", "photos/in/no.jpg"])?;
    assert_eq!(missing.status.code(), Some(4));
    // It sees what others put, and others see what it moves.
    let mut keep = client(&node).await?;
    let file = folder.path().join("狗.txt");
    std::fs::write(&file, "汪")?;
    node.gust(&[
        "blob",
        "put",
        file.to_str().context("a path")?,
        "thumbs/狗.txt",
    ])?;
    let names = keep.get("/list/thumbs").await?.json()?;
    assert_eq!(names["names"], serde_json::json!(["狗.txt"]));
    assert_eq!(keep.get("/get/thumbs/%E7%8B%97.txt").await?.text(), "汪");
    keep.get(&format!("/move/{CAT}?bucket=thumbs&key=%E7%8C%AB"))
        .await?;
    assert_eq!(node.gust(&["blob", "get", "thumbs/猫"])?, "喵喵");
    until("told of the end", || {
        Ok(told(&node)?
            .iter()
            .any(|(kind, _)| kind == "gust.blob.deleted"))
    })?;
    let denied = keep.post("/put/mail/a", "x").await?.json()?.to_string();
    ensure!(denied.contains("may not open the container"), "{denied}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_of_a_function_costs_no_memory() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&keeper()?)?;
    let mut keep = client(&node).await?;
    keep.get("/fill/photos/small?pieces=1").await?;
    let before = most_memory(&node)?;
    let filled = keep.get("/fill/photos/large?pieces=1024").await?.json()?;
    assert_eq!(filled, serde_json::json!({"ok": true}));
    let read = keep.get("/sum/photos/large").await?.json()?;
    assert_eq!(
        (&read["bytes"], &read["broken"]),
        (&(64 << 20).into(), &Value::Null)
    );
    let grown = most_memory(&node)? - before;
    ensure!(grown < 32, "MiB: {grown}");
    let stat = node.json(&["blob", "stat", "photos/large"])?;
    assert_eq!(stat["size"], 64 << 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_exactly_once_reads_buckets_and_writes_none() -> Result<()> {
    let node = Node::start()?;
    node.deploy(&keeper()?)?;
    let mut keep = client(&node).await?;
    keep.post("/put/photos/a", "in it").await?;
    node.gust(&["queue", "publish", "looks", "x"])?;
    let said = || node.gust(&["logs", "shop"]);
    until("it has looked", || Ok(said()?.contains("delete Err")))?;
    let said = said()?;
    ensure!(said.contains("read in it"), "{said}");
    for does in ["write", "delete"] {
        let refused = format!("{does} Err(\"objects are not written in a call with exactly_once");
        ensure!(said.contains(&refused), "{said}");
    }
    assert_eq!(
        keep.get("/list/photos").await?.json()?["names"],
        serde_json::json!(["a"])
    );
    Ok(())
}

/// The files below a folder.
fn files_in(folder: &std::path::Path) -> Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => files.extend(files_in(&path)?),
            false => files.push(path),
        }
    }
    Ok(files)
}

#[test]
fn a_scrub_finds_what_rotted_and_spares_the_rest() -> Result<()> {
    let node = Node::start()?;
    let file = tempfile::NamedTempFile::new()?;
    let path = file.path().to_str().context("a path")?;
    for (name, byte) in [("一", 1), ("二", 2), ("三", 3)] {
        std::fs::write(file.path(), vec![byte; 300_000])?;
        node.gust(&["blob", "put", path, &format!("photos/{name}")])?;
    }
    node.gust(&["blob", "put", path, "docs/three"])?;
    let clean = node.json(&["blob", "scrub"])?;
    let sum = |found: &Value| (found["objects"].as_u64(), found["bytes"].as_u64());
    assert_eq!(sum(&clean), (Some(4), Some(1_200_000)));
    assert_eq!(clean["damaged"], serde_json::json!([]));
    // One bit of the second object turns over.
    let blobs = files_in(&node.data().join("data/blobs"))?;
    let holds = |path: &&std::path::PathBuf| std::fs::read(path).is_ok_and(|b| b == [2; 300_000]);
    let rotten = blobs.iter().find(holds).context("no file holds it")?;
    let mut bytes = std::fs::read(rotten)?;
    bytes[123_456] ^= 4;
    std::fs::write(rotten, bytes)?;
    let failed = node.gust_fails(&["blob", "scrub", "--json"])?;
    assert_eq!(failed.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&failed.stdout)?;
    let damaged = &found["damaged"];
    assert_eq!(damaged.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(
        (&damaged[0]["bucket"], &damaged[0]["key"]),
        (&"photos".into(), &"二".into())
    );
    let other = node.gust(&["blob", "scrub", "docs"])?;
    ensure!(other.is_empty(), "{other}");
    let none = node.gust_fails(&["blob", "scrub", "nothing"])?;
    ensure!(String::from_utf8_lossy(&none.stderr).contains("no such bucket: nothing"));
    // Who puts it again has it again.
    std::fs::write(file.path(), vec![2; 300_000])?;
    node.gust(&["blob", "put", path, "photos/二"])?;
    assert_eq!(
        node.json(&["blob", "scrub"])?["damaged"],
        serde_json::json!([])
    );
    Ok(())
}
