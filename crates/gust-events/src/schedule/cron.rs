//! A cron line, and when it next comes true.
//!
//! croner reads the line. It is not asked when the line comes true: what it reads into is 5 kB, a byte for each year up to
//! 5000, and a hundred thousand of those are half a gigabyte. The same sets as bits are 80 bytes, and the walk over them
//! is here. `tests.rs` holds the two against each other.

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use croner::JobType;
use gust_types::{Error, Result};

use super::{fields::Fields, first_true};

/// Bytes of a line. The longest sensible one lists each minute: 170.
const LINE_MAX: usize = 256;
/// As croner has it.
const YEAR_MAX: i32 = 5000;
/// The calendar repeats after this many years: a day that did not come by then will not.
const CYCLE: i32 = 400;
/// Longer than any jump of a local clock: Samoa once left out a day.
const JUMP_S: i64 = 2 * 86_400;

// The marks of croner's fields, which it does not make public. `tests.rs` would notice if they changed.
const ALL: u8 = 1;
const LAST: u8 = 1 << 6;
const NEAREST_WEEKDAY: u8 = 1 << 7;

/// A cron line as sets of bits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u32,
    months: u16,
    days: Days,
    /// First and last of each run of years; every year without.
    years: Option<Box<[(i32, i32)]>>,
    /// One time of day, not "each": it runs once a day also when the clock is put back, and after the gap when its hour is
    /// left out. Anything else goes by what a clock on the wall shows.
    fixed: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Days {
    /// `1` to `31`.
    of_month: u32,
    /// `15W`: the working day nearest to it.
    nearest: u32,
    /// `MON`, `1-5`.
    of_week: u8,
    /// `MON#2`: the first to fifth of its month.
    nth: [u8; 5],
    /// `5L`: the last of its month.
    last_of_week: u8,
    /// `L`.
    last: bool,
    /// `LW`.
    last_working: bool,
    /// The day of the month is `*`, so that only the day of the week counts; and the reverse.
    any_of_month: bool,
    any_of_week: bool,
    /// Both have to hold (`+`), not one of them.
    both: bool,
}

// === impl Cron ===

impl Cron {
    pub(super) fn parse(line: &str) -> Result<Self> {
        let line = line.trim();
        if line.len() > LINE_MAX {
            return Err(Error::invalid(format!(
                "a cron line has at most {LINE_MAX} bytes, this one has {}",
                line.len()
            )));
        }
        let cron = Self::read(Fields::split(line)?)?;
        let from = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap_or_default();
        if cron.next_date(from).is_none() {
            return Err(
                Error::invalid(format!("a cron line that can never fire: {line:?}"))
                    .hint("no day has this month, day of month, day of week and year"),
            );
        }
        Ok(cron)
    }

    fn read(mut fields: Fields<'_>) -> Result<Self> {
        let every_year = fields.take_every_year();
        let read = fields.read()?;
        let (of_month, of_week) = (&read.pattern.days, &read.pattern.days_of_week);
        let nth = |n: u8| bits(of_week.get_set_values(1 << n)) as u8;
        Ok(Self {
            seconds: bits(read.pattern.seconds.values()),
            minutes: bits(read.pattern.minutes.values()),
            hours: bits(read.pattern.hours.values()) as u32,
            months: bits(read.pattern.months.values()) as u16,
            days: Days {
                of_month: bits(of_month.values()) as u32,
                nearest: bits(of_month.get_set_values(NEAREST_WEEKDAY)) as u32,
                of_week: bits(of_week.get_set_values(ALL)) as u8,
                nth: [nth(1), nth(2), nth(3), nth(4), nth(5)],
                last_of_week: bits(of_week.get_set_values(LAST)) as u8,
                last: of_month.is_feature_enabled(LAST)
                    && !of_month.is_feature_enabled(NEAREST_WEEKDAY),
                last_working: of_month.is_feature_enabled(LAST | NEAREST_WEEKDAY),
                any_of_month: read.pattern.is_dom_wildcard(),
                any_of_week: read.pattern.is_dow_wildcard(),
                both: read.pattern.matches_dom_and_dow(),
            },
            years: (!every_year).then(|| runs(&read.pattern.years.values())),
            fixed: read.determine_job_type() == JobType::FixedTime,
        })
    }

    /// The first second after this one at which the line comes true where this zone's clocks are.
    pub(super) fn next_after(&self, zone: Tz, after: i64) -> Option<i64> {
        let start = DateTime::from_timestamp(after, 0)?.with_timezone(&zone);
        if self.fixed {
            self.next_fixed(zone, start.date_naive(), after)
        } else {
            self.next_shown(zone, start.naive_local(), after)
        }
    }

