//! What the operator may say about the door.

use std::{net::SocketAddr, path::PathBuf};

use gust_types::{ByteSize, Span, limits::ceiling};
use serde::{Deserialize, Serialize};

/// The door's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where functions are called. Port 0 takes a free one. Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// Serve TLS instead of plain HTTP. Default: none.
    pub tls: Option<Tls>,
    /// Open connections; further ones are told 503. Default 10,000.
    pub max_connections: usize,
    /// A request's head: its line and headers together, after HTTP/2 decompression. Larger ones get 431. Default 32 KiB.
    pub head: ByteSize,
    /// A request's target. Longer ones get 414. Default 8 KiB.
    pub target: ByteSize,
    /// How long a connection may take for its TLS handshake, and from the first byte of a head to its last. Default 10 s.
    pub head_time: Span,
    /// How long a connection may be open without a request. Default 75 s, longer than most proxies keep theirs.
    pub idle_time: Span,
    /// The longest pause in a request's body, and in a caller's reading of an answer. Default 30 s.
    pub body_time: Span,
    /// The longest a call may take whatever its function's limits say, its wait in the queue included. Default 15 min, the
    /// most that a function's limit of wall time may be.
    pub call_time: Span,
    /// Requests at once in one HTTP/2 connection. Default 128.
    pub streams: u32,
    /// How long calls in flight may go on after a stop. Default 30 s.
    pub grace: Span,
}

/// A certificate and its key, both PEM. Looked at again every ten seconds and on a nudge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate, and those between it and the root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: None,
            max_connections: 10_000,
            head: ByteSize::kib(32),
            target: ByteSize::kib(8),
            head_time: Span::secs(10),
            idle_time: Span::secs(75),
            body_time: Span::secs(30),
            call_time: ceiling::WALL_TIME,
            streams: 128,
            grace: Span::secs(30),
        }
    }
}
