//! Answers from memory and disk together, each record once.

use std::collections::{BTreeMap, VecDeque};

use gust_meter::{Month, Period, RecordQuery, UsageQuery, UsageRow, memory, period};
use gust_types::{Result, Usage};

use super::{
    Shared,
    rollups::{self, HOURS_US, MINUTES_US, Names, Table},
    segment,
};

/// Records that one answer has at most.
const MOST_RECORDS: usize = 10_000;

/// A part of a range, read from one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    table: Table,
    from_us: u64,
    until_us: u64,
}

pub(super) fn usage(shared: &Shared, query: &UsageQuery, now_us: u64) -> Result<Vec<UsageRow>> {
    let mut groups = BTreeMap::new();
    let mut reader = shared.reader.lock();
    shared.drain();
    // Memory and SQLite are looked at while no commit moves sums from one to the other.
    let gate = shared.gate.read();
    let snapshot = rollups::snapshot(&mut reader)?;
    shared.state.lock().each_sum(|key, totals| {
        memory::fold(&mut groups, query, &key.function, key.minute_us, totals);
    });
    drop(gate);
    let names = Names {
        project: query.project.clone(),
        app: query.app.clone(),
        function: query.function.clone(),
    };
    for part in parts(query, now_us) {
        let Part {
            table,
            from_us,
            until_us,
        } = part;
        let see = |key, start_us: u64, totals| {
            // A part may start before the range does where minutes are no longer kept.
            let start_us = match query.period {
                Period::Whole => start_us.clamp(query.from_us, query.until_us.saturating_sub(1)),
                _ => start_us,
            };
            memory::fold(&mut groups, query, &key, start_us, &totals);
        };
        rollups::read(&snapshot, table, from_us, until_us, Some(&names), see)?;
    }
    memory::rows(groups, query.limit)
}

/// Which tables to read for a range.
fn parts(query: &UsageQuery, now_us: u64) -> Vec<Part> {
    let (from_us, until_us) = (query.from_us, query.until_us);
    let table = match query.period {
        Period::Minute => Table::Minute,
        Period::Hour => Table::Hour,
        Period::Month => Table::Month,
        Period::Whole => return whole(from_us, until_us, now_us),
    };
    vec![Part {
        table,
        from_us: table.period().start_of(from_us),
        until_us,
    }]
}

/// A sum over any range: the coarsest table that fits each part of it, and none that no longer has it.
fn whole(from_us: u64, until_us: u64, now_us: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = from_us;
    let mut part = |table: Table, at: &mut u64, end_us: u64| {
        let end_us = end_us.min(until_us);
        let from_us = table.period().start_of(*at);
        if from_us < end_us && *at < end_us {
            parts.push(Part {
                table,
                from_us,
                until_us: end_us,
            });
            *at = end_us;
        }
    };
    let up = |at_us: u64| Period::Hour.start_of(at_us.saturating_add(period::HOUR_US - 1));
    let hours_from = Month::of(now_us.saturating_sub(HOURS_US)).end_us();
    let minutes_from = up(now_us.saturating_sub(MINUTES_US));
    part(Table::Month, &mut at, hours_from);
    part(Table::Hour, &mut at, minutes_from);
    let next_hour = up(at);
    part(Table::Minute, &mut at, next_hour);
    // Up to the last full hour; an end without an end has only full hours.
    let last_hour = match until_us {
        u64::MAX => u64::MAX,
        until_us => Period::Hour.start_of(until_us),
    };
    part(Table::Hour, &mut at, last_hour);
    part(Table::Minute, &mut at, until_us);
    parts
}

