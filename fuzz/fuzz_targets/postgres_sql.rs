//! Any text as statements of a PostgreSQL client, and any bytes as a message of one: never a panic, and what SQLite is given
//! ends where we say it does.
#![no_main]

use gust_dialect_postgres::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzzing::message(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        fuzzing::statements(text);
    }
});
