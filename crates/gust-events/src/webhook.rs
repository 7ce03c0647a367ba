//! Webhooks: is a request from who it says it is, and which event is it?
//!
//! Pure: the time is handed in, and nothing is kept here. A signature is checked over the body as it came, before anything
//! reads it, and in a time that does not depend on how much of it is right. What a refusal says is for strangers: which
//! rule was broken, never how near they were.

mod body;
mod scheme;
mod signature;

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use gust_backend::desk::Hook;
use gust_types::{
    Error, Result, RoutePattern,
    event::{Data, Event},
    route::Segment,
    trigger::{WebhookScheme, WebhookSpec},
};
use http::{HeaderMap, HeaderName, header::CONTENT_TYPE};

use self::body::Peek;
use crate::{http as binding, message::rfc3339, timetable};

/// The type of the event that a request becomes.
pub const RECEIVED: &str = "gust.webhook.received";
/// The extension that says who signed, by the scheme's name.
pub const SCHEME: &str = "webhookscheme";
/// The extension that says what happened, in the sender's word.
pub const EVENT: &str = "webhookevent";

/// For how long a delivery is known by its id.
const DAY: Duration = Duration::from_secs(86_400);
/// For how long a delivery is known that has no id of its own, and whose signature has no time.
const SHORT: Duration = Duration::from_secs(300);
/// Bytes of an id or a word that a sender gives.
const MAX_WORD: usize = 200;
/// Secrets that may be good at once.
const MAX_SECRETS: usize = 8;
/// The widest tolerance: the inbox remembers keys for twice as long.
const MAX_TOLERANCE: Duration = Duration::from_secs(86_400);

/// What a request with a good signature is.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Something happened: to be kept under this key, if it has one.
    Event(Box<Event>, Option<String>),
    /// The sender asks whether this is the right address: to be answered with that.
    Challenge(String),
}

/// What is known of a request that is not in it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// When, Unix microseconds.
    pub now_us: u64,
    /// The event's id, should the sender give none.
    pub id: String,
    /// Its place in a trace, as the header is written.
    pub trace: Option<String>,
}

/// Checks a request and reads it. `Denied` when its signature is missing, wrong or too old.
pub fn read(hook: &Hook, headers: &HeaderMap, body: &Bytes, arrival: Arrival) -> Result<Request> {
    let spec = &hook.spec;
    let signed = scheme::check(spec, &hook.secrets.0, headers, body, arrival.now_us)?;
    let peek = match spec.scheme {
        WebhookScheme::Stripe | WebhookScheme::Slack => Peek::of(body),
        _ => Peek::default(),
    };
    if spec.scheme == WebhookScheme::Slack
        && let Some(challenge) = peek.challenge
    {
        return Ok(Request::Challenge(challenge));
    }
    let named = |name: &str| word(headers.get(name)?.to_str().ok()?.to_owned());
    let own = |name: &Option<String>| named(name.as_deref()?);
    let (id, what) = match &spec.scheme {
        WebhookScheme::Github => (named("x-github-delivery"), named("x-github-event")),
        WebhookScheme::Stripe | WebhookScheme::Slack => (peek.id, peek.what),
        WebhookScheme::Hmac(_) | WebhookScheme::None => {
            (own(&spec.id_header), own(&spec.event_header))
        }
    };
    // Kept apart, so that nobody can give an id that is somebody's signature.
    let key = match (&id, &signed) {
        (Some(id), _) => Some(format!("id {id}")),
        (None, Some(signature)) => Some(format!("signature {}", hex::encode(signature))),
        (None, None) => None,
    };
    let id = id.or_else(|| signed.map(hex::encode)).unwrap_or(arrival.id);
    let source = format!("/apps/{}/triggers/{}", hook.app, hook.trigger);
    let mut event = Event::new(id, source, RECEIVED)?
        .with("time", rfc3339(arrival.now_us))?
        .with(timetable::APP, hook.app.as_str())?
        .with(timetable::NAME, hook.trigger.as_str())?
        .with(SCHEME, spec.scheme.as_str())?;
    if let Some(what) = what {
        event.set(EVENT, what)?;
    }
    if let Some(trace) = arrival.trace {
        event.set(Event::TRACE_PARENT, trace)?;
    }
    // A type that is none is the sender's mistake and no reason to lose what it sent.
    if let Some(media) = headers.get(CONTENT_TYPE).and_then(|m| m.to_str().ok()) {
        let _ = event.set("datacontenttype", media);
    }
    if !body.is_empty() {
        let form = binding::form(event.datacontenttype());
        let bytes = body.clone();
        event = event.with_data(Data { bytes, form });
    }
    Ok(Request::Event(Box::new(event), key))
}

