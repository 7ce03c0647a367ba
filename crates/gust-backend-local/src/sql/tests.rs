//! The suite, and what is particular to files and pools.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, future};
use gust_backend::{
    Backends as _,
    sql::{Connection, Sql, Value},
};
use gust_types::{ByteSize, Kind, Label, ProjectName, Result, Span};

use crate::{LocalBackends, Settings, small_disk::SmallDisk};

fn settings() -> Settings {
    Settings {
        sql: super::Settings {
            statement: ByteSize::kib(64),
            result: ByteSize::mib(1),
            database: ByteSize::mib(4),
            time: Span::secs(2),
            connections: 16,
            idle: 4,
        },
        ..Settings::default()
    }
}

fn database(backends: &LocalBackends, project: &str, name: &str) -> Arc<dyn Sql> {
    backends
        .sql(
            &ProjectName::new(project).unwrap(),
            &Label::new(name).unwrap(),
        )
        .unwrap()
}

async fn all(c: &dyn Connection, statement: &str) -> Result<Vec<Vec<Value>>> {
    let answer = c.execute(statement, vec![]).await?;
    let rows: Vec<_> = answer.rows.collect().await;
    rows.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open_with(folder.path(), settings()).unwrap();
    let made = AtomicUsize::new(0);
    let make = async || {
        let n = made.fetch_add(1, Ordering::Relaxed);
        database(&backends, "default", &format!("db{n}"))
    };
    gust_backend::sql::suite::run(make).await;
}

#[tokio::test]
async fn databases_survive_a_restart_and_are_apart() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let backends = LocalBackends::open(folder.path()).unwrap();
        for (project, name) in [("a", "db"), ("b", "db"), ("a", "other")] {
            let c = database(&backends, project, name).connect().await.unwrap();
            all(&*c, "CREATE TABLE IF NOT EXISTS t (v)").await.unwrap();
            all(&*c, &format!("INSERT INTO t VALUES ('{project}/{name}')"))
                .await
                .unwrap();
            let rows = all(&*c, "SELECT DISTINCT v, count(*) FROM t")
                .await
                .unwrap();
            let place = Value::Text(format!("{project}/{name}"));
            assert_eq!(rows, [[place, Value::Integer(round + 1)]]);
        }
    }
    assert!(folder.path().join("sql/a/db.db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_borrowers_than_places_wait_for_their_turn() {
    let folder = tempfile::tempdir().unwrap();
    let mut few = settings();
    few.sql.connections = 3;
    let backends = LocalBackends::open_with(folder.path(), few).unwrap();
    let borrowers = (0..40).map(|n| {
        let sql = database(&backends, "default", &format!("db{}", n % 7));
        async move {
            let c = sql.connect().await.unwrap();
            all(&*c, "CREATE TABLE IF NOT EXISTS t (v)").await.unwrap();
            all(&*c, "INSERT INTO t VALUES (1)").await.unwrap();
        }
    });
    future::join_all(borrowers).await;
    let mut rows = 0;
    for n in 0..7 {
        let sql = database(&backends, "default", &format!("db{n}"));
        let c = sql.connect().await.unwrap();
        rows += all(&*c, "SELECT * FROM t").await.unwrap().len();
    }
    assert_eq!(rows, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stalls_does_not_hold_its_connection_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let mut short = settings();
    short.sql.time = Span::millis(300);
    let backends = LocalBackends::open_with(folder.path(), short).unwrap();
    let c = database(&backends, "default", "db")
        .connect()
        .await
        .unwrap();
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) SELECT i FROM n";
    let mut stalled = c.execute(many, vec![]).await.unwrap();
    stalled.rows.next().await.unwrap().unwrap();
    // Long against the limit: on a busy machine the first rows themselves take their time.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let ends: Vec<_> = stalled.rows.collect().await;
    let error = ends.into_iter().find_map(Result::err).unwrap();
    assert_eq!(error.kind, Kind::Timeout);
    assert_eq!(all(&*c, "SELECT 1").await.unwrap().len(), 1);
    // One that reads slowly but reads is fine, however long it takes.
    let some = many.replace("30000", "9000");
    let mut slow = c.execute(&some, vec![]).await.unwrap();
    let mut rows = 0;
    while let Some(row) = slow.rows.next().await {
        row.unwrap();
        rows += 1;
        if rows % 1000 == 0 {
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }
    assert_eq!(rows, 9000);
}

#[tokio::test]
async fn a_closed_folder_answers_politely() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let sql = database(&backends, "default", "db");
    drop(backends);
    assert_eq!(sql.connect().await.err().unwrap().kind, Kind::Unavailable);
}

#[tokio::test]
async fn a_damaged_file_is_the_platforms_fault() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    std::fs::create_dir_all(folder.path().join("sql/default")).unwrap();
    std::fs::write(folder.path().join("sql/default/db.db"), [7u8; 9000]).unwrap();
    let error = database(&backends, "default", "db")
        .connect()
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind, Kind::Internal, "{}", error.chain());
}

async fn a_full_disk(reserve: ByteSize) {
    let Some(disk) = SmallDisk::mount("24m") else {
        return;
    };
    let settings = Settings {
        disk_reserve: reserve,
        ..settings()
    };
    let backends = LocalBackends::open_with(disk.path(), settings).unwrap();
    let c = database(&backends, "default", "db")
        .connect()
        .await
        .unwrap();
    all(&*c, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
        .await
        .unwrap();
    let insert = "INSERT INTO t (v) VALUES (zeroblob(50000))";
    for _ in 0..10 {
        all(&*c, insert).await.unwrap();
    }
    disk.fill();
    let mut inserted = 10;
    for _ in 0..60 {
        match all(&*c, insert).await {
            // Space that the database had already.
            Ok(_) => inserted += 1,
            Err(error) => {
                assert_eq!(error.kind, Kind::Exhausted, "{}", error.chain());
                assert_eq!(error.blame, gust_types::Blame::Platform);
            }
        }
    }
    assert!(inserted < 60, "{inserted}");
    let count = Value::Integer(inserted);
    let counted = all(&*c, "SELECT count(*) FROM t").await.unwrap();
    assert_eq!(counted, [[count.clone()]], "reads go on");
    disk.free();
    all(&*c, insert).await.unwrap();
    let check = all(&*c, "PRAGMA integrity_check").await.unwrap();
    assert_eq!(check, [[Value::Text("ok".to_owned())]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_recovers_with_a_reserve() {
    a_full_disk(ByteSize::mib(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_recovers_without_a_reserve() {
    a_full_disk(ByteSize(0)).await;
}
