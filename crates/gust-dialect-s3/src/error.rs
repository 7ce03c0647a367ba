//! Errors in the words of S3.

use gust_types::{Blame, Error, Kind};
use s3s::{S3Error, S3ErrorCode, StdError};

/// What went wrong behind the door. What is ours goes to the log and not to the caller.
pub(crate) fn of(error: Error) -> S3Error {
    use S3ErrorCode as Code;
    let code = match (error.kind, error.blame) {
        (Kind::Invalid, _) => Code::InvalidArgument,
        (Kind::Denied, _) => Code::AccessDenied,
        (Kind::NotFound, _) => Code::NoSuchKey,
        (Kind::Conflict, _) => Code::PreconditionFailed,
        (Kind::Exhausted, Blame::Platform) => Code::ServiceUnavailable,
        (Kind::Exhausted, _) => Code::EntityTooLarge,
        (Kind::Unavailable, _) => Code::SlowDown,
        (Kind::Timeout, _) => Code::RequestTimeout,
        (Kind::Failed, _) => Code::IncompleteBody,
        (Kind::Internal, _) => Code::InternalError,
    };
    if error.blame == Blame::Platform {
        tracing::warn!(error = error.chain(), "an s3 request failed");
    }
    match code {
        Code::InternalError => S3Error::with_message(code, "the node failed; its log knows why"),
        code => S3Error::with_message(code, error.message),
    }
}

/// The same, for one code where S3 has a better one.
pub(crate) fn with(kind: Kind, code: S3ErrorCode) -> impl FnOnce(Error) -> S3Error {
    move |error| match error.kind == kind && error.blame != Blame::Platform {
        true => S3Error::with_message(code, error.message),
        false => of(error),
    }
}

/// Why the bytes of a request broke off. Their reader has no other words for it than text.
pub(crate) fn broken(error: &StdError) -> S3Error {
    use S3ErrorCode as Code;
    let text = error.to_string();
    let says = |what: &str| text.contains(what);
    let (code, message) = if says("Sha256Mismatch") {
        let code = Code::Custom("XAmzContentSHA256Mismatch".into());
        let mut error = S3Error::with_message(code, "the bytes do not have the signed checksum");
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        return error;
    } else if says("SignatureMismatch") {
        let message = "the signature of a chunk is not good";
        (Code::SignatureDoesNotMatch, message)
    } else if says(crate::gate::PAUSED) {
        (Code::RequestTimeout, crate::gate::PAUSED)
    } else if says("Too") || says("FormatError") {
        (
            Code::InvalidRequest,
            "the chunks of the body are not well formed",
        )
    } else {
        (
            Code::IncompleteBody,
            "the body ended before its length, or went on behind it",
        )
    };
    S3Error::with_message(code, message)
}
