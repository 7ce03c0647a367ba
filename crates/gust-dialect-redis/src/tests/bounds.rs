//! What commands may take: time, memory, and the patience of who waits for them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gust_backend::{kv::KvExt as _, unit::memory::MemoryBackends};
use gust_task::clock;
use gust_types::{Label, ProjectName};

use super::{Ring, client::Answer, slow, world_over};
use crate::{
    Door, Parts,
    commands::zstore,
    fault::Fault,
    frame::Request,
    run::{self, Call},
    session::Client,
    space::Space,
    table,
    tx::Tx,
    value::{Set, Value},
};

fn bytes(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}

/// A store whose keys that begin with `stuck` take a minute.
fn space() -> Arc<Space> {
    let parts = Parts {
        backends: Arc::new(slow::Slow::default()),
        keys: Arc::new(Ring::default()),
    };
    let door = Door::new(parts);
    let store = Label::new("default").unwrap();
    let project = ProjectName::default_project();
    door.0.spaces.open(&door, &project, &store).unwrap()
}

fn call(words: &[&str]) -> Call {
    let words: Request = words.iter().map(|word| bytes(word)).collect();
    let command = table::find(&words[0]).unwrap();
    Call { command, words }
}

#[tokio::test(start_paused = true)]
async fn commands_and_transactions_end_after_ten_seconds() {
    let (space, mut client) = (space(), Client::new(1));
    let begun = tokio::time::Instant::now();
    for calls in [
        vec![call(&["MSETNX", "a", "1", "stuck", "2"])],
        vec![call(&["SET", "a", "1"]), call(&["GET", "stuck"])],
    ] {
        let done = run::all(&space, &mut client, &calls, &[]).await;
        assert_eq!(done.err(), Some(Fault::TOO_SLOW));
    }
    assert_eq!(begun.elapsed().as_secs(), 20);
    assert_eq!(space.kv.get("a").await.unwrap(), None);
    let waiting = run::waiting(&space, &call(&["BLPOP", "stuck", "0"])).await;
    assert_eq!(waiting.err(), Some(Fault::TOO_SLOW));
}

#[tokio::test(start_paused = true)]
async fn who_has_gone_is_not_worked_for() {
    let (space, mut client) = (space(), Client::new(1));
    client.gone.stop();
    let done = run::one(&space, &mut client, &call(&["SET", "a", "1"])).await;
    assert_eq!(done.err(), Some(Fault::GONE));
    assert_eq!(space.kv.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_its_command() {
    let backends = MemoryBackends::default();
    let slow = slow::Slow::taking(backends.clone(), Duration::from_secs(3));
    let world = world_over(Arc::new(slow), backends).await;
    for shut_only in [false, true] {
        let mut client = world.one().await;
        client.send(b"MSETNX a 1 stuck 2\r\n").await;
        if shut_only {
            client.shut().await;
            assert_eq!(
                client.read().await,
                Some(Answer::Error(Fault::GONE.0.into()))
            );
        } else {
            drop(client);
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(world.store("default").get("a").await.unwrap(), None);
    }
    // What is done within a second is answered, also to who asks for nothing more.
    let mut client = world.one().await;
    client.send(b"MSETNX a 1 b 2\r\n").await;
    client.shut().await;
    assert_eq!(client.read().await, Some(Answer::Int(1)));
}

/// Elements are of one byte each: in memory they take more.
#[tokio::test(start_paused = true)]
async fn decoded_elements_and_combinations_take_of_the_budget() {
    let space = space();
    let members = |from: u32| -> Set {
        (from..from + 10_000)
            .map(|n| bytes(&n.to_string()))
            .collect()
    };
    let keys = [bytes("s1"), bytes("s2")];
    for (key, from) in [("s1", 0), ("s2", 10_000)] {
        let value = Value::Set(members(from)).encode();
        space.kv.put(key, value).await.unwrap();
    }
    let mut tx = Tx::new(space.kv.limits(), clock::unix_micros(), space.part.grant());
    let mut others = space.part.grant();
    assert!(others.grow((128 << 20) - (1 << 20)).await);
    assert!(tx.load(&*space.kv, &keys[0]).await.is_ok());
    let refused = tx.load(&*space.kv, &keys[1]).await;
    assert!(refused.is_err_and(|fault| fault.0.starts_with("TRYAGAIN")));
    drop(others);
    let mut tx = Tx::new(space.kv.limits(), clock::unix_micros(), space.part.grant());
    for key in &keys {
        assert!(tx.load(&*space.kv, key).await.is_ok());
    }
    let mut others = space.part.grant();
    assert!(others.grow((128 << 20) - (2 << 20)).await);
    let words: Vec<Bytes> = ["to", "2", "s1", "s2"].map(bytes).into();
    tx.load(&*space.kv, &words[0]).await.unwrap();
    let refused = zstore::zunionstore(&mut tx, &space, &words).await;
    assert!(refused.is_err_and(|fault| fault.0.starts_with("TRYAGAIN")));
    drop(others);
    assert!(zstore::zunionstore(&mut tx, &space, &words).await.is_ok());
}

/// The same set many times is one, and many sets take turns.
#[tokio::test]
async fn combinations_of_many_sets_stop_nobody() {
    let backends = MemoryBackends::default();
    let world = world_over(Arc::new(backends.clone()), backends).await;
    let (mut client, mut other) = (world.one().await, world.one().await);
    let big: Set = (0..50_000).map(|n| bytes(&n.to_string())).collect();
    let small: Set = [bytes("x"), bytes("7")].into();
    let store = world.store("default");
    store.put("big", Value::Set(big).encode()).await.unwrap();
    for n in 0..200 {
        let value = Value::Set(small.clone()).encode();
        store.put(&format!("s{n}"), value).await.unwrap();
    }
    let mut words = vec!["SDIFFSTORE".to_owned(), "to".to_owned(), "big".to_owned()];
    words.extend((0..20_000).map(|n| format!("s{}", n % 200)));
    let begun = clock::now();
    let request = super::client::request(&words);
    client.send(&request).await;
    let mut pings = 0;
    let mut done = Box::pin(client.read());
    loop {
        tokio::select! {
            answer = &mut done => {
                assert_eq!(answer, Some(Answer::Int(49_999)));
                break;
            }
            _ = other.run(&["PING"]) => pings += 1,
        }
    }
    drop(done);
    assert!(pings > 10, "others waited: {pings}");
    assert!(begun.elapsed() < Duration::from_secs(8));
    for (command, expected) in [("SUNIONSTORE", 50_001), ("SINTERSTORE", 1)] {
        words[0] = command.to_owned();
        assert_eq!(
            client.run_bytes(&words).await,
            Answer::Int(expected),
            "{command}"
        );
    }
    let same = ["SDIFF", "big", "s1", "big"];
    client.is(&same, Answer::Array(Vec::new())).await;
}
