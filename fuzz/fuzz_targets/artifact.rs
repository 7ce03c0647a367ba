//! Any bytes as an uploaded artifact: read, named and made a component without a panic, and what was read stays true.
//! Nothing is compiled.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// As in the crate that these files are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Lane {
    P2,
    P3,
}

// The files themselves rather than the crate: the compiler behind it would take ten minutes to build with coverage.
#[path = "../../crates/gust-runtime-wasm/src/componentize.rs"]
mod componentize;
#[path = "../../crates/gust-runtime-wasm/src/contract.rs"]
#[allow(dead_code, reason = "for the runtime")]
mod contract;
#[path = "../../crates/gust-runtime-wasm/src/edition.rs"]
#[allow(dead_code, reason = "for the runtime")]
mod edition;
#[path = "../../crates/gust-runtime-wasm/src/lane.rs"]
mod lane;

fuzz_target!(|bytes: &[u8]| {
    match contract::form(bytes) {
        Ok(contract::Form::Component) => component(bytes),
        Ok(contract::Form::Module) => {
            if let Ok(made) = componentize::componentize(bytes) {
                component(&made);
            }
        }
        Err(error) => assert!(!error.message.is_empty()),
    }
});

fn component(bytes: &[u8]) {
    let Ok(read) = edition::released(bytes) else {
        return;
    };
    assert_eq!(read.len(), bytes.len(), "every offset stays");
    let again = edition::released(&read).expect("what was read can be read");
    assert_eq!(again, read, "nothing is left to be written anew");
    if let Ok(profile) = contract::profile(&read) {
        assert!(!profile.export.is_empty());
    }
}
