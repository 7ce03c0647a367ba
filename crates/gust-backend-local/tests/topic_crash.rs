//! Kill -9 at random moments with publishers to a topic, a subscription that is forwarded to a queue, and a consumer of
//! that: every event that was acknowledged is in the log once, and every event of the log came into the queue once and in
//! order, whatever the kill cut off.
//!
//! The test starts itself again as a child, which says on its standard output what was acknowledged. Thirty rounds, two
//! hundred with `GUST_LONG=1`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use gust_backend::{
    Backends as _,
    queue::{Message, Queue, QueueSettings},
    topic::{Forward, Position, ReadOptions, Start, Topic, TopicSettings},
};
use gust_backend_local::LocalBackends;
use gust_task::ids;
use gust_types::{Kind, Label, ProjectName};

const FOLDER: &str = "GUST_CRASH_FOLDER";
const ROUND: &str = "GUST_CRASH_ROUND";
const TEST: &str = "topics_lose_and_double_nothing";

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Opened {
    _backends: LocalBackends,
    topic: Arc<dyn Topic>,
    queue: Arc<dyn Queue>,
}

fn open(folder: &Path) -> Opened {
    let backends = LocalBackends::open(folder).unwrap();
    let (project, name) = (ProjectName::default_project(), Label::new("crash").unwrap());
    let topic = backends.topic(&project, &name, &TopicSettings::default());
    let queue = backends.queue(&project, &name, &QueueSettings::default());
    Opened {
        topic: topic.unwrap(),
        queue: queue.unwrap(),
        _backends: backends,
    }
}

fn say(what: impl std::fmt::Display) {
    let line = format!("\nsaid {what}.\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

/// Four publishers, two of whom say everything twice under a key, and one who forwards every event.
async fn work(folder: &Path, round: u64) {
    let opened = open(folder);
    for publisher in 0..4u64 {
        let topic = opened.topic.clone();
        gust_task::spawn("publisher", async move {
            for n in 0u64.. {
                let names: Vec<_> = (0..=n % 3)
                    .map(|k| format!("{round}-{publisher}-{n}-{k}"))
                    .collect();
                let message = |name: &String| match publisher < 2 {
                    true => Message::new(name.clone()).with_key(name.clone()),
                    false => Message::new(name.clone()),
                };
                let events: Vec<_> = names.iter().map(message).collect();
                if publisher < 2 {
                    topic.publish(events.clone(), None).await.unwrap();
                }
                topic.publish(events, None).await.unwrap();
                names
                    .iter()
                    .for_each(|name| say(format!("published {name}")));
            }
        });
    }
    let topic = opened.topic.clone();
    let begun = topic.subscribe("s", Start::Earliest).await.unwrap();
    let mut from = begun.cursor;
    loop {
        let options = ReadOptions {
            after: from,
            most: 7,
            wait: Duration::from_secs(5),
        };
        let page = topic.read(options).await.unwrap();
        let Some(last) = page.last() else { continue };
        let step = Forward {
            name: "s".to_owned(),
            from,
            to: last.position,
            missed: 0,
            messages: page.iter().map(forwarded).collect(),
            queue: Label::new("crash").unwrap(),
            settings: QueueSettings::default(),
        };
        from = step.to;
        // A second one who follows the same cursor gets nowhere.
        let (once, again) = tokio::join!(topic.forward(step.clone()), topic.forward(step));
        let failed = once.err().or_else(|| again.err()).unwrap();
        assert_eq!(failed.kind, Kind::Conflict);
        say(format!("forwarded {}", from.0));
    }
}

fn forwarded(logged: &gust_backend::topic::Logged) -> Message {
    let mut message = Message::new(logged.message.body.clone());
    let position = logged.position.0.to_string();
    message.attributes.insert("position".to_owned(), position);
    message
}

/// Runs a child in this folder, kills it after a random while, answers what it said.
fn run_and_kill(folder: &Path, round: u64) -> Vec<String> {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let output = running.0.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        let said = |line: String| Some(line.strip_prefix("said ")?.strip_suffix('.')?.to_owned());
        lines.filter_map(said).collect::<Vec<_>>()
    });
    std::thread::sleep(Duration::from_millis(30 + ids::random_u64() % 350));
    drop(running);
    reading.join().unwrap()
}

/// What the parent knows.
#[derive(Default)]
struct Known {
    published: Vec<String>,
    forwarded: u64,
}

impl Known {
    fn hear(&mut self, line: &str) {
        match *line.split(' ').collect::<Vec<_>>() {
            ["published", name] => self.published.push(name.to_owned()),
            ["forwarded", position] => self.forwarded = position.parse().unwrap(),
            _ => panic!("not understood: {line}"),
        }
    }

    async fn check(&self, folder: &Path) {
        let opened = open(folder);
        let mut log: HashMap<String, u64> = HashMap::new();
        let mut after = Position(0);
        loop {
            let options = ReadOptions {
                after,
                most: 1000,
                ..ReadOptions::default()
            };
            let page = opened.topic.read(options).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.position;
            for logged in &page {
                let name = String::from_utf8_lossy(&logged.message.body).into_owned();
                let there = log.insert(name.clone(), logged.position.0);
                assert_eq!(there, None, "{name} is in the log twice");
            }
        }
        let stats = opened.topic.stats().await.unwrap();
        assert_eq!((stats.last, stats.events()), (after.0, log.len() as u64));
        for name in &self.published {
            assert!(
                log.contains_key(name),
                "{name} was acknowledged and is gone"
            );
        }
        self.check_queue(&opened, &log).await;
    }

    async fn check_queue(&self, opened: &Opened, log: &HashMap<String, u64>) {
        let (mut after, mut at) = (None, 0);
        loop {
            let seen = opened.queue.peek(after, 1000).await.unwrap();
            let Some(end) = seen.last() else { break };
            after = Some(end.id);
            for seen in &seen {
                let name = String::from_utf8_lossy(&seen.message.body).into_owned();
                at += 1;
                assert_eq!(log.get(&name), Some(&at), "{name} is out of its place");
                assert_eq!(seen.message.attributes["position"], at.to_string());
            }
        }
        let all = opened.topic.subscriptions().await.unwrap();
        let cursor = all.first().map_or(0, |s| s.cursor.0);
        assert_eq!(cursor, at, "the cursor is where the queue ends");
        assert!(cursor >= self.forwarded);
    }
}

#[test]
fn topics_lose_and_double_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    if let Some(folder) = std::env::var_os(FOLDER) {
        let round = std::env::var(ROUND).unwrap().parse().unwrap();
        return runtime.block_on(work(Path::new(&folder), round));
    }
    let rounds = match std::env::var_os("GUST_LONG") {
        Some(_) => 200,
        None => 30,
    };
    let folder = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    for round in 0..rounds {
        for line in run_and_kill(folder.path(), round) {
            known.hear(&line);
        }
        runtime.block_on(known.check(folder.path()));
    }
    let (published, forwarded) = (known.published.len(), known.forwarded);
    assert!(
        forwarded > rounds * 5,
        "{published} published, {forwarded} forwarded"
    );
    println!("{rounds} rounds: {published} published, {forwarded} forwarded");
}
