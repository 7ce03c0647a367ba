//! What every database does: call [`run`] with a way to make an empty one whose limits are small enough to reach.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, future};
use gust_types::{Blame, Kind, Result};

use super::{Connection, Effect, Mark, Sql, Value};

type Row = Vec<Value>;

/// Runs every check, each on a database of its own. Give it limits of at most 1 MiB for a result, 4 MiB for the
/// database and 2 s for a statement, or it takes long.
pub async fn run(make: impl AsyncFn() -> Arc<dyn Sql>) {
    values_round_trip(make().await).await;
    rows_have_columns(make().await).await;
    effects_are_counted(make().await).await;
    transactions_commit_and_roll_back(make().await).await;
    a_dropped_connection_rolls_back(make().await).await;
    errors_leave_the_connection_usable(make().await).await;
    connections_see_what_others_committed(make().await).await;
    rows_stream_and_may_be_dropped(make().await).await;
    sizes_over_a_limit_are_refused(make().await).await;
    a_full_database_refuses_and_recovers(make().await).await;
    a_long_statement_is_stopped(make().await).await;
    dangerous_statements_are_denied(make().await).await;
    concurrent_writers_wait(make().await).await;
    connections_start_clean(make().await).await;
    a_mark_is_left_with_the_commit(make().await).await;
    a_transaction_of_the_platforms_is_nobody_elses_to_end(make().await).await;
    marks_are_forgotten(make().await).await;
    what_is_the_platforms_cannot_be_touched(make().await).await;
}

#[expect(clippy::panic, reason = "a suite fails its test by panicking")]
fn ok<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|e| panic!("{:?}: {}", e.kind, e.chain()))
}

fn refused<T>(what: &str, result: Result<T>, kind: Kind) {
    let error = result.err();
    let found = error.as_ref().map(|e| (e.kind, e.blame));
    assert_eq!(found, Some((kind, Blame::Function)), "{what}: {error:?}");
}

type Database = Arc<dyn Sql>;

async fn connect(sql: &Database) -> Box<dyn Connection> {
    ok(sql.connect().await)
}

/// All rows, or the first error.
async fn try_all(c: &dyn Connection, statement: &str, parameters: Row) -> Result<Vec<Row>> {
    let mut answer = c.execute(statement, parameters).await?;
    let mut rows = Vec::new();
    while let Some(row) = answer.rows.next().await {
        rows.push(row?);
    }
    Ok(rows)
}

async fn all(c: &dyn Connection, statement: &str) -> Vec<Row> {
    ok(try_all(c, statement, Vec::new()).await)
}

async fn number(c: &dyn Connection, statement: &str) -> i64 {
    match all(c, statement).await.first().and_then(|row| row.first()) {
        Some(Value::Integer(n)) => *n,
        other => i64::MIN + i64::from(other.is_some()),
    }
}

async fn values_round_trip(sql: Database) {
    let c = connect(&sql).await;
    all(&*c, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)").await;
    let values = [
        Value::Null,
        Value::Integer(0),
        Value::Integer(i64::MIN),
        Value::Integer(i64::MAX),
        Value::Real(0.1),
        Value::Real(-1.5e300),
        Value::Real(f64::INFINITY),
        Value::Text(String::new()),
        Value::Text("\u{4f60}\u{597d} \u{1f980} 'quoted' \u{0} after".to_owned()),
        Value::Blob(Vec::new()),
        Value::Blob((0..=255).collect()),
    ];
    for value in &values {
        let insert = "INSERT INTO t (v) VALUES (?1)";
        ok(try_all(&*c, insert, vec![value.clone()]).await);
    }
    let read = all(&*c, "SELECT v FROM t ORDER BY id").await;
    let expected: Vec<_> = values.iter().map(|v| vec![v.clone()]).collect();
    assert_eq!(read, expected);
    let echoed = ok(try_all(&*c, "SELECT ?2, ?1, ?2", values[1..3].to_vec()).await);
    assert_eq!(
        echoed,
        [[values[2].clone(), values[1].clone(), values[2].clone()]]
    );
}

async fn rows_have_columns(sql: Database) {
    let c = connect(&sql).await;
    let made = ok(c
        .execute("CREATE TABLE \u{8868} (a INT, \"b c\" TEXT)", vec![])
        .await);
    assert!(made.columns.is_empty());
    drop(made);
    let empty = ok(c.execute("SELECT * FROM \u{8868}", vec![]).await);
    assert_eq!(empty.columns, ["a", "b c"]);
    assert_eq!(empty.rows.count().await, 0);
    let named = ok(c.execute("SELECT 1 AS one, 2", vec![]).await);
    assert_eq!(named.columns, ["one", "2"]);
}

