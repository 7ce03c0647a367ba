//! Flags into settings, and the page of `node.toml`.

use std::{fmt::Write as _, fs, path::Path};

use super::*;

#[test]
fn flags_become_settings() {
    let args = NodeArgs {
        data: Some("/srv/gust".into()),
        control: Some("off".to_owned()),
        listen: Some("127.0.0.1:0".to_owned()),
        tls_cert: Some("c.pem".into()),
        tls_key: Some("k.pem".into()),
        ..NodeArgs::default()
    };
    let (settings, explained) = args.resolve().unwrap();
    assert_eq!(settings.data, PathBuf::from("/srv/gust"));
    assert_eq!(settings.control, None);
    assert_eq!(settings.listen.port(), 0);
    assert_eq!(settings.s3, None);
    assert_eq!(settings.tls.unwrap().key, PathBuf::from("k.pem"));
    let of = |key: &str| explained.iter().find(|e| e.key == key).unwrap().from;
    assert_eq!(of("data"), From::Flag);
}

/// A setting that a flag has given is shown with a flag that exists.
#[test]
fn flags_are_named_as_they_are_typed() {
    use clap::Args as _;
    let all = NodeArgs {
        config: None,
        data: Some("d".into()),
        listen: Some("127.0.0.1:0".to_owned()),
        control: Some("off".to_owned()),
        s3: Some("127.0.0.1:0".to_owned()),
        redis: Some("127.0.0.1:0".to_owned()),
        postgres: Some("127.0.0.1:0".to_owned()),
        aws: Some("127.0.0.1:0".to_owned()),
        domain: Some("x.test".to_owned()),
        tls_cert: Some("c.pem".into()),
        tls_key: Some("k.pem".into()),
    };
    let command = NodeArgs::augment_args(clap::Command::new("serve"));
    let known: Vec<&str> = command
        .get_arguments()
        .filter_map(|a| a.get_long())
        .collect();
    for key in all.flags().keys() {
        for flag in flag_of(key).split(" and ") {
            assert!(known.contains(&flag.trim_start_matches("--")), "{flag}");
        }
    }
}

#[test]
fn a_bad_flag_names_itself() {
    let args = NodeArgs {
        listen: Some("nonsense".to_owned()),
        ..NodeArgs::default()
    };
    let error = args.resolve().unwrap_err();
    assert!(
        error.chain().contains("listen") || error.chain().contains("address"),
        "{}",
        error.chain()
    );
}

/// The page of `node.toml`, made of the comments on its settings. `GUST_BLESS=1` renews it.
#[test]
fn the_page_is_up_to_date() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(crates.join("../gust-node/src/settings.rs")).unwrap();
    let (_, explained) = layers::resolve(None, |_| None, Toml::new()).unwrap();
    let mut page = String::from(HEAD);
    for setting in &explained {
        let (shape, about) = documented(&source, &setting.key);
        // `gust serve` has a better place for its data than the working folder.
        let default = match (setting.key.as_str(), &setting.value) {
            ("data", _) => "`$GUST_DATA`, else `~/.local/share/gust`".to_owned(),
            (_, Some(value)) => format!("`{value}`"),
            (_, None) => "none".to_owned(),
        };
        let variable = match setting.key.as_str() {
            "tls" => "none".to_owned(),
            key => format!("`GUST_{}`", key.to_uppercase()),
        };
        let _ = writeln!(
            page,
            "| `{}` | {shape} | {default} | {variable} | {about} |",
            setting.key
        );
    }
    let path = crates.join("../../docs/reference/node-toml.md");
    if std::env::var_os("GUST_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == page,
        "docs/reference/node-toml.md is out of date; renew it with: GUST_BLESS=1 cargo test -p gust-cli"
    );
}

const HEAD: &str = "\
<!-- Generated from crates/gust-node/src/settings.rs; to renew: GUST_BLESS=1 cargo test -p gust-cli -->
# node.toml

What an operator decides, read by `gust serve --config FILE`. Later places win: defaults, the file, `GUST_...` variables,
flags. Unknown keys are refused. `gust config explain` prints each value and where it came from.

| key | type | default | variable | meaning |
|---|---|---|---|---|
";

/// Type and comment of a field of `Settings`, as the source has them.
fn documented(source: &str, key: &str) -> (&'static str, String) {
    let start = source.find("pub struct Settings {").unwrap();
    let mut comment = Vec::new();
    for line in source[start..].lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment.push(text.trim());
        } else if let Some(shape) = line.strip_prefix(&format!("pub {key}: ")) {
            let about = comment.join(" ");
            assert!(!about.is_empty(), "{key} is not explained");
            // The default has a column of its own.
            let about = about
                .split(" Default ")
                .next()
                .unwrap_or_default()
                .to_owned();
            return (shape_of(shape), about.replace('|', "\\|"));
        } else if !line.starts_with("#[") {
            comment.clear();
        }
    }
    panic!("no such setting: {key}");
}

fn shape_of(rust: &str) -> &'static str {
    match rust.trim_end_matches(',') {
        "PathBuf" | "Option<PathBuf>" => "path",
        "SocketAddr" => "address with port",
        "Option<SocketAddr>" => "address with port, or `\"off\"`",
        "String" => "string",
        "bool" => "boolean",
        "u32" | "u64" | "usize" => "integer",
        "ByteSize" => "size",
        "Span" => "duration",
        "Vec<String>" => "list of strings",
        "Option<Tls>" => "table with `cert` and `key`, paths",
        other => panic!("a new type of setting: {other}"),
    }
}
