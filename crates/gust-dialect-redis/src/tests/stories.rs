//! Logins, transactions, pipelines, scans, and what is counted.

use std::sync::atomic::Ordering::Relaxed;

use super::{
    World,
    client::{Answer, Client, bulk, bulks, request},
    world,
};

fn status(text: &str) -> Answer {
    Answer::Status(text.into())
}

#[tokio::test]
async fn only_who_has_the_secret_gets_in() {
    let world = world().await;
    let mut client = world.stranger().await;
    client
        .fails(&["GET", "a"], "NOAUTH Authentication required.")
        .await;
    client.fails(&["PING"], "NOAUTH").await;
    client
        .fails(&["NOSUCH"], "ERR unknown command 'NOSUCH'")
        .await;
    for (user, password) in [
        ("ONE", "secret of TWO"),
        ("ONE", ""),
        ("ONE", "secret of ONE "),
        ("NOBODY", ""),
        ("", ""),
        ("default", "secret of ONE"),
    ] {
        client.fails(&["AUTH", user, password], "WRONGPASS").await;
    }
    client.fails(&["AUTH", "secret of ONE"], "WRONGPASS").await;
    client
        .fails(
            &["AUTH", "ONE.Not a name", "secret of ONE"],
            "ERR the user is",
        )
        .await;
    client
        .fails(&["AUTH", "a", "b", "c"], "ERR syntax error")
        .await;
    client
        .fails(&["HELLO", "3"], "NOAUTH HELLO must be called")
        .await;
    client
        .fails(&["HELLO", "3", "AUTH", "ONE", "x"], "WRONGPASS")
        .await;
    client.fails(&["HELLO", "4"], "NOPROTO").await;
    client.ok(&["AUTH", "ONE", "secret of ONE"]).await;
    client.is(&["PING"], status("PONG")).await;
    client.is(&["RESET"], status("RESET")).await;
    client.fails(&["GET", "a"], "NOAUTH").await;
}

#[tokio::test]
async fn projects_and_stores_are_apart() {
    let world = world().await;
    let mut one = world.one().await;
    let mut cache = world.user("ONE.cache").await;
    let mut two = world.user("TWO").await;
    one.ok(&["SET", "k", "one"]).await;
    cache.ok(&["SET", "k", "cache"]).await;
    two.is(&["GET", "k"], Answer::Null).await;
    two.is(&["KEYS", "*"], Answer::Array(vec![])).await;
    one.is(&["GET", "k"], bulk("one")).await;
    cache.ok(&["FLUSHDB"]).await;
    one.is(&["DBSIZE"], Answer::Int(1)).await;
    cache.is(&["DBSIZE"], Answer::Int(0)).await;
    // Another login on the same connection is another store from then on.
    one.ok(&["AUTH", "TWO", "secret of TWO"]).await;
    one.is(&["GET", "k"], Answer::Null).await;
}

#[tokio::test]
async fn a_key_that_is_removed_ends_at_once() {
    let world = world().await;
    let (mut client, mut waiting) = (world.one().await, world.one().await);
    let mut listening = world.one().await;
    listening.run(&["SUBSCRIBE", "c"]).await;
    waiting.send(&request(&["BLPOP", "q", "0"])).await;
    client.ok(&["SET", "k", "v"]).await;
    world.ring.removed.store(true, Relaxed);
    client.fails(&["GET", "k"], "NOAUTH").await;
    assert_eq!(client.read().await, None, "and that was the last of it");
    listening.fails(&["PING"], "NOAUTH").await;
    assert_eq!(listening.read().await, None);
    drop(waiting);
    world.ring.removed.store(false, Relaxed);
    let mut sets = world.one().await;
    world.ring.removed.store(true, Relaxed);
    sets.fails(&["SET", "k", "w"], "NOAUTH").await;
    assert_eq!(sets.read().await, None);
}

