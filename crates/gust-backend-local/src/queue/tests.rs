//! The suite, the comparison with the model, and what is particular to the local queue: restarts, syncs, full disks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gust_backend::{
    Backends as _,
    queue::{
        Message, MessageId, Queue, QueueSettings, Receipt, TakeOptions, Verdict, memory::Model,
        suite,
    },
};
use gust_types::{ByteSize, Label, ProjectName, Span};

use super::{
    ask::{Done, Kind, Op, Target},
    group::{Cache, Group},
    keys,
};
use crate::{
    LocalBackends, Settings,
    disk::Disk,
    kv::group::Plan,
    small_disk::SmallDisk,
    store::{
        Engine,
        engine::{Batch, Open},
    },
};

fn queue(backends: &LocalBackends, name: &str, settings: QueueSettings) -> Arc<dyn Queue> {
    let project = ProjectName::default_project();
    backends
        .queue(&project, &Label::new(name).unwrap(), &settings)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let made = AtomicUsize::new(0);
    let make = async |settings| {
        let n = made.fetch_add(1, Ordering::Relaxed);
        queue(&backends, &format!("q{n}"), settings)
    };
    suite::run(make).await;
}

/// A queue of which the test is the committing thread and the clock.
struct Tree {
    open: Arc<Open>,
    cache: Cache,
    target: Target,
}

impl Tree {
    fn open(folder: &std::path::Path, settings: &QueueSettings) -> (Engine, Self) {
        let disk = Disk::new(folder, ByteSize(0)).unwrap();
        let engine = Engine::open(folder, disk, 1 << 20).unwrap();
        let open = engine.try_get().unwrap().unwrap();
        let name = keys::queue(&ProjectName::default_project(), &Label::new("q").unwrap());
        let tree = Self {
            open,
            cache: Cache::default(),
            target: Target {
                name: name.into(),
                settings: Arc::new(settings.clone()),
                bell: Arc::default(),
            },
        };
        (engine, tree)
    }

    /// Evaluates these in one group and writes what it comes to.
    fn commit(&mut self, ops: Vec<Op>, now_us: u64) -> Vec<gust_types::Result<Done>> {
        let mut group = Group::new(&self.open, &mut self.cache, now_us);
        let done: Vec<_> = ops
            .into_iter()
            .map(|op| group.evaluate(&self.target, op))
            .collect();
        let batch = Batch {
            plan: Plan {
                puts: Vec::new(),
                removals: Vec::new(),
            },
            queues: group.finish(),
            durable: false,
        };
        assert!(self.open.commit(batch).is_ok());
        done
    }
}

/// xorshift: the same seed gives the same run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn a_message(dice: &mut Dice, n: u64) -> Message {
    let mut message = Message::new(format!("m{n}"));
    if dice.below(2) == 0 {
        message = message.in_group(format!("g{}", dice.below(4)));
    }
    if dice.below(5) == 0 {
        message = message.with_key(format!("k{}", dice.below(6)));
    }
    if dice.below(4) == 0 {
        message = message.with_priority(dice.below(10) as u8);
    }
    if dice.below(5) == 0 {
        message = message.after(Duration::from_micros(dice.below(5000)));
    }
    message
}

fn a_verdict(dice: &mut Dice) -> Verdict {
    let while_ = Duration::from_micros(dice.below(3000));
    match dice.below(8) {
        0 => Verdict::Again(while_),
        3 => Verdict::Back(while_),
        1 => Verdict::Extend(while_),
        2 => Verdict::Dead("cause".to_owned()),
        _ => Verdict::Done,
    }
}

/// Step after step to the end; how many there were.
fn walk(tree: &mut Tree, now_us: u64, step: impl Fn(Option<Vec<u8>>) -> Op) -> u64 {
    let (mut count, mut after) = (0, None);
    loop {
        let Ok(Done::Walked(n, next)) = tree.commit(vec![step(after)], now_us).remove(0) else {
            panic!("no walk");
        };
        count += n;
        if next.is_none() {
            return count;
        }
        after = next;
    }
}

