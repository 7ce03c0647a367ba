use std::collections::BTreeSet;

use chrono::DateTime;

use super::*;

mod against_croner;
mod come_true;
mod due;
mod spec;
mod timeline;

const MINUTE_US: u64 = 60 * SECOND_US;
const HOUR_US: u64 = 60 * MINUTE_US;
const DAY_US: u64 = 24 * HOUR_US;

/// From a line of `key = value` pairs as in a manifest, which JSON can say as well.
fn spec(json: &str) -> ScheduleSpec {
    serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {json}"))
}

fn schedule(json: &str) -> Schedule {
    Schedule::compile(&spec(json), "app/function/0")
        .unwrap_or_else(|e| panic!("{}: {json}", e.chain()))
}

fn cron(line: &str, zone: &str) -> Schedule {
    schedule(&format!(r#"{{"cron": "{line}", "timezone": "{zone}"}}"#))
}

/// The message and the hint that a schedule is refused with.
fn refused(json: &str) -> String {
    let error = match serde_json::from_str::<ScheduleSpec>(json) {
        Ok(spec) => Schedule::compile(&spec, "id").expect_err(json),
        Err(error) => return error.to_string(),
    };
    format!("{error} ({})", error.hint.clone().unwrap_or_default())
}

/// Microseconds of a moment in RFC 3339.
fn us(text: &str) -> u64 {
    text.parse::<Moment>().unwrap().0
}

/// The next `count` times, as the zone's clocks show them.
fn times(schedule: &Schedule, after: &str, count: usize) -> Vec<String> {
    let zone = match &schedule.when {
        When::Cron { zone, .. } => *zone,
        _ => Tz::UTC,
    };
    let mut times = Vec::new();
    let mut after = us(after);
    while times.len() < count {
        let Some(next) = schedule.next_after(after) else {
            break;
        };
        assert!(next > after);
        let local = DateTime::from_timestamp_micros(next as i64).unwrap();
        times.push(
            local
                .with_timezone(&zone)
                .format("%Y-%m-%d %H:%M:%S %z")
                .to_string(),
        );
        after = next;
    }
    times
}

/// The same numbers for the same seed, everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

#[test]
fn a_schedule_is_small_enough_for_a_hundred_thousand_of_them() {
    assert!(size_of::<Schedule>() <= 160, "{}", size_of::<Schedule>());
    assert!(size_of::<State>() <= 32, "{}", size_of::<State>());
}

#[test]
fn jitter_gives_each_id_its_own_share_and_always_the_same() {
    let spec = spec(r#"{"cron": "@daily", "jitter": "10m"}"#);
    let first = |id: &str| {
        Schedule::compile(&spec, id)
            .unwrap()
            .next_after(us("2026-06-01T12:00:00Z"))
    };
    let midnight = us("2026-06-02T00:00:00Z");
    let shares: BTreeSet<u64> = (0..1000)
        .map(|i| first(&format!("app/{i}")).unwrap() - midnight)
        .collect();
    assert!(shares.len() > 990, "{}", shares.len());
    assert!(shares.iter().all(|share| *share < 10 * MINUTE_US));
    assert!(*shares.first().unwrap() < MINUTE_US && *shares.last().unwrap() > 9 * MINUTE_US);
    assert_eq!(first("app/1"), first("app/1"));
    // Fixed for good: another number here makes every schedule fire at another time after an upgrade.
    assert_eq!(first("app/1").unwrap() - midnight, 309_199_493);
}

#[test]
fn jitter_moves_every_run_by_the_same_and_loses_none() {
    let plain = schedule(r#"{"cron": "0 */7 * * * *"}"#);
    let moved = schedule(r#"{"cron": "0 */7 * * * *", "jitter": "1h"}"#);
    let from = us("2026-06-01T12:00:00Z");
    let run = |schedule: &Schedule, from: u64| {
        std::iter::successors(schedule.next_after(from), |t| schedule.next_after(*t))
            .take(50)
            .collect::<Vec<_>>()
    };
    let shift = moved.shift_us;
    assert!(shift > 0 && shift < HOUR_US);
    let expected: Vec<u64> = run(&plain, from).iter().map(|t| t + shift).collect();
    assert_eq!(run(&moved, from + shift), expected);
}