#[tokio::test]
async fn clients_introduce_themselves() {
    let world = world().await;
    let mut client = world.stranger().await;
    let hello = [
        "HELLO",
        "3",
        "AUTH",
        "ONE",
        "secret of ONE",
        "SETNAME",
        "worker",
    ];
    let Answer::Map(said) = client.run(&hello).await else {
        panic!("a map");
    };
    assert!(said.contains(&(bulk("proto"), Answer::Int(3))), "{said:?}");
    client.is(&["CLIENT", "GETNAME"], bulk("worker")).await;
    client
        .ok(&["CLIENT", "SETINFO", "lib-name", "redis-py"])
        .await;
    client.ok(&["CLIENT", "SETINFO", "LIB-VER", "5.0.1"]).await;
    client
        .fails(
            &["CLIENT", "SETINFO", "lib-name", "a b"],
            "ERR lib-name cannot",
        )
        .await;
    client
        .fails(&["CLIENT", "SETNAME", "a b"], "ERR Client names")
        .await;
    client
        .fails(&["CLIENT", "KILL", "x"], "ERR unknown subcommand 'KILL'")
        .await;
    client
        .fails(
            &["CLIENT", "GETNAME", "x"],
            "ERR wrong number of arguments for 'client|getname'",
        )
        .await;
    client.ok(&["CLIENT", "NO-EVICT", "ON"]).await;
    let Answer::Int(id) = client.run(&["CLIENT", "ID"]).await else {
        panic!("a number");
    };
    let Answer::Bulk(info) = client.run(&["CLIENT", "INFO"]).await else {
        panic!("a text");
    };
    let info = String::from_utf8(info).unwrap();
    assert!(info.starts_with(&format!("id={id} name=worker")), "{info}");
    assert!(info.contains("lib-name=redis-py lib-ver=5.0.1"), "{info}");
    client.ok(&["SELECT", "0"]).await;
    client
        .fails(&["SELECT", "1"], "ERR DB index is out of range")
        .await;
    let Answer::Map(config) = client.run(&["CONFIG", "GET", "max*"]).await else {
        panic!("a map");
    };
    assert_eq!(config.len(), 2);
    let Answer::Bulk(info) = client.run(&["INFO", "server"]).await else {
        panic!("a text");
    };
    assert!(
        String::from_utf8(info)
            .unwrap()
            .contains("redis_version:7.")
    );
    let Answer::Int(count) = client.run(&["COMMAND", "COUNT"]).await else {
        panic!("a number");
    };
    let Answer::Array(all) = client.run(&["COMMAND"]).await else {
        panic!("a list");
    };
    assert_eq!(all.len() as i64, count);
    client
        .is(
            &["COMMAND", "GETKEYS", "MSET", "a", "1", "b", "2"],
            bulks(&["a", "b"]),
        )
        .await;
    for command in [
        "EVAL",
        "XADD",
        "SETBIT",
        "BZPOPMIN",
        "CLUSTER",
        "SSUBSCRIBE",
    ] {
        let text = format!("ERR unknown command '{command}', with args beginning with: 'x' ");
        client.is(&[command, "x"], Answer::Error(text)).await;
    }
}

#[tokio::test]
async fn transactions_are_whole_or_nothing() {
    let world = world().await;
    let (mut one, mut other) = (world.one().await, world.one().await);
    one.ok(&["MULTI"]).await;
    one.is(&["SET", "a", "1"], status("QUEUED")).await;
    one.is(&["INCR", "a"], status("QUEUED")).await;
    one.is(&["LPUSH", "a", "x"], status("QUEUED")).await;
    one.is(&["RPUSH", "l", "x", "y"], status("QUEUED")).await;
    one.is(&["RENAME", "l", "m"], status("QUEUED")).await;
    one.is(&["KEYS", "*"], status("QUEUED")).await;
    other.is(&["EXISTS", "a"], Answer::Int(0)).await;
    let Answer::Array(done) = one.run(&["EXEC"]).await else {
        panic!("a list");
    };
    assert_eq!(done[..2], [status("OK"), Answer::Int(2)]);
    assert!(matches!(&done[2], Answer::Error(text) if text.starts_with("WRONGTYPE")));
    let Answer::Array(keys) = &done[5] else {
        panic!("a list");
    };
    assert_eq!(keys.len(), 2);
    other
        .is(&["LRANGE", "m", "0", "-1"], bulks(&["x", "y"]))
        .await;
    // What cannot be queued ends it.
    one.ok(&["MULTI"]).await;
    one.is(&["SET", "a", "9"], status("QUEUED")).await;
    one.fails(&["GET"], "ERR wrong number").await;
    one.fails(
        &["EXEC"],
        "EXECABORT Transaction discarded because of previous errors.",
    )
    .await;
    one.is(&["GET", "a"], bulk("2")).await;
    one.fails(&["EXEC"], "ERR EXEC without MULTI").await;
    one.fails(&["DISCARD"], "ERR DISCARD without MULTI").await;
    one.ok(&["MULTI"]).await;
    one.fails(&["MULTI"], "ERR MULTI calls can not be nested")
        .await;
    one.fails(&["WATCH", "a"], "ERR WATCH inside MULTI is not allowed")
        .await;
    one.fails(&["FLUSHDB"], "ERR Command not allowed inside a transaction")
        .await;
    one.ok(&["DISCARD"]).await;
}

