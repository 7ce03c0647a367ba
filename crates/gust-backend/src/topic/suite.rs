//! What every topic does: call [`run`] with a way to make an empty one with these settings, and its queue.

use std::{sync::Arc, time::Duration};

use gust_task::clock;
use gust_types::{ByteSize, Kind, Label, Result, Span};

use super::{
    Forward, Logged, Position, ReadOptions, Start, Subscription, Topic, TopicSettings, check,
};
use crate::queue::{Message, Queue, QueueSettings, TakeOptions};

/// What the queue of [`Made`] holds at most.
pub const QUEUE_BYTES: ByteSize = ByteSize(10_000);

/// An empty topic, and the queue of its project that is called [`queue`].
pub struct Made {
    /// The topic.
    pub topic: Arc<dyn Topic>,
    /// The queue, which is empty and holds [`QUEUE_BYTES`].
    pub queue: Arc<dyn Queue>,
}

/// The name of the queue that is forwarded to.
pub fn queue() -> Label {
    Label::reserved("suite")
}

/// How it behaves.
pub fn queue_settings() -> QueueSettings {
    QueueSettings {
        max_bytes: QUEUE_BYTES,
        ..QueueSettings::default()
    }
}

/// Runs every check, each on a topic and a queue of its own. Needs a tokio runtime with time.
pub async fn run(make: impl AsyncFn(TopicSettings) -> Made) {
    let plain = || make(TopicSettings::default());
    events_come_whole_and_in_order(plain().await).await;
    an_empty_topic_answers(plain().await).await;
    a_key_is_kept_once(plain().await).await;
    a_waiting_reader_wakes(plain().await).await;
    a_time_has_a_position(plain().await).await;
    subscriptions_begin_where_they_say(plain().await).await;
    a_step_moves_and_publishes(plain().await).await;
    a_step_from_elsewhere_does_nothing(plain().await).await;
    a_step_into_a_full_queue_does_nothing(plain().await).await;
    a_cursor_can_go_back(plain().await).await;
    purging_moves_the_cursors(plain().await).await;
    there_are_only_so_many_subscriptions(plain().await).await;
    what_is_over_a_limit_is_refused_whole(plain().await).await;
    let small = TopicSettings {
        max_bytes: ByteSize(1000),
        ..TopicSettings::default()
    };
    the_oldest_go_when_it_is_full(make(small).await).await;
    let short = TopicSettings {
        max_age: Span::millis(40),
        ..TopicSettings::default()
    };
    the_oldest_go_when_they_are_old(make(short).await).await;
    let brief = TopicSettings {
        dedup: Span::millis(30),
        ..TopicSettings::default()
    };
    a_key_is_forgotten_in_time(make(brief).await).await;
}

#[expect(clippy::panic, reason = "a suite fails its test by panicking")]
fn ok<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|e| panic!("{:?}: {}", e.kind, e.chain()))
}

fn refused<T>(result: Result<T>, kind: Kind) {
    assert_eq!(result.err().map(|e| e.kind), Some(kind));
}

fn event(text: &str) -> Message {
    Message::new(text.to_owned())
}

fn texts(logged: &[Logged]) -> Vec<String> {
    let text = |l: &Logged| String::from_utf8_lossy(&l.message.body).into_owned();
    logged.iter().map(text).collect()
}

async fn publish(topic: &Arc<dyn Topic>, events: &[&str]) -> Vec<u64> {
    let events = events.iter().map(|text| event(text)).collect();
    let appended = ok(topic.publish(events, None).await);
    appended.into_iter().map(|a| a.position.0).collect()
}

async fn read(topic: &Arc<dyn Topic>, after: u64) -> Vec<Logged> {
    let options = ReadOptions {
        after: Position(after),
        ..ReadOptions::default()
    };
    ok(topic.read(options).await)
}

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

fn step(from: u64, to: u64, messages: &[&str]) -> Forward {
    Forward {
        name: "s".to_owned(),
        from: Position(from),
        to: Position(to),
        missed: 0,
        messages: messages.iter().map(|text| event(text)).collect(),
        queue: queue(),
        settings: queue_settings(),
    }
}

async fn subscription(topic: &Arc<dyn Topic>) -> Option<Subscription> {
    let all = ok(topic.subscriptions().await);
    all.into_iter().find(|s| s.name == "s")
}

async fn taken(queue: &Arc<dyn Queue>) -> Vec<String> {
    let options = TakeOptions {
        most: 100,
        ..TakeOptions::default()
    };
    let taken = ok(queue.take(options).await);
    let text = |t: &crate::queue::Taken| String::from_utf8_lossy(&t.message.body).into_owned();
    taken.iter().map(text).collect()
}

