//! An attribute's text in a header, and back.

use gust_types::{Error, Result};
use http::HeaderValue;

pub(super) use gust_types::event::in_header as encode;

/// Quotes are taken off first, as older producers put them on; then one round of percent-decoding. UTF-8 that nobody escaped
/// is read as well: it is what people type.
pub(super) fn decode(name: &str, value: &HeaderValue) -> Result<String> {
    let unquoted = unquote(value.as_bytes())
        .ok_or_else(|| Error::invalid(format!("a quote is not closed: ce-{name}")))?;
    let bytes = unescape(&unquoted).ok_or_else(|| {
        Error::invalid(format!("a percent sign starts no escape: ce-{name}"))
            .hint("a percent sign itself is written %25")
    })?;
    String::from_utf8(bytes).map_err(|_| Error::invalid(format!("not UTF-8: ce-{name}")))
}

/// The content of a quoted string, when the whole value is one.
fn unquote(value: &[u8]) -> Option<Vec<u8>> {
    let Some(quoted) = value.strip_prefix(b"\"") else {
        return Some(value.to_vec());
    };
    let mut text = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    loop {
        match bytes.next()? {
            b'"' => break,
            b'\\' => text.push(*bytes.next()?),
            byte => text.push(*byte),
        }
    }
    bytes.as_slice().is_empty().then_some(text)
}

fn unescape(value: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'%' => digit(bytes.next())? << 4 | digit(bytes.next())?,
            byte => *byte,
        });
    }
    Some(text)
}

fn digit(byte: Option<&u8>) -> Option<u8> {
    let digit = char::from(*byte?).to_digit(16)?;
    u8::try_from(digit).ok()
}
