//! Minutes, hours and calendar months in UTC, as pure arithmetic on Unix microseconds.

use std::{fmt, str::FromStr};

use gust_types::Error;
use serde::{Deserialize, Serialize};

/// Microseconds of a minute.
pub const MINUTE_US: u64 = 60_000_000;
/// Microseconds of an hour.
pub const HOUR_US: u64 = 60 * MINUTE_US;
/// Microseconds of a day.
pub const DAY_US: u64 = 24 * HOUR_US;

/// How finely usage is told apart in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// By minute; kept for weeks.
    Minute,
    /// By hour; kept for more than a year.
    Hour,
    /// By calendar month in UTC; kept.
    Month,
    /// One sum over the whole range asked for.
    #[default]
    Whole,
}

/// A calendar month in UTC, written `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    year: u32,
    /// 1 to 12.
    month: u32,
}

// === impl Period ===

impl Period {
    /// The start of the period that this moment is in; 0 for [`Period::Whole`].
    pub fn start_of(self, at_us: u64) -> u64 {
        match self {
            Period::Minute => at_us - at_us % MINUTE_US,
            Period::Hour => at_us - at_us % HOUR_US,
            Period::Month => Month::of(at_us).start_us(),
            Period::Whole => 0,
        }
    }
}

impl FromStr for Period {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "minute" => Ok(Self::Minute),
            "hour" => Ok(Self::Hour),
            "month" => Ok(Self::Month),
            "whole" => Ok(Self::Whole),
            _ => Err(Error::invalid(format!("not a period: {text:?}"))
                .hint("use minute, hour, month or whole")),
        }
    }
}

// === impl Month ===

impl Month {
    /// A month by year and number (1 to 12), from 1970 on.
    pub fn new(year: u32, month: u32) -> Result<Self, Error> {
        if (1970..=9999).contains(&year) && (1..=12).contains(&month) {
            return Ok(Self { year, month });
        }
        Err(Error::invalid(format!("not a month: {year}-{month}")))
    }

    /// The month that this moment is in.
    pub fn of(at_us: u64) -> Self {
        let (year, month) = civil(at_us / DAY_US);
        Self { year, month }
    }

    /// Its first microsecond.
    pub fn start_us(self) -> u64 {
        days(self.year, self.month) * DAY_US
    }

    /// The first microsecond of the next month.
    pub fn end_us(self) -> u64 {
        self.next().start_us()
    }

    /// The month after.
    pub fn next(self) -> Self {
        match self.month {
            12 => Self {
                year: self.year + 1,
                month: 1,
            },
            month => Self {
                month: month + 1,
                ..self
            },
        }
    }

    /// The month before; January 1970 is its own.
    pub fn previous(self) -> Self {
        match (self.year, self.month) {
            (1970, 1) => self,
            (year, 1) => Self {
                year: year - 1,
                month: 12,
            },
            (_, month) => Self {
                month: month - 1,
                ..self
            },
        }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let fault =
            || Error::invalid(format!("not a month: {text:?}")).hint("write it as YYYY-MM, in UTC");
        let (year, month) = text.split_once('-').ok_or_else(fault)?;
        if year.len() != 4 || month.len() != 2 {
            return Err(fault());
        }
        let number = |digits: &str| digits.parse::<u32>().map_err(|_| fault());
        Self::new(number(year)?, number(month)?).map_err(|_| fault())
    }
}

impl TryFrom<String> for Month {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> String {
        month.to_string()
    }
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn month_days(year: u32, month: u32) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Leap years before this year, counted from year 1.
fn leaps_before(year: u32) -> u64 {
    let y = u64::from(year.saturating_sub(1));
    y / 4 - y / 100 + y / 400
}

fn year_start(year: u32) -> u64 {
    u64::from(year - 1970) * 365 + leaps_before(year) - leaps_before(1970)
}

/// Days from 1970-01-01 to the first of this month.
fn days(year: u32, month: u32) -> u64 {
    year_start(year) + (1..month).map(|m| month_days(year, m)).sum::<u64>()
}

/// Year and month of a day; a day past the year 9999 counts to December 9999.
fn civil(day: u64) -> (u32, u32) {
    let mut year = (1970 + day / 366).min(9999) as u32;
    while year < 9999 && year_start(year + 1) <= day {
        year += 1;
    }
    let mut rest = day - year_start(year);
    for month in 1..12 {
        let length = month_days(year, month);
        if rest < length {
            return (year, month);
        }
        rest -= length;
    }
    (year, 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_the_calendar() {
        for (at_s, month) in [
            (0u64, "1970-01"),
            (951_782_399, "2000-02"),
            (951_782_400, "2000-02"),
            (951_868_800, "2000-03"),
            (1_709_164_800, "2024-02"),
            (1_735_689_599, "2024-12"),
            (1_735_689_600, "2025-01"),
            (4_107_542_400, "2100-03"),
        ] {
            assert_eq!(Month::of(at_s * 1_000_000).to_string(), month, "{at_s}");
        }
        assert_eq!(Month::of(u64::MAX).to_string(), "9999-12");
    }

    #[test]
    fn months_start_and_end_where_they_should() {
        let mut month = Month::new(1970, 1).unwrap();
        for _ in 0..12 * 200 {
            assert_eq!(Month::of(month.start_us()), month);
            assert_eq!(Month::of(month.end_us() - 1), month);
            assert_eq!(month.next().previous(), month);
            month = month.next();
        }
        let text = "2026-11";
        let month: Month = text.parse().unwrap();
        assert_eq!(month.start_us(), 1_793_491_200_000_000);
        for bad in [
            "", "2026", "2026-13", "2026-0", "26-01", "2026-1", "1969-12", "+026-01x",
        ] {
            assert!(bad.parse::<Month>().is_err(), "{bad}");
        }
    }

    #[test]
    fn periods_start_where_they_should() {
        let at = 1_793_491_200_000_000 + 3 * HOUR_US + 4 * MINUTE_US + 5;
        assert_eq!(Period::Minute.start_of(at), at - 5);
        assert_eq!(Period::Hour.start_of(at), at - 5 - 4 * MINUTE_US);
        assert_eq!(Period::Month.start_of(at), 1_793_491_200_000_000);
        assert_eq!(Period::Whole.start_of(at), 0);
    }
}
