//! Calling back: when a call is over, what came of it is posted to the address that who asked for the call has named.
//!
//! A callback is a message in a queue of its function's own, so it survives the node, and is tried again like any other
//! delivery. It is signed as Standard Webhooks has it, when it is sent and not before: a secret that was changed
//! meanwhile counts. The rules for addresses are applied at each attempt, to the address that is connected to.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use gust_backend::{
    desk::{Callback, CallbackState, LaterState},
    queue::{Message, Queue, QueueSettings, Taken, Verdict},
};
use gust_task::{clock, ids};
use gust_types::{
    Error, FunctionKey, Label, Result, Span,
    call::CallId,
    event::{Data, Event},
    later::CallbackUrl,
    template,
};
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, header::RETRY_AFTER};
use sha2::Sha256;

use super::{
    Calls,
    records::{self, Record, Records},
};
use crate::{
    deliver::{Handled, Work},
    message, post,
    retry::{self, Backoff, RetryPolicy},
};

/// Callbacks of one function under way at once.
pub(super) const AT_ONCE: usize = 16;
/// Bytes of the answer's body in a callback.
const BODY: usize = 512 << 10;
/// Under which attribute of its message the address is kept.
const URL: &str = "callback";
/// Times that a record is written while others change it.
const TRIES: usize = 5;
/// Bytes of a cause in a header.
const CAUSE: usize = 1024;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The callbacks of one function.
pub(super) struct Callbacks {
    pub(super) calls: Calls,
    pub(super) function: Arc<FunctionKey>,
    pub(super) records: Records,
}

/// What an attempt came to.
struct Posted {
    ended: retry::Ended,
    status: Option<u16>,
    retry_after: Option<String>,
    cause: String,
    /// It would be the same each time.
    hopeless: bool,
}

/// How it is tried again: after a second, twice that, and so on up to an hour, for a day.
fn policy() -> RetryPolicy {
    RetryPolicy {
        attempts: 32,
        backoff: Backoff::Exponential,
        delay: Span::secs(1),
        max_delay: Span::secs(3600),
        jitter: 0.2,
        max_age: Span::secs(86_400),
    }
}

/// The queue of a function's callbacks.
pub(super) fn queue_name(function: &FunctionKey) -> Label {
    Label::reserved(&format!("callbacks/{}/{}", function.app, function.function))
}

impl Calls {
    /// The callbacks of a function that wait.
    pub(super) fn callbacks(&self, function: &FunctionKey) -> Result<Arc<dyn Queue>> {
        let settings = QueueSettings {
            attempts: 0,
            max_age: Span::secs(14 * 86_400),
            dedup: records::REMEMBERED,
            ..QueueSettings::default()
        };
        let name = queue_name(function);
        let backends = &self.0.parts.backends;
        backends.queue(&function.project, &name, &settings)
    }

    /// Refuses an address that could never be called back.
    pub(super) fn check_callback(&self, url: &CallbackUrl, signed: bool) -> Result<()> {
        if !signed {
            return Err(
                Error::invalid("the function has no secret to sign callbacks with").hint(
                    "write `callback_secret = \"{{ name }}\"` in its [function.NAME.async], with `name` a variable that is secret",
                ),
            );
        }
        self.0.parts.callbacks.check(url)
    }
}

