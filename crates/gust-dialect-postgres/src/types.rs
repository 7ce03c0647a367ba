//! Types, as far as SQLite's values have some: what a column is declared as, what fits it, and how it is written.
//!
//! A value has one of SQLite's five types; a column of an answer has one of PostgreSQL's for all its rows. Which one follows
//! from what the column is declared as, if the values that are seen first fit that, else from those values ([`of_values`]).
//!
//! - `parameters.rs`: values that come in.
//! - `write.rs`: values that go out.
//! - `numeric.rs`, `times.rs`: the forms of numbers and times.

pub(crate) mod numeric;
pub(crate) mod parameters;
#[cfg(test)]
mod tests;
pub(crate) mod times;
pub(crate) mod write;

use gust_backend::sql::Value;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text = 0,
    Binary = 1,
}

/// A type that columns and parameters have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Bytea,
    Int8,
    Int2,
    Int4,
    Text,
    Oid,
    Json,
    Float4,
    Float8,
    Unknown,
    Bpchar,
    Varchar,
    Name,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Numeric,
    Uuid,
    Jsonb,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Type,
    pub(crate) format: Format,
}

/// Each type with its number and its size.
const TYPES: &[(Type, u32, i16)] = &[
    (Type::Bool, 16, 1),
    (Type::Bytea, 17, -1),
    (Type::Name, 19, 64),
    (Type::Int8, 20, 8),
    (Type::Int2, 21, 2),
    (Type::Int4, 23, 4),
    (Type::Text, 25, -1),
    (Type::Oid, 26, 4),
    (Type::Json, 114, -1),
    (Type::Float4, 700, 4),
    (Type::Float8, 701, 8),
    (Type::Unknown, 705, -2),
    (Type::Bpchar, 1042, -1),
    (Type::Varchar, 1043, -1),
    (Type::Date, 1082, 4),
    (Type::Time, 1083, 8),
    (Type::Timestamp, 1114, 8),
    (Type::Timestamptz, 1184, 8),
    (Type::Numeric, 1700, -1),
    (Type::Uuid, 2950, 16),
    (Type::Jsonb, 3802, -1),
];

// === impl Type ===

impl Type {
    /// The type with this number.
    pub(crate) fn of_oid(oid: u32) -> Option<Self> {
        let found = TYPES.iter().find(|(_, number, _)| *number == oid);
        found.map(|(kind, ..)| *kind)
    }

    pub(crate) fn oid(self) -> u32 {
        self.row().1
    }

    pub(crate) fn size(self) -> i16 {
        self.row().2
    }

    fn row(self) -> (Self, u32, i16) {
        let found = TYPES.iter().find(|(kind, ..)| *kind == self);
        found.copied().unwrap_or((Self::Text, 25, -1))
    }

    /// What a column that is declared so is taken for; SQLite's own rules are coarser and count for what is stored.
    pub(crate) fn of_declared(declared: &str) -> Option<Self> {
        let lower = declared.to_ascii_lowercase();
        let name = lower.split('(').next().unwrap_or("").trim();
        let zone = lower.contains("with time zone");
        Some(match name.split_ascii_whitespace().next()? {
            "bool" | "boolean" => Self::Bool,
            "numeric" | "decimal" | "dec" => Self::Numeric,
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            "uuid" => Self::Uuid,
            "date" => Self::Date,
            "time" if !zone => Self::Time,
            "timestamptz" => Self::Timestamptz,
            "timestamp" if zone => Self::Timestamptz,
            "timestamp" | "datetime" => Self::Timestamp,
            "blob" | "bytea" => Self::Bytea,
            _ if name.contains("int") || name.contains("serial") => Self::Int8,
            _ if ["char", "text", "clob"]
                .iter()
                .any(|part| name.contains(part)) =>
            {
                Self::Text
            }
            _ if ["real", "floa", "doub"]
                .iter()
                .any(|part| name.contains(part)) =>
            {
                Self::Float8
            }
            _ => return None,
        })
    }

    /// Whether a value can be written as one of this type.
    pub(crate) fn fits(self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null) => true,
            (Self::Bool, Value::Integer(n)) => matches!(n, 0 | 1),
            (Self::Int8 | Self::Float8 | Self::Numeric, Value::Integer(_)) => true,
            (Self::Int4 | Self::Oid, Value::Integer(n)) => i32::try_from(*n).is_ok(),
            (Self::Int2, Value::Integer(n)) => i16::try_from(*n).is_ok(),
            (Self::Float8 | Self::Float4, Value::Real(_)) => true,
            (Self::Numeric, Value::Real(x)) => x.is_finite(),
            (Self::Bytea, Value::Blob(_)) => true,
            (Self::Text | Self::Varchar | Self::Bpchar | Self::Name | Self::Unknown, _) => true,
            (Self::Json | Self::Jsonb, Value::Text(text)) => {
                serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
            }
            (Self::Date, Value::Text(text)) => times::date(text).is_some(),
            (Self::Time, Value::Text(text)) => times::time(text).is_some(),
            (Self::Timestamp, Value::Text(text)) => times::timestamp(text).is_some(),
            (Self::Timestamptz, Value::Text(text)) => times::timestamptz(text).is_some(),
            (Self::Uuid, Value::Text(text)) => uuid(text).is_some(),
            _ => false,
        }
    }

    /// Whether it is one that numbers of any kind can be taken for.
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Int8 | Self::Float8 | Self::Numeric)
    }

    fn of_value(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => return None,
            Value::Integer(_) => Self::Int8,
            Value::Real(_) => Self::Float8,
            Value::Text(_) => Self::Text,
            Value::Blob(_) => Self::Bytea,
        })
    }
}

/// The type of a column with these values: as it is declared if all of them fit that, else theirs if it is one, else text.
pub(crate) fn of_values<'a>(
    declared: Option<Type>,
    values: impl Iterator<Item = &'a Value> + Clone,
) -> Type {
    if let Some(declared) = declared
        && values.clone().all(|value| declared.fits(value))
    {
        return declared;
    }
    let mut found = None;
    for kind in values.filter_map(Type::of_value) {
        found = match (found, kind) {
            (None, kind) => Some(kind),
            (Some(before), kind) if before == kind => Some(kind),
            (Some(Type::Int8 | Type::Float8), Type::Int8 | Type::Float8) => Some(Type::Float8),
            _ => return Type::Text,
        };
    }
    found.unwrap_or(Type::Text)
}

/// The sixteen bytes of a UUID.
pub(crate) fn uuid(text: &str) -> Option<[u8; 16]> {
    let text = text
        .strip_prefix('{')
        .and_then(|t| t.strip_suffix('}'))
        .unwrap_or(text);
    let digits = text.replace('-', "");
    let mut bytes = [0; 16];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

/// How a UUID is written.
pub(crate) fn uuid_text(bytes: &[u8]) -> String {
    let mut text = hex::encode(bytes);
    for at in [20, 16, 12, 8] {
        if text.is_char_boundary(at) && at <= text.len() {
            text.insert(at, '-');
        }
    }
    text
}
