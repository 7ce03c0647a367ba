//! An error on the wire, in the manner of RFC 9457 (`application/problem+json`).

use gust_types::{Blame, Error, Kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema;

/// The media type of a [`Problem`].
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What the node says to a request without a token. The command line knows these two by their words: it can tell where
/// it looked for the token, which the node cannot.
pub const TOKEN_NEEDED: &str = "the node's token is needed";
/// What the node says to a request with a token that is not its own.
pub const TOKEN_REFUSED: &str = "the token is not this node's";

/// What went wrong, whose fault it is, and what to do next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The HTTP status, also when the problem is a line of a stream that began with 200.
    pub status: u16,
    /// The kind of error in words; the same for every error of its kind and blame.
    pub title: String,
    /// What went wrong.
    #[schema(value_type = schema::Kind)]
    pub kind: Kind,
    /// Whose fault it is.
    #[schema(value_type = schema::Blame)]
    pub blame: Blame,
    /// What happened, lower case, the value last.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The id under which the node's log tells more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl From<Problem> for Error {
    /// The error as the program that asked should see it. A request id matters only where the log knows more.
    fn from(problem: Problem) -> Self {
        let mut error = Error::new(problem.kind, problem.blame, problem.message);
        error.hint = match (problem.hint, problem.blame, problem.request_id) {
            (Some(hint), ..) => Some(hint),
            (None, Blame::Platform, Some(id)) => {
                Some(format!("the node's log tells more about request {id}"))
            }
            _ => None,
        };
        error
    }
}
