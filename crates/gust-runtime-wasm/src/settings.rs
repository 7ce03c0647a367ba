//! What an operator may choose about running Wasm.

use gust_types::ByteSize;
use serde::{Deserialize, Serialize};

/// Settings of the Wasm runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Instances that may live at once, in each lane. Address space of about 4 GiB is reserved for each (no memory).
    /// Default 1000.
    pub max_instances: u32,
    /// The largest linear memory a function's limit may name. Default 4 GiB, all that 32-bit Wasm can address.
    pub max_memory: ByteSize,
    /// The largest component or module that is compiled. Default 256 MiB: language runtimes reach 30 MiB.
    pub max_component: ByteSize,
    /// Compilations at the same time; each uses all cores by itself. Default 1, so that deploys leave room for calls.
    pub compile_jobs: u32,
    /// Calls of one WASI 0.3 instance in its life, when the function does not say. Default 128.
    pub reuse_calls: u32,
    /// Calls at once in one WASI 0.3 instance, when the function does not say. Default 16.
    pub reuse_concurrent: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_instances: 1000,
            max_memory: ByteSize(4 << 30),
            max_component: ByteSize::mib(256),
            compile_jobs: 1,
            reuse_calls: 128,
            reuse_concurrent: 16,
        }
    }
}
