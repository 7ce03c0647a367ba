//! The door over a runtime in memory, seen from the wire.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests may"
)]

#[path = "door/bodies.rs"]
mod bodies;
#[path = "door/drain.rs"]
mod drain;
#[path = "door/files.rs"]
mod files;
#[path = "door/hooks.rs"]
mod hooks;
#[path = "door/http1.rs"]
mod http1;
#[path = "door/http2.rs"]
mod http2;
#[path = "door/kit.rs"]
mod kit;
#[path = "door/limits.rs"]
mod limits;
#[path = "door/refusals.rs"]
mod refusals;
#[path = "door/tls.rs"]
mod tls;
#[path = "door/traces.rs"]
mod traces;
