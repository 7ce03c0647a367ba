//! Buckets and their objects. What is said of an object stands in headers, its bytes are the body, both ways.

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use gust_api::{
    Problem,
    blob::{
        Buckets, Object as Shown, Objects, ObjectsQuery, SHA256, Scrub, Scrubbed, VERSION,
        read_metadata, write_metadata,
    },
};
use gust_backend::blob::{ByteRange, Condition, GetOptions, Got, Object, PutOptions};
use gust_types::{Blame, Error, Kind, Label, ProjectName, Result};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use super::{
    error::{ApiError, ApiResult},
    extract::{Answer, Json, Path, Query, ok},
};
use crate::{
    blobs::{none, show, theirs},
    control::Control,
};

/// The longest silence between two pieces.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a refused put is read on, so that its sender hears the refusal.
const DRAIN: Duration = Duration::from_secs(5);
/// Pieces that wait for the bucket.
const PIECES: usize = 4;

/// The buckets of a project that anything was ever put into.
#[utoipa::path(
    get, path = "/v1/projects/{project}/blobs", tag = "blobs", operation_id = "list_buckets",
    params(("project" = String, Path)),
    responses((status = 200, description = "By name.", body = Buckets))
)]
pub(crate) async fn buckets(
    State(control): State<Control>,
    Path(project): Path<ProjectName>,
) -> ApiResult<Answer<Buckets>> {
    let buckets = control.buckets(&project).await?;
    Ok(ok(Buckets { buckets }))
}

/// Objects of a bucket, by key. One that nothing was ever put into is empty.
#[utoipa::path(
    get, path = "/v1/projects/{project}/blobs/{bucket}", tag = "blobs", operation_id = "list_objects",
    params(("project" = String, Path), ("bucket" = String, Path), ObjectsQuery),
    responses((status = 200, description = "Some of them; `next` says where to go on.", body = Objects))
)]
pub(crate) async fn list(
    State(control): State<Control>,
    Path((project, bucket)): Path<(ProjectName, Label)>,
    Query(query): Query<ObjectsQuery>,
) -> ApiResult<Answer<Objects>> {
    Ok(ok(control.objects(&project, &bucket, query).await?))
}

/// Reads objects whole, for some seconds, and says which are damaged; `next` says where to go on.
#[utoipa::path(
    post, path = "/v1/projects/{project}/scrub/{bucket}", tag = "blobs", operation_id = "scrub_bucket",
    params(("project" = String, Path), ("bucket" = String, Path)),
    request_body = Scrub,
    responses((status = 200, description = "What was found.", body = Scrubbed))
)]
pub(crate) async fn scrub(
    State(control): State<Control>,
    Path((project, bucket)): Path<(ProjectName, Label)>,
    Json(scrub): Json<Scrub, { 16 << 10 }>,
) -> ApiResult<Answer<Scrubbed>> {
    Ok(ok(control.scrub(&project, &bucket, scrub).await?))
}

