//! Kill -9 at random moments with publishers, consumers and redrives at work: every message that was acknowledged is
//! delivered or still there, none that was done comes back, and each group keeps its order.
//!
//! The test starts itself again as a child, which says on its standard output what was acknowledged. Forty rounds, two
//! hundred with `GUST_LONG=1`. Then the same over a disk that fails: each kill is a power cut, which takes away what was
//! not synced, and meanwhile syncs are slow, fail, and writes are cut short.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it saw"
)]

#[path = "power/mod.rs"]
mod power;

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use gust_backend::{
    Backends as _,
    queue::{Message, MessageId, Queue, QueueSettings, TakeOptions, Verdict},
};
use gust_backend_local::LocalBackends;
use gust_task::ids;
use gust_types::{Label, ProjectName, Result, Span};
use power::{BadDisk, Faults};

const FOLDER: &str = "GUST_CRASH_FOLDER";
const ROUND: &str = "GUST_CRASH_ROUND";
/// The disk fails: errors are to be expected, and what follows from them is what is tested.
const BAD: &str = "GUST_CRASH_BAD_DISK";
const TEST: &str = "queues_lose_nothing_acknowledged";

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn open(folder: &Path) -> (LocalBackends, Arc<dyn Queue>) {
    let backends = LocalBackends::open(folder).unwrap();
    let settings = QueueSettings {
        // Short, so that the next round gets what this one's consumers held.
        visibility: Span::millis(200),
        attempts: 4,
        ..QueueSettings::default()
    };
    let name = Label::new("crash").unwrap();
    let queue = backends
        .queue(&ProjectName::default_project(), &name, &settings)
        .unwrap();
    (backends, queue)
}

/// What came of it; on a disk that fails, `None` when it failed.
async fn expect<T>(result: Result<T>) -> Option<T> {
    match result {
        Err(_) if std::env::var_os(BAD).is_some() => {
            tokio::time::sleep(Duration::from_millis(5)).await;
            None
        }
        result => Some(result.unwrap()),
    }
}

fn say(what: impl std::fmt::Display) {
    let line = format!("\nsaid {what}.\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

/// Six publishers, three of them with a group each; three consumers that fail now and then; one who redrives.
async fn work(folder: &Path, round: u64) {
    let (_backends, queue) = open(folder);
    for publisher in 0..6u64 {
        let queue = queue.clone();
        let publish = async move {
            for n in 0u64.. {
                let name = |n| format!("{round}-{publisher}-{n}");
                let mut batch: Vec<_> = (0..=n % 3)
                    .map(|k| Message::new(name(n * 10 + k)))
                    .collect();
                if publisher < 3 {
                    for message in &mut batch {
                        message.group = Some(format!("g{publisher}"));
                    }
                }
                if expect(queue.publish(batch).await).await.is_some() {
                    (0..=n % 3).for_each(|k| say(format!("published {}", name(n * 10 + k))));
                }
            }
        };
        gust_task::spawn("publisher", publish);
    }
    for _ in 0..3 {
        let queue = queue.clone();
        gust_task::spawn("consumer", consume(queue));
    }
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        expect(queue.redrive(None, 5).await).await;
    }
}

async fn consume(queue: Arc<dyn Queue>) {
    loop {
        let options = TakeOptions {
            most: 5,
            wait: Duration::from_millis(50),
            ..TakeOptions::default()
        };
        let Some(taken) = expect(queue.take(options).await).await else {
            continue;
        };
        let mut verdicts = Vec::new();
        for taken in &taken {
            let text = String::from_utf8_lossy(&taken.message.body).into_owned();
            say(format!("delivered {text}"));
            let verdict = match ids::random_u64() % 8 {
                0 => Verdict::Again(Duration::from_millis(1)),
                1 => Verdict::Dead("a test".to_owned()),
                _ => {
                    // Said before: the kill may come between the sync and the answer.
                    say(format!("settling {text}"));
                    Verdict::Done
                }
            };
            verdicts.push((taken.receipt, verdict));
        }
        let Some(answers) = expect(queue.settle(verdicts.clone()).await).await else {
            continue;
        };
        for ((taken, (_, verdict)), answer) in taken.iter().zip(&verdicts).zip(answers) {
            if answer.is_ok() && *verdict == Verdict::Done {
                say(format!(
                    "done {}",
                    String::from_utf8_lossy(&taken.message.body)
                ));
            }
        }
    }
}

/// Runs a child in this folder, kills it after a random while, answers what it said.
fn run_and_kill(folder: &Path, round: u64, disk: impl FnOnce(&mut Command)) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    disk(&mut command);
    let child = command
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
    published: HashSet<String>,
    /// May be done.
    settling: HashSet<String>,
    done: HashSet<String>,
}

