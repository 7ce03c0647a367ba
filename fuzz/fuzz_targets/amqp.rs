//! Any bytes from an AMQP broker, in pieces of any size: never a panic, nothing larger than what was said, and the same whether they
//! come together or one by one.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

// The files themselves rather than the crate: what a whole source needs would take long to build with coverage.
#[path = "../../crates/gust-trigger-amqp/src/frame.rs"]
#[allow(dead_code, reason = "parts of it are for the source")]
mod frame;
#[path = "../../crates/gust-trigger-amqp/src/method.rs"]
#[allow(dead_code, reason = "parts of it are for the source")]
mod method;
#[path = "../../crates/gust-trigger-amqp/src/table.rs"]
#[allow(dead_code, reason = "parts of it are for the source")]
mod table;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let step = usize::from(*first) + 1;
    assert_eq!(all(bytes, bytes.len().max(1)), all(bytes, step));
});

/// What is understood, and whether it ends in what is not.
fn all(bytes: &[u8], step: usize) -> (Vec<String>, bool) {
    let (mut heard, mut found) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(step) {
        heard.extend_from_slice(piece);
        loop {
            match read(&mut heard) {
                Ok(Some(one)) => found.push(format!("{one:?}")),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

fn read(heard: &mut BytesMut) -> gust_types::Result<Option<method::Heard>> {
    frame::read(heard)?.map(method::read).transpose()
}
