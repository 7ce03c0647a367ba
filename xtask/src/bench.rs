//! `cargo xtask bench [name ...] [--json] [--keep-build]`: builds the measured binaries and the peers, then measures.
//!
//! With `--json` one JSON document on stdout and nothing else there; without it the figures are also added to
//! `bench/RESULTS.md` with machine and date.

use std::{fs, io::Write as _, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use crate::tools::{self, cargo, root, target};

pub const NAMES: &[&str] = &["http", "cold", "density", "overload", "kv", "events"];
const GUESTS: &[&str] = &[
    "hello-p2",
    "hello-p3",
    "hello-spin",
    "js-hello",
    "faults-p3",
];
/// The peer; the version is the one Gust is built on, so that the engine is the same.
const WASMTIME: &str = "48.0.8";

/// Runs the benchmarks asked for, or all.
pub fn run(args: &[String]) -> Result<()> {
    let json = args.iter().any(|a| a == "--json");
    let names: Vec<&str> = args
        .iter()
        .filter(|a| !a.starts_with("--"))
        .map(String::as_str)
        .collect();
    for name in &names {
        ensure!(
            NAMES.contains(name),
            "unknown benchmark: {name} (one of {})",
            NAMES.join(", ")
        );
    }
    let names = if names.is_empty() {
        NAMES.to_vec()
    } else {
        names
    };
    let figures = figures(&names)?;
    let document = if names.len() == 1 {
        figures[names[0]].clone()
    } else {
        Value::Object(figures.clone())
    };
    if json {
        println!("{document}");
        return Ok(());
    }
    println!("{}", serde_json::to_string_pretty(&document)?);
    keep(&figures)
}

/// Builds, measures these and answers their documents by name.
pub fn figures(names: &[&str]) -> Result<Map<String, Value>> {
    build(names)?;
    let measured = names
        .iter()
        .map(|name| Ok(((*name).to_owned(), measure(name)?)));
    measured.collect()
}

fn build(names: &[&str]) -> Result<()> {
    tools::need(&[("wrk", "wrk"), ("cc", "gcc")])?;
    tools::need_targets(&["wasm32-wasip2", "wasm32-wasip1", "wasm32-unknown-unknown"])?;
    // Its messages must not end on our stdout.
    let me = std::env::current_exe()?;
    let mut guests = vec!["guests"];
    guests.extend(GUESTS);
    let built = Command::new(me)
        .args(guests)
        .stdout(std::io::stderr())
        .status()?;
    ensure!(built.success(), "the guests were not built");
    cargo(
        "the measured binary",
        &["build", "--profile", "dist", "--locked", "-p", "gust-cli"],
    )?;
    cargo(
        "the bench",
        &["build", "--release", "--locked", "-p", "gust-bench"],
    )?;
    for (name, example) in [("kv", "kv_bench"), ("events", "queue_bench")] {
        if names.contains(&name) {
            build_example(example)?;
        }
    }
    if names.contains(&"events") {
        need_event_peers();
    }
    let peers = target().join("peers");
    if names.contains(&"http") && !peers.join("bin/wasmtime").is_file() {
        let root = peers.to_string_lossy().into_owned();
        cargo(
            "the peer wasmtime serve",
            &[
                "install",
                "wasmtime-cli",
                "--version",
                WASMTIME,
                "--locked",
                "--root",
                &root,
            ],
        )?;
    }
    Ok(())
}

/// An example of the local backends, which measures them alone.
fn build_example(example: &str) -> Result<()> {
    let mut args = vec!["build", "--profile", "dist", "--locked"];
    args.extend(["-p", "gust-backend-local", "--example", example]);
    cargo(example, &args)
}

/// Installs the peers of `events` where it can; each that is missing leaves its figures empty.
fn need_event_peers() {
    for (program, variable) in [
        ("nats-server", "NATS_SERVER"),
        ("redis-server", "REDIS_SERVER"),
    ] {
        if std::env::var_os(variable).is_some() {
            continue;
        }
        if let Err(error) = tools::need(&[(program, program)]) {
            eprintln!("{program} is not measured: {error:#}");
        }
    }
}

fn measure(name: &str) -> Result<Value> {
    eprintln!("\n== bench {name}");
    let path = |p: &str| target().join(p).to_string_lossy().into_owned();
    let output = Command::new(target().join("release/gust-bench"))
        .args([
            "--gust",
            &path("dist/gust"),
            "--wasmtime",
            &path("peers/bin/wasmtime"),
        ])
        .args(["--kv-bench", &path("dist/examples/kv_bench")])
        .args(["--queue-bench", &path("dist/examples/queue_bench")])
        .args(["--guests", &root().join("target/guests").to_string_lossy()])
        .arg(name)
        .current_dir(root())
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run gust-bench")?;
    ensure!(output.status.success(), "bench {name} failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Adds the figures to the results page.
fn keep(figures: &Map<String, Value>) -> Result<()> {
    let date = Command::new("date")
        .args(["-u", "+%Y-%m-%d %H:%M UTC"])
        .output()?;
    let mut page = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(root().join("bench/RESULTS.md"))?;
    writeln!(
        page,
        "\n## {}, {}\n",
        String::from_utf8_lossy(&date.stdout).trim(),
        machine()
    )?;
    for (name, value) in figures {
        writeln!(
            page,
            "`cargo xtask bench {name}`\n\n```json\n{}\n```\n",
            serde_json::to_string_pretty(value)?
        )?;
    }
    Ok(())
}

fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cores} × {}, Linux {}",
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_guest_that_is_measured_is_in_the_folder_of_guests() {
        for guest in super::GUESTS {
            assert!(
                super::root().join("tests/guests").join(guest).is_dir(),
                "{guest}"
            );
        }
    }
}
