//! The suite, and what is particular to files: restarts, torn and damaged ends, full disks, retention.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use gust_meter::{
    Budget, BudgetKeeper, GroupBy, Ledger as _, Meter as _, Money, Month, Period, Prices,
    RecordQuery, Standing, Totals, UsageQuery,
    period::{DAY_US, MINUTE_US},
    suite::{NOON_US, usage},
};
use gust_task::clock;
use gust_types::{ByteSize, Kind, ProjectName, Span};
use parking_lot::Mutex;

use super::{LocalLedger, Settings, Stats, segment};
use crate::small_disk::SmallDisk;

fn open(folder: &Path) -> Arc<LocalLedger> {
    LocalLedger::open(folder, Settings::default()).unwrap()
}

async fn whole(ledger: &LocalLedger) -> Totals {
    let query = UsageQuery {
        by: GroupBy::Project,
        ..UsageQuery::default()
    };
    let rows = ledger.usage(query).await.unwrap();
    rows.first().map(|row| row.totals).unwrap_or_default()
}

async fn assert_verified(ledger: &LocalLedger) -> u64 {
    let verification = ledger.verify().await.unwrap();
    assert!(verification.is_ok(), "{verification:?}");
    verification.records
}

fn journal(folder: &Path) -> Vec<PathBuf> {
    let folder = folder.join("records");
    let ids = segment::list(&folder).unwrap();
    ids.into_iter()
        .map(|id| segment::path(&folder, id))
        .collect()
}

/// Ends a ledger as a crash would: nothing that waits is written, nothing is committed.
fn crash(folder: &Path, ledger: Arc<LocalLedger>) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_all(folder, copy.path());
    drop(ledger);
    copy
}

fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copy_all(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite() {
    struct Owned(
        Arc<LocalLedger>,
        #[expect(dead_code, reason = "removes it at the end")] tempfile::TempDir,
    );
    impl gust_meter::Meter for Owned {
        fn record(&self, usage: gust_types::Usage) {
            self.0.record(usage);
        }
    }
    #[async_trait::async_trait]
    impl gust_meter::Ledger for Owned {
        async fn flush(&self) -> gust_types::Result<()> {
            self.0.flush().await
        }
        async fn usage(&self, q: UsageQuery) -> gust_types::Result<Vec<gust_meter::UsageRow>> {
            self.0.usage(q).await
        }
        async fn records(&self, q: RecordQuery) -> gust_types::Result<Vec<gust_types::Usage>> {
            self.0.records(q).await
        }
        fn month(&self, month: Month) -> Vec<(ProjectName, Totals)> {
            self.0.month(month)
        }
        async fn verify(&self) -> gust_types::Result<gust_meter::Verification> {
            self.0.verify().await
        }
    }
    gust_meter::suite::run(async || {
        let folder = tempfile::tempdir().unwrap();
        Owned(open(folder.path()), folder)
    })
    .await;
}

#[tokio::test]
async fn sums_and_records_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for round in 0..4u64 {
        let ledger = open(folder.path());
        assert_eq!(whole(&ledger).await, Totals::of(&all), "round {round}");
        for n in 0..50 {
            let record = usage("app", "f", round * 50 + n, NOON_US + round * MINUTE_US + n);
            ledger.record(record.clone());
            all.push(record);
        }
        let month = ledger.month(Month::of(NOON_US));
        assert_eq!(month[0].1.calls, all.len() as u64);
    }
    let ledger = open(folder.path());
    assert_eq!(whole(&ledger).await, Totals::of(&all));
    assert_eq!(assert_verified(&ledger).await, 200);
    let query = RecordQuery {
        limit: 1000,
        ..RecordQuery::default()
    };
    let records = ledger.records(query).await.unwrap();
    assert_eq!(records.len(), 200);
    assert!(all.iter().all(|record| records.contains(record)));
    assert_eq!(
        ledger.stats().replayed,
        0,
        "a clean end leaves nothing to do"
    );
}

