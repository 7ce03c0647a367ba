//! Components built for one of the two release candidates of 2023 are read as the release that these became.
//!
//! An interface of a candidate is, almost always, what it is in WASI 0.2. So its name is written anew before anything
//! else reads the component: `@0.2.0-rc-2023-11-10` becomes `@0.2.0+rc-2023-11-10`. That is the same length, so every
//! offset in the file stays what it is; and a version with build metadata is compatible with the `0.2.x` that guests
//! are offered, where a candidate is compatible with nothing. Functions that the release only lacks are offered beside
//! its own (`host/wasi_2023_10.rs`, `host/wasi_fs_2023_10.rs`, `host/wasi_http_2023_11.rs`).
//!
//! A function that kept its name and changed its shape would be taken for the newer one: it is written in upper case,
//! which is a name of its own and a valid one. An interface that changed throughout keeps its name ([`KEPT`]).
//!
//! Only names in the component's own sections are written. Core modules, with their code, data and imports, are not
//! touched: inside a component a core module's imports are matched by whatever strings they are.

use std::{borrow::Cow, ops::Range};

use gust_types::Result;
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentType,
    ComponentTypeDeclaration, ComponentTypeRef, InstanceTypeDeclaration, Parser, Payload,
};

use crate::contract::truncated;

/// The versions that are written anew: each as its author writes it and as it is read.
const CANDIDATES: [(&str, &str); 2] = [
    ("@0.2.0-rc-2023-10-18", "@0.2.0+rc-2023-10-18"),
    ("@0.2.0-rc-2023-11-10", "@0.2.0+rc-2023-11-10"),
];

/// Where in such a version the one character stands that differs.
const SIGN: usize = "@0.2.0".len();

/// Interfaces of which so much changed that they are offered under their own name.
const KEPT: [&str; 2] = [
    "wasi:http/types@0.2.0-rc-2023-10-18",
    "wasi:http/outgoing-handler@0.2.0-rc-2023-10-18",
];

/// Functions that have the name of a released one and another shape.
const RESHAPED: [(&str, &[&str]); 4] = [
    (
        "wasi:http/types@0.2.0-rc-2023-11-10",
        &["[method]future-trailers.get"],
    ),
    (
        "wasi:io/streams@0.2.0-rc-2023-10-18",
        &[
            "[method]output-stream.splice",
            "[method]output-stream.blocking-splice",
        ],
    ),
    (
        "wasi:filesystem/types@0.2.0-rc-2023-10-18",
        &["[method]descriptor.open-at"],
    ),
    (
        "wasi:sockets/ip-name-lookup@0.2.0-rc-2023-10-18",
        &["resolve-addresses"],
    ),
];

/// The component with its names of 2023 written anew; as it is when it has none.
pub(crate) fn released(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    let mut reader = Reader {
        bytes,
        edits: Vec::new(),
        scopes: Vec::new(),
    };
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(truncated)?;
        reader.read(payload).map_err(truncated)?;
    }
    if reader.edits.is_empty() {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut anew = bytes.to_vec();
    for edit in &reader.edits {
        edit.apply(&mut anew);
    }
    Ok(Cow::Owned(anew))
}

/// An interface's name as its author wrote it.
pub(crate) fn spelled(interface: &str) -> String {
    let candidate = CANDIDATES
        .iter()
        .find_map(|(written, read)| Some((interface.strip_suffix(read)?, written)));
    match candidate {
        Some((base, written)) => format!("{base}{written}"),
        None => interface.to_owned(),
    }
}

/// The name of an item of `interface` as its author wrote it.
pub(crate) fn spelled_item(interface: &str, item: &str) -> String {
    let original = RESHAPED
        .iter()
        .filter(|(name, _)| *name == interface)
        .flat_map(|(_, functions)| functions.iter())
        .find(|function| function.eq_ignore_ascii_case(item));
    original.map_or(item, |function| function).to_owned()
}

/// The functions of an interface that are written in upper case.
fn reshaped(interface: &str) -> &'static [&'static str] {
    RESHAPED
        .iter()
        .find(|(name, _)| *name == interface)
        .map_or(&[], |(_, functions)| functions)
}

/// One change of a name.
enum Edit {
    /// The character here becomes a plus.
    Plus(usize),
    /// The letters here become upper case.
    Upper(Range<usize>),
}

/// What is known of one component while it is read; of a core module nothing.
#[derive(Default)]
struct Scope<'a> {
    /// Its types by index; of the type of an instance, the names that it exports.
    types: Vec<Vec<&'a str>>,
    /// Its instances by index; of an interface that it imports, the functions that are written in upper case.
    instances: Vec<&'static [&'static str]>,
}

