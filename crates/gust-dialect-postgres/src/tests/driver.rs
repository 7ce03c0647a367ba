//! What a driver makes of it, with everything in binary.

use futures::{StreamExt as _, TryStreamExt as _, pin_mut};
use tokio_postgres::{
    SimpleQueryMessage,
    error::SqlState,
    types::{ToSql, Type},
};

use super::world;

#[tokio::test]
async fn values_of_all_types_come_back() {
    let world = world().await;
    let client = world.driver("ONE").await;
    let table = "create table t (id serial primary key, n bigint, x double precision, s varchar(20), b bytea, ok boolean)";
    client.batch_execute(table).await.unwrap();
    let insert = "insert into t (n, x, s, b, ok) values ($1, $2, $3, $4, $5) returning id, ok";
    let values: [&(dyn ToSql + Sync); 5] =
        [&i64::MIN, &0.1f64, &"中文 'x'", &&b"\0\xff"[..], &true];
    let row = client.query_one(insert, &values).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (1, true));
    let row = client
        .query_one(
            "select * from t where s = $1 and ok = $2",
            &[&"中文 'x'", &true],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>("n"), i64::MIN);
    assert_eq!(row.get::<_, f64>("x"), 0.1);
    assert_eq!(row.get::<_, &str>("s"), "中文 'x'");
    assert_eq!(row.get::<_, &[u8]>("b"), b"\0\xff");
    let row = client
        .query_one(
            "select $1::int8 + 1 as a, count(*) as n, null as z from t",
            &[&41i64],
        )
        .await
        .unwrap();
    assert_eq!(
        (row.get::<_, i64>("n"), row.get::<_, Option<&str>>("z")),
        (1, None)
    );
    let none: [&(dyn ToSql + Sync); 1] = [&None::<i64>];
    assert_eq!(
        client.execute("update t set n = $1", &none).await.unwrap(),
        1
    );
    let typed = client
        .prepare_typed("select * from t where id = $1", &[Type::INT4])
        .await
        .unwrap();
    assert_eq!(typed.columns()[0].type_(), &Type::INT8);
    assert_eq!(client.query(&typed, &[&1i32]).await.unwrap().len(), 1);
    let counted = world.counted("default");
    assert_eq!(counted.rows, 4, "{counted:?}");
    assert!(
        counted.statements >= 6 && counted.bytes_in > 500 && counted.bytes_out > 500,
        "{counted:?}"
    );
}

#[tokio::test]
async fn transactions_nest_and_fail_as_they_do_there() {
    let world = world().await;
    let mut client = world.driver("ONE").await;
    client
        .batch_execute("create table t (a integer primary key)")
        .await
        .unwrap();
    let mut outer = client.transaction().await.unwrap();
    outer
        .execute("insert into t values ($1)", &[&1i64])
        .await
        .unwrap();
    let inner = outer.transaction().await.unwrap();
    let again = inner
        .execute("insert into t values ($1)", &[&1i64])
        .await
        .unwrap_err();
    assert_eq!(again.code(), Some(&SqlState::UNIQUE_VIOLATION));
    let refused = inner.query("select 1", &[]).await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    inner.rollback().await.unwrap();
    outer
        .execute("insert into t values (2)", &[])
        .await
        .unwrap();
    outer.commit().await.unwrap();
    let gone = client.transaction().await.unwrap();
    gone.execute("delete from t", &[]).await.unwrap();
    drop(gone);
    let rows = client
        .query("select a from t order by a", &[])
        .await
        .unwrap();
    assert_eq!(
        rows.iter()
            .map(|row| row.get::<_, i64>(0))
            .collect::<Vec<_>>(),
        [1, 2]
    );
}

#[tokio::test]
async fn two_who_write_what_both_have_read_are_told_apart() {
    let world = world().await;
    let (one, two) = (world.driver("ONE").await, world.driver("ONE").await);
    one.batch_execute("create table t (a); insert into t values (1)")
        .await
        .unwrap();
    for client in [&one, &two] {
        client.batch_execute("begin").await.unwrap();
        client.query("select a from t", &[]).await.unwrap();
    }
    one.batch_execute("update t set a = 2; commit")
        .await
        .unwrap();
    let late = two.batch_execute("update t set a = 3").await.unwrap_err();
    assert_eq!(late.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE));
    two.batch_execute("rollback").await.unwrap();
    one.batch_execute("begin immediate").await.unwrap();
    let waiting = two.batch_execute("update t set a = 4").await.unwrap_err();
    let code = waiting.code().unwrap().code().to_owned();
    assert!(["55P03", "57014"].contains(&&*code), "{code}");
}

#[tokio::test]
async fn many_rows_are_streamed() {
    let world = world().await;
    let mut client = world.driver("ONE").await;
    let numbers = "with recursive n (x) as (select 1 union all select x + 1 from n where x < 20000) select x from n";
    let none: [i64; 0] = [];
    let rows = client.query_raw(numbers, none).await.unwrap();
    pin_mut!(rows);
    let mut sum = 0;
    while let Some(row) = rows.next().await {
        sum += row.unwrap().get::<_, i64>(0);
    }
    assert_eq!(sum, 20_000 * 20_001 / 2);
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind(numbers, &[]).await.unwrap();
    let mut seen = 0;
    loop {
        let rows = transaction.query_portal(&portal, 3000).await.unwrap();
        if rows.is_empty() {
            break;
        }
        seen += rows.len();
    }
    assert_eq!(seen, 20_000);
}

#[tokio::test]
async fn projects_do_not_see_each_other() {
    let world = world().await;
    let (one, two) = (world.driver("ONE").await, world.driver("TWO").await);
    one.batch_execute("create table mine (a); insert into mine values (1)")
        .await
        .unwrap();
    let there = two.query("select * from mine", &[]).await.unwrap_err();
    assert_eq!(there.code(), Some(&SqlState::UNDEFINED_TABLE));
    assert_eq!(world.counted("two").rows, 0);
}

#[tokio::test]
async fn what_clients_ask_by_habit_is_answered() {
    let world = world().await;
    let client = world.driver("ONE").await;
    let said = async |text: &str| {
        let all = client.simple_query(text).await.unwrap();
        let rows = all.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
            _ => None,
        });
        rows.collect::<Vec<_>>().join(" ")
    };
    for (text, wanted) in [
        ("select current_schema()", "public"),
        ("select current_user", "ONE"),
        ("select current_database(), 1", "default"),
        ("show server_version", "15.0"),
        ("show standard_conforming_strings", "on"),
        ("show transaction isolation level", "serializable"),
        (
            "select pg_advisory_unlock_all(); close all; unlisten *; reset all",
            "NULL",
        ),
    ] {
        assert_eq!(said(text).await, wanted, "{text}");
    }
    assert!(
        said("select pg_catalog.version()")
            .await
            .starts_with("PostgreSQL 15")
    );
    let rows: Vec<_> = client
        .query_raw("select 1 where false", [0i64; 0])
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn a_node_that_stops_says_so() {
    let world = world().await;
    let mut idle = world.raw().await;
    world.stop.stop();
    assert_eq!(idle.until_ready().await, "E:57P01 end");
}
