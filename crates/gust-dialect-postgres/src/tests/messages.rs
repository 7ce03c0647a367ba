//! The order of messages, and what is told of the transaction.

use super::{
    client::{Raw, bind, close, describe, execute, message, parse, query, sync, z},
    world,
};

#[tokio::test]
async fn several_statements_are_one_transaction() {
    let world = world().await;
    let mut raw = world.raw().await;
    assert_eq!(raw.query("").await, "I Z:I");
    assert_eq!(raw.query(" ; -- nothing\n;").await, "I Z:I");
    assert_eq!(
        raw.query("create table t (a integer unique); insert into t values (1)")
            .await,
        "C:CREATE TABLE C:INSERT 0 1 Z:I"
    );
    let said = raw
        .query("insert into t values (2); insert into t values (1); insert into t values (3)")
        .await;
    assert_eq!(said, "C:INSERT 0 1 E:23505 Z:I");
    assert_eq!(
        raw.query("select a from t").await,
        "T:a=20 D:1 C:SELECT 1 Z:I"
    );
    let said = raw
        .query("insert into t values (4); commit; insert into t values (5); select nope")
        .await;
    assert_eq!(
        said,
        "C:INSERT 0 1 N:25P01 C:COMMIT C:INSERT 0 1 E:42703 Z:I"
    );
    assert_eq!(
        raw.query("select count(*) from t").await,
        "T:count(*)=20 D:2 C:SELECT 1 Z:I"
    );
    let said = raw
        .query("insert into t values (6); begin; insert into t values (7)")
        .await;
    assert_eq!(said, "C:INSERT 0 1 C:BEGIN C:INSERT 0 1 Z:T");
    assert_eq!(raw.query("rollback").await, "C:ROLLBACK Z:I");
    assert_eq!(
        raw.query("select count(*) from t").await,
        "T:count(*)=20 D:2 C:SELECT 1 Z:I"
    );
}

#[tokio::test]
async fn a_failed_transaction_stays_so_until_its_end() {
    let world = world().await;
    let mut raw = world.raw().await;
    raw.query("create table t (a integer primary key)").await;
    assert_eq!(raw.query("begin").await, "C:BEGIN Z:T");
    assert_eq!(raw.query("begin").await, "N:25001 C:BEGIN Z:T");
    assert_eq!(
        raw.query("insert into t values (1)").await,
        "C:INSERT 0 1 Z:T"
    );
    assert_eq!(raw.query("savepoint s").await, "C:SAVEPOINT Z:T");
    assert_eq!(raw.query("insert into t values (1)").await, "E:23505 Z:E");
    assert_eq!(raw.query("select 1").await, "E:25P02 Z:E");
    assert_eq!(raw.query("set application_name = 'x'").await, "E:25P02 Z:E");
    let said = raw.ask(&[parse("", "select 1"), sync()].concat()).await;
    assert_eq!(said, "E:25P02 Z:E");
    assert_eq!(raw.query("rollback to s").await, "C:ROLLBACK Z:T");
    assert_eq!(
        raw.query("insert into t values (2)").await,
        "C:INSERT 0 1 Z:T"
    );
    assert_eq!(raw.query("rollback to nope").await, "E:3B001 Z:E");
    assert_eq!(raw.query("commit").await, "C:ROLLBACK Z:I");
    assert_eq!(
        raw.query("select count(*) from t").await,
        "T:count(*)=20 D:0 C:SELECT 1 Z:I"
    );
    assert_eq!(raw.query("commit").await, "N:25P01 C:COMMIT Z:I");
    assert_eq!(raw.query("rollback").await, "N:25P01 C:ROLLBACK Z:I");
    assert_eq!(raw.query("savepoint s").await, "E:25P01 Z:I");
    // A statement that ends SQLite's transaction by itself.
    assert_eq!(
        raw.query("begin; insert into t values (3)").await,
        "C:BEGIN C:INSERT 0 1 Z:T"
    );
    assert_eq!(
        raw.query("insert or rollback into t values (3)").await,
        "E:23505 Z:E"
    );
    assert_eq!(raw.query("insert into t values (4)").await, "E:25P02 Z:E");
    assert_eq!(raw.query("rollback").await, "C:ROLLBACK Z:I");
    assert_eq!(
        raw.query("select count(*) from t").await,
        "T:count(*)=20 D:0 C:SELECT 1 Z:I"
    );
    assert_eq!(raw.query("begin read only").await, "C:BEGIN Z:T");
    assert_eq!(raw.query("insert into t values (4)").await, "E:25006 Z:E");
    assert_eq!(raw.query("end").await, "C:ROLLBACK Z:I");
}

