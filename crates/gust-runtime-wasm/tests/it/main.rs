//! The Wasm runtime with real guests. Build them first: `cargo xtask guests`.

mod contracts;
mod imports;
mod kit;
mod limits;
mod logs;
mod prepared;
mod reuse;
mod streaming;
mod suite;
