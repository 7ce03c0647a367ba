//! Kill -9 at random moments: nothing that was acknowledged is missing, nothing counts twice, nothing is half there.
//!
//! The test starts itself again as a child that writes and says on its standard output what was acknowledged. Twenty
//! rounds each, two hundred with `GUST_LONG=1`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use gust_backend::{
    Backends as _,
    kv::{Kv, PutOptions, Write},
    sql::{Connection, Value},
};
use gust_backend_local::{LocalBackends, LocalLedger, ledger};
use gust_meter::{GroupBy, Ledger as _, Meter as _, UsageQuery, suite};
use gust_task::{clock, ids};
use gust_types::{Label, ProjectName, Span};

const FOLDER: &str = "GUST_CRASH_FOLDER";
const ROUND: &str = "GUST_CRASH_ROUND";

fn rounds() -> u64 {
    match std::env::var_os("GUST_LONG") {
        Some(_) => 200,
        None => 20,
    }
}

/// In the child: the folder and the round. In the parent: nothing.
fn child_of() -> Option<(std::path::PathBuf, u64)> {
    let folder = std::env::var_os(FOLDER)?;
    let round = std::env::var(ROUND).ok()?.parse().ok()?;
    Some((folder.into(), round))
}

struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the named test as a child in this folder, kills it after a random while, answers the lines it has said.
fn run_and_kill(test: &str, folder: &Path, round: u64) -> Vec<String> {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut writer = Writer(child);
    let output = writer.0.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        // The last line may be cut by the kill; a whole one ends with a full stop.
        lines
            .filter_map(|line| {
                Some(
                    line.strip_prefix("acknowledged ")?
                        .strip_suffix('.')?
                        .to_owned(),
                )
            })
            .collect::<Vec<_>>()
    });
    std::thread::sleep(Duration::from_millis(30 + ids::random_u64() % 400));
    drop(writer);
    reading.join().unwrap()
}

