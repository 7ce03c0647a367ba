//! The fields of a cron line, and which of them is wrong.

use croner::{
    errors::CronError,
    parser::{CronParser, Seconds, Year},
};
use gust_types::{Error, Result};

/// The seven fields, and whether they are EventBridge's: Sunday is 1, and `0/5` is "from 0, each fifth".
pub(super) struct Fields<'a> {
    texts: [&'a str; 7],
    eventbridge: bool,
}

/// The fields in their order, for whoever got one wrong.
const FIELDS: [Field; 7] = [
    Field::new("second", "0 to 59, *, lists, ranges and steps such as */5"),
    Field::new("minute", "0 to 59, *, lists, ranges and steps such as */5"),
    Field::new("hour", "0 to 23, *, lists, ranges and steps such as */2"),
    Field::new("day of month", "1 to 31, *, L, LW, 15W, lists and ranges"),
    Field::new("month", "1 to 12, JAN to DEC, *, lists and ranges"),
    Field::new(
        "day of week",
        "0 to 7 (both ends are Sunday), SUN to SAT, *, 5L, MON#2, lists and ranges",
    ),
    Field::new("year", "1970 to 5000, *, lists and ranges"),
];
const MONTHS: &str = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC";
const WEEKDAYS: &str = "SUN MON TUE WED THU FRI SAT";
const DAY_OF_MONTH: usize = 3;
const MONTH: usize = 4;
const DAY_OF_WEEK: usize = 5;

struct Field {
    name: &'static str,
    takes: &'static str,
}

// === impl Field, Fields ===

impl Field {
    const fn new(name: &'static str, takes: &'static str) -> Self {
        Self { name, takes }
    }

    fn wrong(&self, text: &str, eventbridge: bool) -> Error {
        let takes = match self.name {
            "day of week" if eventbridge => "1 (Sunday) to 7, SUN to SAT, *, ?, 6L, 2#1",
            _ => self.takes,
        };
        Error::invalid(format!(
            "the {} of a cron line is wrong: {text:?}",
            self.name
        ))
        .hint(format!("it takes {takes}"))
    }
}

impl<'a> Fields<'a> {
    pub(super) fn split(line: &'a str) -> Result<Self> {
        if let Some(nickname) = line.strip_prefix('@') {
            return nickname_fields(nickname);
        }
        let inner = line.strip_prefix("cron(").and_then(|l| l.strip_suffix(')'));
        let eventbridge = inner.is_some();
        let parts: Vec<&str> = inner.unwrap_or(line).split_whitespace().collect();
        let texts = match (parts.as_slice(), eventbridge) {
            (&[mi, h, d, mo, w], false) => ["0", mi, h, d, mo, w, "*"],
            (&[s, mi, h, d, mo, w], false) => [s, mi, h, d, mo, w, "*"],
            (&[s, mi, h, d, mo, w, y], false) => [s, mi, h, d, mo, w, y],
            (&[mi, h, d, mo, w, y], true) => ["0", mi, h, d, mo, w, y],
            _ => return Err(wrong_count(line, parts.len(), eventbridge)),
        };
        let fields = Self { texts, eventbridge };
        fields.check_words()?;
        Ok(fields)
    }

    /// croner puts a number for each name wherever it stands: `0 0 FRI * *` would be the fifth of each month.
    fn check_words(&self) -> Result<()> {
        for (i, (text, field)) in self.texts.iter().zip(&FIELDS).enumerate() {
            let upper = text.to_ascii_uppercase();
            let mut words = upper
                .split(|c: char| !c.is_alphabetic())
                .filter(|w| !w.is_empty());
            let is_known = |word: &str| match i {
                DAY_OF_MONTH => ["L", "W", "LW"].contains(&word),
                MONTH => MONTHS.split(' ').any(|m| m == word),
                DAY_OF_WEEK => {
                    let day = word.strip_suffix('L').unwrap_or(word);
                    day.is_empty() || WEEKDAYS.split(' ').any(|d| d == day)
                }
                _ => false,
            };
            if !words.all(is_known) {
                return Err(field.wrong(text, self.eventbridge));
            }
        }
        Ok(())
    }

    /// Whether every year counts. croner is then asked for one: it goes through each of five thousand, most of what
    /// reading a line costs.
    pub(super) fn take_every_year(&mut self) -> bool {
        let [.., year] = &mut self.texts;
        let every = *year == "*";
        if every {
            *year = "1970";
        }
        every
    }

    pub(super) fn read(&self) -> Result<croner::Cron> {
        self.croner().map_err(|e| self.blame(e))
    }

    fn croner(&self) -> Result<croner::Cron, CronError> {
        CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Required)
            .alternative_weekdays(self.eventbridge)
            .sloppy_ranges(self.eventbridge)
            .build()
            .parse(&self.texts.join(" "))
    }

    /// croner does not say which field it could not read: the first that it cannot read alone.
    fn blame(&self, error: CronError) -> Error {
        for (i, (text, field)) in self.texts.iter().zip(&FIELDS).enumerate() {
            let mut alone = Fields {
                texts: ["*"; 7],
                eventbridge: self.eventbridge,
            };
            if let Some(slot) = alone.texts.get_mut(i) {
                *slot = text;
            }
            if alone.croner().is_err() {
                return field.wrong(text, self.eventbridge).because(error);
            }
        }
        Error::invalid(format!("not a cron line: {:?}", self.texts.join(" "))).because(error)
    }
}

fn nickname_fields(name: &str) -> Result<Fields<'static>> {
    let texts = match name.to_ascii_lowercase().as_str() {
        "yearly" | "annually" => ["0", "0", "0", "1", "1", "*", "*"],
        "monthly" => ["0", "0", "0", "1", "*", "*", "*"],
        "weekly" => ["0", "0", "0", "*", "*", "0", "*"],
        "daily" | "midnight" => ["0", "0", "0", "*", "*", "*", "*"],
        "hourly" => ["0", "0", "*", "*", "*", "*", "*"],
        _ => {
            return Err(
                Error::invalid(format!("not a name for a cron line: \"@{name}\""))
                    .hint("there are @hourly, @daily, @weekly, @monthly and @yearly"),
            );
        }
    };
    Ok(Fields {
        texts,
        eventbridge: false,
    })
}

fn wrong_count(line: &str, count: usize, eventbridge: bool) -> Error {
    let takes = if eventbridge { "6" } else { "5, 6 or 7" };
    let hint = if eventbridge {
        "minute, hour, day of month, month, day of week, year"
    } else {
        "minute, hour, day of month, month, day of week; with six, the second comes first; with seven, the year last"
    };
    Error::invalid(format!(
        "a cron line has {takes} fields, this one has {count}: {line:?}"
    ))
    .hint(hint)
}
