//! Making the calls of one function, one message of its queue after the other.
//!
//! The order is what keeps a call from being lost or made again without need: the answer is on record before the
//! destination is told, and the destination has it before the message is done. A message whose call is on record as over
//! only repeats what comes after.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use gust_backend::{
    desk::LaterState,
    kv::Version,
    queue::{Taken, Verdict},
};
use gust_dispatch::{Dispatcher, Refusal, Refused};
use gust_task::{clock, ids};
use gust_types::{Call, FunctionKey, Kind, Reply, Result, later::LaterSpec};
use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use http_body_util::BodyExt as _;

use super::{
    Calls,
    board::Turn,
    callback, destination,
    kept::{self, Kept},
    records::{Record, Records},
};
use crate::{
    deliver::{self, Handled, Tally, Work},
    retry::{self, RetryPolicy},
};

/// The longest that a call which was refused stays away, and its place is kept empty.
const QUIET: Duration = Duration::from_secs(10);
/// After a refusal that does not say when to come back.
const SOON: Duration = Duration::from_secs(1);
/// Between attempts to write down what became of a call.
const REST: Duration = Duration::from_secs(1);
/// How long a call may take whose function is not deployed.
const ABSENT: Duration = Duration::from_secs(5);
/// Attempts above what its function allows, cut off with the node: more than that and it may be the call that does it.
const CUT_OFF: u32 = 3;
/// Bytes of an answer's headers that are kept.
const HEADERS: usize = 64 << 10;

/// The calls of one function.
pub(super) struct FunctionCalls {
    pub(super) calls: Calls,
    pub(super) function: Arc<FunctionKey>,
    pub(super) records: Records,
    pub(super) tally: Arc<Tally>,
}

/// What an attempt came to.
enum Ended {
    /// The node did not make it.
    Refused(Duration),
    /// The node would never make it.
    Never(String),
    /// There was no answer; why.
    Silent(String),
    Answered(Answer),
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// Bytes of the whole body.
    bytes: u64,
    truncated: bool,
}

/// A message and what is known of its call.
struct Attempt<'a> {
    taken: &'a Taken,
    kept: &'a Kept,
    record: Record,
    version: Version,
    spec: LaterSpec,
    policy: RetryPolicy,
}

/// What becomes of the message, and for how long its place is kept empty.
type Step = (Verdict, Option<Duration>);

const DONE: Step = (Verdict::Done, None);

#[async_trait]
impl Work for FunctionCalls {
    fn patience(&self) -> Duration {
        deliver::patience(&self.calls.0.parts.dispatcher, &self.function).unwrap_or(ABSENT)
    }

    async fn handle(&self, batch: Vec<Taken>) -> Handled {
        let mut handled = Handled::default();
        for taken in batch {
            self.tally.began(1);
            let (verdict, pause) = self.one(&taken).await;
            self.tally.ended(1);
            handled.pause = handled.pause.max(pause);
            handled.verdicts.push((taken.receipt, verdict));
        }
        handled
    }
}

