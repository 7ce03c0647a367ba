//! Shows `wasi:keyvalue/batch` in the shape that the proposal gives `get-many`, where `host-wasi` has Spin's.

use kit::Json;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

use wasi::keyvalue::batch;
use wasi::keyvalue::store::{self, Error};

wit_bindgen::generate!({
    path: "wit",
    generate_all,
});

struct Host;

wasip2::http::proxy::export!(Host);

impl Guest for Host {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = kit_p2::path(&request);
        match path.parts()[..] {
            ["kv", store, key] => kit_p2::json(out, 200, &round(store, key).unwrap_or_else(error)),
            _ => kit_p2::text(out, 404, "no such path\n"),
        }
    }
}

/// `/kv/<store>/<key>` sets the key, asks for it and for one that is not there, and takes it away again.
fn round(store: &str, key: &str) -> Result<Json, Error> {
    let bucket = store::open(store)?;
    batch::set_many(&bucket, &[(key.to_owned(), b"one of many".to_vec())])?;
    let found = batch::get_many(&bucket, &[key.to_owned(), format!("not-{key}")])?;
    batch::delete_many(&bucket, &[key.to_owned()])?;
    let pair = |(key, value): (String, Vec<u8>)| Json::from_iter([key.into(), Json::bytes(value)]);
    Ok(found
        .into_iter()
        .map(|found| Json::from(found.map(pair)))
        .collect())
}

fn error(e: Error) -> Json {
    match e {
        Error::NoSuchStore => Json::error("no-such-store", ""),
        Error::AccessDenied => Json::error("access-denied", ""),
        Error::Other(e) => Json::error("other", e),
    }
}
