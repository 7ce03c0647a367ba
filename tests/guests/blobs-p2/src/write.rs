//! Objects that are written.

use kit::{Json, Path};
use wasip2::http::types::IncomingRequest;
use wasip2::io::streams::{OutputStream, StreamError};

use crate::wasi::blobstore::blobstore;
use crate::wasi::blobstore::container::Container;
use crate::wasi::blobstore::types::OutgoingValue;
use crate::{Answer, PIECE, done};

pub(crate) fn answer(
    does: &str,
    (bucket, key): (&str, &str),
    path: &Path,
    request: &IncomingRequest,
) -> Answer {
    let open = blobstore::get_container(bucket)?;
    let number = |name: &str| path.query(name).and_then(|n| n.parse::<usize>().ok());
    match does {
        "put" => put(&open, key, path.query("when").unwrap_or("after"), request),
        "fill" => fill(&open, key, number("pieces").unwrap_or(1)),
        _ => room(&open, key, number("first").unwrap_or(0)),
    }
}

fn stream(value: &OutgoingValue) -> Answer<OutputStream> {
    let stream = value.outgoing_value_write_body();
    stream.map_err(|()| "no stream".to_owned())
}

fn why(error: StreamError) -> String {
    match error {
        StreamError::Closed => "closed".to_owned(),
        StreamError::LastOperationFailed(e) => e.to_debug_string(),
    }
}

fn write(stream: &OutputStream, bytes: &[u8]) -> Answer<()> {
    for piece in bytes.chunks(4096) {
        stream.blocking_write_and_flush(piece).map_err(why)?;
    }
    Ok(())
}

/// | `when` | writes the body |
/// |---|---|
/// | `after` | after it said where it goes |
/// | `before` | before that |
/// | `unfinished` | and drops the value |
/// | `nowhere` | and finishes it without saying where it goes |
/// | `twice` | and says twice where it goes |
/// | `trap` | and traps |
fn put(open: &Container, key: &str, when: &str, request: &IncomingRequest) -> Answer {
    let value = OutgoingValue::new_outgoing_value();
    let stream = stream(&value)?;
    assert!(value.outgoing_value_write_body().is_err(), "one stream");
    if !matches!(when, "before" | "nowhere") {
        open.write_data(key, &value)?;
    }
    if when == "twice" {
        open.write_data(key, &value)?;
    }
    let mut body = kit_p2::Body::of(request);
    while let Some(piece) = body.piece()? {
        write(&stream, &piece)?;
    }
    match when {
        "before" => open.write_data(key, &value)?,
        "unfinished" => return Ok(Json::object([("dropped", true.into())])),
        "trap" => core::arch::wasm32::unreachable(),
        _ => {}
    }
    drop(stream);
    OutgoingValue::finish(value).map(done)
}

/// Each piece of one number, its own.
pub(crate) fn piece(n: usize) -> Vec<u8> {
    vec![(n % 251) as u8; PIECE]
}

fn fill(open: &Container, key: &str, pieces: usize) -> Answer {
    let value = OutgoingValue::new_outgoing_value();
    let stream = stream(&value)?;
    open.write_data(key, &value)?;
    for n in 0..pieces {
        write(&stream, &piece(n))?;
    }
    drop(stream);
    OutgoingValue::finish(value).map(done)
}

/// How far a writer gets that never waits.
fn room(open: &Container, key: &str, first: usize) -> Answer {
    let value = OutgoingValue::new_outgoing_value();
    let stream = stream(&value)?;
    write(&stream, &vec![1; first])?;
    open.write_data(key, &value)?;
    let mut written = first;
    loop {
        let room = stream.check_write().map_err(why)? as usize;
        if room == 0 {
            return Ok(Json::object([("written", written.into())]));
        }
        stream.write(&vec![2; room]).map_err(why)?;
        written += room;
    }
}
