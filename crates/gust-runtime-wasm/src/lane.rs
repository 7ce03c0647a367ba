//! Which lane a component needs for what it imports.

use wasmparser::{Parser, Payload};

/// Interfaces that only the p3 lane offers: the start of their name, and the start of their version. Some of their
/// functions are not async, so a component may import them without showing that it needs that lane.
const ONLY_P3: [(&str, &str); 4] = [
    ("wasi:", "0.3."),
    ("spin:key-value/", "3."),
    ("spin:variables/", "3."),
    ("spin:sqlite/", "3.1"),
];

/// Whether a component, which is valid, imports something that the p2 lane does not have.
pub(crate) fn needs_p3(component: &[u8]) -> bool {
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(component).flatten() {
        match payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                let mut names = section.into_iter().flatten().map(|import| import.name.name);
                if names.any(is_only_p3) {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

fn is_only_p3(name: &str) -> bool {
    let Some((interface, version)) = name.split_once('@') else {
        return false;
    };
    let mut only = ONLY_P3.iter();
    // Nothing offers a release candidate.
    only.any(|(start, of)| interface.starts_with(start) && version.starts_with(of))
        && !version.contains('-')
}

#[cfg(test)]
mod tests {
    use super::is_only_p3;

    #[test]
    fn versions_tell_the_lanes_apart() {
        for (name, expected) in [
            ("wasi:random/random@0.3.0", true),
            ("wasi:cli/environment@0.3.1", true),
            ("wasi:cli/environment@0.3.0-rc-2026-03-15", false),
            ("wasi:random/random@0.2.8", false),
            ("wasi:keyvalue/store@0.2.0-draft2", false),
            ("spin:key-value/key-value@3.0.0", true),
            ("spin:sqlite/sqlite@3.1.0", true),
            ("spin:sqlite/sqlite@3.0.0", false),
            ("fermyon:spin/sqlite@2.0.0", false),
            ("fermyon:spin/http", false),
        ] {
            assert_eq!(is_only_p3(name), expected, "{name}");
        }
    }
}
