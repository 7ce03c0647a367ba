//! Components that import from each other become one.
//!
//! What a dependency may not use of what its function was given is served by a component that denies it, made here
//! (`deny.rs`). Nothing is read, written or run. Start with [`compose`].
#![warn(missing_docs)]

mod deny;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use gust_types::{Error, Result, app::Inherit};
use wac_graph::{
    CompositionGraph, NodeId,
    types::{Package, WorldId},
};

/// A component that another imports from, with its bytes.
#[derive(Debug)]
pub struct Part {
    /// What of the imports it serves: see [`gust_types::app::Dependency::import`].
    pub import: String,
    /// The component.
    pub bytes: Vec<u8>,
    /// The export that serves the import, when that has another name.
    pub export: Option<String>,
    /// What it may use.
    pub inherit: Inherit,
}

/// A part in the graph.
struct Placed<'a> {
    part: &'a Part,
    instance: NodeId,
    world: WorldId,
}

/// The component that has its imports from these parts. What it exports stays; what nobody serves is imported still.
///
/// `Invalid` when something is no component, when a part serves nothing or does not fit, and when two serve the same.
pub fn compose(component: &[u8], parts: &[Part]) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let (world, instance) = add(&mut graph, "gust:function", component)
        .map_err(|error| within("the function's code", error))?;
    let served = served(&graph, world, parts)?;
    let mut placed = Vec::with_capacity(parts.len());
    for (number, part) in parts.iter().enumerate() {
        let found = place(&mut graph, number, part);
        placed
            .push(found.map_err(|error| within(&format!("dependency `{}`", part.import), error))?);
    }
    for (import, by) in served {
        if let Some(placed) = placed.get(by) {
            connect(&mut graph, instance, &import, placed)?;
        }
    }
    let exports: Vec<String> = graph.types()[world].exports.keys().cloned().collect();
    for name in exports {
        let export = graph
            .alias_instance_export(instance, &name)
            .map_err(unfit)?;
        graph.export(export, &name).map_err(unfit)?;
    }
    graph.encode(Default::default()).map_err(unfit)
}

/// Puts a component into the graph.
fn add(graph: &mut CompositionGraph, name: &str, bytes: &[u8]) -> Result<(WorldId, NodeId)> {
    if !wasmparser::Parser::is_component(bytes) {
        let error = Error::invalid("it is no component, and only components can be composed");
        return Err(
            error.hint("build for wasm32-wasip2, or make it one with `wasm-tools component new`")
        );
    }
    let package = Package::from_bytes(name, None, bytes, graph.types_mut())
        .map_err(|error| Error::invalid(format!("it cannot be read: {error:#}")))?;
    let world = package.ty();
    let package = graph.register_package(package).map_err(unfit)?;
    Ok((world, graph.instantiate(package)))
}

/// Which part serves which import.
fn served(
    graph: &CompositionGraph,
    world: WorldId,
    parts: &[Part],
) -> Result<BTreeMap<String, usize>> {
    let mut served = BTreeMap::new();
    for (at, part) in parts.iter().enumerate() {
        let before = served.len();
        let imports = graph.types()[world].imports.keys();
        for import in imports.filter(|import| matches(&part.import, import)) {
            if let Some(other) = served.insert(import.clone(), at) {
                let other: &Part = &parts[other];
                let text = format!(
                    "dependencies `{}` and `{}` both serve the import {import}",
                    other.import, part.import
                );
                return Err(Error::invalid(text).hint("name an interface instead of its package"));
            }
        }
        if served.len() == before {
            let imports: Vec<_> = graph.types()[world].imports.keys().cloned().collect();
            let text = format!(
                "dependency `{}` serves nothing that is imported",
                part.import
            );
            return Err(Error::invalid(text).hint(format!("imports are: {}", imports.join(", "))));
        }
    }
    Ok(served)
}

/// Whether a dependency's name means this import. A version that is not named may be any.
fn matches(name: &str, import: &str) -> bool {
    let split = |text: &str| match text.split_once('@') {
        Some((name, version)) => (name.to_owned(), Some(version.to_owned())),
        None => (text.to_owned(), None),
    };
    let ((name, wanted), (import, version)) = (split(name), split(import));
    let named = match import.split_once('/') {
        Some((package, _)) => name == import || name == package,
        None => name == import,
    };
    named && wanted.is_none_or(|wanted| version == Some(wanted))
}

/// Puts a part into the graph, with what denies it what it may not use.
fn place<'a>(graph: &mut CompositionGraph, number: usize, part: &'a Part) -> Result<Placed<'a>> {
    let (world, instance) = add(graph, &format!("gust:part-{number}"), &part.bytes)?;
    let denied = |name: &str| settings::denied(name, &part.inherit);
    if let Some(denier) = deny::denier(&part.bytes, denied)? {
        let (_, denies) = add(graph, &format!("gust:denier-{number}"), &denier.bytes)?;
        for name in &denier.names {
            let export = graph.alias_instance_export(denies, name).map_err(unfit)?;
            graph
                .set_instantiation_argument(instance, name, export)
                .map_err(unfit)?;
        }
    }
    Ok(Placed {
        part,
        instance,
        world,
    })
}

/// Serves an import by the part's export.
fn connect(
    graph: &mut CompositionGraph,
    instance: NodeId,
    import: &str,
    placed: &Placed<'_>,
) -> Result<()> {
    let name = placed.part.export.as_deref().unwrap_or(import);
    let exports = &graph.types()[placed.world].exports;
    if !exports.contains_key(name) {
        let all: Vec<_> = exports.keys().cloned().collect();
        let text = format!("dependency `{}` does not export {name}", placed.part.import);
        return Err(Error::invalid(text).hint(format!("exports are: {}", all.join(", "))));
    }
    let export = graph
        .alias_instance_export(placed.instance, name)
        .map_err(unfit)?;
    let set = graph.set_instantiation_argument(instance, import, export);
    set.map_err(|error| {
        let part = &placed.part.import;
        within(
            &format!("dependency `{part}` does not fit {import}"),
            unfit(error),
        )
    })
}

fn within(what: &str, error: Error) -> Error {
    Error {
        message: format!("{what}: {}", error.message),
        ..error
    }
}

fn unfit(error: impl std::error::Error) -> Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    Error::invalid(text)
}
