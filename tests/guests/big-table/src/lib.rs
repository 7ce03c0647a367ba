//! Shows a component with a table of 20 million functions, all but a few of them absent; it would answer like `hello-p2`.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct BigTable;

wasip2::http::proxy::export!(BigTable);

impl Guest for BigTable {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        kit_p2::text(out, 200, "Hello from Gust\n");
    }
}
