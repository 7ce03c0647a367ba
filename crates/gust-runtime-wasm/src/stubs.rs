//! Imports that nothing provides become functions that trap with their name when they are called, so that a guest
//! that never calls them runs.
//!
//! wasmtime's own helper defines stubs under the name that the guest uses. For `wasi:cli/stdout@0.2.0` that would
//! hide the `@0.2.12` that we do provide, since an exact name wins over a compatible one; hence this one, which looks
//! for the compatible name first.

use std::collections::BTreeMap;

use gust_types::{Error, Result};
use serde::{Deserialize, Serialize};
use wasmtime::component::{
    Component, InstancePre, Linker, LinkerInstance, ResourceType,
    types::{ComponentInstance, ComponentItem},
};

use crate::{edition, guest::Guest};

/// Items of one imported interface that nothing provides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Missing {
    /// The interface as the guest's author spells it; empty for items that the component imports directly.
    pub(crate) interface: String,
    /// The name under which the stubs are defined.
    name: String,
    /// What is missing of it.
    items: BTreeMap<String, Stub>,
    /// True when we have nothing of this interface.
    pub(crate) whole: bool,
}

/// What stands in for an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stub {
    Function,
    AsyncFunction,
    Resource,
}

/// Finds what `component` imports and `linker` lacks.
pub(crate) fn missing(linker: &Linker<Guest>, component: &Component) -> Result<Vec<Missing>> {
    if linker.instantiate_pre(component).is_ok() {
        return Ok(Vec::new());
    }
    let engine = linker.engine();
    let mut found = Vec::new();
    let mut direct = BTreeMap::new();
    let mut known = Vec::new();
    for (name, item) in component.component_type().imports(engine) {
        match &item.ty {
            ComponentItem::ComponentInstance(interface) => {
                found.extend(missing_of(linker, name, interface, &mut known)?);
            }
            other => {
                if let Some(stub) = Stub::of(other, name, &mut known)? {
                    direct.insert(name.to_owned(), stub);
                }
            }
        }
    }
    if !direct.is_empty() {
        found.push(Missing {
            interface: String::new(),
            name: String::new(),
            items: direct,
            whole: true,
        });
    }
    Ok(found)
}

/// Links `component`, with stubs for what is missing.
pub(crate) fn link(
    linker: &Linker<Guest>,
    component: &Component,
    missing: &[Missing],
) -> Result<InstancePre<Guest>> {
    if missing.is_empty() {
        return linker.instantiate_pre(component).map_err(unfit);
    }
    let mut linker = linker.clone();
    for missing in missing {
        if missing.name.is_empty() {
            define(&mut linker.root(), "", &missing.items).map_err(unfit)?;
        } else {
            let mut interface = linker.instance(&missing.name).map_err(unfit)?;
            define(&mut interface, &missing.interface, &missing.items).map_err(unfit)?;
        }
    }
    linker.instantiate_pre(component).map_err(unfit)
}

fn unfit(error: wasmtime::Error) -> Error {
    Error::invalid(format!(
        "the component imports an interface in a form that is not the published one: {error:#}"
    ))
    .hint("build it against the published WIT of that interface")
}

/// What we lack of one interface.
fn missing_of(
    linker: &Linker<Guest>,
    name: &str,
    interface: &ComponentInstance,
    known: &mut Vec<ResourceType>,
) -> Result<Option<Missing>> {
    let mut wanted = BTreeMap::new();
    for (item_name, item) in interface.exports(linker.engine()) {
        if let Some(stub) = Stub::of(&item.ty, item_name, known)? {
            wanted.insert(item_name.to_owned(), stub);
        }
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    for candidate in compatible(name) {
        let lacking = lacking(linker, &candidate, &wanted)?;
        if lacking.len() < wanted.len() {
            return Ok((!lacking.is_empty()).then(|| Missing {
                interface: edition::spelled(name),
                name: candidate,
                items: lacking,
                whole: false,
            }));
        }
    }
    Ok(Some(Missing {
        interface: edition::spelled(name),
        name: name.to_owned(),
        items: wanted,
        whole: true,
    }))
}

/// Tries to define each item under `name`: what cannot be defined again is there already.
fn lacking(
    linker: &Linker<Guest>,
    name: &str,
    wanted: &BTreeMap<String, Stub>,
) -> Result<BTreeMap<String, Stub>> {
    let mut scratch = linker.clone();
    let mut interface = scratch.instance(name).map_err(unfit)?;
    let mut lacking = BTreeMap::new();
    for (item, stub) in wanted {
        if stub.define(&mut interface, name, item).is_ok() {
            lacking.insert(item.clone(), *stub);
        }
    }
    Ok(lacking)
}

/// The name itself, then the other names that wasmtime takes for compatible: one minor version's patches below 1.0.
fn compatible(name: &str) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    let Some((base, version)) = name.rsplit_once('@') else {
        return names;
    };
    let release = version.split('+').next().unwrap_or(version);
    let parts: Vec<_> = release.split('.').collect();
    if let ["0", minor, patch] = parts[..]
        && patch.parse::<u32>().is_ok()
    {
        names.extend((0..32).map(|patch| format!("{base}@0.{minor}.{patch}")));
    }
    names
}

