//! Values as functions and Redis clients see each other's, and their limits.

use std::time::Duration;

use bytes::Bytes;
use gust_backend::kv::{KvExt as _, PutOptions};
use gust_task::clock;

use super::{
    client::{Answer, bulk, bulks},
    world,
};
use crate::value::MAGIC;

#[tokio::test]
async fn strings_are_what_functions_see() {
    let world = world().await;
    let (mut client, store) = (world.one().await, world.store("default"));
    client.ok(&["SET", "键", "值"]).await;
    let seen = store.get("键").await.unwrap().unwrap();
    assert_eq!(&seen.value[..], "值".as_bytes());
    store.put("from/function", Bytes::from("它")).await.unwrap();
    client.is(&["GET", "from/function"], bulk("它")).await;
    client.is(&["INCR", "n"], Answer::Int(1)).await;
    assert_eq!(store.increment("n", 5).await.unwrap(), 6);
    client.is(&["INCRBY", "n", "4"], Answer::Int(10)).await;
    // What functions count and Redis would not is refused, not changed.
    store.put("n", Bytes::from("+5")).await.unwrap();
    client
        .fails(&["INCR", "n"], "ERR value is not an integer")
        .await;
    store
        .put("n", Bytes::from(i64::MAX.to_string()))
        .await
        .unwrap();
    client
        .fails(&["INCR", "n"], "ERR increment or decrement would overflow")
        .await;
    client.ok(&["SET", "e", "x", "PX", "100000"]).await;
    let expires = store.get("e").await.unwrap().unwrap().expires_us.unwrap();
    assert!(expires.abs_diff(clock::unix_micros() + 100_000_000) < 10_000_000);
    let options = PutOptions {
        expires_us: Some(clock::unix_micros() + 50_000_000),
        ..PutOptions::default()
    };
    store
        .put_with("e", Bytes::from("y"), options)
        .await
        .unwrap();
    client.is(&["TTL", "e"], Answer::Int(50)).await;
    client.is(&["APPEND", "e", "z"], Answer::Int(2)).await;
    client.is(&["TTL", "e"], Answer::Int(50)).await;
    client.is(&["PERSIST", "e"], Answer::Int(1)).await;
    assert_eq!(store.get("e").await.unwrap().unwrap().expires_us, None);
}

#[tokio::test]
async fn values_end_in_time() {
    let world = world().await;
    let mut client = world.one().await;
    client.ok(&["SET", "k", "v", "PX", "150"]).await;
    client.run(&["SADD", "s", "m"]).await;
    client.is(&["PEXPIRE", "s", "150"], Answer::Int(1)).await;
    client.is(&["EXISTS", "k", "s"], Answer::Int(2)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.is(&["EXISTS", "k", "s"], Answer::Int(0)).await;
    client.is(&["TTL", "k"], Answer::Int(-2)).await;
    client.is(&["SADD", "s", "n"], Answer::Int(1)).await;
    client.is(&["TTL", "s"], Answer::Int(-1)).await;
}

#[tokio::test]
async fn bytes_that_look_like_a_structure_round_trip() {
    let world = world().await;
    let (mut client, store) = (world.one().await, world.store("default"));
    client.run(&["SADD", "s", "m"]).await;
    let written = store.get("s").await.unwrap().unwrap().value;
    assert!(written.starts_with(&MAGIC));
    // The same bytes as a string are a string.
    let set = [&b"SET"[..], b"copy", &written];
    assert_eq!(client.run_bytes(&set).await, Answer::Status("OK".into()));
    client
        .is(&["TYPE", "copy"], Answer::Status("string".into()))
        .await;
    client
        .is(&["GET", "copy"], Answer::Bulk(written.to_vec()))
        .await;
    client.fails(&["SMEMBERS", "copy"], "WRONGTYPE").await;
    // What somebody wrote who does not know how is a string too, and never more than its bytes.
    for rest in [
        &b"l\xff\xff\xff\xff\x0f"[..],
        b"h",
        b"z\x01mxxxxxxx",
        b"e\x02a",
    ] {
        let hostile = [&MAGIC, rest].concat();
        store
            .put("hostile", Bytes::from(hostile.clone()))
            .await
            .unwrap();
        client.is(&["GET", "hostile"], Answer::Bulk(hostile)).await;
        client.fails(&["LPUSH", "hostile", "x"], "WRONGTYPE").await;
    }
    store.put("s2", written).await.unwrap();
    client.is(&["SMEMBERS", "s2"], bulks(&["m"])).await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_nothing_changes() {
    let world = world().await;
    let mut client = world.one().await;
    let big = "x".repeat(1 << 20);
    client.ok(&["SET", "k", &big]).await;
    let over = format!("{big}y");
    client
        .fails(
            &["SET", "k", &over],
            "ERR value has more bytes than 1048576",
        )
        .await;
    client
        .fails(&["APPEND", "k", "y"], "ERR string exceeds maximum")
        .await;
    client
        .fails(
            &["SETRANGE", "r", "9000000000", "y"],
            "ERR string exceeds maximum",
        )
        .await;
    client.is(&["STRLEN", "k"], Answer::Int(1 << 20)).await;
    client.run(&["RPUSH", "l", &"x".repeat(900_000)]).await;
    client
        .fails(
            &["RPUSH", "l", &"x".repeat(900_000)],
            "ERR value has more bytes",
        )
        .await;
    client.is(&["LLEN", "l"], Answer::Int(1)).await;
    let long = "键".repeat(400);
    client
        .fails(&["SET", &long, "v"], "ERR key is longer than 1024 bytes")
        .await;
    client
        .fails(&["GET", &long], "ERR key is longer than 1024 bytes")
        .await;
    let binary: [&[u8]; 3] = [b"SET", b"\xff\xfe", b"v"];
    let Answer::Error(text) = client.run_bytes(&binary).await else {
        panic!("it is refused");
    };
    assert!(text.starts_with("ERR keys must be UTF-8"), "{text}");
    // The same large value again and again would be an answer without end.
    let words: Vec<&str> = std::iter::once("MGET")
        .chain(std::iter::repeat_n("k", 100))
        .collect();
    client
        .fails(&words, "ERR the answer would have more than")
        .await;
    client.fails(&["SRANDMEMBER", "l", "1"], "WRONGTYPE").await;
    client.run(&["SADD", "s", "m"]).await;
    client
        .fails(
            &["SRANDMEMBER", "s", "-9000000000"],
            "ERR value is out of range",
        )
        .await;
    client.is(&["PING"], Answer::Status("PONG".into())).await;
}

#[tokio::test]
async fn a_pipeline_with_a_bad_set_fails_for_that_one_alone() {
    let world = world().await;
    let mut client = world.one().await;
    let over = "x".repeat((1 << 20) + 1);
    let mut bytes = Vec::new();
    for words in [["SET", "a", "1"], ["SET", "b", &over], ["SET", "c", "3"]] {
        bytes.extend(super::client::request(&words));
    }
    client.send(&bytes).await;
    assert_eq!(client.read().await, Some(Answer::Status("OK".into())));
    assert!(matches!(client.read().await, Some(Answer::Error(_))));
    assert_eq!(client.read().await, Some(Answer::Status("OK".into())));
    client
        .is(
            &["MGET", "a", "b", "c"],
            Answer::Array(vec![bulk("1"), Answer::Null, bulk("3")]),
        )
        .await;
}
