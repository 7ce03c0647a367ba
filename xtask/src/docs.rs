//! `cargo xtask docs`: the texts name every crate, and only paths that exist.

use std::fs;

use anyhow::{Result, bail};

use crate::{layers, tools::root};

/// Checks ARCHITECTURE.md for crates, and every text for paths.
pub fn run() -> Result<()> {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md"))?;
    let mut faults: Vec<String> = layers::manifests()?
        .into_keys()
        .filter(|name| !map.contains(&format!("`{name}`")))
        .map(|name| format!("ARCHITECTURE.md does not name {name}"))
        .collect();
    let mut paths = 0;
    for text in texts()? {
        let content = fs::read_to_string(root().join(&text))?;
        for path in named_paths(&content) {
            paths += 1;
            if !root().join(path).exists() {
                faults.push(format!("{text} names a path that is gone: {path}"));
            }
        }
    }
    if !faults.is_empty() {
        bail!("the texts are not true:\n  {}", faults.join("\n  "));
    }
    println!("docs: {paths} named paths exist, every crate is on the map");
    Ok(())
}

fn texts() -> Result<Vec<String>> {
    let mut found = vec![
        "README.md".to_owned(),
        "ARCHITECTURE.md".to_owned(),
        "SPEC.md".to_owned(),
    ];
    for entry in fs::read_dir(root().join("docs"))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            found.push(format!("docs/{name}"));
        }
    }
    Ok(found)
}

/// Paths in back-quotes that start with a folder of ours, without wildcards or placeholders.
fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    const FOLDERS: &[&str] = &[
        "crates/",
        "xtask/",
        "docs/",
        "tests/",
        "bench/",
        "wit/",
        "examples/",
        "templates/",
        "fuzz/",
    ];
    text.split('`').skip(1).step_by(2).filter_map(|quoted| {
        let path = quoted.split([':', ' ', '#']).next()?;
        let ours = FOLDERS.iter().any(|f| path.starts_with(f));
        (ours && !path.contains(['*', '<', '{', '…'])).then_some(path)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_are_found_in_back_quotes() {
        let text = "see `crates/gust-types/src/call.rs:Call` and `cargo test` or `tests/guests/<name>` in `docs/x.md`";
        let found: Vec<_> = super::named_paths(text).collect();
        assert_eq!(found, ["crates/gust-types/src/call.rs", "docs/x.md"]);
    }
}
