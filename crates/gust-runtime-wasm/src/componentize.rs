//! Core modules become components before they are compiled.
//!
//! Three kinds come along: a module with a component-type section (built against a WIT world, with or without
//! wasip1), and a plain wasip1 command. wasip1 is served by the adapters that wasmtime publishes.

use gust_types::{Error, Result};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// What a core module shows on its surface.
#[derive(Default)]
struct Surface {
    preview1: bool,
    start: bool,
    typed: bool,
    foreign: Option<String>,
}

/// The component that a core module is.
pub(crate) fn componentize(module: &[u8]) -> Result<Vec<u8>> {
    let surface = surface(module)?;
    if !surface.typed && !surface.start {
        return Err(refused(
            "it is a core module without an interface: neither a WIT world nor a wasip1 command",
        ));
    }
    if !surface.typed
        && let Some(name) = &surface.foreign
    {
        return Err(refused(&format!(
            "it is a core module that imports a module nobody provides: {name}"
        )));
    }
    encode(module, &surface).map_err(|why| refused(&why))
}

fn encode(module: &[u8], surface: &Surface) -> Result<Vec<u8>, String> {
    let mut encoder = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .map_err(|e| format!("{e:#}"))?;
    if surface.preview1 {
        let adapter = if surface.start {
            WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
        } else {
            WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
        };
        encoder = encoder
            .adapter(PREVIEW1, adapter)
            .map_err(|e| format!("{e:#}"))?;
    }
    encoder.encode().map_err(|e| format!("{e:#}"))
}

fn refused(why: &str) -> Error {
    Error::invalid(format!("the module cannot be made a component: {why}"))
        .hint("build for wasm32-wasip2, or against a WIT world with wit-bindgen")
}

fn surface(module: &[u8]) -> Result<Surface> {
    let damaged = |e: wasmparser::BinaryReaderError| {
        Error::invalid(format!("the WebAssembly file is cut off or damaged: {e}"))
    };
    let mut surface = Surface::default();
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(damaged)? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    match import.map_err(damaged)?.module {
                        PREVIEW1 => surface.preview1 = true,
                        other => surface.foreign = Some(other.to_owned()),
                    }
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    surface.start |= export.map_err(damaged)?.name == "_start";
                }
            }
            Payload::CustomSection(section) => {
                surface.typed |= section.name().starts_with("component-type");
            }
            _ => {}
        }
    }
    Ok(surface)
}
