//! What a hundred thousand schedules take: memory, and the time until ten thousand that are due at once are decided.
//!
//! `cargo run --release -p gust-events --example timeline`
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a program that prints a measurement"
)]

use std::time::Instant;

use gust_events::schedule::{Schedule, ScheduleSpec, State, Timeline};

const ALL: u32 = 100_000;
const START_US: u64 = 1_780_000_000_000_000;

fn main() {
    let before = resident();
    let began = Instant::now();
    let schedules: Vec<(Schedule, State)> = (0..ALL)
        .map(|id| (schedule(id), State::new(START_US)))
        .collect();
    let compiled = began.elapsed();
    let held = resident();
    let mut timeline = Timeline::new();
    let began = Instant::now();
    for (id, (schedule, _)) in (0..).zip(&schedules) {
        timeline.insert(id, schedule.next_after(START_US).unwrap());
    }
    let inserted = began.elapsed();
    println!(
        "compiled  {ALL} in {compiled:?}, {} bytes each",
        (held - before) / ALL as u64
    );
    println!(
        "inserted  {ALL} in {inserted:?}, {} bytes each",
        (resident() - held) / ALL as u64
    );

    // The busiest second: every tenth has its minute then.
    let now = START_US / 60_000_000 * 60_000_000 + 60_000_000;
    let began = Instant::now();
    let mut fired = 0;
    while let Some((id, _)) = timeline.pop_due(now) {
        let (schedule, state) = &schedules[id as usize];
        let decision = schedule.due(state, now);
        fired += decision.fire.len();
        if let Some(next) = decision.next_us {
            timeline.insert(id, next);
        }
    }
    println!(
        "decided   {fired} in {:?}, put back included",
        began.elapsed()
    );
}

/// Each tenth each minute, the rest somewhere in the day.
fn schedule(id: u32) -> Schedule {
    let line = match id % 10 {
        0 => "* * * * *".to_owned(),
        _ => format!(
            "{} {} {} * * MON-FRI",
            id % 59 + 1,
            id / 60 % 60,
            id / 3600 % 24
        ),
    };
    let spec = ScheduleSpec {
        cron: Some(line),
        timezone: Some("Europe/Berlin".into()),
        ..ScheduleSpec::default()
    };
    Schedule::compile(&spec, &id.to_string()).unwrap()
}

/// Resident memory in bytes, as Linux says.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
