//! What is refused, and with which words.

use super::*;

#[test]
fn a_schedule_is_one_of_three_things() {
    assert!(refused("{}").starts_with("a schedule without cron, rate or at (write one of them"));
    let two = refused(r#"{"cron": "@daily", "rate": "5m"}"#);
    assert!(
        two.starts_with("a schedule with more than one of cron, rate and at"),
        "{two}"
    );
    let zone = refused(r#"{"rate": "5m", "timezone": "UTC"}"#);
    assert!(
        zone.starts_with("timezone without cron in a schedule"),
        "{zone}"
    );
    assert!(refused(r#"{"crom": "@daily"}"#).contains("unknown field `crom`"));
    assert!(refused(r#"{"cron": "@daily", "missed": "some"}"#).contains("unknown variant `some`"));
}

#[test]
fn the_field_that_is_wrong_is_named() {
    for (line, field) in [
        (
            "61 * * * *",
            r#"the minute of a cron line is wrong: "61" (it takes 0 to 59"#,
        ),
        (
            "60 * * * * *",
            r#"the second of a cron line is wrong: "60""#,
        ),
        (
            "* 24 * * *",
            r#"the hour of a cron line is wrong: "24" (it takes 0 to 23"#,
        ),
        (
            "* * 0 * *",
            r#"the day of month of a cron line is wrong: "0""#,
        ),
        ("* * * 13 *", r#"the month of a cron line is wrong: "13""#),
        (
            "* * * * 8",
            r#"the day of week of a cron line is wrong: "8""#,
        ),
        (
            "* * * * 1#6",
            r#"the day of week of a cron line is wrong: "1#6""#,
        ),
        ("* * * * * * 0", r#"the year of a cron line is wrong: "0""#),
        (
            "*/0 * * * *",
            r#"the minute of a cron line is wrong: "*/0""#,
        ),
        (
            "5/10 * * * *",
            r#"the minute of a cron line is wrong: "5/10""#,
        ),
        (
            "30-10 * * * *",
            r#"the minute of a cron line is wrong: "30-10""#,
        ),
        // A name in another field would be a number there.
        (
            "* * FRI * *",
            r#"the day of month of a cron line is wrong: "FRI""#,
        ),
        ("* * * FRI *", r#"the month of a cron line is wrong: "FRI""#),
        (
            "* * * * MAY",
            r#"the day of week of a cron line is wrong: "MAY""#,
        ),
        (
            "* * * * Montag",
            r#"the day of week of a cron line is wrong: "Montag""#,
        ),
        (
            "* * ß * *",
            r#"the day of month of a cron line is wrong: "ß""#,
        ),
    ] {
        let said = refused(&format!(r#"{{"cron": "{line}"}}"#));
        assert!(said.starts_with(field), "{line}: {said}");
    }
}

#[test]
fn a_line_has_its_fields_or_a_name() {
    let said = refused(r#"{"cron": "* * * *"}"#);
    assert!(
        said.starts_with(r#"a cron line has 5, 6 or 7 fields, this one has 4: "* * * *""#),
        "{said}"
    );
    let said = refused(r#"{"cron": ""}"#);
    assert!(said.contains("this one has 0"), "{said}");
    let said = refused(r#"{"cron": "@reboot"}"#);
    assert!(
        said.starts_with(r#"not a name for a cron line: "@reboot" (there are @hourly"#),
        "{said}"
    );
    let said = refused(&format!(r#"{{"cron": "{}"}}"#, "* ".repeat(200)));
    assert!(
        said.starts_with("a cron line has at most 256 bytes, this one has 399"),
        "{said}"
    );
}

#[test]
fn what_can_never_fire_is_refused() {
    for line in [
        "0 0 31 2 *",
        "0 0 30 FEB *",
        "0 0 31 4,6,9,11 *",
        "0 0 31W 2 *",
        "0 0 0 29 2 * 2027",
        "0 0 0 1 1 * 1969",
    ] {
        let said = refused(&format!(r#"{{"cron": "{line}"}}"#));
        assert!(said.contains("can never fire"), "{line}: {said}");
    }
    let said = refused(r#"{"cron": "0 0 31 2 *"}"#);
    assert!(
        said.starts_with(r#"a cron line that can never fire: "0 0 31 2 *""#),
        "{said}"
    );
    let said = refused(
        r#"{"cron": "@yearly", "start": "2026-02-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"}"#,
    );
    assert!(
        said.starts_with(
            "a schedule that can never fire from 2026-02-01T00:00:00Z to 2026-12-01T00:00:00Z"
        ),
        "{said}"
    );
    let said = refused(r#"{"at": 1796112000, "end": "2026-12-01T08:00:00Z"}"#);
    assert!(
        said.starts_with("a schedule that can never fire before 2026-12-01T08:00:00Z"),
        "{said}"
    );
}

#[test]
fn time_zones_are_known_by_their_names() {
    for (name, hint) in [
        ("Europe/Berln", "did you mean \"Europe/Berlin\"?"),
        ("europe/berlin", "did you mean \"Europe/Berlin\"?"),
        ("Shanghai", "did you mean \"Asia/Shanghai\"?"),
        ("New York", "did you mean \"America/New_York\"?"),
        ("Middle/Earth", "write an IANA name"),
        ("", "write an IANA name"),
    ] {
        let said = refused(&format!(r#"{{"cron": "@daily", "timezone": "{name}"}}"#));
        assert!(
            said.starts_with(&format!("no such time zone: {name:?} ({hint}")),
            "{said}"
        );
    }
}

#[test]
fn a_rate_is_a_second_at_least() {
    let said = refused(r#"{"rate": "500ms"}"#);
    assert!(
        said.starts_with("the rate of a schedule is at least 1s, this one is 500ms"),
        "{said}"
    );
    assert!(refused(r#"{"rate": "0s"}"#).contains("at least 1s"));
    assert!(refused(r#"{"rate": "often"}"#).contains("not a duration: \"often\""));
    assert_eq!(schedule(r#"{"rate": "1s"}"#).next_after(0), Some(SECOND_US));
}

#[test]
fn jitter_is_a_day_at_most() {
    let said = refused(r#"{"cron": "@daily", "jitter": "25h"}"#);
    assert!(
        said.starts_with("the jitter of a schedule is at most 1d, this one is 25h"),
        "{said}"
    );
}

#[test]
fn moments_are_rfc_3339_or_seconds() {
    assert!(refused(r#"{"at": "tomorrow"}"#).contains("not a moment: \"tomorrow\""));
    assert!(refused(r#"{"at": "1969-12-31T00:00:00Z"}"#).contains("not a moment"));
    assert!(
        refused(r#"{"at": 1796112000000}"#).contains("not a moment in Unix seconds: 1796112000000")
    );
    assert!(refused(r#"{"at": -1}"#).contains("before 1970"));
}

#[test]
fn eventbridge_spellings_mean_what_they_mean_there() {
    let after = "2026-06-01T12:30:00Z"; // a Monday
    for (text, expected) in [
        ("rate(5 minutes)", "2026-06-01 12:35:00 +0000"),
        ("rate(1 hour)", "2026-06-01 13:00:00 +0000"),
        ("rate(1 day)", "2026-06-02 00:00:00 +0000"),
        ("cron(0 12 * * ? *)", "2026-06-02 12:00:00 +0000"),
        // There, Sunday is 1 and `0/20` begins at 0.
        ("cron(0 8 ? * 1 *)", "2026-06-07 08:00:00 +0000"),
        ("cron(0/20 * * * ? *)", "2026-06-01 12:40:00 +0000"),
        ("cron(0 18 ? * MON-FRI *)", "2026-06-01 18:00:00 +0000"),
        ("cron(0 10 ? * 6L 2026-2027)", "2026-06-26 10:00:00 +0000"),
        ("cron(0 8 ? * 2#1 *)", "2026-07-06 08:00:00 +0000"),
        ("at(2026-12-01T08:00:00)", "2026-12-01 08:00:00 +0000"),
        ("0 */5 * * * *", "2026-06-01 12:35:00 +0000"),
        ("@daily", "2026-06-02 00:00:00 +0000"),
    ] {
        let spec: ScheduleSpec = text.parse().unwrap();
        assert_eq!(
            times(&Schedule::compile(&spec, "id").unwrap(), after, 1),
            [expected],
            "{text}"
        );
    }
    let within = schedule(r#"{"rate": "rate(5 minutes)"}"#);
    assert_eq!(within, schedule(r#"{"rate": "5m"}"#));
    for wrong in [
        "rate(5)",
        "rate(five minutes)",
        "rate(5 parsecs)",
        "rate(5 minutes",
        "at(noon)",
    ] {
        assert!(wrong.parse::<ScheduleSpec>().is_err(), "{wrong}");
    }
    let said = refused(r#"{"cron": "cron(0 12 * * ?)"}"#);
    let day = refused(r#"{"cron": "cron(0 12 ? * 0 *)"}"#);
    assert!(day.contains("(it takes 1 (Sunday) to 7"), "{day}");
    assert!(
        said.starts_with("a cron line has 6 fields, this one has 5"),
        "{said}"
    );
}

#[test]
fn what_was_written_survives_the_wire() {
    for json in [
        r#"{"cron": "0 */5 * * * *", "timezone": "Asia/Shanghai", "overlap": "queue", "missed": "all", "missed_within": "1h"}"#,
        r#"{"rate": "5m", "jitter": "30s", "start": "2026-12-01T08:00:00Z"}"#,
        r#"{"at": 1796112000}"#,
    ] {
        let written = spec(json);
        let wire = serde_json::to_string(&written).unwrap();
        assert_eq!(spec(&wire), written, "{wire}");
    }
    let plain = spec(r#"{"cron": "@daily"}"#);
    assert_eq!(
        (plain.overlap, plain.missed),
        (Overlap::Allow, Missed::Last)
    );
    assert_eq!(plain.missed_within.to_string(), "7d");
}
