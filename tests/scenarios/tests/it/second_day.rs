//! A second day: from a template to a URL, edits under `--watch`, a rollback, secrets, logs that are followed over a deploy
//! and a restart, the bill as a table for others, and what a node says about itself.
//!
//! TLS with HTTP/2 is shown by the gateway's own tests.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use gust_scenarios::{App, Client, Node, NodeOptions, Up, root};
use serde_json::Value;

const HOST: &str = "shop.gust.localhost";

/// Asks until it holds, for as long as a person would wait.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let end = gust_task::clock::now() + Duration::from_secs(15);
    while !holds().await? {
        ensure!(gust_task::clock::now() < end, "{what}: not within 15 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// A shop without code: it answers with this text.
fn shop(text: &str) -> Result<App> {
    let route = format!("[[route]]\npath = \"/...\"\nresponse = {{ body = \"{text}\" }}\n");
    Ok(App::new("shop")?.text(&route))
}

// === templates ===

/// An app from a template, in a folder that goes with the test.
fn from_template(folder: &Path, template: &str) -> Result<PathBuf> {
    let dir = folder.join(template);
    let made = std::process::Command::new(gust_scenarios::gust_binary())
        .args(["new", &format!("my-{template}"), "-t", template, "--dir"])
        .arg(&dir)
        .output()?;
    ensure!(made.status.success(), "{}", said(&made));
    assert_eq!(
        String::from_utf8_lossy(&made.stdout).trim(),
        dir.to_string_lossy()
    );
    for file in ["gust.toml", "README.md"] {
        let text = std::fs::read_to_string(dir.join(file))?;
        assert!(
            !text.contains("{{name}}") && text.contains(&format!("my-{template}")),
            "{text}"
        );
    }
    Ok(dir)
}

/// Borrows what the guests of the tests were built with, so that nothing is fetched.
fn borrow(from: &str, dir: &Path, name: &str) -> Result<bool> {
    let found = root().join("target/guests-tools").join(from).join(name);
    let there = found.is_dir();
    if there {
        std::os::unix::fs::symlink(std::fs::canonicalize(found)?, dir.join(name))?;
    }
    Ok(there)
}

#[tokio::test]
async fn the_rust_template_is_built_and_served_as_it_is() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = from_template(folder.path(), "rust")?;
    // What it depends on is built once for all runs.
    let target = root().join("target/templates");
    std::fs::create_dir_all(&target)?;
    std::os::unix::fs::symlink(std::fs::canonicalize(target)?, dir.join("target"))?;
    let up = Up::start(&dir, &["--build"])?;
    let mut client = Client::connect(up.addr, "localhost").await?;
    for visit in 1..3 {
        let text = client.get("/ada").await?.text();
        assert_eq!(text, format!("Hello, ada! This is visit {visit}.\n"));
    }
    up.stop()
}

#[tokio::test]
async fn the_other_templates_build_where_their_tools_are() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (template, guest, tools) in [
        ("js", "js-hello", "node_modules"),
        ("python", "py-hello", ".venv"),
    ] {
        let dir = from_template(folder.path(), template)?;
        if !borrow(guest, &dir, tools)? {
            eprintln!(
                "skipped: the {template} template is not built, the tools of {guest} are not there"
            );
            continue;
        }
        let up = Up::start(&dir, &["--build"])?;
        let mut client = Client::connect(up.addr, "localhost").await?;
        for visit in 1..3 {
            let text = client.get("/ada").await?.text();
            ensure!(
                text == format!("Hello, ada! This is visit {visit}.\n"),
                "{template}: {text}"
            );
        }
        up.stop()?;
    }
    Ok(())
}

// === up --watch ===