async fn effects_are_counted(sql: Database) {
    let c = connect(&sql).await;
    assert_eq!(ok(c.effect().await), Effect::default());
    all(&*c, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)").await;
    all(
        &*c,
        "INSERT INTO t (id, v) VALUES (10, 1), (20, 2), (30, 3)",
    )
    .await;
    let effect = |changes, last_insert_rowid| Effect {
        changes,
        last_insert_rowid,
    };
    assert_eq!(ok(c.effect().await), effect(3, 30));
    all(&*c, "UPDATE t SET v = 0 WHERE id > 10").await;
    assert_eq!(ok(c.effect().await), effect(2, 30));
    all(&*c, "SELECT * FROM t").await;
    assert_eq!(ok(c.effect().await), effect(2, 30));
    all(&*c, "DELETE FROM t WHERE id = 40").await;
    assert_eq!(ok(c.effect().await), effect(0, 30));
    all(&*c, "DELETE FROM t").await;
    assert_eq!(ok(c.effect().await), effect(3, 30));
    let rows = all(&*c, "INSERT INTO t (v) VALUES (7) RETURNING id, v").await;
    assert_eq!(rows, [[Value::Integer(1), Value::Integer(7)]]);
    assert_eq!(ok(c.effect().await), effect(1, 1));
}

async fn transactions_commit_and_roll_back(sql: Database) {
    let c = connect(&sql).await;
    all(&*c, "CREATE TABLE t (v)").await;
    for (end, expected) in [("COMMIT", 2), ("ROLLBACK", 2), ("END", 4)] {
        all(&*c, "BEGIN").await;
        all(&*c, "INSERT INTO t VALUES (1)").await;
        all(&*c, "INSERT INTO t VALUES (2)").await;
        all(&*c, end).await;
        assert_eq!(
            number(&*c, "SELECT count(*) FROM t").await,
            expected,
            "{end}"
        );
    }
    all(&*c, "BEGIN IMMEDIATE").await;
    all(&*c, "SAVEPOINT s").await;
    all(&*c, "DELETE FROM t").await;
    all(&*c, "ROLLBACK TO s").await;
    all(&*c, "COMMIT").await;
    assert_eq!(number(&*c, "SELECT count(*) FROM t").await, 4);
}

async fn a_dropped_connection_rolls_back(sql: Database) {
    let c = connect(&sql).await;
    all(&*c, "CREATE TABLE t (v)").await;
    let other = connect(&sql).await;
    all(&*other, "BEGIN IMMEDIATE").await;
    all(&*other, "INSERT INTO t VALUES (1)").await;
    drop(other);
    all(&*c, "INSERT INTO t VALUES (2)").await;
    assert_eq!(all(&*c, "SELECT v FROM t").await, [[Value::Integer(2)]]);
}

async fn errors_leave_the_connection_usable(sql: Database) {
    let c = connect(&sql).await;
    all(
        &*c,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL UNIQUE)",
    )
    .await;
    all(&*c, "INSERT INTO t VALUES (1, 'a')").await;
    all(&*c, "BEGIN").await;
    all(&*c, "INSERT INTO t VALUES (2, 'b')").await;
    for (statement, parameters, kind) in [
        ("SELEC 1", vec![], Kind::Invalid),
        ("SELECT * FROM missing", vec![], Kind::Invalid),
        ("SELECT missing FROM t", vec![], Kind::Invalid),
        ("", vec![], Kind::Invalid),
        ("-- nothing", vec![], Kind::Invalid),
        ("SELECT 1; SELECT 2", vec![], Kind::Invalid),
        ("SELECT ?1", vec![], Kind::Invalid),
        ("SELECT 1", vec![Value::Null], Kind::Invalid),
        ("INSERT INTO t VALUES (3, 'a')", vec![], Kind::Conflict),
        ("INSERT INTO t VALUES (3, NULL)", vec![], Kind::Conflict),
        ("SELECT CAST(x'ff' AS TEXT)", vec![], Kind::Invalid),
        ("SELECT abs(-9223372036854775808)", vec![], Kind::Invalid),
    ] {
        let result = try_all(&*c, statement, parameters).await;
        refused(statement, result, kind);
    }
    assert_eq!(number(&*c, "SELECT count(*) FROM t").await, 2);
    all(&*c, "COMMIT").await;
    refused(
        "COMMIT twice",
        try_all(&*c, "COMMIT", vec![]).await,
        Kind::Invalid,
    );
    let trigger = "CREATE TRIGGER r AFTER INSERT ON t BEGIN \
                   UPDATE t SET v = v || ';' WHERE id = new.id; DELETE FROM t WHERE id = 1; END;";
    all(&*c, trigger).await;
    all(&*c, "INSERT INTO t VALUES (9, 'x') ; ").await;
    let rows = all(&*c, "SELECT v FROM t ORDER BY id").await;
    assert_eq!(
        rows,
        [[Value::Text("b".into())], [Value::Text("x;".into())]]
    );
}

