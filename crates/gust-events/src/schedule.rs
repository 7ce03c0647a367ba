//! When a schedule fires: pure decisions, the time handed in as Unix microseconds.
//!
//! [`ScheduleSpec`] is what a person writes, [`Schedule`] what it means ([`Schedule::compile`]), [`Schedule::due`] what is to be run now, and
//! [`Timeline`] which of very many schedules is to be asked next. Three times are easily confused:
//!
//! - the *nominal* time is what the cron line or the rate says;
//! - the *fire time* is the nominal time and the schedule's own share of its jitter. It names a run: it is the same on
//!   every node and after every restart, so whoever records it can tell a run from its repetition;
//! - *now* is when somebody looks. It is later than the fire time by a few milliseconds, or by a weekend.

mod compile;
mod cron;
mod due;
mod fields;
mod spec;
mod timeline;
mod zone;

#[cfg(test)]
mod tests;

pub use compile::JITTER_MAX;
pub use due::{COUNTED, Decision, GRACE_US, RUNS_CAUGHT_UP, State};
pub use spec::{Missed, Moment, Overlap, ScheduleSpec};
pub use timeline::Timeline;

use chrono_tz::Tz;
use cron::Cron;

const SECOND_US: u64 = 1_000_000;

/// A schedule that is known to fire at least once. Small, since a node keeps very many of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    when: When,
    /// Added to each nominal time.
    shift_us: u64,
    /// The first nominal time that counts.
    start_us: u64,
    /// The first nominal time that no longer does.
    end_us: u64,
    overlap: Overlap,
    missed: Missed,
    missed_within_us: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum When {
    Cron { cron: Cron, zone: Tz },
    Rate { every_us: u64 },
    At(u64),
}

// === impl Schedule ===

impl Schedule {
    /// The first fire time after this moment, if there is one. Never the moment itself, so that what was returned can be
    /// handed in again.
    pub fn next_after(&self, after_us: u64) -> Option<u64> {
        let after = after_us.saturating_sub(self.shift_us);
        let before_start = self.start_us.saturating_sub(1);
        let nominal = self.nominal_after(after.max(before_start))?;
        if nominal >= self.end_us {
            return None;
        }
        nominal.checked_add(self.shift_us)
    }

    /// Whether runs wait for those before them, or are left out for them.
    pub fn minds_overlap(&self) -> bool {
        self.overlap != Overlap::Allow
    }

    fn nominal_after(&self, after_us: u64) -> Option<u64> {
        match &self.when {
            When::Cron { cron, zone } => {
                let after = i64::try_from(after_us / SECOND_US).ok()?;
                let next = u64::try_from(cron.next_after(*zone, after)?).ok()?;
                next.checked_mul(SECOND_US)
            }
            // Counted from the start, or else from 1970: no node needs to remember when it began.
            When::Rate { every_us } => match after_us.checked_sub(self.start_us) {
                Some(past) => (past / every_us + 1)
                    .checked_mul(*every_us)?
                    .checked_add(self.start_us),
                None => Some(self.start_us),
            },
            When::At(at) => (*at > after_us).then_some(*at),
        }
    }
}

/// The least number in `low..=high` of which this is true. It has to be true of `high`, and of all that follow the least.
fn first_true(mut low: i64, mut high: i64, is: impl Fn(i64) -> bool) -> i64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if is(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}