fn acknowledge(what: impl std::fmt::Display) {
    // One write of a whole line, straight to the pipe: what is said was said before the kill.
    let line = format!("\nacknowledged {what}.\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn store(backends: &LocalBackends) -> Arc<dyn Kv> {
    let label = Label::new("crash").unwrap();
    backends
        .kv(&ProjectName::default_project(), &label)
        .unwrap()
}

async fn connection(backends: &LocalBackends) -> Box<dyn Connection> {
    let label = Label::new("crash").unwrap();
    let sql = backends.sql(&ProjectName::default_project(), &label);
    sql.unwrap().connect().await.unwrap()
}

// === key-value stores ===

/// Eight writers; each writes pairs in one batch, counts, deletes and replaces.
async fn write_values(folder: &Path, round: u64) {
    let backends = LocalBackends::open(folder).unwrap();
    let writers = (0..8).map(|writer| {
        let kv = store(&backends);
        gust_task::spawn("writer", async move {
            for n in 0.. {
                let value = Bytes::from(format!("{round}-{writer}-{n}"));
                let put = |key: String| Write::Put {
                    key,
                    value: value.clone(),
                    options: PutOptions::default(),
                };
                let pair = vec![
                    put(format!("left-{writer}-{}", n % 50)),
                    put(format!("right-{writer}-{}", n % 50)),
                ];
                let versions = kv.write(pair).await.unwrap();
                let version = versions[0].unwrap().0;
                acknowledge(format!(
                    "pair {writer}-{} {round}-{writer}-{n} {version}",
                    n % 50
                ));
                let count = kv.increment(&format!("count-{writer}"), 1).await.unwrap();
                acknowledge(format!("count {writer} {count}"));
            }
        })
    });
    futures::future::join_all(writers).await;
}

#[test]
fn key_value_stores_lose_nothing_acknowledged() {
    if let Some((folder, round)) = child_of() {
        return runtime().block_on(write_values(&folder, round));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut pairs: HashMap<String, (String, u64)> = HashMap::new();
    let mut counts: HashMap<String, i64> = HashMap::new();
    let mut said = 0;
    for round in 0..rounds() {
        let test = "key_value_stores_lose_nothing_acknowledged";
        for line in run_and_kill(test, folder.path(), round) {
            said += 1;
            match *line.split(' ').collect::<Vec<_>>() {
                ["pair", key, value, version] => {
                    let version = version.parse().unwrap();
                    pairs.insert(key.to_owned(), (value.to_owned(), version));
                }
                ["count", writer, count] => {
                    counts.insert(writer.to_owned(), count.parse().unwrap());
                }
                _ => panic!("not understood: {line}"),
            }
        }
        runtime().block_on(check_values(folder.path(), &pairs, &mut counts));
    }
    assert!(said > rounds() * 10, "the children wrote: {said}");
}

async fn check_values(
    folder: &Path,
    pairs: &HashMap<String, (String, u64)>,
    counts: &mut HashMap<String, i64>,
) {
    let backends = LocalBackends::open(folder).unwrap();
    let kv = store(&backends);
    for (key, (value, version)) in pairs {
        let left = kv.get(&format!("left-{key}")).await.unwrap().unwrap();
        let right = kv.get(&format!("right-{key}")).await.unwrap().unwrap();
        assert_eq!(left.value, right.value, "a batch is whole");
        // The kill may have come between the sync and the acknowledgement: newer is fine, older is not.
        assert!(
            left.version.0 >= *version,
            "{key}: {left:?}, {value} was acknowledged"
        );
        if left.version.0 == *version {
            assert_eq!(left.value, *value);
        }
    }
    for (writer, count) in counts {
        let found = kv.increment(&format!("count-{writer}"), 0).await.unwrap();
        assert!(
            found >= *count && found <= *count + 1,
            "{found} counted, {count} acknowledged"
        );
        // A round that is killed before its first acknowledgement may count one more on top of this.
        *count = found;
    }
}

// === SQL ===

async fn write_rows(folder: &Path, round: u64) {
    let backends = LocalBackends::open(folder).unwrap();
    let setup = connection(&backends).await;
    let table = "CREATE TABLE IF NOT EXISTS t (id TEXT PRIMARY KEY, side TEXT, UNIQUE (id, side))";
    setup.execute(table, vec![]).await.unwrap();
    let writers = (0..3).map(|writer| {
        let connecting = connection(&backends);
        async move {
            let c = connecting.await;
            for n in 0.. {
                let id = format!("{round}-{writer}-{n}");
                c.execute("BEGIN IMMEDIATE", vec![]).await.unwrap();
                for side in ["left", "right"] {
                    let row = [format!("{id}-{side}"), side.to_owned()].map(Value::Text);
                    let insert = "INSERT INTO t VALUES (?1, ?2)";
                    c.execute(insert, row.to_vec()).await.unwrap();
                }
                c.execute("COMMIT", vec![]).await.unwrap();
                acknowledge(&id);
            }
        }
    });
    futures::future::join_all(writers).await;
}

#[test]
fn databases_lose_nothing_committed() {
    if let Some((folder, round)) = child_of() {
        return runtime().block_on(write_rows(&folder, round));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut committed = Vec::new();
    for round in 0..rounds() {
        committed.extend(run_and_kill(
            "databases_lose_nothing_committed",
            folder.path(),
            round,
        ));
        runtime().block_on(async {
            let backends = LocalBackends::open(folder.path()).unwrap();
            let c = connection(&backends).await;
            if committed.is_empty() {
                return;
            }
            let number = async |sql: &str, parameters| {
                use futures::StreamExt as _;
                let mut answer = c.execute(sql, parameters).await.unwrap();
                answer.rows.next().await.unwrap().unwrap()[0].clone()
            };
            for id in &committed {
                let both = "SELECT count(*) FROM t WHERE id IN (?1 || '-left', ?1 || '-right')";
                let count = number(both, vec![Value::Text(id.clone())]).await;
                assert_eq!(count, Value::Integer(2), "{id}");
            }
            let odd = "SELECT sum(CASE side WHEN 'left' THEN 1 ELSE -1 END) FROM t";
            assert_eq!(
                number(odd, vec![]).await,
                Value::Integer(0),
                "half a transaction"
            );
            let check = number("PRAGMA integrity_check", vec![]).await;
            assert_eq!(check, Value::Text("ok".to_owned()));
        });
    }
    assert!(committed.len() as u64 > rounds());
}

// === the ledger ===

/// Small files and frequent commits, so that every kill falls into something.
fn busy() -> ledger::Settings {
    ledger::Settings {
        sync: Span::millis(20),
        commit: Span::millis(30),
        segment: gust_types::ByteSize(100_000),
        ..ledger::Settings::default()
    }
}

/// Records in bursts; a burst is acknowledged when it is flushed.
async fn record_calls(folder: &Path) {
    let ledger = LocalLedger::open(folder, busy()).unwrap();
    let start = clock::unix_micros();
    for n in 0u64.. {
        for call in 0..50 {
            let function = ["f", "g", "h"][(call % 3) as usize];
            ledger.record(suite::usage(
                "app",
                function,
                n * 50 + call,
                start + n * 100_000,
            ));
        }
        if n.is_multiple_of(3) {
            ledger.flush().await.unwrap();
            acknowledge((n + 1) * 50);
        } else {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}

#[test]
fn the_ledger_counts_every_record_once() {
    if let Some((folder, _)) = child_of() {
        return runtime().block_on(record_calls(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut least = 0;
    let mut replays = 0;
    // A kill between the journal and the roll-ups is a matter of luck: a busy machine has less of it.
    for round in 0..rounds() * 5 {
        if round >= rounds() && replays > 0 {
            break;
        }
        let before = least;
        let said = run_and_kill("the_ledger_counts_every_record_once", folder.path(), round);
        least += said.last().map_or(0, |line| line.parse::<u64>().unwrap());
        runtime().block_on(async {
            let ledger = LocalLedger::open(folder.path(), busy()).unwrap();
            replays += u64::from(ledger.stats().replayed > 0);
            let everything = UsageQuery {
                by: GroupBy::Project,
                ..UsageQuery::default()
            };
            let rows = ledger.usage(everything).await.unwrap();
            let calls = rows.first().map_or(0, |row| row.totals.calls);
            assert!(calls >= least, "{calls} counted, {least} acknowledged");
            let verification = ledger.verify().await.unwrap();
            assert!(verification.is_ok(), "{verification:?}");
            assert_eq!(verification.records, calls, "records = calls in the bill");
            assert_eq!(ledger.stats().damaged, 0);
            // What was recorded after the last acknowledgement may have made it too; count on from what is there.
            assert!(calls - before < 10_000_000);
            least = calls;
        });
    }
    assert!(least > rounds() * 50);
    assert!(
        replays > 0,
        "no kill fell between the journal and the roll-ups"
    );
}
