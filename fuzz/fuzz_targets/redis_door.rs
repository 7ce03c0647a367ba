//! Any bytes from a Redis client, in pieces of any size: never a panic, nothing larger than what was said, and the same whether they
//! come together or one by one. And any bytes as a value in a store: always some value, which reads back.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

// The files themselves rather than the crate: what a whole door needs would take long to build with coverage.
#[path = "../../crates/gust-dialect-redis/src/frame.rs"]
#[allow(dead_code, reason = "parts of it are for the door")]
mod frame;
#[path = "../../crates/gust-dialect-redis/src/value.rs"]
#[allow(dead_code, reason = "parts of it are for the door")]
mod value;

const LIMITS: frame::Limits = frame::Limits {
    words: 64,
    word: 1 << 12,
    bytes: 1 << 14,
};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let step = usize::from(*first) + 1;
    assert_eq!(all(bytes, bytes.len().max(1)), all(bytes, step));
    let stored = Bytes::from([&value::MAGIC, bytes].concat());
    let value = value::Value::decode(stored);
    assert_eq!(value::Value::decode(value.encode()), value);
});

/// What is understood, and whether it ends in what is not.
fn all(bytes: &[u8], step: usize) -> (Vec<Vec<Bytes>>, bool) {
    let (mut parser, mut heard) = (frame::Parser::default(), BytesMut::new());
    let mut found = Vec::new();
    for piece in bytes.chunks(step) {
        heard.extend_from_slice(piece);
        loop {
            match parser.next(&mut heard, &LIMITS) {
                Ok(Some(words)) => found.push(words),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
        assert!(parser.held() <= LIMITS.bytes);
    }
    (found, false)
}
