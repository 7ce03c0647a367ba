//! `fermyon:spin/http` of Spin 1: whole requests and responses, in memory.

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::{
    View,
    outbound::Sender,
    wit::spin1::fermyon::spin::{
        http::Host,
        http_types::{self, HttpError, Method as SpinMethod, Request, Response},
    },
};
use crate::fields;

/// The largest response body that is collected for a guest.
const BODY: usize = 16 << 20;

impl http_types::Host for View<'_> {}

impl Host for View<'_> {
    async fn send_request(
        &mut self,
        request: Request,
    ) -> wasmtime::Result<Result<Response, HttpError>> {
        let sender = Sender::of(self.scope);
        Ok(match wanted(request) {
            Ok(request) => send(sender, request).await,
            Err(refused) => Err(refused),
        })
    }
}

async fn send(sender: Sender, request: http::Request<WasiBody>) -> Result<Response, HttpError> {
    let response = sender.send(request, RequestOptions::default()).await;
    let (head, body) = response.map_err(|e| of(&e))?.into_parts();
    let body = Limited::new(body, BODY).collect().await.map_err(|error| {
        tracing::debug!(%error, "a response's body could not be collected for a guest");
        HttpError::RuntimeError
    })?;
    Ok(Response {
        status: head.status.as_u16(),
        headers: Some(texts(&head.headers)?),
        body: Some(body.to_bytes().into()),
    })
}

fn wanted(request: Request) -> Result<http::Request<WasiBody>, HttpError> {
    let mut wanted = http::Request::new(body(request.body));
    *wanted.method_mut() = method(request.method);
    *wanted.uri_mut() = uri(&request.uri, &request.params)?;
    *wanted.headers_mut() = fields::map(request.headers).map_err(|_| HttpError::RequestError)?;
    Ok(wanted)
}

/// `params` are appended to the query, encoded.
fn uri(uri: &str, params: &[(String, String)]) -> Result<http::Uri, HttpError> {
    if params.is_empty() {
        return uri.parse().map_err(|_| HttpError::InvalidUrl);
    }
    let mut whole = uri.to_owned();
    for (name, value) in params {
        whole.push(if whole.contains('?') { '&' } else { '?' });
        encode(name, &mut whole);
        whole.push('=');
        encode(value, &mut whole);
    }
    whole.parse().map_err(|_| HttpError::InvalidUrl)
}

fn encode(text: &str, to: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            to.push(char::from(byte));
        } else {
            to.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn body(body: Option<Vec<u8>>) -> WasiBody {
    match body {
        Some(bytes) => Full::new(Bytes::from(bytes))
            .map_err(|never| match never {})
            .boxed_unsync(),
        None => Empty::new().map_err(|never| match never {}).boxed_unsync(),
    }
}

fn method(method: SpinMethod) -> Method {
    match method {
        SpinMethod::Get => Method::GET,
        SpinMethod::Post => Method::POST,
        SpinMethod::Put => Method::PUT,
        SpinMethod::Delete => Method::DELETE,
        SpinMethod::Patch => Method::PATCH,
        SpinMethod::Head => Method::HEAD,
        SpinMethod::Options => Method::OPTIONS,
    }
}

/// A header that is not text cannot be told to such a guest.
fn texts(headers: &HeaderMap) -> Result<Vec<(String, String)>, HttpError> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = std::str::from_utf8(value.as_bytes());
            let value = value.map_err(|_| HttpError::RuntimeError)?;
            Ok((name.to_string(), value.to_owned()))
        })
        .collect()
}

fn of(error: &Error) -> HttpError {
    match error {
        Error::HttpRequestDenied | Error::DestinationIpProhibited => {
            HttpError::DestinationNotAllowed
        }
        Error::HttpRequestUriInvalid | Error::HttpProtocolError => HttpError::InvalidUrl,
        Error::ConnectionLimitReached => HttpError::TooManyRequests,
        Error::InternalError(_) => HttpError::RuntimeError,
        _ => HttpError::RequestError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_headers_than_fit_are_the_guests_error() {
        let request = Request {
            method: SpinMethod::Get,
            uri: "http://x.y/".to_owned(),
            headers: (0..40_000)
                .map(|n| (format!("x{n}"), String::new()))
                .collect(),
            params: Vec::new(),
            body: None,
        };
        assert_eq!(wanted(request).unwrap_err(), HttpError::RequestError);
    }

    #[test]
    fn parameters_join_the_query() {
        let params = [
            ("a b".to_owned(), "c&d".to_owned()),
            ("e".to_owned(), String::new()),
        ];
        let found = uri("http://x.y/p?q=1", &params).unwrap();
        assert_eq!(found, "http://x.y/p?q=1&a%20b=c%26d&e=");
        assert_eq!(uri("/p", &params[1..]).unwrap(), "/p?e=");
        assert_eq!(uri("not a url", &[]), Err(HttpError::InvalidUrl));
    }
}
