//! When cron lines, rates and moments come true.

use super::*;

fn check(line: &str, zone: &str, after: &str, expected: &[&str]) {
    let found = times(&cron(line, zone), after, expected.len());
    assert_eq!(found, expected, "{line} in {zone} after {after}");
}

#[test]
fn lines_of_five_six_and_seven_fields() {
    check(
        "*/5 * * * *",
        "UTC",
        "2026-06-01T12:01:00Z",
        &["2026-06-01 12:05:00 +0000", "2026-06-01 12:10:00 +0000"],
    );
    check(
        "*/20 * * * * *",
        "UTC",
        "2026-06-01T12:00:59.5Z",
        &["2026-06-01 12:01:00 +0000", "2026-06-01 12:01:20 +0000"],
    );
    check(
        "0 30 9 1 1 * 2028-2029",
        "UTC",
        "2026-06-01T12:00:00Z",
        &["2028-01-01 09:30:00 +0000", "2029-01-01 09:30:00 +0000"],
    );
    let ended = cron("0 30 9 1 1 * 2028", "UTC");
    assert_eq!(ended.next_after(us("2028-01-01T09:30:00Z")), None);
}

#[test]
fn a_moment_itself_is_not_after_it() {
    check(
        "0 * * * *",
        "UTC",
        "2026-06-01T12:00:00Z",
        &["2026-06-01 13:00:00 +0000"],
    );
    check(
        "0 * * * *",
        "UTC",
        "2026-06-01T11:59:59.999999Z",
        &["2026-06-01 12:00:00 +0000"],
    );
}

#[test]
fn names_of_months_days_and_lines() {
    let after = "2026-06-01T12:00:00Z"; // a Monday
    check(
        "0 0 * jan,jul *",
        "UTC",
        after,
        &["2026-07-01 00:00:00 +0000"],
    );
    check(
        "0 9 * * MON-FRI",
        "UTC",
        after,
        &["2026-06-02 09:00:00 +0000"],
    );
    check("0 9 * * sun", "UTC", after, &["2026-06-07 09:00:00 +0000"]);
    check("@hourly", "UTC", after, &["2026-06-01 13:00:00 +0000"]);
    check("@daily", "UTC", after, &["2026-06-02 00:00:00 +0000"]);
    check("@midnight", "UTC", after, &["2026-06-02 00:00:00 +0000"]);
    check("@weekly", "UTC", after, &["2026-06-07 00:00:00 +0000"]);
    check("@monthly", "UTC", after, &["2026-07-01 00:00:00 +0000"]);
    check("@yearly", "UTC", after, &["2027-01-01 00:00:00 +0000"]);
}

#[test]
fn last_nearest_and_nth_days() {
    let after = "2026-06-01T12:00:00Z";
    check(
        "0 0 L * *",
        "UTC",
        after,
        &["2026-06-30 00:00:00 +0000", "2026-07-31 00:00:00 +0000"],
    );
    // 31 May and 31 October 2026 are a Sunday and a Saturday.
    check("0 0 LW 10 *", "UTC", after, &["2026-10-30 00:00:00 +0000"]);
    // 15 August is a Saturday, 15 November a Sunday, 1 August a Saturday at the month's edge.
    check(
        "0 0 15W 8,11 *",
        "UTC",
        after,
        &["2026-08-14 00:00:00 +0000", "2026-11-16 00:00:00 +0000"],
    );
    check("0 0 1W 8 *", "UTC", after, &["2026-08-03 00:00:00 +0000"]);
    check(
        "0 0 * * FRI#2",
        "UTC",
        after,
        &["2026-06-12 00:00:00 +0000", "2026-07-10 00:00:00 +0000"],
    );
    check(
        "0 0 * * 5L",
        "UTC",
        after,
        &["2026-06-26 00:00:00 +0000", "2026-07-31 00:00:00 +0000"],
    );
    // The fifth Wednesday is in some months only.
    check(
        "0 0 * * 3#5",
        "UTC",
        after,
        &["2026-07-29 00:00:00 +0000", "2026-09-30 00:00:00 +0000"],
    );
}

#[test]
fn either_day_counts_unless_both_are_asked_for() {
    let after = "2026-06-01T12:00:00Z";
    check(
        "0 0 13 * FRI",
        "UTC",
        after,
        &[
            "2026-06-05 00:00:00 +0000",
            "2026-06-12 00:00:00 +0000",
            "2026-06-13 00:00:00 +0000",
        ],
    );
    check(
        "0 0 13 * +FRI",
        "UTC",
        after,
        &["2026-11-13 00:00:00 +0000", "2027-08-13 00:00:00 +0000"],
    );
}

#[test]
fn leap_days_and_the_end_of_the_year() {
    check(
        "0 0 29 2 *",
        "UTC",
        "2026-06-01T12:00:00Z",
        &["2028-02-29 00:00:00 +0000", "2032-02-29 00:00:00 +0000"],
    );
    // 2100 has none.
    check(
        "0 0 29 2 *",
        "UTC",
        "2096-03-01T00:00:00Z",
        &["2104-02-29 00:00:00 +0000"],
    );
    check(
        "59 59 23 31 12 *",
        "UTC",
        "2026-06-01T12:00:00Z",
        &["2026-12-31 23:59:59 +0000"],
    );
    check(
        "* * * * * *",
        "UTC",
        "2026-12-31T23:59:59Z",
        &["2027-01-01 00:00:00 +0000"],
    );
    // The new year comes at another moment in Shanghai.
    check(
        "@yearly",
        "Asia/Shanghai",
        "2026-06-01T12:00:00Z",
        &["2027-01-01 00:00:00 +0800"],
    );
    assert_eq!(
        cron("@yearly", "Asia/Shanghai").next_after(us("2026-06-01T00:00:00Z")),
        Some(us("2026-12-31T16:00:00Z"))
    );
}

