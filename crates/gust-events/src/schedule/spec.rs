//! A schedule as it is written: plain data, nothing of it checked but its shape.

use std::{fmt, str::FromStr};

use chrono::{DateTime, SecondsFormat};
use gust_types::{Error, Result, Span};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::SECOND_US;

/// The last second of the year 9999: what lies beyond is not in seconds.
const UNIX_MAX: u64 = 253_402_300_799;

/// A schedule as a person writes it: one of `cron`, `rate` and `at`, and what is done when things go otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleSpec {
    /// A cron line of 5, 6 (seconds first) or 7 fields (year last), a name such as `@daily`, or EventBridge's
    /// `cron(0 12 * * ? *)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The zone whose clocks the cron line means, by its IANA name. Default `UTC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Each so long, `5m` or EventBridge's `rate(5 minutes)`, a second at least. Counted from `start`, or else from 1970: every
    /// node says the same, and `1h` is on the hour.
    #[serde(deserialize_with = "rate", skip_serializing_if = "Option::is_none")]
    pub rate: Option<Span>,
    /// Once, at this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    /// What happens when the run before has not ended. Default `allow`.
    pub overlap: Overlap,
    /// What happens to the runs that a downtime missed. Default `last`.
    pub missed: Missed,
    /// How old a missed run may be and still be made up for. Default a week: the report of the weekend is still wanted on
    /// Monday, that of last month is not.
    pub missed_within: Span,
    /// Up to so long after its nominal time a run starts, always by the same share of it: each schedule has its own. Keeps
    /// what is due "at midnight" from starting at once. Default none, at most a day.
    #[serde(skip_serializing_if = "is_zero")]
    pub jitter: Span,
    /// No run before this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Moment>,
    /// No run at this moment or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Moment>,
}

/// What happens when a run is due and the one before has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Both run. The default: a function runs many times at once anyway, and nothing that was asked for is left out.
    #[default]
    Allow,
    /// The new one is dropped.
    Skip,
    /// The new one waits for the end of the other. One waits at most, those after it are dropped.
    Queue,
}

/// What happens to the runs that were due while nobody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are dropped.
    Skip,
    /// The newest is made up for. The default: most schedules bring something up to date, and once is enough for that.
    #[default]
    Last,
    /// All are made up for, oldest first, up to [`RUNS_CAUGHT_UP`](super::RUNS_CAUGHT_UP).
    All,
}

/// A moment, written as RFC 3339 (`2026-12-01T08:00:00Z`) or as Unix seconds. Kept in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

// === impl ScheduleSpec ===

impl Default for ScheduleSpec {
    fn default() -> Self {
        Self {
            cron: None,
            timezone: None,
            rate: None,
            at: None,
            overlap: Overlap::default(),
            missed: Missed::default(),
            missed_within: Span::secs(7 * 86_400),
            jitter: Span::default(),
            start: None,
            end: None,
        }
    }
}

/// In one line: `rate(5 minutes)`, `cron(0 12 * * ? *)` and `at(2026-12-01T08:00:00)` as EventBridge has them, else a cron
/// line.
impl FromStr for ScheduleSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let mut spec = Self::default();
        if text.starts_with("rate(") {
            spec.rate = Some(parse_rate(text)?);
        } else if let Some(at) = text.strip_prefix("at(").and_then(|t| t.strip_suffix(')')) {
            // EventBridge's moments have no zone of their own and mean UTC.
            spec.at = Some(at.parse().or_else(|_| format!("{at}Z").parse())?);
        } else {
            spec.cron = Some(text.to_owned());
        }
        Ok(spec)
    }
}

fn is_zero(span: &Span) -> bool {
    span.0.is_zero()
}

fn rate<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Span>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| parse_rate(&text).map_err(de::Error::custom))
        .transpose()
}

fn parse_rate(text: &str) -> Result<Span> {
    let Some(inner) = text.trim().strip_prefix("rate(") else {
        return text.parse();
    };
    let wrong = || {
        Error::invalid(format!("not a rate: {text:?}"))
            .hint("write it like \"5m\" or \"rate(5 minutes)\"")
    };
    let inner = inner.strip_suffix(')').ok_or_else(wrong)?;
    let (count, unit) = inner.trim().split_once(' ').ok_or_else(wrong)?;
    let unit = match unit.trim() {
        "second" | "seconds" => 1,
        "minute" | "minutes" => 60,
        "hour" | "hours" => 3_600,
        "day" | "days" => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = count.parse().map_err(|_| wrong())?;
    count.checked_mul(unit).map(Span::secs).ok_or_else(wrong)
}

// === impl Moment ===

impl FromStr for Moment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Ok(seconds) = text.parse() {
            return Self::from_unix(seconds);
        }
        let moment = DateTime::parse_from_rfc3339(text).ok();
        moment
            .and_then(|m| u64::try_from(m.timestamp_micros()).ok())
            .map(Self)
            .ok_or_else(|| {
                Error::invalid(format!("not a moment: {text:?}"))
                    .hint("write it like \"2026-12-01T08:00:00Z\" or in Unix seconds")
            })
    }
}

impl Moment {
    fn from_unix(seconds: u64) -> Result<Self> {
        if seconds > UNIX_MAX {
            return Err(
                Error::invalid(format!("not a moment in Unix seconds: {seconds}"))
                    .hint("it is after the year 9999; is it in milliseconds?"),
            );
        }
        Ok(Self(seconds * SECOND_US))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = i64::try_from(self.0).ok();
        match micros.and_then(DateTime::from_timestamp_micros) {
            Some(moment) => f.write_str(&moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(f, "{} µs", self.0),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Moment;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a moment such as \"2026-12-01T08:00:00Z\" or Unix seconds")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Moment, E> {
                Moment::from_unix(n).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Moment, E> {
                let n = u64::try_from(n).map_err(|_| E::custom("a moment before 1970"))?;
                self.visit_u64(n)
            }
        }
        from.deserialize_any(Visitor)
    }
}
