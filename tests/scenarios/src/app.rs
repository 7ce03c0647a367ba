//! Apps made on the spot: a folder with a manifest and built guests.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Result;

/// A `gust.toml` in the making.
pub struct App {
    folder: tempfile::TempDir,
    text: String,
}

impl App {
    /// An app of this name.
    pub fn new(name: &str) -> Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir()?,
            text: format!("[app]\nname = \"{name}\"\n"),
        })
    }

    /// Adds a function from a built guest; `more` are further lines of its table.
    pub fn function(self, name: &str, guest: &str, more: &str) -> Result<Self> {
        self.function_from(name, &crate::guest(guest), more)
    }

    /// Adds a function from a component.
    pub fn function_from(mut self, name: &str, component: &Path, more: &str) -> Result<Self> {
        std::os::unix::fs::symlink(
            std::fs::canonicalize(component)?,
            self.folder.path().join(format!("{name}.wasm")),
        )?;
        write!(
            self.text,
            "\n[function.{name}]\nsource = \"{name}.wasm\"\n{more}\n"
        )?;
        Ok(self)
    }

    /// Adds lines to the manifest.
    pub fn text(mut self, more: &str) -> Self {
        self.text.push_str(more);
        self.text.push('\n');
        self
    }

    /// Adds a file.
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Result<Self> {
        let path = self.folder.path().join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, content)?;
        Ok(self)
    }

    /// Writes the manifest and answers the folder.
    pub fn write(&self) -> Result<PathBuf> {
        std::fs::write(self.folder.path().join("gust.toml"), &self.text)?;
        Ok(self.folder.path().to_path_buf())
    }
}
