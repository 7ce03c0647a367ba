//! The Wasm runtime with real guests. Build them first: `cargo xtask guests`.

mod contracts;
mod fakes;
mod host_http;
mod host_kv;
mod host_sql;
mod host_wasi;
mod imports;
mod kit;
mod limits;
mod logs;
mod prepared;
mod reuse;
mod streaming;
mod suite;