/// Puts an object. It is whole and durable when this answers.
///
/// `content-type` and `x-gust-meta-…` are kept with it; `x-gust-sha256` is held against its bytes.
#[utoipa::path(
    put, path = "/v1/projects/{project}/blobs/{bucket}/{*key}", tag = "blobs", operation_id = "put_object",
    params(
        ("project" = String, Path), ("bucket" = String, Path),
        ("key" = String, Path, description = "1 to 1,024 bytes, percent-encoded; slashes may stand as they are."),
        ("if-none-match" = Option<String>, Header, description = "`*`: only when there is no such object."),
        ("if-match" = Option<String>, Header, description = "Only when the object has one of these etags; `*` for any.")
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "What it is now.", body = Shown),
        (status = 412, description = "The condition does not hold.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "It is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn put(
    State(control): State<Control>,
    Path((project, bucket, key)): Path<(ProjectName, Label, String)>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let bucket = control.bucket(&project, &bucket).await?;
    let options = put_options(&headers)?;
    let (pieces, inbox) = mpsc::channel(PIECES);
    let inbox = stream::unfold(inbox, async |mut inbox: mpsc::Receiver<Result<Bytes>>| {
        Some((inbox.recv().await?, inbox))
    });
    let put = bucket.put(&key, inbox.boxed(), options);
    let (put, ()) = tokio::join!(put, feed(body, pieces));
    let object = put.map_err(refusal)?;
    let etag = etag(&object)?;
    let mut response = ok(show(key, object)).into_response();
    response.headers_mut().insert(header::ETAG, etag);
    Ok(response)
}

/// Gets an object, or with `range` some of it; `HEAD` for what is said of it alone.
#[utoipa::path(
    get, path = "/v1/projects/{project}/blobs/{bucket}/{*key}", tag = "blobs", operation_id = "get_object",
    params(
        ("project" = String, Path), ("bucket" = String, Path), ("key" = String, Path),
        ("range" = Option<String>, Header, description = "One range of bytes, such as `bytes=0-99`."),
        ("if-range" = Option<String>, Header, description = "The range only of the object with this etag, else all of it."),
        ("if-match" = Option<String>, Header, description = "Only an object with one of these etags."),
        ("if-none-match" = Option<String>, Header, description = "Only an object with none of these etags.")
    ),
    responses(
        (status = 200, description = "Its bytes. They break off when they are not what was put.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "Some of its bytes.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "It has one of the etags."),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It has none of the etags.", body = Problem, content_type = "application/problem+json"),
        (status = 416, description = "It has none of these bytes.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn get(
    State(control): State<Control>,
    Path((project, name, key)): Path<(ProjectName, Label, String)>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let bucket = control.bucket(&project, &name).await?;
    let options = GetOptions {
        range: text(&headers, header::RANGE).and_then(range),
        if_match: etags(&headers, header::IF_MATCH)?,
        if_none_match: etags(&headers, header::IF_NONE_MATCH)?,
    };
    // A date or a weak etag is never the same.
    let if_range = text(&headers, header::IF_RANGE).map(|etag| etag.trim_matches('"').to_owned());
    let got = control.object(&*bucket, &key, options, if_range).await;
    match got.map_err(refusal)? {
        Got::Absent => Err(none(&name, &key).into()),
        Got::Unchanged(object) => {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            response.headers_mut().insert(header::ETAG, etag(&object)?);
            Ok(response)
        }
        Got::OutOfRange(object) => {
            let error = Error::invalid(format!(
                "the object has no such bytes; bytes that it has: {}",
                object.size
            ));
            Err(ApiError::with(error, StatusCode::RANGE_NOT_SATISFIABLE))
        }
        Got::Found(found) => {
            let told = format!("{name}/{key}");
            let body = found.body.inspect_err(move |error| {
                tracing::error!(
                    object = told,
                    error = error.chain(),
                    "an object is not read to its end"
                );
            });
            let mut response = Body::from_stream(body).into_response();
            let whole = found.range == (0..found.object.size);
            let headers = response.headers_mut();
            say(&found.object, headers)?;
            headers.insert(
                header::CONTENT_LENGTH,
                (found.range.end - found.range.start).into(),
            );
            if !whole {
                let (first, last) = (found.range.start, found.range.end - 1);
                let text = format!("bytes {first}-{last}/{}", found.object.size);
                headers.insert(header::CONTENT_RANGE, value(&text)?);
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            }
            Ok(response)
        }
    }
}

/// Removes an object.
#[utoipa::path(
    delete, path = "/v1/projects/{project}/blobs/{bucket}/{*key}", tag = "blobs", operation_id = "delete_object",
    params(
        ("project" = String, Path), ("bucket" = String, Path), ("key" = String, Path),
        ("if-match" = Option<String>, Header, description = "Only when the object has one of these etags.")
    ),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "The condition does not hold.", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn remove(
    State(control): State<Control>,
    Path((project, bucket, key)): Path<(ProjectName, Label, String)>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let condition = condition(&headers)?;
    let removed = control.remove_object(&project, &bucket, &key, condition);
    removed.await.map_err(refusal)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hands the body on, piece by piece, for as long as somebody takes it.
async fn feed(mut body: Body, to: mpsc::Sender<Result<Bytes>>) {
    loop {
        let frame = tokio::select! {
            () = to.closed() => break,
            frame = tokio::time::timeout(SILENCE, body.frame()) => frame,
        };
        let piece = match frame {
            Ok(None) => return,
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) => Ok(bytes),
                Err(_) => continue,
            },
            Ok(Some(Err(e))) => Err(Error::invalid("the put broke off").because(e)),
            Err(_) => Err(Error::new(
                Kind::Timeout,
                Blame::Caller,
                "the put fell silent",
            )),
        };
        let over = piece.is_err();
        if to.send(piece).await.is_err() {
            break;
        }
        if over {
            return;
        }
    }
    let rest = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(DRAIN, rest).await;
}

fn put_options(headers: &HeaderMap) -> Result<PutOptions> {
    let sha256 = text(headers, SHA256).map(|digits| {
        let mut sha256 = [0; 32];
        match hex::decode_to_slice(digits, &mut sha256) {
            Ok(()) => Ok(sha256),
            Err(e) => {
                Err(Error::invalid(format!("not a SHA-256 in hex digits: {digits:?}")).because(e))
            }
        }
    });
    let media = headers.get(header::CONTENT_TYPE);
    let media = media.map(|media| match media.to_str() {
        Ok(media) => Ok(media.to_owned()),
        Err(e) => Err(Error::invalid("the content-type cannot be read").because(e)),
    });
    Ok(PutOptions {
        condition: condition(headers)?,
        content_type: media.transpose()?,
        metadata: read_metadata(headers)?,
        size: text(headers, header::CONTENT_LENGTH).and_then(|size| size.parse().ok()),
        sha256: sha256.transpose()?,
        ..PutOptions::default()
    })
}

/// When a put or a delete applies.
fn condition(headers: &HeaderMap) -> Result<Condition> {
    let (yes, no) = (
        etags(headers, header::IF_MATCH)?,
        etags(headers, header::IF_NONE_MATCH)?,
    );
    match (yes, no) {
        (None, None) => Ok(Condition::Always),
        (None, Some(no)) if no == ["*"] => Ok(Condition::Absent),
        (Some(yes), None) if yes.iter().any(|etag| etag == "*") => Ok(Condition::Present),
        (Some(yes), None) => Ok(Condition::Etag(yes)),
        _ => Err(Error::invalid("conditions that mean nothing together")
            .hint("send if-match with etags, or if-none-match with *")),
    }
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The etags in a header, without quotes.
fn etags(headers: &HeaderMap, name: header::HeaderName) -> Result<Option<Vec<String>>> {
    let mut etags = Vec::new();
    for value in headers.get_all(&name) {
        let fault = || Error::invalid(format!("no list of etags: {name}"));
        let text = value.to_str().map_err(|e| fault().because(e))?;
        for etag in text.split(',').map(str::trim) {
            let etag = etag.strip_prefix("W/").unwrap_or(etag);
            etags.push(etag.trim_matches('"').to_owned());
        }
    }
    Ok((!etags.is_empty()).then_some(etags))
}

/// One range of bytes. Anything else is as if it had not been said, as HTTP wants it.
fn range(text: &str) -> Option<ByteRange> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().ok(),
        false => None,
    };
    match (first.trim(), last.trim()) {
        ("", last) => number(last).map(ByteRange::Last),
        (first, "") => number(first).map(ByteRange::From),
        (first, last) => match (number(first)?, number(last)?) {
            (first, last) if first <= last => Some(ByteRange::Between(first, last)),
            _ => None,
        },
    }
}

