//! Shows a function built for the release candidate `wasi:http/incoming-handler@0.2.0-rc-2023-11-10`.

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wit_bindgen::generate!({
    path: "wit",
    generate_all,
});

struct Hello;

export!(Hello);

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
