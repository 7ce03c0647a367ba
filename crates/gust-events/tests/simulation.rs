//! Days of virtual time in which nodes go down, clocks go back and receivers fail, made up from a seed.
//!
//! What must hold is checked at every step; a failure prints its seed. `GUST_SEEDS=10000` runs more of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use gust_events::{
    retry::{
        Backoff, Cause, Ended, RETRY_AFTER_MAX, RetryPolicy, Try, Verdict, decide, is_retried,
    },
    schedule::{
        GRACE_US, Missed, Moment, Overlap, RUNS_CAUGHT_UP, Schedule, ScheduleSpec, State, Timeline,
    },
};
use gust_types::Span;

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
/// Around both changes of the clocks, and around a new year.
const STARTS: [&str; 4] = [
    "2026-03-27T00:00:00Z",
    "2026-10-23T00:00:00Z",
    "2026-12-30T00:00:00Z",
    "2028-02-27T00:00:00Z",
];
const DAYS: u64 = 5;

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

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

fn seeds(few: u64) -> std::ops::Range<u64> {
    let many = std::env::var("GUST_SEEDS").ok();
    0..many.and_then(|n| n.parse().ok()).unwrap_or(few)
}

// === schedules ===

/// A schedule, what is remembered of it, and all that it ever did.
struct Simulated {
    text: String,
    spec: ScheduleSpec,
    schedule: Schedule,
    state: State,
    made: u64,
    fired: Vec<u64>,
    dropped: u64,
    /// When each run that goes on will end.
    ends: Vec<u64>,
}

fn spec(numbers: &mut Numbers, start: u64) -> ScheduleSpec {
    let mut spec = ScheduleSpec {
        overlap: numbers.pick(&[
            Overlap::Allow,
            Overlap::Allow,
            Overlap::Skip,
            Overlap::Queue,
        ]),
        missed: numbers.pick(&[Missed::Skip, Missed::Last, Missed::All, Missed::All]),
        jitter: Span::secs(numbers.pick(&[0, 0, 30, 7_200])),
        missed_within: Span::secs(numbers.pick(&[60, 3_600, 90_000, 604_800])),
        ..ScheduleSpec::default()
    };
    match numbers.below(10) {
        0 => {
            spec.at = Some(Moment(
                start + numbers.below(DAYS * 24) * HOUR + numbers.below(HOUR),
            ))
        }
        1..=3 => spec.rate = Some(Span::secs(numbers.pick(&[7, 60, 61, 300, 3_600, 50_000]))),
        _ => {
            let lines = [
                "* * * * *",
                "*/30 * * * * *",
                "*/7 * * * *",
                "30 2 * * *",
                "0 0 * * *",
                "*/20 1-3 * * *",
                "0 9 * * MON-FRI",
                "0 0 29 2 *",
                "0 0 L * *",
                "@hourly",
            ];
            let zones = [
                "UTC",
                "Europe/Berlin",
                "America/New_York",
                "Australia/Lord_Howe",
            ];
            spec.cron = Some(numbers.pick(&lines).into());
            spec.timezone = Some(numbers.pick(&zones).into());
        }
    }
    if spec.at.is_none() && numbers.one_in(4) {
        spec.start = Some(Moment(start + numbers.below(48) * HOUR + 17 * SECOND));
        spec.end = numbers
            .one_in(2)
            .then(|| Moment(start + (72 + numbers.below(48)) * HOUR));
    }
    spec
}

impl Simulated {
    fn new(numbers: &mut Numbers, id: u32, now: u64) -> Option<Self> {
        let spec = spec(numbers, now);
        // Bounds may leave no fire time: refused, as it should be.
        let schedule = Schedule::compile(&spec, &format!("app/{id}")).ok()?;
        Some(Self {
            text: serde_json::to_string(&spec).unwrap(),
            spec,
            schedule,
            state: State::new(now),
            made: now,
            fired: Vec::new(),
            dropped: 0,
            ends: Vec::new(),
        })
    }