async fn connections_see_what_others_committed(sql: Database) {
    let (a, b) = (connect(&sql).await, connect(&sql).await);
    all(&*a, "CREATE TABLE t (v)").await;
    all(&*a, "BEGIN").await;
    all(&*a, "INSERT INTO t VALUES (1)").await;
    assert_eq!(
        number(&*b, "SELECT count(*) FROM t").await,
        0,
        "not committed yet"
    );
    all(&*a, "COMMIT").await;
    assert_eq!(number(&*b, "SELECT count(*) FROM t").await, 1);
    all(&*a, "ALTER TABLE t ADD COLUMN w DEFAULT 5").await;
    assert_eq!(
        number(&*b, "SELECT w FROM t").await,
        5,
        "a changed schema is seen"
    );
    // A transaction that has read what another then changed cannot write.
    all(&*b, "BEGIN").await;
    assert_eq!(number(&*b, "SELECT count(*) FROM t").await, 1);
    all(&*a, "INSERT INTO t VALUES (2, 2)").await;
    let overtaken = try_all(&*b, "INSERT INTO t VALUES (3, 3)", vec![]).await;
    refused("overtaken", overtaken, Kind::Conflict);
    all(&*b, "ROLLBACK").await;
    all(&*b, "INSERT INTO t VALUES (3, 3)").await;
}

const COUNT: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ";

async fn rows_stream_and_may_be_dropped(sql: Database) {
    let c = connect(&sql).await;
    let endless = format!("{COUNT} 1000000000) SELECT i FROM n");
    let mut stream = ok(c.execute(&endless, vec![]).await);
    for expected in 1..=100 {
        let row = stream.rows.next().await.map(ok);
        assert_eq!(row, Some(vec![Value::Integer(expected)]));
    }
    drop(stream);
    assert_eq!(
        number(&*c, "SELECT 5").await,
        5,
        "a dropped stream stops its statement"
    );
    // Another statement while rows are still to come: they are kept.
    let some = format!("{COUNT} 3000) SELECT i FROM n");
    let stream = ok(c.execute(&some, vec![]).await);
    assert_eq!(number(&*c, "SELECT 6").await, 6);
    assert_eq!(stream.rows.count().await, 3000);
    drop(c);
    // Rows may outlive their connection's handle, or end early with it; neither hangs.
    let c = connect(&sql).await;
    let stream = ok(c.execute(&some, vec![]).await);
    drop(c);
    stream.rows.for_each(|_| future::ready(())).await;
}

async fn sizes_over_a_limit_are_refused(sql: Database) {
    let c = connect(&sql).await;
    let limits = sql.limits();
    let long = format!("SELECT '{}'", "x".repeat(limits.statement));
    refused("statement", c.execute(&long, vec![]).await, Kind::Exhausted);
    let result = limits.result;
    let big = format!("SELECT zeroblob({})", result + 1);
    refused(
        "one value",
        try_all(&*c, &big, vec![]).await,
        Kind::Exhausted,
    );
    let many = format!("{COUNT} 1000) SELECT zeroblob({}) FROM n", result / 100);
    refused(
        "many rows",
        try_all(&*c, &many, vec![]).await,
        Kind::Exhausted,
    );
    let fits = format!("SELECT zeroblob({})", result / 2);
    assert!(try_all(&*c, &fits, vec![]).await.is_ok());
    all(&*c, "CREATE TABLE t (v)").await;
    let returning = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) \
         INSERT INTO t SELECT i FROM n RETURNING zeroblob({})",
        result / 100
    );
    refused(
        "returning",
        try_all(&*c, &returning, vec![]).await,
        Kind::Exhausted,
    );
    assert_eq!(
        number(&*c, "SELECT count(*) FROM t").await,
        0,
        "refused means undone"
    );
}