#[tokio::test]
async fn an_edit_is_swapped_in_and_a_mistake_is_not() -> Result<()> {
    let app = App::new("dev")?
        .text("[[route]]\npath = \"/fixed\"\nresponse = { body = \"before\" }")
        .text("[[route]]\npath = \"/page/...\"\nfiles = { dir = \"page\" }")
        .file("page/index.html", "<p>早</p>")?;
    let dir = app.write()?;
    let up = Up::start(&dir, &["--watch"])?;
    let mut client = Client::connect(up.addr, "localhost").await?;
    assert_eq!(client.get("/fixed").await?.text(), "before");
    assert_eq!(client.get("/page/").await?.text(), "<p>早</p>");

    std::fs::write(dir.join("page/index.html"), "<p>晚</p>")?;
    eventually("the edited file is served", async || {
        Ok(client.get("/page/").await?.text() == "<p>晚</p>")
    })
    .await?;
    let manifest = std::fs::read_to_string(dir.join("gust.toml"))?;
    std::fs::write(dir.join("gust.toml"), "nonsense")?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        client.get("/fixed").await?.text(),
        "before",
        "the old one goes on serving"
    );
    std::fs::write(dir.join("gust.toml"), manifest.replace("before", "after"))?;
    eventually("the edited answer is served", async || {
        Ok(client.get("/fixed").await?.text() == "after")
    })
    .await?;
    up.stop()
}

// === a node ===

#[tokio::test]
async fn a_rollback_takes_less_than_a_second_and_never_returns_to_the_bad_deploy() -> Result<()> {
    let node = Node::start()?;
    let mut client = Client::connect(node.functions, HOST).await?;
    node.deploy(&shop("good")?)?;
    node.deploy(&shop("bad")?)?;
    assert_eq!(client.get("/").await?.text(), "bad");
    let began = gust_task::clock::now();
    node.gust(&["rollback", "shop"])?;
    assert_eq!(client.get("/").await?.text(), "good");
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(1),
        "{took:?}, the program's start included"
    );
    node.deploy(&shop("bad again")?)?;
    let back = node.json(&["rollback", "shop"])?;
    assert_eq!(back["deployment"], 5);
    assert_eq!(client.get("/").await?.text(), "good");
    node.gust(&["rollback", "shop", "--to", "2"])?;
    assert_eq!(client.get("/").await?.text(), "bad");
    let history = node.json(&["show", "shop"])?["deployments"].clone();
    assert_eq!(history.as_array().map(Vec::len), Some(6), "{history}");
    Ok(())
}

#[tokio::test]
async fn functions_are_invoked_shown_and_given_secrets_that_nobody_sees() -> Result<()> {
    let node = Node::start()?;
    let app = App::new("shop")?
        .text("[variables]\npassword = { required = true, secret = true }\nnote = { default = \"-\" }")
        .function("front", "echo-p3", "route = \"/...\"")?
        .function(
            "vault",
            "host-spin2",
            "route = \"private\"\nvariables = { password = \"{{ password }}\" }",
        )?;
    let secret = "芝麻开门";
    let dir = app.write()?.to_string_lossy().into_owned();
    let early = node.gust_fails(&["deploy", &dir])?;
    assert!(said(&early).contains("password"), "{}", said(&early));
    node.gust(&["secret", "set", "password", secret, "--app", "shop"])?;
    node.gust(&["deploy", &dir])?;
    let value = node.gust(&["invoke", "shop/vault", "--path", "/var/password"])?;
    assert!(value.contains(secret), "the function sees it: {value}");

    let answer = node.gust(&["invoke", "shop/front", "-p", "/echo", "-d", "你好"])?;
    assert_eq!(answer, "你好");
    let failed = node.gust_fails(&["invoke", "shop/front", "-p", "/status/500"])?;
    assert_eq!(failed.status.code(), Some(9), "{}", said(&failed));

    let listed = node.json(&["secret", "ls", "--app", "shop"])?;
    assert_eq!(listed["secrets"][0]["name"], "password", "{listed}");
    let shown = node.gust(&["show", "shop"])?;
    assert!(
        shown.contains("vault") && shown.contains("password"),
        "{shown}"
    );
    for args in [
        ["show", "shop"].as_slice(),
        &["secret", "ls", "--app", "shop"],
        &["ls"],
    ] {
        for json in [&["--json"][..], &[]] {
            let said = node.gust(&[args, json].concat())?;
            assert!(!said.contains(secret), "{args:?}: {said}");
        }
    }
    let files = files_below(node.data())?;
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        let bytes = std::fs::read(&file)?;
        let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
        assert!(!found, "{}", file.display());
    }

    node.gust(&["secret", "set", "note", "x", "--app", "shop"])?;
    node.gust(&["secret", "rm", "note", "--app", "shop"])?;
    let needed = node.gust_fails(&["secret", "rm", "password", "--app", "shop"])?;
    assert_eq!(needed.status.code(), Some(5), "{}", said(&needed));
    let listed = node.json(&["secret", "ls", "--app", "shop"])?;
    assert_eq!(
        listed["secrets"].as_array().map(Vec::len),
        Some(1),
        "{listed}"
    );
    Ok(())
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)?.flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files_below(&path)?),
            path => found.push(path),
        }
    }
    Ok(found)
}

