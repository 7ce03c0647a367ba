//! The Wasm runtime with real guests. Build them first: `cargo xtask guests`.

mod contracts;
mod kit;
mod suite;