async fn events_come_whole_and_in_order(made: Made) {
    let topic = made.topic;
    let mut first = event("一 one").in_group("组");
    first.attributes.insert("名".into(), "值".into());
    let before = clock::unix_micros();
    let appended = ok(topic.publish(vec![first.clone(), event("")], None).await);
    let positions: Vec<_> = appended
        .iter()
        .map(|a| (a.position.0, a.duplicate))
        .collect();
    assert_eq!(positions, [(1, false), (2, false)]);
    assert_eq!(publish(&topic, &["three"]).await, [3]);
    let logged = read(&topic, 0).await;
    assert_eq!(texts(&logged), ["一 one", "", "three"]);
    assert_eq!(logged[0].message, first);
    assert!(logged[0].published_us >= before && logged.is_sorted_by_key(|l| l.published_us));
    // Everybody reads all of it, as often as they like.
    assert_eq!(read(&topic, 0).await, logged);
    assert_eq!(read(&topic, 2).await, logged[2..]);
    let two = ReadOptions {
        most: 2,
        ..ReadOptions::default()
    };
    assert_eq!(ok(topic.read(two).await), logged[..2]);
    let stats = ok(topic.stats().await);
    let bytes: u64 = logged.iter().map(|l| l.message.weight()).sum();
    assert_eq!((stats.first, stats.last, stats.bytes), (1, 3, bytes));
    assert_eq!(stats.events(), 3);
    assert_eq!(stats.oldest_us, logged[0].published_us);
    assert_eq!(stats.newest_us, logged[2].published_us);
}

async fn an_empty_topic_answers(made: Made) {
    let topic = made.topic;
    assert!(read(&topic, 0).await.is_empty());
    assert!(read(&topic, 9).await.is_empty());
    let stats = ok(topic.stats().await);
    assert_eq!((stats.first, stats.last, stats.events()), (1, 0, 0));
    assert!(ok(topic.publish(Vec::new(), None).await).is_empty());
    assert!(!ok(topic.unsubscribe("s").await));
    assert!(ok(topic.subscriptions().await).is_empty());
    assert_eq!(ok(topic.purge().await), 0);
    refused(topic.seek("s", Start::Earliest).await, Kind::NotFound);
    refused(topic.forward(step(0, 0, &[])).await, Kind::NotFound);
    for start in [Start::Latest, Start::Earliest, Start::Since(5)] {
        assert_eq!(ok(topic.position(start).await), Position(0));
    }
}

async fn a_key_is_kept_once(made: Made) {
    let topic = made.topic;
    let keyed = |text: &str| event(text).with_key("k");
    let appended = ok(topic
        .publish(vec![keyed("a"), keyed("b"), event("c")], None)
        .await);
    let found: Vec<_> = appended
        .iter()
        .map(|a| (a.position.0, a.duplicate))
        .collect();
    assert_eq!(found, [(1, false), (1, true), (2, false)]);
    let again = ok(topic.publish(vec![keyed("d")], None).await);
    assert!(again[0].duplicate && again[0].position == Position(1));
    assert_eq!(texts(&read(&topic, 0).await), ["a", "c"]);
}

async fn a_key_is_forgotten_in_time(made: Made) {
    let topic = made.topic;
    let keyed = |key: &str| vec![event("a").with_key(key)];
    ok(topic.publish(keyed("short"), None).await);
    let hour = Some(Duration::from_secs(3600));
    ok(topic.publish(keyed("long"), hour).await);
    pause(60).await;
    assert!(!ok(topic.publish(keyed("short"), None).await)[0].duplicate);
    assert!(ok(topic.publish(keyed("long"), None).await)[0].duplicate);
}

