//! Components of a `spin.toml` that import from others: one function, and rights that are not inherited unless it is said.

use std::path::Path;

use anyhow::{Result, ensure};
use gust_scenarios::{Client, Node, guest};
use serde_json::{Value, json};

/// An app whose function imports from another component, with what that one inherits.
fn app(folder: &Path, inherit: &str) -> Result<()> {
    std::fs::copy(guest("asks-words"), folder.join("asks.wasm"))?;
    std::fs::write(folder.join("told.txt"), "文件")?;
    let words = guest("words");
    let build = format!("cp {} words.wasm", words.display());
    let manifest = format!(
        r#"
spin_manifest_version = 2
[application]
name = "shop"
[variables]
told = {{ default = "by a variable" }}
[[trigger.http]]
route = "/..."
component = "asks"
[component.asks]
source = "asks.wasm"
files = ["told.txt"]
environment = {{ TOLD = "by the environment" }}
variables = {{ told = "{{{{ told }}}}" }}
key_value_stores = ["default"]
allowed_outbound_hosts = ["http://self"]
[component.asks.dependencies]
"gust-tests:words" = {{ component = "words"{inherit} }}
[component.words]
source = "words.wasm"
build.command = {build:?}
"#
    );
    std::fs::write(folder.join("spin.toml"), manifest)?;
    Ok(())
}

async fn asked(client: &mut Client, path: &str) -> Result<Value> {
    let answer = client.get(path).await?;
    ensure!(
        answer.status == 200,
        "{path}: {} {}",
        answer.status,
        answer.text()
    );
    Ok(answer.json()?["value"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dependency_serves_and_is_denied_what_it_was_not_given() -> Result<()> {
    let node = Node::start()?;
    let error = |text: &str| json!({"error": "error", "detail": text});
    let denied = "undefined: this dependency was not given it: see `inherit_configuration`";
    let cases = [
        ("", [error("access-denied"), error(denied), Value::Null]),
        (
            ", inherit_configuration = [\"key_value_stores\"]",
            [Value::Null, error(denied), Value::Null],
        ),
        (
            ", inherit_configuration = true",
            [
                Value::Null,
                json!("by a variable"),
                json!("by the environment"),
            ],
        ),
    ];
    for (inherit, [stored, variable, env]) in cases {
        let folder = tempfile::tempdir()?;
        app(folder.path(), inherit)?;
        // The component that is imported from is built with the one that imports.
        node.gust(&["deploy", &folder.path().to_string_lossy()])?;
        let mut client = Client::connect(node.functions, "shop.gust.localhost").await?;
        ensure!(asked(&mut client, "/upper/stra%C3%9Fe").await? == "STRASSE");
        ensure!(asked(&mut client, "/own/TOLD").await? == "by the environment");
        for _ in 0..3 {
            ensure!(
                asked(&mut client, "/stored/none").await? == stored,
                "{inherit}"
            );
            ensure!(
                asked(&mut client, "/variable/told").await? == variable,
                "{inherit}"
            );
            ensure!(asked(&mut client, "/env/TOLD").await? == env, "{inherit}");
        }
        let file = asked(&mut client, "/file/told.txt").await?;
        ensure!(
            (file == "文件") == inherit.ends_with("true"),
            "{inherit}: {file}"
        );
        let url = "/fetch?url=http://self/upper/x";
        let fetched = asked(&mut client, url).await?.to_string();
        let refused =
            fetched.contains("HTTP-request-denied") || fetched.contains("HttpRequestDenied");
        ensure!(refused != inherit.ends_with("true"), "{inherit}: {fetched}");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_told_before_anything_is_sent() -> Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    app(folder.path(), "")?;
    let manifest = folder.path().join("spin.toml");
    let text = std::fs::read_to_string(&manifest)?;
    for (import, says) in [
        (
            "gust-tests:verbs",
            "dependency `gust-tests:verbs` serves nothing that is imported",
        ),
        (
            "wasi:cli/environment",
            "does not export wasi:cli/environment@",
        ),
    ] {
        std::fs::write(&manifest, text.replace("gust-tests:words", import))?;
        let output = node.gust_fails(&["deploy", &folder.path().to_string_lossy()])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            said.contains("function `asks`: ") && said.contains(says),
            "{said}"
        );
    }
    ensure!(node.json(&["ls"])?.as_array().is_none_or(Vec::is_empty));
    Ok(())
}
