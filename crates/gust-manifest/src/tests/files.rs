//! File globs, placements, static folders, and what may not be named.

use std::{fs, os::unix::fs::symlink, path::Path};

use gust_types::app::{FileSpec, RouteTarget, Source};
use tempfile::TempDir;

use super::with;
use crate::{Loaded, ManifestError, Options, load};

/// A folder with a manifest and these files.
fn folder(manifest: &str, files: &[&str]) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("gust.toml"), manifest).unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    dir
}

fn load_it(dir: &Path) -> Result<Loaded, ManifestError> {
    load(dir, &Options::default())
}

fn pairs(files: &[FileSpec]) -> Vec<String> {
    files
        .iter()
        .map(|f| match &f.source {
            Source::Path(path) => format!("{} <- {path}", f.path),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn mounted(files: &str, tree: &[&str]) -> Vec<String> {
    let dir = folder(&with(files), tree);
    let loaded = load_it(dir.path()).unwrap_or_else(|e| panic!("{e}"));
    pairs(&loaded.spec.functions["hello"].files)
}

fn fault(files: &str, tree: &[&str]) -> String {
    let dir = folder(&with(files), tree);
    let error = load_it(dir.path()).unwrap_err().to_string();
    error.replace(&dir.path().display().to_string(), "DIR")
}

const TREE: &[&str] = &[
    "a.txt",
    "assets/css/site.css",
    "assets/图.png",
    "assets/.hidden",
    "assets/site.js",
    "assets/site.js.map",
];

#[test]
fn globs_find_files() {
    for (files, expected) in [
        ("files = [\"a.txt\"]", vec!["/a.txt <- a.txt"]),
        ("files = [\"./a.txt\"]", vec!["/a.txt <- a.txt"]),
        (
            "files = [\"assets/*\"]",
            vec![
                "/assets/.hidden <- assets/.hidden",
                "/assets/site.js <- assets/site.js",
                "/assets/site.js.map <- assets/site.js.map",
                "/assets/图.png <- assets/图.png",
            ],
        ),
        (
            "files = [\"**/*.{css,png}\"]",
            vec![
                "/assets/css/site.css <- assets/css/site.css",
                "/assets/图.png <- assets/图.png",
            ],
        ),
        (
            "files = [\"assets/css\"]",
            vec!["/assets/css/site.css <- assets/css/site.css"],
        ),
        (
            "files = [\"assets/**/*\"]\nexclude_files = [\"*.map\", \"assets/.*\"]",
            vec![
                "/assets/css/site.css <- assets/css/site.css",
                "/assets/site.js <- assets/site.js",
                "/assets/图.png <- assets/图.png",
            ],
        ),
        (
            "files = [{ source = \"assets/css\", destination = \"/\" }]",
            vec!["/site.css <- assets/css/site.css"],
        ),
        (
            "files = [{ source = \"assets/css/\", destination = \"/static/\" }]",
            vec!["/static/site.css <- assets/css/site.css"],
        ),
        (
            "files = [{ source = \"a.txt\", destination = \"/etc/b.txt\" }]",
            vec!["/etc/b.txt <- a.txt"],
        ),
        (
            "files = [\"a.txt\", { source = \"assets/site.js\", destination = \"/a.txt\" }]",
            vec!["/a.txt <- assets/site.js"],
        ),
        ("files = [\"nothing/*\"]", vec![]),
    ] {
        assert_eq!(mounted(files, TREE), expected, "{files}");
    }
}

#[test]
fn what_is_outside_is_refused() {
    for (files, expected) in [
        ("files = [\"../x\"]", "path has '..': \"../x\""),
        ("files = [\"assets/../../x\"]", "path has '..'"),
        ("files = [\"/etc/passwd\"]", "path is absolute"),
        ("files = [\"/etc/*\"]", "path is absolute"),
        ("files = [\"\"]", "path is empty"),
        ("files = [\"a\\\\b\"]", "path has a backslash"),
        (
            "files = [\"gone.txt\"]",
            "no such file or folder: \"gone.txt\"",
        ),
        ("files = [\"assets/[\"]", "not a pattern of files"),
        (
            "files = [{ source = \"..\", destination = \"/\" }]",
            "path has '..'",
        ),
        (
            "files = [{ source = \"a.txt\", destination = \"/../x\" }]",
            "`destination` has '..'",
        ),
        (
            "files = [\"a.txt\", { source = \"assets/css\", destination = \"/a.txt\" }]",
            "is below the file \"/a.txt\"",
        ),
    ] {
        let fault = fault(files, TREE);
        assert!(fault.contains(expected), "{expected}: {fault}");
        assert!(fault.starts_with("DIR/gust.toml:6:"), "{fault}");
    }
}

#[test]
fn links_may_not_lead_out_and_may_lead_in() {
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "s").unwrap();
    let dir = folder(&with("files = [\"pub/**/*\"]"), &["pub/a", "real/b"]);
    symlink("../real", dir.path().join("pub/inner")).unwrap();
    symlink("..", dir.path().join("pub/loop")).unwrap();
    let loaded = load_it(dir.path()).unwrap();
    let found = pairs(&loaded.spec.functions["hello"].files);
    assert!(
        found.contains(&"/pub/inner/b <- pub/inner/b".to_owned()),
        "{found:?}"
    );
    assert!(found.len() < 20, "a loop of links ends: {found:?}");

    symlink(outside.path().join("secret"), dir.path().join("pub/leak")).unwrap();
    let error = load_it(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("a symbolic link leads out of the manifest's folder"),
        "{error}"
    );
    fs::remove_file(dir.path().join("pub/leak")).unwrap();
    symlink(outside.path(), dir.path().join("pub/leak")).unwrap();
    assert!(load_it(dir.path()).is_err(), "a folder leads out too");
}

#[test]
fn static_folders_are_listed_without_hidden_files() {
    let route = "[[route]]\npath = \"/...\"\nfiles = { dir = \"dist\", fallback = \"index.html\" }";
    let tree = [
        "dist/index.html",
        "dist/页/a.html",
        "dist/.env",
        "dist/.git/config",
        "dist/.well-known/security.txt",
    ];
    let dir = folder(&with(route), &tree);
    let loaded = load_it(dir.path()).unwrap();
    let RouteTarget::Files { files, .. } = &loaded.spec.routes[0].target else {
        panic!("{:?}", loaded.spec.routes);
    };
    assert_eq!(
        pairs(files),
        [
            "/.well-known/security.txt <- dist/.well-known/security.txt",
            "/index.html <- dist/index.html",
            "/页/a.html <- dist/页/a.html"
        ]
    );
    let missing = folder(&with(route), &["dist/a.html"]);
    let error = load_it(missing.path()).unwrap_err().to_string();
    assert!(
        error.contains("`fallback` is not among the files: \"index.html\""),
        "{error}"
    );
    let before_build = folder(&with(route), &[]);
    let options = Options {
        files: false,
        ..Options::default()
    };
    assert!(load(before_build.path(), &options).is_ok());
    let error = load_it(before_build.path()).unwrap_err().to_string();
    assert!(error.contains("no such folder: \"dist\""), "{error}");
}

#[test]
fn a_pattern_without_files_is_noted() {
    let dir = folder(&with("files = [\"*.nothing\"]"), &[]);
    let loaded = load_it(dir.path()).unwrap();
    assert_eq!(loaded.notes, ["no file matches: \"*.nothing\""]);
}

#[test]
fn too_many_files_are_refused() {
    let dir = folder(&with("files = [\"many/*\"]"), &[]);
    fs::create_dir(dir.path().join("many")).unwrap();
    for i in 0..=crate::limits::MAX_FILES {
        fs::write(dir.path().join(format!("many/{i}")), "").unwrap();
    }
    let error = load_it(dir.path()).unwrap_err().to_string();
    assert!(error.contains("more files than 10000"), "{error}");
}

#[test]
fn the_manifest_is_found() {
    let dir = folder(&with(""), &[]);
    let loaded = load_it(dir.path()).unwrap();
    assert_eq!(loaded.root, dir.path());
    let spin = "spin_manifest_version = 2\n[application]\nname = \"s\"\n[[trigger.http]]\nroute = \"/\"\ncomponent = { source = \"x\" }";
    fs::write(dir.path().join("spin.toml"), spin).unwrap();
    let loaded = load_it(dir.path()).unwrap();
    assert_eq!(loaded.spec.name.as_str(), "shop");
    assert_eq!(
        loaded.notes,
        ["gust.toml is read; spin.toml beside it is not"]
    );
    fs::rename(dir.path().join("spin.toml"), dir.path().join("other.toml")).unwrap();
    let loaded = load_it(&dir.path().join("other.toml")).unwrap();
    assert_eq!(loaded.spec.name.as_str(), "s", "known by its version key");
}

#[test]
fn a_manifest_that_cannot_be_read_says_so() {
    let empty = TempDir::new().unwrap();
    let error = load_it(empty.path()).unwrap_err();
    assert_eq!(error.kind, gust_types::Kind::NotFound);
    assert!(
        error
            .to_string()
            .contains("neither a gust.toml nor a spin.toml")
    );
    let error = load_it(&empty.path().join("gone")).unwrap_err();
    assert_eq!(error.kind, gust_types::Kind::NotFound);
    fs::write(empty.path().join("gust.toml"), b"[app]\nname = \"\xff\"").unwrap();
    let error = load_it(empty.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("gust.toml: the file is not UTF-8, at byte 14"),
        "{error}"
    );
}
