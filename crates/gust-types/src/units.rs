//! Sizes and durations as people write them.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Error;

/// A number of bytes, written `64MiB`, `10MB`, `512KiB` or a plain number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

/// A length of time, written `250us`, `100ms`, `30s`, `5m`, `2h` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

const SIZES: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

const SPANS: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(split);
    let factor = units.iter().find(|(name, _)| *name == unit.trim())?.1;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let value = number.parse::<f64>().ok()? * factor as f64;
    (value.is_finite() && value >= 0.0 && value < u64::MAX as f64).then_some(value as u64)
}

fn print(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)], base: &str) -> fmt::Result {
    let best = units
        .iter()
        .filter(|(_, n)| value != 0 && value.is_multiple_of(*n))
        .max_by_key(|(_, n)| *n);
    match best {
        Some((name, n)) => write!(f, "{}{name}", value / n),
        None => write!(f, "{value}{base}"),
    }
}

impl ByteSize {
    /// This many mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
    /// This many kibibytes.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }
    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl Span {
    /// This many milliseconds.
    pub const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }
    /// This many seconds.
    pub const fn secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
}

impl FromStr for ByteSize {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        text.trim()
            .parse::<u64>()
            .ok()
            .or_else(|| parse(text, SIZES))
            .map(Self)
            .ok_or_else(|| {
                Error::invalid(format!("not a size: {text:?}"))
                    .hint("write it like \"64MiB\", \"10MB\" or a number of bytes")
            })
    }
}

impl FromStr for Span {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text, SPANS)
            .map(|us| Self(Duration::from_micros(us)))
            .ok_or_else(|| {
                Error::invalid(format!("not a duration: {text:?}"))
                    .hint("write it like \"100ms\", \"30s\", \"5m\" or \"2h\"")
            })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, self.0, &SIZES[..4], "B")
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, self.0.as_micros() as u64, SPANS, "us")
    }
}

macro_rules! as_text {
    ($name:ident, $what:literal) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<$name, E> {
                        n.to_string().parse().map_err(E::custom)
                    }
                    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<$name, E> {
                        n.to_string().parse().map_err(E::custom)
                    }
                }
                from.deserialize_any(Visitor)
            }
        }
    };
}
as_text!(ByteSize, "a size such as \"64MiB\"");
as_text!(Span, "a duration such as \"30s\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        for (text, bytes, printed) in [
            ("64MiB", 64 << 20, "64MiB"),
            ("10MB", 10_000_000, "10000000B"),
            ("1.5GiB", 3 << 29, "1536MiB"),
            ("12", 12, "12B"),
            ("0", 0, "0B"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size.0, bytes, "{text}");
            assert_eq!(size.to_string(), printed);
            assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
        }
        for bad in ["", "MiB", "-1", "1 parsec", "99999999999999999999TiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_read_and_print() {
        for (text, us) in [
            ("100ms", 100_000),
            ("30s", 30_000_000),
            ("5m", 300_000_000),
            ("1.5s", 1_500_000),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0.as_micros(), us, "{text}");
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
        assert!("30".parse::<Span>().is_err(), "a bare number has no unit");
    }
}
