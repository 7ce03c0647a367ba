//! One request, from its head to its answer: bounded, checked for what the signature must cover, counted, and named.
//!
//! Easily overlooked: a header that is not signed may come from anybody who holds a presigned URL. `x-amz-copy-source` put
//! beside such a URL would make a put of one key a copy of any other, so every `x-amz-` header has to be signed.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use s3s::{
    S3Error, S3Result, StdError,
    config::{S3Config, StaticConfigProvider},
    s3_error,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    Door, Inner,
    access::Visit,
    body::{Coming, Going},
    counts::Counters,
};

/// Bytes of a document: 10,000 parts with their checksums have room in it.
const DOCUMENT: usize = 4 << 20;
/// The longest pause in the body of a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is said of a longer one.
pub(crate) const PAUSED: &str = "the body did not go on in time";
/// The longest time to the head of an answer: the largest object at a modest pace.
const HEAD: Duration = Duration::from_secs(3600);
/// Clocks may differ by so much, in seconds.
const SKEW: u32 = 900;
/// A presigned URL is good for so long, in seconds: seven days.
const PRESIGNED: u64 = 7 * 24 * 3600;

pub(crate) type Answer = Response<Going<Option<OwnedSemaphorePermit>>>;

/// What the protocol's library is told.
pub(crate) fn limits() -> Arc<StaticConfigProvider> {
    let mut config = S3Config::default();
    config.xml_max_body_size = DOCUMENT;
    config.presigned_url_max_skew_time_secs = SKEW;
    // Forms are refused before they are read.
    config.post_object_max_file_size = 0;
    config.form_max_field_size = 0;
    config.form_max_fields_size = 0;
    config.form_max_parts = 0;
    Arc::new(StaticConfigProvider::new(Arc::new(config)))
}

impl Door {
    /// Answers a request, whatever happens.
    pub(crate) async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        let id = gust_task::ids::call_id().to_string();
        let place = self.0.places.clone().try_acquire_owned();
        let (answer, counters, place) = match place {
            Ok(place) => {
                let (answer, counters) = self.0.pass(request).await;
                (answer, counters, Some(place))
            }
            Err(_) => (
                Err(s3_error!(SlowDown, "too many requests are under way")),
                None,
                None,
            ),
        };
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(mut error) => {
                error.set_request_id(id.clone());
                refusal(error)
            }
        };
        let headers = answer.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert("x-amz-request-id", id);
        }
        headers.insert(header::SERVER, HeaderValue::from_static("gust"));
        answer.map(|body| Going::new(body, counters, place))
    }
}

fn refusal(error: S3Error) -> Response<s3s::Body> {
    error.to_http_response().unwrap_or_else(|_| {
        let mut answer = Response::new(s3s::Body::empty());
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        answer
    })
}

/// Why a document could not be read: the protocol's library takes it for a fault of its own.
fn no_document(came: u64) -> S3Error {
    match came > DOCUMENT as u64 {
        true => s3_error!(
            MaxMessageLengthExceeded,
            "a document has at most {DOCUMENT} bytes"
        ),
        false => s3_error!(
            IncompleteBody,
            "the document broke off, or is not what was signed"
        ),
    }
}

