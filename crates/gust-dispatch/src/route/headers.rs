//! The headers that tell a guest how it was reached, as Spin's HTTP trigger sets them.
//!
//! What a caller sends under these names is removed.

use std::{fmt::Write as _, net::SocketAddr};

use bytes::{BufMut as _, BytesMut};
use gust_types::call::Trace;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use super::{Routed, host};

static PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
static FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
static MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
static BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
static RAW_COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
static COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
static CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");

/// Sets them on a request that was routed so. `peer` is the caller's address.
pub(crate) fn set(routed: &Routed, uri: &Uri, headers: &mut HeaderMap, peer: Option<SocketAddr>) {
    strip(headers);
    let path = uri.path();
    let full = full_url(uri, headers);
    let rest = match routed.rest(path) {
        "" => HeaderValue::from_static(""),
        rest => text(rest),
    };
    headers.reserve(8 + routed.route.params.len());
    headers.insert(&PATH_INFO, rest);
    headers.insert(&FULL_URL, full);
    headers.insert(&MATCHED_ROUTE, routed.route.raw.clone());
    headers.insert(&BASE_PATH, HeaderValue::from_static("/"));
    headers.insert(&RAW_COMPONENT_ROUTE, routed.route.raw.clone());
    headers.insert(&COMPONENT_ROUTE, routed.route.stem.clone());
    if let Some(peer) = peer {
        headers.insert(&CLIENT_ADDR, client(peer));
    }
    for (name, value) in routed.route.params.iter().zip(routed.captures.values(path)) {
        headers.insert(name, text(value));
    }
}

/// Removes what only the platform may say.
fn strip(headers: &mut HeaderMap) {
    let spoofed = |headers: &HeaderMap| {
        headers
            .keys()
            .find(|name| name.as_str().starts_with("spin-"))
            .cloned()
    };
    while let Some(name) = spoofed(headers) {
        headers.remove(name);
    }
    headers.remove(header::CONNECTION);
}

/// Passes the trace on, unless the guest that calls did so itself.
pub(crate) fn trace(trace: &Trace, headers: &mut HeaderMap) {
    if trace.trace_id != 0 && !headers.contains_key("traceparent") {
        headers.insert("traceparent", text(&trace.header(trace.parent)));
    }
}

/// Removes a `Host` that only exists inside, which nobody outside may claim to have reached.
pub(crate) fn strip_host(headers: &mut HeaderMap) {
    let inside = |value: &HeaderValue| value.to_str().is_ok_and(host::is_internal);
    if headers.get(header::HOST).is_some_and(inside) {
        headers.remove(header::HOST);
    }
}

/// The path and authority of a request line are valid header text; anything else would be a fault of ours and
/// becomes an empty value.
fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn full_url(uri: &Uri, headers: &HeaderMap) -> HeaderValue {
    let host = match uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => headers
            .get(header::HOST)
            .map_or(b"localhost".as_slice(), HeaderValue::as_bytes),
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let scheme = uri.scheme_str().unwrap_or("http");
    let mut url = BytesMut::with_capacity(scheme.len() + 3 + host.len() + path.len());
    url.put_slice(scheme.as_bytes());
    url.put_slice(b"://");
    url.put_slice(host);
    url.put_slice(path.as_bytes());
    HeaderValue::from_maybe_shared(url.freeze()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn client(peer: SocketAddr) -> HeaderValue {
    let mut text = BytesMut::with_capacity(48);
    let _ = write!(text, "{peer}");
    HeaderValue::from_maybe_shared(text.freeze()).unwrap_or_else(|_| HeaderValue::from_static(""))
}
