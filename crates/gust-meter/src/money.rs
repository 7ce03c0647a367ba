//! Money in whole nano-units and prices in whole pico-units: no float ever touches an amount.

use std::{fmt, iter::Sum, str::FromStr};

use gust_types::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An amount in billionths of the currency (0.000000001 USD is 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(u64);

/// A price for some quantity, in trillionths of the currency. Written `"0.0000166667"`; twelve decimals at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Price(u64);

const NANO_DECIMALS: usize = 9;
const PICO_DECIMALS: usize = 12;

// === impl Money ===

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// This many billionths.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// In billionths.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The sum; stops at the largest amount.
    #[must_use]
    pub fn plus(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }

    /// This many hundredths of it, rounded down.
    #[must_use]
    pub fn percent(self, percent: u32) -> Money {
        let share = u128::from(self.0) * u128::from(percent) / 100;
        Money(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::ZERO, Money::plus)
    }
}

impl fmt::Display for Money {
    /// At least two decimals, at most nine: `5.00`, `0.0000002`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print(self.0, NANO_DECIMALS))
    }
}

impl FromStr for Money {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text, NANO_DECIMALS).map(Self).ok_or_else(|| {
            Error::invalid(format!("not an amount of money: {text:?}"))
                .hint("write it like 25 or 0.50, with at most nine decimals")
        })
    }
}

// === impl Price ===

impl Price {
    /// A price in trillionths.
    pub const fn from_picos(picos: u64) -> Self {
        Self(picos)
    }

    /// In trillionths.
    pub const fn picos(self) -> u64 {
        self.0
    }

    /// What `quantity` costs when this is the price of `unit` of it, rounded half up to a billionth.
    pub fn of(self, quantity: u64, unit: u64) -> Money {
        let divisor = u128::from(unit.max(1)) * 1000;
        let nanos = (u128::from(quantity) * u128::from(self.0) + divisor / 2) / divisor;
        Money(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print(self.0, PICO_DECIMALS))
    }
}

impl FromStr for Price {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text, PICO_DECIMALS).map(Self).ok_or_else(|| {
            Error::invalid(format!("not a price: {text:?}"))
                .hint("write it like 0.20 or \"0.0000166667\", with at most twelve decimals")
        })
    }
}

fn parse(text: &str, decimals: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let malformed = whole.is_empty() || text.ends_with('.') || !digits(whole) || !digits(fraction);
    let fraction = fraction.trim_end_matches('0');
    if malformed || fraction.len() > decimals {
        return None;
    }
    format!("{whole}{fraction:0<decimals$}").parse().ok()
}

fn print(value: u64, decimals: usize) -> String {
    let scale = 10u64.pow(decimals as u32);
    let fraction = format!("{:0decimals$}", value % scale);
    let trimmed = fraction.trim_end_matches('0');
    format!("{}.{trimmed:0<2}", value / scale)
}

macro_rules! as_decimal {
    ($name:ident, $what:literal) => {
        /// As a string of decimals, so that no reader rounds it.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        /// From a string or a number. A float's shortest decimal form is taken, which is what the person typed.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_u64<E: de::Error>(self, n: u64) -> Result<$name, E> {
                        n.to_string().parse().map_err(E::custom)
                    }
                    fn visit_i64<E: de::Error>(self, n: i64) -> Result<$name, E> {
                        n.to_string().parse().map_err(E::custom)
                    }
                    fn visit_f64<E: de::Error>(self, n: f64) -> Result<$name, E> {
                        n.to_string().parse().map_err(E::custom)
                    }
                }
                from.deserialize_any(Visitor)
            }
        }
    };
}
as_decimal!(Money, "an amount such as \"25.00\"");
as_decimal!(Price, "a price such as \"0.0000166667\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_and_print() {
        for (text, nanos, printed) in [
            ("5", 5_000_000_000, "5.00"),
            ("0.50", 500_000_000, "0.50"),
            ("0.000000001", 1, "0.000000001"),
            ("12.3", 12_300_000_000, "12.30"),
            ("0", 0, "0.00"),
        ] {
            let money: Money = text.parse().unwrap();
            assert_eq!(money.nanos(), nanos, "{text}");
            assert_eq!(money.to_string(), printed);
            assert_eq!(money.to_string().parse::<Money>().unwrap(), money);
        }
        for bad in [
            "",
            ".5",
            "5.",
            "-1",
            "1e3",
            "0.0000000001",
            "1,5",
            "99999999999999",
        ] {
            assert!(bad.parse::<Money>().is_err(), "{bad}");
        }
    }

    #[test]
    fn prices_multiply_without_drift() {
        let gb_second: Price = "0.0000166667".parse().unwrap();
        assert_eq!(gb_second.picos(), 16_666_700);
        // a million GB-seconds, counted in MB-ms
        assert_eq!(
            gb_second.of(1_000_000 * 1_000_000, 1_000_000).to_string(),
            "16.6667"
        );
        let per_million: Price = "0.20".parse().unwrap();
        assert_eq!(per_million.of(1, 1_000_000).nanos(), 200);
        assert_eq!(
            per_million.of(u64::MAX, 1_000_000).nanos() / 200,
            u64::MAX / 200
        );
        assert_eq!(Price::from_picos(1).of(499, 1).nanos(), 0);
        assert_eq!(Price::from_picos(1).of(500, 1).nanos(), 1, "half rounds up");
    }

    #[test]
    fn numbers_in_files_are_taken_as_typed() {
        #[derive(Deserialize)]
        struct File {
            a: Price,
            b: Price,
            c: Price,
        }
        let file: File = toml::from_str("a = 0.0000166667\nb = 2\nc = \"0.09\"").unwrap();
        assert_eq!(file.a.picos(), 16_666_700);
        assert_eq!(file.b.picos(), 2_000_000_000_000);
        assert_eq!(file.c.picos(), 90_000_000_000);
        assert!(toml::from_str::<File>("a = -1\nb = 2\nc = 3").is_err());
        assert!(toml::from_str::<File>("a = nan\nb = 2\nc = 3").is_err());
    }
}