/// What is said of an object, as headers.
fn say(object: &Object, headers: &mut HeaderMap) -> Result<()> {
    headers.insert(header::CONTENT_TYPE, value(&object.content_type)?);
    headers.insert(header::ETAG, etag(object)?);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(VERSION, value(&object.version)?);
    headers.insert("x-gust-modified-us", object.modified_us.into());
    write_metadata(&object.metadata, headers)
}

fn etag(object: &Object) -> Result<HeaderValue> {
    value(&format!("\"{}\"", object.etag))
}

fn value(text: &str) -> Result<HeaderValue> {
    let fault = |e| Error::internal(format!("no header can have this: {text:?}")).because(e);
    HeaderValue::try_from(text).map_err(fault)
}

/// An error with the status that HTTP has for it.
fn refusal(error: Error) -> ApiError {
    let error = theirs(error);
    match (error.kind, error.blame) {
        (Kind::Conflict, Blame::Caller) => ApiError::with(error, StatusCode::PRECONDITION_FAILED),
        (Kind::Exhausted, Blame::Caller) => ApiError::with(error, StatusCode::PAYLOAD_TOO_LARGE),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_has_them() {
        for (text, wanted) in [
            ("bytes=0-99", Some(ByteRange::Between(0, 99))),
            ("bytes=5-", Some(ByteRange::From(5))),
            ("bytes=-7", Some(ByteRange::Last(7))),
            ("bytes=9-5", None),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("bytes=+1-2", None),
            ("lines=1-2", None),
            ("bytes=99999999999999999999-", None),
        ] {
            assert_eq!(range(text), wanted, "{text}");
        }
    }

    #[test]
    fn conditions_are_read_as_http_has_them() {
        let of = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| {
                let name = header::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            condition(&headers.collect())
        };
        assert_eq!(of(&[]).unwrap(), Condition::Always);
        assert_eq!(of(&[("if-none-match", "*")]).unwrap(), Condition::Absent);
        assert_eq!(of(&[("if-match", "*")]).unwrap(), Condition::Present);
        let both = Condition::Etag(vec!["a".into(), "b".into()]);
        assert_eq!(of(&[("if-match", "\"a\", W/\"b\"")]).unwrap(), both);
        assert!(of(&[("if-none-match", "\"a\"")]).is_err());
        assert!(of(&[("if-match", "*"), ("if-none-match", "*")]).is_err());
    }
}
