//! Any text as a `spin.toml`: never a panic, and what is accepted passes the check of a node.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match gust_manifest::parse_spin(text, None) {
        Ok((app, _)) => gust_manifest::check::app(&app).expect("an accepted manifest passes the node's check"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