impl FunctionCalls {
    async fn one(&self, taken: &Taken) -> Step {
        let kept = match Kept::read(&taken.message) {
            Ok(kept) => kept,
            Err(error) => return (self.count(Verdict::Dead(error.chain())), None),
        };
        let turn = self
            .calls
            .0
            .board
            .begin(kept.head.id, taken.receipt.attempt);
        let found = match self.records.get(kept.head.id).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(function = %self.function, error = error.chain(), "cannot read what became of a call");
                return (Verdict::Back(QUIET), None);
            }
        };
        // Without a record it was over so long ago that its result is gone.
        let Some((record, version)) = found else {
            return DONE;
        };
        let spec = self.calls.spec(&self.function);
        let attempt = Attempt {
            taken,
            kept: &kept,
            record,
            version,
            policy: RetryPolicy::from(&spec.retry),
            spec,
        };
        match attempt.record.state {
            LaterState::Cancelled => DONE,
            LaterState::Done | LaterState::Failed => self.tell(attempt).await,
            LaterState::Waiting | LaterState::Running => self.attempt(attempt, &turn).await,
        }
    }

    async fn attempt(&self, attempt: Attempt<'_>, turn: &Turn<'_>) -> Step {
        let (taken, policy) = (attempt.taken, &attempt.policy);
        let age_us = clock::unix_micros().saturating_sub(taken.ready_us);
        if u128::from(age_us) > policy.max_age.0.as_micros() {
            let cause = match &attempt.record.cause {
                Some(cause) => format!("it became too old: {cause}"),
                None => "it became too old before the node could make it".to_owned(),
            };
            return self.give_up(attempt, cause, None).await;
        }
        if taken.receipt.attempt > policy.attempts.saturating_add(CUT_OFF) {
            let cause = "the node went down while it was made, each time".to_owned();
            return self.give_up(attempt, cause, None).await;
        }
        // At the first attempt it is its own; the ledger takes no id twice.
        let id = match taken.receipt.attempt {
            1 => attempt.kept.head.id,
            _ => ids::call_id(),
        };
        let made = self.make(attempt.kept, id, taken.receipt.attempt);
        let ended = tokio::select! {
            ended = made => ended,
            // Dropping the call ends the guest.
            () = turn.cancelled() => return DONE,
        };
        let Attempt { mut record, .. } = attempt;
        if !matches!(ended, Ended::Refused(_)) {
            record.attempts = taken.receipt.attempt;
            record.attempt_id = Some(id);
            record.next_us = None;
            (record.status, record.cause) = (None, None);
            record.headers.clear();
        }
        self.conclude(Attempt { record, ..attempt }, ended).await
    }

    async fn conclude(&self, attempt: Attempt<'_>, ended: Ended) -> Step {
        let (tried, cause, retry_after) = match &ended {
            Ended::Refused(after) => {
                let after = QUIET.min(*after);
                return (self.count(Verdict::Back(after)), Some(after));
            }
            Ended::Never(cause) => {
                let cause = cause.clone();
                return self.give_up(attempt, cause, None).await;
            }
            Ended::Silent(cause) => (retry::Ended::Silent, cause.clone(), None),
            Ended::Answered(answer) => (
                meant(answer.status),
                format!("the function answered {}", answer.status),
                answer.headers.get(RETRY_AFTER).cloned(),
            ),
        };
        let now_us = clock::unix_micros();
        let after = retry_after.as_ref().and_then(|value| value.to_str().ok());
        let verdict = retry::decide(
            &attempt.policy,
            &retry::Try {
                attempt: attempt.taken.receipt.attempt,
                first_us: attempt.taken.ready_us,
                now_us,
                ended: tried,
                retry_after_us: after.and_then(|header| retry::retry_after(header, now_us)),
                random: ids::random_u64(),
            },
        );
        let answer = match ended {
            Ended::Answered(answer) => Some(answer),
            _ => None,
        };
        match verdict {
            retry::Verdict::Done => self.finish(attempt, LaterState::Done, answer).await,
            retry::Verdict::Again { at_us } => {
                let mut record = attempt.record.clone();
                record.next_us = Some(at_us);
                record.status = answer.map(|answer| answer.status.as_u16());
                record.cause = Some(cause);
                match self.records.change(&record, attempt.version, None).await {
                    // Cancelled meanwhile.
                    Ok(None) => return DONE,
                    Ok(Some(_)) => {}
                    Err(error) => {
                        tracing::warn!(call = %record.id, error = error.chain(), "cannot write down that a call is tried again");
                    }
                }
                let after = Duration::from_micros(at_us.saturating_sub(now_us));
                (self.count(Verdict::Again(after)), None)
            }
            retry::Verdict::Dead { cause: why } => {
                self.give_up(attempt, format!("{why}: {cause}"), answer)
                    .await
            }
        }
    }

    async fn give_up(
        &self,
        mut attempt: Attempt<'_>,
        cause: String,
        answer: Option<Answer>,
    ) -> Step {
        attempt.record.cause = Some(cause);
        self.finish(attempt, LaterState::Failed, answer).await
    }

    /// Writes down what became of the call, then tells.
    async fn finish(
        &self,
        mut attempt: Attempt<'_>,
        state: LaterState,
        answer: Option<Answer>,
    ) -> Step {
        let record = &mut attempt.record;
        let mut body = None;
        if let Some(answer) = answer {
            record.status = Some(answer.status.as_u16());
            (record.bytes, record.truncated) = (answer.bytes, answer.truncated);
            record.headers = kept::texts(&answer.headers);
            record.truncated |= shorten(&mut record.headers);
            body = Some(answer.body);
        }
        record.end(state, attempt.spec.keep);
        match self.write(record, attempt.version, body).await {
            Ok(Some(version)) => attempt.version = version,
            Ok(None) => return DONE,
            // Without its result it cannot be over: it comes again as late as may be.
            Err(error) => {
                tracing::error!(call = %record.id, error = error.chain(), "the result of a call cannot be kept; it is made again");
                let after = attempt.policy.max_delay.0;
                return (self.count(Verdict::Again(after)), None);
            }
        }
        self.count(match state {
            LaterState::Done => Verdict::Done,
            _ => Verdict::Dead(String::new()),
        });
        self.calls.0.board.over(attempt.record.id);
        self.tell(attempt).await
    }

    async fn write(
        &self,
        record: &Record,
        version: Version,
        body: Option<Bytes>,
    ) -> Result<Option<Version>> {
        for pause in [REST, REST * 4] {
            match self.records.change(record, version, body.clone()).await {
                Err(error) if error.kind.retryable() => tokio::time::sleep(pause).await,
                written => return written,
            }
        }
        self.records.change(record, version, body).await
    }

    /// Tells whoever is to be told of a call that is over. While they cannot be told, the message stays.
    async fn tell(&self, attempt: Attempt<'_>) -> Step {
        if let Err(error) = self.call_back(&attempt).await {
            tracing::warn!(call = %attempt.record.id, error = error.chain(), "a callback cannot be kept");
            if error.kind.retryable() {
                return (Verdict::Back(QUIET), None);
            }
        }
        self.tell_destination(attempt).await
    }

    /// Keeps a callback for later; one that was kept before is not kept again.
    async fn call_back(&self, attempt: &Attempt<'_>) -> Result<()> {
        let Some(url) = &attempt.kept.head.callback else {
            return Ok(());
        };
        let answer = self.records.body(attempt.record.id).await?;
        let message = callback::message(&self.function, &attempt.record, url, &answer)?;
        let queue = self.calls.callbacks(&self.function)?;
        queue.publish(vec![message]).await.map(drop)
    }

    async fn tell_destination(&self, mut attempt: Attempt<'_>) -> Step {
        let destination = match attempt.record.state {
            LaterState::Done => &attempt.spec.on_success,
            _ => &attempt.spec.on_failure,
        };
        let Some(destination) = destination else {
            return DONE;
        };
        let told = self.send(&attempt, destination).await;
        let said = told.as_ref().err();
        let undelivered = said.map(|error| format!("{destination}: {}", error.chain()));
        if attempt.record.undelivered != undelivered {
            // A callback may have been written down meanwhile.
            if let Ok(Some((record, version))) = self.records.get(attempt.record.id).await {
                (attempt.record, attempt.version) = (record, version);
            }
            attempt.record.undelivered = undelivered;
            let written = self.records.change(&attempt.record, attempt.version, None);
            if let Err(error) = written.await {
                tracing::warn!(call = %attempt.record.id, error = error.chain(), "cannot write down whether a destination was told");
            }
        }
        match told {
            Ok(()) => DONE,
            Err(error) => {
                tracing::warn!(call = %attempt.record.id, %destination, error = error.chain(), "a destination is not told");
                match is_hopeless(error.kind) {
                    // It would be the same each time; the record says it.
                    true => DONE,
                    false => (Verdict::Back(QUIET), None),
                }
            }
        }
    }

    async fn send(
        &self,
        attempt: &Attempt<'_>,
        destination: &gust_types::later::Destination,
    ) -> Result<()> {
        let answer = self.records.body(attempt.record.id).await?;
        let event = destination::event(&self.function, &attempt.record, attempt.kept, &answer)?;
        destination::tell(&self.calls, &self.function, destination, &event).await
    }

    /// Makes the call along the one path.
    async fn make(&self, kept: &Kept, id: gust_types::call::CallId, attempt: u32) -> Ended {
        let dispatcher = &self.calls.0.parts.dispatcher;
        let Some(patience) = deliver::patience(dispatcher, &self.function) else {
            // It may be on its way: after a start, or between two deploys.
            return Ended::Refused(QUIET);
        };
        let deadline = kept::deadline(patience);
        let call = match kept.call(id, attempt, self.function.clone(), deadline) {
            Ok(call) => call,
            Err(error) => return Ended::Never(error.chain()),
        };
        match dispatch(dispatcher, call, kept.is_routed()).await {
            Ok(reply) => answer(reply, self.records.most()).await,
            Err(error) => match Refused::of(&error) {
                Some(refused) if refused.kind == Refusal::BodyTooLarge => {
                    Ended::Never("it is larger than the function's limits.request_body".to_owned())
                }
                Some(refused) => Ended::Refused(refused.retry_after.unwrap_or(SOON)),
                None => Ended::Silent(error.chain()),
            },
        }
    }

    fn count(&self, verdict: Verdict) -> Verdict {
        self.tally.count(&verdict);
        verdict
    }
}

