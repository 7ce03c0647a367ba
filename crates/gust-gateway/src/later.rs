//! Callers who would rather not wait: their call is taken over, and made later.
//!
//! Only where the function says so. What becomes of the call is not shown here: whoever may know asks the control API.

use gust_api::later::{
    CALLBACK, IDEMPOTENCY_KEY, PREFERENCE_APPLIED, RESPOND_ASYNC, prefers_async,
};
use gust_backend::desk::{Later, Wishes};
use gust_dispatch::FunctionEntry;
use gust_types::{Body, Call};
use http::{Request, Response, StatusCode};

use crate::{
    body::ReplyBody,
    refuse::Refuse,
    respond::{self, REQUEST_ID},
};

/// Whether the caller wishes it and the function grants it. A wish that is not granted is no fault.
pub(crate) fn is_wanted(request: &Request<Body>, function: &FunctionEntry) -> bool {
    let spec = function.revision().spec.later.as_ref();
    spec.is_some_and(|later| later.public) && prefers_async(request.headers())
}

/// Takes the call over; it is durable when this answers.
pub(crate) async fn accept(
    later: &dyn Later,
    mut call: Call,
    function: &FunctionEntry,
) -> Result<Response<ReplyBody>, Refuse> {
    let callback = gust_api::later::callback(call.request.headers())?;
    let spec = function.revision().spec.later.as_ref();
    if callback.is_some() && !spec.is_some_and(|later| later.callback_public) {
        // Left out in silence, somebody would wait for it for ever.
        let message = "callers from outside may name no callback";
        return Err(Refuse::request(StatusCode::FORBIDDEN, message));
    }
    call.request.headers_mut().remove(CALLBACK);
    let key = call.request.headers().get(IDEMPOTENCY_KEY);
    let key = key.map(|key| key.to_str().map(str::to_owned));
    let key = key.transpose().map_err(|_| {
        Refuse::request(
            StatusCode::BAD_REQUEST,
            "the idempotency-key is not plain text",
        )
    })?;
    let accepted = later.accept(call, Wishes { key, callback }).await?;
    let mut answer = Response::new(ReplyBody::bytes(bytes::Bytes::new()));
    *answer.status_mut() = StatusCode::ACCEPTED;
    let headers = answer.headers_mut();
    headers.insert(&REQUEST_ID, respond::request_id(accepted.id));
    headers.insert(PREFERENCE_APPLIED, RESPOND_ASYNC);
    Ok(answer)
}
