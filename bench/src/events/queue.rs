//! The durable queue alone: its own example, run as a program.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::PRODUCERS;
use crate::Args;

/// What a run of `queue_bench` says.
pub(super) struct Library {
    pub(super) acks_per_s: f64,
    pub(super) ack_ms: Value,
    pub(super) fsyncs_per_1000: f64,
    pub(super) drain_per_s: f64,
    /// The most of what it held, full or drained.
    pub(super) rss_mb: f64,
    pub(super) reopen_s: f64,
    pub(super) document: Value,
}

/// Producers for so many seconds.
pub(super) fn publish(args: &Args, disk: &Path, seconds: u64) -> Result<Library> {
    let seconds = seconds.to_string();
    let producers = PRODUCERS.to_string();
    run(
        args,
        disk,
        &["--publishers", &producers, "--seconds", &seconds],
    )
}

/// Opened again with this many messages in it, and drained.
pub(super) fn backlog(args: &Args, disk: &Path, messages: usize) -> Result<Library> {
    let count = messages.to_string();
    let library = run(args, disk, &["--seconds", "0", "--backlog", &count])?;
    let drained = library.document["drained"].as_u64();
    ensure!(
        drained == Some(messages as u64),
        "{messages} published, {drained:?} drained"
    );
    Ok(library)
}

fn run(args: &Args, disk: &Path, more: &[&str]) -> Result<Library> {
    let folder = tempfile::tempdir_in(disk)?;
    let output = Command::new(&args.queue_bench)
        .args(more)
        .arg("--folder")
        .arg(folder.path())
        .arg("--json")
        .output()
        .context("cannot run queue_bench")?;
    ensure!(
        output.status.success(),
        "queue_bench failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let document: Value = serde_json::from_slice(&output.stdout)?;
    let number = |value: &Value, name: &str| {
        value
            .as_f64()
            .with_context(|| format!("queue_bench says no {name}"))
    };
    let rss = &document["rss_mb"];
    Ok(Library {
        acks_per_s: number(&document["acks_per_s"], "acks_per_s")?,
        ack_ms: document["ack_ms"].clone(),
        fsyncs_per_1000: number(&document["fsyncs_per_1000"], "fsyncs_per_1000")?,
        drain_per_s: number(&document["drain_per_s"], "drain_per_s")?,
        rss_mb: number(&rss["full"], "rss_mb")?.max(number(&rss["drained"], "rss_mb")?),
        reopen_s: number(&document["reopen_s"], "reopen_s")?,
        document,
    })
}