/// Whether a destination that could not be told never can be: a disk that could not be written to is none.
fn is_hopeless(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Invalid | Kind::Denied | Kind::NotFound | Kind::Conflict
    )
}

/// A call that came by a route goes by it, as long as it leads to the same function.
async fn dispatch(dispatcher: &Dispatcher, call: Call, routed: bool) -> Result<Reply> {
    if !routed {
        return dispatcher.invoke(call).await;
    }
    let Call { request, .. } = call;
    let (head, body) = request.into_parts();
    let route = dispatcher.route(&head).ok();
    let request = http::Request::from_parts(head, body);
    let call = Call { request, ..call };
    match route {
        Some(route)
            if route
                .function()
                .is_some_and(|entry| *entry.key() == call.function) =>
        {
            dispatcher.dispatch(call, &route).await
        }
        _ => dispatcher.invoke(call).await,
    }
}

/// What a status means: an answer is a result, whatever it says, unless it says that the function is at fault or that
/// another time may be better.
fn meant(status: StatusCode) -> retry::Ended {
    match status.as_u16() {
        status @ (408 | 425 | 429 | 500..) => retry::Ended::Status(status),
        _ => retry::Ended::Status(200),
    }
}

/// Reads an answer to its end, so that the call is settled, and keeps what there is room for. One that breaks off is
/// none.
async fn answer(reply: Reply, most: usize) -> Ended {
    let (head, mut rest) = reply.into_parts();
    let mut body = bytes::BytesMut::new();
    let mut bytes = 0;
    while let Some(frame) = rest.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => {
                bytes += data.len() as u64;
                let room = most.saturating_sub(body.len()).min(data.len());
                body.extend_from_slice(data.get(..room).unwrap_or_default());
            }
            Ok(Err(_)) => {}
            Err(error) => return Ended::Silent(error.chain()),
        }
    }
    Ended::Answered(Answer {
        status: head.status,
        headers: head.headers,
        truncated: bytes > body.len() as u64,
        body: body.freeze(),
        bytes,
    })
}