#[tokio::test]
async fn what_is_watched_must_not_change() {
    let world = world().await;
    let (mut one, mut other) = (world.one().await, world.one().await);
    let store = world.store("default");
    for by_function in [false, true] {
        one.ok(&["SET", "w", "1"]).await;
        one.ok(&["WATCH", "w"]).await;
        one.ok(&["MULTI"]).await;
        one.is(&["SET", "x", "1"], status("QUEUED")).await;
        match by_function {
            true => drop(
                gust_backend::kv::KvExt::put(&*store, "w", "2".into())
                    .await
                    .unwrap(),
            ),
            false => other.ok(&["SET", "w", "2"]).await,
        }
        one.is(&["EXEC"], Answer::NullArray).await;
        one.is(&["EXISTS", "x"], Answer::Int(0)).await;
    }
    one.ok(&["WATCH", "w"]).await;
    one.ok(&["UNWATCH"]).await;
    other.ok(&["SET", "w", "3"]).await;
    one.ok(&["MULTI"]).await;
    one.is(&["GET", "w"], status("QUEUED")).await;
    one.is(&["EXEC"], bulks(&["3"])).await;
    // A key that is not there is watched too.
    one.ok(&["WATCH", "none"]).await;
    other.ok(&["SET", "none", "1"]).await;
    one.ok(&["MULTI"]).await;
    one.is(&["PING"], status("QUEUED")).await;
    one.is(&["EXEC"], Answer::NullArray).await;
}

/// Every client moves money about; the sum stays, seen by those who read it all the while.
#[tokio::test]
async fn money_is_neither_made_nor_lost() {
    let world = world().await;
    let mut client = world.one().await;
    client.ok(&["MSET", "a", "100", "b", "100"]).await;
    let moves = (0..6).map(|n| {
        let world: &World = &world;
        async move {
            let mut client = world.one().await;
            for round in 0..40 {
                let (from, to) = if (n + round) % 2 == 0 {
                    ("a", "b")
                } else {
                    ("b", "a")
                };
                client.ok(&["MULTI"]).await;
                client.run(&["DECRBY", from, "3"]).await;
                client.run(&["INCRBY", to, "3"]).await;
                client.run(&["MGET", "a", "b"]).await;
                let Answer::Array(done) = client.run(&["EXEC"]).await else {
                    panic!("it is done");
                };
                assert_eq!(sum(&done[2]), 200);
                let seen = client.run(&["MGET", "a", "b"]).await;
                assert_eq!(sum(&seen), 200, "a torn read");
            }
        }
    });
    futures::future::join_all(moves).await;
    let seen = client.run(&["MGET", "a", "b"]).await;
    assert_eq!(sum(&seen), 200);
}

pub(super) fn sum(answer: &Answer) -> i64 {
    let Answer::Array(items) = answer else {
        panic!("{answer:?}");
    };
    let number = |item: &Answer| match item {
        Answer::Bulk(text) => std::str::from_utf8(text).unwrap().parse::<i64>().unwrap(),
        other => panic!("{other:?}"),
    };
    items.iter().map(number).sum()
}

#[tokio::test]
async fn many_write_the_same_keys_and_nothing_is_lost() {
    let world = world().await;
    let writing = (0..8).map(|n| {
        let world: &World = &world;
        async move {
            let mut client = world.one().await;
            for round in 0..50 {
                client.run(&["INCR", "n"]).await;
                client
                    .is(&["HSET", "h", &format!("{n}-{round}"), "x"], Answer::Int(1))
                    .await;
                client.run(&["RPUSH", "l", "x"]).await;
                client.run(&["HINCRBY", "h", "n", "1"]).await;
            }
        }
    });
    futures::future::join_all(writing).await;
    let mut client = world.one().await;
    client.is(&["GET", "n"], bulk("400")).await;
    client.is(&["HLEN", "h"], Answer::Int(401)).await;
    client.is(&["HGET", "h", "n"], bulk("400")).await;
    client.is(&["LLEN", "l"], Answer::Int(400)).await;
}

