use super::*;

const T0: u64 = 1_780_000_000 * SECOND_US;

fn policy() -> RetryPolicy {
    RetryPolicy {
        jitter: 0.0,
        ..RetryPolicy::default()
    }
}

fn failed(attempt: u32) -> Try {
    Try {
        attempt,
        first_us: T0,
        now_us: T0,
        ended: Ended::Status(503),
        retry_after_us: None,
        random: 0,
    }
}

/// The seconds that are waited after each of the first tries.
fn waits(policy: &RetryPolicy, tries: u32) -> Vec<u64> {
    let wait = |attempt| match decide(policy, &failed(attempt)) {
        Verdict::Again { at_us } => (at_us - T0) / SECOND_US,
        verdict => panic!("{attempt}: {verdict:?}"),
    };
    (1..=tries).map(wait).collect()
}

#[test]
fn the_wait_grows_as_the_policy_says() {
    let with = |backoff| RetryPolicy {
        backoff,
        attempts: 100,
        ..policy()
    };
    assert_eq!(waits(&with(Backoff::None), 4), [1, 1, 1, 1]);
    assert_eq!(waits(&with(Backoff::Linear), 4), [1, 2, 3, 4]);
    assert_eq!(
        waits(&with(Backoff::Exponential), 11),
        [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    );
    assert_eq!(
        waits(&with(Backoff::Exponential), 99).last(),
        Some(&300),
        "and never overflows"
    );
}

#[test]
fn by_default_an_event_is_tried_ten_times_in_some_nine_minutes() {
    let policy = policy();
    assert_eq!(
        (policy.attempts, policy.backoff),
        (10, Backoff::Exponential)
    );
    let total: u64 = waits(&policy, 9).iter().sum();
    assert_eq!(total, 511);
    assert_eq!(decide(&policy, &failed(10)), Verdict::dead(Cause::Attempts));
}

#[test]
fn replies_say_whether_to_try_again() {
    let verdict = |ended| decide(&policy(), &Try { ended, ..failed(1) });
    for status in [200, 201, 202, 204, 299] {
        assert_eq!(verdict(Ended::Status(status)), Verdict::Done, "{status}");
    }
    for status in [
        404, 408, 409, 425, 429, 500, 502, 503, 504, 599, 0, 100, 700,
    ] {
        assert!(
            matches!(verdict(Ended::Status(status)), Verdict::Again { .. }),
            "{status}"
        );
    }
    assert!(matches!(verdict(Ended::Silent), Verdict::Again { .. }));
    for status in [
        300, 301, 302, 304, 307, 308, 400, 401, 403, 405, 410, 413, 415, 422, 451,
    ] {
        assert_eq!(
            verdict(Ended::Status(status)),
            Verdict::dead(Cause::Refused),
            "{status}"
        );
    }
}

#[test]
fn a_reply_counts_also_at_the_last_try() {
    let last = |ended| {
        decide(
            &policy(),
            &Try {
                ended,
                ..failed(10)
            },
        )
    };
    assert_eq!(last(Ended::Status(204)), Verdict::Done);
    assert_eq!(last(Ended::Status(400)), Verdict::dead(Cause::Refused));
    assert_eq!(last(Ended::Silent), Verdict::dead(Cause::Attempts));
}

#[test]
fn jitter_shortens_a_wait_by_no_more_than_its_part() {
    for (jitter, least) in [(0.0, 8.0), (0.5, 4.0), (1.0, 0.0), (0.25, 6.0)] {
        let policy = RetryPolicy { jitter, ..policy() };
        let at = |random| match decide(
            &policy,
            &Try {
                random,
                ..failed(4)
            },
        ) {
            Verdict::Again { at_us } => (at_us - T0) as f64 / SECOND_US as f64,
            verdict => panic!("{verdict:?}"),
        };
        assert_eq!(at(0), 8.0, "{jitter}");
        assert!(
            (at(u64::MAX) - least).abs() < 0.001,
            "{jitter}: {}",
            at(u64::MAX)
        );
        let half = (8.0 + least) / 2.0;
        assert!((at(u64::MAX / 2) - half).abs() < 0.001, "{jitter}");
    }
}

#[test]
fn retry_after_is_obeyed_up_to_an_hour_and_never_shortens() {
    let at = |seconds: u64| match decide(
        &policy(),
        &Try {
            retry_after_us: Some(seconds * SECOND_US),
            ..failed(3)
        },
    ) {
        Verdict::Again { at_us } => (at_us - T0) / SECOND_US,
        verdict => panic!("{verdict:?}"),
    };
    assert_eq!(at(1), 4, "the policy's own wait is longer");
    assert_eq!(at(60), 60);
    assert_eq!(at(900), 900, "longer than max_delay");
    assert_eq!(at(1_000_000), 3_600);
    let refused = Try {
        ended: Ended::Status(410),
        retry_after_us: Some(1),
        ..failed(1)
    };
    assert_eq!(decide(&policy(), &refused), Verdict::dead(Cause::Refused));
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = 784_111_777 * SECOND_US; // Sun, 06 Nov 1994 08:49:37 GMT
    for (header, seconds) in [
        ("120", Some(120)),
        (" 0 ", Some(0)),
        ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
        ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
        ("Sun Nov  6 08:50:37 1994", Some(60)),
        ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("1.5", None),
    ] {
        assert_eq!(
            retry_after(header, now),
            seconds.map(|s| s * SECOND_US),
            "{header:?}"
        );
    }
    assert_eq!(retry_after("99999999999999999999999", now), Some(u64::MAX));
}

#[test]
fn no_try_comes_after_the_age_at_which_an_event_is_given_up() {
    let policy = RetryPolicy {
        max_age: Span::secs(10),
        ..policy()
    };
    let verdict = |attempt, now: u64| {
        decide(
            &policy,
            &Try {
                now_us: T0 + now * SECOND_US,
                ..failed(attempt)
            },
        )
    };
    assert_eq!(
        verdict(2, 8),
        Verdict::Again {
            at_us: T0 + 10 * SECOND_US
        }
    );
    assert_eq!(verdict(2, 9), Verdict::dead(Cause::Age));
    assert_eq!(verdict(1, 11), Verdict::dead(Cause::Age));
    let asked = Try {
        retry_after_us: Some(11 * SECOND_US),
        ..failed(1)
    };
    assert_eq!(
        decide(&policy, &asked),
        Verdict::dead(Cause::Age),
        "rather than early"
    );
}

#[test]
fn the_ends_of_numbers_are_no_trouble() {
    let policy = RetryPolicy {
        attempts: u32::MAX,
        delay: Span(std::time::Duration::MAX),
        max_delay: Span(std::time::Duration::MAX),
        max_age: Span(std::time::Duration::MAX),
        backoff: Backoff::Linear,
        jitter: 1.0,
    };
    for (attempt, first_us, now_us, random) in [
        (0, 0, 0, 0),
        (u32::MAX - 1, u64::MAX, u64::MAX, u64::MAX),
        (7, u64::MAX, 0, 9),
    ] {
        let tried = Try {
            attempt,
            first_us,
            now_us,
            random,
            retry_after_us: Some(u64::MAX),
            ended: Ended::Silent,
        };
        decide(&policy, &tried);
        decide(
            &RetryPolicy {
                backoff: Backoff::Exponential,
                ..policy
            },
            &tried,
        );
    }
}

#[test]
fn policies_that_cannot_be_meant_are_refused() {
    let said = |change: fn(&mut RetryPolicy)| {
        let mut policy = policy();
        change(&mut policy);
        policy.check().expect_err("refused").to_string()
    };
    assert_eq!(
        said(|p| p.attempts = 0),
        "attempts is from 1 to 1000, not 0"
    );
    assert_eq!(
        said(|p| p.attempts = 1001),
        "attempts is from 1 to 1000, not 1001"
    );
    assert_eq!(said(|p| p.jitter = 1.5), "jitter is from 0 to 1, not 1.5");
    assert_eq!(
        said(|p| p.jitter = f64::NAN),
        "jitter is from 0 to 1, not NaN"
    );
    assert_eq!(
        said(|p| p.delay = Span::secs(600)),
        "delay is longer than max_delay, which is 5m: 10m"
    );
    RetryPolicy::default().check().unwrap();
}

#[test]
fn a_policy_is_read_and_survives_the_wire() {
    let text = r#"{"attempts": 3, "backoff": "linear", "delay": "250ms", "max_delay": "1m", "jitter": 1, "max_age": "1d"}"#;
    let policy: RetryPolicy = serde_json::from_str(text).unwrap();
    let wire = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<RetryPolicy>(&wire).unwrap(), policy);
    assert!(serde_json::from_str::<RetryPolicy>(r#"{"tries": 3}"#).is_err());
    assert_eq!(
        serde_json::from_str::<RetryPolicy>("{}").unwrap(),
        RetryPolicy::default()
    );
}