#[tokio::test]
async fn what_is_not_rolled_up_is_read_from_the_journal_once() {
    let folder = tempfile::tempdir().unwrap();
    // Never by itself within this test.
    let slow = Settings {
        commit: Span::secs(3600),
        ..Settings::default()
    };
    let ledger = LocalLedger::open(folder.path(), slow.clone()).unwrap();
    (0..100).for_each(|n| ledger.record(usage("app", "f", n, NOON_US + n)));
    ledger.flush().await.unwrap();
    (100..150).for_each(|n| ledger.record(usage("app", "g", n, NOON_US + n)));
    // In the journal, but not committed.
    for _ in 0..100 {
        if ledger.stats().waiting == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let expected = whole(&ledger).await;
    assert_eq!(expected.calls, 150);
    let copy = crash(folder.path(), ledger);
    for round in 0..3 {
        let ledger = LocalLedger::open(copy.path(), slow.clone()).unwrap();
        let replayed = if round == 0 { 50 } else { 0 };
        assert_eq!(ledger.stats().replayed, replayed, "round {round}");
        assert_eq!(whole(&ledger).await, expected);
        assert_eq!(assert_verified(&ledger).await, 150);
    }
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_the_rest_counts() {
    for cut in [1, 3, 9, 20, 200] {
        let folder = tempfile::tempdir().unwrap();
        let slow = Settings {
            commit: Span::secs(3600),
            ..Settings::default()
        };
        let ledger = LocalLedger::open(folder.path(), slow).unwrap();
        for block in 0..3u64 {
            (0..40).for_each(|n| ledger.record(usage("app", "f", block * 40 + n, NOON_US)));
            while ledger.stats().waiting > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let copy = crash(folder.path(), ledger);
        let last = journal(copy.path()).pop().unwrap();
        let length = std::fs::metadata(&last).unwrap().len();
        let file = std::fs::File::options().write(true).open(&last).unwrap();
        file.set_len(length - cut).unwrap();
        let ledger = open(copy.path());
        let calls = whole(&ledger).await.calls;
        assert!((80..120).contains(&calls), "{calls} after a cut of {cut}");
        assert_eq!(assert_verified(&ledger).await, calls);
        (0..10).for_each(|n| ledger.record(usage("app", "f", n, NOON_US)));
        assert_eq!(assert_verified(&ledger).await, calls + 10, "it goes on");
    }
}

#[tokio::test]
async fn damage_in_the_middle_loses_its_block_alone() {
    let folder = tempfile::tempdir().unwrap();
    let slow = Settings {
        commit: Span::secs(3600),
        ..Settings::default()
    };
    let ledger = LocalLedger::open(folder.path(), slow).unwrap();
    let mut ends = Vec::new();
    for block in 0..5u64 {
        (0..20).for_each(|n| ledger.record(usage("app", "f", block * 20 + n, NOON_US)));
        while ledger.stats().waiting > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let file = journal(folder.path()).pop().unwrap();
        ends.push(std::fs::metadata(file).unwrap().len() as usize);
    }
    let copy = crash(folder.path(), ledger);
    let file = journal(copy.path()).pop().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[ends[1] + 100] ^= 0x55;
    std::fs::write(&file, bytes).unwrap();
    let ledger = open(copy.path());
    assert!(ledger.stats().damaged >= 1);
    assert_eq!(whole(&ledger).await.calls, 80);
    assert_verified(&ledger).await;
}

#[test]
fn a_folder_is_held_by_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let second = LocalLedger::open(folder.path(), Settings::default());
    assert_eq!(second.err().unwrap().kind, Kind::Conflict);
    drop(first);
    open(folder.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_records_at_most_and_never_money() {
    let Some(disk) = SmallDisk::mount("16m") else {
        return;
    };
    let settings = Settings {
        waiting: 3000,
        commit: Span::millis(200),
        disk_reserve: ByteSize(0),
        ..Settings::default()
    };
    let ledger = LocalLedger::open(disk.path(), settings.clone()).unwrap();
    let mut all = Vec::new();
    let mut record = |count: u64| {
        for _ in 0..count {
            let n = all.len() as u64;
            let record = usage("app", "f", n, NOON_US + n * 50_000);
            ledger.record(record.clone());
            all.push(record);
        }
        Totals::of(&all)
    };
    record(1000);
    ledger.flush().await.unwrap();
    disk.fill();
    let mut expected = Totals::default();
    for _ in 0..20 {
        expected = record(1000);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let calls: u64 = ledger
            .month(Month::of(NOON_US))
            .iter()
            .map(|(_, t)| t.calls)
            .sum();
        assert_eq!(calls, expected.calls, "budgets see everything");
    }
    let stats = ledger.stats();
    assert!(stats.unkept > 10_000 && stats.waiting <= 3000, "{stats:?}");
    let refused = ledger.flush().await.err().unwrap();
    assert_eq!(refused.kind, Kind::Exhausted, "{}", refused.chain());
    assert_eq!(whole(&ledger).await.calls, expected.calls, "so does usage");
    disk.free();
    expected = record(500);
    ledger.flush().await.unwrap();
    let stats = ledger.stats();
    let (kept, unkept) = (expected.calls - stats.unkept, stats.unkept);
    assert_eq!(stats.waiting, 0);
    assert_eq!(assert_verified(&ledger).await, kept);
    expected.unkept = unkept;
    assert_eq!(whole(&ledger).await, expected);
    drop(ledger);
    let ledger = LocalLedger::open(disk.path(), settings).unwrap();
    assert_eq!(whole(&ledger).await, expected, "and after a restart");
    assert_eq!(assert_verified(&ledger).await, kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_on_a_full_disk_goes_on_counting() {
    let Some(disk) = SmallDisk::mount("16m") else {
        return;
    };
    {
        let ledger = open(disk.path());
        (0..100).for_each(|n| ledger.record(usage("app", "f", n, NOON_US)));
    }
    disk.fill();
    let ledger = open(disk.path());
    (0..50).for_each(|n| ledger.record(usage("app", "f", n, NOON_US)));
    assert_eq!(whole(&ledger).await.calls, 150);
    disk.free();
    ledger.flush().await.unwrap();
    assert_eq!(assert_verified(&ledger).await, 150);
}

#[tokio::test]
async fn more_open_sums_than_memory_may_hold_are_put_together_by_hour() {
    let folder = tempfile::tempdir().unwrap();
    let slow = Settings {
        commit: Span::secs(3600),
        ..Settings::default()
    };
    let ledger = LocalLedger::open(folder.path(), slow).unwrap();
    let mut expected = Totals::default();
    for n in 0..70_000u64 {
        let record = usage("app", "f", n, NOON_US - n * MINUTE_US);
        expected.add_usage(&record);
        ledger.record(record);
    }
    assert_eq!(whole(&ledger).await, expected);
    ledger.flush().await.unwrap();
    assert_eq!(whole(&ledger).await, expected);
    // Minutes that were put together are not compared, the others are.
    (0..10).for_each(|n| ledger.record(usage("app", "f", n, NOON_US + DAY_US)));
    assert!(assert_verified(&ledger).await >= 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_files_go_and_what_is_left_still_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let small = Settings {
        segment: ByteSize(20_000),
        records_size: ByteSize(60_000),
        ..Settings::default()
    };
    let now = clock::unix_micros();
    let mut expected = 0;
    for _ in 0..3 {
        // Tidying happens when a ledger is opened, and from time to time.
        let ledger = LocalLedger::open(folder.path(), small.clone()).unwrap();
        for block in 0..20u64 {
            (0..100).for_each(|n| ledger.record(usage("app", "f", n, now + block * MINUTE_US)));
            ledger.flush().await.unwrap();
            expected += 100;
        }
    }
    let before = journal(folder.path()).len();
    let ledger = LocalLedger::open(folder.path(), small).unwrap();
    let begun = clock::now();
    let mut after = before;
    while after == before && begun.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(300)).await;
        after = journal(folder.path()).len();
    }
    assert!(after < before && after >= 2, "{before} files, then {after}");
    assert_eq!(whole(&ledger).await.calls, expected);
    // The same minutes were written again and again, so none of them is whole in what is left; new ones are.
    let new = now + 60 * MINUTE_US;
    (0..10).for_each(|n| ledger.record(usage("app", "f", n, new)));
    assert_eq!(assert_verified(&ledger).await, 10);
}

#[tokio::test]
async fn hours_and_minutes_are_kept_for_their_time_and_months_stay() {
    let folder = tempfile::tempdir().unwrap();
    let now = clock::unix_micros();
    let ages = [0, 30, 100, 390, 500].map(|days| now - days * DAY_US);
    {
        let ledger = open(folder.path());
        for (n, at) in ages.into_iter().enumerate() {
            ledger.record(usage("app", "f", n as u64, at));
        }
        ledger.flush().await.unwrap();
    }
    let ledger = open(folder.path());
    ledger.flush().await.unwrap();
    let mut counts = Vec::new();
    for period in [Period::Minute, Period::Hour, Period::Month] {
        let query = UsageQuery {
            period,
            ..UsageQuery::default()
        };
        counts.push(ledger.usage(query).await.unwrap().len());
    }
    assert_eq!(counts, [2, 4, 5]);
    assert_eq!(
        whole(&ledger).await.calls,
        5,
        "a sum over everything takes each from where it is"
    );
    for (days, calls) in [(1, 1), (31, 2), (101, 3), (391, 4), (600, 5)] {
        let query = UsageQuery {
            from_us: now - days * DAY_US,
            ..UsageQuery::default()
        };
        let rows = ledger.usage(query).await.unwrap();
        assert_eq!(rows[0].totals.calls, calls, "{days} days");
    }
}

#[tokio::test]
async fn a_budget_is_refused_within_a_second_of_its_crossing() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let told = Arc::new(Mutex::new(None));
    let heard = told.clone();
    let tell = move |a: &gust_meter::Assessment| {
        if a.standing == Standing::Refuse {
            heard.lock().get_or_insert_with(clock::now);
        }
    };
    let keeper = BudgetKeeper::new(ledger.clone(), Prices::default(), tell);
    let budget = Budget::monthly(Money::from_nanos(200 * 1000));
    keeper.set(ProjectName::default_project(), Some(budget));
    let stop = gust_task::Stop::new();
    gust_task::reconcile::drive(Arc::new(keeper), BudgetKeeper::PERIOD, stop.clone());
    let now = clock::unix_micros();
    for _ in 0..999 {
        ledger.record(gust_meter::suite::bare_usage("app", "f", now));
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(told.lock().is_none());
    let crossed = clock::now();
    ledger.record(gust_meter::suite::bare_usage("app", "f", now));
    tokio::time::sleep(Duration::from_millis(900)).await;
    let told = told.lock().expect("it is told");
    assert!(told - crossed < Duration::from_secs(1));
    stop.stop();
}

#[tokio::test]
async fn records_are_on_the_disk_within_a_second_without_asking() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    (0..10).for_each(|n| ledger.record(usage("app", "f", n, NOON_US)));
    tokio::time::sleep(Duration::from_millis(900)).await;
    let Stats { waiting, syncs, .. } = ledger.stats();
    assert_eq!(waiting, 0);
    assert!(syncs >= 1);
    let copy = crash(folder.path(), ledger);
    assert_eq!(whole(&open(copy.path())).await.calls, 10);
}