/// Random operations on the queue and on the model: every answer is the same.
fn agrees_with_the_model(seed: u64) {
    let settings = QueueSettings {
        attempts: 3,
        max_age: Span::millis(60),
        max_bytes: ByteSize(3000),
        dedup: Span::millis(8),
        dead_age: Span::secs(3600),
        ..QueueSettings::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let (_engine, mut tree) = Tree::open(folder.path(), &settings);
    let mut model = Model::new(settings);
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut receipts: Vec<Receipt> = Vec::new();
    let mut now_us = 1_000_000;
    for step in 0..600 {
        now_us += dice.below(1500);
        // Several requests of one group see each other.
        for _ in 0..=dice.below(3) {
            let context = format!("seed {seed}, step {step}");
            match dice.below(12) {
                0..=3 => {
                    let messages: Vec<_> = (0..=dice.below(3))
                        .map(|n| a_message(&mut dice, step * 10 + n))
                        .collect();
                    let wanted = model.publish(messages.clone(), now_us);
                    let done = tree.commit(vec![Op::Publish(messages)], now_us).remove(0);
                    match (wanted, done) {
                        (Ok(wanted), Ok(Done::Published(done))) => {
                            assert_eq!(wanted, done, "{context}");
                        }
                        (Err(wanted), Err(done)) => {
                            assert_eq!(wanted.message, done.message, "{context}");
                        }
                        (wanted, done) => panic!("{context}: {wanted:?}, {}", done.is_ok()),
                    }
                }
                4..=6 => {
                    let most = dice.below(4) as usize + 1;
                    let visibility = Duration::from_micros(dice.below(6000));
                    let wanted = model.take(most, visibility, now_us);
                    let done = tree
                        .commit(vec![Op::Take { most, visibility }], now_us)
                        .remove(0);
                    let Ok(Done::Taken(taken, next_us)) = done else {
                        panic!("{context}");
                    };
                    assert_eq!(wanted[..], taken[..], "{context}");
                    if taken.is_empty() {
                        assert_eq!(model.next_us(), next_us, "{context}");
                    }
                    receipts.extend(taken.iter().map(|t| t.receipt));
                }
                7..=9 if !receipts.is_empty() => {
                    // Sometimes one that is worth nothing any more.
                    let at = dice.below(receipts.len() as u64) as usize;
                    let receipt = match dice.below(4) {
                        0 => receipts[at],
                        _ => receipts.swap_remove(at),
                    };
                    let verdict = a_verdict(&mut dice);
                    let wanted = model.settle(receipt, verdict.clone(), now_us);
                    let ops = vec![Op::Settle(vec![(receipt, verdict)])];
                    let Ok(Done::Settled(mut done)) = tree.commit(ops, now_us).remove(0) else {
                        panic!("{context}");
                    };
                    let done = done.remove(0);
                    assert_eq!(wanted.as_ref().ok(), done.as_ref().ok(), "{context}");
                    receipts.extend(done.ok().filter(|r| r.until_us > receipt.until_us));
                }
                10 => {
                    let most = dice.below(3) as usize;
                    let ids = (dice.below(2) == 0).then(|| vec![MessageId(dice.below(step + 1))]);
                    let wanted = model.redrive(ids.clone(), most, now_us);
                    let upto = MessageId(u64::MAX);
                    let op = Op::Redrive { ids, upto, most };
                    let done = tree.commit(vec![op], now_us).remove(0);
                    assert!(
                        matches!(done, Ok(Done::Count(n)) if n == wanted),
                        "{context}"
                    );
                }
                11 if dice.below(20) == 0 => {
                    let dead = dice.below(2) == 0;
                    let wanted = model.purge(dead);
                    let kinds = match dead {
                        true => vec![Kind::Dead],
                        false => vec![Kind::Blocked, Kind::Ready],
                    };
                    let mut count = 0;
                    for what in kinds {
                        let most = 1 + dice.below(4) as usize;
                        let upto = MessageId(u64::MAX);
                        count += walk(&mut tree, now_us, |after| Op::Purge {
                            what,
                            upto,
                            after,
                            most,
                        });
                    }
                    assert_eq!(wanted, count, "{context}");
                }
                11 if dice.below(8) == 0 => {
                    let wanted = model.release(now_us);
                    let most = 1 + dice.below(4) as usize;
                    let count = walk(&mut tree, now_us, |after| Op::Release { after, most });
                    assert_eq!(wanted, count, "{context}");
                }
                _ => {
                    let sweep = tree.commit(vec![Op::Sweep { most: 100 }], now_us).remove(0);
                    assert!(sweep.is_ok());
                }
            }
            if dice.below(40) == 0 {
                // As after a restart: nothing is known.
                tree.cache = Cache::default();
            }
            let mut wanted = model.stats();
            wanted.oldest_us = 0;
            let mut group = Group::new(&tree.open, &mut tree.cache, now_us);
            assert_eq!(group.stats(&tree.target).unwrap(), wanted, "{context}");
        }
    }
}

#[test]
fn does_what_the_model_does() {
    let seeds = if std::env::var_os("GUST_LONG").is_some() {
        400
    } else {
        40
    };
    for seed in 1..=seeds {
        agrees_with_the_model(seed);
    }
}

#[test]
fn requests_of_one_group_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (_engine, mut tree) = Tree::open(folder.path(), &QueueSettings::default());
    let group = |text: &str| Message::new(text.to_owned()).in_group("g");
    let take = || Op::Take {
        most: 10,
        visibility: Duration::from_secs(1),
    };
    let ops = vec![Op::Publish(vec![group("a"), group("b")]), take(), take()];
    let mut done = tree.commit(ops, 1000);
    let Ok(Done::Taken(second, _)) = done.remove(2) else {
        panic!()
    };
    let Ok(Done::Taken(first, _)) = done.remove(1) else {
        panic!()
    };
    assert_eq!((first.len(), second.len()), (1, 0));
    let settle = Op::Settle(vec![(first[0].receipt, Verdict::Done)]);
    let mut done = tree.commit(vec![settle, take()], 2000);
    let Ok(Done::Taken(next, _)) = done.remove(1) else {
        panic!()
    };
    assert_eq!(&next[0].message.body[..], b"b");
}

