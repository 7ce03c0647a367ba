//! The reference pages, made of the same tables that the readers check keys against.

use std::fmt::Write as _;

use gust_types::Limits;

use crate::{
    keys::{Family, Key, LIMITS, Section},
    limits,
};

const GUST_HEAD: &str = "\
<!-- Generated from crates/gust-manifest/src/keys; to renew: GUST_BLESS=1 cargo test -p gust-manifest -->
# gust.toml

What a developer writes: the app, its functions, its routes. Unknown keys and wrong types are refused with their line
and a suggestion. Sizes are written `64MiB`, `10MB` or as a number of bytes; durations `250us`, `100ms`, `30s`, `5m`,
`2h` or `7d`. Values marked so may mention the app's variables as `{{ name }}`.

```toml
[app]
name = \"shop\"

[variables]
greeting = { default = \"你好\" }

[function.hello]
source = \"target/wasm32-wasip2/release/hello.wasm\"
route = \"/hello/:name\"
kv = [\"default\"]
variables = { greeting = \"{{ greeting }}\" }

[function.hello.build]
command = \"cargo build --target wasm32-wasip2 --release\"
watch = [\"src/**/*.rs\", \"Cargo.toml\"]

[function.hello.limits]
memory = \"64MiB\"
wall_time = \"5s\"

[[route]]
path = \"/...\"
files = { dir = \"static\", fallback = \"index.html\" }
```
";

const SPIN_HEAD: &str = "\
<!-- Generated from crates/gust-manifest/src/keys; to renew: GUST_BLESS=1 cargo test -p gust-manifest -->
# spin.toml

A `spin.toml` of version 2 is read as it is, when the folder has no `gust.toml`. What Gust does with each key is below;
what it cannot do yet is refused with its line instead of being skipped. A profile is selected with `--profile`.
";

/// The text of `docs/reference/gust-toml.md`.
pub fn reference() -> String {
    let mut page = GUST_HEAD.to_owned();
    for section in Family::Gust.sections() {
        head(&mut page, section);
        page.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
        for key in section.keys {
            let default = default(section, key);
            let cells = [&format!("`{}`", key.name), key.shape, &default, key.about];
            row(&mut page, &cells);
        }
    }
    let _ = write!(
        page,
        "\n## Limits of the file\n\n{} bytes, {} functions, {} routes, {} variables, {} files over all functions and static routes.\n\
         Patterns of files stay inside the manifest's folder: no absolute paths, no `..`, no symbolic links that lead out.\n",
        limits::MAX_MANIFEST,
        limits::MAX_FUNCTIONS,
        limits::MAX_ROUTES,
        limits::MAX_VARIABLES,
        limits::MAX_FILES
    );
    page
}

/// The text of `docs/reference/spin-toml.md`.
pub fn spin_reference() -> String {
    let mut page = SPIN_HEAD.to_owned();
    for section in Family::Spin.sections() {
        head(&mut page, section);
        page.push_str("\n| key | type | what Gust does with it |\n|---|---|---|\n");
        for key in section.keys {
            row(
                &mut page,
                &[&format!("`{}`", key.name), key.shape, key.about],
            );
        }
    }
    page
}

fn head(page: &mut String, section: &Section) {
    let title = match section.title.contains(['[', '.', '=']) {
        true => format!("`{}`", section.title),
        false => section.title.to_owned(),
    };
    let _ = write!(page, "\n## {title}\n\n{}\n", section.about);
}

fn row(page: &mut String, cells: &[&str]) {
    for cell in cells {
        let _ = write!(page, "| {} ", cell.replace('|', "\\|"));
    }
    page.push_str("|\n");
}

/// The defaults of limits are read off the type that holds them.
fn default(section: &Section, key: &Key) -> String {
    if !std::ptr::eq(section, &LIMITS) {
        return key.default.to_owned();
    }
    let defaults = toml::Table::try_from(Limits::default()).unwrap_or_default();
    let value = defaults.get(key.name).map(ToString::to_string);
    format!("`{}`", value.unwrap_or_default())
}
