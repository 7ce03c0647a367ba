//! What the ledger holds in memory: batches that wait for the journal, sums that wait for the roll-ups, this month's totals.
//!
//! A record is in exactly one of these at any time: a buffer, a waiting batch, the open sums, the sums being committed, or
//! SQLite. Moves happen under the state's lock, so whoever adds up under it counts each record once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    path::Path,
    sync::Arc,
};

use gust_meter::{Month, Period, Totals};
use gust_types::{FunctionKey, ProjectName, Result, Usage};

use super::{
    Stats,
    rollups::Rollups,
    segment::{self, Position},
};

/// Open sums before they are made coarser: a disk that is full for days must not fill the memory.
const MOST_SUMS: usize = 65_536;

/// A minute of a function.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct MinuteKey {
    pub(super) function: Arc<FunctionKey>,
    pub(super) minute_us: u64,
}

pub(super) type Sums = HashMap<MinuteKey, Totals>;

/// Records on their way to the journal, with what they add up to.
pub(super) struct Batch {
    pub(super) records: Vec<Usage>,
    pub(super) sums: Sums,
}

pub(super) struct State {
    waiting: VecDeque<Arc<Batch>>,
    waiting_records: usize,
    open: Sums,
    committing: Arc<Sums>,
    /// Hours whose minutes were put together: their minutes cannot be compared with records.
    coarse: BTreeSet<u64>,
    months: BTreeMap<(Month, ProjectName), Totals>,
    /// Up to here the journal is in `open`, `committing` or SQLite.
    pub(super) written: Position,
    pub(super) stats: Stats,
}

/// What to commit.
pub(super) struct Commit {
    pub(super) sums: Arc<Sums>,
    pub(super) coarse: BTreeSet<u64>,
    pub(super) position: Position,
}

// === impl Batch ===

impl Batch {
    pub(super) fn of(records: Vec<Usage>) -> Self {
        let mut sums = Sums::new();
        // Neighbours are mostly of one function and minute: add them up before looking anything up.
        let mut run: Option<(MinuteKey, Totals)> = None;
        for usage in &records {
            let minute_us = Period::Minute.start_of(usage.start_us);
            match &mut run {
                Some((key, totals))
                    if key.minute_us == minute_us
                        && Arc::ptr_eq(&key.function, &usage.function) =>
                {
                    totals.add_usage(usage);
                }
                _ => {
                    let key = MinuteKey {
                        function: usage.function.clone(),
                        minute_us,
                    };
                    let next = (key, Totals::of([usage]));
                    if let Some((key, totals)) = run.replace(next) {
                        add(&mut sums, key, &totals);
                    }
                }
            }
        }
        if let Some((key, totals)) = run {
            add(&mut sums, key, &totals);
        }
        Self { records, sums }
    }
}

fn add(sums: &mut Sums, key: MinuteKey, totals: &Totals) {
    sums.entry(key).or_default().add(totals);
}

// === impl State ===

impl State {
    /// What the last process left: its months, and what of its journal is not rolled up yet.
    pub(super) fn restore(journal: &Path, rollups: &Rollups, now_us: u64) -> Result<Self> {
        let committed = rollups.position()?;
        let mut state = Self {
            waiting: VecDeque::new(),
            waiting_records: 0,
            open: Sums::new(),
            committing: Arc::default(),
            coarse: BTreeSet::new(),
            months: BTreeMap::new(),
            written: committed,
            stats: Stats::default(),
        };
        let this = Month::of(now_us);
        for month in [this.previous(), this] {
            for (project, totals) in rollups.month(month)? {
                state.months.insert((month, project), totals);
            }
        }
        let last = segment::list(journal)?
            .into_iter()
            .filter(|id| *id >= committed.segment);
        for id in last {
            state.replay(journal, id, committed)?;
        }
        Ok(state)
    }

    fn replay(&mut self, journal: &Path, id: u64, committed: Position) -> Result<()> {
        let mut batches = Vec::new();
        let contents = segment::read(journal, id, u64::MAX, |end, records| {
            let place = Position {
                segment: id,
                offset: end,
            };
            if place > committed {
                batches.push(Batch::of(records));
            }
        })?;
        if contents.damaged > 0 {
            tracing::error!(
                segment = id,
                blocks = contents.damaged,
                "the ledger's journal is damaged"
            );
        }
        if contents.torn {
            tracing::info!(
                segment = id,
                at = contents.length,
                "an unfinished block is cut off"
            );
            segment::truncate(journal, id, contents.length)?;
        }
        for batch in batches {
            self.stats.replayed += batch.records.len() as u64;
            self.count_months(&batch);
            self.open_sums(&batch, false);
        }
        self.stats.damaged += contents.damaged;
        self.written = self.written.max(Position {
            segment: id,
            offset: contents.length,
        });
        Ok(())
    }