/// An id or a word as an attribute takes it.
fn word(text: String) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= MAX_WORD && !text.chars().any(char::is_control);
    fits.then_some(text)
}

/// How long a signed time may be away from now.
pub(crate) fn tolerance(spec: &WebhookSpec) -> Duration {
    spec.tolerance.map_or(SHORT, |tolerance| tolerance.0)
}

/// For how long a delivery is known, so that it is not delivered again. A signed time may lie ahead by the tolerance, and
/// is good until it is past by as much.
pub(crate) fn memory(spec: &WebhookSpec) -> Duration {
    let signed_time = matches!(spec.scheme, WebhookScheme::Stripe | WebhookScheme::Slack);
    let has_id = signed_time || spec.scheme == WebhookScheme::Github || spec.id_header.is_some();
    let least = if has_id { DAY } else { SHORT };
    least.max(tolerance(spec) * 2)
}

/// Refuses what could never be called, or never be checked.
pub fn check(spec: &WebhookSpec) -> Result<()> {
    let pattern = RoutePattern::parse(&spec.path)?;
    let literal = |segment: &Segment| matches!(segment, Segment::Literal(_));
    if pattern.wildcard() || !pattern.segments().iter().all(literal) {
        let text = format!("a webhook's path is one path: {:?}", spec.path);
        return Err(Error::invalid(text).hint("leave `:name` and `/...` out"));
    }
    let signed = spec.scheme != WebhookScheme::None;
    if signed == spec.secrets.is_empty() || spec.secrets.len() > MAX_SECRETS {
        let text = format!(
            "a webhook of the scheme {} has {}: {}",
            spec.scheme.as_str(),
            match signed {
                true => format!("1 to {MAX_SECRETS} secrets"),
                false => "no secrets".to_owned(),
            },
            spec.secrets.len()
        );
        return Err(Error::invalid(text));
    }
    if let Some(tolerance) = spec.tolerance {
        if !matches!(spec.scheme, WebhookScheme::Stripe | WebhookScheme::Slack) {
            let scheme = spec.scheme.as_str();
            let text = format!("the scheme {scheme} signs no time, so it has no tolerance");
            return Err(Error::invalid(text));
        }
        if tolerance.0 < Duration::from_secs(1) || tolerance.0 > MAX_TOLERANCE {
            let text = format!("a webhook's tolerance is from 1s to 1d: {tolerance}");
            return Err(Error::invalid(text));
        }
    }
    let own = matches!(spec.scheme, WebhookScheme::Hmac(_) | WebhookScheme::None);
    let given = [&spec.id_header, &spec.event_header];
    let mut names: Vec<_> = given.into_iter().flatten().collect();
    if !own && !names.is_empty() {
        let scheme = spec.scheme.as_str();
        let text = format!("the scheme {scheme} knows its headers, so it is not told of any");
        return Err(Error::invalid(text));
    }
    if let WebhookScheme::Hmac(hmac) = &spec.scheme {
        names.push(&hmac.header);
        if hmac.prefix.len() > MAX_WORD || !hmac.prefix.bytes().all(|b| b.is_ascii_graphic()) {
            let text = format!("not the beginning of a signature: {:?}", hmac.prefix);
            return Err(Error::invalid(text));
        }
    }
    match names.into_iter().find(|name| !is_header(name)) {
        Some(name) => Err(Error::invalid(format!(
            "not the name of a header: {name:?}"
        ))),
        None => Ok(()),
    }
}

fn is_header(name: &str) -> bool {
    name.len() <= MAX_WORD && HeaderName::from_bytes(name.as_bytes()).is_ok()
}
