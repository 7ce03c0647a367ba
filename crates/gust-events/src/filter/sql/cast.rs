//! From one type to another. Every type becomes every other; only text may fail to.

use std::borrow::Cow;

use super::{Fault, Type, Value};

pub(super) fn to(value: Value<'_>, kind: Type) -> Result<Value<'_>, Fault<'_>> {
    Ok(match kind {
        Type::Boolean => Value::Boolean(boolean(value)?),
        Type::Integer => Value::Integer(integer(value)?),
        Type::String => Value::String(string(value)),
    })
}

pub(super) fn boolean(value: Value<'_>) -> Result<bool, Fault<'_>> {
    match &value {
        Value::Boolean(value) => Ok(*value),
        Value::Integer(value) => Ok(*value != 0),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Value::String(_) => Err(Fault::Cast(value, Type::Boolean)),
    }
}

/// Text is digits and perhaps a sign, which is what the standard library reads too.
pub(super) fn integer(value: Value<'_>) -> Result<i32, Fault<'_>> {
    match &value {
        Value::Boolean(value) => Ok(i32::from(*value)),
        Value::Integer(value) => Ok(*value),
        Value::String(text) => match text.parse() {
            Ok(number) => Ok(number),
            Err(_) => Err(Fault::Cast(value, Type::Integer)),
        },
    }
}

pub(super) fn string(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Boolean(true) => Cow::Borrowed("true"),
        Value::Boolean(false) => Cow::Borrowed("false"),
        Value::Integer(value) => Cow::Owned(value.to_string()),
        Value::String(text) => text,
    }
}
