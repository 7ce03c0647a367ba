//! Errors as answers.

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use gust_api::{
    Problem,
    problem::MEDIA_TYPE,
    render::{Audience, log_line, render, row},
};
use gust_dispatch::Refused;
use gust_types::{Blame, Error, Kind, error::TooLarge};
use http::{HeaderValue, StatusCode, header};

use super::gates::RequestId;

/// The result of a handler.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// An error and, where HTTP has a word of its own for it, its status.
#[derive(Debug)]
pub(crate) struct ApiError {
    error: Error,
    status: Option<StatusCode>,
}

// === impl ApiError ===

impl ApiError {
    /// An error with a status that the table does not give it.
    pub(crate) fn with(error: Error, status: StatusCode) -> Self {
        Self {
            error,
            status: Some(status),
        }
    }

    /// A body that is longer than it may be.
    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the request body may have this many bytes: {limit}");
        Self::with(Error::invalid(message), StatusCode::PAYLOAD_TOO_LARGE)
    }

    /// The answer where only the request is at hand.
    pub(super) fn respond(self, request: &Request) -> Response {
        let id = request.extensions().get::<RequestId>().cloned();
        let mut response = self.into_response();
        if let Some(id) = id {
            finish(&mut response, &id);
        }
        response
    }

    fn status(&self) -> StatusCode {
        let of_table = || {
            let refused = Refused::of(&self.error).map(|r| r.status());
            let status = refused.unwrap_or_else(|| row(self.error.kind, self.error.blame).status);
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        };
        self.status.unwrap_or_else(of_table)
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let too_large = error.caused_by::<TooLarge>().is_some();
        Self {
            status: too_large.then_some(StatusCode::PAYLOAD_TOO_LARGE),
            error,
        }
    }
}

impl IntoResponse for ApiError {
    /// The gates fill in the request id and write the log, see [`finish`].
    fn into_response(self) -> Response {
        let status = self.status();
        // What has a status of its own is not what the table thinks of.
        let row = Some(row(self.error.kind, self.error.blame)).filter(|_| self.status.is_none());
        let retry_after = row.and_then(|row| row.retry_after).map(u64::from);
        let retry_after = Refused::of(&self.error)
            .and_then(|r| r.retry_after_secs())
            .or(retry_after);
        let mut response = status.into_response();
        if let Some(secs) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
            .extensions_mut()
            .insert(Failed(std::sync::Arc::new(self.error)));
        response
    }
}

/// Left in an answer for the gates.
#[derive(Clone)]
pub(super) struct Failed(std::sync::Arc<Error>);

/// Gives a failed answer its body, with the request's id, and tells the log.
pub(super) fn finish(response: &mut Response, id: &RequestId) {
    let Some(Failed(error)) = response.extensions_mut().remove::<Failed>() else {
        return;
    };
    let problem = problem(&error, response.status(), &id.0);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    *response.body_mut() = body.into();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
}

/// The error as its owner may see it; what is ours goes to the log.
pub(super) fn problem(error: &Error, status: StatusCode, id: &str) -> Problem {
    match (error.blame, error.kind) {
        (Blame::Platform, Kind::Internal) => {
            tracing::error!(request_id = id, error = log_line(error), "a request failed");
        }
        (Blame::Platform, _) => {
            tracing::warn!(
                request_id = id,
                error = log_line(error),
                "a request was not served"
            );
        }
        _ => tracing::debug!(
            request_id = id,
            error = log_line(error),
            "a request was refused"
        ),
    }
    let mut problem = render(error, Audience::Owner, Some(id.to_owned()));
    problem.status = status.as_u16();
    problem
}

/// The line of a stream that failed after its head was sent.
pub(super) fn line(error: &Error, id: &str) -> Problem {
    let status = StatusCode::from_u16(row(error.kind, error.blame).status);
    problem(
        error,
        status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        id,
    )
}
