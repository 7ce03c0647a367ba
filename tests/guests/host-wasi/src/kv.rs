//! `/kv/<store>/…` over `wasi:keyvalue@0.2.0-draft2`.

use kit::{Json, Path};
use wasip2::http::types::{IncomingRequest, Method};

use crate::wasi::keyvalue::atomics::{self, Cas, CasError};
use crate::wasi::keyvalue::batch;
use crate::wasi::keyvalue::store::{self, Bucket, Error};

/// | request | does |
/// |---|---|
/// | GET `/kv/s` | lists keys, page by page |
/// | GET, PUT, DELETE `/kv/s/k` | the value |
/// | GET `/kv/s/k/exists` | whether there is one |
/// | POST `/kv/s/k/increment?by=n` | adds |
/// | POST `/kv/s/k/cas?from=a&to=b` | swaps if the value is `a`; `&meddle=c` writes `c` in between |
/// | GET, PUT, DELETE `/kv/s/-/many?k=v&…` | all of them at once |
pub(crate) fn answer(request: &IncomingRequest, path: &Path) -> Json {
    let parts = path.parts();
    let Some(name) = parts.get(1) else {
        return Json::error("BadPath", "expected /kv/<store>");
    };
    let answer = store::open(name).and_then(|bucket| match (request.method(), &parts[2..]) {
        (Method::Get, []) => keys(&bucket),
        (method, ["-", "many"]) => many(&bucket, method, &path.query),
        (Method::Get, [key]) => bucket.get(key).map(value),
        (Method::Put, [key]) => {
            let body = kit_p2::Body::of(request).all().unwrap_or_default();
            bucket.set(key, &body).map(|()| done())
        }
        (Method::Delete, [key]) => bucket.delete(key).map(|()| done()),
        (_, [key, "exists"]) => bucket
            .exists(key)
            .map(|yes| Json::object([("exists", yes.into())])),
        (_, [key, "increment"]) => {
            let by = path.query("by").and_then(|by| by.parse().ok()).unwrap_or(1);
            atomics::increment(&bucket, key, by).map(|n| Json::object([("value", n.into())]))
        }
        (_, [key, "cas"]) => cas(&bucket, key, path),
        _ => Ok(Json::error("BadPath", "no such operation")),
    });
    answer.unwrap_or_else(error)
}

fn done() -> Json {
    Json::object([("ok", true.into())])
}

fn value(value: Option<Vec<u8>>) -> Json {
    Json::object([("value", value.map_or(Json::Null, Json::bytes))])
}

fn error(e: Error) -> Json {
    match e {
        Error::NoSuchStore => Json::error("no-such-store", ""),
        Error::AccessDenied => Json::error("access-denied", ""),
        Error::Other(e) => Json::error("other", e),
    }
}

fn keys(bucket: &Bucket) -> Result<Json, Error> {
    let mut keys = Vec::new();
    let mut pages = 0u64;
    let mut cursor = None;
    loop {
        let page = bucket.list_keys(cursor.as_deref())?;
        keys.extend(page.keys);
        pages += 1;
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let keys = keys.into_iter().map(Json::from).collect();
    Ok(Json::object([("keys", keys), ("pages", pages.into())]))
}

fn cas(bucket: &Bucket, key: &str, path: &Path) -> Result<Json, Error> {
    let cas = Cas::new(bucket, key)?;
    let current = cas.current()?;
    if current.as_deref() != path.query("from").map(str::as_bytes) {
        return Ok(Json::object([
            ("swapped", false.into()),
            ("current", current.map_or(Json::Null, Json::bytes)),
        ]));
    }
    if let Some(other) = path.query("meddle") {
        bucket.set(key, other.as_bytes())?;
    }
    match atomics::swap(cas, path.query("to").unwrap_or_default().as_bytes()) {
        Ok(()) => Ok(Json::object([("swapped", true.into())])),
        Err(CasError::StoreError(e)) => Err(e),
        Err(CasError::CasFailed(fresh)) => {
            let current = fresh.current()?.map_or(Json::Null, Json::bytes);
            Ok(Json::object([
                ("error", "cas-failed".into()),
                ("current", current),
            ]))
        }
    }
}

fn many(bucket: &Bucket, method: Method, pairs: &[(String, String)]) -> Result<Json, Error> {
    let keys: Vec<String> = pairs.iter().map(|(k, _)| k.clone()).collect();
    match method {
        Method::Put => {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(k, v)| (k.clone(), v.clone().into_bytes()))
                .collect();
            batch::set_many(bucket, &pairs).map(|()| done())
        }
        Method::Delete => batch::delete_many(bucket, &keys).map(|()| done()),
        _ => {
            let found = batch::get_many(bucket, &keys)?;
            Ok(Json::object(
                found
                    .into_iter()
                    .map(|(k, v)| (k, v.map_or(Json::Null, Json::bytes))),
            ))
        }
    }
}
