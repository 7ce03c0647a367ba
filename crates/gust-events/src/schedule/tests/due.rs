//! What is run when somebody looks.

use super::*;

const MADE: &str = "2026-06-01T12:00:00Z";

fn state() -> State {
    State::new(us(MADE))
}

fn after(seconds: u64) -> u64 {
    us(MADE) + seconds * SECOND_US
}

fn seconds(times: &[u64]) -> Vec<u64> {
    times.iter().map(|t| (t - us(MADE)) / SECOND_US).collect()
}

#[test]
fn nothing_is_due_before_its_time() {
    let every = schedule(r#"{"rate": "1m"}"#);
    let decision = every.due(&state(), after(59));
    assert!(decision.fire.is_empty());
    assert_eq!(decision.next_us, Some(after(60)));
    assert_eq!(decision.state, state());
}

#[test]
fn a_run_is_due_at_its_time_and_a_little_late() {
    let every = schedule(r#"{"rate": "1m", "missed": "skip"}"#);
    for late in [0, 1, 10] {
        let decision = every.due(&state(), after(60 + late));
        assert_eq!(seconds(&decision.fire), [60], "{late} s late");
        assert_eq!((decision.dropped, decision.next_us), (0, Some(after(120))));
        assert_eq!(decision.state.settled_us, after(60));
    }
    let decision = every.due(&state(), after(71));
    assert_eq!((decision.fire, decision.dropped), (vec![], 1));
    assert_eq!(
        decision.state.settled_us,
        after(60),
        "a dropped run is settled"
    );
}

#[test]
fn lateness_is_no_downtime() {
    // Ten seconds in which nobody looked: all are run under every policy.
    for missed in ["skip", "last", "all"] {
        let every = schedule(&format!(r#"{{"rate": "2s", "missed": "{missed}"}}"#));
        let decision = every.due(&state(), after(11));
        assert_eq!(seconds(&decision.fire), [2, 4, 6, 8, 10], "{missed}");
    }
}

#[test]
fn a_downtime_is_made_up_for_as_the_policy_says() {
    for (missed, fire, dropped) in [
        ("skip", vec![], 3),
        ("last", vec![180], 2),
        ("all", vec![60, 120, 180], 0),
    ] {
        let every = schedule(&format!(r#"{{"rate": "1m", "missed": "{missed}"}}"#));
        let decision = every.due(&state(), after(200));
        assert_eq!(seconds(&decision.fire), fire, "{missed}");
        assert_eq!(decision.dropped, dropped, "{missed}");
        assert_eq!(decision.state.settled_us, after(180), "{missed}");
        assert_eq!(decision.next_us, Some(after(240)), "{missed}");
        let again = every.due(&decision.state, after(200));
        assert_eq!(
            (again.fire, again.dropped),
            (vec![], 0),
            "{missed}: twice is once"
        );
    }
}

#[test]
fn what_is_too_old_is_not_made_up_for() {
    let all = schedule(r#"{"rate": "1m", "missed": "all", "missed_within": "2m"}"#);
    let decision = all.due(&state(), after(310));
    assert_eq!(
        (seconds(&decision.fire), decision.dropped),
        (vec![240, 300], 3)
    );
    let last = schedule(r#"{"cron": "@daily", "missed_within": "1h"}"#);
    let decision = last.due(&state(), us("2026-06-02T02:00:00Z"));
    assert_eq!((decision.fire, decision.dropped), (vec![], 1));
    assert_eq!(decision.state.settled_us, us("2026-06-02T00:00:00Z"));
    let decision = last.due(&state(), us("2026-06-02T01:00:00Z"));
    assert_eq!(decision.fire, [us("2026-06-02T00:00:00Z")]);
}

#[test]
fn of_very_many_missed_runs_the_newest_are_kept() {
    let all = schedule(r#"{"rate": "1s", "missed": "all"}"#);
    let decision = all.due(&state(), after(5_000));
    let expected: Vec<u64> = (4_001..=5_000).collect();
    assert_eq!(seconds(&decision.fire), expected);
    assert_eq!(decision.dropped, 4_000);
    assert_eq!(decision.next_us, Some(after(5_001)));
    let last = schedule(r#"{"rate": "1s", "missed": "last"}"#);
    assert_eq!(seconds(&last.due(&state(), after(5_000)).fire), [5_000]);
    let skip = schedule(r#"{"rate": "1s", "missed": "skip"}"#);
    let on_time: Vec<u64> = (4_990..=5_000).collect();
    assert_eq!(seconds(&skip.due(&state(), after(5_000)).fire), on_time);
}

#[test]
fn years_of_downtime_take_no_longer_than_an_hour_of_it() {
    let all = cron("* * * * * *", "Europe/Berlin");
    let now = us(MADE) + 20 * 365 * DAY_US;
    let decision = all.due(&state(), now);
    assert_eq!(decision.fire, [now]);
    assert_eq!(decision.dropped, COUNTED - 1, "counted no further");
    assert_eq!(decision.state.settled_us, now);
    // More than a thousand, and none of them young enough.
    let old = schedule(r#"{"cron": "* * * * * * 2026", "missed": "all", "missed_within": "1h"}"#);
    let decision = old.due(&state(), us("2027-03-01T00:00:00Z"));
    assert_eq!((decision.fire.len(), decision.next_us), (0, None));
    assert_eq!(decision.state.settled_us, us("2026-12-31T23:59:59Z"));
}

#[test]
fn a_clock_that_goes_back_fires_nothing_again() {
    let every = schedule(r#"{"rate": "1m", "missed": "all"}"#);
    let first = every.due(&state(), after(180));
    assert_eq!(seconds(&first.fire), [60, 120, 180]);
    let back = every.due(&first.state, after(90));
    assert_eq!((back.fire, back.dropped), (vec![], 0));
    assert_eq!(back.next_us, Some(after(240)));
    assert_eq!(back.state, first.state);
    assert_eq!(seconds(&every.due(&back.state, after(240)).fire), [240]);
}

#[test]
fn by_default_a_run_does_not_wait_for_the_one_before() {
    let every = schedule(r#"{"rate": "1m"}"#);
    let first = every.due(&state(), after(60));
    assert_eq!(first.state.running, 1);
    let second = every.due(&first.state, after(120));
    assert_eq!(
        (seconds(&second.fire), second.state.running),
        (vec![120], 2)
    );
}

#[test]
fn a_run_in_the_way_drops_the_next() {
    let every = schedule(r#"{"rate": "1m", "overlap": "skip"}"#);
    let mut state = every.due(&state(), after(60)).state;
    let second = every.due(&state, after(120));
    assert_eq!((second.fire, second.dropped), (vec![], 1));
    state = second.state;
    state.ended();
    let third = every.due(&state, after(180));
    assert_eq!(
        (seconds(&third.fire), third.dropped),
        (vec![180], 0),
        "what was dropped stays dropped"
    );
}

#[test]
fn one_run_waits_and_no_more() {
    let every = schedule(r#"{"rate": "1m", "overlap": "queue"}"#);
    let mut state = every.due(&state(), after(60)).state;
    let second = every.due(&state, after(120));
    assert_eq!((second.fire, second.dropped), (vec![], 0));
    assert_eq!(second.state.waiting_us, Some(after(120)));
    let third = every.due(&second.state, after(180));
    assert_eq!((third.fire, third.dropped), (vec![], 1));
    state = third.state;
    state.ended();
    let freed = every.due(&state, after(190));
    assert_eq!((seconds(&freed.fire), freed.dropped), (vec![120], 0));
    assert_eq!((freed.state.running, freed.state.waiting_us), (1, None));
    let next = every.due(&freed.state, after(240));
    assert_eq!(
        next.state.waiting_us,
        Some(after(240)),
        "there is room for one again"
    );
}

#[test]
fn missed_runs_that_may_not_overlap_are_run_as_if_each_had_come_in_turn() {
    for (overlap, waiting, dropped) in [("skip", None, 2), ("queue", Some(120), 1)] {
        let every = schedule(&format!(
            r#"{{"rate": "1m", "missed": "all", "overlap": "{overlap}"}}"#
        ));
        let decision = every.due(&state(), after(185));
        assert_eq!(seconds(&decision.fire), [60], "{overlap}");
        assert_eq!(decision.state.waiting_us, waiting.map(after), "{overlap}");
        assert_eq!(decision.dropped, dropped, "{overlap}");
    }
}

#[test]
fn a_run_that_waits_survives_another_policy() {
    let mut waits = state();
    (waits.running, waits.waiting_us) = (1, Some(after(0)));
    let allow = schedule(r#"{"rate": "1m"}"#).due(&waits, after(30));
    assert_eq!(
        (seconds(&allow.fire), allow.state.waiting_us),
        (vec![0], None)
    );
    let skip = schedule(r#"{"rate": "1m", "overlap": "skip"}"#).due(&waits, after(30));
    assert_eq!(
        (skip.fire, skip.dropped, skip.state.waiting_us),
        (vec![], 1, None)
    );
}

#[test]
fn once_is_once() {
    let once = schedule(r#"{"at": "2026-06-01T13:00:00Z"}"#);
    let early = once.due(&state(), after(10));
    assert_eq!((early.fire, early.next_us), (vec![], Some(after(3600))));
    let done = once.due(&early.state, after(9_000));
    assert_eq!((seconds(&done.fire), done.next_us), (vec![3600], None));
    assert!(once.due(&done.state, after(99_000)).fire.is_empty());
    // One that was over when it was made never comes.
    let over = once.due(&State::new(after(4000)), after(4001));
    assert_eq!((over.fire, over.dropped, over.next_us), (vec![], 0, None));
}

#[test]
fn the_state_survives_the_disk() {
    let mut kept = state();
    kept.waiting_us = Some(7);
    let text = serde_json::to_string(&kept).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), kept);
}
