//! What every queue does: call [`run`] with a way to make an empty one with these settings.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use gust_task::clock;
use gust_types::{ByteSize, Kind, Result, Span};

use super::{Message, MessageId, Queue, QueueSettings, TakeOptions, Taken, Timed, Verdict, check};

/// Runs every check, each on a queue of its own. Needs a tokio runtime with time.
pub async fn run(make: impl AsyncFn(QueueSettings) -> Arc<dyn Queue>) {
    let plain = || make(QueueSettings::default());
    messages_come_whole_and_in_order(plain().await).await;
    a_taken_message_is_nobody_elses(plain().await).await;
    a_message_comes_back_when_its_time_is_up(plain().await).await;
    a_receipt_is_worth_nothing_after_the_next_taking(plain().await).await;
    extending_keeps_a_message(plain().await).await;
    again_waits(plain().await).await;
    a_message_that_was_not_tried_has_no_attempt_behind_it(plain().await).await;
    what_is_taken_can_be_released(plain().await).await;
    a_delayed_message_waits(plain().await).await;
    higher_priority_comes_first(plain().await).await;
    groups_are_handled_one_after_the_other(plain().await).await;
    a_group_does_not_wait_for_another(plain().await).await;
    a_key_is_kept_once(plain().await).await;
    the_dead_keep_cause_and_original_and_can_be_redriven(plain().await).await;
    purging_removes_what_it_says(plain().await).await;
    a_waiting_consumer_wakes(plain().await).await;
    what_is_over_a_limit_is_refused_whole(plain().await).await;
    stats_count(plain().await).await;
    what_waits_for_its_time_is_counted(plain().await).await;
    let few = QueueSettings {
        attempts: 2,
        ..QueueSettings::default()
    };
    a_poison_message_dies_and_its_group_goes_on(make(few).await).await;
    // Long enough for a busy machine to take what is not too old.
    let short = QueueSettings {
        max_age: Span::millis(500),
        ..QueueSettings::default()
    };
    an_old_message_dies(make(short.clone()).await).await;
    a_delay_is_no_age(make(short).await).await;
    let small = QueueSettings {
        max_bytes: ByteSize(1200),
        ..QueueSettings::default()
    };
    a_full_queue_refuses_until_there_is_room(make(small).await).await;
    let brief = QueueSettings {
        dedup: Span::millis(30),
        ..QueueSettings::default()
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

fn message(text: &str) -> Message {
    Message::new(text.to_owned())
}

fn texts(taken: &[Taken]) -> Vec<String> {
    let text = |t: &Taken| String::from_utf8_lossy(&t.message.body).into_owned();
    taken.iter().map(text).collect()
}

async fn publish(queue: &Arc<dyn Queue>, messages: Vec<Message>) -> Vec<MessageId> {
    let published = ok(queue.publish(messages).await);
    published.into_iter().map(|p| p.id).collect()
}

async fn take(queue: &Arc<dyn Queue>, most: usize) -> Vec<Taken> {
    let options = TakeOptions {
        most,
        ..TakeOptions::default()
    };
    ok(queue.take(options).await)
}

async fn take_for(queue: &Arc<dyn Queue>, millis: u64) -> Vec<Taken> {
    let options = TakeOptions {
        visibility: Some(Duration::from_millis(millis)),
        ..TakeOptions::default()
    };
    ok(queue.take(options).await)
}

async fn settle(queue: &Arc<dyn Queue>, taken: &Taken, verdict: Verdict) {
    for answer in ok(queue.settle(vec![(taken.receipt, verdict)]).await) {
        ok(answer);
    }
}

async fn settle_all(queue: &Arc<dyn Queue>, taken: &[Taken], verdict: Verdict) {
    let verdicts = taken.iter().map(|t| (t.receipt, verdict.clone())).collect();
    for answer in ok(queue.settle(verdicts).await) {
        ok(answer);
    }
}

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

async fn messages_come_whole_and_in_order(queue: Arc<dyn Queue>) {
    let mut first = message("一 one");
    first.attributes.insert("名".into(), "值".into());
    let ids = publish(&queue, vec![first.clone(), message("two")]).await;
    publish(&queue, vec![Message::default()]).await;
    assert!(ids[0] < ids[1]);
    let before = clock::unix_micros();
    let taken = take(&queue, 10).await;
    assert_eq!(texts(&taken), ["一 one", "two", ""]);
    assert_eq!(taken[0].message, first);
    assert_eq!(taken[0].receipt.id, ids[0]);
    assert_eq!(taken[0].receipt.attempt, 1);
    assert!(taken[0].published_us <= before);
    settle_all(&queue, &taken, Verdict::Done).await;
    assert_eq!(ok(queue.stats().await).messages, 0);
    assert!(ok(queue.publish(Vec::new()).await).is_empty());
    // Numbers are never used again.
    assert!(publish(&queue, vec![message("next")]).await[0].0 > ids[1].0 + 1);
}

async fn a_taken_message_is_nobody_elses(queue: Arc<dyn Queue>) {
    publish(&queue, vec![message("a"), message("b"), message("c")]).await;
    assert_eq!(texts(&take(&queue, 2).await), ["a", "b"]);
    assert_eq!(texts(&take(&queue, 2).await), ["c"]);
    assert!(take(&queue, 2).await.is_empty());
}

async fn a_message_comes_back_when_its_time_is_up(queue: Arc<dyn Queue>) {
    publish(&queue, vec![message("a")]).await;
    assert_eq!(take_for(&queue, 30).await[0].receipt.attempt, 1);
    assert!(take(&queue, 1).await.is_empty());
    pause(40).await;
    assert_eq!(take(&queue, 1).await[0].receipt.attempt, 2);
}

async fn a_receipt_is_worth_nothing_after_the_next_taking(queue: Arc<dyn Queue>) {
    publish(&queue, vec![message("a")]).await;
    let first = take_for(&queue, 10).await;
    pause(20).await;
    let second = take(&queue, 1).await;
    for verdict in [
        Verdict::Done,
        Verdict::Dead("no".into()),
        Verdict::Again(Duration::ZERO),
        Verdict::Extend(Duration::from_secs(1)),
    ] {
        let answers = ok(queue.settle(vec![(first[0].receipt, verdict)]).await);
        for answer in answers {
            refused(answer, Kind::NotFound);
        }
    }
    // One that is worth nothing does not keep another from being settled.
    let both = vec![
        (first[0].receipt, Verdict::Done),
        (second[0].receipt, Verdict::Done),
    ];
    let answers = ok(queue.settle(both).await);
    assert!(answers[0].is_err() && answers[1].is_ok());
    let twice = ok(queue.settle(vec![(second[0].receipt, Verdict::Done)]).await);
    assert!(twice[0].is_err());
}

async fn extending_keeps_a_message(queue: Arc<dyn Queue>) {
    publish(&queue, vec![message("a")]).await;
    let taken = take_for(&queue, 40).await;
    let before = clock::unix_micros();
    let longer = vec![(taken[0].receipt, Verdict::Extend(Duration::from_secs(5)))];
    let mut answers = ok(queue.settle(longer).await);
    let receipt = ok(answers.remove(0));
    assert!(receipt.until_us >= before + 5_000_000);
    pause(60).await;
    assert!(take(&queue, 1).await.is_empty());
    let answers = ok(queue
        .settle(vec![
            (taken[0].receipt, Verdict::Done),
            (receipt, Verdict::Done),
        ])
        .await);
    assert!(answers[0].is_err() && answers[1].is_ok());
}

async fn again_waits(queue: Arc<dyn Queue>) {
    publish(&queue, vec![message("a"), message("b")]).await;
    let taken = take(&queue, 2).await;
    settle(
        &queue,
        &taken[0],
        Verdict::Again(Duration::from_millis(300)),
    )
    .await;
    settle(&queue, &taken[1], Verdict::Again(Duration::ZERO)).await;
    let now = take(&queue, 2).await;
    assert_eq!(texts(&now), ["b"]);
    assert_eq!(now[0].receipt.attempt, 2);
    pause(320).await;
    assert_eq!(texts(&take(&queue, 2).await), ["a"]);
}

async fn a_message_that_was_not_tried_has_no_attempt_behind_it(queue: Arc<dyn Queue>) {
    publish(&queue, vec![message("a")]).await;
    for _ in 0..20 {
        let taken = take(&queue, 1).await;
        assert_eq!(taken[0].receipt.attempt, 1);
        settle(&queue, &taken[0], Verdict::Back(Duration::ZERO)).await;
    }
}

async fn what_is_taken_can_be_released(queue: Arc<dyn Queue>) {
    let delayed = message("delayed").after(Duration::from_secs(60));
    let group = |text: &str| message(text).in_group("g");
    publish(
        &queue,
        vec![message("a"), message("b"), group("c"), group("d"), delayed],
    )
    .await;
    let taken = take(&queue, 10).await;
    assert_eq!(texts(&taken), ["a", "b", "c"]);
    settle(&queue, &taken[1], Verdict::Again(Duration::from_secs(60))).await;
    assert_eq!(ok(queue.release().await), 2);
    let again = take(&queue, 10).await;
    assert_eq!(texts(&again), ["a", "c"]);
    assert_eq!(again[0].receipt.attempt, 2);
    let late = ok(queue.settle(vec![(taken[0].receipt, Verdict::Done)]).await);
    assert!(late[0].is_err());
}

async fn a_delayed_message_waits(queue: Arc<dyn Queue>) {
    publish(
        &queue,
        vec![
            // Long enough that a busy machine asks before it is over.
            message("later").after(Duration::from_millis(500)),
            message("now"),
        ],
    )
    .await;
    assert_eq!(texts(&take(&queue, 2).await), ["now"]);
    pause(510).await;
    assert_eq!(texts(&take(&queue, 2).await), ["later"]);
}

async fn higher_priority_comes_first(queue: Arc<dyn Queue>) {
    let with = |text: &str, priority| message(text).with_priority(priority);
    publish(
        &queue,
        vec![
            with("low", 0),
            with("mid", 5),
            with("high", 9),
            with("mid 2", 5),
        ],
    )
    .await;
    let taken = take(&queue, 10).await;
    assert_eq!(texts(&taken), ["high", "mid", "mid 2", "low"]);
    settle_all(&queue, &taken, Verdict::Done).await;
}

async fn groups_are_handled_one_after_the_other(queue: Arc<dyn Queue>) {
    let in_group = |text: &str| message(text).in_group("组");
    publish(
        &queue,
        vec![in_group("1"), in_group("2").with_priority(9), in_group("3")],
    )
    .await;
    assert_eq!(ok(queue.stats().await).blocked, 2);
    for text in ["1", "2"] {
        let taken = take(&queue, 10).await;
        assert_eq!(texts(&taken), [text]);
        assert!(take(&queue, 10).await.is_empty());
        settle(&queue, &taken[0], Verdict::Done).await;
    }
    // Still in order after one that has to be tried again.
    let taken = take(&queue, 10).await;
    publish(&queue, vec![in_group("4")]).await;
    settle(&queue, &taken[0], Verdict::Again(Duration::from_millis(20))).await;
    assert!(take(&queue, 10).await.is_empty());
    pause(30).await;
    for text in ["3", "4"] {
        let taken = take(&queue, 10).await;
        assert_eq!(texts(&taken), [text]);
        settle(&queue, &taken[0], Verdict::Done).await;
    }
    // The group is free again.
    publish(&queue, vec![in_group("5")]).await;
    assert_eq!(texts(&take(&queue, 10).await), ["5"]);
}

async fn a_group_does_not_wait_for_another(queue: Arc<dyn Queue>) {
    let mut messages = Vec::new();
    for n in 0..6 {
        messages.push(message(&format!("{n}")).in_group(format!("g{}", n % 3)));
    }
    publish(&queue, messages).await;
    let taken = take(&queue, 10).await;
    assert_eq!(texts(&taken), ["0", "1", "2"]);
    settle(&queue, &taken[1], Verdict::Done).await;
    assert_eq!(texts(&take(&queue, 10).await), ["4"]);
}

async fn a_key_is_kept_once(queue: Arc<dyn Queue>) {
    let twice = vec![message("a").with_key("k"), message("b").with_key("k")];
    let published = ok(queue.publish(twice).await);
    assert_eq!(published[0].id, published[1].id);
    assert!(!published[0].duplicate && published[1].duplicate);
    let taken = take(&queue, 10).await;
    assert_eq!(texts(&taken), ["a"]);
    settle(&queue, &taken[0], Verdict::Done).await;
    // Also when it is gone already.
    let again = ok(queue.publish(vec![message("c").with_key("k")]).await);
    assert!(again[0].duplicate);
    assert!(take(&queue, 10).await.is_empty());
}

async fn a_key_is_forgotten_in_time(queue: Arc<dyn Queue>) {
    publish(&queue, vec![message("a").with_key("k")]).await;
    pause(40).await;
    let again = ok(queue.publish(vec![message("b").with_key("k")]).await);
    assert!(!again[0].duplicate);
    assert_eq!(texts(&take(&queue, 10).await), ["a", "b"]);
}

async fn the_dead_keep_cause_and_original_and_can_be_redriven(queue: Arc<dyn Queue>) {
    let ids = publish(&queue, vec![message("a"), message("b"), message("c")]).await;
    let taken = take(&queue, 3).await;
    settle_all(&queue, &taken, Verdict::Dead("因为 no".into())).await;
    let dead = ok(queue.dead(None, 10).await);
    assert_eq!(dead.iter().map(|d| d.id).collect::<Vec<_>>(), ids);
    assert_eq!((dead[0].cause.as_str(), dead[0].attempts), ("因为 no", 1));
    assert_eq!(dead[0].message, message("a"));
    assert!(dead[0].died_us >= dead[0].published_us);
    assert_eq!(ok(queue.dead(Some(ids[0]), 1).await)[0].id, ids[1]);
    assert!(take(&queue, 10).await.is_empty());
    assert_eq!(
        ok(queue
            .redrive(Some(vec![ids[1], MessageId(999_999)]), 10)
            .await),
        1
    );
    let again = take(&queue, 10).await;
    assert_eq!(texts(&again), ["b"]);
    assert_eq!(again[0].receipt.attempt, 1);
    assert_eq!(ok(queue.redrive(None, 1).await), 1);
    assert_eq!(ok(queue.dead(None, 10).await)[0].id, ids[2]);
}

async fn a_poison_message_dies_and_its_group_goes_on(queue: Arc<dyn Queue>) {
    publish(
        &queue,
        vec![
            message("poison").in_group("g"),
            message("next").in_group("g"),
        ],
    )
    .await;
    for attempt in 1..=2 {
        let taken = take(&queue, 10).await;
        assert_eq!(texts(&taken), ["poison"]);
        assert_eq!(taken[0].receipt.attempt, attempt);
        settle(&queue, &taken[0], Verdict::Again(Duration::ZERO)).await;
    }
    assert_eq!(texts(&take(&queue, 10).await), ["next"]);
    let dead = ok(queue.dead(None, 10).await);
    assert_eq!(
        (dead[0].cause.as_str(), dead[0].attempts),
        (check::TOO_OFTEN, 2)
    );
}

async fn a_delay_is_no_age(queue: Arc<dyn Queue>) {
    publish(&queue, vec![message("a").after(Duration::from_millis(600))]).await;
    pause(610).await;
    let taken = take(&queue, 1).await;
    assert_eq!(texts(&taken), ["a"]);
    assert_eq!(taken[0].ready_us, taken[0].published_us + 600_000);
}

async fn an_old_message_dies(queue: Arc<dyn Queue>) {
    publish(&queue, vec![message("old")]).await;
    pause(510).await;
    publish(&queue, vec![message("new")]).await;
    assert_eq!(texts(&take(&queue, 10).await), ["new"]);
    let dead = ok(queue.dead(None, 10).await);
    assert_eq!(
        (dead[0].cause.as_str(), dead[0].attempts),
        (check::TOO_OLD, 0)
    );
}

async fn a_full_queue_refuses_until_there_is_room(queue: Arc<dyn Queue>) {
    let big = || Message::new(Bytes::from(vec![7; 400]));
    publish(&queue, vec![big(), big()]).await;
    refused(
        queue.publish(vec![message("x"), big()]).await,
        Kind::Exhausted,
    );
    assert_eq!(ok(queue.stats().await).messages, 2);
    let taken = take(&queue, 1).await;
    settle(&queue, &taken[0], Verdict::Done).await;
    publish(&queue, vec![big()]).await;
}

async fn purging_removes_what_it_says(queue: Arc<dyn Queue>) {
    publish(
        &queue,
        vec![
            message("a"),
            message("b").in_group("g"),
            message("c").in_group("g"),
        ],
    )
    .await;
    let taken = take(&queue, 1).await;
    settle(&queue, &taken[0], Verdict::Dead("x".into())).await;
    let held = take(&queue, 1).await;
    assert_eq!(ok(queue.purge(false).await), 2);
    let late = ok(queue.settle(vec![(held[0].receipt, Verdict::Done)]).await);
    assert!(late[0].is_err());
    assert_eq!(ok(queue.dead(None, 10).await).len(), 1);
    assert_eq!(ok(queue.purge(true).await), 1);
    let stats = ok(queue.stats().await);
    assert_eq!(
        (stats.messages, stats.bytes, stats.dead, stats.dead_bytes),
        (0, 0, 0, 0)
    );
    publish(&queue, vec![message("d").in_group("g")]).await;
    assert_eq!(texts(&take(&queue, 10).await), ["d"]);
}

async fn a_waiting_consumer_wakes(queue: Arc<dyn Queue>) {
    let long = TakeOptions {
        wait: Duration::from_secs(20),
        ..TakeOptions::default()
    };
    let begun = clock::now();
    let waiting = queue.take(long);
    let publishing = async {
        pause(20).await;
        publish(&queue, vec![message("a")]).await;
    };
    let (taken, ()) = tokio::join!(waiting, publishing);
    assert_eq!(texts(&ok(taken)), ["a"]);
    // And when a delay is over, without anybody publishing.
    publish(&queue, vec![message("b").after(Duration::from_millis(30))]).await;
    assert_eq!(texts(&ok(queue.take(long).await)), ["b"]);
    assert!(begun.elapsed() < Duration::from_secs(10));
    let short = TakeOptions {
        wait: Duration::from_millis(30),
        ..TakeOptions::default()
    };
    assert!(ok(queue.take(short).await).is_empty());
}

async fn what_is_over_a_limit_is_refused_whole(queue: Arc<dyn Queue>) {
    let limits = queue.limits();
    let large = Message::new(Bytes::from(vec![0; limits.message + 1]));
    refused(
        queue.publish(vec![message("a"), large]).await,
        Kind::Exhausted,
    );
    let many = vec![message("a"); limits.batch + 1];
    refused(queue.publish(many).await, Kind::Exhausted);
    for bad in [
        message("a").in_group(""),
        message("a").in_group("g".repeat(limits.name + 1)),
        message("a").with_key("a\0b"),
        message("a").with_priority(10),
        message("a").after(Duration::from_secs(86_400 * 15)),
    ] {
        refused(queue.publish(vec![message("a"), bad]).await, Kind::Invalid);
    }
    assert_eq!(ok(queue.stats().await).messages, 0);
}

async fn stats_count(queue: Arc<dyn Queue>) {
    let before = clock::unix_micros();
    publish(
        &queue,
        vec![
            message("12345"),
            message("1").in_group("g"),
            message("2").in_group("g"),
        ],
    )
    .await;
    let stats = ok(queue.stats().await);
    assert_eq!(
        (stats.messages, stats.bytes, stats.blocked),
        (3, 9 + 3 * 128, 1)
    );
    assert_eq!((stats.published, stats.done, stats.dead), (3, 0, 0));
    assert!(stats.oldest_us >= before);
    let taken = take(&queue, 1).await;
    assert_eq!(
        ok(queue.stats().await).messages,
        3,
        "taken messages are still there"
    );
    settle(&queue, &taken[0], Verdict::Done).await;
    let stats = ok(queue.stats().await);
    assert_eq!(
        (stats.messages, stats.bytes, stats.done),
        (2, 4 + 2 * 128, 1)
    );
    let seen = ok(queue.peek(None, 10).await);
    let at: HashMap<_, _> = seen
        .iter()
        .map(|s| (s.message.body.clone(), s.at_us))
        .collect();
    assert!(at[&Bytes::from("1")].is_some() && at[&Bytes::from("2")].is_none());
    assert_eq!(ok(queue.peek(Some(seen[0].id), 1).await)[0].id, seen[1].id);
}

async fn what_waits_for_its_time_is_counted(queue: Arc<dyn Queue>) {
    let hour = Duration::from_secs(3600);
    assert_eq!(ok(queue.timed(10).await), Timed::default());
    let messages = vec![
        message("a").with_priority(9),
        message("b").with_priority(9),
        message("ready"),
        message("later").after(hour),
        message("later still").after(hour).with_priority(3),
        message("first").in_group("g").after(hour),
        message("behind").in_group("g").after(hour),
    ];
    publish(&queue, messages).await;
    let taken = take(&queue, 2).await;
    assert_eq!(texts(&taken), ["a", "b"]);
    let timed = |taken, delayed, more| Timed {
        taken,
        delayed,
        more,
    };
    assert_eq!(ok(queue.timed(100).await), timed(2, 3, false));
    assert_eq!(ok(queue.timed(5).await), timed(2, 3, false));
    let some = ok(queue.timed(4).await);
    assert_eq!((some.taken + some.delayed, some.more), (4, true));
    settle(&queue, &taken[0], Verdict::Done).await;
    settle(&queue, &taken[1], Verdict::Again(hour)).await;
    assert_eq!(ok(queue.timed(100).await), timed(0, 4, false));
}
