//! Shows a component that asks for 1 GiB of memory before its first instruction runs; it would answer like `hello-p2`.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct BigMemory;

wasip2::http::proxy::export!(BigMemory);

impl Guest for BigMemory {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        kit_p2::text(out, 200, "Hello from Gust\n");
    }
}