async fn a_waiting_reader_wakes(made: Made) {
    let topic = made.topic;
    publish(&topic, &["a"]).await;
    let options = ReadOptions {
        after: Position(1),
        most: 10,
        wait: Duration::from_secs(20),
    };
    let begun = clock::now();
    let reading = topic.read(options);
    let writing = async {
        pause(30).await;
        publish(&topic, &["b"]).await;
    };
    let (read, ()) = tokio::join!(reading, writing);
    assert_eq!(texts(&ok(read)), ["b"]);
    let brief = ReadOptions {
        after: Position(2),
        wait: Duration::from_millis(20),
        ..options
    };
    assert!(ok(topic.read(brief).await).is_empty());
    // Who follows a cursor hears that somebody moved it.
    ok(topic.subscribe("s", Start::Latest).await);
    let waiting = topic.read(ReadOptions {
        after: Position(2),
        ..options
    });
    let seeking = async {
        pause(30).await;
        ok(topic.seek("s", Start::Earliest).await)
    };
    let (read, _) = tokio::join!(waiting, seeking);
    assert!(ok(read).is_empty());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

async fn a_time_has_a_position(made: Made) {
    let topic = made.topic;
    let mut times = Vec::new();
    for text in ["a", "b", "c", "d", "e"] {
        times.push(clock::unix_micros());
        publish(&topic, &[text]).await;
        pause(3).await;
    }
    for (n, time) in times.iter().enumerate() {
        let position = ok(topic.position(Start::Since(*time)).await);
        assert_eq!(position, Position(n as u64));
    }
    let later = ok(topic.position(Start::Since(clock::unix_micros())).await);
    assert_eq!(later, Position(5));
    assert_eq!(ok(topic.position(Start::Since(0)).await), Position(0));
    assert_eq!(ok(topic.position(Start::Latest).await), Position(5));
    assert_eq!(ok(topic.position(Start::Earliest).await), Position(0));
    assert_eq!(
        ok(topic.position(Start::After(Position(3))).await),
        Position(3)
    );
    refused(
        topic.position(Start::After(Position(6))).await,
        Kind::Invalid,
    );
}

async fn subscriptions_begin_where_they_say(made: Made) {
    let topic = made.topic;
    publish(&topic, &["a", "b", "c"]).await;
    let latest = ok(topic.subscribe("latest", Start::Latest).await);
    assert_eq!((latest.cursor, latest.lag), (Position(3), 0));
    let earliest = ok(topic.subscribe("earliest", Start::Earliest).await);
    assert_eq!((earliest.cursor, earliest.lag), (Position(0), 3));
    let after = ok(topic.subscribe("after", Start::After(Position(2))).await);
    assert_eq!((after.cursor, after.lag), (Position(2), 1));
    // Again changes nothing.
    assert_eq!(ok(topic.subscribe("after", Start::Latest).await), after);
    publish(&topic, &["d"]).await;
    let all = ok(topic.subscriptions().await);
    let all: Vec<_> = all.iter().map(|s| (s.name.as_str(), s.lag)).collect();
    assert_eq!(all, [("after", 2), ("earliest", 4), ("latest", 1)]);
    assert!(ok(topic.unsubscribe("after").await));
    assert!(!ok(topic.unsubscribe("after").await));
    assert_eq!(ok(topic.subscriptions().await).len(), 2);
    for bad in ["", "a\0b"] {
        refused(topic.subscribe(bad, Start::Latest).await, Kind::Invalid);
    }
}

async fn a_step_moves_and_publishes(made: Made) {
    let Made { topic, queue } = made;
    publish(&topic, &["a", "b", "c"]).await;
    ok(topic.subscribe("s", Start::Earliest).await);
    let mut moving = step(0, 2, &[]);
    let mut message = event("b").in_group("g");
    message.attributes.insert("n".into(), "v".into());
    moving.messages = vec![message.clone()];
    moving.missed = 1;
    ok(topic.forward(moving).await);
    let found = subscription(&topic).await;
    let found = found.map(|s| (s.cursor.0, s.lag, s.missed, s.forwarded));
    assert_eq!(found, Some((2, 1, 1, 1)));
    let taken = ok(queue.take(TakeOptions::default()).await);
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].message, message);
    // Nothing of it was wanted.
    ok(topic.forward(step(2, 3, &[])).await);
    assert_eq!(subscription(&topic).await.map(|s| s.lag), Some(0));
}

async fn a_step_from_elsewhere_does_nothing(made: Made) {
    let Made { topic, queue } = made;
    publish(&topic, &["a", "b", "c"]).await;
    ok(topic.subscribe("s", Start::Earliest).await);
    ok(topic.forward(step(0, 1, &["a"])).await);
    refused(topic.forward(step(0, 1, &["a"])).await, Kind::Conflict);
    refused(topic.forward(step(1, 4, &["b"])).await, Kind::Invalid);
    refused(topic.forward(step(1, 0, &["b"])).await, Kind::Invalid);
    assert_eq!(taken(&queue).await, ["a"]);
    assert_eq!(
        subscription(&topic).await.map(|s| s.cursor),
        Some(Position(1))
    );
    ok(topic.unsubscribe("s").await);
    refused(topic.forward(step(1, 2, &["b"])).await, Kind::NotFound);
    assert!(taken(&queue).await.is_empty());
}

