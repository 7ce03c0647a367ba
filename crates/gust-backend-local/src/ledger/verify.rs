//! Are the roll-ups the sums of the records? Asked by tests and by people who do not believe it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use gust_meter::{Period, Totals, Verification, ledger::Mismatch, period};
use gust_types::{FunctionKey, Result};

use super::{
    rollups::Rollups,
    segment::{self, Position},
};

/// Differences that are told.
const MOST: usize = 100;
/// Minutes compared at once; with more, the oldest hours are left out.
const MINUTES: usize = 200_000;

type Minutes = BTreeMap<(u64, FunctionKey), Totals>;

/// Compares every minute whose records are all still in the journal. Everything recorded must be flushed.
pub(super) fn verify(folder: &Path, rollups: &Rollups, written: Position) -> Result<Verification> {
    let mut verification = Verification::default();
    let mut floor_us = rollups.floor_us()?;
    let coarse = rollups.coarse()?;
    let counts = |minute_us: u64, floor_us: u64| {
        minute_us >= floor_us && !coarse.contains(&Period::Hour.start_of(minute_us))
    };
    let mut records = Minutes::new();
    for id in segment::list(folder)? {
        let until = match id == written.segment {
            true => written.offset,
            false => u64::MAX,
        };
        segment::read(folder, id, until, |_, block| {
            for usage in block {
                let minute_us = Period::Minute.start_of(usage.start_us);
                if counts(minute_us, floor_us) {
                    let key = (minute_us, (*usage.function).clone());
                    records.entry(key).or_default().add_usage(&usage);
                    verification.records += 1;
                }
            }
            while records.len() > MINUTES {
                floor_us = drop_oldest_hour(&mut records);
            }
        })?;
    }
    let mut rolled_up = Minutes::new();
    rollups.minutes(floor_us, |function, minute_us, totals| {
        if counts(minute_us, floor_us) {
            rolled_up.insert((minute_us, function), totals);
        }
    })?;
    compare(&records, &rolled_up, &mut verification);
    Ok(verification)
}

fn drop_oldest_hour(minutes: &mut Minutes) -> u64 {
    let Some(((oldest_us, _), _)) = minutes.first_key_value() else {
        return 0;
    };
    let floor_us = Period::Hour.start_of(*oldest_us) + period::HOUR_US;
    minutes.retain(|(minute_us, _), _| *minute_us >= floor_us);
    floor_us
}

fn compare(records: &Minutes, rolled_up: &Minutes, verification: &mut Verification) {
    let keys: BTreeSet<_> = records.keys().chain(rolled_up.keys()).collect();
    for key in keys {
        let ours = records.get(key).copied().unwrap_or_default();
        let theirs = rolled_up.get(key).copied().unwrap_or_default();
        verification.minutes += 1;
        if !agree(&ours, &theirs) && verification.mismatches.len() < MOST {
            verification.mismatches.push(Mismatch {
                function: key.1.clone(),
                minute_us: key.0,
                records: ours,
                rolled_up: theirs,
            });
        }
    }
}

/// Equal; or, where single records were not kept, larger by at least those calls.
fn agree(records: &Totals, rolled_up: &Totals) -> bool {
    if rolled_up.unkept == 0 {
        return records == rolled_up;
    }
    let none_less = records
        .columns()
        .iter()
        .zip(rolled_up.columns())
        .all(|(ours, theirs)| *ours <= theirs);
    none_less && records.calls + rolled_up.unkept == rolled_up.calls
}

#[cfg(test)]
mod tests {
    use gust_meter::suite::{NOON_US, key, usage};

    use super::*;

    #[test]
    fn a_difference_of_one_is_seen() {
        let minute = |calls| {
            let records: Vec<_> = (0..calls).map(|n| usage("a", "f", n, NOON_US)).collect();
            let key = (NOON_US, (*key("default", "a", "f")).clone());
            Minutes::from([(key, Totals::of(&records))])
        };
        let check = |records: &Minutes, rolled_up: &Minutes| {
            let mut verification = Verification::default();
            compare(records, rolled_up, &mut verification);
            verification.is_ok()
        };
        assert!(check(&minute(5), &minute(5)));
        assert!(!check(&minute(5), &minute(6)));
        assert!(!check(&minute(5), &minute(4)));
        assert!(!check(&Minutes::new(), &minute(1)));
        assert!(!check(&minute(1), &Minutes::new()));
        let mut partly = minute(6);
        partly.values_mut().for_each(|totals| totals.unkept = 1);
        assert!(check(&minute(5), &partly));
        assert!(!check(&minute(4), &partly));
        let mut cheaper = minute(5);
        cheaper.values_mut().for_each(|totals| totals.cpu_us -= 1);
        assert!(!check(&minute(5), &cheaper));
    }
}
