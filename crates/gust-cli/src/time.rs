//! Dates as people write and read them. All of them are UTC.

use gust_types::{Error, Result, Span};

const DAY_US: i64 = 86_400_000_000;

/// `2026-11-23 09:44:59`; 0 is no moment.
pub(crate) fn seconds(us: u64) -> String {
    if us == 0 {
        return "-".to_owned();
    }
    let (date, clock) = split(us);
    let s = clock / 1_000_000;
    format!("{date} {:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

/// `2026-11-23 09:44:59.123`.
pub(crate) fn millis(us: u64) -> String {
    format!("{}.{:03}", seconds(us), us / 1000 % 1000)
}

/// A moment: `2026-11-23`, `2026-11-23 09:44`, `2026-11-23T09:44:59Z`, or a span before `now`, such as `10m`.
pub(crate) fn parse(text: &str, now: u64) -> Result<u64> {
    if let Ok(span) = text.parse::<Span>() {
        let back = u64::try_from(span.0.as_micros()).unwrap_or(u64::MAX);
        return Ok(now.saturating_sub(back));
    }
    absolute(text).ok_or_else(|| {
        Error::invalid(format!("not a moment: {text:?}"))
            .hint("write it like \"2026-11-23\", \"2026-11-23T09:30:00Z\" (UTC), or \"10m\" for ten minutes ago")
    })
}

fn absolute(text: &str) -> Option<u64> {
    let text = text.trim().trim_end_matches('Z');
    let (date, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let mut parts = date.splitn(3, '-').map(|p| p.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let mut parts = clock.splitn(3, ':').map(|p| p.parse::<i64>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    let days = days_from_civil(year, month, day)?;
    let in_range =
        (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    let us = days * DAY_US + (hour * 3600 + minute * 60 + second) * 1_000_000;
    in_range.then(|| u64::try_from(us).ok())?
}

fn split(us: u64) -> (String, u64) {
    let day = DAY_US as u64;
    let (y, m, d) = civil_from_days((us / day) as i64);
    (format!("{y:04}-{m:02}-{d:02}"), us % day)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, counted in eras of 400 years that begin in March.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (y / 400, y % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_printed() {
        for (text, us) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400_000_000),
            ("2026-11-23T09:44:59Z", 1_795_427_099_000_000),
            ("2026-11-23 09:44", 1_795_427_040_000_000),
            ("1h", 1_000_000_000),
        ] {
            assert_eq!(parse(text, 4_600_000_000).unwrap(), us, "{text}");
        }
        assert_eq!(millis(1_795_427_099_123_456), "2026-11-23 09:44:59.123");
        assert_eq!(seconds(951_782_400_000_000), "2000-02-29 00:00:00");
        for bad in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-30",
            "2026-11-23T25:00",
            "yesterday",
            "-5m",
        ] {
            assert!(parse(bad, 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_survives_the_way_back() {
        for day in 0..146_097 {
            let (y, m, d) = civil_from_days(day);
            assert_eq!(days_from_civil(y, m, d), Some(day));
        }
    }
}