#[tokio::test]
async fn after_a_failure_everything_up_to_sync_is_left_out() {
    let world = world().await;
    let mut raw = world.raw().await;
    raw.query("create table t (a integer primary key)").await;
    let one = |value: &str| [bind("", "i", &[value]), execute("", 0)].concat();
    let all = [
        parse("i", "insert into t values ($1)"),
        one("1"),
        one("1"),
        one("2"),
        describe(b'S', "i"),
        sync(),
        query("select a from t"),
    ];
    raw.send(&all.concat()).await;
    // What was done before the failure is undone with it: up to a Sync it is one transaction.
    assert_eq!(raw.until_ready().await, "1 2 C:INSERT 0 1 2 E:23505 Z:I");
    assert_eq!(raw.until_ready().await, "T:a=20 C:SELECT 0 Z:I");
    let said = raw.ask(&[one("5"), one("6"), sync()].concat()).await;
    assert_eq!(said, "2 C:INSERT 0 1 2 C:INSERT 0 1 Z:I");
    assert_eq!(
        raw.query("select count(*) from t").await,
        "T:count(*)=20 D:2 C:SELECT 1 Z:I"
    );
    let said = raw
        .ask(&[parse("", "nonsense"), bind("", "", &[]), sync()].concat())
        .await;
    assert_eq!(said, "1 2 Z:I", "a statement is compiled when it runs");
    for (messages, wanted) in [
        (vec![bind("", "nope", &[])], "E:26000 Z:I"),
        (vec![execute("nope", 0)], "E:34000 Z:I"),
        (vec![parse("i", "select 1")], "E:42P05 Z:I"),
        (vec![bind("", "i", &[])], "E:08P01 Z:I"),
        (vec![parse("", "select 1; select 2")], "E:42601 Z:I"),
        (
            vec![close(b'S', "i"), bind("", "i", &["1"])],
            "3 E:26000 Z:I",
        ),
        (
            vec![
                parse("", ""),
                bind("", "", &[]),
                describe(b'P', ""),
                execute("", 0),
            ],
            "1 2 n I Z:I",
        ),
        (vec![parse("", "copy t from stdin")], "E:0A000 Z:I"),
    ] {
        let said = raw.ask(&[messages.concat(), sync()].concat()).await;
        assert_eq!(said, wanted);
    }
}

#[tokio::test]
async fn rows_come_in_portions() {
    let world = world().await;
    let mut raw = world.raw().await;
    assert_eq!(raw.query("begin").await, "C:BEGIN Z:T");
    let numbers = "with recursive n (x) as (select 1 union all select x + 1 from n where x < 5) select x from n";
    let first = [
        parse("", numbers),
        bind("p", "", &[]),
        describe(b'P', "p"),
        execute("p", 2),
        sync(),
    ];
    assert_eq!(raw.ask(&first.concat()).await, "1 2 T:x=20 D:1 D:2 s Z:T");
    assert_eq!(
        raw.query("select 'between' as b").await,
        "T:b=25 D:between C:SELECT 1 Z:T"
    );
    assert_eq!(
        raw.ask(&[execute("p", 2), sync()].concat()).await,
        "D:3 D:4 s Z:T"
    );
    assert_eq!(
        raw.ask(&[execute("p", 0), sync()].concat()).await,
        "D:5 C:SELECT 5 Z:T"
    );
    assert_eq!(raw.query("commit").await, "C:COMMIT Z:I");
    assert_eq!(
        raw.ask(&[execute("p", 0), sync()].concat()).await,
        "E:34000 Z:I",
        "it ends with its transaction"
    );
}

