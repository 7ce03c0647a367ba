//! The suite, the comparison with the model, and what is particular to the local topic: restarts and full disks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gust_backend::{
    Backends as _,
    queue::{Message, QueueSettings, TakeOptions, memory::Model as QueueModel},
    topic::{
        Forward, Position, ReadOptions, Start, Topic, TopicSettings, check, memory::Model, suite,
    },
};
use gust_types::{ByteSize, Kind, Label, ProjectName, Span};

use super::ask::{Done, Op, Target};
use crate::{
    LocalBackends, Settings,
    disk::Disk,
    kv::group::Plan,
    queue::{
        Queues,
        ask::{self, Target as QueueTarget},
        group::{Cache, Group},
        keys,
    },
    small_disk::SmallDisk,
    store::{
        Engine,
        engine::{Batch, Open},
    },
};

fn topic(backends: &LocalBackends, name: &str, settings: TopicSettings) -> Arc<dyn Topic> {
    let project = ProjectName::default_project();
    backends
        .topic(&project, &Label::new(name).unwrap(), &settings)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let made = AtomicUsize::new(0);
    let make = async |settings: TopicSettings| {
        // A project for each: they all forward to a queue of the same name.
        let n = made.fetch_add(1, Ordering::Relaxed);
        let project = ProjectName::new(format!("p{n}")).unwrap();
        let name = Label::new("t").unwrap();
        suite::Made {
            topic: backends.topic(&project, &name, &settings).unwrap(),
            queue: backends
                .queue(&project, &suite::queue(), &suite::queue_settings())
                .unwrap(),
        }
    };
    suite::run(make).await;
}

/// A topic and a queue of which the test is the committing thread and the clock.
struct Tree {
    open: Arc<Open>,
    cache: Cache,
    target: Target,
    queue: QueueTarget,
}

impl Tree {
    fn open(
        folder: &std::path::Path,
        settings: &TopicSettings,
        queue: &QueueSettings,
    ) -> (Arc<Engine>, Self) {
        let disk = Disk::new(folder, ByteSize(0)).unwrap();
        let engine = Arc::new(Engine::open(folder, disk, 1 << 20).unwrap());
        let open = engine.try_get().unwrap().unwrap();
        let project = ProjectName::default_project();
        let name = keys::topic(&project, &Label::new("t").unwrap());
        let committer =
            crate::store::Committer::start(engine.clone(), ByteSize::mib(1), Arc::default())
                .unwrap();
        let queues = Queues::new(engine.clone(), Arc::new(committer));
        let tree = Self {
            open,
            cache: Cache::default(),
            target: Target {
                name: name.into(),
                settings: Arc::new(settings.clone()),
                bell: Arc::default(),
            },
            queue: queues.queue(&project, &suite::queue(), queue).target(),
        };
        (engine, tree)
    }