async fn a_full_database_refuses_and_recovers(sql: Database) {
    let c = connect(&sql).await;
    all(&*c, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)").await;
    let piece = sql.limits().result / 4;
    let insert = format!("INSERT INTO t (v) VALUES (zeroblob({piece}))");
    let most = sql.limits().database / piece as u64 + 2;
    let mut inserted = 0;
    let full = loop {
        match try_all(&*c, &insert, vec![]).await {
            Ok(_) if inserted < most => inserted += 1,
            Ok(_) => break None,
            Err(error) => break Some(error),
        }
    };
    let full = full.map(|e| (e.kind, e.blame));
    assert_eq!(full, Some((Kind::Exhausted, Blame::Function)));
    assert!(inserted > 0);
    assert_eq!(number(&*c, "SELECT count(*) FROM t").await, inserted as i64);
    all(&*c, "DELETE FROM t WHERE id <= 2").await;
    all(&*c, &insert).await;
}

async fn a_long_statement_is_stopped(sql: Database) {
    let c = connect(&sql).await;
    all(&*c, "CREATE TABLE t (v)").await;
    let endless = format!("{COUNT} 100000000000) SELECT count(*) FROM n");
    refused(
        "endless",
        try_all(&*c, &endless, vec![]).await,
        Kind::Timeout,
    );
    all(&*c, "INSERT INTO t VALUES (1)").await;
    assert_eq!(number(&*c, "SELECT count(*) FROM t").await, 1);
    // A caller that goes away stops its statement: the next one does not wait for the time to pass.
    let gone = c.execute(&endless, vec![]);
    let moment = tokio::time::timeout(std::time::Duration::from_millis(50), gone);
    assert!(moment.await.is_err());
    assert_eq!(number(&*c, "SELECT 7").await, 7);
}

async fn dangerous_statements_are_denied(sql: Database) {
    let c = connect(&sql).await;
    all(&*c, "CREATE TABLE t (v)").await;
    let folder = std::env::temp_dir();
    let outside = folder.join("gust-suite-outside.db");
    let outside = outside.display();
    for statement in [
        format!("ATTACH '{outside}' AS other"),
        "ATTACH ':memory:' AS other".to_owned(),
        "ATTACH '' AS other".to_owned(),
        "DETACH main".to_owned(),
        format!("VACUUM INTO '{outside}'"),
        "SELECT load_extension('x')".to_owned(),
        "PRAGMA writable_schema = ON".to_owned(),
        "PRAGMA temp_store_directory = '/tmp'".to_owned(),
        "PRAGMA database_list".to_owned(),
        "SELECT file FROM pragma_database_list".to_owned(),
        "PRAGMA max_page_count = 1000000".to_owned(),
        "PRAGMA hard_heap_limit = 1".to_owned(),
        "PRAGMA wal_checkpoint(TRUNCATE)".to_owned(),
        "SELECT fts3_tokenizer('simple')".to_owned(),
    ] {
        refused(
            &statement,
            try_all(&*c, &statement, vec![]).await,
            Kind::Denied,
        );
    }
    assert!(!std::path::Path::new(&outside.to_string()).exists());
    let schema = "UPDATE sqlite_master SET sql = 'CREATE TABLE t (w)' WHERE name = 't'";
    assert!(try_all(&*c, schema, vec![]).await.is_err());
    let shadow = "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 0, '')";
    assert!(try_all(&*c, shadow, vec![]).await.is_err());
    for harmless in [
        "PRAGMA table_info(t)",
        "SELECT name FROM pragma_table_info('t')",
        "PRAGMA user_version = 7",
        "PRAGMA foreign_keys",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA synchronous = OFF",
        "CREATE VIRTUAL TABLE search USING fts5(body)",
        "INSERT INTO search VALUES ('hello world')",
        "SELECT json_extract('{\"a\": 1}', '$.a')",
        "ANALYZE",
        "DROP TABLE search",
    ] {
        ok(try_all(&*c, harmless, vec![]).await);
    }
    assert_eq!(number(&*c, "PRAGMA user_version").await, 7);
    let mode = all(&*c, "PRAGMA journal_mode").await;
    assert_eq!(
        mode,
        [[Value::Text("wal".to_owned())]],
        "settings are the platform's"
    );
}