    /// Looks at it and does as it says. Returns when to look again.
    fn look(&mut self, numbers: &mut Numbers, seed: u64, now: u64) -> Option<u64> {
        let before = self.state;
        let decision = self.schedule.due(&before, now);
        let told = || {
            format!(
                "seed {seed}, {}, now {}: {decision:?}",
                self.text,
                Moment(now)
            )
        };
        assert_eq!(
            decision,
            self.schedule.due(&before, now),
            "pure: {}",
            told()
        );
        assert!(decision.state.settled_us >= before.settled_us, "{}", told());
        assert!(decision.fire.len() <= RUNS_CAUGHT_UP + 1, "{}", told());
        assert!(decision.next_us.is_none_or(|next| next > now), "{}", told());
        for time in &decision.fire {
            assert!(*time <= now, "early: {}", told());
            assert!(*time > self.made, "before it was made: {}", told());
            assert!(
                self.fired.last().is_none_or(|last| last < time),
                "twice or out of order: {}",
                told()
            );
            let waited = before.waiting_us == Some(*time);
            let horizon = match self.spec.missed {
                Missed::Skip => GRACE_US,
                _ => (self.spec.missed_within.0.as_micros() as u64).max(GRACE_US),
            };
            assert!(waited || now - time <= horizon, "too old: {}", told());
            self.fired.push(*time);
            let length = if numbers.one_in(3) {
                3 * HOUR
            } else {
                2 * SECOND
            };
            self.ends.push(now + numbers.below(length));
        }
        if self.spec.overlap != Overlap::Allow {
            assert!(self.ends.len() <= 1, "overlap: {}", told());
        }
        self.dropped += decision.dropped;
        self.state = decision.state;
        assert_eq!(self.state.running as usize, self.ends.len());
        let ends = self
            .ends
            .iter()
            .copied()
            .filter(|_| self.state.waiting_us.is_some());
        ends.chain(decision.next_us).min()
    }

    fn end_runs(&mut self, now: u64) {
        let before = self.ends.len();
        self.ends.retain(|end| *end > now);
        (self.ends.len()..before).for_each(|_| self.state.ended());
    }

    /// Each fire time there was is accounted for once, and those that had to run did.
    fn account(&self, seed: u64) {
        let after = std::iter::successors(self.schedule.next_after(self.made), |t| {
            self.schedule.next_after(*t)
        });
        let all: Vec<u64> = after.take_while(|t| *t <= self.state.settled_us).collect();
        let told = || format!("seed {seed}, {}", self.text);
        assert!(
            self.fired.iter().all(|t| all.binary_search(t).is_ok()),
            "{}",
            told()
        );
        let waiting = u64::from(self.state.waiting_us.is_some());
        let accounted = self.fired.len() as u64 + self.dropped + waiting;
        assert_eq!(accounted, all.len() as u64, "{}", told());
        let week = ScheduleSpec::default().missed_within;
        let keeps_all = self.spec.missed == Missed::All && self.spec.missed_within == week;
        // Half a minute is the shortest here that a downtime of eight hours does not fill a thousand times.
        let sparse = all.windows(2).all(|w| w[1] - w[0] >= 30 * SECOND);
        if keeps_all && sparse && self.spec.overlap == Overlap::Allow {
            assert_eq!(self.fired, all, "lost under `all`: {}", told());
        }
    }
}

/// Runs one seed and returns what each schedule fired.
fn run(seed: u64) -> Vec<Vec<u64>> {
    let numbers = &mut Numbers(seed);
    let start = numbers.pick(&STARTS).parse::<Moment>().unwrap().0;
    let mut all: BTreeMap<u32, Simulated> = (0..20)
        .filter_map(|id| Some((id, Simulated::new(numbers, id, start)?)))
        .collect();
    let mut timeline = Timeline::new();
    all.keys().for_each(|id| {
        timeline.insert(*id, start);
    });
    let mut now = start;
    while now < start + DAYS * 24 * HOUR {
        let Some(next) = timeline.next_us() else {
            break;
        };
        // Late by a little; sometimes down for hours; sometimes the clock is put back.
        now = now.max(next) + numbers.below(SECOND);
        if numbers.one_in(500) {
            now += numbers.below(8 * HOUR);
        }
        if numbers.one_in(200) {
            now = now.saturating_sub(numbers.below(HOUR));
        }
        while let Some((id, _)) = timeline.pop_due(now) {
            let simulated = all.get_mut(&id).unwrap();
            simulated.end_runs(now);
            if let Some(next) = simulated.look(numbers, seed, now) {
                timeline.insert(id, next.max(now + 1));
            }
        }
        // After the clock was put back nothing may be due for an hour.
        if let Some(next) = timeline.next_us() {
            now = now.max(next.min(now + MINUTE));
        }
    }
    all.values().for_each(|simulated| simulated.account(seed));
    all.into_values().map(|simulated| simulated.fired).collect()
}

