//! `cargo xtask layers`: crates import only downwards.
//!
//! The tiers are those of ARCHITECTURE.md. A crate that is not listed fails, so a new one gets its place on purpose.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, bail};

use crate::tools::root;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Room {
    Words,
    Ground,
    Seam,
    Plugin,
    Engine,
    Door,
    Assembly,
    Program,
}

use Room::*;

const ROOMS: &[(&str, Room)] = &[
    ("gust-types", Words),
    ("gust-task", Ground),
    ("gust-telemetry", Ground),
    ("gust-manifest", Ground),
    ("gust-api", Ground),
    ("gust-compose", Ground),
    ("gust-runtime", Seam),
    ("gust-backend", Seam),
    ("gust-meter", Seam),
    ("gust-trigger", Seam),
    ("gust-runtime-wasm", Plugin),
    ("gust-backend-local", Plugin),
    ("gust-trigger-redis", Plugin),
    ("gust-trigger-nats", Plugin),
    ("gust-trigger-mqtt", Plugin),
    ("gust-trigger-amqp", Plugin),
    ("gust-trigger-postgres", Plugin),
    ("gust-trigger-http", Plugin),
    ("gust-dispatch", Engine),
    ("gust-gateway", Door),
    ("gust-control", Door),
    ("gust-events", Door),
    ("gust-dialect-redis", Door),
    ("gust-dialect-postgres", Door),
    ("gust-dialect-aws", Door),
    ("gust-dialect-s3", Door),
    ("gust-node", Assembly),
    ("gust-cli", Program),
    ("gust-bench", Program),
    ("gust-scenarios", Program),
    ("xtask", Program),
];

/// Heavy dependencies that only one crate may name.
const OWNED: &[(&str, &[&str])] = &[
    ("wasmtime", &["gust-runtime-wasm"]),
    ("wasmtime-wasi", &["gust-runtime-wasm"]),
    ("wasmtime-wasi-http", &["gust-runtime-wasm"]),
    ("fjall", &["gust-backend-local"]),
    ("rusqlite", &["gust-backend-local", "gust-control"]),
    ("axum", &["gust-control"]),
    ("s3s", &["gust-dialect-s3"]),
    ("wac-graph", &["gust-compose"]),
    ("clap", &["gust-cli", "gust-bench"]),
    (
        "tokio-rustls",
        &[
            "gust-gateway",
            "gust-runtime-wasm",
            "gust-trigger",
            "gust-scenarios",
        ],
    ),
];

/// Checks every manifest.
pub fn run() -> Result<()> {
    let mut faults = Vec::new();
    let mut edges = 0;
    for (name, manifest) in manifests()? {
        let Some(room) = room(&name) else {
            faults.push(format!(
                "{name} has no tier: add it to xtask/src/layers.rs and ARCHITECTURE.md"
            ));
            continue;
        };
        let dependencies = manifest
            .get("dependencies")
            .and_then(|d| d.as_table())
            .cloned()
            .unwrap_or_default();
        for dependency in dependencies.keys() {
            edges += usize::from(dependency.starts_with("gust-"));
            faults.extend(check(&name, room, dependency));
        }
        if manifest
            .get("lints")
            .and_then(|l| l.get("workspace"))
            .is_none()
            && name != "xtask"
        {
            faults.push(format!("{name} does not take the workspace's lints"));
        }
    }
    if !faults.is_empty() {
        bail!("forbidden edges:\n  {}", faults.join("\n  "));
    }
    println!("layers: {edges} edges, all downwards");
    Ok(())
}

fn room(name: &str) -> Option<Room> {
    ROOMS.iter().find(|(n, _)| *n == name).map(|(_, r)| *r)
}

/// The rules of the table, for one edge.
fn check(from: &str, room: Room, to: &str) -> Option<String> {
    if let Some((_, owners)) = OWNED.iter().find(|(d, _)| *d == to) {
        return (!owners.contains(&from))
            .then(|| format!("{from} → {to}: only {} may", owners.join(", ")));
    }
    let below = self::room(to)?;
    let allowed = match room {
        Words => false,
        Ground => below == Words || (from != "gust-task" && to == "gust-task"),
        Seam => below <= Ground || (from == "gust-runtime" && to == "gust-backend"),
        Plugin | Engine => below <= Seam,
        Door => below <= Seam || below == Engine,
        Assembly => below < Assembly,
        Program => {
            below <= Ground
                || (from == "gust-cli" && to == "gust-node")
                || (from == "gust-bench" && to == "gust-scenarios")
        }
    };
    (!allowed).then(|| format!("{from} ({room:?}) → {to} ({below:?})"))
}

/// Every crate's name and manifest.
pub fn manifests() -> Result<BTreeMap<String, toml::Table>> {
    let mut found = BTreeMap::new();
    let folders = fs::read_dir(root().join("crates"))?
        .flatten()
        .map(|e| e.path());
    for folder in folders.chain(["xtask", "bench", "tests/scenarios"].map(|p| root().join(p))) {
        let file = folder.join("Cargo.toml");
        if !file.is_file() {
            continue;
        }
        let manifest: toml::Table = fs::read_to_string(&file)?
            .parse()
            .with_context(|| file.display().to_string())?;
        let name = manifest["package"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        found.insert(name, manifest);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_the_table() {
        for (from, to, allowed) in [
            ("gust-types", "gust-task", false),
            ("gust-dispatch", "gust-runtime", true),
            ("gust-dispatch", "gust-runtime-wasm", false),
            ("gust-runtime-wasm", "gust-backend-local", false),
            ("gust-gateway", "gust-dispatch", true),
            ("gust-gateway", "gust-control", false),
            ("gust-control", "gust-backend-local", false),
            ("gust-node", "gust-runtime-wasm", true),
            ("gust-cli", "gust-node", true),
            ("gust-cli", "gust-dispatch", false),
            ("gust-gateway", "wasmtime", false),
        ] {
            let fault = check(from, room(from).unwrap(), to);
            assert_eq!(fault.is_none(), allowed, "{from} → {to}: {fault:?}");
        }
    }
}
