//! The Wasm runtime with real guests. Build them first: `cargo xtask guests`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod candidates;
mod contracts;
mod fakes;
mod host_blobs;
mod host_http;
mod host_kv;
mod host_sql;
mod host_wasi;
mod imports;
mod kit;
mod limits;
mod logs;
mod prepared;
mod publish;
mod reuse;
mod spin_events;
mod storm;
mod streaming;
mod suite;
