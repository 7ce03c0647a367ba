//! `cargo xtask clients`: the clients of others that scenarios drive, in `target/clients`.
//!
//! What is there stays as long as the list of what is wanted is the same.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::tools::{self, root, step};

const WANTED: &str = "tests/scenarios/clients/requirements.txt";

/// Makes the environment, or leaves it as it is.
pub fn run() -> Result<()> {
    let wanted = fs::read_to_string(root().join(WANTED)).context(WANTED)?;
    // Beside the guests, wherever cargo builds: both ends look there.
    let folder = root().join("target/clients");
    let stamp = folder.join("wanted");
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    tools::need_python_environments()?;
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let make = ["-m", "venv", "--clear", &path(&folder)];
    step("an environment for clients", "python3", &make)?;
    let list = path(&root().join(WANTED));
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        &list,
    ];
    let python = path(&folder.join("bin/python"));
    step("the clients of others", &python, &install)?;
    Ok(fs::write(&stamp, wanted)?)
}
