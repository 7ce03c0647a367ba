//! Any text as a schedule and as a retry policy: never a panic, what is accepted fires in order and each time once, and
//! no retry comes late or early.
#![no_main]

use gust_events::{
    retry::{self, Ended, RetryPolicy, Try, Verdict},
    schedule::{RUNS_CAUGHT_UP, Schedule, ScheduleSpec, State},
};
use libfuzzer_sys::fuzz_target;

const DAY_US: u64 = 86_400_000_000;

fuzz_target!(|bytes: &[u8]| {
    let Some((numbers, text)) = bytes.split_first_chunk::<16>() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let (a, b) = numbers.split_at(8);
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or(0);
    let (a, b) = (number(a), number(b));
    if let Ok(spec) = serde_json::from_str::<ScheduleSpec>(text) {
        let wire = serde_json::to_string(&spec).expect("a schedule can be sent");
        let read: ScheduleSpec = serde_json::from_str(&wire).expect("and read");
        assert_eq!(read, spec);
        compile(&spec, a, b);
    }
    if let Ok(spec) = text.parse::<ScheduleSpec>() {
        compile(&spec, a, b);
    }
    if let Ok(policy) = serde_json::from_str::<RetryPolicy>(text) {
        retries(&policy, text, a, b);
    }
    retries(&RetryPolicy::default(), text, a, b);
});

fn compile(spec: &ScheduleSpec, a: u64, b: u64) {
    match Schedule::compile(spec, "id") {
        Ok(schedule) => {
            assert!(schedule.next_after(0).is_some(), "it fires at least once");
            // Anywhere in time, and in the years that matter.
            fires(&schedule, a, b);
            fires(
                &schedule,
                1_700_000_000_000_000 + a % (20_000 * DAY_US),
                b % (40 * DAY_US),
            );
        }
        Err(error) => assert!(!error.message.is_empty()),
    }
}

fn fires(schedule: &Schedule, made: u64, downtime: u64) {
    let mut after = made;
    for _ in 0..4 {
        let Some(next) = schedule.next_after(after) else {
            break;
        };
        assert!(next > after);
        let between = after + (next - after) / 2;
        assert_eq!(
            schedule.next_after(between),
            Some(next),
            "from wherever one looks"
        );
        after = next;
    }
    let now = made.saturating_add(downtime);
    let decision = schedule.due(&State::new(made), now);
    assert!(decision.fire.len() <= RUNS_CAUGHT_UP);
    assert!(decision.fire.is_sorted_by(|a, b| a < b));
    assert!(decision.fire.iter().all(|t| made < *t && *t <= now));
    assert!(decision.next_us.is_none_or(|next| next > now));
    let again = schedule.due(
        &State {
            running: 0,
            waiting_us: None,
            ..decision.state
        },
        now,
    );
    assert!(again.fire.is_empty() && again.dropped == 0, "once");
}

fn retries(policy: &RetryPolicy, header: &str, now_us: u64, random: u64) {
    if policy.check().is_err() {
        return;
    }
    let tried = Try {
        attempt: (random % 2_000) as u32,
        first_us: now_us.saturating_sub(random % DAY_US),
        now_us,
        ended: Ended::Status((random >> 48) as u16),
        retry_after_us: retry::retry_after(header, now_us),
        random,
    };
    if let Verdict::Again { at_us } = retry::decide(policy, &tried) {
        let age = u64::try_from(policy.max_age.0.as_micros()).unwrap_or(u64::MAX);
        assert!(tried.attempt < policy.attempts);
        assert!(now_us <= at_us && at_us <= tried.first_us.saturating_add(age));
    }
}
