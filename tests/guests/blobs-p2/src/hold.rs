//! Many things that are held at once.

use kit::Json;

use crate::Answer;
use crate::wasi::blobstore::blobstore;
use crate::wasi::blobstore::types::OutgoingValue;

pub(crate) fn answer(does: &str, n: usize, rest: &[&str]) -> Answer {
    if does == "make" {
        return make(n);
    }
    let [bucket, key @ ..] = rest else {
        return Err("no such path".into());
    };
    if does == "open" {
        return held(n, || blobstore::get_container(bucket));
    }
    let open = blobstore::get_container(bucket)?;
    match does {
        "read" => held(n, || open.get_data(&key.join("/"), 0, u64::MAX)),
        _ => held(n, || open.list_objects()),
    }
}

fn held<T>(n: usize, make: impl Fn() -> Answer<T>) -> Answer {
    let tried: Vec<_> = (0..n).map(|_| make()).collect();
    let count = tried.iter().filter(|made| made.is_ok()).count();
    let error = tried.into_iter().find_map(Result::err);
    Ok(Json::object([
        ("held", count.into()),
        ("error", error.map_or(Json::Null, Json::from)),
    ]))
}

/// A value that is one too many is made, and nothing can be done with it.
fn make(n: usize) -> Answer {
    let values: Vec<_> = (0..n)
        .map(|_| OutgoingValue::new_outgoing_value())
        .collect();
    let streams = values.iter().map(OutgoingValue::outgoing_value_write_body);
    let count = streams.filter(Result::is_ok).count();
    let ends = values.into_iter().map(OutgoingValue::finish);
    let error = ends.filter_map(Result::err).last();
    Ok(Json::object([
        ("held", count.into()),
        ("error", error.map_or(Json::Null, Json::from)),
    ]))
}
