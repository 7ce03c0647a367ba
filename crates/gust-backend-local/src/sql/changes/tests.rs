//! What is written down, on a connection alone; and what comes out of the stream, through the backends.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use gust_backend::{
    Backends as _,
    changes::Watched,
    sql::{self, Sql, Value},
    topic::{Position, ReadOptions, Topic, TopicSettings},
};
use gust_types::{Label, ProjectName};

use super::*;
use crate::LocalBackends;

fn memory(schema: &str, tables: &[&str]) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(schema).unwrap();
    let tables: Vec<_> = tables.iter().map(|&table| table.to_owned()).collect();
    watch(&connection, &tables, true).unwrap();
    connection
}

/// What was written down since: table, what happened, key, old and new.
fn written(connection: &Connection) -> Vec<String> {
    let text = "SELECT tab || ' ' || op || ' ' || id || ' ' || coalesce(old, '-') || ' ' || coalesce(new, '-') \
                FROM _gust_changes ORDER BY seq";
    let mut statement = connection.prepare(text).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    let rows = rows.map(Result::unwrap).collect();
    connection
        .execute_batch("DELETE FROM _gust_changes")
        .unwrap();
    rows
}

fn guest(connection: &Connection, statement: &str) -> Result<()> {
    check_rename(statement)?;
    let perform = || {
        connection
            .execute_batch(statement)
            .map_err(fault::of_statement)
    };
    match Touches::of(statement) {
        Touches::Schema { rest } => around(connection, rest, perform, |_| ()),
        Touches::Replaces => told_of_replaced(connection, perform, |_| ()),
        Touches::Nothing => perform(),
    }
}