/// Collects the edits of a component and of those nested in it.
struct Reader<'a> {
    bytes: &'a [u8],
    edits: Vec<Edit>,
    scopes: Vec<Scope<'a>>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn read(&mut self, payload: Payload<'a>) -> wasmparser::Result<()> {
        match payload {
            Payload::Version { .. } => self.scopes.push(Scope::default()),
            Payload::End(_) => {
                self.scopes.pop();
            }
            Payload::ComponentTypeSection(section) => {
                for ty in section {
                    let exports = self.ty(&ty?);
                    self.define_type(exports);
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import?;
                    self.import(import.name.name, import.ty);
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    self.version(export.name.name);
                    self.define(export.kind);
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    self.alias(&alias?);
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    self.instance(&instance?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn scope(&mut self) -> Option<&mut Scope<'a>> {
        self.scopes.last_mut()
    }

    fn define_type(&mut self, exports: Vec<&'a str>) {
        if let Some(scope) = self.scope() {
            scope.types.push(exports);
        }
    }

    fn define_instance(&mut self, functions: &'static [&'static str]) {
        if let Some(scope) = self.scope() {
            scope.instances.push(functions);
        }
    }

    /// Something that takes the next index of its kind and of which nothing more is to be known.
    fn define(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Type => self.define_type(Vec::new()),
            ComponentExternalKind::Instance => self.define_instance(&[]),
            _ => {}
        }
    }

    fn import(&mut self, name: &'a str, ty: ComponentTypeRef) {
        self.version(name);
        let ComponentTypeRef::Instance(index) = ty else {
            return self.define(ty.kind());
        };
        let functions = reshaped(name);
        let exports = match self.scope() {
            Some(scope) if !functions.is_empty() => scope.types.get(index as usize).cloned(),
            _ => None,
        };
        for export in exports.unwrap_or_default() {
            self.function(export, functions);
        }
        self.define_instance(functions);
    }

    fn alias(&mut self, alias: &ComponentAlias<'a>) {
        match *alias {
            ComponentAlias::InstanceExport {
                kind,
                instance_index,
                name,
            } => {
                self.version(name);
                let from = self
                    .scope()
                    .and_then(|scope| scope.instances.get(instance_index as usize).copied());
                self.function(name, from.unwrap_or_default());
                self.define(kind);
            }
            ComponentAlias::Outer {
                kind: wasmparser::ComponentOuterAliasKind::Type,
                ..
            } => self.define(ComponentExternalKind::Type),
            ComponentAlias::Outer { .. } | ComponentAlias::CoreInstanceExport { .. } => {}
        }
    }

    fn instance(&mut self, instance: &ComponentInstance<'a>) {
        match instance {
            ComponentInstance::Instantiate { args, .. } => {
                args.iter().for_each(|arg| self.version(arg.name));
            }
            ComponentInstance::FromExports(exports) => {
                exports
                    .iter()
                    .for_each(|export| self.version(export.name.name));
            }
        }
        self.define_instance(&[]);
    }

    /// Versions anywhere within a type. The names that it exports when it is an instance's.
    fn ty(&mut self, ty: &ComponentType<'a>) -> Vec<&'a str> {
        let mut exports = Vec::new();
        match ty {
            ComponentType::Instance(declarations) => {
                for declaration in declarations {
                    match declaration {
                        InstanceTypeDeclaration::Export { name, .. } => {
                            self.version(name.name);
                            exports.push(name.name);
                        }
                        InstanceTypeDeclaration::Type(inner) => drop(self.ty(inner)),
                        InstanceTypeDeclaration::Alias(alias) => self.aliased(alias),
                        InstanceTypeDeclaration::CoreType(_) => {}
                    }
                }
            }
            ComponentType::Component(declarations) => {
                for declaration in declarations {
                    match declaration {
                        ComponentTypeDeclaration::Import(import) => self.version(import.name.name),
                        ComponentTypeDeclaration::Export { name, .. } => self.version(name.name),
                        ComponentTypeDeclaration::Type(inner) => drop(self.ty(inner)),
                        ComponentTypeDeclaration::Alias(alias) => self.aliased(alias),
                        ComponentTypeDeclaration::CoreType(_) => {}
                    }
                }
            }
            _ => {}
        }
        exports
    }

    /// An alias within a type, which has indices of its own.
    fn aliased(&mut self, alias: &ComponentAlias<'a>) {
        if let ComponentAlias::InstanceExport { name, .. } = alias {
            self.version(name);
        }
    }

    fn version(&mut self, name: &str) {
        if !name.starts_with("wasi:") || KEPT.contains(&name) {
            return;
        }
        let base = CANDIDATES
            .iter()
            .find_map(|(written, _)| name.strip_suffix(written));
        if let Some(base) = base {
            let at = self.offset(name) + base.len() + SIGN;
            self.edits.push(Edit::Plus(at));
        }
    }

    fn function(&mut self, name: &str, reshaped: &[&str]) {
        if reshaped.contains(&name) {
            let end = self.offset(name) + name.len();
            let word = name.rsplit('.').next().unwrap_or(name);
            self.edits.push(Edit::Upper(end - word.len()..end));
        }
    }

    /// Where in the file a name stands: the parser lends names out of the file itself.
    fn offset(&self, name: &str) -> usize {
        (name.as_ptr() as usize).saturating_sub(self.bytes.as_ptr() as usize)
    }
}

// === impl Edit ===

impl Edit {
    fn apply(&self, bytes: &mut [u8]) {
        match self {
            Edit::Plus(at) => {
                if let Some(byte) = bytes.get_mut(*at) {
                    *byte = b'+';
                }
            }
            Edit::Upper(range) => {
                if let Some(word) = bytes.get_mut(range.clone()) {
                    word.make_ascii_uppercase();
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