impl Known {
    fn hear(&mut self, line: &str) {
        match *line.split(' ').collect::<Vec<_>>() {
            ["published", name] => {
                self.published.insert(name.to_owned());
            }
            ["delivered", name] => {
                assert!(!self.done.contains(name), "{name} was done and came back");
            }
            ["settling", name] => {
                self.settling.insert(name.to_owned());
            }
            ["done", name] => {
                assert!(self.done.insert(name.to_owned()), "{name} was done twice");
            }
            _ => panic!("not understood: {line}"),
        }
    }

    async fn check(&self, folder: &Path) {
        let (_backends, queue) = open(folder);
        let mut held: HashMap<String, u64> = HashMap::new();
        let mut last: HashMap<String, MessageId> = HashMap::new();
        let mut groups: HashMap<String, Vec<(u64, u64)>> = HashMap::new();
        let mut after = None;
        loop {
            let seen = queue.peek(after, 1000).await.unwrap();
            let Some(end) = seen.last() else { break };
            after = Some(end.id);
            for seen in &seen {
                let name = String::from_utf8_lossy(&seen.message.body).into_owned();
                if let Some(group) = &seen.message.group {
                    let mut parts = name.split('-').map(|part| part.parse::<u64>().unwrap());
                    let (round, n) = (parts.next().unwrap(), parts.nth(1).unwrap());
                    groups.entry(group.clone()).or_default().push((round, n));
                    let before = last.insert(group.clone(), seen.id);
                    assert_eq!(before.is_some(), seen.at_us.is_none(), "one head a group");
                }
                *held.entry(name).or_default() += 1;
            }
        }
        let dead = queue.dead(None, usize::MAX).await.unwrap();
        for dead in &dead {
            *held
                .entry(String::from_utf8_lossy(&dead.message.body).into_owned())
                .or_default() += 1;
        }
        let stats = queue.stats().await.unwrap();
        let sum: u64 = held.values().sum();
        assert_eq!(stats.messages + stats.dead, sum, "{stats:?}");
        for (name, times) in &held {
            assert_eq!(*times, 1, "{name} is there {times} times");
            assert!(
                !self.done.contains(name),
                "{name} was done and is still there"
            );
        }
        for name in self.published.difference(&self.settling) {
            assert!(
                held.contains_key(name),
                "{name} was acknowledged and is gone"
            );
        }
        assert!(!groups.is_empty() || self.published.is_empty());
    }

    fn sum_up(&self, rounds: u64, least: usize) {
        let (published, done) = (self.published.len(), self.done.len());
        assert!(
            done > rounds as usize * least,
            "{published} published, {done} done"
        );
        println!("{rounds} rounds: {published} published, {done} done");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn rounds() -> u64 {
    match std::env::var_os("GUST_LONG") {
        Some(_) => 200,
        None => 40,
    }
}

#[test]
fn queues_lose_nothing_acknowledged() {
    let runtime = runtime();
    if let Some(folder) = std::env::var_os(FOLDER) {
        let round = std::env::var(ROUND).unwrap().parse().unwrap();
        return runtime.block_on(work(Path::new(&folder), round));
    }
    let rounds = rounds();
    let folder = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    for round in 0..rounds {
        for line in run_and_kill(folder.path(), round, |_| ()) {
            known.hear(&line);
        }
        runtime.block_on(known.check(folder.path()));
    }
    known.sum_up(rounds, 5);
}

#[test]
fn queues_lose_nothing_acknowledged_on_a_disk_that_fails() {
    let Some(disk) = BadDisk::build() else { return };
    let runtime = runtime();
    let rounds = rounds();
    let folder = tempfile::tempdir().unwrap();
    let logs = tempfile::tempdir().unwrap();
    let (mut known, mut gone) = (Known::default(), 0);
    for round in 0..rounds {
        let log = logs.path().join("log");
        let of = |what: u64, most: u32| (round % 4 == what || round % 4 == 3).then_some(most);
        let faults = Faults {
            slow: of(0, 3000).unwrap_or(0),
            fail: of(1, 60).unwrap_or(0),
            short: of(2, 20).unwrap_or(0),
        };
        let said = run_and_kill(folder.path(), round, |command| {
            disk.stand_before(command, folder.path(), &log, faults);
            command.env(BAD, "1");
        });
        for line in said {
            known.hear(&line);
        }
        gone += power::cut(folder.path(), &log, ids::random_u64);
        runtime.block_on(known.check(folder.path()));
    }
    known.sum_up(rounds, 1);
    println!("{gone} bytes that were not synced were taken away");
    assert!(gone > 0, "the power cuts took nothing");
}