    /// Once on each day that matches: at the earlier of two instants that the clock calls the same, and at the end of the
    /// gap when the clock leaves the time out.
    fn next_fixed(&self, zone: Tz, today: NaiveDate, after: i64) -> Option<i64> {
        // A clock that is put back at midnight shows yesterday again.
        let mut date = self.next_date(today.pred_opt()?)?;
        loop {
            let wall = date.and_time(self.next_time(0)?);
            let (wall, instant) = match zone.from_local_datetime(&wall) {
                LocalResult::Single(t) | LocalResult::Ambiguous(t, _) => (wall, t.timestamp()),
                LocalResult::None => gap_end(zone, wall)?,
            };
            // A gap may end on a day that does not match.
            if instant > after && self.date(wall.date()) {
                return Some(instant);
            }
            date = self.next_date(date.succ_opt()?)?;
        }
    }

    /// Whenever the clock shows a time that matches: twice when it is put back, not at all in a gap.
    fn next_shown(&self, zone: Tz, wall: NaiveDateTime, after: i64) -> Option<i64> {
        let second = TimeDelta::seconds(1);
        let first = self.walk(zone, wall.checked_add_signed(second)?, after);
        // The walk goes by what the clock shows, upwards. Before a clock is put back, what it will show a second time is
        // lower than what it shows now, so that takes a walk of its own.
        let repeated = match zone.from_local_datetime(&wall) {
            LocalResult::Ambiguous(_, later) if after < later.timestamp() => {
                let offset = |t: i64| {
                    DateTime::from_timestamp(t, 0)
                        .map(|t| zone.offset_from_utc_datetime(&t.naive_utc()))
                };
                let now = offset(after);
                let edge = first_true(after + 1, later.timestamp(), |t| offset(t) != now);
                let wall = DateTime::from_timestamp(edge, 0)?.with_timezone(&zone);
                self.walk(zone, wall.naive_local(), edge - 1)
            }
            _ => None,
        };
        match (first, repeated) {
            (Some(first), Some(repeated)) => Some(first.min(repeated)),
            (first, repeated) => first.or(repeated),
        }
    }

    fn walk(&self, zone: Tz, mut wall: NaiveDateTime, after: i64) -> Option<i64> {
        loop {
            wall = self.next_wall(wall)?;
            let at = |t: DateTime<Tz>| Some(t.timestamp()).filter(|t| *t > after);
            let found = match zone.from_local_datetime(&wall) {
                LocalResult::Single(t) => at(t),
                LocalResult::Ambiguous(earlier, later) => at(earlier).or_else(|| at(later)),
                LocalResult::None => {
                    wall = gap_end(zone, wall)?.0;
                    continue;
                }
            };
            if found.is_some() {
                return found;
            }
            wall = wall.checked_add_signed(TimeDelta::seconds(1))?;
        }
    }

    /// The first time on the wall, this one or later, that matches.
    fn next_wall(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        use chrono::Timelike;
        if self.date(from.date())
            && let Some(time) = self.next_time(from.num_seconds_from_midnight())
        {
            return Some(from.date().and_time(time));
        }
        let date = self.next_date(from.date().succ_opt()?)?;
        Some(date.and_time(self.next_time(0)?))
    }

    /// The first time of day that matches, from this second of the day on.
    fn next_time(&self, from: u32) -> Option<chrono::NaiveTime> {
        let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
        let hours = u64::from(self.hours);
        let found = if has(hours, hour) {
            let this_minute = has(self.minutes, minute).then(|| next(self.seconds, second));
            match (this_minute.flatten(), next(self.minutes, minute + 1)) {
                (Some(second), _) => Some((hour, minute, second)),
                (None, Some(minute)) => Some((hour, minute, next(self.seconds, 0)?)),
                (None, None) => None,
            }
        } else {
            None
        };
        let (hour, minute, second) = match found {
            Some(found) => found,
            None => (
                next(hours, hour + 1)?,
                next(self.minutes, 0)?,
                next(self.seconds, 0)?,
            ),
        };
        chrono::NaiveTime::from_hms_opt(hour, minute, second)
    }

