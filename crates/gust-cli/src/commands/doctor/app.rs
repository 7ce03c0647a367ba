//! The manifest of a folder, and the code that it names.

use std::path::Path;

use gust_manifest::{Loaded, Options};
use gust_types::{Kind, app::Source};

use super::Finding;

pub(super) fn look(dir: &Path) -> Vec<Finding> {
    let options = Options {
        files: false,
        ..Options::default()
    };
    match gust_manifest::load(dir, &options) {
        Ok(loaded) => found(&loaded),
        Err(error) if error.kind == Kind::NotFound => {
            vec![Finding::ok("app", "no manifest in this folder")]
        }
        Err(error) => vec![Finding::bad("app", error.to_string())],
    }
}

fn found(loaded: &Loaded) -> Vec<Finding> {
    let app = &loaded.spec;
    let detail = format!(
        "{}, {} functions, {} routes",
        app.name,
        app.functions.len(),
        app.routes.len()
    );
    let mut findings = vec![Finding::ok("app", detail)];
    findings.extend(loaded.notes.iter().map(|note| Finding::warn("app", note)));
    for (name, function) in &app.functions {
        let Source::Path(path) = &function.source else {
            continue;
        };
        if loaded.root.join(path).is_file() {
            continue;
        }
        let finding = Finding::warn("app", format!("the code of {name} is not there: {path}"));
        findings.push(match function.build {
            Some(_) => finding.hint("build it with: gust build"),
            None => finding,
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn a_folder_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look(dir.path())[0].state, State::Ok);
        let manifest = dir.path().join("gust.toml");
        std::fs::write(
            &manifest,
            "[app]\nname = \"a\"\n[function.f]\nsource = \"f.wasm\"\n",
        )
        .unwrap();
        let findings = look(dir.path());
        assert_eq!(findings[1].detail, "the code of f is not there: f.wasm");
        std::fs::write(&manifest, "[app]\nnam = \"a\"\n").unwrap();
        let findings = look(dir.path());
        assert_eq!(findings[0].state, State::Bad);
        assert!(findings[0].detail.contains("did you mean `name`?"));
    }
}
