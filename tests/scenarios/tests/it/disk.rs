//! A full disk during a deploy, a key-value write and metering: refused clearly, nothing half-written, no restart needed.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;
use gust_scenarios::{App, Client, Node, NodeOptions};

/// A small file system of its own, or `None` when this machine does not let us mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().ok()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "gust-test"])
            .arg(folder.path())
            .output();
        mounted
            .is_ok_and(|o| o.status.success())
            .then_some(Self(folder))
    }

    /// Fills what is left, but for `spare` bytes; gives the file to remove.
    fn fill(&self) -> Result<std::path::PathBuf> {
        let path = self.0.path().join("ballast");
        let mut file = std::fs::File::create(&path)?;
        let block = vec![1u8; 1 << 16];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        let small = [1u8; 256];
        while std::io::Write::write_all(&mut file, &small).is_ok() {}
        Ok(path)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_survived() -> Result<()> {
    let Some(disk) = SmallDisk::mount("256m") else {
        println!("SKIPPED: this machine does not let us mount a small file system");
        return Ok(());
    };
    let node = Node::start_with(NodeOptions {
        data: Some(disk.path().join("data")),
        ..Default::default()
    })?;
    node.deploy(&App::new("keep")?.function(
        "keep",
        "host-spin2",
        "route = \"/...\"\nkv = [\"default\"]\n",
    )?)?;
    let mut client = Client::connect(node.functions, "keep.gust.localhost").await?;
    assert!(
        client
            .send(http::Request::put("/kv/default/before"), "kept".into())
            .await?
            .status
            .is_success()
    );

    let ballast = disk.fill()?;
    let big = "x".repeat(200_000);
    let mut refused = false;
    for n in 0..40 {
        let put = client
            .send(
                http::Request::put(format!("/kv/default/big-{n}")),
                big.clone().into(),
            )
            .await?;
        refused |= !put.text().contains("\"ok\":true");
    }
    assert!(refused, "a write that cannot be kept is refused");
    let failed = node.gust_fails(&[
        "deploy",
        &App::new("late")?
            .function("late", "hello-p3", "")?
            .write()?
            .to_string_lossy(),
    ])?;
    let said = String::from_utf8_lossy(&failed.stderr).to_lowercase();
    assert!(said.contains("disk") || said.contains("space"), "{said}");
    assert!(
        client
            .get("/kv/default/before")
            .await?
            .text()
            .contains("kept"),
        "reads go on"
    );

    std::fs::remove_file(ballast)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let put = client
        .send(http::Request::put("/kv/default/after"), "kept too".into())
        .await?;
    assert!(
        put.text().contains("\"ok\":true"),
        "writes go on without a restart: {} {}",
        put.status,
        put.text()
    );
    node.deploy(&App::new("late")?.function("late", "hello-p3", "route = \"/\"")?)?;
    assert_eq!(
        client.get_from("late.gust.localhost", "/").await?.status,
        200
    );
    Ok(())
}
