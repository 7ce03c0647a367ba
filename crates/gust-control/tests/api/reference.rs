//! `docs/reference/api.md` lists what the API has. Write it anew with `GUST_WRITE_DOCS=1 cargo test -p gust-control reference`.

use std::{fmt::Write as _, path::PathBuf};

const BEGIN: &str = "<!-- operations: generated -->";
const END: &str = "<!-- end of operations -->";

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/api.md")
}

/// One table per tag, in the order of the description.
fn operations() -> String {
    let document = serde_json::to_value(gust_control::openapi()).unwrap();
    let mut tables: Vec<(String, String)> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let tag = operation["tags"][0].as_str().unwrap();
            let says = operation["summary"]
                .as_str()
                .or_else(|| operation["description"].as_str());
            let says = says.unwrap_or_default().trim();
            if !tables.iter().any(|(t, _)| t == tag) {
                tables.push((tag.to_owned(), String::new()));
            }
            let table = &mut tables.iter_mut().find(|(t, _)| t == tag).unwrap().1;
            writeln!(table, "| `{} {path}` | {says} |", method.to_uppercase()).unwrap();
        }
    }
    tables.iter().fold(String::new(), |mut out, (tag, rows)| {
        write!(
            out,
            "\n### {tag}\n\n| operation | what it does |\n|---|---|\n{rows}"
        )
        .unwrap();
        out
    })
}

#[test]
fn the_reference_page_lists_every_operation() {
    let text = std::fs::read_to_string(page()).unwrap();
    let (before, rest) = text
        .split_once(BEGIN)
        .expect("the mark where operations begin");
    let (found, after) = rest.split_once(END).expect("the mark where they end");
    let wanted = format!("\n{}\n", operations());
    if std::env::var_os("GUST_WRITE_DOCS").is_some() {
        std::fs::write(page(), format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(found, wanted, "write the page anew with GUST_WRITE_DOCS=1");
}

#[test]
fn the_reference_page_has_the_table_of_errors() {
    use gust_types::{Blame, Kind};
    let text = std::fs::read_to_string(page()).unwrap();
    for (name, kind, blame) in [
        ("invalid", Kind::Invalid, Blame::Caller),
        ("denied", Kind::Denied, Blame::Caller),
        ("not_found", Kind::NotFound, Blame::Caller),
        ("conflict", Kind::Conflict, Blame::Caller),
        ("exhausted", Kind::Exhausted, Blame::Caller),
        ("unavailable", Kind::Unavailable, Blame::Platform),
        ("timeout", Kind::Timeout, Blame::Function),
        ("failed", Kind::Failed, Blame::Function),
        ("internal", Kind::Internal, Blame::Platform),
    ] {
        let row = gust_api::render::row(kind, blame);
        let line = format!("| `{name}` | {} | {} |", row.status, row.exit);
        assert!(text.contains(&line), "the page has the line: {line}");
    }
}
