//! What the specification says of names and values.

use super::{Event, Value};
use crate::{Error, Result};

/// Letters of a value that an error repeats.
const SHOWN: usize = 80;

/// Lower-case letters and digits, and not a name that the JSON format needs for itself.
pub(super) fn name(name: &str) -> Result<()> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let fault = if name.is_empty() || !name.bytes().all(fits) {
        "an attribute's name is of lower-case letters and digits"
    } else if name.len() > Event::MAX_NAME {
        "an attribute's name is too long"
    } else if name == "data" {
        "an attribute may not have the name of the data"
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("{fault}: {:?}", shown(name))))
}

/// The value as the attribute of this name has it: of its type, and within the rules of that type.
pub(super) fn value(name: &str, value: Value) -> Result<Value> {
    let value = typed(name, value)?;
    let fits = match &value {
        Value::Boolean(_) | Value::Integer(_) | Value::Binary(_) => true,
        Value::String(text) => is_text(text),
        Value::Uri(text) => is_uri_reference(text) && has_scheme(text),
        Value::UriRef(text) => is_uri_reference(text),
        Value::Timestamp(text) => is_timestamp(text),
    };
    if fits {
        return Ok(value);
    }
    let text = value.text();
    let shown = shown(&text);
    Err(match &value {
        Value::Timestamp(_) => Error::invalid(format!("{name} is not a time: {shown:?}"))
            .hint("write it like \"2026-04-05T17:31:00Z\""),
        Value::Uri(_) => Error::invalid(format!("{name} is not an absolute URI: {shown:?}")).hint(
            "it has a scheme, and everything but letters, digits and marks is percent-encoded",
        ),
        Value::UriRef(_) => Error::invalid(format!("{name} is not a URI reference: {shown:?}"))
            .hint("everything but letters, digits and marks is percent-encoded"),
        _ => Error::invalid(format!(
            "{name} has a control character or one that is none: {shown:?}"
        )),
    })
}

/// Text as the attribute of this name takes it. What it takes no text for is refused.
fn typed(name: &str, value: Value) -> Result<Value> {
    let value = match name {
        "specversion" | "id" | "type" | "subject" | "datacontenttype" => plain(name, value)?,
        Event::PARTITION_KEY | Event::TRACE_PARENT | Event::TRACE_STATE => plain(name, value)?,
        "source" => Value::UriRef(text(name, value)?),
        "dataschema" => Value::Uri(text(name, value)?),
        "time" => Value::Timestamp(text(name, value)?),
        Event::HOPS => hops(value)?,
        _ => return Ok(value),
    };
    match (name, value.as_str()) {
        (_, Some("")) => Err(Error::invalid(format!("an attribute is empty: {name}"))),
        ("specversion", Some(version)) if version != Event::SPEC_VERSION => {
            let shown = shown(version);
            Err(Error::invalid(format!("unknown specversion: {shown:?}"))
                .hint(format!("send {:?}", Event::SPEC_VERSION)))
        }
        ("datacontenttype", Some(media)) if !is_media_type(media) => {
            let shown = shown(media);
            Err(Error::invalid(format!(
                "datacontenttype is not a media type: {shown:?}"
            )))
        }
        // In a header it would say that the body is the event: another one than the one that was looked at.
        ("datacontenttype", Some(media)) if is_event_format(media) => {
            let shown = shown(media);
            Err(
                Error::invalid(format!("datacontenttype is that of an event: {shown:?}"))
                    .hint("data that is an event has a type of its own, such as application/json"),
            )
        }
        _ => Ok(value),
    }
}

fn plain(name: &str, value: Value) -> Result<Value> {
    text(name, value).map(Value::String)
}

fn text(name: &str, value: Value) -> Result<String> {
    match value {
        Value::String(text) | Value::Uri(text) | Value::UriRef(text) | Value::Timestamp(text) => {
            Ok(text)
        }
        Value::Boolean(_) | Value::Integer(_) | Value::Binary(_) => {
            let (what, text) = (value.what(), value.text());
            let shown = shown(&text);
            Err(Error::invalid(format!(
                "{name} is text and not {what}: {shown}"
            )))
        }
    }
}

/// As headers have only text, a number in text is one too.
fn hops(value: Value) -> Result<Value> {
    let hops = match &value {
        Value::Integer(hops) => Some(*hops),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match hops {
        Some(hops) if hops >= 0 => Ok(Value::Integer(hops)),
        _ => {
            let text = value.text();
            let (name, shown) = (Event::HOPS, shown(&text));
            Err(Error::invalid(format!(
                "{name} is not a number of hops: {shown:?}"
            )))
        }
    }
}

/// No control characters, and none of the code points that Unicode keeps from ever being characters.
fn is_text(text: &str) -> bool {
    text.chars().all(is_character)
}

pub(super) fn is_character(c: char) -> bool {
    let code = u32::from(c);
    !(c.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe)
}

/// The characters of RFC 3986 and whole escapes. Letters outside ASCII are let through, as in RFC 3987: producers send them,
/// and what is the same on all ways is no harm.
fn is_uri_reference(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let fits = match c {
            '%' => (0..2).all(|_| chars.next().is_some_and(|c| c.is_ascii_hexdigit())),
            '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' => false,
            c => !c.is_whitespace(),
        };
        if !fits {
            return false;
        }
    }
    is_text(text)
}

fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else {
        return false;
    };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// `type/subtype`, and parameters that nobody looks at here.
fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let token = |text: &str| {
        let mark = |b: u8| b"!#$%&'*+-.^_`|~".contains(&b);
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || mark(b))
    };
    essence
        .split_once('/')
        .is_some_and(|(kind, sub)| token(kind) && token(sub))
}

fn is_event_format(media: &str) -> bool {
    let start = media.get(..Event::MEDIA_TYPES.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(Event::MEDIA_TYPES))
}

/// RFC 3339: `2026-04-05T17:31:00.25+08:00`. A leap second is accepted at any minute's end.
fn is_timestamp(text: &str) -> bool {
    let Some(rest) = date(text) else {
        return false;
    };
    let Some(rest) = rest.strip_prefix(['T', 't']) else {
        return false;
    };
    let Some(rest) = clock(rest, 60) else {
        return false;
    };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let end = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if end.len() == fraction.len() {
                return false;
            }
            end
        }
        None => rest,
    };
    match rest.strip_prefix(['+', '-']) {
        Some(offset) => hour_and_minute(offset) == Some(""),
        None => matches!(rest, "Z" | "z"),
    }
}

fn date(text: &str) -> Option<&str> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    (1..=days).contains(&day).then_some(rest)
}

fn clock(text: &str, last_second: u32) -> Option<&str> {
    let rest = hour_and_minute(text)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    (second <= last_second).then_some(rest)
}

fn hour_and_minute(text: &str) -> Option<&str> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    (hour < 24 && minute < 60).then_some(rest)
}

/// The number of exactly this many digits, and what follows.
fn digits(text: &str, count: usize) -> Option<(u32, &str)> {
    let (number, rest) = text.split_at_checked(count)?;
    let all = number.bytes().all(|b| b.is_ascii_digit());
    all.then(|| number.parse().ok().map(|number| (number, rest)))?
}

fn shown(text: &str) -> &str {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}
