//! What a schedule has to run now.

use super::{Missed, Overlap, SECOND_US, Schedule};

/// How late a run may be and still be on time: a busy node wakes late, and that is no downtime.
pub const GRACE_US: u64 = 10 * SECOND_US;
/// The most runs that one look makes up for. Of more, the newest are kept.
pub const RUNS_CAUGHT_UP: usize = 1000;
/// As far as [`Decision::dropped`] is counted. Each second of a year would take seconds to count.
pub const COUNTED: u64 = 10_000;

/// What is remembered of a schedule. Whoever keeps it stores it together with the runs that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct State {
    /// Every fire time up to here has been run or dropped, and never comes again, also when the clock goes back.
    pub settled_us: u64,
    /// Runs that have not ended.
    pub running: u32,
    /// The fire time of the run that waits for one to end (`overlap = "queue"`).
    pub waiting_us: Option<u64>,
}

/// What to do, and the state after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The fire times to run now, oldest first.
    pub fire: Vec<u64>,
    /// How many were due and will not be run: missed, or in the way of a run before them. Exact up to [`COUNTED`].
    pub dropped: u64,
    /// When to look next, besides when a run ends. `None`: never, it has fired for the last time.
    pub next_us: Option<u64>,
    /// What is to be remembered once the runs are.
    pub state: State,
}

/// The fire times that have come, the newest of them at least; how many there were; and the first that has not come.
struct Due {
    times: Vec<u64>,
    count: u64,
    next_us: Option<u64>,
}

// === impl State ===

impl State {
    /// Of a schedule that was made at this moment: what lies before it was never its business.
    pub fn new(made_us: u64) -> Self {
        Self {
            settled_us: made_us,
            running: 0,
            waiting_us: None,
        }
    }

    /// A run has ended. Look again when one waits.
    pub fn ended(&mut self) {
        self.running = self.running.saturating_sub(1);
    }
}

// === impl Schedule ===

impl Schedule {
    /// Which runs are due. Asked when [`Decision::next_us`] has come and when a run has ended; asking at any other time, or
    /// twice, changes nothing.
    ///
    /// A clock that goes back fires nothing again: nothing is due before what is settled. The price is that a clock which
    /// was far ahead once silences its schedules until that time comes, or until somebody sets `settled_us` back.
    pub fn due(&self, state: &State, now_us: u64) -> Decision {
        let due = self.come(state.settled_us, now_us);
        let settled_us = due.times.last().copied().unwrap_or(state.settled_us);
        let made_up = self.make_up(due.times, now_us);
        let mut after = State {
            settled_us,
            ..*state
        };
        let fire = self.admit(&mut after, made_up);
        let waited = u64::from(state.waiting_us.is_some()) + due.count;
        let left = fire.len() as u64 + u64::from(after.waiting_us.is_some());
        Decision {
            fire,
            dropped: waited.saturating_sub(left),
            next_us: due.next_us,
            state: after,
        }
    }

    fn come(&self, settled_us: u64, now_us: u64) -> Due {
        let mut times = Vec::new();
        let mut count = 0;
        let mut next_us = self.next_after(settled_us);
        while let Some(time) = next_us.filter(|time| *time <= now_us) {
            count += 1;
            if times.len() < RUNS_CAUGHT_UP {
                times.push(time);
            } else if count >= COUNTED {
                break;
            }
            next_us = self.next_after(time);
        }
        if count > times.len() as u64 {
            times = self.newest(settled_us, now_us);
            next_us = self.next_after(now_us);
        }
        Due {
            times,
            count,
            next_us,
        }
    }

    /// The newest fire times after one moment and up to another, as many as are caught up with or the policy can want.
    fn newest(&self, after_us: u64, until_us: u64) -> Vec<u64> {
        let most = match self.missed {
            Missed::Last => 1,
            Missed::Skip | Missed::All => RUNS_CAUGHT_UP,
        };
        let oldest = until_us.saturating_sub(self.horizon_us()).saturating_sub(1);
        let floor = after_us.max(oldest);
        let mut times = Vec::new();
        let mut before = until_us.saturating_add(1);
        while times.len() < most
            && let Some(time) = self.last_before(before, floor)
        {
            times.push(time);
            before = time;
        }
        // What is older than anything that may still be run is settled all the same.
        if times.is_empty() {
            times.extend(self.last_before(until_us.saturating_add(1), after_us));
        }
        times.reverse();
        times
    }

    /// The last fire time before one moment and after another: ever longer steps back, then halves.
    fn last_before(&self, before_us: u64, after_us: u64) -> Option<u64> {
        let found = |from: u64| self.next_after(from).filter(|time| *time < before_us);
        let mut high = before_us.saturating_sub(1);
        let mut step = SECOND_US;
        let mut low = high.saturating_sub(step).max(after_us);
        while found(low).is_none() {
            if low <= after_us {
                return None;
            }
            (high, step) = (low, step.saturating_mul(2));
            low = high.saturating_sub(step).max(after_us);
        }
        // It is after `low` and not after `high`.
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if found(middle).is_some() {
                low = middle;
            } else {
                high = middle;
            }
        }
        found(low)
    }

    /// Of what has come, what may still be run.
    fn make_up(&self, mut times: Vec<u64>, now_us: u64) -> Vec<u64> {
        let on_time = now_us.saturating_sub(GRACE_US);
        if times.first().is_none_or(|oldest| *oldest >= on_time) {
            return times;
        }
        let oldest = now_us.saturating_sub(self.horizon_us());
        times.retain(|time| *time >= oldest);
        if self.missed == Missed::Last {
            times = times.pop().into_iter().collect();
        }
        times
    }

    /// How old a run may be after a downtime.
    fn horizon_us(&self) -> u64 {
        match self.missed {
            Missed::Skip => GRACE_US,
            Missed::Last | Missed::All => self.missed_within_us.max(GRACE_US),
        }
    }

    /// Of what may be run, what the runs before it leave room for: as if each had come at its own time, in turn.
    fn admit(&self, state: &mut State, times: Vec<u64>) -> Vec<u64> {
        let mut queue = state.waiting_us.take().into_iter().chain(times);
        let fire: Vec<u64> = match self.overlap {
            Overlap::Allow => queue.by_ref().collect(),
            Overlap::Skip | Overlap::Queue if state.running > 0 => Vec::new(),
            Overlap::Skip | Overlap::Queue => queue.by_ref().take(1).collect(),
        };
        if self.overlap == Overlap::Queue {
            state.waiting_us = queue.next();
        }
        state.running = state.running.saturating_add(fire.len() as u32);
        fire
    }
}
