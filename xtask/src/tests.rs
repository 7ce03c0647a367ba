//! `cargo xtask test`: installs what the tests need and runs every ring.
//!
//! Rings: `house` (format, lints, layers, docs), `unit` (unit tests and the seams' suites), `scenario` (the real
//! binary). `--long` adds a minute of each fuzz target and the long crash loops.

use anyhow::Result;

use crate::{
    docs, guests, layers,
    tools::{self, cargo},
};

/// Targets that guests are built for.
const TARGETS: &[&str] = &["wasm32-wasip2", "wasm32-wasip1", "wasm32-unknown-unknown"];

/// Programs that the tests run, with their Debian packages.
const PROGRAMS: &[(&str, &str)] = &[
    ("cc", "gcc"),
    ("git", "git"),
    ("python3", "python3"),
    ("node", "nodejs"),
    ("npm", "npm"),
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
            ["house", "unit", "scenario"].contains(ring),
            "unknown ring: {ring} (house, unit or scenario)"
        );
    }
    tools::need(PROGRAMS)?;
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
        cargo("the binary", &["build", "--locked", "-p", "gust-cli"])?;
        cargo("scenarios", &["test", "--locked", "-p", "gust-scenarios"])?;
    }
    if long {
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

/// Each fuzz target for a minute. Needs a nightly toolchain; without one it is skipped aloud.
fn fuzz() -> Result<()> {
    let nightly = std::process::Command::new("cargo")
        .args(["+nightly", "--version"])
        .output();
    if !nightly.is_ok_and(|o| o.status.success()) {
        eprintln!(
            "SKIPPED: fuzz targets (no nightly toolchain; add one with: rustup toolchain install nightly)"
        );
        return Ok(());
    }
    if !tools::has("cargo-fuzz") {
        cargo("install cargo-fuzz", &["install", "cargo-fuzz", "--locked"])?;
    }
    for target in fuzz_targets()? {
        cargo(
            &format!("fuzz {target}"),
            &[
                "+nightly",
                "fuzz",
                "run",
                &target,
                "--",
                "-max_total_time=60",
            ],
        )?;
    }
    Ok(())
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
