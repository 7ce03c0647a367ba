//! Shows a Redis handler of Spin 1 to 3: prints what it is handed, fails on `fail`, traps on `trap`.

use exports::fermyon::spin::inbound_redis::{Error, Guest};

wit_bindgen::generate!({
    path: "../../../wit",
    world: "gust:host/spin-v1-redis",
    generate_all,
});

struct Handler;

export!(Handler);

impl Guest for Handler {
    fn handle_message(message: Vec<u8>) -> Result<(), Error> {
        let text = String::from_utf8_lossy(&message).into_owned();
        println!("redis {text}");
        match text.as_str() {
            "fail" => Err(Error::Error),
            "trap" => core::arch::wasm32::unreachable(),
            _ => Ok(()),
        }
    }
}
