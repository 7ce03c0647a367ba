//! `gust up`: one app in the foreground, no node and no token; a folder with a spin.toml as it is.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use gust_scenarios::{App, Client, guest, gust_binary};

struct Up(Child, SocketAddr);

impl Up {
    fn start(folder: &Path, args: &[&str]) -> Result<Self> {
        let mut child = Command::new(gust_binary())
            .args(["up", "--listen", "127.0.0.1:0"])
            .args(args)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        while let Some(Ok(line)) = lines.next() {
            if let Some(url) = line.strip_prefix("Serving http://") {
                let addr = url.trim().trim_end_matches('/').parse()?;
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(Self(child, addr));
            }
        }
        anyhow::bail!("gust up ended: {}", child.wait()?)
    }

    /// SIGTERM; it must end well within five seconds.
    fn stop(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_raw(self.0.id() as i32).context("no pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        for _ in 0..500 {
            if let Some(status) = self.0.try_wait()? {
                assert!(status.success(), "{status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        anyhow::bail!("gust up did not end within five seconds of SIGTERM")
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_gust_app_serves_on_any_host() -> Result<()> {
    let app = App::new("dev")?.function("web", "echo-p2", "route = \"/...\"")?;
    let up = Up::start(&app.write()?, &[])?;
    let mut client = Client::connect(up.1, "localhost").await?;
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
    let mut client = Client::connect(up.1, "localhost").await?;
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
