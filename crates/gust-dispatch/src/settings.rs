//! What the operator may say about the engine.

use std::{path::PathBuf, time::Duration};

/// The engine's settings; `gust-node` fills them from `node.toml`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Apps answer on `<app>.<domain>`. Default `gust.localhost`.
    pub domain: String,
    /// The most instances alive at once, over all functions; the runtime's own capacity is a further bound.
    /// Default 1,000.
    pub max_instances: usize,
    /// The most calls that wait for an instance's place, over all functions; further ones are refused. Default 10,000.
    pub max_waiting: usize,
    /// The most functions whose code stays mapped. Default 1,000.
    pub max_resident: usize,
    /// The most bytes of code that stay mapped. Default 4 GiB.
    pub max_resident_bytes: u64,
    /// How long the code of a function that nobody calls stays mapped. Default 10 min.
    pub resident_idle: Duration,
    /// Where functions' read-only file trees are laid out; made when needed.
    pub files: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domain: "gust.localhost".to_owned(),
            max_instances: 1000,
            max_waiting: 10_000,
            max_resident: 1000,
            max_resident_bytes: 4 << 30,
            resident_idle: Duration::from_secs(600),
            files: "gust-data/files".into(),
        }
    }
}
