//! Shows the smallest answer through `wasi:http/incoming-handler@0.2`.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Hello;

wasip2::http::proxy::export!(Hello);

impl Guest for Hello {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let headers = Fields::new();
        let _ = headers.set("content-type", &[b"text/plain".to_vec()]);
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("the body of a new response");
        ResponseOutparam::set(out, Ok(response));

        let stream = body.write().expect("the stream of a new body");
        let _ = stream.blocking_write_and_flush(b"Hello from Gust\n");
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}
