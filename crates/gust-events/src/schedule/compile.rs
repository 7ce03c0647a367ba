//! What a written schedule means, and why one is refused.

use gust_types::{Error, Result, Span};

use super::{SECOND_US, Schedule, ScheduleSpec, When, cron::Cron, zone};

/// The most that a schedule's jitter may be: beyond a day it is another day.
pub const JITTER_MAX: Span = Span::secs(86_400);
/// The shortest rate. What has to run more often is a loop, and no schedule.
const RATE_MIN_US: u64 = SECOND_US;

// === impl Schedule ===

impl Schedule {
    /// What a written schedule means for the one of this id. The id decides its share of the jitter and nothing else.
    pub fn compile(spec: &ScheduleSpec, id: &str) -> Result<Self> {
        let jitter_us = micros(spec.jitter);
        if spec.jitter > JITTER_MAX {
            return Err(Error::invalid(format!(
                "the jitter of a schedule is at most {JITTER_MAX}, this one is {}",
                spec.jitter
            )));
        }
        let schedule = Self {
            when: When::of(spec)?,
            shift_us: share(id, jitter_us),
            start_us: spec.start.map_or(0, |start| start.0),
            end_us: spec.end.map_or(u64::MAX, |end| end.0),
            overlap: spec.overlap,
            missed: spec.missed,
            missed_within_us: micros(spec.missed_within),
        };
        if schedule.next_after(0).is_none() {
            return Err(never(spec));
        }
        Ok(schedule)
    }
}

// === impl When ===

impl When {
    fn of(spec: &ScheduleSpec) -> Result<Self> {
        if spec.timezone.is_some() && spec.cron.is_none() {
            return Err(Error::invalid("timezone without cron in a schedule")
                .hint("a rate has no zone, and a moment brings its own"));
        }
        match (&spec.cron, spec.rate, spec.at) {
            (Some(line), None, None) => Ok(Self::Cron {
                cron: Cron::parse(line)?,
                zone: zone::parse(spec.timezone.as_deref().unwrap_or("UTC"))?,
            }),
            (None, Some(rate), None) => {
                let every_us = micros(rate);
                if every_us < RATE_MIN_US {
                    return Err(Error::invalid(format!(
                        "the rate of a schedule is at least 1s, this one is {rate}"
                    )));
                }
                Ok(Self::Rate { every_us })
            }
            (None, None, Some(at)) => Ok(Self::At(at.0)),
            (None, None, None) => Err(Error::invalid("a schedule without cron, rate or at")
                .hint("write one of them, like cron = \"*/5 * * * *\" or rate = \"5m\"")),
            _ => Err(
                Error::invalid("a schedule with more than one of cron, rate and at")
                    .hint("make two schedules of it"),
            ),
        }
    }
}

fn never(spec: &ScheduleSpec) -> Error {
    let bounds = match (spec.start, spec.end) {
        (Some(start), Some(end)) => format!("from {start} to {end}"),
        (Some(start), None) => format!("from {start} on"),
        (None, Some(end)) => format!("before {end}"),
        (None, None) => "after 1970".into(),
    };
    Error::invalid(format!("a schedule that can never fire {bounds}"))
        .hint("move its start or its end")
}

/// The part of the jitter that falls to a schedule.
fn share(id: &str, jitter_us: u64) -> u64 {
    // FNV-1a and a last mix, both fixed for good: another share after an upgrade could fire twice.
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    ((u128::from(hash) * u128::from(jitter_us)) >> 64) as u64
}

fn micros(span: Span) -> u64 {
    u64::try_from(span.0.as_micros()).unwrap_or(u64::MAX)
}
