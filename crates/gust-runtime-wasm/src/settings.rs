//! What an operator may choose about running Wasm.

use gust_types::{ByteSize, outbound::Blocked};
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
    /// The largest component or module that is compiled. Default 128 MiB: language runtimes bring 13 MB (JavaScript) to
    /// 40 MB (Python), and compiling takes time and memory many times a component's size.
    pub max_component: ByteSize,
    /// Compilations at the same time; all share one set of threads, one a core. Default 2, so that a small deploy does
    /// not wait for one that is under way; components above 16 MiB are compiled alone all the same, for the memory.
    pub compile_jobs: u32,
    /// Calls of one WASI 0.3 instance in its life, when the function does not say. Default 128.
    pub reuse_calls: u32,
    /// Calls at once in one WASI 0.3 instance, when the function does not say. Default 16.
    pub reuse_concurrent: u32,
    /// Networks that no function reaches, whatever its list says. Default none.
    pub block_networks: Blocked,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_instances: 1000,
            max_memory: ByteSize(4 << 30),
            max_component: ByteSize::mib(128),
            compile_jobs: 2,
            reuse_calls: 128,
            reuse_concurrent: 16,
            block_networks: Blocked::default(),
        }
    }
}
