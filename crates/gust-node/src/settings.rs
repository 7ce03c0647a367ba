//! `node.toml`: what the operator decides.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use gust_types::{ByteSize, Span};
use serde::{Deserialize, Serialize};

/// The settings of one node. Order of precedence: defaults, `node.toml`, environment, flags.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The one folder everything is kept in; a second node on it is refused. Default `gust-data` in the working folder.
    pub data: PathBuf,
    /// Where functions are served. Default `127.0.0.1:8080`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the control API is served; absent means it is off (`gust up`). Default `127.0.0.1:8081`.
    pub control: Option<SocketAddr>,
    /// Apps answer on `<app>.<domain>`. Default `gust.localhost`.
    pub domain: String,
    /// Answer on any host with the one app that is deployed (`gust up`). Default false.
    pub any_host: bool,
    /// Certificate and key; with them functions are served over TLS.
    pub tls: Option<Tls>,
    /// The most instances alive at once, over all functions. Default 1,000.
    pub max_instances: u32,
    /// The most memory one instance may be given, whatever its function asks for. Default 1 GiB.
    pub max_instance_memory: ByteSize,
    /// The most functions whose code stays mapped while they sleep. Default 1,000.
    pub max_resident: u32,
    /// How long the code of a function that nobody calls stays mapped. Default 10 min.
    pub resident_idle: Span,
    /// Bytes of one uploaded artifact. Default 256 MiB.
    pub max_artifact: ByteSize,
    /// How long calls in flight may go on after a stop. Default 30 s.
    pub grace: Span,
    /// Prices of the bill; absent means the documented defaults.
    pub prices: Option<PathBuf>,
    /// Destinations functions may never reach, whatever they ask for; CIDR blocks. Default none.
    pub block_networks: Vec<String>,
    /// Log level of the node's own words: error, warn, info, debug or trace. Default `info`.
    pub log: String,
}

/// A certificate chain and its key, in PEM files.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            data: "gust-data".into(),
            listen: loopback(8080),
            control: Some(loopback(8081)),
            domain: "gust.localhost".to_owned(),
            any_host: false,
            tls: None,
            max_instances: 1000,
            max_instance_memory: ByteSize::mib(1024),
            max_resident: 1000,
            resident_idle: Span::secs(600),
            max_artifact: ByteSize::mib(256),
            grace: Span::secs(30),
            prices: None,
            block_networks: Vec::new(),
            log: "info".to_owned(),
        }
    }
}
