//! Bytes that are no requests, and clients that mean harm.

use std::time::Duration;

use gust_task::clock;
use tokio::time::timeout;

use super::{
    client::{Answer, bulk},
    world,
};
use crate::budget::STRANGERS;

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(2), what)
        .await
        .expect("in time")
}

/// What is said to bytes, before the connection is closed.
async fn said(login: bool, bytes: &[u8]) -> Option<String> {
    let world = world().await;
    let mut client = if login {
        world.one().await
    } else {
        world.stranger().await
    };
    client.send(bytes).await;
    client.shut().await;
    let mut last = None;
    while let Some(answer) = timeout(Duration::from_secs(5), client.read())
        .await
        .unwrap()
    {
        last = Some(answer);
    }
    last.map(|answer| match answer {
        Answer::Error(text) => text,
        other => format!("{other:?}"),
    })
}

#[tokio::test]
async fn bytes_that_are_no_requests_end_the_connection() {
    for (bytes, expected) in [
        (
            &b"*x\r\n"[..],
            "ERR Protocol error: invalid multibulk length",
        ),
        (b"*1\r\n$x\r\n", "ERR Protocol error: invalid bulk length"),
        (b"*1\r\n$-5\r\n", "ERR Protocol error: invalid bulk length"),
        (
            b"*2\r\n$4\r\nPING\r\n+x\r\n",
            "ERR Protocol error: expected '$', got '+'",
        ),
        (
            b"*1\r\n$99999999999\r\n",
            "ERR Protocol error: invalid bulk length",
        ),
        (
            b"*1000000000\r\n",
            "ERR Protocol error: invalid multibulk length",
        ),
        (
            b"GET \"a\r\n",
            "ERR Protocol error: unbalanced quotes in request",
        ),
    ] {
        assert_eq!(
            said(true, bytes).await.as_deref(),
            Some(expected),
            "{bytes:?}"
        );
    }
    let line = vec![b'x'; 100_000];
    let text = said(true, &line).await;
    assert_eq!(
        text.as_deref(),
        Some("ERR Protocol error: too big inline request")
    );
}

#[tokio::test]
async fn strangers_may_say_little() {
    let text = said(false, b"*11\r\n").await;
    assert_eq!(
        text.as_deref(),
        Some("ERR Protocol error: invalid multibulk length")
    );
    let text = said(false, b"*1\r\n$20000\r\n").await;
    assert_eq!(
        text.as_deref(),
        Some("ERR Protocol error: invalid bulk length")
    );
    let text = said(true, b"*1\r\n$20000\r\n").await;
    assert_eq!(text, None, "nothing is said to half a request");
}