#[tokio::test]
async fn mistakes_have_their_exit_codes_and_say_what_to_do() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = Node::start()?;
    assert!(
        node.log()
            .contains(&format!("Data in {}", node.data().display())),
        "{}",
        node.log()
    );
    let fails = App::new("shop")?.text(
        "[function.front]\nsource = \"front.wasm\"\nbuild = { command = \"echo 坏了 >&2; exit 3\" }",
    );
    let fails = fails.write()?.to_string_lossy().into_owned();
    let nowhere = folder.path().to_string_lossy().into_owned();
    let environment = [
        ("GUST_DATA", nowhere.as_str()),
        ("GUST_TOKEN", "not-this-one"),
        ("GUST_NODE", "http://127.0.0.1:1"),
    ];
    for (args, variable, code, words) in [
        (
            &["show", "nothing"][..],
            None,
            4,
            "no such app: default/nothing",
        ),
        (&["ls", "--project", "Über"], None, 2, "project name"),
        (&["deploy", "--build", &fails], None, 2, "坏了"),
        (
            &["deploy", "--build", &fails],
            None,
            2,
            "the build command of `front` failed: exit status: 3",
        ),
        (&["ls"], Some(0), 3, "no token was found in"),
        (&["ls"], Some(0), 3, "set GUST_DATA to the data folder"),
        (
            &["ls"],
            Some(1),
            3,
            "GUST_TOKEN or --token has another token",
        ),
        (&["ls"], Some(2), 7, "gust serve"),
    ] {
        let mut command = node.command(args);
        command.envs(variable.map(|n: usize| environment[n]));
        let output = command.output()?;
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            said(&output)
        );
        assert!(said(&output).contains(words), "{args:?}: {}", said(&output));
    }
    Ok(())
}

// === logs -f ===