/// Takes headers from the end until the rest may be kept. True when there were any.
fn shorten(headers: &mut Vec<(String, String)>) -> bool {
    let mut bytes: usize = headers.iter().map(|(n, v)| n.len() + v.len()).sum();
    let whole = bytes <= HEADERS;
    while bytes > HEADERS {
        let Some((name, value)) = headers.pop() else {
            break;
        };
        bytes -= name.len() + value.len();
    }
    !whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_result_unless_it_is_a_failure() {
        let retried =
            |status| meant(StatusCode::from_u16(status).unwrap()) != retry::Ended::Status(200);
        for status in [200, 204, 301, 400, 401, 404, 409, 413, 422] {
            assert!(!retried(status), "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 599] {
            assert!(retried(status), "{status}");
        }
    }

    #[test]
    fn a_destination_is_given_up_only_when_it_would_be_the_same_each_time() {
        for kind in [Kind::Invalid, Kind::Denied, Kind::NotFound, Kind::Conflict] {
            assert!(is_hopeless(kind), "{kind:?}");
        }
        for kind in [
            Kind::Exhausted,
            Kind::Unavailable,
            Kind::Timeout,
            Kind::Failed,
            Kind::Internal,
        ] {
            assert!(!is_hopeless(kind), "{kind:?}");
        }
    }

    #[test]
    fn headers_are_kept_up_to_a_size() {
        let header = |n: usize| (format!("x-{n}"), "v".repeat(1000));
        let mut headers: Vec<_> = (0..100).map(header).collect();
        assert!(shorten(&mut headers));
        assert!(
            headers.len() > 60 && headers.len() < 66,
            "{}",
            headers.len()
        );
        assert!(!shorten(&mut headers));
    }
}
