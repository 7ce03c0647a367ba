//! Values in and out, in both formats.

use bytes::Bytes;
use gust_backend::sql::Value;

use super::{
    Format, Type, numeric, of_values,
    parameters::{Told, bytea, value},
    times,
    write::text,
};

fn int(n: i64) -> Value {
    Value::Integer(n)
}

fn said(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn a_column_has_one_type() {
    let cases: &[(Option<Type>, &[Value], Type)] = &[
        (None, &[], Type::Text),
        (None, &[Value::Null, int(1)], Type::Int8),
        (None, &[int(1), Value::Real(0.5)], Type::Float8),
        (None, &[int(1), said("x")], Type::Text),
        (None, &[Value::Blob(vec![1])], Type::Bytea),
        (None, &[Value::Blob(vec![1]), said("x")], Type::Text),
        (Some(Type::Bool), &[int(1), int(0), Value::Null], Type::Bool),
        (Some(Type::Bool), &[int(1), int(2)], Type::Int8),
        (
            Some(Type::Timestamp),
            &[said("2026-01-02 03:04:05")],
            Type::Timestamp,
        ),
        (Some(Type::Timestamp), &[said("yesterday")], Type::Text),
        (Some(Type::Int8), &[said("x")], Type::Text),
        (Some(Type::Json), &[said("{\"a\": [1]}")], Type::Json),
        (Some(Type::Json), &[said("{")], Type::Text),
        (Some(Type::Uuid), &[], Type::Uuid),
    ];
    for (declared, values, wanted) in cases {
        assert_eq!(
            of_values(*declared, values.iter()),
            *wanted,
            "{declared:?} {values:?}"
        );
    }
}

#[test]
fn declarations_are_read() {
    for (declared, wanted) in [
        ("INTEGER", Some(Type::Int8)),
        ("BIGINT UNSIGNED", Some(Type::Int8)),
        ("varchar(30)", Some(Type::Text)),
        ("DOUBLE PRECISION", Some(Type::Float8)),
        ("NUMERIC(10, 2)", Some(Type::Numeric)),
        ("TIMESTAMP WITH TIME ZONE", Some(Type::Timestamptz)),
        ("TIMESTAMP(3) WITH TIME ZONE", Some(Type::Timestamptz)),
        ("DATETIME", Some(Type::Timestamp)),
        ("BOOLEAN", Some(Type::Bool)),
        ("", None),
        ("ANY", None),
    ] {
        assert_eq!(Type::of_declared(declared), wanted, "{declared}");
    }
}

#[test]
fn values_come_in_as_text_and_in_binary() {
    let good: &[(Type, Format, &[u8], Value)] = &[
        (Type::Int4, Format::Text, b" 12 ", int(12)),
        (Type::Int8, Format::Binary, &[255; 8], int(-1)),
        (Type::Int2, Format::Binary, &[1, 0], int(256)),
        (Type::Bool, Format::Text, b"t", int(1)),
        (Type::Bool, Format::Binary, &[0], int(0)),
        (Type::Float8, Format::Text, b"1e3", Value::Real(1000.0)),
        (Type::Numeric, Format::Text, b"12", int(12)),
        (Type::Numeric, Format::Text, b"12.50", Value::Real(12.5)),
        (
            Type::Bytea,
            Format::Text,
            b"\\x00ff",
            Value::Blob(vec![0, 255]),
        ),
        (
            Type::Bytea,
            Format::Text,
            b"a\\\\\\001",
            Value::Blob(b"a\\\x01".to_vec()),
        ),
        (
            Type::Date,
            Format::Binary,
            &[0, 0, 0, 1],
            said("2000-01-02"),
        ),
        (
            Type::Timestamp,
            Format::Binary,
            &[0; 8],
            said("2000-01-01 00:00:00"),
        ),
        (
            Type::Timestamptz,
            Format::Binary,
            &[0; 8],
            said("2000-01-01 00:00:00"),
        ),
        (
            Type::Timestamptz,
            Format::Text,
            b"2026-01-02T05:04:05.000+02:00",
            said("2026-01-02 03:04:05"),
        ),
        (
            Type::Timestamp,
            Format::Text,
            b"2026-01-02T03:04:05.5",
            said("2026-01-02 03:04:05.500"),
        ),
        (Type::Text, Format::Binary, "中文".as_bytes(), said("中文")),
        (Type::Jsonb, Format::Binary, b"\x01{}", said("{}")),
    ];
    for (kind, format, bytes, wanted) in good {
        let found = value(Told::ByClient(*kind), *format, &Bytes::from_static(bytes));
        assert_eq!(found.as_ref(), Ok(wanted), "{kind:?}");
    }
    let bad: &[(Type, Format, &[u8], &str)] = &[
        (Type::Int4, Format::Text, b"x", "22P02"),
        (Type::Float8, Format::Text, b"NaN", "22003"),
        (
            Type::Float8,
            Format::Binary,
            &[0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
            "22003",
        ),
        (Type::Float4, Format::Binary, &[0x7f, 0xc0, 0, 0], "22003"),
        (Type::Numeric, Format::Text, b"nan", "22003"),
        (
            Type::Numeric,
            Format::Binary,
            &[0, 0, 0, 0, 0xc0, 0, 0, 0],
            "22003",
        ),
        (Type::Date, Format::Text, b"infinity", "22008"),
        (
            Type::Date,
            Format::Binary,
            &[0x7f, 0xff, 0xff, 0xff],
            "22008",
        ),
        (Type::Timestamptz, Format::Text, b"-Infinity", "22008"),
        (
            Type::Timestamp,
            Format::Binary,
            &[0x80, 0, 0, 0, 0, 0, 0, 0],
            "22008",
        ),
        (Type::Int4, Format::Binary, b"x", "22P03"),
        (Type::Int8, Format::Text, b"99999999999999999999", "22P02"),
        (Type::Bool, Format::Text, b"maybe", "22P02"),
        (Type::Bytea, Format::Text, b"\\9", "22P02"),
        (Type::Text, Format::Text, b"\xff", "22021"),
        (Type::Text, Format::Binary, b"\xff", "22P03"),
        (Type::Timestamp, Format::Binary, &[0x7f; 8], "22P03"),
        (Type::Uuid, Format::Binary, b"short", "22P03"),
        (
            Type::Numeric,
            Format::Binary,
            &[0, 9, 0, 0, 0, 0, 0, 0],
            "22P03",
        ),
    ];
    for (kind, format, bytes, code) in bad {
        let fault = value(Told::ByClient(*kind), *format, &Bytes::from_static(bytes)).unwrap_err();
        assert_eq!(fault.code, *code, "{kind:?}");
    }
    let guessed = value(
        Told::Guessed(Type::Int8),
        Format::Text,
        &Bytes::from_static(b"x"),
    );
    assert_eq!(guessed, Ok(said("x")));
    assert_eq!(bytea("\\xz"), None);
}

#[test]
fn values_are_written_as_postgres_does() {
    for (kind, value, wanted) in [
        (Type::Bool, int(1), "t"),
        (Type::Bool, int(5), "5"),
        (Type::Float8, Value::Real(1.0), "1"),
        (Type::Float8, Value::Real(1e300), "1e300"),
        (Type::Float8, Value::Real(f64::INFINITY), "Infinity"),
        (Type::Bytea, Value::Blob(vec![0, 255]), "\\x00ff"),
        (Type::Text, Value::Blob(vec![1]), "\\x01"),
        (
            Type::Timestamp,
            said("2026-01-02T03:04:05.5"),
            "2026-01-02 03:04:05.500",
        ),
        (
            Type::Timestamptz,
            said("2026-01-02T03:04:05Z"),
            "2026-01-02 03:04:05+00",
        ),
        (
            Type::Timestamptz,
            said("2026-01-02 03:04:05+02:00"),
            "2026-01-02 01:04:05+00",
        ),
        (Type::Timestamp, said("not a time"), "not a time"),
        (Type::Time, said("1:2:3"), "01:02:03"),
    ] {
        assert_eq!(text(kind, &value), wanted);
    }
}

#[test]
fn decimal_numbers_go_through_binary() {
    for number in [
        "0",
        "1",
        "-1",
        "12.5",
        "-0.001",
        "10000",
        "123456789.123456789",
        "0.00012345",
    ] {
        let mut bytes = Vec::new();
        numeric::put(&mut bytes, number);
        assert_eq!(numeric::read(&bytes).as_deref(), Some(number));
    }
    assert_eq!(numeric::read(&[0, 0, 0x7f, 0xff, 0, 0, 0, 0]), None);
    assert_eq!(numeric::read(&[]), None);
}

#[test]
fn times_are_read_in_the_forms_that_there_are() {
    assert_eq!(times::date("2000-01-02"), Some(1));
    assert_eq!(times::date("1999-12-31"), Some(-1));
    assert_eq!(times::date("2000-1"), None);
    assert_eq!(times::date("2000-1-2"), None);
    assert_eq!(times::date("+2000-01-02"), None);
    assert_eq!(times::time("00:00:01.5"), Some(1_500_000));
    assert_eq!(times::timestamp("2000-01-01 00:00"), Some(0));
    assert_eq!(times::timestamp("2000-01-01T00:00:00+01:00"), None);
    assert_eq!(times::timestamptz("2000-01-01 01:00:00+01"), Some(0));
    assert_eq!(
        times::timestamptz("2000-01-01 00:00:00.25-00:30"),
        Some(1_800_250_000)
    );
    assert_eq!(
        times::time_text(86_399_999_999).as_deref(),
        Some("23:59:59.999999")
    );
    assert_eq!(times::date_text(i32::MAX), None);
    assert_eq!(times::timestamp_text(i64::MIN), None);
}
