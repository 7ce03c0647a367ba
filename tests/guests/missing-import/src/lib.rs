//! Shows an import that no host provides: every path but `/call` answers without it.

use kit_p2::text;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    inline: "
        package acme:nothing@1.0.0;

        interface here {
            shout: func(words: string) -> string;
        }

        world caller {
            import here;
        }
    ",
});

struct Caller;

wasip2::http::proxy::export!(Caller);

impl Guest for Caller {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match kit_p2::path(&request).parts()[..] {
            ["call"] => text(out, 200, &acme::nothing::here::shout("anyone here?")),
            _ => text(out, 200, "Hello from Gust\n"),
        }
    }
}