/// What is posted: an event whose data is the answer, as far as it is short.
pub(super) fn message(
    function: &FunctionKey,
    record: &Record,
    url: &CallbackUrl,
    answer: &Bytes,
) -> Result<Message> {
    let kind = match record.state {
        LaterState::Done => "gust.call.succeeded",
        _ => "gust.call.failed",
    };
    let source = format!("/apps/{}/functions/{}", function.app, function.function);
    let mut event = Event::new(record.id.to_string(), source, kind)?
        .with("subject", function.function.as_str())?
        .with("gustcall", record.id.to_string())?
        .with("gustcallstate", record.state.as_str())?
        .with("gustcallattempts", record.attempts.to_string())?;
    if let Some(finished) = record.finished_us {
        event.set("time", message::rfc3339(finished))?;
    }
    if let Some(status) = record.status {
        event.set("gustcallstatus", status.to_string())?;
    }
    if let Some(cause) = &record.cause {
        let shown: String = cause
            .chars()
            .filter(|c| !c.is_control())
            .take(CAUSE)
            .collect();
        if !shown.is_empty() {
            event.set("gustcallcause", shown)?;
        }
    }
    if record.truncated || answer.len() > BODY {
        event.set("gusttruncated", "true")?;
    }
    let media = record
        .headers
        .iter()
        .find(|(name, _)| name == "content-type");
    if let Some((_, media)) = media
        && !answer.is_empty()
    {
        // One that no event could carry is left out: the bytes are what they are.
        let _ = event.set("datacontenttype", media.as_str());
    }
    let shown = answer.slice(..answer.len().min(BODY));
    let event = event.with_data(Data::binary(shown));
    let mut message = message::of_event(&event).with_key(event.id());
    let url = String::from(url.clone());
    message.attributes.insert(URL.to_owned(), url);
    Ok(message)
}

#[async_trait]
impl Work for Callbacks {
    fn patience(&self) -> Duration {
        post::PATIENCE
    }

    async fn handle(&self, batch: Vec<Taken>) -> Handled {
        let mut handled = Handled::default();
        for taken in batch {
            let verdict = self.one(&taken).await;
            handled.verdicts.push((taken.receipt, verdict));
        }
        handled
    }
}

impl Callbacks {
    async fn one(&self, taken: &Taken) -> Verdict {
        let (id, url, posted) = match self.read(&taken.message) {
            Ok((event, url)) => {
                let posted = self.post(&event, &url).await;
                (event.id().parse::<CallId>().ok(), url, posted)
            }
            Err(error) => return Verdict::Dead(error.chain()),
        };
        let attempts = taken.receipt.attempt;
        let now_us = clock::unix_micros();
        let after = posted.retry_after.as_deref();
        let decided = match posted.hopeless {
            true => retry::Verdict::Dead {
                cause: retry::Cause::Refused,
            },
            false => retry::decide(
                &policy(),
                &retry::Try {
                    attempt: attempts,
                    first_us: taken.published_us,
                    now_us,
                    ended: posted.ended,
                    retry_after_us: after.and_then(|text| retry::retry_after(text, now_us)),
                    random: ids::random_u64(),
                },
            ),
        };
        let mut callback = Callback {
            url: url.to_string(),
            state: CallbackState::Waiting,
            attempts,
            status: posted.status,
            cause: Some(posted.cause),
            next_us: None,
        };
        let verdict = match decided {
            retry::Verdict::Done => {
                callback.state = CallbackState::Delivered;
                callback.cause = None;
                Verdict::Done
            }
            retry::Verdict::Again { at_us } => {
                callback.next_us = Some(at_us);
                Verdict::Again(Duration::from_micros(at_us.saturating_sub(now_us)))
            }
            retry::Verdict::Dead { .. } => {
                callback.state = CallbackState::Failed;
                Verdict::Dead(callback.cause.clone().unwrap_or_default())
            }
        };
        if let Some(id) = id {
            self.note(id, &callback).await;
        }
        verdict
    }

    fn read(&self, kept: &Message) -> Result<(Event, CallbackUrl)> {
        let mut kept = kept.clone();
        let url = kept.attributes.remove(URL);
        let none = || Error::internal("a kept callback has no address");
        Ok((message::event(&kept)?, url.ok_or_else(none)?.parse()?))
    }