#[tokio::test]
async fn pipelines_are_answered_in_order() {
    let world = world().await;
    let mut client = world.one().await;
    let mut bytes = Vec::new();
    for n in 0..2000 {
        bytes.extend(request(&["SET", &format!("k{}", n % 700), &n.to_string()]));
        if n % 500 == 0 {
            bytes.extend(request(&["GET", "k0"]));
            bytes.extend(request(&["SET", "k0", "x", "EX", "-1"]));
            bytes.extend(request(&["SET", "k0", "x", "NX"]));
        }
    }
    client.send(&bytes).await;
    for n in 0..2000 {
        assert_eq!(client.read().await, Some(status("OK")), "{n}");
        if n % 500 == 0 {
            let last = (n / 700) * 700;
            assert_eq!(client.read().await, Some(bulk(&last.to_string())));
            assert!(matches!(client.read().await, Some(Answer::Error(_))));
            assert_eq!(client.read().await, Some(Answer::Null));
        }
    }
    client.is(&["GET", "k699"], bulk("1399")).await;
    client.is(&["GET", "k5"], bulk("1405")).await;
    client.is(&["DBSIZE"], Answer::Int(700)).await;
}

#[tokio::test]
async fn scans_see_every_key() {
    let world = world().await;
    let mut client = world.one().await;
    for n in 0..120 {
        client.ok(&["SET", &format!("用户:{n}"), "v"]).await;
        client.run(&["SADD", &format!("set:{n}"), "m"]).await;
    }
    let all = async |client: &mut Client, options: &[&str]| {
        let (mut cursor, mut found, mut rounds) = ("0".to_owned(), Vec::new(), 0);
        loop {
            let words = [&["SCAN", cursor.as_str()], options].concat();
            let Answer::Array(page) = client.run(&words).await else {
                panic!("a page");
            };
            let [Answer::Bulk(next), Answer::Array(keys)] = &page[..] else {
                panic!("{page:?}");
            };
            found.extend(keys.clone());
            rounds += 1;
            cursor = String::from_utf8(next.clone()).unwrap();
            if cursor == "0" {
                return (found.len(), rounds);
            }
        }
    };
    assert_eq!(all(&mut client, &[]).await, (240, 24));
    assert_eq!(all(&mut client, &["COUNT", "1000"]).await, (240, 1));
    assert_eq!(
        all(&mut client, &["MATCH", "用户:*", "COUNT", "50"]).await,
        (120, 3)
    );
    assert_eq!(
        all(&mut client, &["MATCH", "*:1?", "COUNT", "500"]).await,
        (20, 1)
    );
    assert_eq!(
        all(&mut client, &["TYPE", "SET", "COUNT", "500"]).await,
        (120, 1)
    );
    client
        .fails(&["SCAN", "12345"], "ERR the cursor is unknown")
        .await;
    client.fails(&["SCAN", "x"], "ERR invalid cursor").await;
    client
        .fails(&["SCAN", "0", "COUNT", "0"], "ERR syntax error")
        .await;
    let Answer::Bulk(key) = client.run(&["RANDOMKEY"]).await else {
        panic!("a key");
    };
    client
        .is(
            &["EXISTS", std::str::from_utf8(&key).unwrap()],
            Answer::Int(1),
        )
        .await;
    client.ok(&["FLUSHALL", "ASYNC"]).await;
    client.is(&["RANDOMKEY"], Answer::Null).await;
}

#[tokio::test]
async fn what_is_asked_for_is_counted() {
    let world = world().await;
    let mut client = world.one().await;
    client.ok(&["SET", "k", "0123456789"]).await;
    client.run(&["GET", "k"]).await;
    client.run(&["GET", "k"]).await;
    client.run(&["PING"]).await;
    let mut stranger = world.stranger().await;
    stranger.run(&["GET", "k"]).await;
    let counted = world.door.counted();
    assert_eq!(counted.len(), 1);
    let (project, counted) = &counted[0];
    assert_eq!(project.as_str(), "default");
    assert_eq!((counted.writes, counted.reads), (1, 2));
    assert!(
        counted.bytes_in > 60 && counted.bytes_out > 30,
        "{counted:?}"
    );
}
