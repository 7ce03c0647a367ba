//! A disk that fills up: refused clearly, nothing half-written, and well again once there is room.
//!
//! Needs the right to mount a small file system in memory; says so when it has not.

use std::{path::Path, process::Command, sync::Arc};

use gust_control::Settings;
use gust_types::{Blame, Digest, Kind};

use crate::harness::{app, app_name, open, project};

/// A file system of four megabytes, until dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            _ => {
                eprintln!("skipped: no right to mount a file system here");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room there is.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.path().join("filler")).unwrap();
        for size in [64 << 10, 4096, 1] {
            let piece = vec![0u8; size];
            while file.write_all(&piece).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_uploads_and_deploys_and_forgets_nothing() {
    let Some(disk) = Small::mount() else {
        return;
    };
    let node = open(disk.path(), Settings::default()).await;
    node.upload("one").await;
    node.upload("two").await;
    node.deploy(app("shop", "one")).await.unwrap();

    let large = vec![1u8; 6 << 20];
    let digest = Digest::of(&large);
    let error = node
        .client
        .upload(&digest, large.into(), Arc::new(|_| {}))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.blame),
        (Kind::Exhausted, Blame::Platform),
        "{error:?}"
    );
    assert!(error.hint.unwrap().contains("disk is full"));
    let incoming = node.artifacts.incoming("x");
    assert_eq!(
        std::fs::read_dir(incoming.parent().unwrap())
            .unwrap()
            .count(),
        0
    );

    disk.fill();
    let path = format!("/v1/artifacts/{}", Digest::of(b"three"));
    let answer = node.authorized("PUT", &path, "", "three").await;
    assert!(answer.starts_with("HTTP/1.1 507"), "{answer}");

    // Deploys go on until the database finds no room; the one it refuses leaves what served.
    let mut serving = 1;
    let mut refused = None;
    for i in 0..200 {
        let mut spec = app("shop", if i % 2 == 0 { "two" } else { "one" });
        spec.description = "x".repeat(4000);
        spec.version = i.to_string();
        match node.deploy(spec).await {
            Ok(deployed) => serving = deployed.deployment,
            Err(error) => {
                refused = Some((error, i));
                break;
            }
        }
    }
    let (error, i) = refused.expect("the disk is full");
    assert_eq!(
        (error.kind, error.blame),
        (Kind::Exhausted, Blame::Platform),
        "{error:?}"
    );
    let before = if i % 2 == 0 { "one" } else { "two" };
    assert_eq!(
        node.call("shop").await.unwrap().1,
        before,
        "dispatch has the old one back"
    );
    let shop = node
        .client
        .app(&project(), &app_name("shop"))
        .await
        .unwrap();
    assert_eq!(shop.summary.deployment, serving);

    disk.free();
    let deployed = node.deploy(app("shop", "two")).await.unwrap();
    assert_eq!(deployed.deployment, serving + 1, "no restart was needed");
    assert_eq!(node.call("shop").await.unwrap().1, "two");
}