    /// Takes a batch: to wait for the journal, or, when too many wait already, as sums alone.
    pub(super) fn accept(&mut self, batch: Batch, most: usize) {
        self.stats.records += batch.records.len() as u64;
        self.count_months(&batch);
        if self.waiting_records + batch.records.len() > most {
            self.stats.unkept += batch.records.len() as u64;
            self.open_sums(&batch, true);
            return;
        }
        self.waiting_records += batch.records.len();
        self.waiting.push_back(Arc::new(batch));
    }

    /// The batch to write next.
    pub(super) fn next(&self) -> Option<Arc<Batch>> {
        self.waiting.front().cloned()
    }

    /// The batch that was next is in the journal, up to here.
    pub(super) fn wrote(&mut self, position: Position) {
        if let Some(batch) = self.waiting.pop_front() {
            self.waiting_records -= batch.records.len();
            self.open_sums(&batch, false);
            self.written = position;
        }
    }

    /// What waits, newest last.
    pub(super) fn waiting_batches(&self) -> Vec<Arc<Batch>> {
        self.waiting.iter().cloned().collect()
    }

    /// Records that wait for the journal.
    pub(super) fn waiting(&self) -> usize {
        self.waiting_records
    }

    /// Takes the open sums for a commit; `None` when there are none.
    pub(super) fn begin_commit(&mut self) -> Option<Commit> {
        if self.open.is_empty() {
            return None;
        }
        self.committing = Arc::new(std::mem::take(&mut self.open));
        Some(Commit {
            sums: self.committing.clone(),
            coarse: self.coarse.clone(),
            position: self.written,
        })
    }

    /// The commit is in SQLite, or is not.
    pub(super) fn end_commit(&mut self, committed: bool) {
        let sums = std::mem::take(&mut self.committing);
        if committed {
            self.coarse.clear();
            return;
        }
        for (key, totals) in sums.iter() {
            add(&mut self.open, key.clone(), totals);
        }
    }

    /// Every sum that is not in SQLite.
    pub(super) fn each_sum(&self, mut see: impl FnMut(&MinuteKey, &Totals)) {
        let waiting = self.waiting.iter().map(|batch| &batch.sums);
        for sums in waiting.chain([&self.open, &*self.committing]) {
            sums.iter().for_each(|(key, totals)| see(key, totals));
        }
    }

    pub(super) fn month(&self, month: Month) -> Vec<(ProjectName, Totals)> {
        self.months
            .iter()
            .filter(|((m, _), _)| *m == month)
            .map(|((_, project), totals)| (project.clone(), *totals))
            .collect()
    }

    /// Forgets months before the previous one.
    pub(super) fn forget_months(&mut self, now_us: u64) {
        let oldest = Month::of(now_us).previous();
        self.months.retain(|(month, _), _| *month >= oldest);
    }

    fn count_months(&mut self, batch: &Batch) {
        for (key, totals) in &batch.sums {
            let month = Month::of(key.minute_us);
            self.months
                .entry((month, key.function.project.clone()))
                .or_default()
                .add(totals);
        }
    }

    fn open_sums(&mut self, batch: &Batch, unkept: bool) {
        for (key, totals) in &batch.sums {
            let mut totals = *totals;
            totals.unkept += if unkept { totals.calls } else { 0 };
            add(&mut self.open, key.clone(), &totals);
        }
        if self.open.len() > MOST_SUMS {
            self.coarsen();
        }
    }

    /// Puts the minutes of each hour together. Hours, months and money stay exact.
    fn coarsen(&mut self) {
        for (key, totals) in std::mem::take(&mut self.open) {
            let hour_us = Period::Hour.start_of(key.minute_us);
            self.coarse.insert(hour_us);
            let key = MinuteKey {
                minute_us: hour_us,
                ..key
            };
            add(&mut self.open, key, &totals);
        }
    }
}