#[test]
fn rows_are_written_down_as_they_are() {
    let db = memory(
        "CREATE TABLE 订单 (id INTEGER PRIMARY KEY, \"na'me\" TEXT, price REAL, raw BLOB)",
        &["订单"],
    );
    guest(&db, "INSERT INTO 订单 VALUES (7, '值\"x', 1.5, x'00ff')").unwrap();
    guest(&db, "UPDATE 订单 SET price = NULL, raw = NULL").unwrap();
    guest(&db, "UPDATE 订单 SET id = 8").unwrap();
    guest(&db, "INSERT INTO 订单 (price) VALUES (9e999)").unwrap();
    guest(&db, "DELETE FROM 订单").unwrap();
    let before = r#"{"id":7,"na'me":"值\"x","price":1.5,"raw":{"hex":"00FF"}}"#;
    let after = r#"{"id":7,"na'me":"值\"x","price":null,"raw":null}"#;
    let moved = r#"{"id":8,"na'me":"值\"x","price":null,"raw":null}"#;
    let infinite = r#"{"id":9,"na'me":null,"price":"Inf","raw":null}"#;
    let found = written(&db);
    let wanted = [
        format!("订单 inserted 7 - {before}"),
        format!("订单 updated 7 {before} {after}"),
        // Another key: the end of one row and the beginning of another.
        format!("订单 deleted 7 {after} -"),
        format!("订单 inserted 8 - {moved}"),
        format!("订单 inserted 9 - {infinite}"),
        format!("订单 deleted 8 {moved} -"),
        format!("订单 deleted 9 {infinite} -"),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn keys_are_those_of_the_table() {
    let db = memory(
        "CREATE TABLE two (b TEXT, a INTEGER, c, PRIMARY KEY (a, b)) WITHOUT ROWID;
         CREATE TABLE none (rowid TEXT, x);
         CREATE TABLE bytes (k BLOB PRIMARY KEY);",
        &["Two", "none", "bytes"],
    );
    guest(&db, "INSERT INTO two VALUES ('键', 1, 2)").unwrap();
    guest(&db, "INSERT INTO none VALUES ('mine', 3)").unwrap();
    guest(&db, "INSERT INTO bytes VALUES (x'0a')").unwrap();
    let found = written(&db);
    let wanted = [
        r#"two inserted [1,"键"] - {"b":"键","a":1,"c":2}"#,
        r#"none inserted 1 - {"rowid":"mine","x":3}"#,
        r#"bytes inserted 0A - {"k":{"hex":"0A"}}"#,
    ];
    assert_eq!(found, wanted);
}

#[test]
fn a_row_of_any_shape_is_written_down_or_said_to_be_too_large() {
    let columns: Vec<_> = (0..1500).map(|n| format!("c{n}")).collect();
    let wide = format!("CREATE TABLE wide ({})", columns.join(", "));
    let db = memory(
        &format!("{wide}; CREATE TABLE t (id INTEGER PRIMARY KEY, x);"),
        &["wide", "t"],
    );
    let values = vec!["1"; 1500].join(", ");
    guest(&db, &format!("INSERT INTO wide VALUES ({values})")).unwrap();
    let found = written(&db);
    assert!(found[0].ends_with("\"c1499\":1}"), "{}", found[0]);
    guest(
        &db,
        "INSERT INTO t VALUES (1, zeroblob(200000)), (2, 'small')",
    )
    .unwrap();
    guest(&db, "UPDATE t SET x = 'y' WHERE id = 1").unwrap();
    let found = written(&db);
    assert_eq!(found[0], "t inserted 1 - -");
    assert_eq!(found[2], r#"t updated 1 - {"id":1,"x":"y"}"#);
}

#[test]
fn a_table_may_come_later_and_change() {
    let db = memory("", &["orders"]);
    guest(&db, "CREATE TABLE Orders (id INTEGER PRIMARY KEY, a, b)").unwrap();
    guest(&db, "INSERT INTO orders VALUES (1, 2, 3)").unwrap();
    guest(&db, "ALTER TABLE orders ADD COLUMN c DEFAULT 4").unwrap();
    guest(&db, "UPDATE orders SET a = 5").unwrap();
    guest(&db, "ALTER TABLE orders DROP COLUMN a").unwrap();
    guest(&db, "-- why not\nALTER TABLE orders RENAME COLUMN b TO bb").unwrap();
    guest(&db, "UPDATE orders SET bb = 6").unwrap();
    // As programs change tables that SQLite cannot change in place.
    guest(&db, "CREATE TABLE orders_new (id TEXT PRIMARY KEY, d)").unwrap();
    guest(
        &db,
        "INSERT INTO orders_new SELECT 'k' || id, bb FROM orders",
    )
    .unwrap();
    guest(&db, "DROP TABLE orders").unwrap();
    guest(&db, "ALTER TABLE orders_new RENAME TO orders").unwrap();
    guest(&db, "UPDATE orders SET d = 7").unwrap();
    guest(&db, "ALTER TABLE orders RENAME TO elsewhere").unwrap();
    guest(&db, "DELETE FROM elsewhere").unwrap();
    let wanted = [
        r#"orders inserted 1 - {"id":1,"a":2,"b":3}"#,
        r#"orders updated 1 {"id":1,"a":2,"b":3,"c":4} {"id":1,"a":5,"b":3,"c":4}"#,
        r#"orders updated 1 {"id":1,"bb":3,"c":4} {"id":1,"bb":6,"c":4}"#,
        r#"orders updated k1 {"id":"k1","d":6} {"id":"k1","d":7}"#,
    ];
    assert_eq!(written(&db), wanted);
    // What fails leaves the triggers as they were.
    guest(&db, "CREATE TABLE orders (id INTEGER PRIMARY KEY)").unwrap();
    assert!(guest(&db, "ALTER TABLE orders DROP COLUMN nothing").is_err());
    assert!(guest(&db, "DROP TABLE nothing").is_err());
    guest(&db, "INSERT INTO orders VALUES (1)").unwrap();
    assert_eq!(written(&db), [r#"orders inserted 1 - {"id":1}"#]);
}

#[test]
fn a_schema_and_its_rows_may_come_in_one_transaction_or_not_at_all() {
    let db = memory("", &["t"]);
    guest(&db, "BEGIN").unwrap();
    guest(&db, "CREATE TABLE t (x)").unwrap();
    guest(&db, "INSERT INTO t VALUES (1)").unwrap();
    guest(&db, "ROLLBACK").unwrap();
    assert!(written(&db).is_empty());
    guest(&db, "BEGIN").unwrap();
    guest(&db, "CREATE TABLE t (x)").unwrap();
    guest(&db, "INSERT INTO t VALUES (1)").unwrap();
    guest(&db, "COMMIT").unwrap();
    assert_eq!(written(&db), [r#"t inserted 1 - {"x":1}"#]);
}

#[test]
fn the_order_is_that_of_the_row_whatever_a_guests_triggers_do() {
    let db = memory(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x, seen DEFAULT 0)",
        &["t"],
    );
    let touch = |name: &str, event: &str| {
        format!(
            "CREATE TRIGGER {name} AFTER {event} ON t BEGIN UPDATE t SET seen = seen + 1 WHERE id = new.id; END"
        )
    };
    guest(&db, &touch("a", "INSERT")).unwrap();
    guest(&db, &touch("z", "UPDATE OF x")).unwrap();
    guest(&db, "INSERT INTO t (id, x) VALUES (1, 'a')").unwrap();
    guest(&db, "UPDATE t SET x = 'b'").unwrap();
    let wanted = [
        r#"t inserted 1 - {"id":1,"x":"a","seen":0}"#,
        r#"t updated 1 {"id":1,"x":"a","seen":0} {"id":1,"x":"a","seen":1}"#,
        r#"t updated 1 {"id":1,"x":"a","seen":1} {"id":1,"x":"b","seen":1}"#,
        r#"t updated 1 {"id":1,"x":"b","seen":1} {"id":1,"x":"b","seen":2}"#,
    ];
    assert_eq!(written(&db), wanted);
}

#[test]
fn rows_that_are_replaced_are_told_of() {
    let db = memory(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name UNIQUE)",
        &["t"],
    );
    guest(&db, "INSERT INTO t VALUES (1, 'a'), (2, 'b')").unwrap();
    guest(&db, "REPLACE INTO t VALUES (1, 'b')").unwrap();
    guest(&db, "INSERT INTO t VALUES (3, 'c')").unwrap();
    guest(&db, "update or replace t set name = 'b' where id = 3").unwrap();
    guest(
        &db,
        "INSERT INTO t VALUES (3, 'x') ON CONFLICT DO UPDATE SET name = 'y'",
    )
    .unwrap();
    let found: Vec<_> = written(&db)
        .iter()
        .map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" "))
        .collect();
    let (before, after) = found.split_at(2);
    assert_eq!(before, ["t inserted 1", "t inserted 2"]);
    // Both went, in whichever order.
    let mut gone = after[..2].to_vec();
    gone.sort();
    assert_eq!(gone, ["t deleted 1", "t deleted 2"]);
    let rest = [
        "t inserted 1",
        "t inserted 3",
        "t deleted 1",
        "t updated 3",
        "t updated 3",
    ];
    assert_eq!(after[2..], rest);
    let on: bool = db
        .query_row("PRAGMA recursive_triggers", [], |row| row.get(0))
        .unwrap();
    assert!(!on, "as it was");
}

#[test]
fn foreign_keys_that_cascade_are_told_of() {
    let db = memory(
        "CREATE TABLE p (id INTEGER PRIMARY KEY);
         CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE);
         INSERT INTO p VALUES (1); INSERT INTO c VALUES (5, 1);",
        &["c"],
    );
    guest(&db, "DELETE FROM p").unwrap();
    assert_eq!(written(&db), [r#"c deleted 5 {"id":5,"p":1} -"#]);
}

#[test]
fn what_cannot_be_watched_is_refused() {
    for (schema, wanted) in [
        ("CREATE VIEW t AS SELECT 1", "it is a view"),
        (
            "CREATE VIRTUAL TABLE t USING fts5(x)",
            "it is a virtual table",
        ),
        (
            "CREATE TABLE t (x UNIQUE ON CONFLICT  REPLACE)",
            "it has ON CONFLICT REPLACE",
        ),
        ("CREATE TABLE t (rowid, _rowid_, OID)", "no primary key"),
        (
            "CREATE TABLE t (x);\nCREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT OR REPLACE INTO t VALUES (1); END",
            "trigger \"r\" replaces rows",
        ),
    ] {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(schema).unwrap();
        let error = watch(&db, &["t".to_owned()], true).unwrap_err();
        assert!(error.message.contains(wanted), "{}", error.message);
        assert!(!is_watched(&db).unwrap(), "nothing is left behind");
        // The same for what comes later.
        let db = memory("", &["t"]);
        let done: Result<Vec<()>> = schema.split('\n').map(|s| guest(&db, s)).collect();
        assert!(done.unwrap_err().message.contains(wanted), "{schema}");
    }
}

#[test]
fn what_is_watched_is_what_was_asked_for_last() {
    let db = memory("CREATE TABLE a (x); CREATE TABLE b (x);", &["a"]);
    let names = |db: &Connection| -> Vec<String> {
        triggers(db)
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    };
    let before = names(&db);
    watch(&db, &["B".to_owned()], false).unwrap();
    assert_eq!(names(&db).len(), 2 * before.len());
    watch(&db, &["b".to_owned()], true).unwrap();
    assert!(names(&db).iter().all(|name| name.ends_with("_b")));
    guest(&db, "INSERT INTO a VALUES (1)").unwrap();
    guest(&db, "INSERT INTO b VALUES (1)").unwrap();
    assert_eq!(written(&db), [r#"b inserted 1 - {"x":1}"#]);
    // Asked for again, nothing is made anew.
    let version = |db: &Connection| -> i64 {
        db.query_row("PRAGMA schema_version", [], |row| row.get(0))
            .unwrap()
    };
    let as_it_was = version(&db);
    watch(&db, &["b".to_owned()], true).unwrap();
    assert_eq!(version(&db), as_it_was);
    watch(&db, &[], true).unwrap();
    assert!(names(&db).is_empty() && !is_watched(&db).unwrap());
    watch(&db, &[], true).unwrap();
}

#[test]
fn a_backlog_is_bounded_and_numbers_are_never_given_again() {
    let db = memory("CREATE TABLE t (id INTEGER PRIMARY KEY)", &["t"]);
    guest(&db, "INSERT INTO t VALUES (1)").unwrap();
    forget(&db, 1).unwrap();
    guest(&db, "INSERT INTO t VALUES (2)").unwrap();
    let last = |db: &Connection| -> i64 {
        db.query_row("SELECT max(seq) FROM _gust_changes", [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(last(&db), 2);
    let far = format!("INSERT INTO _gust_changes (seq, op) VALUES ({WAITING}, 'inserted')");
    db.execute_batch(&far).unwrap();
    guest(&db, "INSERT INTO t VALUES (3)").unwrap();
    let error = guest(&db, "INSERT INTO t VALUES (4)").unwrap_err();
    assert_eq!(
        (error.kind, error.blame),
        (Kind::Exhausted, Blame::Function)
    );
    assert!(error.message.contains(FULL), "{}", error.message);
    forget(&db, last(&db) - 10).unwrap();
    guest(&db, "INSERT INTO t VALUES (4)").unwrap();
}

// === through the backends ===

struct Made {
    _backends: LocalBackends,
    sql: Arc<dyn Sql>,
    stream: Arc<dyn Topic>,
}

fn open(folder: &std::path::Path) -> Made {
    let backends = LocalBackends::open(folder).unwrap();
    let (project, name) = (ProjectName::default_project(), Label::new("shop").unwrap());
    let stream = Watched::Sql(name.clone()).topic();
    Made {
        sql: backends.sql(&project, &name).unwrap(),
        stream: backends
            .topic(&project, &stream, &TopicSettings::default())
            .unwrap(),
        _backends: backends,
    }
}

impl Made {
    async fn watch(&self, tables: &[&str]) {
        let tables = tables.iter().map(|&table| table.to_owned());
        self.sql.watch(tables.collect(), true).await.unwrap();
    }

    async fn run(&self, statements: &[&str]) {
        let connection = self.sql.connect().await.unwrap();
        for statement in statements {
            run_on(&*connection, statement).await.unwrap();
        }
    }

    /// Waits for so many events and for no more; answers source, type, subject and data.
    async fn told(&self, count: usize) -> Vec<String> {
        let mut page = Vec::new();
        for _ in 0..200 {
            let options = ReadOptions {
                after: Position(0),
                most: 1000,
                wait: Duration::ZERO,
            };
            page = self.stream.read(options).await.unwrap();
            if page.len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let lines = page.iter().map(|logged| {
            let of = |name: &str| logged.message.attributes[&format!("ce-{name}")].clone();
            let body = String::from_utf8_lossy(&logged.message.body).into_owned();
            let kind = of("type").replace("gust.sql.", "");
            format!("{} {kind} {} {body}", of("source"), of("subject"))
        });
        lines.collect()
    }
}

async fn run_on(connection: &dyn sql::Connection, statement: &str) -> Result<Vec<Vec<Value>>> {
    let rows = connection.execute(statement, vec![]).await?.rows;
    rows.collect::<Vec<_>>().await.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_come_into_the_stream_once_also_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let made = open(folder.path());
    made.run(&["CREATE TABLE orders (id INTEGER PRIMARY KEY, x)"])
        .await;
    made.watch(&["orders", "later"]).await;
    made.run(&["BEGIN", "INSERT INTO orders VALUES (1, '甲')", "ROLLBACK"])
        .await;
    made.run(&[
        "BEGIN",
        "INSERT INTO orders VALUES (1, '乙')",
        "UPDATE orders SET x = 2",
        "COMMIT",
        "CREATE TABLE later (k TEXT PRIMARY KEY)",
        "INSERT INTO later VALUES ('键 1')",
    ])
    .await;
    let mut wanted = vec![
        r#"/sql/shop/orders inserted 1 {"old":null,"new":{"id":1,"x":"乙"}}"#.to_owned(),
        r#"/sql/shop/orders updated 1 {"old":{"id":1,"x":"乙"},"new":{"id":1,"x":2}}"#.to_owned(),
        r#"/sql/shop/later inserted %E9%94%AE%201 {"old":null,"new":{"k":"键 1"}}"#.to_owned(),
    ];
    assert_eq!(made.told(3).await, wanted);
    drop(made);
    let made = open(folder.path());
    made.run(&["DELETE FROM orders"]).await;
    wanted.push(r#"/sql/shop/orders deleted 1 {"old":{"id":1,"x":2},"new":null}"#.to_owned());
    assert_eq!(made.told(4).await, wanted);
    // A file that is made anew counts from one again, and its changes are not taken for the old ones.
    drop(made);
    std::fs::remove_dir_all(folder.path().join("sql")).unwrap();
    let made = open(folder.path());
    made.watch(&["orders"]).await;
    made.run(&["CREATE TABLE orders (x)", "INSERT INTO orders VALUES (1)"])
        .await;
    assert_eq!(made.told(5).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_moved_before_a_restart_is_moved_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let made = open(folder.path());
    made.run(&["CREATE TABLE t (id INTEGER PRIMARY KEY)"]).await;
    made.watch(&["t"]).await;
    drop(made);
    let path = folder.path().join("sql/default/shop.db");
    // As if the node had gone down between the commit and the move, with a hundred times as many as go at once.
    let many = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < 1700) INSERT INTO t SELECT x FROM n";
    Connection::open(&path)
        .unwrap()
        .execute_batch(many)
        .unwrap();
    let made = open(folder.path());
    made.watch(&["t"]).await;
    let mut count = 0;
    for _ in 0..200 {
        count = made.stream.stats().await.unwrap().last;
        if count >= 1700 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(count, 1700);
    drop(made);
    let left: i64 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM _gust_changes", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 1, "the last one stays, for its number");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_cannot_touch_what_is_the_platforms() {
    let folder = tempfile::tempdir().unwrap();
    let made = open(folder.path());
    made.run(&[
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x)",
        "CREATE TABLE u (x)",
    ])
    .await;
    made.watch(&["t"]).await;
    let connection = made.sql.connect().await.unwrap();
    for statement in [
        "SELECT * FROM _gust_changes",
        "SELECT seq FROM _GUST_CHANGES",
        "INSERT INTO _gust_changes (op) VALUES ('inserted')",
        "UPDATE _gust_changes SET op = 'x'",
        "DELETE FROM _gust_tables",
        "DROP TABLE _gust_changes",
        "DROP TRIGGER _gust_insert_t",
        "drop trigger \"_Gust_Insert_t\"",
        "ALTER TABLE _gust_changes RENAME TO mine",
        "ALTER TABLE u RENAME TO _gust_u",
        "ALTER TABLE u RENAME TO \"_GUST_u\"",
        "CREATE TABLE _gust_mine (x)",
        "CREATE TEMP TABLE _gust_mine (x)",
        "CREATE VIEW _gust_mine AS SELECT 1",
        "CREATE TRIGGER _gust_mine AFTER INSERT ON t BEGIN SELECT 1; END",
        "CREATE TEMP TRIGGER _gust_mine AFTER INSERT ON t BEGIN DELETE FROM _gust_changes; END",
        "CREATE TRIGGER mine AFTER INSERT ON _gust_changes BEGIN SELECT 1; END",
        "CREATE INDEX mine ON _gust_changes (op)",
        "CREATE INDEX _gust_mine ON t (x)",
    ] {
        let error = run_on(&*connection, statement).await.unwrap_err();
        assert_eq!(error.kind, Kind::Denied, "{statement}: {}", error.message);
    }
    // By the way of something that is theirs neither.
    run_on(&*connection, "CREATE VIEW v AS SELECT * FROM _gust_changes")
        .await
        .unwrap();
    let error = run_on(&*connection, "SELECT * FROM v").await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{}", error.message);
    let trigger = "CREATE TRIGGER w AFTER INSERT ON u BEGIN DELETE FROM _gust_changes; END";
    run_on(&*connection, trigger).await.unwrap();
    let error = run_on(&*connection, "INSERT INTO u VALUES (1)")
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{}", error.message);
    run_on(&*connection, "DROP TRIGGER w").await.unwrap();
    // What a guest is told of its own writes is as it would be without.
    run_on(&*connection, "INSERT INTO t VALUES (41, 'a'), (42, 'b')")
        .await
        .unwrap();
    let effect = connection.effect().await.unwrap();
    assert_eq!((effect.changes, effect.last_insert_rowid), (2, 42));
    run_on(&*connection, "UPDATE t SET x = 'c' WHERE id = 41")
        .await
        .unwrap();
    let effect = connection.effect().await.unwrap();
    assert_eq!((effect.changes, effect.last_insert_rowid), (1, 42));
    run_on(&*connection, "REPLACE INTO t VALUES (41, 'd')")
        .await
        .unwrap();
    run_on(&*connection, "DROP TABLE t").await.unwrap();
    assert_eq!(made.told(5).await.len(), 5);
    let fresh = made.sql.connect().await.unwrap();
    run_on(&*fresh, "UPDATE u SET x = 1").await.unwrap();
    assert_eq!(fresh.effect().await.unwrap().last_insert_rowid, 0);
}
