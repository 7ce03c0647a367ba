//! What every ledger does: call [`run`] with a way to make an empty one.

use std::sync::Arc;

use gust_types::{
    AppName, FunctionKey, FunctionName, Outcome, ProjectName, Usage,
    call::{CallId, Trigger},
    usage::{HostCalls, Phases, Start},
};

use crate::{GroupBy, Ledger, Month, Period, RecordQuery, Totals, UsageQuery, period};

/// Noon of the 30th of November 2026, the suite's present.
pub const NOON_US: u64 = 1_796_040_000_000_000;

/// A record whose every field depends on `n`, of `project` `default`.
pub fn usage(app: &str, function: &str, n: u64, start_us: u64) -> Usage {
    let starts = [Start::Cold, Start::Warm, Start::Reused, Start::None];
    Usage {
        call: CallId(u128::from(n) + 1),
        function: key("default", app, function),
        revision: n % 5,
        trigger: [Trigger::Http, Trigger::Internal][(n % 2) as usize],
        start_us,
        wall_us: n * 3 + 1,
        cpu_us: n * 2,
        memory_peak: n * 65_536,
        memory_mb_ms: n + 1,
        bytes_in: n,
        bytes_out: n * 10,
        host: HostCalls {
            kv: n as u32 % 3,
            sql: n as u32 % 4,
            http_out: n as u32 % 5,
        },
        start: starts[(n % 4) as usize],
        outcome: Outcome::ALL[(n % 8) as usize],
        status: 200 + (n % 300) as u16,
        phases: Phases {
            queue_us: n as u32 % 7,
            map_us: n as u32 % 11,
            link_us: n as u32 % 13,
            instantiate_us: n as u32 % 17,
            first_byte_us: n as u32 % 19,
        },
    }
}

/// A record of a call that used nothing.
pub fn bare_usage(app: &str, function: &str, start_us: u64) -> Usage {
    Usage {
        wall_us: 0,
        memory_mb_ms: 0,
        ..usage(app, function, 0, start_us)
    }
}

/// A function's name from its parts, which must be valid.
#[expect(clippy::expect_used, reason = "test data with valid names")]
pub fn key(project: &str, app: &str, function: &str) -> Arc<FunctionKey> {
    Arc::new(FunctionKey {
        project: ProjectName::new(project).expect("a valid project name"),
        app: AppName::new(app).expect("a valid app name"),
        function: FunctionName::new(function).expect("a valid function name"),
    })
}

/// Runs every check, each on a ledger of its own.
pub async fn run<L: Ledger + 'static>(make: impl AsyncFn() -> L) {
    an_empty_ledger_answers_nothing(make().await).await;
    sums_are_those_of_the_records(make().await).await;
    groups_and_periods_tell_apart(make().await).await;
    ranges_are_half_open(make().await).await;
    records_come_newest_first(make().await).await;
    months_are_known_at_once(make().await).await;
    too_many_rows_are_refused(make().await).await;
    threads_lose_nothing(Arc::new(make().await)).await;
}

async fn all(ledger: &impl Ledger, query: UsageQuery) -> Vec<crate::UsageRow> {
    ledger
        .usage(query)
        .await
        .unwrap_or_else(|e| fail(&e.chain()))
}

#[expect(clippy::panic, reason = "a suite fails its test by panicking")]
fn fail(why: &str) -> ! {
    panic!("{why}")
}

async fn verified(ledger: &impl Ledger) {
    match ledger.verify().await {
        Ok(v) if v.is_ok() => {}
        Ok(v) => fail(&format!("roll-ups differ from records: {v:?}")),
        Err(e) => fail(&e.chain()),
    }
}

async fn an_empty_ledger_answers_nothing(ledger: impl Ledger) {
    assert!(all(&ledger, UsageQuery::default()).await.is_empty());
    assert!(ledger.month(Month::of(NOON_US)).is_empty());
    let records = ledger.records(RecordQuery::default()).await;
    assert!(records.is_ok_and(|r| r.is_empty()));
    verified(&ledger).await;
}

async fn sums_are_those_of_the_records(ledger: impl Ledger) {
    let records: Vec<_> = (0..500)
        .map(|n| usage("app", "f", n, NOON_US + n))
        .collect();
    records.iter().for_each(|u| ledger.record(u.clone()));
    let expected = Totals::of(&records);
    for period in [Period::Whole, Period::Minute, Period::Hour, Period::Month] {
        let rows = all(
            &ledger,
            UsageQuery {
                period,
                ..UsageQuery::default()
            },
        )
        .await;
        assert_eq!(rows.len(), 1, "{period:?}");
        assert_eq!(rows[0].totals, expected, "{period:?}");
    }
    assert!(ledger.flush().await.is_ok());
    let rows = all(&ledger, UsageQuery::default()).await;
    assert_eq!(rows[0].totals, expected, "a flush changes nothing");
    verified(&ledger).await;
}

