//! Misbehaves while it is instantiated, before any call: the variable `START` says how.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Started;

wasip2::http::proxy::export!(Started);

unsafe extern "C" {
    fn __wasm_call_ctors();
}

/// Runs when the instance is made.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: called once, before anything else.
    unsafe { __wasm_call_ctors() };
    at_start();
}

fn at_start() {
    match std::env::var("START").as_deref() {
        Ok("spin") => loop {
            std::hint::black_box(());
        },
        Ok("sleep") => std::thread::sleep(std::time::Duration::from_secs(60)),
        Ok("trap") => core::arch::wasm32::unreachable(),
        Ok("alloc") => {
            let mut held = Vec::new();
            loop {
                held.push(std::hint::black_box(vec![1u8; 1 << 20]));
            }
        }
        _ => {}
    }
}

impl Guest for Started {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("the body of a new response");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the stream of a new body");
        let _ = stream.blocking_write_and_flush(b"started\n");
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}
