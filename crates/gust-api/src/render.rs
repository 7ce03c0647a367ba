//! The one table from (kind, blame) to HTTP status, exit code and wording.
//!
//! Two strings leave every error: what the one who asked sees ([`render`]) and what the log sees ([`log_line`], the
//! whole chain of causes). They share the request id. How much is shown depends on who asks: the public gets to know
//! its own mistakes only; an owner also what their function did; nobody gets to see the inside of the platform.

use gust_types::{Blame, Error, Kind};

use crate::Problem;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Anybody: callers of functions.
    Public,
    /// Who holds the node's token: the control API and the command line.
    Owner,
}

/// How errors of one kind and blame are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// HTTP status.
    pub status: u16,
    /// The command line's exit code.
    pub exit: u8,
    /// What it is called when its message is not shown.
    pub title: &'static str,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u32>,
}

/// The table. Exit codes follow the kind alone; 1 is left for errors that are not of this table.
///
/// `Exhausted` by `Platform` is a machine that is full (507): a call that finds no place right now is `Unavailable` (503).
pub fn row(kind: Kind, blame: Blame) -> Row {
    use Blame::{Caller, Function, Platform};
    let (status, exit, title, retry_after) = match (kind, blame) {
        (Kind::Invalid, Caller) => (400, 2, "the request is not valid", None),
        (Kind::Invalid, Function) => (502, 2, "the function's answer is not valid", None),
        (Kind::Denied, Caller | Platform) => (403, 3, "this is not allowed", None),
        (Kind::Denied, Function) => (502, 3, "the function may not do this", None),
        (Kind::NotFound, Caller) => (404, 4, "there is no such thing here", None),
        (Kind::NotFound, Function) => (
            502,
            4,
            "the function names something that is not there",
            None,
        ),
        (Kind::Conflict, Caller | Platform) => {
            (409, 5, "the present state does not permit this", None)
        }
        (Kind::Conflict, Function) => (502, 5, "the function met a conflict", None),
        (Kind::Exhausted, Caller) => (429, 6, "a limit is reached", Some(1)),
        (Kind::Exhausted, Function) => (502, 6, "the function reached one of its limits", None),
        (Kind::Exhausted, Platform) => (507, 6, "the node is full", None),
        (Kind::Unavailable, _) => (503, 7, "this is not available right now", Some(1)),
        (Kind::Timeout, Caller) => (408, 8, "the request took too long", None),
        (Kind::Timeout, Function | Platform) => (504, 8, "the function took too long", None),
        (Kind::Failed, Caller | Function) => (502, 9, "the function failed", None),
        (Kind::Invalid | Kind::NotFound | Kind::Failed, Platform) | (Kind::Internal, _) => {
            (500, 10, "the platform failed", None)
        }
    };
    Row {
        status,
        exit,
        title,
        retry_after,
    }
}

/// What the one who asked is told.
pub fn render(error: &Error, audience: Audience, request_id: Option<String>) -> Problem {
    let row = row(error.kind, error.blame);
    let shown = message(error, audience);
    Problem {
        status: row.status,
        title: row.title.to_owned(),
        kind: error.kind,
        blame: error.blame,
        hint: shown.as_ref().and_then(|_| error.hint.clone()),
        message: shown.unwrap_or_else(|| row.title.to_owned()),
        request_id,
    }
}

/// What the log is told.
pub fn log_line(error: &Error) -> String {
    format!("{:?} by {:?}: {}", error.kind, error.blame, error.chain())
}

/// The message, when this audience may see it. Causes are shown only where they speak of what the audience sent or wrote.
fn message(error: &Error, audience: Audience) -> Option<String> {
    match (error.blame, audience) {
        (Blame::Caller, Audience::Public) => Some(error.message.clone()),
        (Blame::Caller | Blame::Function, Audience::Owner) => Some(error.chain()),
        (Blame::Platform, Audience::Owner) if error.kind != Kind::Internal => {
            Some(error.message.clone())
        }
        (Blame::Function | Blame::Platform, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 9] = [
        Kind::Invalid,
        Kind::Denied,
        Kind::NotFound,
        Kind::Conflict,
        Kind::Exhausted,
        Kind::Unavailable,
        Kind::Timeout,
        Kind::Failed,
        Kind::Internal,
    ];
    const BLAMES: [Blame; 3] = [Blame::Caller, Blame::Function, Blame::Platform];

    fn secretive(kind: Kind, blame: Blame) -> Error {
        Error::new(kind, blame, "outer")
            .hint("do this")
            .because(std::io::Error::other("inner"))
    }

    #[test]
    fn every_kind_and_blame_has_an_error_status_and_a_nonzero_exit() {
        for kind in KINDS {
            for blame in BLAMES {
                let row = row(kind, blame);
                assert!((400..600).contains(&row.status), "{kind:?} {blame:?}");
                assert!(row.exit > 1, "{kind:?} {blame:?}");
                // A caller's mistake is 4xx, anything else 5xx, except what is refused by rule.
                let theirs = blame == Blame::Caller
                    && !matches!(kind, Kind::Unavailable | Kind::Failed | Kind::Internal);
                if theirs {
                    assert!(row.status < 500, "{kind:?} {blame:?} {}", row.status);
                }
                if blame == Blame::Function && kind != Kind::Internal {
                    assert!(row.status >= 502, "{kind:?} {blame:?} {}", row.status);
                }
            }
        }
    }

    #[test]
    fn refusals_say_when_to_come_back() {
        for (kind, blame, status) in [
            (Kind::Exhausted, Blame::Caller, 429),
            (Kind::Unavailable, Blame::Platform, 503),
            (Kind::Unavailable, Blame::Function, 503),
        ] {
            let row = row(kind, blame);
            assert_eq!(row.status, status);
            assert!(row.retry_after.is_some());
        }
    }

    #[test]
    fn the_inside_of_the_platform_is_not_shown() {
        for kind in KINDS {
            for audience in [Audience::Public, Audience::Owner] {
                let text = format!(
                    "{:?}",
                    render(&secretive(kind, Blame::Platform), audience, None)
                );
                assert!(!text.contains("inner"), "{kind:?} {audience:?}");
            }
            let text = format!(
                "{:?}",
                render(&secretive(kind, Blame::Function), Audience::Public, None)
            );
            assert!(
                !text.contains("inner") && !text.contains("outer"),
                "{kind:?}"
            );
        }
        let text = format!(
            "{:?}",
            render(
                &secretive(Kind::Internal, Blame::Platform),
                Audience::Owner,
                None
            )
        );
        assert!(!text.contains("outer") && !text.contains("do this"));
    }

    #[test]
    fn an_owner_sees_what_their_function_did() {
        let problem = render(
            &secretive(Kind::Failed, Blame::Function),
            Audience::Owner,
            Some("7".into()),
        );
        assert_eq!(problem.message, "outer: inner");
        assert_eq!(problem.hint.as_deref(), Some("do this"));
        let back = Error::from(problem);
        assert_eq!((back.kind, back.blame), (Kind::Failed, Blame::Function));
        assert_eq!(back.hint.as_deref(), Some("do this"));
    }

    #[test]
    fn a_platform_error_names_its_request() {
        let error = Error::internal("cannot read page 7").because(std::io::Error::other("disk"));
        let problem = render(&error, Audience::Owner, Some("abc".into()));
        assert_eq!(problem.message, "the platform failed");
        assert!(Error::from(problem).hint.is_some_and(|h| h.contains("abc")));
        assert!(log_line(&error).contains("cannot read page 7: disk"));
    }
}
