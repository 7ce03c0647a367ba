//! Any bytes from a PostgreSQL server, and changes of tables in them, in pieces of any size: never a panic, nothing larger than what was said, and the same whether they
//! come together or one by one.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

// The files themselves rather than the crate: what a whole source needs would take long to build with coverage.
#[path = "../../crates/gust-trigger-postgres/src/changes.rs"]
#[allow(dead_code, reason = "parts of it are for the source")]
mod changes;
#[path = "../../crates/gust-trigger-postgres/src/protocol.rs"]
#[allow(dead_code, reason = "parts of it are for the source")]
mod protocol;

/// Bytes of one message.
const MOST: usize = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let _ = changes::read(bytes::Bytes::copy_from_slice(bytes));
    let step = usize::from(*first) + 1;
    assert_eq!(all(bytes, bytes.len().max(1)), all(bytes, step));
});

/// What is understood, and whether it ends in what is not.
fn all(bytes: &[u8], step: usize) -> (Vec<String>, bool) {
    let (mut heard, mut found) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(step) {
        heard.extend_from_slice(piece);
        loop {
            match protocol::read(&mut heard, MOST) {
                Ok(Some(one)) => found.push(format!("{one:?}")),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}
