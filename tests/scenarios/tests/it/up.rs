//! `gust up`: one app in the foreground, no node and no token; a folder with a spin.toml as it is.

use anyhow::Result;
use gust_scenarios::{App, Client, Up, guest};

#[tokio::test]
async fn a_gust_app_serves_on_any_host() -> Result<()> {
    let app = App::new("dev")?.function("web", "echo-p2", "route = \"/...\"")?;
    let up = Up::start(&app.write()?, &[])?;
    let mut client = Client::connect(up.addr, "localhost").await?;
    assert_eq!(client.get("/info").await?.status, 200);
    assert_eq!(
        client.get_from("what.ever.example", "/info").await?.status,
        200
    );
    up.stop()
}

#[tokio::test]
async fn a_spin_app_runs_as_it_is() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for name in ["hello-spin", "host-spin2", "spin1"] {
        std::fs::copy(guest(name), folder.path().join(format!("{name}.wasm")))?;
    }
    std::fs::write(
        folder.path().join("spin.toml"),
        r#"
spin_manifest_version = 2
[application]
name = "as-it-is"
version = "0.1.0"
[variables]
greeting = { default = "你好" }
[[trigger.http]]
route = "/hello/..."
component = "hello"
[[trigger.http]]
route = "/store/..."
component = "store"
[[trigger.http]]
route = "/old/..."
component = "old"
[[trigger.http]]
route = "/fixed"
static_response = { status_code = 418, body = "short and stout" }
[component.hello]
source = "hello-spin.wasm"
[component.store]
source = "host-spin2.wasm"
key_value_stores = ["default"]
sqlite_databases = ["default"]
[component.store.variables]
greeting = "{{ greeting }}!"
[component.old]
source = "spin1.wasm"
key_value_stores = ["default"]
"#,
    )?;
    let up = Up::start(folder.path(), &[])?;
    let mut client = Client::connect(up.addr, "localhost").await?;
    assert_eq!(client.get("/hello/x").await?.status, 200);
    assert!(!client.get("/old/x").await?.status.is_server_error());
    let fixed = client.get("/fixed").await?;
    assert_eq!(
        (fixed.status.as_u16(), fixed.text().as_str()),
        (418, "short and stout")
    );
    assert_eq!(client.get("/nothing").await?.status, 404);
    up.stop()
}
