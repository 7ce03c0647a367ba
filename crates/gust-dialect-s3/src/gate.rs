//! One request, from its head to its answer: bounded, checked for what the signature must cover, counted, and named.
//!
//! Easily overlooked: a header that is not signed may come from anybody who holds a presigned URL. `x-amz-copy-source` put
//! beside such a URL would make a put of one key a copy of any other, so every `x-amz-` header has to be signed.

use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use s3s::{
    S3Error, S3ErrorCode, S3Result, StdError,
    config::{S3Config, StaticConfigProvider},
    s3_error,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    Door, Inner,
    access::Visit,
    body::{Coming, Going},
};
use gust_backend::counts::Counters;

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
        if let Err(error) = check(&request).and_then(|signed| raise(&mut request, signed)) {
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

/// How a request is signed. One that is not goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signed {
    InHead,
    InUrl,
}

/// Refuses what the protocol's library would let in. Names in the query are compared as the library does: decoded.
fn check<B>(request: &Request<B>) -> S3Result<Signed> {
    bounded(request)?;
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
        (None, None) => Err(s3_error!(AccessDenied, "the request is not signed")),
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
            covered(headers, names.unwrap_or_default(), &[])?;
            Ok(Signed::InHead)
        }
        (None, Some(_)) => {
            let decoded = |name| parameter(query, name).unwrap_or_default();
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
            covered(headers, &signed, &["x-amz-content-sha256"])?;
            Ok(Signed::InUrl)
        }
    }
}

/// What the query of a signed URL may say of the signature.
const OF_SIGNATURES: &[&str] = &[
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];
/// Bytes of a request's head.
const HEADERS: usize = 64 << 10;
/// Checksums that are known, and what is said of them.
const CHECKSUMS: &[&str] = &[
    "algorithm",
    "crc32",
    "crc32c",
    "crc64nvme",
    "mode",
    "sha1",
    "sha256",
    "type",
];

/// Clients that sign a URL lay headers into its query; there they are signed as well, and mean the same. Anywhere else such
/// a parameter would be ignored.
fn raise<B>(request: &mut Request<B>, signed: Signed) -> S3Result<()> {
    let query = request.uri().query().unwrap_or_default();
    let mut raised = Vec::new();
    for (name, value) in pairs(query) {
        let name = name.to_ascii_lowercase();
        if !name.starts_with("x-amz-") {
            continue;
        }
        let signs = OF_SIGNATURES.contains(&name.as_str());
        match signed {
            Signed::InUrl if signs => {}
            Signed::InUrl => {
                let odd = || s3_error!(InvalidArgument, "not a header: {name}");
                let key = HeaderName::try_from(&name).map_err(|_| odd())?;
                let value = HeaderValue::try_from(value).map_err(|_| odd())?;
                raised.push((key, value));
            }
            Signed::InHead => {
                return Err(s3_error!(
                    InvalidRequest,
                    "this belongs into the head, or into a signed url: {name}"
                ));
            }
        }
    }
    let headers = request.headers_mut();
    for (name, value) in raised {
        if headers.contains_key(&name) {
            return Err(s3_error!(InvalidRequest, "said twice: {name}"));
        }
        headers.insert(name, value);
    }
    for name in headers.keys() {
        let checksum = name.as_str().strip_prefix("x-amz-checksum-");
        if checksum.is_some_and(|of| !CHECKSUMS.contains(&of)) {
            return Err(s3_error!(
                NotImplemented,
                "this checksum is not served here: {name}"
            ));
        }
    }
    Ok(())
}

