//! CloudEvents over HTTP, both ways: the HTTP protocol binding 1.0 with the JSON event format.
//!
//! Three modes. *Binary*: attributes are `ce-` headers and the body is the data. *Structured*: the body is one event in
//! JSON. *Batched*: the body is a list of those. [`mode`] tells from the headers alone whether there is an event at all, so
//! that a door can let plain requests pass before it reads a body; [`decode`] reads it; `encode_…` write one.
//!
//! A request is an event from the moment that its content type says so, or that one required attribute is among its headers.
//! Whatever is wrong from there on is an error that names the attribute.

use bytes::Bytes;
use gust_types::{ByteSize, Error, Event, Result};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

mod binary;
mod header;
mod json;
mod media;

pub use media::{declares_json, form};

/// How events are laid into a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Attributes in headers, the data as the body.
    Binary,
    /// One event as the body.
    Structured,
    /// A list of events as the body.
    Batched,
}

/// What may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// One event, attributes and data. 1 MiB; the specification asks for no more than 64 KiB to be forwarded.
    pub event_bytes: ByteSize,
    /// The body of a batch. 16 MiB: a batch is held in memory whole.
    pub batch_bytes: ByteSize,
    /// Events of a batch: 10,000.
    pub batch_events: usize,
    /// Extensions of an event. No more than [`Event::MAX_EXTENSIONS`] have an effect.
    pub extensions: usize,
    /// All attributes of an event. No more than [`Event::MAX_ATTRIBUTE_BYTES`] has an effect.
    pub attribute_bytes: ByteSize,
}

/// What came.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// How.
    pub mode: Mode,
    /// One event; of a batch any number, none too.
    pub events: Vec<Event>,
}

/// The media type of one event in JSON.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// The media type of a batch in JSON.
pub const BATCHED: &str = "application/cloudevents-batch+json";

const ANY_BATCH: &str = "application/cloudevents-batch";

/// What the headers say of the body, or `None` when this is no event.
pub fn mode(headers: &HeaderMap) -> Option<Mode> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    if types.any(|media| starts_with(media, Event::MEDIA_TYPES)) {
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        return Some(match types.any(|media| starts_with(media, ANY_BATCH)) {
            true => Mode::Batched,
            false => Mode::Structured,
        });
    }
    binary::is_event(headers).then_some(Mode::Binary)
}

/// The events of a message, or `None` when it has no intention to be one.
pub fn decode(headers: &HeaderMap, body: &Bytes, limits: &Limits) -> Result<Option<Decoded>> {
    let Some(mode) = mode(headers) else {
        return Ok(None);
    };
    let (most, what) = match mode {
        Mode::Binary | Mode::Structured => (limits.event_bytes, "an event"),
        Mode::Batched => (limits.batch_bytes, "a batch"),
    };
    if body.len() as u64 > most.bytes() {
        return Err(too_large(what, most, body.len()));
    }
    let events = match mode {
        Mode::Binary => vec![binary::decode(headers, body, limits)?],
        Mode::Structured => {
            media::is_format(headers, STRUCTURED)?;
            vec![json::decode(body, limits)?]
        }
        Mode::Batched => {
            media::is_format(headers, BATCHED)?;
            json::decode_batch(body, limits)?
        }
    };
    Ok(Some(Decoded { mode, events }))
}

/// The event as headers and its data.
pub fn encode_binary(event: &Event) -> (HeaderMap, Bytes) {
    binary::encode(event)
}

/// The event as one JSON document, with the header that says so.
pub fn encode_structured(event: &Event) -> Result<(HeaderMap, Bytes)> {
    Ok((content_type(STRUCTURED), json::encode(event)?))
}

/// The events as one JSON document, with the header that says so. Nobody sends a batch who was not asked to.
pub fn encode_batch<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<(HeaderMap, Bytes)> {
    Ok((content_type(BATCHED), json::encode_batch(events)?))
}

fn content_type(media: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))])
}

fn starts_with(media: &HeaderValue, start: &str) -> bool {
    let head = media.as_bytes().get(..start.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

/// What the attributes and the data come to, once they are read.
fn fits(event: Event, limits: &Limits) -> Result<Event> {
    let (extensions, attributes) = event.counted();
    if extensions > limits.extensions {
        return Err(too_many_extensions(limits));
    }
    if attributes as u64 > limits.attribute_bytes.bytes() {
        return Err(too_large(
            "the attributes of an event",
            limits.attribute_bytes,
            attributes,
        ));
    }
    if event.size() as u64 > limits.event_bytes.bytes() {
        return Err(too_large("an event", limits.event_bytes, event.size()));
    }
    Ok(event)
}

/// Refused while attributes are still being counted.
fn too_many_extensions(limits: &Limits) -> Error {
    let most = limits.extensions.min(Event::MAX_EXTENSIONS);
    Error::invalid(format!(
        "an event has too many extensions: more than {most}"
    ))
}

fn too_large(what: &str, most: ByteSize, bytes: usize) -> Error {
    Error::too_large(format!("{what} may have {most} at most: {bytes} bytes"))
}

// === impl Limits ===

impl Limits {
    /// No event has more attributes than this, whatever they are.
    fn attributes(&self) -> usize {
        let extensions = self.extensions.min(Event::MAX_EXTENSIONS);
        Event::CORE.len() + extensions + Event::UNCOUNTED
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes: ByteSize::mib(1),
            batch_bytes: ByteSize::mib(16),
            batch_events: 10_000,
            extensions: Event::MAX_EXTENSIONS,
            attribute_bytes: ByteSize(Event::MAX_ATTRIBUTE_BYTES as u64),
        }
    }
}

#[cfg(test)]
mod tests;