pub(super) fn records(shared: &Shared, query: &RecordQuery, now_us: u64) -> Result<Vec<Usage>> {
    let limit = query.limit.min(MOST_RECORDS);
    shared.drain();
    let (waiting, written) = {
        let state = shared.state.lock();
        (state.waiting_batches(), state.written)
    };
    let mut newest = Newest {
        query,
        limit,
        records: Vec::new(),
    };
    for batch in waiting.iter().rev() {
        newest.add(batch.records.iter().filter(|u| query.matches(u)).cloned());
    }
    for id in segment::list(&shared.folder)?.into_iter().rev() {
        if newest.is_full() {
            break;
        }
        let until = match id.cmp(&written.segment) {
            std::cmp::Ordering::Greater => continue,
            std::cmp::Ordering::Equal => written.offset,
            std::cmp::Ordering::Less => u64::MAX,
        };
        // A clock that was set back says nothing about files of its future.
        let path = segment::path(&shared.folder, id);
        if query.since_us <= now_us && ended_before(&path, query.since_us) {
            break;
        }
        newest.read(&shared.folder, id, until)?;
    }
    let mut records = newest.records;
    // Threads hand their records on at different moments; what people expect is the order in which calls ended.
    records.sort_by_key(|usage| std::cmp::Reverse(usage.start_us.saturating_add(usage.wall_us)));
    Ok(records)
}

struct Newest<'a> {
    query: &'a RecordQuery,
    limit: usize,
    records: Vec<Usage>,
}

impl Newest<'_> {
    fn is_full(&self) -> bool {
        self.records.len() >= self.limit
    }

    /// Adds records that are older than those there are, given oldest first.
    fn add(&mut self, records: impl DoubleEndedIterator<Item = Usage>) {
        let room = self.limit - self.records.len();
        self.records.extend(records.rev().take(room));
    }

    fn read(&mut self, folder: &std::path::Path, id: u64, until: u64) -> Result<()> {
        let room = self.limit - self.records.len();
        let mut last = VecDeque::new();
        let read = segment::read(folder, id, until, |_, records| {
            for usage in records.into_iter().filter(|u| self.query.matches(u)) {
                if last.len() == room {
                    last.pop_front();
                }
                last.push_back(usage);
            }
        });
        match read {
            Ok(_) => {}
            // It was old enough to go between the listing and now.
            Err(_) if !segment::path(folder, id).exists() => {}
            Err(error) => return Err(error),
        }
        self.add(last.into_iter());
        Ok(())
    }
}

/// Whether a file was last written before this: then all its calls were accepted before it too.
fn ended_before(path: &std::path::Path, since_us: u64) -> bool {
    let changed = std::fs::metadata(path).and_then(|m| m.modified());
    let since_epoch = changed
        .ok()
        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    // A second of grace for clocks that are set back a little.
    since_epoch.is_some_and(|at| (at.as_micros() as u64) + 1_000_000 < since_us)
}

#[cfg(test)]
mod tests {
    use gust_meter::{period::DAY_US, suite::NOON_US};

    use super::*;

    const HOUR: u64 = period::HOUR_US;
    const MINUTE: u64 = period::MINUTE_US;

    #[test]
    fn ranges_are_read_from_the_coarsest_table_that_fits() {
        let tables = |from, until| {
            let parts = whole(from, until, NOON_US);
            for pair in parts.windows(2) {
                assert_eq!(pair[0].until_us, pair[1].from_us, "no gap, no overlap");
            }
            let last = parts.last().map(|p| p.until_us);
            assert_eq!(last, Some(until));
            parts.iter().map(|p| p.table).collect::<Vec<_>>()
        };
        use Table::{Hour, Minute, Month};
        assert_eq!(tables(NOON_US - 2 * HOUR, NOON_US), [Hour]);
        assert_eq!(tables(NOON_US - MINUTE, NOON_US), [Minute]);
        assert_eq!(
            tables(NOON_US - 90 * MINUTE, NOON_US - 5 * MINUTE),
            [Minute, Minute]
        );
        assert_eq!(
            tables(NOON_US - 200 * MINUTE, NOON_US - 5 * MINUTE),
            [Minute, Hour, Minute]
        );
        assert_eq!(
            tables(NOON_US - 100 * DAY_US - MINUTE, NOON_US),
            [Hour, Hour]
        );
        assert_eq!(tables(0, u64::MAX), [Month, Hour, Hour]);
        assert_eq!(tables(0, NOON_US + 3 * MINUTE), [Month, Hour, Hour, Minute]);
    }

    #[test]
    fn nothing_is_read_for_an_empty_range() {
        assert!(whole(NOON_US, NOON_US, NOON_US).is_empty());
        assert!(whole(NOON_US, NOON_US - HOUR, NOON_US).is_empty());
    }
}