#[tokio::test]
async fn describing_runs_no_write() {
    let world = world().await;
    let mut raw = world.raw().await;
    raw.query("create table t (id serial primary key, a text, ok boolean)")
        .await;
    let insert = "insert into t (a, ok) values ($1, $2) returning id, ok, a || '!' as b";
    let said = raw
        .ask(&[parse("i", insert), describe(b'S', "i"), sync()].concat())
        .await;
    assert_eq!(said, "1 t:25|16 T:id=20|ok=16|b=25 Z:I");
    let said = raw
        .ask(&[bind("", "i", &["中", "true"]), describe(b'P', ""), sync()].concat())
        .await;
    assert_eq!(said, "2 T:id=20|ok=16|b=25 Z:I");
    assert_eq!(
        raw.query("select count(*) from t").await,
        "T:count(*)=20 D:0 C:SELECT 1 Z:I"
    );
    let said = raw
        .ask(
            &[
                parse("", insert),
                bind("", "", &["文", "f"]),
                describe(b'P', ""),
                execute("", 0),
                sync(),
            ]
            .concat(),
        )
        .await;
    assert_eq!(said, "1 2 T:id=20|ok=16|b=25 D:1|f|文! C:INSERT 0 1 Z:I");
    // What was told of a statement counts until it is prepared again.
    let said = raw
        .ask(&[parse("s", "select * from t"), describe(b'S', "s"), sync()].concat())
        .await;
    assert_eq!(said, "1 t: T:id=20|a=25|ok=16 Z:I");
    raw.query("alter table t add column more real").await;
    assert_eq!(
        raw.ask(&[bind("", "s", &[]), execute("", 0), sync()].concat())
            .await,
        "2 E:0A000 Z:I"
    );
    let said = raw
        .ask(
            &[
                parse("", "delete from t where id = $1"),
                describe(b'S', ""),
                bind("", "", &["1"]),
                execute("", 0),
                sync(),
            ]
            .concat(),
        )
        .await;
    assert_eq!(said, "1 t:20 n 2 C:DELETE 1 Z:I");
}

#[tokio::test]
async fn numbers_of_rows_are_those_of_the_statement() {
    let world = world().await;
    let mut raw = world.raw().await;
    raw.query("create table t (a); insert into t values (1), (2), (3)")
        .await;
    assert_eq!(raw.query("update t set a = a + 1").await, "C:UPDATE 3 Z:I");
    assert_eq!(
        raw.query("update t set a = 0 where a > 100").await,
        "C:UPDATE 0 Z:I"
    );
    assert_eq!(
        raw.query("delete from t where a > 100").await,
        "C:DELETE 0 Z:I"
    );
    assert_eq!(
        raw.query("insert into t select a from t where a > 2").await,
        "C:INSERT 0 2 Z:I"
    );
    assert_eq!(
        raw.query("delete from t returning 1")
            .await
            .matches("D:1")
            .count(),
        5
    );
}

#[tokio::test]
async fn values_that_do_not_fit_are_sent_as_text() {
    let world = world().await;
    let mut raw = world.raw().await;
    raw.query("create table t (a integer, b)").await;
    raw.query("insert into t values (1, 1), ('x', 2.5), (null, x'00ff')")
        .await;
    assert_eq!(
        raw.query("select * from t").await,
        "T:a=25|b=25 D:1|1 D:x|2.5 D:NULL|\\x00ff C:SELECT 3 Z:I"
    );
    let ask = |format: u8| {
        let mut bound = [z(""), z("s")].concat();
        bound.extend([0, 0, 0, 0, 0, 1, 0, format]);
        [message(b'B', &bound), execute("", 0), sync()].concat()
    };
    let said = raw
        .ask(
            &[
                parse("s", "select a from t where a = 'x'"),
                describe(b'S', "s"),
                ask(0),
            ]
            .concat(),
        )
        .await;
    assert_eq!(said, "1 t: T:a=20 2 D:x C:SELECT 1 Z:I");
    assert_eq!(raw.ask(&ask(1)).await, "2 E:22000 Z:I");
}

#[tokio::test]
async fn settings_are_kept_and_told() {
    let world = world().await;
    let mut raw = world.raw().await;
    assert_eq!(
        raw.query("set datestyle to 'ISO'; set extra_float_digits = 3")
            .await,
        "C:SET C:SET Z:I"
    );
    assert_eq!(
        raw.query("begin; set local timezone = 'Asia/Shanghai'; show timezone")
            .await,
        "C:BEGIN C:SET T:timezone=25 D:Asia/Shanghai C:SHOW Z:T"
    );
    assert_eq!(
        raw.query("rollback; show timezone").await,
        "C:ROLLBACK T:timezone=25 D:UTC C:SHOW Z:I"
    );
    assert_eq!(
        raw.query("set client_encoding = 'latin1'").await,
        "E:22023 Z:I"
    );
    assert_eq!(raw.query("set server_version = '1'").await, "E:55P02 Z:I");
    assert_eq!(raw.query("set nonsense = '1'").await, "E:42704 Z:I");
    assert_eq!(
        raw.query("create temp table k (a); insert into k values (1)")
            .await,
        "C:CREATE TABLE C:INSERT 0 1 Z:I"
    );
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(
        raw.query("select a from k").await,
        "T:a=20 D:1 C:SELECT 1 Z:I",
        "a connection with more than others is kept"
    );
    assert_eq!(
        raw.query("discard all; select a from k").await,
        "C:DISCARD ALL E:42P01 Z:I"
    );
}

