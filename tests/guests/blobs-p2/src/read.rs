//! Objects that are read.

use kit::{Json, Path};
use wasip2::clocks::monotonic_clock;
use wasip2::http::types::ResponseOutparam;
use wasip2::io::streams::{InputStream, StreamError};

use crate::wasi::blobstore::blobstore;
use crate::wasi::blobstore::container::Container;
use crate::wasi::blobstore::types::IncomingValue;
use crate::{Answer, PIECE};

fn stream(open: &Container, key: &str, start: u64, end: u64) -> Answer<(u64, InputStream)> {
    let value = open.get_data(key, start, end)?;
    let size = value.size();
    let stream = IncomingValue::incoming_value_consume_async(value)?;
    Ok((size, stream))
}

pub(crate) fn answer(path: &Path, out: ResponseOutparam) {
    let number = |name: &str| path.query(name).and_then(|n| n.parse().ok());
    let (start, end) = (
        number("start").unwrap_or(0),
        number("end").unwrap_or(u64::MAX),
    );
    let parts = path.parts();
    let open = blobstore::get_container(parts.get(1).unwrap_or(&""));
    let found = open.and_then(|open| stream(&open, &parts[2..].join("/"), start, end));
    let (_, stream) = match found {
        Ok(found) => found,
        Err(e) => return kit_p2::json(out, 200, &Json::error("error", e)),
    };
    let answer = kit_p2::Answer::begin(out, 200, &[]);
    while let Ok(piece) = stream.blocking_read(PIECE as u64) {
        if answer.write(&piece).is_err() {
            return;
        }
    }
    answer.end(None);
}

pub(crate) fn sum(open: &Container, key: &str) -> Answer {
    let (size, stream) = stream(open, key, 0, u64::MAX)?;
    let (mut bytes, mut sum) = (0u64, 0u64);
    let broken = loop {
        match stream.blocking_read(PIECE as u64) {
            Ok(piece) => {
                bytes += piece.len() as u64;
                sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            }
            Err(StreamError::Closed) => break Json::Null,
            Err(StreamError::LastOperationFailed(e)) => break e.to_debug_string().into(),
        }
    };
    Ok(Json::object([
        ("size", size.into()),
        ("bytes", bytes.into()),
        ("sum", sum.into()),
        ("broken", broken),
    ]))
}

pub(crate) fn peek(open: &Container, key: &str) -> Answer {
    let (_, stream) = stream(open, key, 0, u64::MAX)?;
    let first = stream.blocking_read(10).map_err(|e| format!("{e:?}"))?;
    monotonic_clock::subscribe_duration(50_000_000).block();
    Ok(Json::object([("read", first.len().into())]))
}

pub(crate) fn whole(open: &Container, key: &str) -> Answer {
    let value = open.get_data(key, 0, u64::MAX)?;
    let bytes = IncomingValue::incoming_value_consume_sync(value)?;
    Ok(Json::object([
        ("length", bytes.len().into()),
        ("start", Json::bytes(bytes.into_iter().take(100).collect())),
    ]))
}