#[test]
fn one_time_of_day_in_the_gap_runs_once_when_the_gap_ends() {
    // 29 March 2026 in Berlin: 02:00 is 03:00.
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T00:00:00Z",
        &[
            "2026-03-28 02:30:00 +0100",
            "2026-03-29 03:00:00 +0200",
            "2026-03-30 02:30:00 +0200",
        ],
    );
    // 8 March 2026 in New York.
    check(
        "30 2 * * *",
        "America/New_York",
        "2026-03-07T00:00:00Z",
        &[
            "2026-03-07 02:30:00 -0500",
            "2026-03-08 03:00:00 -0400",
            "2026-03-09 02:30:00 -0400",
        ],
    );
    // In Havana the gap begins at midnight.
    check(
        "0 0 * * *",
        "America/Havana",
        "2026-03-07T12:00:00Z",
        &["2026-03-08 01:00:00 -0400", "2026-03-09 00:00:00 -0400"],
    );
}

#[test]
fn one_time_of_day_that_comes_twice_runs_once() {
    // 25 October 2026 in Berlin: 03:00 is 02:00 again.
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T00:00:00Z",
        &[
            "2026-10-24 02:30:00 +0200",
            "2026-10-25 02:30:00 +0200",
            "2026-10-26 02:30:00 +0100",
        ],
    );
    // 1 November 2026 in New York: 02:00 is 01:00 again.
    check(
        "30 1 * * *",
        "America/New_York",
        "2026-10-31T12:00:00Z",
        &["2026-11-01 01:30:00 -0400", "2026-11-02 01:30:00 -0500"],
    );
}

#[test]
fn what_runs_each_so_often_goes_by_the_clock_on_the_wall() {
    check(
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-03-29T00:15:00Z",
        &[
            "2026-03-29 01:30:00 +0100",
            "2026-03-29 03:00:00 +0200",
            "2026-03-29 03:30:00 +0200",
        ],
    );
    check(
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-10-24T23:45:00Z",
        &[
            "2026-10-25 02:00:00 +0200",
            "2026-10-25 02:30:00 +0200",
            "2026-10-25 02:00:00 +0100",
            "2026-10-25 02:30:00 +0100",
            "2026-10-25 03:00:00 +0100",
        ],
    );
    // What comes only in the hour that is left out is not made up for.
    check(
        "*/30 2 * * *",
        "America/New_York",
        "2026-03-07T20:00:00Z",
        &["2026-03-09 02:00:00 -0400", "2026-03-09 02:30:00 -0400"],
    );
    // Half an hour only, on Lord Howe: 02:00 is 01:30 again.
    check(
        "*/15 1-2 * * *",
        "Australia/Lord_Howe",
        "2026-04-04T14:20:00Z",
        &[
            "2026-04-05 01:30:00 +1100",
            "2026-04-05 01:45:00 +1100",
            "2026-04-05 01:30:00 +1030",
            "2026-04-05 01:45:00 +1030",
            "2026-04-05 02:00:00 +1030",
        ],
    );
}

#[test]
fn a_day_that_a_zone_leaves_out_is_left_out() {
    // Samoa went from 29 to 31 December 2011.
    check(
        "0 12 * * *",
        "Pacific/Apia",
        "2011-12-29T12:00:00Z",
        &[
            "2011-12-29 12:00:00 -1000",
            "2011-12-31 00:00:00 +1400",
            "2011-12-31 12:00:00 +1400",
        ],
    );
}

#[test]
fn rates_count_from_their_start_or_from_1970() {
    let plain = schedule(r#"{"rate": "5m"}"#);
    assert_eq!(
        times(&plain, "2026-06-01T12:01:30Z", 2),
        ["2026-06-01 12:05:00 +0000", "2026-06-01 12:10:00 +0000"]
    );
    let from = schedule(r#"{"rate": "5m", "start": "2026-06-01T12:01:30Z"}"#);
    assert_eq!(
        times(&from, "2026-06-01T00:00:00Z", 2),
        ["2026-06-01 12:01:30 +0000", "2026-06-01 12:06:30 +0000"]
    );
    let long = schedule(r#"{"rate": "90000d"}"#);
    assert_eq!(long.next_after(0), Some(90_000 * DAY_US));
    assert_eq!(long.next_after(u64::MAX), None);
}

#[test]
fn start_counts_and_end_does_not() {
    let bounded = schedule(
        r#"{"cron": "@hourly", "start": "2026-06-01T12:00:00Z", "end": "2026-06-01T14:00:00Z"}"#,
    );
    assert_eq!(
        times(&bounded, "2020-01-01T00:00:00Z", 9),
        ["2026-06-01 12:00:00 +0000", "2026-06-01 13:00:00 +0000"]
    );
}

#[test]
fn a_moment_comes_once() {
    for at in [
        r#""2026-12-01T16:00:00+08:00""#,
        "1796112000",
        r#""1796112000""#,
    ] {
        let once = schedule(&format!(r#"{{"at": {at}}}"#));
        assert_eq!(
            times(&once, "2020-01-01T00:00:00Z", 9),
            ["2026-12-01 08:00:00 +0000"],
            "{at}"
        );
    }
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    for schedule in [
        cron("* * * * * *", "Europe/Berlin"),
        cron("0 0 1 1 *", "UTC"),
        schedule(r#"{"rate": "1s"}"#),
    ] {
        for after in [
            0,
            1,
            253_402_300_800 * SECOND_US,
            u64::MAX / 2,
            u64::MAX - 1,
            u64::MAX,
        ] {
            assert!(schedule.next_after(after).is_none_or(|next| next > after));
        }
    }
}
