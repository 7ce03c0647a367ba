//! What guests are offered. One file per interface family under `host/`.

use std::sync::Arc;

use gust_runtime::{Bindings, logs::Stream};
use wasmtime::component::Linker;
use wasmtime_wasi::WasiCtx;

use crate::{Lane, guest::Guest, output::Output};

mod outbound;

/// State that host interfaces keep for one running copy.
#[derive(Default)]
pub(crate) struct HostState {}

// === impl HostState ===

impl HostState {
    /// The state of a fresh copy. On the path of every instantiation: open lazily.
    pub(crate) fn new(_bindings: &Bindings) -> Self {
        Self::default()
    }
}

/// WASI's context for a fresh copy. On the path of every instantiation.
pub(crate) fn wasi(bindings: &Bindings, output: &Arc<Output>) -> WasiCtx {
    WasiCtx::builder()
        .envs(&bindings.environment)
        .stdout(output.printer(Stream::Stdout))
        .stderr(output.printer(Stream::Stderr))
        .build()
}

/// Adds everything that guests of this lane are offered. Called once per lane and process.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>, lane: Lane) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    if lane == Lane::P3 {
        wasmtime_wasi::p3::add_to_linker(linker)?;
        wasmtime_wasi_http::p3::add_to_linker(linker)?;
    }
    Ok(())
}