#[tokio::test]
async fn messages_the_dead_and_numbers_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = QueueSettings::default();
    let texts = ["a", "b", "c"].map(|text| Message::new(text).in_group("g"));
    {
        let backends = LocalBackends::open(folder.path()).unwrap();
        let queue = queue(&backends, "q", settings.clone());
        queue.publish(texts.to_vec()).await.unwrap();
        let taken = queue.take(TakeOptions::default()).await.unwrap();
        let verdicts = vec![(taken[0].receipt, Verdict::Dead("cause".into()))];
        queue.settle(verdicts).await.unwrap();
        // Taken when the node goes down: it is there again when its time is up.
        let options = TakeOptions {
            visibility: Some(Duration::from_millis(50)),
            ..TakeOptions::default()
        };
        queue.take(options).await.unwrap();
    }
    let backends = LocalBackends::open(folder.path()).unwrap();
    let queue = queue(&backends, "q", settings);
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.messages, stats.blocked, stats.dead), (2, 1, 1));
    assert!(stats.oldest_us > 0);
    let options = TakeOptions {
        wait: Duration::from_secs(5),
        ..TakeOptions::default()
    };
    let taken = queue.take(options).await.unwrap();
    assert_eq!(&taken[0].message.body[..], b"b");
    assert_eq!(taken[0].receipt.attempt, 2);
    let published = queue.publish(vec![Message::new("d")]).await.unwrap();
    assert_eq!(published[0].id, MessageId(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_publishers_share_syncs_and_takings_need_none() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let queue = queue(&backends, "q", QueueSettings::default());
    let publish = |n: usize| {
        let queue = queue.clone();
        async move {
            queue
                .publish(vec![Message::new(format!("{n}"))])
                .await
                .unwrap()
        }
    };
    futures::future::join_all((0..500).map(publish)).await;
    let stats = backends.kv_stats();
    assert!(stats.writes >= 500, "{stats:?}");
    assert!(stats.commits < 100, "{stats:?}");
    let before = backends.kv_stats().commits;
    let options = TakeOptions {
        most: 1000,
        ..TakeOptions::default()
    };
    assert_eq!(queue.take(options).await.unwrap().len(), 500);
    assert_eq!(backends.kv_stats().commits, before);
}

#[tokio::test]
async fn projects_and_names_never_meet() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let settings = QueueSettings::default();
    let of = |project: &str, name: &str| {
        let project = ProjectName::new(project).unwrap();
        backends
            .queue(&project, &Label::new(name).unwrap(), &settings)
            .unwrap()
    };
    of("a", "b").publish(vec![Message::new("x")]).await.unwrap();
    for (project, name) in [("ab", "b"), ("a", "bb"), ("b", "a"), ("a-b", "b")] {
        let other = of(project, name);
        assert!(other.take(TakeOptions::default()).await.unwrap().is_empty());
        assert_eq!(other.stats().await.unwrap().messages, 0);
    }
    let names = backends.queues(&ProjectName::new("a").unwrap()).unwrap();
    assert_eq!(names, [Label::new("b").unwrap()]);
    assert_eq!(
        of("a", "b")
            .take(TakeOptions::default())
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_publishing_is_refused_and_deliveries_go_on() {
    let Some(disk) = SmallDisk::mount("96m") else {
        return;
    };
    let settings = Settings {
        disk_reserve: ByteSize::mib(8),
        ..Settings::default()
    };
    let backends = LocalBackends::open_with(disk.path(), settings).unwrap();
    let queue = queue(&backends, "q", QueueSettings::default());
    for _ in 0..10 {
        let messages = (0..1000).map(|n| Message::new(format!("消息 {n}")));
        queue.publish(messages.collect()).await.unwrap();
    }
    disk.fill();
    let error = queue.publish(vec![Message::new("more")]).await.unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (gust_types::Kind::Exhausted, "disk is full")
    );
    for _ in 0..1000 {
        let options = TakeOptions {
            most: 10,
            ..TakeOptions::default()
        };
        let taken = queue.take(options).await.unwrap();
        assert_eq!(taken.len(), 10);
        let verdicts = taken.iter().map(|t| (t.receipt, Verdict::Done)).collect();
        assert!(
            queue
                .settle(verdicts)
                .await
                .unwrap()
                .iter()
                .all(Result::is_ok)
        );
    }
    // Nobody ran into the end of the disk: whoever reads was never told to wait.
    assert_eq!(backends.kv_stats().reopened, 0);
    disk.free();
    queue.publish(vec![Message::new("again")]).await.unwrap();
    assert_eq!(queue.stats().await.unwrap().messages, 1);
}

#[test]
fn a_clock_that_goes_back_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_engine, mut tree) = Tree::open(folder.path(), &QueueSettings::default());
    let publish = |text: &str| Op::Publish(vec![Message::new(text.to_owned())]);
    let take = || Op::Take {
        most: 10,
        visibility: Duration::from_secs(1),
    };
    tree.commit(vec![publish("a"), take(), take()], 9_000_000);
    // What is published now is ready before what was looked at then.
    let mut done = tree.commit(vec![publish("b"), take()], 1_000_000);
    let Ok(Done::Taken(taken, _)) = done.remove(1) else {
        panic!()
    };
    assert_eq!(taken.len(), 1);
    assert!(tree.commit(vec![take()], 2_000_000).remove(0).is_ok());
}