/// `gust logs -f`, and what it has printed so far.
struct Following {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Following {
    fn start(node: &Node) -> Result<Self> {
        let mut command = node.command(&["logs", "shop", "-f", "--json"]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let out = BufReader::new(child.stdout.take().context("no stdout")?);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = lines.clone();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let entry = serde_json::from_str(&line).unwrap_or(Value::Null);
                heard.lock().expect("nobody panics with it").push(entry);
            }
        });
        Ok(Self { child, lines })
    }

    /// How many lines came to stdout and to stderr, and of which revisions.
    fn count(&self) -> (usize, usize, Vec<u64>) {
        let lines = self.lines.lock().expect("nobody panics with it");
        let of = |stream: &str| lines.iter().filter(|l| l["stream"] == stream).count();
        let mut revisions: Vec<u64> = lines
            .iter()
            .filter_map(|l| l["revision"].as_u64())
            .collect();
        revisions.dedup();
        (of("stdout"), of("stderr"), revisions)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn log_lines(node: &Node, calls: usize) -> Result<()> {
    let mut client = Client::connect(node.functions, HOST).await?;
    for _ in 0..calls {
        assert_eq!(client.get("/log").await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn logs_are_followed_over_a_deploy_and_a_restart_without_a_gap() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut options = NodeOptions {
        data: Some(folder.path().join("data")),
        ..Default::default()
    };
    let mut node = Node::start_with(options.clone())?;
    options.control = Some(node.control);
    let app = |more: &str| {
        App::new("shop")?.function("front", "faults-p3", &format!("route = \"/...\"\n{more}"))
    };
    node.deploy(&app("")?)?;
    log_lines(&node, 1).await?;
    let following = Following::start(&node)?;
    eventually("what was there is shown", async || {
        Ok(following.count().0 == 1)
    })
    .await?;
    node.deploy(&app("limits = { memory = \"64MiB\" }")?)?;
    // The last of these may be neither shown nor read when the node ends.
    log_lines(&node, 100).await?;
    node.terminate();
    ensure!(
        node.wait(Duration::from_secs(10))?.success(),
        "{}",
        node.log()
    );
    drop(node);
    let node = Node::start_with(options)?;
    log_lines(&node, 50).await?;
    eventually("every line is shown", async || {
        Ok(following.count().0 >= 151)
    })
    .await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(following.count(), (151, 151, vec![1, 2]), "each line once");
    let lines = following.lines.lock().expect("nobody panics with it");
    let numbers: Vec<u64> = lines.iter().filter_map(|l| l["n"].as_u64()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "in their order");
    Ok(())
}

// === what a node says about itself ===

/// Takes what is posted to it and answers 200; hands over the paths.
fn collector() -> Result<(String, Arc<Mutex<Vec<String>>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let paths = Arc::new(Mutex::new(Vec::new()));
    let heard = paths.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let heard = heard.clone();
            std::thread::spawn(move || take_posts(stream, &heard));
        }
    });
    Ok((url, paths))
}

fn take_posts(stream: std::net::TcpStream, heard: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut path, mut length, mut line) = (String::new(), 0, String::new());
        while stream.read_line(&mut line)? > 0 && line != "\r\n" {
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            } else if let Some(rest) = line.strip_prefix("POST ") {
                path = rest.split(' ').next().unwrap_or_default().to_owned();
            }
            line.clear();
        }
        if path.is_empty() {
            return Ok(());
        }
        stream.read_exact(&mut vec![0; length])?;
        heard.lock().expect("nobody panics with it").push(path);
        stream
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
}

#[tokio::test]
async fn a_node_shows_its_usage_its_metrics_and_itself() -> Result<()> {
    let (collector, posted) = collector()?;
    let node = Node::start_with(NodeOptions {
        env: vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), collector),
            ("OTEL_METRIC_EXPORT_INTERVAL".to_owned(), "500".to_owned()),
            ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "200".to_owned()),
        ],
        ..Default::default()
    })?;
    let app = |name: &str| App::new(name)?.function("front", "hello-p3", "route = \"/...\"");
    node.deploy(&app("shop")?)?;
    node.gust(&["project", "new", "other"])?;
    let blog = app("blog")?;
    let dir = blog.write()?.to_string_lossy().into_owned();
    node.gust(&["deploy", &dir, "--project", "other"])?;
    let mut client = Client::connect(node.functions, HOST).await?;
    for _ in 0..3 {
        assert_eq!(client.get("/").await?.status, 200);
    }
    assert_eq!(
        client
            .get_from("blog.other.gust.localhost", "/")
            .await?
            .status
            .as_u16()
            / 100,
        2
    );
    tables(&node)?;
    node_itself(&node)?;

    let mut control = Client::connect(node.control, "localhost").await?;
    let metrics = control.get("/metrics").await?.text();
    for stage in ["accept", "route", "admit", "acquire", "call", "settle"] {
        for part in ["bucket{le=\"+Inf\",", "count{"] {
            let name = format!("gust_stage_seconds_{part}stage=\"{stage}\"}}");
            let line = metrics.lines().find_map(|l| l.strip_prefix(&name));
            let value: f64 = line.with_context(|| name.clone())?.trim().parse()?;
            assert!(value >= 3.0, "{name} {value}");
        }
    }
    let description = control.get("/openapi.json").await?.json()?;
    let version = description["openapi"].as_str().unwrap_or_default();
    assert!(version.starts_with("3.1"), "{version}");
    assert!(description["paths"]["/v1/bill"]["get"].is_object());
    for path in ["/v1/traces", "/v1/metrics"] {
        eventually(path, async || {
            Ok(posted
                .lock()
                .expect("nobody panics with it")
                .iter()
                .any(|p| p == path))
        })
        .await?;
    }
    Ok(())
}

