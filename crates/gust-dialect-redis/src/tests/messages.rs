//! Channels.

use std::time::Duration;

use super::{
    client::{Answer, bulk, bulks, request},
    world,
};

fn three(kind: &str, name: &str, last: Answer) -> Vec<Answer> {
    vec![bulk(kind), bulk(name), last]
}

#[tokio::test]
async fn messages_reach_who_listens_in_both_versions() {
    let world = world().await;
    let (mut two, mut three_) = (world.one().await, world.one().await);
    let mut client = world.one().await;
    three_.run(&["HELLO", "3"]).await;
    let said = three("subscribe", "news", Answer::Int(1));
    two.is(&["SUBSCRIBE", "news"], Answer::Array(said.clone()))
        .await;
    three_.is(&["SUBSCRIBE", "news"], Answer::Push(said)).await;
    let said = three("psubscribe", "n*", Answer::Int(2));
    two.is(&["PSUBSCRIBE", "n*"], Answer::Array(said)).await;
    client
        .is(&["PUBLISH", "news", "消息"], Answer::Int(3))
        .await;
    let message = three("message", "news", bulk("消息"));
    assert_eq!(two.read().await, Some(Answer::Array(message.clone())));
    assert_eq!(three_.read().await, Some(Answer::Push(message)));
    assert_eq!(
        two.read().await,
        Some(bulks(&["pmessage", "n*", "news", "消息"]))
    );
    client.is(&["PUBSUB", "CHANNELS"], bulks(&["news"])).await;
    client.is(&["PUBSUB", "NUMPAT"], Answer::Int(1)).await;
    let numsub = Answer::Array(vec![
        bulk("news"),
        Answer::Int(2),
        bulk("x"),
        Answer::Int(0),
    ]);
    client.is(&["PUBSUB", "NUMSUB", "news", "x"], numsub).await;
    // In RESP2 a listener does little else; in RESP3 everything.
    two.fails(
        &["GET", "k"],
        "ERR Can't execute 'get': only (P|S)SUBSCRIBE",
    )
    .await;
    two.is(&["PING", "still"], bulks(&["pong", "still"])).await;
    three_.ok(&["SET", "k", "v"]).await;
    let gone = three("unsubscribe", "news", Answer::Int(1));
    two.is(&["UNSUBSCRIBE"], Answer::Array(gone)).await;
    let gone = three("punsubscribe", "n*", Answer::Int(0));
    two.is(&["PUNSUBSCRIBE", "n*"], Answer::Array(gone)).await;
    two.is(&["GET", "k"], bulk("v")).await;
    let none = Answer::Array(vec![bulk("unsubscribe"), Answer::Null, Answer::Int(0)]);
    two.is(&["UNSUBSCRIBE"], none).await;
    drop(three_);
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.is(&["PUBLISH", "news", "x"], Answer::Int(0)).await;
}

#[tokio::test]
async fn nobody_hears_the_channels_of_others() {
    let world = world().await;
    let mut listening = world.one().await;
    listening.run(&["SUBSCRIBE", "c"]).await;
    for user in ["TWO", "ONE.cache"] {
        let mut client = world.user(user).await;
        client.is(&["PUBLISH", "c", "x"], Answer::Int(0)).await;
    }
    let mut client = world.one().await;
    client.ok(&["MULTI"]).await;
    client.run(&["PUBLISH", "c", "in a transaction"]).await;
    client
        .is(&["EXEC"], Answer::Array(vec![Answer::Int(1)]))
        .await;
    let message = three("message", "c", bulk("in a transaction"));
    assert_eq!(listening.read().await, Some(Answer::Array(message)));
}

#[tokio::test]
async fn who_does_not_read_is_cut_off() {
    let world = world().await;
    let (mut deaf, mut client) = (world.one().await, world.one().await);
    deaf.run(&["SUBSCRIBE", "c"]).await;
    let message = "x".repeat(1 << 20);
    let mut heard = 0;
    for _ in 0..60 {
        heard = match client.run(&["PUBLISH", "c", &message]).await {
            Answer::Int(heard) => heard,
            other => panic!("{other:?}"),
        };
        if heard == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(heard, 0, "it is no subscriber any more");
}

#[tokio::test]
async fn subscriptions_are_bounded() {
    let world = world().await;
    let mut client = world.one().await;
    let names: Vec<String> = (0..1001).map(|n| format!("p{n}*")).collect();
    let words: Vec<&str> = std::iter::once("PSUBSCRIBE")
        .chain(names.iter().map(String::as_str))
        .collect();
    client.fails(&words, "ERR a client has at most").await;
    client.send(&request(&words[..1001])).await;
    for _ in 0..1000 {
        client.read().await.unwrap();
    }
    client
        .fails(&["PSUBSCRIBE", "one more"], "ERR a client has at most")
        .await;
}

#[tokio::test]
async fn long_names_are_refused() {
    let world = world().await;
    let mut client = world.one().await;
    let long = "x".repeat(1025);
    for words in [
        &["SUBSCRIBE", "ok", &long][..],
        &["PSUBSCRIBE", &long],
        &["PUBLISH", &long, "x"],
        &["PUBSUB", "CHANNELS", &long],
        &["KEYS", &long],
        &["SCAN", "0", "MATCH", &long],
        &["CONFIG", "GET", &long],
    ] {
        let text = if words.contains(&"SUBSCRIBE") || words.contains(&"PUBLISH") {
            "ERR the name of a channel has at most 1024 bytes, this one has 1025"
        } else {
            "ERR a pattern has at most 1024 bytes, this one has 1025"
        };
        client.fails(words, text).await;
    }
    for (kind, make) in [("H", "HSET"), ("S", "SADD"), ("Z", "ZADD")] {
        client
            .run(&[make, kind, "1", "m"][..if kind == "S" { 3 } else { 4 }])
            .await;
        let scan = format!("{kind}SCAN");
        client
            .fails(
                &[&scan, kind, "0", "MATCH", &long],
                "ERR a pattern has at most",
            )
            .await;
    }
    client.is(&["PUBSUB", "CHANNELS"], bulks(&[])).await;
    let many: Vec<String> = (0..1025).map(|n| format!("{n:01024}")).collect();
    let words: Vec<&str> = std::iter::once("SUBSCRIBE")
        .chain(many.iter().map(String::as_str))
        .collect();
    client.fails(&words, "ERR a client has at most").await;
}

/// Patterns of the worst kind: a message takes its time, and others do not notice.
#[tokio::test]
async fn many_patterns_stop_nobody() {
    let world = world().await;
    let (mut listening, mut client, mut other) =
        (world.one().await, world.one().await, world.one().await);
    let patterns: Vec<String> = (0..100)
        .map(|n| format!("*{}b{n}", "a".repeat(500)))
        .collect();
    let words: Vec<&str> = std::iter::once("PSUBSCRIBE")
        .chain(patterns.iter().map(String::as_str))
        .collect();
    listening.send(&request(&words)).await;
    for _ in 0..100 {
        listening.read().await.unwrap();
    }
    let channel = "a".repeat(1024);
    client.send(&request(&["PUBLISH", &channel, "x"])).await;
    let mut pings = 0;
    let published = client.read();
    tokio::pin!(published);
    loop {
        tokio::select! {
            answer = &mut published => {
                assert_eq!(answer, Some(Answer::Int(0)));
                break;
            }
            pong = other.run(&["PING"]) => {
                assert_eq!(pong, Answer::Status("PONG".into()));
                pings += 1;
            }
        }
    }
    assert!(pings > 10, "others waited: {pings}");
}
