//! `cargo xtask test`: installs what the tests need and runs every ring.
//!
//! Rings: `house` (format, lints, layers, docs), `unit` (unit tests and the seams' suites), `scenario` (the real
//! binary). `--long` adds what `deny.toml` asks for, the long crash loops and a minute of each fuzz target. The ring
//! `promise` measures, so it runs by name only.

use anyhow::Result;

use crate::{
    clients, docs, guests, layers, promises,
    tools::{self, cargo, cargo_with, step},
};

/// What reads `deny.toml`; the newest that this compiler builds.
const DENY: &str = "0.20.2";

/// Targets that guests are built for.
const TARGETS: &[&str] = &["wasm32-wasip2", "wasm32-wasip1", "wasm32-unknown-unknown"];

/// Programs that the tests run, with their Debian packages.
const PROGRAMS: &[(&str, &str)] = &[
    ("cc", "gcc"),
    ("git", "git"),
    ("python3", "python3"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("redis-server", "redis-server"),
    ("nats-server", "nats-server"),
    ("mosquitto_passwd", "mosquitto"),
    ("rabbitmq-server", "rabbitmq-server"),
    ("pg_lsclusters", "postgresql"),
];

/// Runs the rings asked for, or all.
pub fn run(args: &[String]) -> Result<()> {
    let long = args.iter().any(|a| a == "--long");
    let rings: Vec<&str> = args
        .iter()
        .filter(|a| !a.starts_with("--"))
        .map(String::as_str)
        .collect();
    let wants = |ring: &str| rings.is_empty() || rings.contains(&ring);
    for ring in &rings {
        anyhow::ensure!(
            ["house", "unit", "scenario", "promise"].contains(ring),
            "unknown ring: {ring} (house, unit, scenario or promise)"
        );
    }
    tools::need(PROGRAMS)?;
    tools::need_python_environments()?;
    tools::need_components(&[("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")])?;
    tools::need_targets(TARGETS)?;
    if wants("unit") || wants("scenario") {
        guests::run(guests::GuestArgs::default())?;
    }
    if wants("house") {
        house()?;
    }
    if wants("unit") {
        cargo(
            "unit tests and suites",
            &[
                "test",
                "--workspace",
                "--exclude",
                "gust-scenarios",
                "--locked",
            ],
        )?;
    }
    if wants("scenario") {
        clients::run()?;
        cargo("the binary", &["build", "--locked", "-p", "gust-cli"])?;
        cargo("scenarios", &["test", "--locked", "-p", "gust-scenarios"])?;
    }
    if rings.contains(&"promise") {
        promises::run()?;
    }
    if long {
        deny()?;
        crash_loops()?;
        fuzz()?;
    }
    eprintln!(
        "\nall rings passed{}",
        if rings.is_empty() {
            String::new()
        } else {
            format!(": {}", rings.join(", "))
        }
    );
    Ok(())
}

fn house() -> Result<()> {
    cargo("format", &["fmt", "--all", "--check"])?;
    layers::run()?;
    docs::run()?;
    cargo(
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    )
}

/// Each fuzz target for a minute, on the toolchain that is there.
fn fuzz() -> Result<()> {
    let run = tools::root().join("fuzz/run");
    for target in fuzz_targets()? {
        step(
            &format!("fuzz {target}"),
            &run.to_string_lossy(),
            &[target.as_str(), "60"],
        )?;
    }
    Ok(())
}

/// Licences, sources and banned crates, as `deny.toml` has them. Advisories need a database from elsewhere and are left to
/// whoever has it.
fn deny() -> Result<()> {
    if !tools::has("cargo-deny") {
        cargo(
            "install cargo-deny",
            &["install", "cargo-deny", "--version", DENY, "--locked"],
        )?;
    }
    cargo("deny", &["deny", "check", "bans", "licenses", "sources"])
}

/// The long crash loops, in the unit ring's crates and in the scenarios.
fn crash_loops() -> Result<()> {
    cargo_with(
        "long crash loops of the local backend",
        &[
            "test",
            "--locked",
            "-p",
            "gust-backend-local",
            "--test",
            "crash",
            "--test",
            "queue_crash",
            "--test",
            "topic_crash",
            "--test",
            "changes_crash",
            "--test",
            "blob_crash",
        ],
        &[("GUST_LONG", "1")],
    )?;
    cargo_with(
        "long crash loop of the node",
        &["test", "--locked", "-p", "gust-scenarios", "kill_9"],
        &[("GUST_CRASH_ROUNDS", "300")],
    )
}

fn fuzz_targets() -> Result<Vec<String>> {
    let folder = tools::root().join("fuzz/fuzz_targets");
    let mut names: Vec<String> = std::fs::read_dir(folder)?
        .flatten()
        .filter_map(|e| {
            e.file_name()
                .to_string_lossy()
                .strip_suffix(".rs")
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    Ok(names)
}