#[tokio::test]
async fn a_statement_is_stopped_by_who_knows_the_secret() {
    let world = world().await;
    let mut raw = world.raw().await;
    let endless =
        "with recursive n (x) as (select 1 union all select x + 1 from n) select count(*) from n";
    let cancel = |session: u32, secret: u32| {
        let words = [16, 80_877_102, session, secret];
        words
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .collect::<Vec<_>>()
    };
    let (session, secret) = raw.ticket;
    raw.query("begin").await;
    raw.send(&query(endless)).await;
    let mut wrong = Raw::connect(world.address).await;
    wrong.send(&cancel(session, secret ^ 1)).await;
    assert!(wrong.next().await.is_none());
    let mut other = Raw::connect(world.address).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let before = gust_task::clock::now();
    other.send(&cancel(session, secret)).await;
    assert!(other.next().await.is_none());
    assert_eq!(raw.until_ready().await, "E:57014 Z:E");
    assert!(
        before.elapsed().as_secs() < 2,
        "before its own time is over"
    );
    assert_eq!(raw.query("rollback").await, "C:ROLLBACK Z:I");
    let mut late = Raw::connect(world.address).await;
    late.send(&cancel(session, secret)).await;
    assert!(late.next().await.is_none());
    assert_eq!(
        raw.query("select 1").await,
        "T:1=20 D:1 C:SELECT 1 Z:I",
        "an idle session hears nothing"
    );
    assert_eq!(
        raw.query("set statement_timeout = '100ms'").await,
        "C:SET Z:I"
    );
    let before = gust_task::clock::now();
    assert_eq!(raw.query(endless).await, "E:57014 Z:I");
    assert!(before.elapsed().as_millis() < 2500);
    raw.query("reset statement_timeout").await;
    assert_eq!(
        raw.query(endless).await,
        "E:57014 Z:I",
        "the database's own limit"
    );
}

#[tokio::test]
async fn a_write_that_cannot_be_told_did_not_happen() {
    let world = world().await;
    let mut raw = world.raw().await;
    raw.query("create table t (a integer, b text)").await;
    let insert = parse("i", "insert into t (a, b) values (1, 'x') returning *");
    let said = raw
        .ask(&[insert, describe(b'S', "i"), sync()].concat())
        .await;
    assert_eq!(said, "1 t: T:a=20|b=25 Z:I");
    raw.query("alter table t add column c").await;
    let again = [bind("", "i", &[]), execute("", 0), sync()].concat();
    assert_eq!(raw.ask(&again).await, "2 E:0A000 Z:I");
    raw.query("alter table t drop column c; create trigger r after insert on t begin update t set a = 'no number'; end").await;
    let mut binary = [z(""), z("r")].concat();
    binary.extend([0, 0, 0, 0, 0, 1, 0, 1]);
    let odd = parse(
        "r",
        "insert into t (a, b) values ('no number', 'x') returning a",
    );
    let all = [
        odd,
        describe(b'S', "r"),
        message(b'B', &binary),
        execute("", 0),
        sync(),
    ];
    assert_eq!(raw.ask(&all.concat()).await, "1 t: T:a=20 2 E:22000 Z:I");
    assert_eq!(
        raw.query("select count(*) from t").await,
        "T:count(*)=20 D:0 C:SELECT 1 Z:I"
    );
}

#[tokio::test]
async fn a_connection_that_was_given_back_is_taken_again() {
    let world = world().await;
    let mut raw = world.raw().await;
    raw.query("create table t (a); insert into t values (1)")
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(1300)).await;
    assert_eq!(
        raw.query("select a from t").await,
        "T:a=20 D:1 C:SELECT 1 Z:I"
    );
    assert_eq!(raw.query("begin").await, "C:BEGIN Z:T");
    raw.query("insert into t values (2)").await;
    tokio::time::sleep(std::time::Duration::from_millis(1300)).await;
    assert_eq!(
        raw.query("commit").await,
        "C:COMMIT Z:I",
        "a transaction is kept"
    );
    assert_eq!(
        raw.query("select count(*) from t").await,
        "T:count(*)=20 D:2 C:SELECT 1 Z:I"
    );
}