async fn a_step_into_a_full_queue_does_nothing(made: Made) {
    let Made { topic, queue } = made;
    publish(&topic, &["a", "b"]).await;
    ok(topic.subscribe("s", Start::Earliest).await);
    let large = "x".repeat(6000);
    ok(topic.forward(step(0, 1, &[&large])).await);
    refused(topic.forward(step(1, 2, &[&large])).await, Kind::Exhausted);
    assert_eq!(
        subscription(&topic).await.map(|s| s.cursor),
        Some(Position(1))
    );
    assert_eq!(ok(queue.purge(false).await), 1);
    ok(topic.forward(step(1, 2, &[&large])).await);
}

async fn a_cursor_can_go_back(made: Made) {
    let topic = made.topic;
    publish(&topic, &["a", "b", "c"]).await;
    ok(topic.subscribe("s", Start::Latest).await);
    let at = ok(topic.seek("s", Start::Earliest).await);
    assert_eq!((at.cursor, at.lag), (Position(0), 3));
    let at = ok(topic.seek("s", Start::After(Position(2))).await);
    assert_eq!((at.cursor, at.lag), (Position(2), 1));
    refused(
        topic.seek("s", Start::After(Position(9))).await,
        Kind::Invalid,
    );
    assert_eq!(ok(topic.seek("s", Start::Latest).await).lag, 0);
}

async fn purging_moves_the_cursors(made: Made) {
    let topic = made.topic;
    publish(&topic, &["a", "b"]).await;
    ok(topic.subscribe("s", Start::Earliest).await);
    assert_eq!(ok(topic.purge().await), 2);
    let found = subscription(&topic).await;
    assert_eq!(found.map(|s| (s.cursor.0, s.lag)), Some((2, 0)));
    assert!(read(&topic, 0).await.is_empty());
    let stats = ok(topic.stats().await);
    assert_eq!((stats.first, stats.last, stats.bytes), (3, 2, 0));
    // Positions are never used again.
    assert_eq!(publish(&topic, &["c"]).await, [3]);
    assert_eq!(texts(&read(&topic, 0).await), ["c"]);
}

async fn there_are_only_so_many_subscriptions(made: Made) {
    let topic = made.topic;
    for n in 0..check::SUBSCRIPTIONS {
        ok(topic.subscribe(&format!("s{n}"), Start::Latest).await);
    }
    refused(
        topic.subscribe("more", Start::Latest).await,
        Kind::Exhausted,
    );
    ok(topic.subscribe("s0", Start::Latest).await);
    ok(topic.unsubscribe("s0").await);
    ok(topic.subscribe("more", Start::Latest).await);
}

async fn what_is_over_a_limit_is_refused_whole(made: Made) {
    let topic = made.topic;
    let limits = topic.limits();
    let large = event(&"x".repeat(limits.message + 1));
    refused(
        topic.publish(vec![event("a"), large], None).await,
        Kind::Exhausted,
    );
    let many = vec![event("a"); limits.batch + 1];
    refused(topic.publish(many, None).await, Kind::Exhausted);
    let keyed = event("a").with_key("k".repeat(limits.name + 1));
    refused(
        topic.publish(vec![event("a"), keyed], None).await,
        Kind::Invalid,
    );
    for odd in [
        event("a").with_priority(1),
        event("a").after(Duration::ZERO),
    ] {
        refused(topic.publish(vec![odd], None).await, Kind::Invalid);
    }
    assert_eq!(ok(topic.stats().await).last, 0);
}

async fn the_oldest_go_when_it_is_full(made: Made) {
    let topic = made.topic;
    ok(topic.subscribe("s", Start::Earliest).await);
    let hundred = "x".repeat(100);
    for n in 0..10 {
        publish(&topic, &[&format!("{n}{hundred}")]).await;
    }
    // 229 bytes each.
    let stats = ok(topic.stats().await);
    assert_eq!((stats.first, stats.last, stats.bytes), (7, 10, 4 * 229));
    assert_eq!(read(&topic, 0).await[0].position, Position(7));
    assert_eq!(
        subscription(&topic).await.map(|s| (s.cursor.0, s.lag)),
        Some((0, 4))
    );
    assert_eq!(ok(topic.position(Start::Earliest).await), Position(6));
    assert_eq!(
        ok(topic.position(Start::After(Position(2))).await),
        Position(6)
    );
    assert_eq!(ok(topic.position(Start::Since(0)).await), Position(6));
    let large = event(&"x".repeat(1000));
    refused(topic.publish(vec![large], None).await, Kind::Exhausted);
    assert_eq!(ok(topic.stats().await), stats);
}

async fn the_oldest_go_when_they_are_old(made: Made) {
    let topic = made.topic;
    publish(&topic, &["a", "b"]).await;
    pause(60).await;
    assert_eq!(publish(&topic, &["c"]).await, [3]);
    assert_eq!(texts(&read(&topic, 0).await), ["c"]);
    assert_eq!(ok(topic.stats().await).first, 3);
}