    /// Evaluates this in a group of its own and writes what it comes to.
    fn commit<T>(&mut self, now_us: u64, with: impl FnOnce(&mut Group<'_>) -> T) -> T {
        let mut group = Group::new(&self.open, &mut self.cache, now_us);
        let done = with(&mut group);
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

    fn ask(&mut self, op: Op, now_us: u64) -> gust_types::Result<Done> {
        let target = self.target.clone();
        self.commit(now_us, |group| group.evaluate_topic(&target, op))
    }

    fn take(&mut self, most: usize, now_us: u64) -> Vec<Message> {
        let (target, visibility) = (self.queue.clone(), Duration::from_secs(1));
        let op = ask::Op::Take { most, visibility };
        let done = self.commit(now_us, |group| group.evaluate(&target, op));
        let Ok(ask::Done::Taken(taken, _)) = done else {
            panic!("nothing is taken");
        };
        taken.iter().map(|t| t.message.clone()).collect()
    }
}

/// What one topic forgets at once, everybody waits for.
#[test]
fn a_step_of_forgetting_has_a_bound_in_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = TopicSettings {
        max_bytes: ByteSize::mib(64),
        ..TopicSettings::default()
    };
    let (_engine, mut tree) = Tree::open(folder.path(), &settings, &QueueSettings::default());
    for _ in 0..4 {
        let publish = Op::Publish {
            events: vec![Message::new(vec![b'a'; 1 << 20]); 7],
            remember: None,
        };
        assert!(tree.ask(publish, 1).is_ok());
    }
    settings.max_bytes = ByteSize::mib(2);
    tree.target.settings = Arc::new(settings);
    let mut steps = Vec::new();
    loop {
        match tree.ask(Op::Sweep { most: 2000 }, 2).unwrap() {
            Done::Count(0) => break,
            Done::Count(count) => steps.push(count),
            _ => panic!("a sweep counts"),
        }
    }
    assert_eq!(steps.iter().sum::<u64>(), 27);
    assert!(steps.iter().all(|count| *count <= 8), "{steps:?}");
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

    fn event(&mut self, n: u64) -> Message {
        let mut event = Message::new(format!("m{n}"));
        if self.below(3) == 0 {
            event = event.in_group(format!("g{}", self.below(4)));
        }
        if self.below(4) == 0 {
            event = event.with_key(format!("k{}", self.below(6)));
        }
        event
    }

    fn start(&mut self, last: u64, now_us: u64) -> Start {
        match self.below(5) {
            0 => Start::Latest,
            1 => Start::Earliest,
            2 => Start::Since(now_us.saturating_sub(self.below(20_000))),
            _ => Start::After(Position(self.below(last + 2))),
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(
    wanted: gust_types::Result<T>,
    done: gust_types::Result<T>,
    context: &str,
) {
    match (wanted, done) {
        (Ok(wanted), Ok(done)) => assert_eq!(wanted, done, "{context}"),
        (Err(wanted), Err(done)) => assert_eq!(wanted.message, done.message, "{context}"),
        (wanted, done) => panic!("{context}: {wanted:?}, {done:?}"),
    }
}

fn agrees_with_the_model(seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let settings = TopicSettings {
        max_age: Span::millis(30),
        max_bytes: ByteSize(4000),
        dedup: Span::millis(5),
    };
    let queue_settings = QueueSettings {
        max_bytes: ByteSize(3000),
        ..QueueSettings::default()
    };
    let (_engine, mut tree) = Tree::open(folder.path(), &settings, &queue_settings);
    let mut model = Model::new(settings);
    let mut queue = QueueModel::new(queue_settings.clone());
    let mut dice = Dice(seed);
    let mut now_us = 1_000_000;
    for n in 0..600u64 {
        // Now and then the clock goes back.
        now_us = match dice.below(30) {
            0 => now_us - dice.below(3000),
            _ => now_us + dice.below(1500),
        };
        let context = format!("seed {seed}, step {n}");
        let name = format!("s{}", dice.below(4));
        match dice.below(12) {
            0..=4 => {
                let count = 1 + dice.below(3);
                let events: Vec<_> = (0..count).map(|k| dice.event(n * 10 + k)).collect();
                let remember = (dice.below(4) == 0).then(|| Duration::from_millis(20));
                let wanted = model.publish(events.clone(), remember, now_us);
                let done = tree.ask(Op::Publish { events, remember }, now_us);
                let done = done.map(|done| match done {
                    Done::Appended(appended) => appended,
                    _ => panic!("{context}"),
                });
                same(wanted, done, &context);
            }
            kind @ 5..=7 => {
                let start = dice.start(model.stats().last, now_us);
                let (wanted, op) = match kind {
                    5 => (model.subscribe(&name, start), Op::Subscribe { name, start }),
                    _ => (model.seek(&name, start), Op::Seek { name, start }),
                };
                let done = tree.ask(op, now_us).map(|done| match done {
                    Done::Subscription(found) => found,
                    _ => panic!("{context}"),
                });
                same(wanted, done, &context);
            }
            8 | 9 => {
                let known = model.subscriptions();
                let cursor = known.iter().find(|s| s.name == name);
                let from = cursor.map_or(Position(0), |s| s.cursor);
                // Sometimes one that is not there.
                let from = Position(from.0 + u64::from(dice.below(6) == 0));
                let page = model.read(from, dice.below(4) as usize);
                let to = page.last().map_or(from, |last| last.position);
                let first = page.first().map_or(from.0 + 1, |first| first.position.0);
                let wanted = page.into_iter().filter(|_| dice.below(3) > 0);
                let messages = wanted.map(|l| Message {
                    key: None,
                    ..l.message
                });
                let step = Forward {
                    name,
                    from,
                    to,
                    missed: first - from.0 - 1,
                    messages: messages.collect(),
                    queue: suite::queue(),
                    settings: queue_settings.clone(),
                };
                let wanted = model.may_step(&step).and_then(|()| {
                    queue.publish(step.messages.clone(), now_us)?;
                    model.step(&step);
                    Ok(())
                });
                let op = Op::Forward(Box::new(step), tree.queue.clone());
                same(wanted, tree.ask(op, now_us).map(drop), &context);
            }
            10 => {
                let most = dice.below(6) as usize;
                let taken = queue.take(most, Duration::from_secs(1), now_us);
                let wanted: Vec<_> = taken.into_iter().map(|t| t.message).collect();
                assert_eq!(wanted, tree.take(most, now_us), "{context}");
            }
            _ if dice.below(12) == 0 => {
                let (wanted, upto) = (model.purge(), Position(u64::MAX));
                let mut count = 0;
                let most = 1 + dice.below(3) as usize;
                while let Ok(Done::Count(done)) = tree.ask(
                    Op::Purge {
                        upto: upto.min(Position(model.stats().last)),
                        most,
                    },
                    now_us,
                ) {
                    count += done;
                    if done < most as u64 {
                        break;
                    }
                }
                assert_eq!(wanted, count, "{context}");
            }
            _ if dice.below(4) == 0 => {
                let was = tree.ask(Op::Unsubscribe(name.clone()), now_us);
                assert!(
                    matches!(was, Ok(Done::Was(was)) if was == model.unsubscribe(&name)),
                    "{context}"
                );
            }
            _ => {
                model.sweep(now_us);
                assert!(tree.ask(Op::Sweep { most: 100 }, now_us).is_ok());
            }
        }
        if dice.below(40) == 0 {
            // As after a restart: nothing is known.
            tree.cache = Cache::default();
        }
        if dice.below(8) == 0 || n == 599 {
            tree.check(&model, &context);
        }
    }
}

impl Tree {
    /// What lies in the tree is what the model holds.
    fn check(&self, model: &Model, context: &str) {
        let Some(number) = self.open.queued(&self.target.name).unwrap() else {
            assert_eq!(model.stats().last, 0, "{context}");
            return assert!(model.subscriptions().is_empty(), "{context}");
        };
        let keys = keys::Keys(crate::queue::codec::read_number(&number).unwrap() as u32);
        let state = self.open.queued(&keys.state()).unwrap();
        let state = state.map_or_else(super::State::default, |bytes| {
            super::State::decode(&bytes).unwrap()
        });
        assert_eq!(state.stats(), model.stats(), "{context}");
        let (from, to) = keys.all_logged(0);
        let found = self.open.queue_range(&from, &to).map(|found| {
            let (key, value) = found.unwrap();
            let stored = super::Stored::decode(&value).unwrap();
            let position = keys::Keys::id_of(&key).unwrap().0;
            (position, stored.published_us, stored.message)
        });
        let found: Vec<_> = found.collect();
        let wanted: Vec<_> = model
            .read(Position(0), usize::MAX)
            .into_iter()
            .map(|l| (l.position.0, l.published_us, l.message))
            .collect();
        assert_eq!(found, wanted, "{context}");
        let (from, to) = keys.all_cursors();
        let cursors = self.open.queue_range(&from, &to).map(|found| {
            let (key, value) = found.unwrap();
            let name = keys::Keys::text_of(&key).unwrap().to_owned();
            super::Cursor::decode(&value).unwrap().show(name, &state)
        });
        assert_eq!(
            cursors.collect::<Vec<_>>(),
            model.subscriptions(),
            "{context}"
        );
    }
}

#[test]
fn does_what_the_model_does() {
    let seeds = match std::env::var_os("GUST_LONG") {
        Some(_) => 400,
        None => 25,
    };
    (1..=seeds).for_each(agrees_with_the_model);
}

fn step(from: u64, to: u64, text: &str) -> Forward {
    Forward {
        name: "s".to_owned(),
        from: Position(from),
        to: Position(to),
        missed: 0,
        messages: vec![Message::new(text.to_owned())],
        queue: suite::queue(),
        settings: suite::queue_settings(),
    }
}

#[tokio::test]
async fn events_cursors_and_keys_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    {
        let backends = LocalBackends::open(folder.path()).unwrap();
        let topic = topic(&backends, "t", TopicSettings::default());
        let events = ["a", "b", "c"].map(|text| Message::new(text).with_key(text));
        topic.publish(events.to_vec(), None).await.unwrap();
        topic.subscribe("s", Start::Earliest).await.unwrap();
        topic.forward(step(0, 2, "b")).await.unwrap();
    }
    let backends = LocalBackends::open(folder.path()).unwrap();
    let project = ProjectName::default_project();
    assert_eq!(
        backends.topics(&project).unwrap(),
        [Label::new("t").unwrap()]
    );
    assert!(backends.queues(&project).unwrap().is_empty());
    let topic = topic(&backends, "t", TopicSettings::default());
    let found = topic.subscriptions().await.unwrap().remove(0);
    assert_eq!(
        (found.cursor, found.lag, found.forwarded),
        (Position(2), 1, 1)
    );
    let logged = topic.read(ReadOptions::default()).await.unwrap();
    assert_eq!(logged.len(), 3);
    let again = vec![Message::new("a").with_key("a"), Message::new("d")];
    let appended = topic.publish(again, None).await.unwrap();
    assert!(appended[0].duplicate && appended[0].position == Position(1));
    assert_eq!(appended[1].position, Position(4));
    let queue = backends
        .queue(&project, &suite::queue(), &suite::queue_settings())
        .unwrap();
    let taken = queue.take(TakeOptions::default()).await.unwrap();
    assert_eq!(&taken[0].message.body[..], b"b");
}

#[tokio::test]
async fn a_project_has_no_more_topics_than_it_may_and_looking_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let of = |name: String| topic(&backends, &name, TopicSettings::default());
    let looked = of("looked".to_owned());
    assert!(
        looked
            .read(ReadOptions::default())
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(looked.purge().await.unwrap(), 0);
    assert_eq!(looked.stats().await.unwrap().last, 0);
    assert!(looked.seek("s", Start::Latest).await.is_err());
    let project = ProjectName::default_project();
    assert!(backends.topics(&project).unwrap().is_empty());
    let make = async |n: usize| {
        let event = vec![Message::new("x")];
        of(format!("t{n}")).publish(event, None).await
    };
    let made = futures::future::join_all((0..check::TOPICS).map(make)).await;
    assert!(made.iter().all(Result::is_ok));
    let error = make(check::TOPICS).await.unwrap_err();
    assert!(error.message.contains("1000 topics"), "{}", error.message);
    make(7).await.unwrap();
}

#[tokio::test]
async fn a_log_is_cut_in_steps_and_its_space_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let settings = TopicSettings {
        max_bytes: ByteSize(5000 * 129),
        ..TopicSettings::default()
    };
    let topic = topic(&backends, "t", settings);
    for _ in 0..7 {
        topic
            .publish(vec![Message::new("x"); 1000], None)
            .await
            .unwrap();
    }
    let stats = topic.stats().await.unwrap();
    assert_eq!(
        (stats.first, stats.last, stats.events()),
        (2001, 7000, 5000)
    );
    // One large event in the place of many small ones: more of them than go in one step.
    let large = Message::new("x".repeat(500_000));
    topic.publish(vec![large], None).await.unwrap();
    let after = topic.stats().await.unwrap();
    assert!(after.first > stats.first && after.last == 7001, "{after:?}");
    for _ in 0..3 {
        topic.publish(vec![Message::new("x")], None).await.unwrap();
    }
    let stats = topic.stats().await.unwrap();
    assert!(stats.bytes <= 5000 * 129, "{stats:?}");
    assert_eq!(topic.purge().await.unwrap(), stats.events());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_publishing_is_refused_and_reading_goes_on() {
    let Some(disk) = SmallDisk::mount("96m") else {
        return;
    };
    let settings = Settings {
        disk_reserve: ByteSize::mib(8),
        ..Settings::default()
    };
    let backends = LocalBackends::open_with(disk.path(), settings).unwrap();
    let topic = topic(&backends, "t", TopicSettings::default());
    topic.subscribe("s", Start::Earliest).await.unwrap();
    let event = || vec![Message::new("a")];
    topic.publish(event(), None).await.unwrap();
    disk.fill();
    let error = topic.publish(event(), None).await.unwrap_err();
    assert_eq!(
        (error.kind, &*error.message),
        (Kind::Exhausted, "disk is full")
    );
    assert!(topic.forward(step(0, 1, "a")).await.is_err());
    assert_eq!(topic.read(ReadOptions::default()).await.unwrap().len(), 1);
    // Moving on without keeping anything takes no room.
    topic.seek("s", Start::Latest).await.unwrap();
    assert_eq!(topic.purge().await.unwrap(), 1);
    disk.free();
    topic.publish(event(), None).await.unwrap();
    topic.forward(step(1, 2, "a")).await.unwrap();
}
