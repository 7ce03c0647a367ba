//! What the operator may say about the control plane.

use std::{path::PathBuf, time::Duration};

use gust_types::{ByteSize, Limits, limits::ceiling};

/// The control plane's settings; `gust-node` fills them from `node.toml`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder for `control.db`, `key` and `token`, which must be there. `None` keeps everything in memory and lets
    /// nobody in over the network (`gust up`).
    pub data: Option<PathBuf>,
    /// How callers reach the functions' port.
    pub public: Public,
    /// Every app also answers on any host that nothing else claims; only sensible with one app (`gust up`).
    pub any_host: bool,
    /// Bytes of one uploaded artifact. Default 256 MiB.
    pub max_artifact: ByteSize,
    /// The most that a function may be given, whatever its manifest asks for.
    pub ceilings: Limits,
    /// Deployments kept per app, for rollback. Default 10.
    pub keep_deployments: usize,
    /// How long an artifact that nothing needs is kept, so that an upload outlives the time to its deploy. Default 1 h.
    pub artifact_grace: Duration,
    /// How long calls of the API that are under way may go on after a stop. Default 5 s.
    pub grace: Duration,
}

/// How callers reach the functions' port.
#[derive(Debug, Clone, PartialEq)]
pub struct Public {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The port; `None` is the scheme's own.
    pub port: Option<u16>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: None,
            public: Public {
                scheme: "http",
                port: Some(8080),
            },
            any_host: false,
            max_artifact: ByteSize::mib(256),
            ceilings: ceilings(),
            keep_deployments: 10,
            artifact_grace: Duration::from_secs(3600),
            grace: Duration::from_secs(5),
        }
    }
}

/// Default ceilings: all that can be done, but for memory, which one machine has only so much of.
pub fn ceilings() -> Limits {
    Limits {
        memory: ByteSize::mib(1024),
        cpu_time: ceiling::CPU_TIME,
        wall_time: ceiling::WALL_TIME,
        concurrency: ceiling::CONCURRENCY,
        queue: ceiling::QUEUE,
        queue_time: ceiling::QUEUE_TIME,
        rate: u32::MAX,
        request_body: ceiling::REQUEST_BODY,
        response_body: ceiling::RESPONSE_BODY,
        table_elements: ceiling::TABLE_ELEMENTS,
        core_instances: ceiling::CORE_INSTANCES,
        log_bytes: ceiling::LOG_BYTES,
    }
}
