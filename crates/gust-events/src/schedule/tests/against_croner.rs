//! The walk is ours, its meaning is croner's: the two say the same of lines made up at random.

use chrono_tz::Tz;

use super::{super::fields::Fields, *};

const ZONES: &[Tz] = &[
    Tz::UTC,
    Tz::Europe__Berlin,
    Tz::America__New_York,
    Tz::America__Havana,
    Tz::Australia__Lord_Howe,
    Tz::Asia__Shanghai,
    Tz::Africa__Casablanca,
    Tz::America__Santiago,
    Tz::Atlantic__Azores,
];

fn field(numbers: &mut Numbers, low: u64, high: u64) -> String {
    let mut value = || low + numbers.below(high - low + 1);
    let (a, b) = (value(), value());
    let (a, b) = (a.min(b), a.max(b));
    match numbers.below(6) {
        0 | 1 => "*".into(),
        2 => format!("*/{}", 1 + numbers.below(high)),
        3 => format!("{a}-{b}"),
        4 => format!("{a},{b}"),
        _ => a.to_string(),
    }
}

fn line(numbers: &mut Numbers) -> String {
    // Often one time of day, near the hours that clocks are changed at.
    let time = match numbers.below(3) {
        0 => format!(
            "{} {} {}",
            numbers.below(60),
            numbers.below(60),
            numbers.below(4)
        ),
        1 => format!("0 */{} {}", 1 + numbers.below(59), numbers.below(4)),
        _ => format!(
            "{} {} {}",
            field(numbers, 0, 59),
            field(numbers, 0, 59),
            field(numbers, 0, 23)
        ),
    };
    let day = match numbers.below(8) {
        0 => "L".into(),
        1 => "LW".into(),
        2 => format!("{}W", 1 + numbers.below(31)),
        3 | 4 => field(numbers, 1, 31),
        _ => "*".into(),
    };
    let month = if numbers.below(3) == 0 {
        field(numbers, 1, 12)
    } else {
        "*".into()
    };
    let weekday = match numbers.below(8) {
        0 => format!("{}L", numbers.below(8)),
        1 => format!("{}#{}", numbers.below(8), 1 + numbers.below(5)),
        2 => format!("+{}", field(numbers, 0, 7)),
        3 => field(numbers, 0, 7),
        _ => "*".into(),
    };
    let year = if numbers.below(6) == 0 {
        field(numbers, 2024, 2031)
    } else {
        "*".into()
    };
    format!("{time} {day} {month} {weekday} {year}")
}

/// A moment of the next years, mostly within a day of a change of clocks.
fn moment(numbers: &mut Numbers, zone: Tz) -> i64 {
    let offset = |t: i64| {
        let t = DateTime::from_timestamp(t, 0).unwrap().naive_utc();
        chrono::TimeZone::offset_from_utc_datetime(&zone, &t)
    };
    let mut t = 1_735_689_600 + numbers.below(6 * 365 * 86_400) as i64;
    if numbers.below(4) == 0 {
        return t;
    }
    for _ in 0..240 {
        if offset(t) != offset(t + 86_400) {
            let change = first_true(t, t + 86_400, |x| offset(x) == offset(t + 86_400));
            return change + numbers.below(4 * 3600) as i64 - 2 * 3600;
        }
        t += 86_400;
    }
    t
}

fn check(seed: u64) {
    let numbers = &mut Numbers(seed);
    let text = line(numbers);
    let zone = ZONES[numbers.below(ZONES.len() as u64) as usize];
    let theirs = Fields::split(&text).and_then(|f| f.read());
    let theirs = theirs.unwrap_or_else(|e| panic!("seed {seed}, {text}: {}", e.chain()));
    let after = moment(numbers, zone);
    let ours = Cron::parse(&text);
    let Ok(ours) = ours else {
        // Looking until the year 5000 as croner does takes a while for the few that never come.
        let from = DateTime::from_timestamp(after, 0)
            .unwrap()
            .with_timezone(&zone);
        assert!(
            theirs.find_next_occurrence(&from, false).is_err(),
            "seed {seed}: {text}"
        );
        return;
    };
    let mut at = after;
    for _ in 0..5 {
        let from = DateTime::from_timestamp(at, 0)
            .unwrap()
            .with_timezone(&zone);
        let expected = theirs.find_next_occurrence(&from, false).ok();
        let found = ours.next_after(zone, at);
        assert_eq!(
            found,
            expected.map(|t| t.timestamp()),
            "seed {seed}: {text} after {from}"
        );
        let Some(next) = found else { break };
        at = next;
    }
}

#[test]
fn ours_is_theirs_for_lines_made_up_at_random() {
    for seed in 0..1_000 {
        check(seed);
    }
}

#[test]
#[ignore = "the same comparison as above over 300,000 random lines: takes minutes, for whoever changes cron.rs"]
fn ours_is_theirs_for_very_many_lines() {
    for seed in 0..300_000 {
        check(seed);
    }
}