#[test]
fn an_aged_backlog_dies_in_steps() {
    let folder = tempfile::tempdir().unwrap();
    let settings = QueueSettings {
        max_age: Span::secs(1),
        ..QueueSettings::default()
    };
    let (_engine, mut tree) = Tree::open(folder.path(), &settings);
    let old = (0..1000).map(|n| Message::new(format!("{n}")));
    tree.commit(vec![Op::Publish(old.collect())], 1_000_000);
    let take = || Op::Take {
        most: 10,
        visibility: Duration::from_secs(1),
    };
    let now_us = 10_000_000;
    tree.commit(vec![Op::Publish(vec![Message::new("new")])], now_us);
    for _ in 0..2 {
        let Ok(Done::Taken(taken, next_us)) = tree.commit(vec![take()], now_us).remove(0) else {
            panic!()
        };
        // At once again: there is more to see.
        assert_eq!((taken.len(), next_us), (0, Some(now_us)));
    }
    let Ok(Done::Taken(taken, _)) = tree.commit(vec![take()], now_us).remove(0) else {
        panic!()
    };
    assert_eq!(&taken[0].message.body[..], b"new");
}

#[tokio::test]
async fn a_project_has_no_more_queues_than_it_may_and_looking_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let of = |name: String| queue(&backends, &name, QueueSettings::default());
    let project = ProjectName::default_project();
    let looked = of("looked".to_owned());
    assert!(
        looked
            .take(TakeOptions::default())
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        looked.purge(false).await.unwrap() + looked.redrive(None, 9).await.unwrap(),
        0
    );
    assert_eq!(looked.stats().await.unwrap().messages, 0);
    assert!(backends.queues(&project).unwrap().is_empty());
    let make = async |n: u64| of(format!("q{n}")).publish(vec![Message::new("x")]).await;
    let made = futures::future::join_all((0..1000).map(make)).await;
    assert!(made.iter().all(Result::is_ok));
    let error = make(1000).await.unwrap_err();
    assert!(error.message.contains("1000 queues"), "{}", error.message);
    make(7).await.unwrap();
    // What the platform keeps for itself does not count, and is always taken.
    let own = Label::reserved("own");
    let own = backends.queue(&project, &own, &QueueSettings::default());
    own.unwrap().publish(vec![Message::new("x")]).await.unwrap();
}

