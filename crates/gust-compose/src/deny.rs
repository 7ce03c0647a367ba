//! A component that serves interfaces by denying them.
//!
//! Every function answers what its interface has for that: the error that says so, an empty list, nothing. A function that
//! can say none of these traps.

use std::fmt::Write as _;

use gust_types::{Error, Result};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding};
use wit_parser::{
    Function, Int, InterfaceId, LiftLowerAbi, ManglingAndAbi, Resolve, SizeAlign, Type,
    TypeDefKind, Variant, WasmExport, WasmExportKind, WorldItem, WorldKey,
    abi::{AbiVariant, WasmType},
};

/// What a message says where an error has one.
const TEXT: &str = "this dependency was not given it: see `inherit_configuration`";
/// Where the message stands in memory.
const TEXT_AT: u32 = 16;
/// Where answers begin.
const ANSWERS_AT: u32 = 256;

/// How errors are called that say that somebody may not, the best first.
const DENIALS: &[&str] = &[
    "access-denied",
    "HTTP-request-denied",
    "destination-not-allowed",
    "not-permitted",
    "access",
    "connection-failed",
    "undefined",
    "model-not-supported",
    "other",
    "error",
    "internal-error",
];

/// The component that denies these imports of a component; `None` when it has none of them.
pub(crate) fn denier(component: &[u8], denied: impl Fn(&str) -> bool) -> Result<Option<Denier>> {
    let DecodedWasm::Component(mut resolve, world) =
        wit_component::decode(component).map_err(cannot)?
    else {
        return Err(Error::invalid(
            "it is a package of interfaces, not a component",
        ));
    };
    let imports = resolve.worlds[world].imports.values();
    let interfaces = imports.filter_map(|item| match item {
        WorldItem::Interface { id, .. } => resolve.id_of(*id),
        _ => None,
    });
    let names: Vec<String> = interfaces.filter(|name| denied(name)).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let exports: String = names
        .iter()
        .map(|name| format!("export {name};\n"))
        .collect();
    let text = format!("package gust:denied;\nworld denied {{\n{exports}}}\n");
    let package = resolve.push_source("denied.wit", &text).map_err(cannot)?;
    let world = resolve
        .select_world(&[package], Some("denied"))
        .map_err(cannot)?;
    let mut module = wat::parse_str(module(&resolve, &resolve.worlds[world].exports))
        .map_err(|error| Error::internal("a denier is malformed").because(error))?;
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(cannot)?;
    let mut encoder = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .map_err(cannot)?;
    let bytes = encoder.encode().map_err(cannot)?;
    Ok(Some(Denier { names, bytes }))
}

fn cannot(error: impl std::fmt::Display) -> Error {
    Error::invalid(format!("it cannot be read: {error:#}"))
}

/// A component that denies interfaces.
pub(crate) struct Denier {
    /// Which, as they are imported.
    pub(crate) names: Vec<String>,
    pub(crate) bytes: Vec<u8>,
}

/// What functions answer, as it stands in memory.
struct Answers<'a> {
    resolve: &'a Resolve,
    sizes: SizeAlign,
    memory: Vec<u8>,
}

/// How one function answers.
enum Answer {
    /// By a value: a result whose error has nothing to say.
    Failed,
    /// By what stands in memory at this place.
    At(usize),
    /// Not at all.
    Trap,
}

/// The module behind the component, as text.
fn module(resolve: &Resolve, exports: &wit_parser::IndexMap<WorldKey, WorldItem>) -> String {
    let mut sizes = SizeAlign::default();
    sizes.fill(resolve);
    let mut answers = Answers {
        resolve,
        sizes,
        memory: vec![0; ANSWERS_AT as usize],
    };
    let text = TEXT_AT as usize..TEXT_AT as usize + TEXT.len();
    if let Some(place) = answers.memory.get_mut(text) {
        place.copy_from_slice(TEXT.as_bytes());
    }
    let mut functions = String::new();
    for (key, item) in exports {
        if let WorldItem::Interface { id, .. } = item {
            answers.interface(key, *id, &mut functions);
        }
    }
    let start = answers.memory.len().next_multiple_of(16);
    let pages = start / 65_536 + 1;
    let data: String = answers.memory.iter().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "\\{byte:02x}");
        all
    });
    // What callers hand over is put behind the answers, and forgotten with the next call: nobody reads it.
    format!(
        r#"(module
(memory (export "memory") {pages})
(global $start i32 (i32.const {start}))
(global $at (mut i32) (i32.const {start}))
(data (i32.const 0) "{data}")
(func (export "cabi_realloc") (param $old i32) (param $was i32) (param $align i32) (param $size i32) (result i32)
  (local $place i32)
  (local.set $place (i32.and
    (i32.add (global.get $at) (i32.sub (local.get $align) (i32.const 1)))
    (i32.sub (i32.const 0) (local.get $align))))
  (global.set $at (i32.add (local.get $place) (local.get $size)))
  (if (i32.lt_u (global.get $at) (local.get $place)) (then unreachable))
  (if (i32.gt_u (global.get $at) (i32.shl (memory.size) (i32.const 16)))
    (then (if (i32.eq (i32.const -1)
      (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16)))))
      (then unreachable))))
  (local.get $place))
{functions})"#
    )
}

// === impl Answers ===

