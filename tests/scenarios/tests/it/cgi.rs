//! Programs that are told their request as CGI: Spin's executor `wagi`, for components and for core modules.

use anyhow::{Result, ensure};
use gust_scenarios::{App, Client, Node, guest};

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "shop"
[[trigger.http]]
route = "/new/..."
component = "new"
executor = { type = "wagi" }
[[trigger.http]]
route = "/old/..."
component = "old"
executor = { type = "wagi", argv = "run ${ARGS}", entrypoint = "_start" }
[component.new]
source = "cgi.wasm"
environment = { REQUEST_METHOD = "not the function's to say", GREETING = "你好" }
[component.old]
source = "cgi-p1.wasm"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_are_told_their_request() -> Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    for name in ["cgi", "cgi-p1"] {
        std::fs::copy(guest(name), folder.path().join(format!("{name}.wasm")))?;
    }
    std::fs::write(folder.path().join("spin.toml"), MANIFEST)?;
    node.gust(&["deploy", &folder.path().to_string_lossy()])?;
    let mut client = Client::connect(node.functions, "shop.gust.localhost").await?;
    let answer = client.post("/new/a%20b?x=1&y=2", "正文").await?;
    let text = answer.text();
    ensure!(answer.status == 200, "{} {text}", answer.status);
    ensure!(answer.headers["x-made-by"].as_bytes() == "程序".as_bytes());
    for line in [
        "args [\"/new/a%20b\", \"x=1\", \"y=2\"]",
        "REQUEST_METHOD=POST",
        "SCRIPT_NAME=/new",
        "PATH_INFO=/a b",
        "QUERY_STRING=x=1&y=2",
        "CONTENT_LENGTH=6",
        "REMOTE_ADDR=127.0.0.1",
        "HTTP_HOST=shop.gust.localhost",
        "X_MATCHED_ROUTE=/new/...",
        "GREETING=你好",
    ] {
        ensure!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    ensure!(text.ends_with("body 正文"), "{text}");
    let old = client.get("/old/see?one&two").await?.text();
    ensure!(
        old.starts_with("args [\"run\", \"one\", \"two\"]\n"),
        "{old}"
    );
    for path in ["/new", "/old"] {
        let moved = client.get(&format!("{path}/moved")).await?;
        ensure!(moved.status == 302 && moved.headers["location"] == "/elsewhere");
        let gone = client.get(&format!("{path}/gone")).await?;
        ensure!(gone.status == 410 && gone.text() == "gone\n");
        for bad in ["bare", "half"] {
            let answer = client.get(&format!("{path}/{bad}")).await?;
            ensure!(
                answer.status == 500 || answer.status == 502,
                "{bad}: {}",
                answer.status
            );
            let log = node.gust(&["logs", "shop"])?;
            ensure!(
                log.contains("the function gave no CGI response: its header"),
                "{log}"
            );
        }
    }
    // Broken off, or never begun; never ended as if it were whole.
    let failed = client.get("/new/fail").await;
    ensure!(failed.is_err() || failed.is_ok_and(|answer| answer.status.is_server_error()));
    Ok(())
}

#[test]
fn only_programs_are() -> Result<()> {
    let node = Node::start()?;
    let app = App::new("shop")?.function("web", "hello-p2", "cgi = {}\n")?;
    let folder = app.write()?;
    let output = node.gust_fails(&["deploy", &folder.to_string_lossy()])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        said.contains("only a program is told its request as CGI, and the function exports wasi:http/incoming-handler"),
        "{said}"
    );
    Ok(())
}
