//! From an artifact's bytes to a prepared file.

use std::sync::Arc;

use gust_types::{Digest, Error, Result};
use wasmtime::component::Component;

use crate::{
    componentize::componentize,
    contract::{self, Form},
    edition,
    engine::{Engines, LaneEngine},
    instances,
    shelf::{Findings, Record, Shelf},
    stubs,
};

/// Compiles on threads of its own, which stand back behind the threads that serve calls.
#[derive(Clone)]
pub(crate) struct Compiler {
    engines: Arc<Engines>,
    shelf: Arc<Shelf>,
    threads: Arc<rayon::ThreadPool>,
}

/// How far compiling threads stand back, as `nice` counts.
const NICE: i32 = 10;

/// wasmtime counts a component's initial memory in pages.
const WASM_PAGE: u64 = 64 * 1024;

// === impl Compiler ===

impl Compiler {
    pub(crate) fn new(engines: Arc<Engines>, shelf: Arc<Shelf>) -> Result<Self> {
        let threads = rayon::ThreadPoolBuilder::new()
            .thread_name(|n| format!("gust-compile-{n}"))
            .start_handler(|_| {
                // On Linux this is the thread's own niceness. Without it deploys are merely felt more.
                let _ = rustix::process::nice(NICE);
            })
            .build()
            .map_err(|e| Error::internal("cannot start the compiling threads").because(e))?;
        Ok(Self {
            engines,
            shelf,
            threads: Arc::new(threads),
        })
    }

    /// Compiles and stores. Blocks for as long as it takes.
    pub(crate) fn compile(&self, artifact: &Digest, bytes: &[u8]) -> Result<Record> {
        let component;
        let bytes = match contract::form(bytes)? {
            Form::Component => bytes,
            Form::Module => {
                component = componentize(bytes)?;
                &component
            }
        };
        let bytes = &*edition::released(bytes)?;
        let profile = contract::profile(bytes)?;
        let engine = self.engines.lane(profile.lane);
        let code = self
            .threads
            .install(|| engine.engine.precompile_component(bytes))
            .map_err(|e| Error::invalid(format!("the component does not compile: {e:#}")))?;
        let component = deserialize(engine, &code).map_err(|e| {
            Error::invalid(format!("the component does not fit this node: {e:#}"))
                .hint("its memories, tables or instances are larger than the node's slots")
        })?;
        let missing = stubs::missing(&engine.linker, &component)?;
        stubs::link(&engine.linker, &component, &missing)?;
        let needs = component.resources_required();
        let initial_memory = needs.as_ref().and_then(|n| n.max_initial_memory_size);
        let initial_table = needs.as_ref().and_then(|n| n.max_initial_table_size);
        drop(component);
        let findings = Findings {
            contract: profile.contract,
            export: profile.export,
            lane: profile.lane,
            missing,
            initial_memory: initial_memory.unwrap_or(0).saturating_mul(WASM_PAGE),
            initial_table: initial_table.unwrap_or(0),
            core_instances: instances::count(bytes),
        };
        self.shelf.put(artifact, &code, findings)
    }
}

#[expect(unsafe_code, reason = "loading native code cannot be safe by type")]
fn deserialize(engine: &LaneEngine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes were compiled by this very engine a moment ago and have not left this process.
    unsafe { Component::deserialize(&engine.engine, code) }
}