/// What no request has, whoever sends it.
fn bounded<B>(request: &Request<B>) -> S3Result<()> {
    let (headers, uri) = (request.headers(), request.uri());
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    let target = uri.path_and_query().map_or(0, |of| of.as_str().len());
    if sizes.sum::<usize>() + target > HEADERS {
        let mut error = S3Error::with_message(
            S3ErrorCode::Custom("RequestHeaderSectionTooLarge".into()),
            format!("the head has more than {HEADERS} bytes"),
        );
        error.set_status_code(StatusCode::BAD_REQUEST);
        return Err(error);
    }
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        let mut values = headers.get_all(&name).iter();
        // The library takes an empty condition for none.
        if values.any(|value| value.as_bytes().trim_ascii().is_empty()) {
            return Err(s3_error!(InvalidRequest, "the condition is empty: {name}"));
        }
    }
    let mut seen = HashSet::new();
    for (name, _) in pairs(uri.query().unwrap_or_default()) {
        let name = name.to_ascii_lowercase();
        if name.starts_with("x-amz-") && !seen.insert(name.clone()) {
            return Err(s3_error!(InvalidRequest, "said twice: {name}"));
        }
    }
    Ok(())
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
    let amazons = headers.keys().map(HeaderName::as_str);
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

/// Names and values of a query, decoded.
fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |text: &str| decode(&text.replace('+', " "));
        (plain(name), plain(value))
    })
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = pairs(query);
    pairs.find(|(of, _)| of == name).map(|(_, value)| value)
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
    fn names_in_the_query_are_read_as_the_library_reads_them() {
        let url = "/b/k?X-Amz-Credential=K%2F20260101%2Fr%2Fs3%2Faws4_request&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0";
        for (from, to) in [
            ("X-Amz-Signature", "X-Amz-Signatur%65"),
            ("X-Amz-Signature", "X-Amz-%53ignature"),
            ("X-Amz-Expires", "X-Amz-Expire%73"),
        ] {
            let url = url.replace(from, to);
            let copy = with("PUT", &url, &[("host", "h"), ("x-amz-copy-source", "/b/s")]);
            assert_eq!(code(&copy).as_deref(), Some("AccessDenied"), "{url}");
            let long = with("PUT", &url.replace("=60", "=864000"), &[("host", "h")]);
            let wanted = Some("AuthorizationQueryParametersError");
            assert_eq!(code(&long).as_deref(), wanted, "{url}");
        }
        let old = with(
            "GET",
            "/b/k?AWSAccessKey%49d=K&Signatur%65=x&Expires=1",
            &[],
        );
        assert_eq!(code(&old).as_deref(), Some("InvalidRequest"));
        let twice = with("PUT", &format!("{url}&x-amz-%65xpires=9"), &[("host", "h")]);
        assert_eq!(code(&twice).as_deref(), Some("InvalidRequest"));
    }

    #[test]
    fn headers_in_signed_urls_are_headers() {
        let raised = |query: &str, signed| {
            let mut request = with("PUT", &format!("/b/k?{query}"), &[("x-amz-acl", "private")]);
            let raised = raise(&mut request, signed);
            raised.map(|()| request.headers().clone())
        };
        let headers = raised(
            "x-amz-tagging=a%3Db&X-Amz-Date=1&x-id=PutObject",
            Signed::InUrl,
        )
        .unwrap();
        assert_eq!(headers["x-amz-tagging"], "a=b");
        assert_eq!(headers.len(), 2);
        for (query, signed) in [
            ("x-amz-acl=public-read", Signed::InUrl),
            ("x-amz-meta-a=%0a", Signed::InUrl),
            ("x-amz-checksum-sha512=AAAA", Signed::InUrl),
            ("x-amz-tagging=a", Signed::InHead),
            ("x-amz-%74agging=a", Signed::InHead),
        ] {
            assert!(raised(query, signed).is_err(), "{query} {signed:?}");
        }
    }

    #[test]
    fn what_no_request_has_is_refused() {
        for (target, headers, wanted) in [
            ("/b/k", vec![("if-match", "")], Some("InvalidRequest")),
            ("/b/k", vec![("if-none-match", " ")], Some("InvalidRequest")),
        ] {
            assert_eq!(
                code(&with("GET", target, &headers)).as_deref(),
                wanted,
                "{target}"
            );
        }
        let long = "x".repeat(70_000);
        let request = with("GET", "/b/k", &[("x-long", &long)]);
        assert_eq!(
            code(&request).as_deref(),
            Some("RequestHeaderSectionTooLarge")
        );
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
        let plain = with("GET", "/b/k", &[]);
        assert_eq!(code(&plain).as_deref(), Some("AccessDenied"));
    }
}
