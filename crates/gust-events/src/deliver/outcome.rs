//! What a function's answer means for the messages it was given.

use std::{collections::HashSet, time::Duration};

use gust_types::event::Event;
use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use serde::Deserialize;

use crate::retry;

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The node did not make it: to be tried again after this long.
    Refused(Duration),
    /// The node would never make it: what goes in is larger than the function takes.
    TooLarge,
    /// There was no answer; why.
    Silent(String),
    /// The function answered.
    Answered(Answered),
}

/// What a function answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body, as far as it is looked at.
    pub(crate) body: Vec<u8>,
    /// There was more of it.
    pub(crate) cut: bool,
}

/// What it means for one event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Meaning {
    NotTried(Duration),
    Tried {
        ended: retry::Ended,
        retry_after: Option<String>,
        /// Said of the event when it is given up.
        cause: String,
    },
    /// To be given up without asking anybody; why.
    Hopeless(String),
    /// Done, and its message is settled with what was written.
    Committed,
    /// Its message is somebody else's now.
    Lost,
}

/// A batch's answer that says which of it was not taken, as AWS Lambda has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Partial {
    #[serde(default)]
    batch_item_failures: Option<Vec<Failure>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: String,
}

// === impl Meaning ===

impl Meaning {
    /// The function did not do it, in whatever way it failed.
    pub(crate) fn failed(cause: String) -> Self {
        Self::Tried {
            ended: retry::Ended::Silent,
            retry_after: None,
            cause,
        }
    }

    /// Whether the event is done.
    pub(crate) fn is_done(&self) -> bool {
        matches!(
            self,
            Self::Tried {
                ended: retry::Ended::Status(200..=299),
                ..
            }
        )
    }
}

// === impl Ended ===

impl Ended {
    /// What it means for each of these events, which went out in one call.
    pub(crate) fn meanings(&self, events: &[Event]) -> Vec<Meaning> {
        let same = |meaning: Meaning| vec![meaning; events.len()];
        match self {
            Self::Refused(after) => same(Meaning::NotTried(*after)),
            Self::TooLarge => same(Meaning::Tried {
                // As if the function had said it.
                ended: retry::Ended::Status(413),
                retry_after: None,
                cause: "it is larger than the function's limits.request_body".to_owned(),
            }),
            Self::Silent(why) => same(Meaning::Tried {
                ended: retry::Ended::Silent,
                retry_after: None,
                cause: why.clone(),
            }),
            Self::Answered(Answered {
                status,
                headers,
                body,
                ..
            }) => {
                let retry_after = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
                let of = |ended, cause: String| Meaning::Tried {
                    ended,
                    retry_after: retry_after.map(str::to_owned),
                    cause,
                };
                let whole = of(
                    retry::Ended::Status(status.as_u16()),
                    format!("the function answered {status}"),
                );
                if !status.is_success() || events.len() < 2 {
                    return same(whole);
                }
                let failed = match failures(headers, body) {
                    Ok(failed) => failed,
                    Err(why) => return same(of(retry::Ended::Silent, why)),
                };
                let of_one = |event: &Event| match failed.contains(event.id()) {
                    true => of(
                        retry::Ended::Silent,
                        "the function did not take it out of the batch".to_owned(),
                    ),
                    false => whole.clone(),
                };
                events.iter().map(of_one).collect()
            }
        }
    }
}

/// The ids that the function did not take. An answer that is meant to say so and cannot be read fails the whole batch.
fn failures(headers: &HeaderMap, body: &[u8]) -> Result<HashSet<String>, String> {
    let media = headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    if body.is_empty() || !crate::http::declares_json(media.unwrap_or_default()) {
        return Ok(HashSet::new());
    }
    let partial: Option<Partial> = serde_json::from_slice(body)
        .map_err(|e| format!("the function's answer to a batch cannot be read: {e}"))?;
    let failures = partial.and_then(|partial| partial.batch_item_failures);
    Ok(failures
        .into_iter()
        .flatten()
        .map(|f| f.item_identifier)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(n: usize) -> Vec<Event> {
        (1..=n)
            .map(|n| Event::new(n.to_string(), "/s", "t").unwrap())
            .collect()
    }

    fn answered(status: u16, body: &str) -> Ended {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().unwrap());
        headers.insert("retry-after", "7".parse().unwrap());
        Ended::Answered(Answered {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: body.as_bytes().to_vec(),
            cut: false,
        })
    }

    fn outcomes(ended: &Ended, n: usize) -> Vec<retry::Ended> {
        let outcome = |meaning| match meaning {
            Meaning::Tried { ended, .. } => ended,
            _ => panic!("it was tried"),
        };
        ended
            .meanings(&events(n))
            .into_iter()
            .map(outcome)
            .collect()
    }

    #[test]
    fn a_batch_fails_in_parts() {
        let (ok, no) = (retry::Ended::Status(200), retry::Ended::Silent);
        let body = r#"{"batchItemFailures":[{"itemIdentifier":"2"},{"itemIdentifier":"9"}]}"#;
        assert_eq!(outcomes(&answered(200, body), 3), [ok, no, ok]);
        for all_taken in [
            "",
            "null",
            "{}",
            r#"{"batchItemFailures":null}"#,
            r#"{"batchItemFailures":[]}"#,
        ] {
            assert_eq!(
                outcomes(&answered(200, all_taken), 2),
                [ok, ok],
                "{all_taken}"
            );
        }
        for unreadable in [
            "{",
            r#"{"batchItemFailures":[{"itemIdentifier":3}]}"#,
            r#"{"batchItemFailures":7}"#,
        ] {
            assert_eq!(
                outcomes(&answered(200, unreadable), 2),
                [no, no],
                "{unreadable}"
            );
        }
        // One event is no batch: what it answers is its own business.
        assert_eq!(outcomes(&answered(200, body), 1), [ok]);
        assert_eq!(
            outcomes(&answered(503, body), 2),
            [retry::Ended::Status(503); 2]
        );
    }

    #[test]
    fn what_was_refused_was_not_tried() {
        let after = Duration::from_secs(3);
        let meanings = Ended::Refused(after).meanings(&events(2));
        assert_eq!(meanings, vec![Meaning::NotTried(after); 2]);
        let Meaning::Tried {
            retry_after, cause, ..
        } = answered(500, "").meanings(&events(1)).remove(0)
        else {
            panic!("it was tried");
        };
        assert_eq!(retry_after.as_deref(), Some("7"));
        assert!(cause.contains("500"));
    }
}