async fn concurrent_writers_wait(sql: Database) {
    let c = connect(&sql).await;
    all(&*c, "CREATE TABLE t (n INTEGER)").await;
    all(&*c, "INSERT INTO t VALUES (0)").await;
    let writers = (0..8).map(|n| {
        let sql = sql.clone();
        async move {
            let c = connect(&sql).await;
            for _ in 0..10 {
                if n % 2 == 0 {
                    all(&*c, "UPDATE t SET n = n + 1").await;
                } else {
                    all(&*c, "BEGIN IMMEDIATE").await;
                    let before = number(&*c, "SELECT n FROM t").await;
                    let update = "UPDATE t SET n = ?1";
                    ok(try_all(&*c, update, vec![Value::Integer(before + 1)]).await);
                    all(&*c, "COMMIT").await;
                }
            }
        }
    });
    future::join_all(writers).await;
    assert_eq!(number(&*c, "SELECT n FROM t").await, 80);
}

async fn connections_start_clean(sql: Database) {
    for round in 0..3 {
        let c = connect(&sql).await;
        assert_eq!(ok(c.effect().await), Effect::default());
        assert_eq!(number(&*c, "PRAGMA foreign_keys").await, 1, "round {round}");
        all(&*c, "CREATE TEMP TABLE mine (v)").await;
        all(&*c, "PRAGMA foreign_keys = OFF").await;
        all(&*c, "CREATE TABLE IF NOT EXISTS t (v)").await;
        all(&*c, "INSERT INTO t VALUES (1)").await;
        all(&*c, "BEGIN IMMEDIATE").await;
    }
    let c = connect(&sql).await;
    assert_eq!(number(&*c, "SELECT count(*) FROM t").await, 3);
    drop(c);
    for made in [
        "CREATE TABLE temp.t (v)",
        "CREATE TABLE \"TEMP\".t AS SELECT 'forged' AS v",
        "CREATE VIEW temp.t AS SELECT 'forged' AS v",
        "CREATE TRIGGER temp.x BEFORE INSERT ON main.t BEGIN SELECT raise(ABORT, 'no'); END",
    ] {
        let c = connect(&sql).await;
        let made = c.execute(made, Vec::new()).await;
        drop((made, c));
        let c = connect(&sql).await;
        all(&*c, "INSERT INTO t VALUES (1)").await;
        all(&*c, "DELETE FROM main.t WHERE rowid > 3").await;
        assert_eq!(ok(c.effect().await).changes, 1);
        assert_eq!(number(&*c, "SELECT count(*) FROM t").await, 3);
    }
}

fn mark(id: &str, at_us: u64) -> Mark {
    Mark {
        id: id.to_owned(),
        at_us,
        intent: Bytes::from(format!("意图 {id}")),
        ..Mark::default()
    }
}

async fn a_mark_is_left_with_the_commit(sql: Database) {
    assert_eq!(ok(sql.mark("a").await), None, "nobody was here");
    all(&*connect(&sql).await, "CREATE TABLE t (n)").await;
    assert_eq!(ok(sql.mark("a").await), None);
    let unit = ok(sql.begin().await);
    all(&*unit, "INSERT INTO t VALUES (1)").await;
    assert_eq!(ok(unit.effect().await).changes, 1);
    assert_eq!(number(&*unit, "SELECT count(*) FROM t").await, 1);
    let other = connect(&sql).await;
    assert_eq!(number(&*other, "SELECT count(*) FROM t").await, 0);
    // A second one waits for the first; a statement that waits too long is over.
    let (second, ()) = future::join(sql.begin(), async {
        ok(unit.commit(mark("a", 1)).await);
    })
    .await;
    let second = ok(second);
    assert_eq!(ok(sql.mark("a").await), Some(Bytes::from("意图 a")));
    assert_eq!(ok(sql.mark("b").await), None);
    all(&*second, "INSERT INTO t VALUES (2)").await;
    refused(
        "a mark twice",
        second.commit(mark("a", 2)).await,
        Kind::Conflict,
    );
    drop(second);
    assert_eq!(number(&*other, "SELECT count(*) FROM t").await, 1);
    // One that is dropped has done nothing, and is in nobody's way.
    let dropped = ok(sql.begin().await);
    all(&*dropped, "INSERT INTO t VALUES (3)").await;
    drop(dropped);
    all(&*other, "INSERT INTO t VALUES (4)").await;
    assert_eq!(number(&*other, "SELECT sum(n) FROM t").await, 5);
}

