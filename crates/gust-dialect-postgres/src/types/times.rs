//! Times: SQLite keeps them as text, PostgreSQL counts from the first of January 2000.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike as _};

fn epoch() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2000, 1, 1)
        .unwrap_or_default()
        .and_time(NaiveTime::MIN)
}

/// Days since then. A date is sent as it is kept, so it has to be spelt as clients expect it.
pub(crate) fn date(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    if date.format("%Y-%m-%d").to_string() != text {
        return None;
    }
    i32::try_from((date - epoch().date()).num_days()).ok()
}

pub(crate) fn date_text(days: i32) -> Option<String> {
    let date = epoch()
        .date()
        .checked_add_signed(TimeDelta::try_days(days.into())?)?;
    Some(date.format("%Y-%m-%d").to_string())
}

/// Microseconds since midnight.
pub(crate) fn time(text: &str) -> Option<i64> {
    let time = naive_time(text)?;
    let micros = time.nanosecond() / 1000;
    Some(i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(micros))
}

pub(crate) fn time_text(micros: i64) -> Option<String> {
    let seconds = u32::try_from(micros.div_euclid(1_000_000)).ok()?;
    let nanos = u32::try_from(micros.rem_euclid(1_000_000)).ok()? * 1000;
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)?;
    Some(time.format("%H:%M:%S%.f").to_string())
}

/// Microseconds since then, of a time without a zone.
pub(crate) fn timestamp(text: &str) -> Option<i64> {
    micros(naive(text)?)
}

/// Microseconds since then; without a zone it is UTC's.
pub(crate) fn timestamptz(text: &str) -> Option<i64> {
    micros(zoned(text)?)
}

pub(crate) fn timestamp_text(micros: i64) -> Option<String> {
    let at = epoch().checked_add_signed(TimeDelta::microseconds(micros))?;
    Some(at.format("%Y-%m-%d %H:%M:%S%.f").to_string())
}

/// A time with a zone, as it is kept: in UTC and without a suffix, as `CURRENT_TIMESTAMP` is.
pub(crate) fn in_utc(text: &str) -> Option<String> {
    timestamp_text(timestamptz(text)?)
}

fn micros(at: NaiveDateTime) -> Option<i64> {
    (at - epoch()).num_microseconds()
}

fn naive_time(text: &str) -> Option<NaiveTime> {
    ["%H:%M:%S%.f", "%H:%M"]
        .iter()
        .find_map(|form| NaiveTime::parse_from_str(text, form).ok())
}

fn naive(text: &str) -> Option<NaiveDateTime> {
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    Some(date.and_time(naive_time(time)?))
}

fn zoned(text: &str) -> Option<NaiveDateTime> {
    let bare = text.strip_suffix(['Z', 'z']).unwrap_or(text).trim_end();
    naive(bare).or_else(|| {
        [
            "%Y-%m-%d %H:%M:%S%.f%#z",
            "%Y-%m-%dT%H:%M:%S%.f%#z",
            "%Y-%m-%d %H:%M%#z",
            "%Y-%m-%dT%H:%M%#z",
        ]
        .iter()
        .find_map(|form| DateTime::parse_from_str(text, form).ok())
        .map(|at| at.naive_utc())
    })
}