impl Inner {
    /// The answer, and who it is counted for.
    async fn pass<B>(
        &self,
        mut request: Request<B>,
    ) -> (S3Result<Response<s3s::Body>>, Option<Arc<Counters>>)
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        if let Err(error) = check(&request) {
            return (Err(error), None);
        }
        let (visit, came) = (Visit::default(), Arc::new(AtomicU64::new(0)));
        request.extensions_mut().insert(visit.clone());
        let coming = came.clone();
        let request =
            request.map(|body| s3s::Body::http_body_unsync(Coming::new(body, PATIENCE, coming)));
        let call = AssertUnwindSafe(self.service.call(request)).catch_unwind();
        let answer = match tokio::time::timeout(HEAD, call).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => {
                let error = StdError::from(error);
                tracing::error!(%error, "an s3 answer cannot be written");
                Err(s3_error!(InternalError, "the answer cannot be written"))
            }
            Ok(Err(panic)) => {
                let panic = gust_task::panic_text(&*panic);
                tracing::error!(panic, "an s3 operation panicked");
                Err(s3_error!(
                    InternalError,
                    "the node failed; its log knows why"
                ))
            }
            Err(_) => Err(s3_error!(RequestTimeout, "the request took too long")),
        };
        let known = visit.0.get();
        let answer = match answer {
            Ok(answer) if answer.status() == StatusCode::INTERNAL_SERVER_ERROR => {
                match known.is_some_and(|known| !known.begun.load(Relaxed)) {
                    true => Err(no_document(came.load(Relaxed))),
                    false => Ok(answer),
                }
            }
            answer => answer,
        };
        let counters = known.map(|known| {
            let counters = self.counts.of(&known.project);
            counters.operation(known.operation.class);
            counters.came(came.load(Relaxed));
            counters
        });
        (answer, counters)
    }
}

/// Refuses what the protocol's library would let in.
fn check<B>(request: &Request<B>) -> S3Result<()> {
    let (headers, query) = (request.headers(), request.uri().query().unwrap_or_default());
    let authorization = headers.get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().unwrap_or_default());
    let old = authorization.is_some_and(|value| value.starts_with("AWS "));
    if old
        || parameter(query, "Signature").is_some()
        || parameter(query, "AWSAccessKeyId").is_some()
    {
        return Err(s3_error!(
            InvalidRequest,
            "sign with AWS4-HMAC-SHA256; the aws command line signs urls so in every region but us-east-1"
        ));
    }
    if request.method() == Method::POST && is_form(headers) {
        return Err(s3_error!(NotImplemented, "PostObject is not served here"));
    }
    if request.method() == Method::OPTIONS {
        return Err(s3_error!(
            NotImplemented,
            "preflight requests (CORS) are not served here"
        ));
    }
    if headers.get_all(header::AUTHORIZATION).iter().count() > 1 {
        return Err(s3_error!(InvalidRequest, "the request is signed twice"));
    }
    match (authorization, parameter(query, "X-Amz-Signature")) {
        (None, None) => Ok(()),
        (Some(_), Some(_)) => Err(s3_error!(InvalidRequest, "the request is signed twice")),
        (Some(value), None) => {
            let parts = value.split([',', ' ']).map(str::trim);
            let scope = parts
                .clone()
                .find_map(|part| part.strip_prefix("Credential="));
            let names = parts
                .clone()
                .find_map(|part| part.strip_prefix("SignedHeaders="));
            service(scope.unwrap_or_default())?;
            covered(headers, names.unwrap_or_default(), &[])
        }
        (None, Some(_)) => {
            let decoded = |name| parameter(query, name).map(decode).unwrap_or_default();
            let good_for = decoded("X-Amz-Expires").parse::<u64>();
            if !good_for.is_ok_and(|secs| (1..=PRESIGNED).contains(&secs)) {
                return Err(s3_error!(
                    AuthorizationQueryParametersError,
                    "a url is good for 1 to {PRESIGNED} seconds"
                ));
            }
            service(&decoded("X-Amz-Credential"))?;
            let signed = decoded("X-Amz-SignedHeaders");
            // Whoever signed could not know the bytes, and says nothing by naming their checksum.
            covered(headers, &signed, &["x-amz-content-sha256"])
        }
    }
}

/// Only this service's signatures count: those for another may have been made for other ends.
fn service(scope: &str) -> S3Result<()> {
    match scope.rsplit('/').nth(1) {
        Some("s3") => Ok(()),
        _ => Err(s3_error!(
            AuthorizationHeaderMalformed,
            "sign for the service s3"
        )),
    }
}