    async fn post(&self, event: &Event, url: &CallbackUrl) -> Posted {
        let silent = |error: Error| Posted {
            ended: retry::Ended::Silent,
            status: None,
            retry_after: None,
            cause: error.chain(),
            // What may not be reached now may not be reached later either.
            hopeless: !error.kind.retryable(),
        };
        let secrets = match self.secrets() {
            Ok(secrets) => secrets,
            // The function may come back, and its secret too.
            Err(error) => {
                return Posted {
                    hopeless: false,
                    ..silent(error)
                };
            }
        };
        let (mut headers, body) = message::request(event);
        let now_s = clock::unix_micros() / 1_000_000;
        sign(&mut headers, event.id(), now_s, &body, &secrets);
        match self.calls.0.parts.callbacks.post(url, headers, body).await {
            Ok(answer) => Posted {
                ended: retry::Ended::Status(answer.status.as_u16()),
                status: Some(answer.status.as_u16()),
                retry_after: text(&answer.headers),
                cause: format!("it was answered {}", answer.status),
                hopeless: false,
            },
            Err(error) => silent(error),
        }
    }

    /// What callbacks are signed with now.
    fn secrets(&self) -> Result<Vec<String>> {
        let entry = self.calls.0.parts.dispatcher.function(&self.function);
        let gone =
            || Error::unavailable(format!("the function is not deployed: {}", self.function));
        let entry = entry.ok_or_else(gone)?;
        let revision = entry.revision();
        let later = revision.spec.later.as_ref();
        let mut secrets = Vec::new();
        for text in later.map_or(&[][..], |later| &later.callback_secrets) {
            let secret = template::expand(text, &revision.variables.0)?;
            // Anybody could sign with an empty one.
            secrets.extend(Some(secret).filter(|secret| !secret.is_empty()));
        }
        match secrets.is_empty() {
            true => Err(Error::unavailable(
                "the function has no secret any more to sign callbacks with",
            )),
            false => Ok(secrets),
        }
    }

    /// Writes down how far it is. Nobody decides by it: a failure is no reason to post again.
    async fn note(&self, id: CallId, callback: &Callback) {
        for _ in 0..TRIES {
            let noted = async {
                let Some((mut record, version)) = self.records.get(id).await? else {
                    return Ok(true);
                };
                record.callback = Some(callback.clone());
                let changed = self.records.change(&record, version, None).await?;
                Ok::<_, Error>(changed.is_some())
            };
            match noted.await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(call = %id, error = error.chain(), "cannot write down what became of a callback");
                    return;
                }
            }
        }
    }
}

fn text(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(RETRY_AFTER)?;
    value.to_str().ok().map(str::to_owned)
}

/// Signs with each of the secrets: <https://www.standardwebhooks.com>.
fn sign(headers: &mut HeaderMap, id: &str, now_s: u64, body: &[u8], secrets: &[String]) {
    let signatures: Vec<String> = secrets
        .iter()
        .filter_map(|secret| {
            let mut hmac = Hmac::<Sha256>::new_from_slice(&key(secret)).ok()?;
            hmac.update(format!("{id}.{now_s}.").as_bytes());
            hmac.update(body);
            let signature = BASE64.encode(hmac.finalize().into_bytes());
            Some(format!("v1,{signature}"))
        })
        .collect();
    for (name, value) in [
        (WEBHOOK_ID, id.to_owned()),
        (WEBHOOK_TIMESTAMP, now_s.to_string()),
        (WEBHOOK_SIGNATURE, signatures.join(" ")),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

/// The bytes of a secret: behind `whsec_` they are in base64, otherwise they are the text.
fn key(secret: &str) -> Vec<u8> {
    let encoded = secret.strip_prefix("whsec_");
    let decoded = encoded.and_then(|text| BASE64.decode(text).ok());
    decoded.unwrap_or_else(|| secret.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks libraries.
    #[test]
    fn the_signature_is_the_one_that_receivers_expect() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let mut headers = HeaderMap::new();
        let (id, now_s, body) = (
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        sign(&mut headers, id, now_s, body, std::slice::from_ref(&secret));
        assert_eq!(headers["webhook-id"], id);
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(headers["webhook-signature"], expected);
        sign(&mut headers, id, now_s, body, &["别的".to_owned(), secret]);
        let both = headers["webhook-signature"].to_str().unwrap();
        assert_eq!(both.split(' ').nth(1), Some(expected));
        assert!(both.split(' ').all(|one| one.starts_with("v1,")));
    }
}
