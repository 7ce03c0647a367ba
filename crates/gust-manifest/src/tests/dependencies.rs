//! Components that a component of a `spin.toml` imports from.

use gust_types::{
    Digest,
    app::{Dependency, Inherit, Source},
};

use crate::parse_spin;

fn text(component: &str) -> String {
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"a\"\n[[trigger.http]]\nroute = \"/\"\ncomponent = \"c\"\n\
         [component.words]\nsource = \"words.wasm\"\nbuild.command = \"make words\"\n\
         [component.nested]\nsource = \"n.wasm\"\ndependencies = {{ \"a:b\" = {{ path = \"x.wasm\" }} }}\n\
         [component.c]\nsource = \"c.wasm\"\n{component}"
    )
}

fn dependency(import: &str, source: &str) -> Dependency {
    Dependency {
        import: import.to_owned(),
        source: Source::Path(source.to_owned()),
        build: None,
        export: None,
        inherit: Inherit::Only(Vec::new()),
    }
}

#[test]
fn every_way_to_name_one_arrives() {
    let digest = Digest::of(b"code");
    let text = text(&format!(
        "[component.c.dependencies]\n\
         \"a:b\" = {{ path = \"b.wasm\" }}\n\
         \"a:c/d@1.0.0-rc.1\" = {{ url = \"https://example.com/d.wasm\", digest = \"{digest}\", export = \"e\" }}\n\
         plain-name = {{ component = \"words\", inherit_configuration = [\"environment\", \"files\"] }}\n\
         \"a:e/f\" = {{ path = \"f.wasm\", inherit_configuration = true }}\n\
         [component.c.profile.debug.dependencies]\n\"a:b\" = {{ path = \"b-debug.wasm\" }}\n"
    ));
    let (app, notes) = parse_spin(&text, None).unwrap();
    let found = &app.functions["c"].dependencies;
    assert_eq!(found.len(), 4);
    let of = |import: &str| found.iter().find(|one| one.import == import).unwrap();
    assert_eq!(*of("a:b"), dependency("a:b", "b.wasm"));
    let fetched = of("a:c/d@1.0.0-rc.1");
    assert!(matches!(&fetched.source, Source::Remote { url, .. } if url.ends_with("d.wasm")));
    assert_eq!(fetched.export.as_deref(), Some("e"));
    let words = of("plain-name");
    assert_eq!(words.source, Source::Path("words.wasm".to_owned()));
    assert_eq!(words.build.as_ref().unwrap().command, ["make words"]);
    let settings = ["environment", "files"].map(str::to_owned).to_vec();
    assert_eq!(words.inherit, Inherit::Only(settings));
    assert_eq!(of("a:e/f").inherit, Inherit::Everything);
    // A component that another imports from is not left out.
    assert!(
        !notes.iter().any(|note| note.contains("words")),
        "{notes:?}"
    );
    let (app, _) = parse_spin(&text, Some("debug")).unwrap();
    let found = &app.functions["c"].dependencies;
    assert_eq!(found.len(), 4);
    assert!(found.contains(&dependency("a:b", "b-debug.wasm")));
}

#[test]
fn what_all_inherit_is_said_once() {
    for (said, inherit) in [
        ("true", Inherit::Everything),
        ("false", Inherit::Only(Vec::new())),
    ] {
        let text = text(&format!(
            "dependencies_inherit_configuration = {said}\ndependencies = {{ \"a:b\" = {{ path = \"b\" }} }}"
        ));
        let (app, _) = parse_spin(&text, None).unwrap();
        assert_eq!(app.functions["c"].dependencies[0].inherit, inherit);
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (name, value, says) in [
        (
            "a:b",
            "\"1.0\"",
            "registries of packages are not built yet: `a:b`",
        ),
        (
            "a:b",
            "{ version = \"1\", package = \"a:b\" }",
            "registries of packages are not built yet: `version`",
        ),
        (
            "a:b",
            "{}",
            "dependency `a:b` needs one of `path`, `url` and `component`",
        ),
        (
            "a:b",
            "{ path = \"a\", component = \"words\" }",
            "needs one of `path`, `url` and `component`",
        ),
        ("a:b", "{ path = \"\" }", "source is empty"),
        (
            "a:b",
            "{ path = \"a\", digest = \"x\" }",
            "`digest` belongs to `url`",
        ),
        (
            "a:b",
            "{ url = \"https://x\" }",
            "dependency `a:b` needs the key `digest`",
        ),
        (
            "a:b",
            "{ component = \"none\" }",
            "no such component: `none`",
        ),
        (
            "a:b",
            "{ component = \"nested\" }",
            "a dependency cannot have dependencies itself: `nested`",
        ),
        (
            "a:b",
            "{ path = \"a\", inherit_configuration = [\"env\"] }",
            "not a setting that is inherited: \"env\"",
        ),
        (
            "a:b",
            "{ path = \"a\", inherit_configuration = 1 }",
            "`inherit_configuration` must be true, false or a list, not an integer",
        ),
        (
            "a:b",
            "3",
            "a dependency must be a table or a version, not an integer",
        ),
        (
            "a:b",
            "{ path = \"a\", exports = \"x\" }",
            "unknown key in dependency `a:b`: `exports`",
        ),
        (
            "a:b@1",
            "{ path = \"a\" }",
            "not a name of what is imported: \"a:b@1\"",
        ),
        (
            "plain@1.0.0",
            "{ path = \"a\" }",
            "not a name of what is imported: \"plain@1.0.0\"",
        ),
        (
            "a:b/c/d",
            "{ path = \"a\" }",
            "not a name of what is imported: \"a:b/c/d\"",
        ),
        (
            "名",
            "{ path = \"a\" }",
            "not a name of what is imported: \"名\"",
        ),
    ] {
        let text = text(&format!("dependencies = {{ \"{name}\" = {value} }}"));
        let error = parse_spin(&text, None).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
    let both = "dependencies_inherit_configuration = true\ndependencies = { \"a:b\" = { path = \"b\", inherit_configuration = true } }";
    let error = parse_spin(&text(both), None).unwrap_err().to_string();
    assert!(error.contains("exclude each other"), "{error}");
}