/// The host and every header of Amazon's must be signed.
fn covered(headers: &HeaderMap, signed: &str, but: &[&str]) -> S3Result<()> {
    let signed: Vec<_> = signed.split(';').collect();
    let is_signed = |name: &str| signed.iter().any(|of| of.eq_ignore_ascii_case(name));
    let amazons = headers.keys().map(header::HeaderName::as_str);
    let amazons = amazons.filter(|name| name.starts_with("x-amz-") && !but.contains(name));
    match amazons.chain(["host"]).find(|name| !is_signed(name)) {
        Some(name) => Err(s3_error!(AccessDenied, "this header is not signed: {name}")),
        None => Ok(()),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE);
    let media = media
        .and_then(|media| media.to_str().ok())
        .unwrap_or_default();
    let start = media.trim_start().get(..19).unwrap_or_default();
    start.eq_ignore_ascii_case("multipart/form-data")
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&');
    let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(of, _)| *of == name).map(|(_, value)| value)
}

fn decode(text: &str) -> String {
    let text = percent_encoding::percent_decode_str(text);
    text.decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(request: &Request<()>) -> Option<String> {
        let refused = check(request).err();
        refused.map(|error| error.code().as_str().to_owned())
    }

    fn with(method: &str, target: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn what_is_not_signed_does_not_count() {
        let signed = |names: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential=K/20260101/us-east-1/s3/aws4_request, SignedHeaders={names}, Signature=0"
            )
        };
        let all = signed("host;x-amz-date");
        for (authorization, extra, wanted) in [
            (all.as_str(), None, None),
            (&all, Some("x-amz-copy-source"), Some("AccessDenied")),
            (&all, Some("x-amz-meta-a"), Some("AccessDenied")),
            (&all, Some("range"), None),
            (&signed("x-amz-date"), None, Some("AccessDenied")),
            (
                &all.replace("/s3/", "/sts/"),
                None,
                Some("AuthorizationHeaderMalformed"),
            ),
            ("AWS K:0000", None, Some("InvalidRequest")),
            ("Bearer x", None, Some("AuthorizationHeaderMalformed")),
        ] {
            let mut headers = vec![
                ("host", "h"),
                ("x-amz-date", "x"),
                ("authorization", authorization),
            ];
            headers.extend(extra.map(|name| (name, "x")));
            let request = with("PUT", "/b/k", &headers);
            assert_eq!(
                code(&request).as_deref(),
                wanted,
                "{authorization} {extra:?}"
            );
        }
    }

    #[test]
    fn presigned_urls_cover_what_they_say() {
        let url = |expires: &str| {
            format!(
                "/b/k?X-Amz-Credential=K%2F20260101%2Fr%2Fs3%2Faws4_request&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host&X-Amz-Signature=0"
            )
        };
        for (expires, header, wanted) in [
            ("60", None, None),
            ("604800", Some("x-amz-content-sha256"), None),
            ("604801", None, Some("AuthorizationQueryParametersError")),
            ("0", None, Some("AuthorizationQueryParametersError")),
            ("-1", None, Some("AuthorizationQueryParametersError")),
            ("60", Some("x-amz-copy-source"), Some("AccessDenied")),
            ("60", Some("authorization"), Some("InvalidRequest")),
        ] {
            let mut headers = vec![("host", "h")];
            headers.extend(header.map(|name| (name, "x")));
            let request = with("PUT", &url(expires), &headers);
            assert_eq!(code(&request).as_deref(), wanted, "{expires} {header:?}");
        }
        let old = with("GET", "/b/k?AWSAccessKeyId=K&Signature=x&Expires=1", &[]);
        assert_eq!(code(&old).as_deref(), Some("InvalidRequest"));
    }

    #[test]
    fn forms_and_preflights_are_refused_by_name() {
        let form = with(
            "POST",
            "/b",
            &[("content-type", "Multipart/Form-Data; boundary=x")],
        );
        assert_eq!(code(&form).as_deref(), Some("NotImplemented"));
        let preflight = with("OPTIONS", "/b/k", &[]);
        assert_eq!(code(&preflight).as_deref(), Some("NotImplemented"));
        assert_eq!(code(&with("GET", "/b/k", &[])), None);
    }
}
