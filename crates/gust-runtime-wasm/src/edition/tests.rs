use wasm_encoder::{
    Alias, Component, ComponentAliasSection, ComponentExportKind, ComponentImportSection,
    ComponentTypeRef, ComponentTypeSection, ConstExpr, DataSection, InstanceType, MemorySection,
    MemoryType, Module, ModuleSection, NestedComponentSection,
};

use super::*;

/// A name that is none: it lies in the memory of a core module.
const IN_DATA: &str = "wasi:io/poll@0.2.0-rc-2023-11-10";

const TRAILERS: &str = "future-trailers";
const GET: &str = "[method]future-trailers.get";

/// A component that imports these interfaces, each with one resource, a function that takes it, and an alias of that.
pub(crate) fn importing(interfaces: &[&str], resource: &str, function: &str) -> Component {
    let mut component = Component::new();
    for (index, interface) in (0..).zip(interfaces) {
        let mut instance = InstanceType::new();
        instance.export(
            resource,
            ComponentTypeRef::Type(wasm_encoder::TypeBounds::SubResource),
        );
        instance.ty().defined_type().borrow(0);
        instance
            .ty()
            .function()
            .params([("self", wasm_encoder::ComponentValType::Type(1))])
            .result(None);
        instance.export(function, ComponentTypeRef::Func(2));
        let mut types = ComponentTypeSection::new();
        types.instance(&instance);
        component.section(&types);
        let mut imports = ComponentImportSection::new();
        imports.import(*interface, ComponentTypeRef::Instance(index));
        component.section(&imports);
        let mut aliases = ComponentAliasSection::new();
        aliases.alias(Alias::InstanceExport {
            instance: index,
            kind: ComponentExportKind::Func,
            name: function,
        });
        component.section(&aliases);
    }
    component
}

fn with_data(mut component: Component) -> Vec<u8> {
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut data = DataSection::new();
    data.active(0, &ConstExpr::i32_const(0), IN_DATA.bytes());
    let mut module = Module::new();
    module.section(&memories).section(&data);
    component.section(&ModuleSection(&module));
    component.finish()
}

fn count(bytes: &[u8], text: &str) -> usize {
    let found = bytes.windows(text.len()).filter(|w| *w == text.as_bytes());
    found.count()
}

fn valid(bytes: &[u8]) {
    wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all())
        .validate_all(bytes)
        .unwrap();
}

#[test]
fn versions_of_2023_become_compatible_with_the_release() {
    let component = importing(
        &[
            "wasi:io/poll@0.2.0-rc-2023-11-10",
            "wasi:io/poll@0.2.0-rc-2023-10-18",
        ],
        "pollable",
        "[method]pollable.ready",
    );
    let bytes = with_data(component);
    valid(&bytes);
    let anew = released(&bytes).unwrap();
    valid(&anew);
    assert_eq!(anew.len(), bytes.len());
    assert_eq!(count(&anew, "wasi:io/poll@0.2.0+rc-2023-11-10"), 1);
    assert_eq!(count(&anew, "wasi:io/poll@0.2.0+rc-2023-10-18"), 1);
    assert_eq!(count(&bytes, IN_DATA), 2);
    assert_eq!(count(&anew, IN_DATA), 1, "data stays what it is");
    let differ = bytes.iter().zip(anew.iter()).filter(|(a, b)| a != b);
    assert_eq!(differ.count(), 2);
}

#[test]
fn a_function_of_another_shape_gets_a_name_of_its_own_where_it_is_that_function() {
    let component = importing(
        &[
            "wasi:http/types@0.2.0-rc-2023-11-10",
            "wasi:http/types@0.2.3",
        ],
        TRAILERS,
        GET,
    );
    let bytes = with_data(component);
    let anew = released(&bytes).unwrap();
    valid(&anew);
    assert_eq!(count(&bytes, GET), 4);
    assert_eq!(
        count(&anew, "[method]future-trailers.GET"),
        2,
        "type and alias"
    );
    assert_eq!(count(&anew, GET), 2, "those of 0.2.3");
}

#[test]
fn what_changed_throughout_keeps_its_name() {
    let bytes = importing(&["wasi:http/types@0.2.0-rc-2023-10-18"], TRAILERS, GET).finish();
    assert!(matches!(released(&bytes).unwrap(), Cow::Borrowed(_)));
}

#[test]
fn nested_components_are_read_too() {
    let inner = importing(
        &["wasi:io/streams@0.2.0-rc-2023-10-18"],
        "output-stream",
        "[method]output-stream.splice",
    );
    let mut outer = importing(&["wasi:cli/exit@0.2.0-rc-2023-10-18"], "a", "[method]a.b");
    outer.section(&NestedComponentSection(&inner));
    let bytes = outer.finish();
    let anew = released(&bytes).unwrap();
    valid(&anew);
    assert_eq!(count(&anew, "wasi:io/streams@0.2.0+rc-2023-10-18"), 1);
    assert_eq!(count(&anew, "[method]output-stream.SPLICE"), 2);
    assert_eq!(count(&anew, "wasi:cli/exit@0.2.0+rc-2023-10-18"), 1);
}

#[test]
fn other_components_stay_as_they_are() {
    for interface in [
        "wasi:http/types@0.2.0",
        "wasi:http/types@0.2.3",
        "wasi:http/types@0.2.0-rc-2023-12-05",
        "wasi:http/types@0.3.0-rc-2026-03-15",
        "acme:http/types@0.2.0-rc-2023-11-10",
    ] {
        let bytes = with_data(importing(&[interface], TRAILERS, GET));
        let anew = released(&bytes).unwrap();
        assert!(matches!(anew, Cow::Borrowed(_)), "{interface}");
    }
}

#[test]
fn damaged_bytes_are_an_error_and_nothing_worse() {
    let component = importing(&["wasi:http/types@0.2.0-rc-2023-11-10"], TRAILERS, GET);
    let whole = with_data(component);
    for cut in 0..whole.len() {
        // A cut between two sections leaves a component that is whole: validation finds what it lacks.
        if let Err(error) = released(&whole[..cut]) {
            assert_eq!(error.kind, gust_types::Kind::Invalid, "{cut}");
        }
    }
    assert!(released(&whole[..whole.len() - 1]).is_err());
    for at in 8..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            // Whatever it says, it says so.
            if let Ok(anew) = released(&damaged) {
                assert_eq!(anew.len(), damaged.len());
            }
        }
    }
}

#[test]
fn names_are_told_as_their_author_wrote_them() {
    for (read, written) in [
        (
            "wasi:sockets/tcp@0.2.0+rc-2023-11-10",
            "wasi:sockets/tcp@0.2.0-rc-2023-11-10",
        ),
        ("wasi:sockets/tcp@0.2.0", "wasi:sockets/tcp@0.2.0"),
        ("acme:nothing/here", "acme:nothing/here"),
    ] {
        assert_eq!(spelled(read), written);
    }
    let lookup = "wasi:sockets/ip-name-lookup@0.2.0-rc-2023-10-18";
    assert_eq!(
        spelled_item(lookup, "RESOLVE-ADDRESSES"),
        "resolve-addresses"
    );
    assert_eq!(spelled_item(lookup, "other"), "other");
}
