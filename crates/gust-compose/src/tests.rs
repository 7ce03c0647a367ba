//! Components in text, composed and looked at.

use gust_types::{Kind, app::Inherit};
use wit_component::DecodedWasm;

use super::*;

/// A component of this world whose functions do nothing.
fn component(wit: &str, world: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_source("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mangling = wit_parser::ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync);
    let mut module = wit_component::dummy_module(&resolve, world, mangling);
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
    let encoder = wit_component::ComponentEncoder::default().validate(true);
    encoder.module(&module).unwrap().encode().unwrap()
}

const WORDS: &str = r#"
package a:words@1.2.0;
interface upper { upper: func(text: string) -> string; }
interface lower { lower: func(text: string) -> string; }
interface main { run: func(); }
world app { import upper; import lower; import plain: func() -> u32; export main; }
world words { export upper; export lower; }
world shouts { export lower; export shout: interface { upper: func(text: string) -> string; } }
world number { export plain: func() -> u32; }
world wrong { export other: interface { upper: func(text: u32) -> string; } }
"#;

fn part(import: &str, world: &str) -> Part {
    Part {
        import: import.to_owned(),
        bytes: component(WORDS, world),
        export: None,
        inherit: Inherit::Only(Vec::new()),
    }
}

/// What a component imports and exports.
fn surface(component: &[u8]) -> (Vec<String>, Vec<String>) {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component).unwrap() else {
        panic!("a component");
    };
    let world = &resolve.worlds[world];
    let names = |items: &wit_parser::IndexMap<wit_parser::WorldKey, wit_parser::WorldItem>| {
        let names = items.keys().map(|key| resolve.name_world_key(key));
        names.collect::<Vec<_>>()
    };
    (names(&world.imports), names(&world.exports))
}

#[test]
fn parts_serve_what_their_names_mean() {
    let app = component(WORDS, "app");
    let exports = vec!["a:words/main@1.2.0".to_owned()];
    for (parts, left) in [
        (vec![part("a:words", "words")], vec!["plain"]),
        (
            vec![part("a:words@1.2.0", "words"), part("plain", "number")],
            vec![],
        ),
        (
            vec![part("a:words/upper", "words")],
            vec!["a:words/lower@1.2.0", "plain"],
        ),
        (
            vec![
                part("a:words/upper@1.2.0", "words"),
                part("a:words/lower", "shouts"),
            ],
            vec!["plain"],
        ),
    ] {
        let composed = compose(&app, &parts).unwrap();
        assert_eq!(
            surface(&composed),
            (
                left.into_iter().map(str::to_owned).collect(),
                exports.clone()
            )
        );
    }
    let mut shouts = part("a:words/upper", "shouts");
    shouts.export = Some("shout".to_owned());
    let composed = compose(&app, &[shouts]).unwrap();
    assert_eq!(surface(&composed).0, ["a:words/lower@1.2.0", "plain"]);
}

#[test]
fn what_does_not_fit_is_told() {
    let app = component(WORDS, "app");
    let mut other = part("a:words/upper", "wrong");
    other.export = Some("other".to_owned());
    for (parts, says) in [
        (
            vec![part("a:words/lower", "words"), part("a:words", "words")],
            "dependencies `a:words/lower` and `a:words` both serve the import a:words/lower@1.2.0",
        ),
        (
            vec![part("b:words", "words")],
            "dependency `b:words` serves nothing that is imported",
        ),
        (
            vec![part("a:words@1.0.0", "words")],
            "serves nothing that is imported",
        ),
        (
            vec![part("words", "words")],
            "serves nothing that is imported",
        ),
        (
            vec![part("plain", "words")],
            "dependency `plain` does not export plain",
        ),
        (
            vec![other],
            "dependency `a:words/upper` does not fit a:words/upper@1.2.0: ",
        ),
    ] {
        let error = compose(&app, &parts).unwrap_err();
        assert!(
            error.kind == Kind::Invalid && error.message.contains(says),
            "{error}"
        );
    }
    let mut module = part("a:words", "words");
    module.bytes = wat::parse_str("(module)").unwrap();
    let error = compose(&app, &[module]).unwrap_err();
    assert!(
        error
            .message
            .starts_with("dependency `a:words`: it is no component"),
        "{error}"
    );
    for bytes in [&b"\0asm\x0d\0\x01\0\xff"[..], &app[..app.len() / 2], b""] {
        let error = compose(bytes, &[]).unwrap_err();
        assert!(
            error.message.starts_with("the function's code: "),
            "{error}"
        );
    }
}

const GOVERNED: &str = r#"
package a:needs;
world store { import wasi:keyvalue/store@0.2.0-draft2; import wasi:cli/environment@0.2.0; import gust:queues/publish; export f: func(); }
world app { import f: func(); export g: func(); }
package wasi:keyvalue@0.2.0-draft2 {
  interface store {
    variant error { no-such-store, access-denied, other(string) }
    resource bucket { get: func(key: string) -> result<option<list<u8>>, error>; exists: func(key: string) -> bool; }
    open: func(identifier: string) -> result<bucket, error>;
  }
}
package wasi:cli@0.2.0 {
  interface environment { get-environment: func() -> list<tuple<string, string>>; initial-cwd: func() -> option<string>; }
}
package gust:queues {
  interface publish { enum failure { full, error } publish: func(body: list<u8>) -> result<_, failure>; clear: func() -> result; bad: func() -> u64; }
}
"#;

#[test]
fn a_part_is_denied_what_it_does_not_inherit() {
    let all = [
        "wasi:keyvalue/store@0.2.0-draft2",
        "wasi:cli/environment@0.2.0",
        "gust:queues/publish",
    ];
    let app = component(GOVERNED, "app");
    for (inherit, left) in [
        (Inherit::Everything, all.to_vec()),
        (Inherit::Only(Vec::new()), vec![]),
        (
            Inherit::Only(vec!["environment".into(), "files".into()]),
            vec![all[1]],
        ),
        (Inherit::Only(vec!["key_value_stores".into()]), vec![all[0]]),
    ] {
        let part = Part {
            import: "f".to_owned(),
            bytes: component(GOVERNED, "store"),
            export: None,
            inherit,
        };
        let (mut imports, _) = surface(&compose(&app, &[part]).unwrap());
        imports.sort();
        let mut left = left;
        left.sort();
        assert_eq!(imports, left);
    }
}