#[tokio::test]
async fn odd_requests_are_answered() {
    for (bytes, expected) in [
        (&b"\r\n\r\nPING\r\n"[..], "Status(\"PONG\")"),
        (b"ping\n", "Status(\"PONG\")"),
        (
            b"*1\r\n$0\r\n\r\n",
            "ERR unknown command '', with args beginning with: ",
        ),
        (b"SET k \"a\\x00b\"\r\nSTRLEN k\r\n", "Int(3)"),
        (b"QUIT\r\nPING\r\n", "Status(\"OK\")"),
        (b"*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\n", "Bulk([13, 10])"),
        (
            b"GET / HTTP/1.1\r\n",
            "ERR wrong number of arguments for 'get' command",
        ),
        (b"BLPOP q 0\r\n", ""),
    ] {
        let text = said(true, bytes).await.unwrap_or_default();
        assert_eq!(text, expected, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_transaction_is_bounded() {
    let world = world().await;
    let mut client = world.one().await;
    client.ok(&["MULTI"]).await;
    let big = "x".repeat(6 << 20);
    for _ in 0..2 {
        client
            .is(&["ECHO", &big], Answer::Status("QUEUED".into()))
            .await;
    }
    client
        .fails(&["ECHO", &big], "ERR a transaction has at most")
        .await;
    client.fails(&["EXEC"], "EXECABORT").await;
    // More keys than the store takes in one batch.
    let names: Vec<String> = (0..1001)
        .flat_map(|n| [format!("k{n}"), "v".into()])
        .collect();
    let words: Vec<&str> = std::iter::once("MSET")
        .chain(names.iter().map(String::as_str))
        .collect();
    client
        .fails(
            &words,
            "ERR batch has more writes than 1000: 1001 (write it in several smaller batches)",
        )
        .await;
    client.is(&["DBSIZE"], Answer::Int(0)).await;
    let keys: Vec<String> = (0..1001).map(|n| format!("k{n}")).collect();
    let words: Vec<&str> = std::iter::once("WATCH")
        .chain(keys.iter().map(String::as_str))
        .collect();
    client.fails(&words, "ERR a client watches at most").await;
}

#[tokio::test]
async fn what_sets_several_keys_sets_all_or_none() {
    let world = world().await;
    let mut client = world.one().await;
    for name in [&b"MSET"[..], b"MSETNX"] {
        let words = [name, b"m1", b"v", b"\xff", b"2"];
        let is_refused = |answer: &Answer| matches!(answer, Answer::Error(text) if text.starts_with("ERR keys must be UTF-8"));
        let alone = client.run_bytes(&words).await;
        assert!(is_refused(&alone), "{alone:?}");
        client.ok(&["MULTI"]).await;
        client.run_bytes(&words).await;
        client.run(&["SET", "after", "1"]).await;
        let Answer::Array(replies) = client.run(&["EXEC"]).await else {
            panic!("no answers");
        };
        assert!(is_refused(&replies[0]), "{replies:?}");
        client.is(&["EXISTS", "m1"], Answer::Int(0)).await;
        client.is(&["GET", "after"], bulk("1")).await;
    }
    // Values are counted before the first is taken in hand.
    let big = "x".repeat(1 << 20);
    client.ok(&["SET", "big", &big]).await;
    client.ok(&["MULTI"]).await;
    for _ in 0..31 {
        client.run(&["RENAME", "big", "there"]).await;
        client.run(&["RENAME", "there", "big"]).await;
    }
    client.run(&["EXEC"]).await;
    client.is(&["EXISTS", "big", "there"], Answer::Int(1)).await;
}

/// Strangers who say nothing take the places of strangers alone, and not for long.
#[tokio::test]
async fn strangers_shut_the_door_for_nobody_who_has_a_key() {
    let world = world().await;
    let mut member = world.one().await;
    let mut left = world.one().await;
    let mut idle = Vec::new();
    let begun = clock::now();
    while world.door.0.budget.stranger().is_some() {
        idle.push(world.stranger().await);
        if idle.len() > STRANGERS / 2 {
            tokio::task::yield_now().await;
        }
    }
    assert!(idle.len() <= STRANGERS + 10, "{}", idle.len());
    let mut late = world.stranger().await;
    assert_eq!(within(late.read()).await, None, "it is closed at once");
    assert!(begun.elapsed() < Duration::from_secs(4), "all at once");
    member.is(&["PING"], Answer::Status("PONG".into())).await;
    left.is(&["RESET"], Answer::Status("RESET".into())).await;
    assert_eq!(within(left.read()).await, None, "no place for one more");
    let first = &mut idle[0];
    let closed = timeout(Duration::from_secs(8), first.read()).await;
    assert_eq!(closed.unwrap(), None, "strangers have five seconds");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut next = world.one().await;
    next.is(&["PING"], Answer::Status("PONG".into())).await;
    // Who has come back as a stranger may log in again.
    next.is(&["RESET"], Answer::Status("RESET".into())).await;
    next.ok(&["AUTH", "ONE", "secret of ONE"]).await;
}

#[tokio::test]
async fn connections_that_stop_are_closed() {
    let world = world().await;
    let mut idle = world.one().await;
    let mut waiting = world.one().await;
    waiting.send(b"BLPOP q 0\r\n").await;
    world.stop.stop();
    for client in [&mut idle, &mut waiting] {
        let closed = timeout(Duration::from_secs(5), client.read())
            .await
            .unwrap();
        assert_eq!(closed, None);
    }
}

#[tokio::test]
async fn what_is_only_read_does_not_count_as_written() {
    let world = world().await;
    let mut client = world.one().await;
    let keys: Vec<String> = (0..1101).map(|n| format!("k{n}")).collect();
    let with = |words: &[&str], most: usize| -> Vec<String> {
        let words = words.iter().map(|word| (*word).to_owned());
        words.chain(keys.iter().take(most).cloned()).collect()
    };
    for _ in 0..2 {
        for some in keys.chunks(1000) {
            let pairs = some.iter().flat_map(|key| [key.as_str(), "v"]);
            let words: Vec<_> = std::iter::once("MSET").chain(pairs).collect();
            client.ok(&words).await;
        }
        let deleted = client.run_bytes(&with(&["DEL"], 1000)).await;
        assert_eq!(deleted, Answer::Int(1000));
    }
    let watched = client.run_bytes(&with(&["WATCH"], 1000)).await;
    assert_eq!(watched, Answer::Status("OK".into()));
    client.ok(&["MULTI"]).await;
    for key in &keys {
        client
            .is(&["GET", key], Answer::Status("QUEUED".into()))
            .await;
    }
    client.run(&["SET", "one", "1"]).await;
    let Answer::Array(replies) = client.run(&["EXEC"]).await else {
        panic!("no answers");
    };
    assert_eq!(replies.last(), Some(&Answer::Status("OK".into())));
    for n in 0..1101 {
        client
            .is(&["SADD", &format!("s{n}"), &n.to_string()], Answer::Int(1))
            .await;
    }
    let sets = (0..1101).map(|n| format!("s{n}"));
    let words: Vec<_> = ["SUNIONSTORE".to_owned(), "all".to_owned()]
        .into_iter()
        .chain(sets)
        .collect();
    assert_eq!(client.run_bytes(&words).await, Answer::Int(1101));
}
