//! Any patterns and any path to the route table, any host and any file's path to what stands beside it: never a panic,
//! and the table finds what a matcher that is plainly right finds.
#![no_main]

use gust_types::{
    Digest,
    app::{FileSpec, Source},
    route::{RoutePattern, Segment},
};
use libfuzzer_sys::fuzz_target;

// The files themselves rather than the crate: dispatch's dependencies would take long to build with coverage.
#[path = "../../crates/gust-dispatch/src/route/files.rs"]
#[allow(dead_code, reason = "parts of it are for the door")]
mod files;
#[path = "../../crates/gust-dispatch/src/route/host.rs"]
#[allow(dead_code, reason = "parts of it are for the table")]
mod host;
#[path = "../../crates/gust-dispatch/src/route/trie.rs"]
mod trie;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // The last line is asked for, those before it are there.
    let (there, asked) = text.rsplit_once('\n').unwrap_or(("", text));
    let lines: Vec<&str> = there.split('\n').collect();
    paths(&lines, asked);
    served(&lines, asked);
    hosts(asked);
});

fn paths(patterns: &[&str], path: &str) {
    let mut table = trie::Trie::new();
    let mut known = Vec::new();
    for text in patterns {
        let Ok(pattern) = RoutePattern::parse(text) else {
            continue;
        };
        match table.insert(&pattern, known.len()) {
            Ok(()) => known.push(pattern),
            Err(taken) => assert_eq!(known[taken].shape(), pattern.shape()),
        }
    }
    let found = table.find(path);
    let best = segments(path).and_then(|path| {
        let ranks = known.iter().enumerate();
        ranks
            .filter_map(|(i, pattern)| Some((rank(pattern, &path)?, i)))
            .min()
    });
    assert_eq!(found.map(|hit| hit.pattern), best.map(|(_, i)| i));
    let Some(hit) = found else { return };
    assert!(path.is_char_boundary(hit.rest), "the rest is a part of it");
    let params = |s: &&Segment| matches!(s, Segment::Param(_));
    let params = known[hit.pattern].segments().iter().filter(params).count();
    let values: Vec<_> = hit.captures.values(path).collect();
    assert_eq!(values.len(), params.min(trie::MAX_PARAMS));
    assert!(values.iter().all(|v| !v.is_empty() && !v.contains('/')));
}

fn segments(path: &str) -> Option<Vec<&str>> {
    let rest = path.strip_prefix('/')?;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    Some(rest.strip_suffix('/').unwrap_or(rest).split('/').collect())
}

/// How specific each segment of a match is: lower is better.
fn rank(pattern: &RoutePattern, path: &[&str]) -> Option<Vec<u8>> {
    let fixed = pattern.segments();
    if !(fixed.len() == path.len() || pattern.wildcard() && fixed.len() < path.len()) {
        return None;
    }
    let one = |(segment, part): (&Segment, &&str)| match segment {
        Segment::Literal(text) if *text == capitals(part) => Some(0),
        Segment::Param(_) if !part.is_empty() => Some(1),
        _ => None,
    };
    let mut rank: Vec<u8> = fixed.iter().zip(path).map(one).collect::<Option<_>>()?;
    rank.push(if pattern.wildcard() { 3 } else { 2 });
    Some(rank)
}

/// The two characters after each `%` in capitals.
fn capitals(part: &str) -> String {
    let mut chars: Vec<char> = part.chars().collect();
    let mut i = 0;
    while i < chars.len() {
        if chars[i] == '%' {
            for c in chars.iter_mut().skip(i + 1).take(2) {
                if *c == '%' {
                    break;
                }
                *c = c.to_ascii_uppercase();
            }
        }
        i += 1;
    }
    chars.into_iter().collect()
}

/// Whatever is asked for, what is found was there.
fn served(names: &[&str], rest: &str) {
    let file = |name: &&str| FileSpec {
        path: (*name).to_owned(),
        source: Source::Artifact {
            digest: Digest::from_bytes([0; 32]),
            size: 0,
        },
    };
    let specs: Vec<_> = names.iter().map(file).collect();
    let Ok(site) = files::FileSite::new(&specs, "index.html", None) else {
        return;
    };
    if let Some(found) = site.find(rest) {
        let same = |name: &&str| name.trim_start_matches('/') == found.path.as_ref();
        assert!(names.iter().any(|name| same(&name)));
        assert!(!found.path.split('/').any(|part| part == ".."));
    }
}

fn hosts(text: &str) {
    let bare = host::bare(text);
    assert!(text.contains(bare));
    let _ = host::below(bare, "gust.localhost");
    let _ = host::is_internal(text);
}