#[tokio::test]
async fn who_leaves_before_the_answer_has_taken_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let queue = queue(&backends, "q", QueueSettings::default());
    queue.publish(vec![Message::new("a")]).await.unwrap();
    for _ in 0..50 {
        // Polled once, so that the request is on its way, and dropped.
        let _ = futures::FutureExt::now_or_never(queue.take(TakeOptions::default()));
    }
    let options = TakeOptions {
        wait: Duration::from_secs(60),
        ..TakeOptions::default()
    };
    let taken = queue.take(options).await.unwrap();
    assert_eq!(taken[0].receipt.attempt, 1);
}

/// Publishes and gives up, and answers when all are dead.
async fn bury(queue: &dyn Queue, bodies: usize) {
    let messages = (0..bodies).map(|_| Message::new("给".repeat(200)));
    queue.publish(messages.collect()).await.unwrap();
    let mut left = bodies;
    while left > 0 {
        let options = TakeOptions {
            most: left,
            ..TakeOptions::default()
        };
        let taken = queue.take(options).await.unwrap();
        left -= taken.len();
        let dead = |receipt| (receipt, Verdict::Dead("坏".into()));
        let verdicts = taken.into_iter().map(|taken| dead(taken.receipt));
        queue.settle(verdicts.collect()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dead_are_forgotten_where_nobody_asks_anything_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let settings = QueueSettings {
        dead_age: Span::millis(50),
        ..QueueSettings::default()
    };
    let project = ProjectName::default_project();
    // More than one step of a sweep, in a queue of the platform's own too.
    let mut all = Vec::new();
    for name in [Label::new("left").unwrap(), Label::reserved("in/shop/gone")] {
        let queue = backends.queue(&project, &name, &settings).unwrap();
        bury(&*queue, 450).await;
        all.push(queue);
    }
    let kept = queue(&backends, "kept", QueueSettings::default());
    bury(&*kept, 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let queues = backends.queues.clone();
    let stopped = queues.clone();
    let sweep = tokio::task::spawn_blocking(move || stopped.sweep(|| true).unwrap());
    assert_eq!(sweep.await.unwrap(), 0, "it hears that it is to stop");
    let sweep = tokio::task::spawn_blocking(move || queues.sweep(|| false).unwrap());
    assert_eq!(sweep.await.unwrap(), 900);
    for queue in all {
        let stats = queue.stats().await.unwrap();
        assert_eq!((stats.dead, stats.dead_bytes), (0, 0));
    }
    assert_eq!(kept.stats().await.unwrap().dead, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_full_of_what_may_be_forgotten_is_not_full() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let young = QueueSettings {
        max_bytes: ByteSize::kib(512),
        ..QueueSettings::default()
    };
    let q = queue(&backends, "q", young.clone());
    bury(&*q, 600).await;
    let large = || vec![Message::new(vec![0; 256 << 10])];
    let error = q.publish(large()).await.unwrap_err();
    assert_eq!(error.kind, gust_types::Kind::Exhausted, "{error}");
    // Their time is over from now on. It looked for room a moment ago, so another node's first question does.
    drop((q, backends));
    let backends = LocalBackends::open(folder.path()).unwrap();
    let old = QueueSettings {
        dead_age: Span::millis(1),
        ..young
    };
    let q = queue(&backends, "q", old);
    q.publish(large()).await.unwrap();
    let stats = q.stats().await.unwrap();
    assert_eq!((stats.messages, stats.dead), (1, 0));
}