async fn a_transaction_of_the_platforms_is_nobody_elses_to_end(sql: Database) {
    let ends = [
        "COMMIT",
        "ROLLBACK",
        "END",
        "BEGIN",
        "BEGIN IMMEDIATE",
        "commit",
    ];
    {
        // Compiled where they are allowed, on the connection that is used next.
        let c = connect(&sql).await;
        all(&*c, "CREATE TABLE t (n UNIQUE)").await;
        for statement in ["BEGIN", "COMMIT", "BEGIN", "ROLLBACK"] {
            all(&*c, statement).await;
        }
    }
    for _ in 0..3 {
        let unit = ok(sql.begin().await);
        all(&*unit, "INSERT INTO t VALUES (1)").await;
        for end in ends {
            refused(end, try_all(&*unit, end, vec![]).await, Kind::Invalid);
        }
        for inside in [
            "SAVEPOINT s",
            "INSERT INTO t VALUES (2)",
            "ROLLBACK TO s",
            "RELEASE s",
        ] {
            all(&*unit, inside).await;
        }
        assert_eq!(number(&*unit, "SELECT count(*) FROM t").await, 1);
        drop(unit);
    }
    let c = connect(&sql).await;
    assert_eq!(number(&*c, "SELECT count(*) FROM t").await, 0);
    for statement in ["BEGIN", "INSERT INTO t VALUES (9)", "COMMIT"] {
        all(&*c, statement).await;
    }
    // A conflict may roll back by itself: after that nothing runs outside.
    let unit = ok(sql.begin().await);
    all(&*unit, "INSERT INTO t VALUES (1)").await;
    let rollback = "INSERT OR ROLLBACK INTO t VALUES (9)";
    refused(
        rollback,
        try_all(&*unit, rollback, vec![]).await,
        Kind::Conflict,
    );
    for statement in ["INSERT INTO t VALUES (2)", "SELECT 1"] {
        refused(
            statement,
            try_all(&*unit, statement, vec![]).await,
            Kind::Conflict,
        );
    }
    refused("commit", unit.commit(mark("a", 1)).await, Kind::Conflict);
    drop(unit);
    assert_eq!(number(&*c, "SELECT count(*) FROM t").await, 1);
    assert_eq!(ok(sql.mark("a").await), None);
}

async fn marks_are_forgotten(sql: Database) {
    let left = async |ids: &[&str]| {
        let mut left = Vec::new();
        for id in ids {
            left.push(ok(sql.mark(id).await).is_some());
        }
        left
    };
    for (id, at_us) in [("a", 10), ("b", 20), ("c", 30)] {
        ok(ok(sql.begin().await).commit(mark(id, at_us)).await);
    }
    let forgetting = Mark {
        forget: vec!["c".to_owned(), "never there".to_owned()],
        forget_before_us: 20,
        ..mark("d", 40)
    };
    ok(ok(sql.begin().await).commit(forgetting).await);
    assert_eq!(
        left(&["a", "b", "c", "d"]).await,
        [false, true, false, true]
    );
}

async fn what_is_the_platforms_cannot_be_touched(sql: Database) {
    ok(ok(sql.begin().await).commit(mark("a", 1)).await);
    let c = connect(&sql).await;
    all(&*c, "CREATE TABLE t (n)").await;
    let unit = ok(sql.begin().await);
    let touches = [
        "SELECT * FROM _gust_units",
        "SELECT count(*) FROM _gust_units",
        "SELECT n FROM t WHERE n IN (SELECT id FROM main._GUST_UNITS)",
        "INSERT INTO _gust_units VALUES ('x', 1, x'')",
        "UPDATE _gust_units SET intent = x''",
        "DELETE FROM _gust_units",
        "DROP TABLE _gust_units",
        "ALTER TABLE _gust_units RENAME TO mine",
        "ALTER TABLE _gust_units ADD COLUMN c",
        "CREATE INDEX mine ON _gust_units (at)",
        "DROP INDEX _gust_units_at",
        "CREATE TRIGGER mine AFTER INSERT ON _gust_units BEGIN SELECT 1; END",
        "CREATE TABLE _gust_more (n)",
        "CREATE VIEW _gust_view AS SELECT 1",
        "CREATE TEMP TABLE _gust_units (n)",
    ];
    for c in [&*c, &*unit as &dyn Connection] {
        for statement in touches {
            refused(statement, try_all(c, statement, vec![]).await, Kind::Denied);
        }
    }
    drop(unit);
    // What looks harmless until it runs.
    all(
        &*c,
        "CREATE TRIGGER sly AFTER INSERT ON t BEGIN DELETE FROM _gust_units; END",
    )
    .await;
    let sly = "INSERT INTO t VALUES (1)";
    refused(sly, try_all(&*c, sly, vec![]).await, Kind::Denied);
    assert!(ok(sql.mark("a").await).is_some());
}
