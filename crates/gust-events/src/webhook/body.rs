//! The few words of a body that its scheme gives a meaning.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What a look into a body found; nothing where it is no JSON, or of another shape.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Peek {
    /// The delivery's own id.
    pub(super) id: Option<String>,
    /// What happened.
    pub(super) what: Option<String>,
    /// Slack asks whether this is the right address.
    pub(super) challenge: Option<String>,
}

/// Everything else is passed over without being kept.
#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    event_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    challenge: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

// === impl Peek ===

impl Peek {
    pub(super) fn of(body: &[u8]) -> Self {
        let Ok(outline) = serde_json::from_slice::<Outline<'_>>(body) else {
            return Self::default();
        };
        let kind = outline.kind.and_then(text);
        let asks = kind.as_deref() == Some("url_verification");
        let inner = outline.event.and_then(|event| {
            let inner: Inner<'_> = serde_json::from_str(event.get()).ok()?;
            text(inner.kind?)
        });
        let id = outline.event_id.or(outline.id);
        Self {
            id: id.and_then(text),
            what: inner.or(kind),
            challenge: outline.challenge.filter(|_| asks).and_then(text),
        }
    }
}

fn text(value: &RawValue) -> Option<String> {
    super::word(serde_json::from_str(value.get()).ok()?)
}