    /// The first date, this one or later, that matches.
    fn next_date(&self, from: NaiveDate) -> Option<NaiveDate> {
        let (mut year, mut month, mut day) = (from.year(), from.month(), from.day());
        // Without years the calendar's cycle is the horizon; with years, the last of them.
        let horizon = match self.years {
            None => YEAR_MAX.min(year.saturating_add(CYCLE)),
            Some(_) => YEAR_MAX,
        };
        while let Some(this) = self.next_year(year).filter(|y| *y <= horizon) {
            if this != year {
                (year, month, day) = (this, 1, 1);
            }
            while month <= 12 {
                if has(u64::from(self.months), month)
                    && let Some(found) = self.days.next_in(year, month, day)
                {
                    return Some(found);
                }
                (month, day) = (month + 1, 1);
            }
            (year, month, day) = (year + 1, 1, 1);
        }
        None
    }

    fn next_year(&self, from: i32) -> Option<i32> {
        match &self.years {
            None => Some(from),
            Some(runs) => runs
                .iter()
                .find(|(_, last)| *last >= from)
                .map(|(first, _)| from.max(*first)),
        }
    }

    fn date(&self, date: NaiveDate) -> bool {
        self.next_year(date.year()) == Some(date.year())
            && has(u64::from(self.months), date.month())
            && self.days.next_in(date.year(), date.month(), date.day()) == Some(date)
    }
}

// === impl Days ===

impl Days {
    fn next_in(&self, year: i32, month: u32, from: u32) -> Option<NaiveDate> {
        let first = NaiveDate::from_ymd_opt(year, month, 1)?;
        let length = u32::from(first.num_days_in_month());
        let weekday = first.weekday().num_days_from_sunday();
        let day = (from..=length).find(|day| self.day(*day, length, weekday + day - 1))?;
        first.with_day(day)
    }

    /// Whether a day of a month of this length, on this day of the week (counted on past seven), matches.
    fn day(&self, day: u32, length: u32, weekday: u32) -> bool {
        let of_month = || {
            has(u64::from(self.of_month), day)
                || self.last && day == length
                || self.last_working && day == last_working(length, weekday + length - day)
                || self.nearest != 0 && self.is_nearest(day, length, weekday)
        };
        let of_week = || {
            let is = |set: u8| has(u64::from(set), weekday % 7);
            let nth = self.nth.get((day as usize - 1) / 7);
            is(self.of_week)
                || nth.is_some_and(|set| is(*set))
                || is(self.last_of_week) && day + 7 > length
        };
        match (self.any_of_month, self.any_of_week) {
            (_, true) => of_month(),
            (true, false) => of_week(),
            (false, false) if self.both => of_month() && of_week(),
            (false, false) => of_month() || of_week(),
        }
    }

    fn is_nearest(&self, day: u32, length: u32, weekday: u32) -> bool {
        let near = day.saturating_sub(2).max(1)..=(day + 2).min(length);
        near.filter(|wanted| has(u64::from(self.nearest), *wanted))
            .any(|wanted| day == nearest_working(wanted, length, weekday + 14 + wanted - day))
    }
}

/// The working day nearest to one in the same month.
fn nearest_working(day: u32, length: u32, weekday: u32) -> u32 {
    match weekday % 7 {
        0 if day < length => day + 1,
        0 => day - 2,
        6 if day > 1 => day - 1,
        6 => day + 2,
        _ => day,
    }
}

fn last_working(length: u32, weekday: u32) -> u32 {
    match weekday % 7 {
        0 => length - 2,
        6 => length - 1,
        _ => length,
    }
}

/// What the clock shows when it goes on after a gap, and when that is.
fn gap_end(zone: Tz, wall: NaiveDateTime) -> Option<(NaiveDateTime, i64)> {
    let at = |s: i64| wall.checked_add_signed(TimeDelta::seconds(s));
    let resolve = |s: i64| zone.from_local_datetime(&at(s)?).earliest();
    let end = first_true(1, JUMP_S, |s| resolve(s).is_some());
    Some((at(end)?, resolve(end)?.timestamp()))
}

// === sets of bits ===

fn bits(values: Vec<u16>) -> u64 {
    let of = |value: u16| 1u64.checked_shl(u32::from(value)).unwrap_or(0);
    values.into_iter().fold(0, |all, value| all | of(value))
}

fn has(set: u64, value: u32) -> bool {
    set.checked_shr(value).is_some_and(|rest| rest & 1 == 1)
}

/// The least value of the set from this one on.
fn next(set: u64, from: u32) -> Option<u32> {
    let rest = set.checked_shr(from).filter(|rest| *rest != 0)?;
    Some(from + rest.trailing_zeros())
}

/// The first and last of each run of numbers that follow each other.
fn runs(years: &[u16]) -> Box<[(i32, i32)]> {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for year in years.iter().map(|year| i32::from(*year)) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == year => *last = year,
            _ => runs.push((year, year)),
        }
    }
    runs.into()
}