#[test]
fn schedules_fire_each_time_once_in_order_and_lose_none() {
    let mut fired = 0;
    for seed in seeds(20) {
        fired += run(seed).iter().map(Vec::len).sum::<usize>();
    }
    assert!(fired > 50_000, "the simulation does something: {fired}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [1, 2, 3] {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}

// === retries ===

fn policy(numbers: &mut Numbers) -> RetryPolicy {
    let delay = numbers.pick(&[0, 1, 30, 60]);
    let policy = RetryPolicy {
        attempts: 1 + numbers.below(30) as u32,
        backoff: numbers.pick(&[Backoff::None, Backoff::Linear, Backoff::Exponential]),
        delay: Span::secs(delay),
        max_delay: Span::secs(delay + numbers.pick(&[0, 10, 300, 7_200])),
        jitter: numbers.below(101) as f64 / 100.0,
        max_age: Span::secs(numbers.pick(&[0, 60, 3_600, 86_400])),
    };
    policy.check().unwrap();
    policy
}

fn ended(numbers: &mut Numbers) -> Ended {
    match numbers.below(20) {
        0 => Ended::Status(204),
        1 => Ended::Status(numbers.pick(&[301, 400, 410, 422])),
        2..=5 => Ended::Silent,
        _ => Ended::Status(numbers.pick(&[404, 408, 409, 425, 429, 500, 502, 503, 504])),
    }
}

/// The least and the most of a wait.
fn bounds(policy: &RetryPolicy, tried: &Try) -> (u64, u64) {
    let us = |span: Span| span.0.as_micros() as u64;
    let n = u64::from(tried.attempt);
    let whole = match policy.backoff {
        Backoff::None => us(policy.delay),
        Backoff::Linear => us(policy.delay) * n,
        Backoff::Exponential => us(policy.delay).saturating_mul(1 << (n - 1)),
    };
    let whole = whole.min(us(policy.max_delay));
    let least = (whole as f64 * (1.0 - policy.jitter)) as u64;
    let asked = tried.retry_after_us.unwrap_or(0).min(us(RETRY_AFTER_MAX));
    (
        least.saturating_sub(whole / 100_000 + 1).max(asked),
        whole.max(asked),
    )
}

/// One event's life. Returns its tries and how it ended.
fn deliver(numbers: &mut Numbers, seed: u64, first_us: u64) -> (u32, Verdict) {
    let policy = policy(numbers);
    let max_age = policy.max_age.0.as_micros() as u64;
    let mut now_us = first_us;
    for attempt in 1.. {
        // A try takes its time, and the one who should try again may be down.
        now_us += numbers.below(30 * SECOND);
        if numbers.one_in(50) {
            now_us += numbers.below(8 * HOUR);
        }
        let tried = Try {
            attempt,
            first_us,
            now_us,
            ended: ended(numbers),
            retry_after_us: numbers.one_in(5).then(|| numbers.below(2 * HOUR)),
            random: numbers.next(),
        };
        let verdict = decide(&policy, &tried);
        let told = || format!("seed {seed}: {policy:?}, {tried:?}: {verdict:?}");
        assert!(attempt <= policy.attempts, "{}", told());
        assert_eq!(verdict, decide(&policy, &tried), "pure: {}", told());
        let wanted = match tried.ended {
            Ended::Status(status) => !(200..300).contains(&status) && is_retried(status),
            Ended::Silent => true,
        };
        match verdict {
            Verdict::Done => assert_eq!(tried.ended, Ended::Status(204), "{}", told()),
            Verdict::Again { at_us } => {
                let (least, most) = bounds(&policy, &tried);
                assert!(wanted && attempt < policy.attempts, "{}", told());
                assert!(
                    (least..=most).contains(&(at_us - now_us)),
                    "{least} to {most}, {}",
                    told()
                );
                assert!(at_us <= first_us + max_age, "{}", told());
                now_us = at_us;
                continue;
            }
            Verdict::Dead {
                cause: Cause::Refused,
            } => assert!(!wanted, "{}", told()),
            Verdict::Dead {
                cause: Cause::Attempts,
            } => assert_eq!(attempt, policy.attempts, "{}", told()),
            Verdict::Dead { cause: Cause::Age } => {
                let (_, most) = bounds(&policy, &tried);
                assert!(wanted && now_us + most > first_us + max_age, "{}", told());
            }
        }
        return (attempt, verdict);
    }
    unreachable!("tries are counted");
}

#[test]
fn retries_keep_to_their_attempts_their_age_and_their_waits() {
    let mut ends = BTreeMap::new();
    for seed in seeds(20) {
        let lives = |seed| {
            let numbers = &mut Numbers(seed);
            let start = 1_780_000_000 * SECOND;
            let life = |i| deliver(numbers, seed, start + i * SECOND);
            (0..500).map(life).collect::<Vec<_>>()
        };
        let first = lives(seed);
        assert_eq!(first, lives(seed), "seed {seed}");
        for (_, verdict) in first {
            *ends.entry(format!("{verdict:?}")).or_insert(0) += 1;
        }
    }
    assert_eq!(ends.len(), 4, "each end is reached: {ends:?}");
}
