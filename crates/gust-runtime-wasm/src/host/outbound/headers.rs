//! Which headers pass: those between two ends do, those of one hop do not.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use wasmtime_wasi_http::WasiBody;

use crate::guest::CallContext;

/// Headers of one hop (RFC 9110, 7.6.1). `te` is looked at on its own.
const ONE_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A guest's request, ready to go anywhere.
pub(super) struct Prepared {
    pub(super) request: http::Request<WasiBody>,
}

// === impl Prepared ===

impl Prepared {
    /// Takes out what belongs to one hop and names the call as parent in the trace.
    pub(super) fn new(mut request: http::Request<WasiBody>, call: &CallContext) -> Self {
        let headers = request.headers_mut();
        strip(headers);
        headers.remove(header::HOST);
        // A guest that traces on its own knows better which span is the parent.
        if call.trace.trace_id != 0
            && !headers.contains_key(TRACEPARENT)
            && let Ok(value) = HeaderValue::try_from(call.trace.header(call.trace.parent))
        {
            headers.insert(TRACEPARENT, value);
        }
        Self { request }
    }
}

/// Removes headers that concern one connection only.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&ONE_HOP) {
        headers.remove(name);
    }
    // gRPC needs `te: trailers`, which is meant for the other end.
    if headers
        .get(header::TE)
        .is_some_and(|te| te.as_bytes() != b"trailers")
    {
        headers.remove(header::TE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_hop_stay_behind() {
        let mut headers: HeaderMap = [
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("x-other", "2"),
            ("te", "gzip"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "websocket"),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
        strip(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x-other"], "2");
        headers.insert("te", HeaderValue::from_static("trailers"));
        strip(&mut headers);
        assert_eq!(headers["te"], "trailers");
    }
}