/// Usage and bills, as tables for people and for programs.
fn tables(node: &Node) -> Result<()> {
    let csv = |args: &[&str]| -> Result<Vec<Vec<String>>> {
        let text = node.gust(args)?;
        Ok(text
            .lines()
            .map(|l| l.split(',').map(str::to_owned).collect())
            .collect())
    };
    let bill = csv(&["bill", "--month", "--csv", "--all-projects"])?;
    assert_eq!(bill.len(), 3, "{bill:?}");
    assert!(
        bill.iter().all(|row| row.len() == bill[0].len()),
        "{bill:?}"
    );
    for name in [
        "month",
        "project",
        "app",
        "function",
        "calls",
        "cpu_us",
        "cost_memory",
        "total",
    ] {
        assert!(bill[0].iter().any(|h| h == name), "{name}: {bill:?}");
    }
    let mut totals = Vec::new();
    for (by, lines) in [("project", 2), ("app", 2), ("function", 2)] {
        let bill = node.json(&["bill", "--by", by, "--all-projects"])?;
        assert_eq!(
            bill["lines"].as_array().map(Vec::len),
            Some(lines),
            "{bill}"
        );
        totals.push(bill["total"].clone());
    }
    assert!(totals.iter().all(|t| *t == totals[0]), "{totals:?}");
    let one = node.gust(&["bill", "--by", "app"])?;
    assert!(one.contains("shop") && !one.contains("blog"), "{one}");

    let records = csv(&["usage", "--records", "--csv", "--all-projects"])?;
    assert_eq!(records.len(), 5, "{records:?}");
    for name in [
        "project",
        "revision",
        "trigger",
        "memory_mb_ms",
        "bytes_out",
        "kv",
        "first_byte_us",
    ] {
        assert!(records[0].iter().any(|h| h == name), "{name}: {records:?}");
    }
    Ok(())
}

/// Commands that look at a node, a machine and the program.
fn node_itself(node: &Node) -> Result<()> {
    // Whether all is well depends on the machine; that it is told does not.
    let doctor = node.command(&["doctor", "--json"]).output()?;
    let doctor: Value = serde_json::from_slice(&doctor.stdout)?;
    let findings = doctor["findings"].as_array().cloned().unwrap_or_default();
    let node_found = findings
        .iter()
        .find(|f| f["what"] == "node")
        .context("no node")?;
    assert_eq!(node_found["state"], "ok", "{doctor}");

    let mut explain = node.command(&["config", "explain", "--json", "--domain", "x.test"]);
    let explained = explain.env("GUST_GRACE", "7s").output()?;
    let explained: Value = serde_json::from_slice(&explained.stdout)?;
    let settings = explained["settings"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    for (key, value, from) in [
        ("domain", "x.test", "flag"),
        ("grace", "7s", "environment"),
        ("any_host", "false", "default"),
    ] {
        let found = settings.iter().find(|s| s["key"] == key).context(key)?;
        assert!(found["value"].to_string().contains(value), "{found}");
        assert_eq!(found["from"], from, "{found}");
    }
    let script = node.gust(&["completions", "bash"])?;
    assert!(script.contains("complete -F _gust"), "{script}");
    assert!(script.contains("rollback"), "{script}");
    Ok(())
}
