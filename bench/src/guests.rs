//! Distinct components out of a few: the same code with another custom section, so another digest and artifact.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Writes a copy of `base` that differs from all others by `number`.
pub(crate) fn distinct(base: &Path, number: usize, folder: &Path) -> Result<PathBuf> {
    let mut bytes = std::fs::read(base)
        .with_context(|| format!("{}: run cargo xtask guests", base.display()))?;
    let name = b"gust:bench";
    let content = number.to_le_bytes();
    // Section 0 (custom): size, name length, name, content; all lengths fit one LEB128 byte.
    bytes.push(0);
    bytes.push((1 + name.len() + content.len()) as u8);
    bytes.push(name.len() as u8);
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&content);
    let path = folder.join(format!("c{number}.wasm"));
    std::fs::write(&path, bytes)?;
    Ok(path)
}
