//! Values that go out.

use bytes::BufMut as _;
use gust_backend::sql::Value;

use super::{Column, Format, Type, numeric, times, uuid};
use crate::{error::Fault, wire::Wire};

// === impl Wire ===

impl Wire {
    /// A row. One that cannot be written leaves nothing.
    pub(crate) fn put_row(&mut self, columns: &[Column], row: &[Value]) -> Result<(), Fault> {
        let start = self.output.len();
        self.output.put_u8(b'D');
        self.output.put_u32(0);
        self.output.put_u16(columns.len() as u16);
        let mut written = Vec::new();
        for (column, value) in columns.iter().zip(row) {
            if *value == Value::Null {
                self.output.put_i32(-1);
                continue;
            }
            written.clear();
            if let Err(fault) = put(&mut written, column, value) {
                self.output.truncate(start);
                return Err(fault);
            }
            self.output.put_u32(written.len() as u32);
            self.output.extend_from_slice(&written);
        }
        let length = (self.output.len() - start - 1) as u32;
        if let Some(place) = self.output.get_mut(start + 1..start + 5) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }
}

/// Writes a value. As text any value can be written in any column; in binary it has to fit.
fn put(body: &mut Vec<u8>, column: &Column, value: &Value) -> Result<(), Fault> {
    match column.format {
        Format::Text => {
            let text = text(column.kind, value);
            body.extend_from_slice(text.as_bytes());
            Ok(())
        }
        Format::Binary => binary(body, column.kind, value).ok_or_else(|| unfit(column)),
    }
}

fn unfit(column: &Column) -> Fault {
    let text = format!(
        "a value of column \"{}\" is not of the type that was told",
        column.name
    );
    Fault::new("22000", text)
        .hint("CAST it to one type in the statement, or ask for results as text")
}

/// How PostgreSQL writes a value of this type; one that is of another, as it is.
pub(crate) fn text(kind: Type, value: &Value) -> String {
    match (kind, value) {
        (_, Value::Null) => String::new(),
        (Type::Bool, Value::Integer(0)) => "f".to_owned(),
        (Type::Bool, Value::Integer(1)) => "t".to_owned(),
        (_, Value::Integer(n)) => n.to_string(),
        (Type::Numeric, Value::Real(x)) => format!("{x}"),
        (_, Value::Real(x)) => real(*x),
        (_, Value::Blob(blob)) => format!("\\x{}", hex::encode(blob)),
        (Type::Timestamp, Value::Text(text)) => again(text, times::timestamp(text), ""),
        (Type::Timestamptz, Value::Text(text)) => again(text, times::timestamptz(text), "+00"),
        (Type::Time, Value::Text(text)) => times::time(text)
            .and_then(times::time_text)
            .unwrap_or_else(|| text.clone()),
        (_, Value::Text(text)) => text.clone(),
    }
}

/// A time in PostgreSQL's spelling.
fn again(text: &str, micros: Option<i64>, zone: &str) -> String {
    let spelt = micros.and_then(times::timestamp_text);
    spelt.map_or_else(|| text.to_owned(), |spelt| spelt + zone)
}

fn real(x: f64) -> String {
    if x.is_infinite() {
        return if x > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let text = format!("{x:?}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

fn binary(body: &mut Vec<u8>, kind: Type, value: &Value) -> Option<()> {
    match (kind, value) {
        (Type::Int8, Value::Integer(n)) => body.put_i64(*n),
        (Type::Int4 | Type::Oid, Value::Integer(n)) => body.put_i32(i32::try_from(*n).ok()?),
        (Type::Int2, Value::Integer(n)) => body.put_i16(i16::try_from(*n).ok()?),
        (Type::Bool, Value::Integer(n @ (0 | 1))) => body.put_u8(*n as u8),
        (Type::Float8, Value::Real(x)) => body.put_f64(*x),
        (Type::Float8, Value::Integer(n)) => body.put_f64(*n as f64),
        (Type::Float4, Value::Real(x)) => body.put_f32(*x as f32),
        (Type::Bytea, Value::Blob(blob)) => body.put_slice(blob),
        (Type::Numeric, Value::Integer(_) | Value::Real(_)) if kind.fits(value) => {
            numeric::put(body, &text(kind, value));
        }
        (Type::Date, Value::Text(text)) => body.put_i32(times::date(text)?),
        (Type::Time, Value::Text(text)) => body.put_i64(times::time(text)?),
        (Type::Timestamp, Value::Text(text)) => body.put_i64(times::timestamp(text)?),
        (Type::Timestamptz, Value::Text(text)) => body.put_i64(times::timestamptz(text)?),
        (Type::Uuid, Value::Text(text)) => body.put_slice(&uuid(text)?),
        (Type::Json, Value::Text(text)) => body.put_slice(text.as_bytes()),
        (Type::Jsonb, Value::Text(text)) => {
            body.put_u8(1);
            body.put_slice(text.as_bytes());
        }
        (Type::Text | Type::Varchar | Type::Bpchar | Type::Name | Type::Unknown, value) => {
            body.put_slice(text(kind, value).as_bytes());
        }
        _ => return None,
    }
    Some(())
}
