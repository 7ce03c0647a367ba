//! Answers on their way out: a function's, cleaned of what is for one connection; fixed ones, as they are.

use gust_dispatch::FixedResponse;
use gust_types::{Blame, Error, Kind, Reply, call::CallId};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_LENGTH};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::{accept, body::ReplyBody, refuse::Refuse};

pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id as a header's value.
pub(crate) fn request_id(id: CallId) -> HeaderValue {
    let mut text = [0; 32];
    let written = hex::encode_to_slice(id.0.to_be_bytes(), &mut text);
    written
        .ok()
        .and_then(|()| HeaderValue::from_bytes(&text).ok())
        .unwrap_or(HeaderValue::from_static(""))
}

/// A function's answer. All that is added is the id that its log and its record know the call by; what would break the
/// connection is refused.
pub(crate) fn of_function(reply: Reply, id: CallId) -> Result<Response<ReplyBody>, Refuse> {
    let (mut head, body) = reply.into_parts();
    if head.status.is_informational() {
        return Err(invalid(
            "the function's answer has a status that does not end a call",
        ));
    }
    accept::strip_hop_by_hop(&mut head.headers);
    if !length_is_honest(&head.headers, body.size_hint().exact(), head.status) {
        return Err(invalid(
            "the function's answer is not as long as its content-length says",
        ));
    }
    let answer = Response::from_parts(head, ReplyBody::stream(body));
    Ok(with_id(answer, id))
}

/// The answer with the id of its request, unless whoever made it gave it one.
pub(crate) fn with_id(mut answer: Response<ReplyBody>, id: CallId) -> Response<ReplyBody> {
    answer
        .headers_mut()
        .entry(&REQUEST_ID)
        .or_insert_with(|| request_id(id));
    answer
}

fn invalid(why: &str) -> Refuse {
    Error::new(Kind::Invalid, Blame::Function, why).into()
}

/// One length at most, a number, and the body's own where that is known. Answers without a body may say what the
/// length would have been.
fn length_is_honest(headers: &HeaderMap, known: Option<u64>, status: StatusCode) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(said) = lengths.next() else {
        return true;
    };
    let number = said
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let Some(said) = number.and_then(|text| text.parse::<u64>().ok()) else {
        return false;
    };
    lengths.next().is_none()
        && (known.is_none_or(|known| known == said || known == 0) || has_no_body(status))
}

/// A fixed answer.
pub(crate) fn fixed(fixed: &FixedResponse) -> Response<ReplyBody> {
    let mut answer = Response::new(ReplyBody::bytes(fixed.body.clone()));
    *answer.status_mut() = fixed.status;
    *answer.headers_mut() = fixed.headers.clone();
    accept::strip_hop_by_hop(answer.headers_mut());
    answer.headers_mut().remove(CONTENT_LENGTH);
    answer
}

/// Takes the body from answers that have none by rule: to HEAD, and of a status that never has one.
pub(crate) fn finish(answer: &mut Response<ReplyBody>, is_head: bool) {
    let status = answer.status();
    if !is_head && !has_no_body(status) {
        return;
    }
    let known = answer.body().size_hint().exact();
    if status == StatusCode::NO_CONTENT {
        answer.headers_mut().remove(CONTENT_LENGTH);
    } else if is_head
        && let Some(length) = known.filter(|length| *length > 0)
        && !answer.headers().contains_key(CONTENT_LENGTH)
    {
        answer
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(mut body) = answer.body_mut().take_stream()
        && !body.is_end_stream()
    {
        // Dropping it would cut the function off, as if the caller had gone. Its own limits end it.
        gust_task::spawn("unread-body", async move {
            while let Some(Ok(_)) = body.frame().await {}
        });
    }
}

fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
