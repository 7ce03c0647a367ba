//! Drives the real `gust` binary as a person would: a node on free ports in a temporary folder, the command line, and
//! an HTTP client. Used by the scenarios (`tests/scenarios/tests/it`) and by the bench. Start with [`node::Node`].

pub mod app;
pub mod broker;
pub mod client;
pub mod node;
pub mod up;
pub mod visitors;

pub use app::App;
pub use client::{Answer, Client};
pub use node::{Node, NodeOptions};
pub use up::Up;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

/// Longer than anything takes that comes at all, on a machine that does other things beside it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again and again, until it is so.
pub fn until(what: &str, mut is: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = gust_task::clock::now();
    while begun.elapsed() < PATIENCE {
        if is()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("never: {what}")
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A built guest program. A missing one is a fault of the set-up, never a reason to skip.
pub fn guest(name: &str) -> PathBuf {
    let path = root().join("target/guests").join(format!("{name}.wasm"));
    assert!(
        path.is_file(),
        "the guest {name} is not built; run: cargo xtask guests"
    );
    path
}

/// The binary under test: `$GUST_BIN`, or the one cargo built beside this program.
pub fn gust_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("GUST_BIN") {
        return path.into();
    }
    let me = std::env::current_exe().unwrap_or_default();
    let found = me
        .ancestors()
        .skip(1)
        .take(3)
        .map(|folder| folder.join("gust"))
        .find(|p| p.is_file());
    found.unwrap_or_else(|| root().join("target/debug/gust"))
}
