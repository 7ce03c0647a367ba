//! Values without a type, sent without asking what they are: node-postgres, PDO and PQexecParams do so.

use bytes::BufMut as _;

use super::{
    World,
    client::{Raw, bind, execute, message, parse, query, sync, z},
    world,
};

async fn ask(raw: &mut Raw, text: &str, values: &[&str]) -> String {
    let all = [
        parse("", text),
        bind("", "", values),
        message(b'D', &[b"P".to_vec(), z("")].concat()),
        execute("", 0),
        sync(),
    ];
    raw.ask(&all.concat()).await
}

/// A value in binary.
fn bytes(value: &[u8]) -> Vec<u8> {
    let mut body = [z(""), z(""), vec![0, 1, 0, 1, 0, 1]].concat();
    body.put_u32(value.len() as u32);
    body.extend(value);
    body.put_u16(0);
    message(b'B', &body)
}

async fn filled(world: &World) -> Raw {
    let mut raw = world.raw().await;
    let said = raw
        .query(
            "create table t (id integer primary key, name text, v integer, done boolean, b bytea, at timestamptz); \
             insert into t (name, v) values ('one', 1), ('three', 3)",
        )
        .await;
    assert!(said.ends_with("Z:I"), "{said}");
    raw
}

#[tokio::test]
async fn they_are_what_the_column_is() {
    let world = world().await;
    let mut raw = filled(&world).await;
    let insert = "insert into t (done, b) values ($1, $2)";
    let said = ask(&mut raw, insert, &["false", "\\xff00"]).await;
    assert_eq!(said, "1 2 n C:INSERT 0 1 Z:I");
    let read = "select typeof(done), typeof(b), done, b from t where id = 3";
    assert_eq!(
        raw.query(read).await,
        "T:typeof(done)=25|typeof(b)=25|done=16|b=17 D:integer|blob|f|\\xff00 C:SELECT 1 Z:I"
    );
    let insert = "insert into t values ($1, $2, $3, $4)";
    let refused = ask(&mut raw, insert, &["9", "x", "2", "t"]).await;
    assert!(refused.contains("E:"), "{refused}");
    raw.query("create table w (a boolean, n integer)").await;
    let said = ask(&mut raw, "insert into w values ($1, $2)", &["true", "7"]).await;
    assert_eq!(said, "1 2 n C:INSERT 0 1 Z:I");
    assert_eq!(
        raw.query("select * from w").await,
        "T:a=16|n=20 D:t|7 C:SELECT 1 Z:I"
    );
    let said = ask(&mut raw, "select n from w where a = $1", &["on"]).await;
    assert!(said.contains("D:7"), "{said}");
    let update = [
        parse("", "update t set b = $1 where id = 1"),
        bytes(b"\x01text"),
        execute("", 0),
        sync(),
    ];
    assert_eq!(raw.ask(&update.concat()).await, "1 2 C:UPDATE 1 Z:I");
    let said = raw.query("select typeof(b) from t where id = 1").await;
    assert!(said.contains("D:blob"), "{said}");
    let alone = [
        parse("", "select typeof($1)"),
        bytes(b"text"),
        execute("", 0),
        sync(),
    ];
    assert_eq!(raw.ask(&alone.concat()).await, "1 2 D:blob C:SELECT 1 Z:I");
}

#[tokio::test]
async fn a_transaction_that_writes_first_still_waits_for_others() {
    let world = world().await;
    let mut one = filled(&world).await;
    let mut two = world.raw().await;
    two.query("begin").await;
    two.send(
        &[
            parse("i", "insert into t (done) values ($1)"),
            bind("", "i", &["t"]),
            message(b'H', &[]),
        ]
        .concat(),
    )
    .await;
    assert_eq!(two.next().await.unwrap().0, b'1');
    assert_eq!(two.next().await.unwrap().0, b'2');
    one.query("insert into t (v) values (8)").await;
    let said = two.ask(&[execute("", 0), sync()].concat()).await;
    assert_eq!(said, "C:INSERT 0 1 Z:T");
    let made = "create table later (a boolean)";
    assert_eq!(two.query(made).await, "C:CREATE TABLE Z:T");
    ask(&mut two, "insert into later values ($1)", &["f"]).await;
    let said = two.query("select typeof(a) from later; commit").await;
    assert!(said.contains("D:integer"), "{said}");
}

#[tokio::test]
async fn numbers_are_compared_as_numbers() {
    let world = world().await;
    let mut raw = filled(&world).await;
    for (text, values) in [
        (
            "select name from t group by name having count(*) > $1",
            &["0"][..],
        ),
        ("select name from t where v + 1 > $1 and v < 3", &["1"]),
        (
            "select name from t where length(name) > $1 and v < 3",
            &["2.5"],
        ),
        ("select name from t where abs(v) = $1", &["1"]),
        (
            "select name from t where coalesce(v, 0) >= $1 and v < 3",
            &["1"],
        ),
        (
            "select name from t group by name having sum(v) < $1",
            &["2"],
        ),
        (
            "select name from t where v % $1 = $2 and v < 3",
            &["2", "1"],
        ),
        (
            "select name from t where case when $1 = 1 then v = 1 end",
            &["1"],
        ),
        (
            "select name from (select name, count(*) as n from t where v = 1) where n = $1",
            &["1"],
        ),
    ] {
        let said = ask(&mut raw, text, values).await;
        assert!(said.contains("D:one"), "{text}: {said}");
    }
}

#[tokio::test]
async fn what_is_temporary_stays_with_its_session() {
    let world = world().await;
    let mut raw = world.raw().await;
    raw.query("create table \"temp\".mine (a)").await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(
        raw.ask(&query("insert into mine values (1) returning a"))
            .await,
        "T:a=20 D:1 C:INSERT 0 1 Z:I"
    );
}

#[tokio::test]
async fn a_time_that_was_read_is_found_again() {
    let world = world().await;
    let mut raw = filled(&world).await;
    raw.query("update t set at = now() where id = 1").await;
    let said = raw.query("select at from t where id = 1").await;
    let (_, at) = said.split_once("D:").unwrap();
    let at = at.split_once(" C:").unwrap().0;
    assert!(at.ends_with("+00"), "{said}");
    let same = "select name from t where at = $1";
    let said = ask(&mut raw, same, &[at]).await;
    assert!(said.contains("D:one"), "{said}");
    let said = ask(&mut raw, same, &[&at.replace(' ', "T").replace("+00", "Z")]).await;
    assert!(said.contains("D:one"), "{said}");
    let said = raw
        .query(&format!(
            "select name from t where at = '{at}'::timestamptz"
        ))
        .await;
    assert!(said.contains("D:one"), "{said}");
}