async fn groups_and_periods_tell_apart(ledger: impl Ledger) {
    for n in 0..240u64 {
        let app = ["a", "b"][(n % 2) as usize];
        let function = ["f", "g", "h"][(n % 3) as usize];
        ledger.record(usage(app, function, n, NOON_US + n * period::MINUTE_US));
    }
    for (by, period, rows) in [
        (GroupBy::Project, Period::Whole, 1),
        (GroupBy::App, Period::Whole, 2),
        (GroupBy::Function, Period::Whole, 6),
        (GroupBy::Function, Period::Minute, 240),
        (GroupBy::Project, Period::Hour, 4),
        (GroupBy::App, Period::Hour, 8),
        (GroupBy::Function, Period::Month, 6),
    ] {
        let answer = all(
            &ledger,
            UsageQuery {
                by,
                period,
                ..UsageQuery::default()
            },
        )
        .await;
        assert_eq!(answer.len(), rows, "{by:?} {period:?}");
        assert_eq!(answer.iter().map(|r| r.totals.calls).sum::<u64>(), 240);
        assert!(answer.is_sorted_by_key(|r| (
            r.start_us,
            r.project.clone(),
            r.app.clone(),
            r.function.clone()
        )));
    }
    let one = UsageQuery {
        app: AppName::new("a").ok(),
        function: FunctionName::new("g").ok(),
        ..UsageQuery::default()
    };
    let answer = all(&ledger, one).await;
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0].totals.calls, 40);
    let stranger = UsageQuery {
        project: ProjectName::new("stranger").ok(),
        ..UsageQuery::default()
    };
    assert!(all(&ledger, stranger).await.is_empty());
}

async fn ranges_are_half_open(ledger: impl Ledger) {
    for n in 0..180u64 {
        ledger.record(usage("a", "f", n, NOON_US + n * period::MINUTE_US));
    }
    let calls = async |from: u64, until: u64, period| {
        let query = UsageQuery {
            from_us: NOON_US + from * period::MINUTE_US,
            until_us: NOON_US + until * period::MINUTE_US,
            period,
            ..UsageQuery::default()
        };
        let rows = all(&ledger, query).await;
        rows.iter().map(|r| r.totals.calls).sum::<u64>()
    };
    assert_eq!(calls(0, 60, Period::Whole).await, 60);
    assert_eq!(calls(0, 60, Period::Hour).await, 60);
    assert_eq!(calls(10, 150, Period::Whole).await, 140);
    assert_eq!(calls(10, 20, Period::Minute).await, 10);
    assert_eq!(calls(70, 80, Period::Hour).await, 60, "widened to the hour");
    assert_eq!(calls(180, 500, Period::Whole).await, 0);
}

async fn records_come_newest_first(ledger: impl Ledger) {
    let written: Vec<_> = (0..300u64)
        .map(|n| usage("a", ["f", "g"][(n % 2) as usize], n, NOON_US + n))
        .collect();
    for (n, record) in written.iter().enumerate() {
        ledger.record(record.clone());
        if n % 70 == 0 {
            assert!(ledger.flush().await.is_ok());
        }
    }
    let query = RecordQuery {
        limit: 20,
        ..RecordQuery::default()
    };
    let newest = ledger.records(query).await.unwrap_or_default();
    let expected: Vec<_> = written.iter().rev().take(20).cloned().collect();
    assert_eq!(newest, expected);
    let query = RecordQuery {
        function: FunctionName::new("g").ok(),
        since_us: NOON_US + 200,
        limit: 1000,
        ..RecordQuery::default()
    };
    let some = ledger.records(query).await.unwrap_or_default();
    assert_eq!(some.len(), 50);
    assert!(some.iter().all(|u| u.function.function.as_str() == "g"));
}

async fn months_are_known_at_once(ledger: impl Ledger) {
    let month = Month::of(NOON_US);
    let last: Vec<_> = (0..5)
        .map(|n| usage("a", "f", n, month.start_us() - 1))
        .collect();
    let this: Vec<_> = (0..7)
        .map(|n| usage("b", "g", n, month.start_us()))
        .collect();
    last.iter()
        .chain(&this)
        .for_each(|u| ledger.record(u.clone()));
    let project = ProjectName::default_project();
    assert_eq!(ledger.month(month), [(project.clone(), Totals::of(&this))]);
    assert_eq!(
        ledger.month(month.previous()),
        [(project, Totals::of(&last))]
    );
    assert!(ledger.month(month.next()).is_empty());
}

async fn too_many_rows_are_refused(ledger: impl Ledger) {
    for n in 0..20 {
        ledger.record(usage("a", "f", n, NOON_US + n * period::HOUR_US));
    }
    let query = UsageQuery {
        period: Period::Hour,
        limit: 19,
        ..UsageQuery::default()
    };
    let answer = ledger.usage(query).await.map_err(|e| e.kind);
    assert_eq!(answer, Err(gust_types::Kind::Exhausted));
}

async fn threads_lose_nothing<L: Ledger + 'static>(ledger: Arc<L>) {
    const THREADS: u64 = 8;
    const EACH: u64 = 2000;
    let threads: Vec<_> = (0..THREADS)
        .map(|t| {
            let ledger = ledger.clone();
            std::thread::spawn(move || {
                let function = format!("f{t}");
                for n in 0..EACH {
                    ledger.record(usage("a", &function, n, NOON_US + n));
                }
            })
        })
        .collect();
    for thread in threads {
        assert!(thread.join().is_ok());
    }
    let query = UsageQuery {
        by: GroupBy::Project,
        ..UsageQuery::default()
    };
    assert_eq!(all(&*ledger, query).await[0].totals.calls, THREADS * EACH);
    verified(&*ledger).await;
}