impl Answers<'_> {
    fn interface(&mut self, key: &WorldKey, id: InterfaceId, text: &mut String) {
        let resolve = self.resolve;
        for function in resolve.interfaces[id].functions.values() {
            let mangling = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);
            let export = WasmExport::Func {
                interface: Some(key),
                func: function,
                kind: WasmExportKind::Normal,
            };
            let name = resolve.wasm_export_name(mangling, export);
            let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
            let _ = write!(text, "(func (export {name:?})");
            types(text, "param", &signature.params);
            types(text, "result", &signature.results);
            text.push_str(" (global.set $at (global.get $start)) ");
            match self.answer(function, signature.retptr) {
                Answer::Failed => text.push_str("i32.const 1"),
                Answer::At(place) => {
                    let _ = write!(text, "i32.const {place}");
                }
                Answer::Trap => text.push_str("unreachable"),
            }
            text.push_str(")\n");
        }
    }

    fn answer(&mut self, function: &Function, in_memory: bool) -> Answer {
        let Some(result) = &function.result else {
            return Answer::Trap;
        };
        let bytes = match self.denial(result) {
            Some(bytes) => bytes,
            None => return Answer::Trap,
        };
        if !in_memory {
            // One value, which is the tag of a result without anything in it.
            return match bytes.as_slice() {
                [1] => Answer::Failed,
                _ => Answer::Trap,
            };
        }
        let place = self.memory.len().next_multiple_of(16);
        self.memory.resize(place, 0);
        self.memory.extend(bytes);
        Answer::At(place)
    }

    /// What denies as a value of this type: a result with its error, or what is empty.
    fn denial(&self, of: &Type) -> Option<Vec<u8>> {
        let size = self.sizes.size(of).size_wasm32();
        match self.kind(of)? {
            TypeDefKind::Type(inner) => self.denial(inner),
            TypeDefKind::List(_) | TypeDefKind::Option(_) => Some(vec![0; size]),
            TypeDefKind::Result(result) => {
                let mut bytes = vec![0; size];
                *bytes.first_mut()? = 1;
                let Some(error) = &result.err else {
                    return Some(bytes);
                };
                let cases = [result.ok.as_ref(), result.err.as_ref()];
                let offset = self.sizes.payload_offset(Int::U8, cases);
                put(&mut bytes, offset.size_wasm32(), &self.error(error)?)?;
                Some(bytes)
            }
            _ => None,
        }
    }

    /// An error of this type that says that somebody may not.
    fn error(&self, of: &Type) -> Option<Vec<u8>> {
        if matches!(of, Type::String) {
            return Some(message());
        }
        match self.kind(of)? {
            TypeDefKind::Type(inner) => self.error(inner),
            TypeDefKind::Enum(cases) => {
                let names = cases.cases.iter().map(|case| case.name.as_str());
                let case = position(names, |_| true)?;
                number(case, self.sizes.size(of).size_wasm32())
            }
            TypeDefKind::Variant(variant) => self.case(of, variant),
            _ => None,
        }
    }

    fn case(&self, of: &Type, variant: &Variant) -> Option<Vec<u8>> {
        let said = |case: usize| match variant.cases.get(case).map(|case| &case.ty) {
            Some(None) => Some(Vec::new()),
            Some(Some(Type::String)) => Some(message()),
            Some(Some(inner)) => {
                let empty = matches!(
                    self.kind(inner)?,
                    TypeDefKind::Option(_) | TypeDefKind::List(_)
                );
                empty.then(Vec::new)
            }
            None => None,
        };
        let names = variant.cases.iter().map(|case| case.name.as_str());
        let case = position(names, |case| said(case).is_some())?;
        let mut bytes = vec![0; self.sizes.size(of).size_wasm32()];
        let size = match variant.tag() {
            Int::U8 => 1,
            Int::U16 => 2,
            Int::U32 | Int::U64 => 4,
        };
        let tag = number(case, size)?;
        put(&mut bytes, 0, &tag)?;
        let cases = variant.cases.iter().map(|case| case.ty.as_ref());
        let offset = self.sizes.payload_offset(variant.tag(), cases);
        put(&mut bytes, offset.size_wasm32(), &said(case)?)?;
        Some(bytes)
    }

    /// What a type that has a name, or is made of others, is.
    fn kind(&self, of: &Type) -> Option<&TypeDefKind> {
        match of {
            Type::Id(id) => Some(&self.resolve.types[*id].kind),
            _ => None,
        }
    }
}

/// The case that denies best, of those that can be made.
fn position<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    can: impl Fn(usize) -> bool,
) -> Option<usize> {
    DENIALS.iter().find_map(|wanted| {
        let case = names.clone().position(|name| name == *wanted)?;
        can(case).then_some(case)
    })
}

/// A string: where it is and how long.
fn message() -> Vec<u8> {
    let length = TEXT.len() as u32;
    [TEXT_AT.to_le_bytes(), length.to_le_bytes()].concat()
}

fn number(of: usize, size: usize) -> Option<Vec<u8>> {
    of.to_le_bytes().get(..size).map(<[u8]>::to_vec)
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) -> Option<()> {
    let place = bytes.get_mut(at..at + what.len())?;
    place.copy_from_slice(what);
    Some(())
}

fn types(text: &mut String, what: &str, types: &[WasmType]) {
    for ty in types {
        let name = match ty {
            WasmType::I64 | WasmType::PointerOrI64 => "i64",
            WasmType::F32 => "f32",
            WasmType::F64 => "f64",
            WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        };
        let _ = write!(text, " ({what} {name})");
    }
}
