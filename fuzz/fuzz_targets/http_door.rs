//! Any bytes to the door's own parsers: never a panic, and what they say holds.
#![no_main]

use encoding::{Coding, accepted_codings};
use gust_types::call::Trace;
use head::{framing, is_host};
use libfuzzer_sys::fuzz_target;
use lists::{accepts_json, etag_listed, tokens};
use range::{Part, range};

// The files themselves rather than the crate: the door's dependencies would take ten minutes to build with coverage.
#[path = "../../crates/gust-gateway/src/parse/encoding.rs"]
#[allow(dead_code, reason = "names and suffixes are for the door")]
mod encoding;
#[path = "../../crates/gust-gateway/src/parse/head.rs"]
mod head;
#[path = "../../crates/gust-gateway/src/parse/lists.rs"]
mod lists;
#[path = "../../crates/gust-gateway/src/parse/range.rs"]
mod range;

fuzz_target!(|bytes: &[u8]| {
    heads(bytes);
    host(bytes);
    ranges(bytes);
    lists(bytes);
    trace(bytes);
});

/// What counts as a head ends; a second look at what it ended with says the same; no line is missed.
fn heads(bytes: &[u8]) {
    let Some(found) = framing(bytes, b"POST", b"/") else {
        return;
    };
    let end = (1..=bytes.len()).find(|end| framing(&bytes[..*end], b"POST", b"/").is_some());
    let end = end.expect("a whole head ends somewhere");
    assert_eq!(
        framing(&bytes[..end], b"POST", b"/"),
        Some(found),
        "what follows changes nothing"
    );
    let mut doubled = bytes[..end]
        .strip_suffix(b"\n")
        .expect("at a line")
        .to_vec();
    if doubled.last() == Some(&b'\r') {
        doubled.pop();
    }
    doubled.extend(b"Content-Length: 1\r\ntransfer-encoding: chunked\r\n\r\n");
    let doubled = framing(&doubled, b"POST", b"/").expect("still a head");
    assert_eq!(
        (doubled.lengths, doubled.codings),
        (found.lengths + 1, found.codings + 1)
    );
}

/// What is a host to the door is one to the library that routes by it.
fn host(bytes: &[u8]) {
    if is_host(bytes) && !bytes.is_empty() {
        let text = std::str::from_utf8(bytes).expect("hosts are ASCII");
        assert!(!text.contains(['/', '@', ' ', ',']));
        assert!(http::HeaderValue::from_str(text).is_ok());
    }
}

/// A part is a part of the whole.
fn ranges(bytes: &[u8]) {
    let Some((size, header)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    for size in [u64::from_le_bytes(*size), u64::from(size[0]), 0] {
        if let Part::Bytes(first, last) = range(header, size) {
            assert!(first <= last && last < size);
        }
    }
}

fn lists(bytes: &[u8]) {
    assert!(tokens(bytes).all(|token| !token.is_empty() && !token.contains(&b',')));
    let tag = br#""00112233445566778899aabbccddeeff""#;
    if etag_listed(bytes, tag, false) {
        assert!(
            etag_listed(bytes, tag, true),
            "weak comparison is the wider one"
        );
    }
    if accepts_json(bytes) {
        assert!(bytes.to_ascii_lowercase().windows(4).any(|w| w == b"json"));
    }
    let codings: Vec<Coding> = accepted_codings(bytes).best_first().collect();
    assert!(codings.len() <= 2 && (codings.len() < 2 || codings[0] != codings[1]));
    if !bytes.contains(&b'*') && codings.contains(&Coding::Brotli) {
        assert!(tokens(bytes).any(|t| t.to_ascii_lowercase().starts_with(b"br")));
    }
}

fn trace(bytes: &[u8]) {
    let Some(trace) = std::str::from_utf8(bytes).ok().and_then(Trace::parse) else {
        return;
    };
    let header = trace.header(trace.parent);
    assert_eq!(
        Trace::parse(&header),
        Some(trace),
        "what is sent on can be read"
    );
}
