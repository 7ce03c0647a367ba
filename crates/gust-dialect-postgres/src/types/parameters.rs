//! Values that come in, as text or in binary, into SQLite's.

use bytes::{Buf as _, Bytes};
use gust_backend::sql::Value;

use super::{Format, Type, numeric, times, uuid, uuid_text};
use crate::error::Fault;

/// What type a parameter has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The client says so: another value is refused.
    ByClient(Type),
    /// It was guessed from the statement: another value is taken for text.
    Guessed(Type),
    /// Nobody knows: texts are text, and bytes are bytes.
    Unknown,
}

/// The value of a parameter.
pub(crate) fn value(told: Told, format: Format, bytes: &Bytes) -> Result<Value, Fault> {
    let kind = match (told, format) {
        (Told::ByClient(kind) | Told::Guessed(kind), _) => kind,
        (Told::Unknown, Format::Text) => Type::Text,
        (Told::Unknown, Format::Binary) => Type::Bytea,
    };
    check_kept(kind, format, bytes)?;
    if format == Format::Binary {
        return binary(kind, bytes).ok_or_else(|| {
            Fault::new(
                "22P03",
                format!("incorrect binary data for a parameter of type {kind:?}"),
            )
        });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Fault::new("22021", "invalid byte sequence for encoding \"UTF8\""))?;
    match (text_value(kind, text), told) {
        (Some(value), _) => Ok(one_spelling(value, kind)),
        (None, Told::Guessed(_) | Told::Unknown) => Ok(other_value(kind, text)),
        (None, Told::ByClient(_)) => {
            let shown: String = text.chars().take(40).collect();
            let text = format!("invalid input for a parameter of type {kind:?}: \"{shown}\"");
            Err(Fault::new("22P02", text))
        }
    }
}

/// Refuses what SQLite has no value for.
fn check_kept(kind: Type, format: Format, bytes: &[u8]) -> Result<(), Fault> {
    let said = std::str::from_utf8(bytes).unwrap_or("").trim();
    let is = |words: &[&str]| words.iter().any(|word| said.eq_ignore_ascii_case(word));
    let text = format == Format::Text;
    let number = match kind {
        Type::Float4 | Type::Float8 | Type::Numeric if text => is(&["nan", "-nan", "+nan"]),
        Type::Float4 => bytes
            .try_into()
            .is_ok_and(|bytes| f32::from_be_bytes(bytes).is_nan()),
        Type::Float8 => bytes
            .try_into()
            .is_ok_and(|bytes| f64::from_be_bytes(bytes).is_nan()),
        Type::Numeric => bytes.get(4..6) == Some(&numeric::NAN[..]),
        _ => false,
    };
    if number {
        return Err(Fault::new("22003", "NaN is not kept").hint("use NULL"));
    }
    let infinite = match kind {
        Type::Date | Type::Timestamp | Type::Timestamptz if text => {
            is(&["infinity", "-infinity", "+infinity"])
        }
        Type::Date => matches!(bytes, [0x7f, 0xff, 0xff, 0xff] | [0x80, 0, 0, 0]),
        Type::Timestamp | Type::Timestamptz => bytes
            .try_into()
            .is_ok_and(|bytes| matches!(i64::from_be_bytes(bytes), i64::MIN | i64::MAX)),
        _ => false,
    };
    if infinite {
        return Err(Fault::new("22008", "times without end are not kept")
            .hint("use NULL, or a day that is far enough away"));
    }
    Ok(())
}

fn text_value(kind: Type, text: &str) -> Option<Value> {
    let trimmed = text.trim();
    Some(match kind {
        Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid => Value::Integer(trimmed.parse().ok()?),
        Type::Float4 | Type::Float8 => real(trimmed.parse().ok()?),
        Type::Numeric => number(trimmed)?,
        Type::Bool => Value::Integer(boolean(trimmed)?.into()),
        Type::Bytea => Value::Blob(bytea(text)?),
        _ => Value::Text(text.to_owned()),
    })
}

/// What was taken for an integer may be another number.
fn other_value(kind: Type, text: &str) -> Value {
    let number = kind.is_number().then(|| number(text.trim())).flatten();
    number.unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// SQLite has no value for what is no number.
fn real(x: f64) -> Value {
    if x.is_nan() {
        Value::Null
    } else {
        Value::Real(x)
    }
}

/// SQLite has integers of 64 bits and floating point for the rest.
fn number(text: &str) -> Option<Value> {
    if let Ok(n) = text.parse() {
        return Some(Value::Integer(n));
    }
    text.parse().ok().map(real)
}

/// PostgreSQL's words for yes and no.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match &*text.to_ascii_lowercase() {
        "t" | "true" | "y" | "yes" | "on" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Bytes as text: `\x..`, or the older form with octal numbers.
pub(crate) fn bytea(text: &str) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        return hex::decode(digits).ok();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
        } else if let Some(after) = rest.strip_prefix(b"\\") {
            bytes.push(b'\\');
            rest = after;
        } else {
            let digits = std::str::from_utf8(rest.get(..3)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 8).ok()?);
            rest = rest.get(3..)?;
        }
    }
    Some(bytes)
}

fn binary(kind: Type, bytes: &Bytes) -> Option<Value> {
    let mut rest = &bytes[..];
    let wanted = match kind {
        Type::Bool => 1,
        Type::Int2 => 2,
        Type::Int4 | Type::Oid | Type::Float4 | Type::Date => 4,
        Type::Int8 | Type::Float8 | Type::Time | Type::Timestamp | Type::Timestamptz => 8,
        Type::Uuid => 16,
        _ => bytes.len(),
    };
    if bytes.len() != wanted {
        return None;
    }
    Some(match kind {
        Type::Bool => Value::Integer((rest.get_u8() != 0).into()),
        Type::Int2 => Value::Integer(rest.get_i16().into()),
        Type::Int4 => Value::Integer(rest.get_i32().into()),
        Type::Oid => Value::Integer(rest.get_u32().into()),
        Type::Int8 => Value::Integer(rest.get_i64()),
        Type::Float4 => real(rest.get_f32().into()),
        Type::Float8 => real(rest.get_f64()),
        Type::Numeric => number(&numeric::read(rest)?)?,
        Type::Bytea => Value::Blob(rest.to_vec()),
        Type::Date => Value::Text(times::date_text(rest.get_i32())?),
        Type::Time => Value::Text(times::time_text(rest.get_i64())?),
        Type::Timestamp | Type::Timestamptz => Value::Text(times::timestamp_text(rest.get_i64())?),
        Type::Uuid => Value::Text(uuid_text(rest)),
        Type::Jsonb => text(rest.strip_prefix(&[1])?)?,
        _ => text(rest)?,
    })
}

fn text(bytes: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(Value::Text(text.to_owned()))
}

/// The same UUID or time in one spelling, so that equal ones are equal.
fn one_spelling(value: Value, kind: Type) -> Value {
    let again = match (kind, &value) {
        (Type::Uuid, Value::Text(text)) => uuid(text).map(|bytes| uuid_text(&bytes)),
        (Type::Timestamptz, Value::Text(text)) => times::in_utc(text),
        (Type::Timestamp, Value::Text(text)) => {
            times::timestamp(text).and_then(times::timestamp_text)
        }
        _ => None,
    };
    again.map_or(value, Value::Text)
}
