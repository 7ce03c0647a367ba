//! Acknowledged durable writes through the local key-value backend: its own example, run as a program.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use crate::Args;

pub(crate) fn run(args: &Args) -> Result<Map<String, Value>> {
    let output = Command::new(&args.kv_bench)
        .arg("--json")
        .output()
        .context("cannot run kv_bench")?;
    ensure!(
        output.status.success(),
        "kv_bench failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}
