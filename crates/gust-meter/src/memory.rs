//! A ledger that forgets at the end of the process: for tests and for `gust up`.

use std::collections::{BTreeMap, HashMap, VecDeque};

use async_trait::async_trait;
use gust_types::{FunctionKey, ProjectName, Result, Usage};
use parking_lot::Mutex;

use crate::{
    Ledger, Meter, Month, Period, RecordQuery, Totals, UsageQuery, UsageRow, Verification,
    ledger::UsageGroup,
};

/// How many single records it keeps; sums are kept of all.
const KEPT: usize = 100_000;

/// A ledger in memory. Sums are exact; only the newest 100,000 single records are kept.
#[derive(Default)]
pub struct MemoryLedger {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: VecDeque<Usage>,
    minutes: HashMap<(FunctionKey, u64), Totals>,
}

impl Meter for MemoryLedger {
    fn record(&self, usage: Usage) {
        let mut state = self.state.lock();
        let minute = Period::Minute.start_of(usage.start_us);
        let key = ((*usage.function).clone(), minute);
        state.minutes.entry(key).or_default().add_usage(&usage);
        if state.records.len() == KEPT {
            state.records.pop_front();
        }
        state.records.push_back(usage);
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn flush(&self) -> Result<()> {
        Ok(())
    }

    async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>> {
        let mut groups = BTreeMap::new();
        for ((key, minute), totals) in &self.state.lock().minutes {
            fold(&mut groups, &query, key, *minute, totals);
        }
        rows(groups, query.limit)
    }

    async fn records(&self, query: RecordQuery) -> Result<Vec<Usage>> {
        let state = self.state.lock();
        let newest = state.records.iter().rev().filter(|u| query.matches(u));
        Ok(newest.take(query.limit).cloned().collect())
    }

    fn month(&self, month: Month) -> Vec<(ProjectName, Totals)> {
        let mut projects: BTreeMap<ProjectName, Totals> = BTreeMap::new();
        for ((key, minute), totals) in &self.state.lock().minutes {
            if Month::of(*minute) == month {
                projects.entry(key.project.clone()).or_default().add(totals);
            }
        }
        projects.into_iter().collect()
    }

    async fn verify(&self) -> Result<Verification> {
        let state = self.state.lock();
        Ok(Verification {
            minutes: state.minutes.len() as u64,
            records: state.records.len() as u64,
            mismatches: Vec::new(),
        })
    }
}

/// Adds a minute of a function to the groups of a query. Every ledger's answer is built with this.
pub fn fold(
    groups: &mut BTreeMap<UsageGroup, Totals>,
    query: &UsageQuery,
    key: &FunctionKey,
    minute_us: u64,
    totals: &Totals,
) {
    if let Some(group) = query.group(key, minute_us) {
        groups.entry(group).or_default().add(totals);
    }
}

/// The rows of an answer, refused when there are more than asked for.
pub fn rows(groups: BTreeMap<UsageGroup, Totals>, limit: usize) -> Result<Vec<UsageRow>> {
    if groups.len() > limit {
        let count = groups.len();
        return Err(gust_types::Error::exhausted(format!(
            "more usage rows than asked for: {count}"
        ))
        .hint("ask for a shorter time, a coarser period or fewer functions"));
    }
    Ok(groups
        .into_iter()
        .map(|(g, totals)| g.row(totals))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passes_the_suite() {
        crate::suite::run(async || MemoryLedger::default()).await;
    }
}
