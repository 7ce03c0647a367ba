//! What every request passes before its handler.

use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures::FutureExt as _;
use gust_api::problem::{TOKEN_NEEDED, TOKEN_REFUSED};
use gust_types::{Blame, Error, Kind};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use http_body::Body as _;

use super::error::{self, ApiError};
use crate::control::Control;

/// The longest wait for the head of an answer, but for those that take as long as a guest or a line takes.
const HEAD: Duration = Duration::from_secs(60);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Under which the log knows the request.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// All gates, in order.
pub(super) async fn pass(
    State(control): State<Control>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = RequestId(gust_task::ids::call_id().to_string().into());
    request.extensions_mut().insert(id.clone());
    let large = may_be_left_unread(&request);
    let mut response = match admit(&control, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    error::finish(&mut response, &id);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    // What refused it may not have read all of it, and then the connection ends: whoever sent it is to know that before
    // the next request goes the same way.
    if large && !response.status().is_success() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// Whether a request of HTTP/1 has more of a body than comes along with its head.
fn may_be_left_unread(request: &Request) -> bool {
    let body = request.body();
    request.version() < Version::HTTP_2
        && !body.is_end_stream()
        && body.size_hint().upper().is_none_or(|size| size > 16 << 10)
}

async fn admit(control: &Control, request: Request, next: Next) -> Result<Response, ApiError> {
    // A place is held until the head of the answer is sent; streams have bounds of their own.
    let _place = control
        .0
        .requests
        .try_acquire()
        .map_err(|_| Error::unavailable("the control api has too many requests under way"))?;
    authorize(control, &request)?;
    await_restore(control, request.uri().path())?;
    let unbounded = takes_its_time(request.uri().path());
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
    let ended = match unbounded {
        true => handled.await,
        false => tokio::time::timeout(HEAD, handled).await.map_err(|_| {
            Error::new(
                Kind::Timeout,
                Blame::Platform,
                "the control api took too long",
            )
        })?,
    };
    ended.map_err(|panic| {
        tracing::error!(panic = gust_task::panic_text(&*panic), "a handler panicked");
        Error::internal("a handler panicked").into()
    })
}

/// Uploads, objects and invokes bound their own waits.
fn takes_its_time(path: &str) -> bool {
    let resource = path.split('/').nth(4);
    path.ends_with("/invoke")
        || path.starts_with("/v1/artifacts/")
        || matches!(resource, Some("blobs" | "sql"))
}

/// Below `/v1` the token is needed; metrics are open to this machine only.
fn authorize(control: &Control, request: &Request) -> Result<(), ApiError> {
    let path = request.uri().path();
    let open = match path {
        "/healthz" | "/readyz" | "/openapi.json" => true,
        "/metrics" => request
            .extensions()
            .get::<Peer>()
            .is_some_and(|peer| peer.0.ip().to_canonical().is_loopback()),
        _ => false,
    };
    let token = bearer(request.headers());
    if open || token.is_some_and(|token| control.0.tokens.allow(token)) {
        return Ok(());
    }
    let message = match token {
        Some(_) => TOKEN_REFUSED,
        None => TOKEN_NEEDED,
    };
    let error = Error::denied(message)
        .hint("send it as a bearer token; the node wrote it to the file token in its data folder");
    Err(ApiError::with(error, StatusCode::UNAUTHORIZED))
}

/// What was deployed before is served first: a change made earlier would be overwritten.
fn await_restore(control: &Control, path: &str) -> Result<(), ApiError> {
    if control.is_ready() || !path.starts_with("/v1/") || path == "/v1/status" {
        return Ok(());
    }
    Err(Error::unavailable("the node is starting")
        .hint("try again in a moment")
        .into())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_is_one() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc", Some("abc")),
            ("Basic abc", None),
            ("abc", None),
            ("Bearer", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers), token, "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
