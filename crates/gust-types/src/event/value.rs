//! The type system of CloudEvents.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

/// The value of an attribute.
///
/// What an event came in does not tell all types apart: of an extension, headers have only text, and JSON has text for bytes,
/// times and URIs. Whoever compares, compares [`Value::text`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// True or false.
    Boolean(bool),
    /// A whole number of 32 bits.
    Integer(i32),
    /// Text without control characters.
    String(String),
    /// Bytes; Base64 where text is needed.
    Binary(Bytes),
    /// An absolute URI.
    Uri(String),
    /// A URI, or one relative to something.
    UriRef(String),
    /// A date and a time in RFC 3339, written as it came.
    Timestamp(String),
}

// === impl Value ===

impl Value {
    /// The text of what is kept as text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::Uri(text) | Self::UriRef(text) | Self::Timestamp(text) => {
                Some(text)
            }
            Self::Boolean(_) | Self::Integer(_) | Self::Binary(_) => None,
        }
    }

    /// How the specification writes it as text.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Boolean(true) => Cow::Borrowed("true"),
            Self::Boolean(false) => Cow::Borrowed("false"),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Binary(bytes) => Cow::Owned(STANDARD.encode(bytes)),
            Self::String(text) | Self::Uri(text) | Self::UriRef(text) | Self::Timestamp(text) => {
                Cow::Borrowed(text)
            }
        }
    }

    /// Bytes of that text.
    pub(super) fn written_len(&self) -> usize {
        match self {
            Self::Binary(bytes) => bytes.len().div_ceil(3).saturating_mul(4),
            Self::Integer(_) => "-2147483648".len(),
            other => other.text().len(),
        }
    }

    /// What it is, for people.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::String(_) => "a string",
            Self::Binary(_) => "binary",
            Self::Uri(_) => "a URI",
            Self::UriRef(_) => "a URI reference",
            Self::Timestamp(_) => "a timestamp",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}