fn define(
    linker: &mut LinkerInstance<'_, Guest>,
    interface: &str,
    items: &BTreeMap<String, Stub>,
) -> wasmtime::Result<()> {
    for (item, stub) in items {
        stub.define(linker, interface, item)?;
    }
    Ok(())
}

// === impl Stub ===

impl Stub {
    /// What could stand in for an item. Types need nothing, nor does a resource that an interface before this one
    /// brought: it is that one's under another name. `known` are the resources so far.
    fn of(item: &ComponentItem, name: &str, known: &mut Vec<ResourceType>) -> Result<Option<Self>> {
        Ok(Some(match item {
            ComponentItem::ComponentFunc(function) if function.async_() => Self::AsyncFunction,
            ComponentItem::ComponentFunc(_) => Self::Function,
            ComponentItem::Resource(resource) if known.contains(resource) => return Ok(None),
            ComponentItem::Resource(resource) => {
                known.push(*resource);
                Self::Resource
            }
            ComponentItem::Type(_) => return Ok(None),
            _ => {
                return Err(Error::invalid(format!(
                    "the component imports a component, module or nested instance: {name}"
                ))
                .hint("compose it with what it imports before deploying it"));
            }
        }))
    }

    fn define(
        self,
        linker: &mut LinkerInstance<'_, Guest>,
        interface: &str,
        item: &str,
    ) -> wasmtime::Result<()> {
        let full = Unprovided(if interface.is_empty() {
            item.to_owned()
        } else {
            format!("{interface}#{}", edition::spelled_item(interface, item))
        });
        match self {
            Self::Function => linker.func_new(item, move |_, _, _, _| Err(full.clone().into())),
            Self::AsyncFunction => linker.func_new_concurrent(item, move |_, _, _, _| {
                let full = full.clone();
                Box::pin(async move { Err(full.into()) })
            }),
            Self::Resource => linker.resource(item, ResourceType::host::<Stub>(), |_, _| Ok(())),
        }
    }
}

/// A guest called an import that nothing provides.
#[derive(Debug, Clone)]
pub(crate) struct Unprovided(pub(crate) String);

impl std::fmt::Display for Unprovided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the function called an import that nothing provides: {}",
            self.0
        )
    }
}

impl std::error::Error for Unprovided {}

// === impl Missing ===

impl Missing {
    /// One line for a person.
    pub(crate) fn warning(&self) -> String {
        let spelled = |item: &String| edition::spelled_item(&self.interface, item);
        let items: Vec<_> = self.items.keys().map(spelled).collect();
        match (self.whole, self.interface.is_empty()) {
            (true, false) => format!(
                "nothing provides the import {}; a call of it will trap",
                self.interface
            ),
            (_, true) => format!(
                "nothing provides the imports {}; a call of one will trap",
                items.join(", ")
            ),
            (false, false) => format!(
                "nothing provides {} of the import {}; a call of one will trap",
                items.join(", "),
                self.interface
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lane, Settings, edition::tests::importing, engine::Engines};

    #[test]
    fn compatible_names_are_those_of_one_minor_version() {
        let names = compatible("wasi:http/types@0.3.2");
        assert_eq!(names[0], "wasi:http/types@0.3.2");
        assert!(names.contains(&"wasi:http/types@0.3.0".to_owned()));
        assert!(!names.iter().any(|name| name.contains("@0.2.")));
        let names = compatible("wasi:sockets/tcp@0.2.0+rc-2023-11-10");
        assert!(names.contains(&"wasi:sockets/tcp@0.2.12".to_owned()));
        for alone in [
            "wasi:http/types@0.3.0-rc-2026-03-15",
            "spin:key-value/key-value@3.0.0",
            "fermyon:spin/http",
        ] {
            assert_eq!(compatible(alone), [alone]);
        }
    }

    #[test]
    fn what_a_candidate_of_2023_lacks_is_told_in_its_authors_words() {
        let engines = Engines::new(&Settings {
            max_instances: 10,
            ..Settings::default()
        });
        let engines = engines.unwrap();
        let engine = engines.lane(Lane::P2);
        for (interface, resource, function) in [
            (
                "wasi:sockets/ip-name-lookup@0.2.0-rc-2023-10-18",
                "resolve-address-stream",
                "resolve-addresses",
            ),
            (
                "wasi:sockets/tcp@0.2.0-rc-2023-11-10",
                "tcp-socket",
                "[method]tcp-socket.ipv6-only",
            ),
        ] {
            let bytes = importing(&[interface], resource, function).finish();
            let component = Component::new(&engine.engine, edition::released(&bytes).unwrap());
            let missing = missing(&engine.linker, &component.unwrap()).unwrap();
            let warnings: Vec<_> = missing.iter().map(Missing::warning).collect();
            let warning = format!(
                "nothing provides {function} of the import {interface}; a call of one will trap"
            );
            assert_eq!(warnings, [warning]);
        }
    }
}
