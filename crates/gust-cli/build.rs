//! Embeds `templates/` in the binary: one line of a table for each file.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// What tools leave behind in a template that somebody tried out.
const LEFT_OUT: [&str; 6] = [
    "target",
    "node_modules",
    "dist",
    ".gust",
    ".venv",
    "__pycache__",
];

fn main() -> io::Result<()> {
    let root = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../../templates");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    walk(&root, &mut files)?;
    files.sort();
    let mut table = fs::File::create(Path::new(&variable("OUT_DIR")).join("templates.rs"))?;
    writeln!(table, "&[")?;
    for file in files {
        let name = file.strip_prefix(&root).map_err(io::Error::other)?;
        let from = file.canonicalize()?;
        writeln!(table, "    ({name:?}, include_str!({from:?})),")?;
    }
    writeln!(table, "]")
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", dir.display());
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
