//! Kill -9 at random moments with writers on a store, and on a database, that somebody listens to: the change stream has
//! every write that was acknowledged, once and in order, and what it tells comes to exactly what is kept, whatever the kill
//! cut off.
//!
//! The test starts itself again as a child, which says on its standard output what was acknowledged. Thirty rounds, two
//! hundred with `GUST_LONG=1`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::TryStreamExt as _;
use gust_backend::{
    Backends as _,
    changes::Watched,
    kv::{Kv, KvExt as _, ListOptions, PutOptions, Write},
    sql::{Connection, Sql, Value},
    topic::{Logged, Position, ReadOptions, Start, Topic, TopicSettings},
};
use gust_backend_local::LocalBackends;
use gust_task::ids;
use gust_types::{Label, ProjectName};

const FOLDER: &str = "GUST_CRASH_FOLDER";
const ROUND: &str = "GUST_CRASH_ROUND";
const STORE: &str = "changes_are_told_with_what_they_change";
const DATABASE: &str = "changes_of_rows_are_told_once";
const WRITERS: u64 = 6;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Opened {
    _backends: LocalBackends,
    kv: Arc<dyn Kv>,
    stream: Arc<dyn Topic>,
    sql: Arc<dyn Sql>,
    rows: Arc<dyn Topic>,
}

fn open(folder: &Path) -> Opened {
    let backends = LocalBackends::open(folder).unwrap();
    let (project, name) = (ProjectName::default_project(), Label::new("crash").unwrap());
    let stream = |of: Watched| {
        let settings = TopicSettings::default();
        backends.topic(&project, &of.topic(), &settings).unwrap()
    };
    Opened {
        kv: backends.kv(&project, &name).unwrap(),
        stream: stream(Watched::Kv(name.clone())),
        sql: backends.sql(&project, &name).unwrap(),
        rows: stream(Watched::Sql(name)),
        _backends: backends,
    }
}

fn say(what: impl std::fmt::Display) {
    let line = format!("\nsaid {what}.\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

fn put(key: &str, value: &str) -> Write {
    Write::Put {
        key: key.to_owned(),
        value: Bytes::from(value.to_owned()),
        options: PutOptions::default(),
    }
}

/// Each writer has three keys of its own and a number: it sets, overwrites and deletes them, alone and in batches, and
/// says what became of them once it is acknowledged. In the first round somebody subscribes before anybody writes.
async fn work(folder: &Path, round: u64) {
    let opened = open(folder);
    let subscribed = opened.stream.subscribe("a/t", Start::Earliest);
    subscribed.await.unwrap();
    let mut writing = Vec::new();
    for writer in 0..WRITERS {
        let kv = opened.kv.clone();
        writing.push(gust_task::spawn("writer", async move {
            for n in 0u64.. {
                let (key, number) = (format!("键{writer}-{}", n % 3), format!("n{writer}"));
                let value = format!("{round}-{n}");
                match n % 4 {
                    0 => {
                        kv.put(&key, Bytes::from(value.clone())).await.unwrap();
                        say(format!("{key} {value}"));
                    }
                    1 => {
                        let batch = vec![
                            put(&key, "first"),
                            Write::Delete { key: key.clone() },
                            put(&key, &value),
                        ];
                        kv.write(batch).await.unwrap();
                        say(format!("{key} first {key} - {key} {value}"));
                    }
                    2 => {
                        kv.delete(&key).await.unwrap();
                        say(format!("{key} -"));
                    }
                    _ => {
                        let sum = kv.increment(&number, 1).await.unwrap();
                        say(format!("{number} {sum}"));
                    }
                }
            }
        }));
    }
    for writer in writing {
        writer.await.unwrap();
    }
}

/// The same with rows: each writer has three of its own, and a connection.
async fn work_on_rows(folder: &Path, round: u64) {
    let opened = open(folder);
    opened.rows.subscribe("a/t", Start::Earliest).await.unwrap();
    let connection = opened.sql.connect().await.unwrap();
    let table = "CREATE TABLE IF NOT EXISTS 行 (id TEXT PRIMARY KEY, v)";
    run(&*connection, table).await;
    opened.sql.watch(vec!["行".to_owned()], true).await.unwrap();
    let mut writing = Vec::new();
    for writer in 0..WRITERS {
        let connection = opened.sql.connect().await.unwrap();
        writing.push(gust_task::spawn("writer", async move {
            for n in 0u64.. {
                let (id, value) = (format!("键{writer}-{}", n / 3 % 3), format!("{round}-{n}"));
                let insert = format!("INSERT INTO 行 VALUES ('{id}', '{value}')");
                let delete = format!("DELETE FROM 行 WHERE id = '{id}'");
                match n % 3 {
                    0 => {
                        let upsert = format!("{insert} ON CONFLICT DO UPDATE SET v = excluded.v");
                        run(&*connection, &upsert).await;
                        say(format!("{id} {value}"));
                    }
                    1 => {
                        for statement in ["BEGIN IMMEDIATE", &delete, &insert, "COMMIT"] {
                            run(&*connection, statement).await;
                        }
                        say(format!("{id} - {id} {value}"));
                    }
                    _ => {
                        run(&*connection, &delete).await;
                        say(format!("{id} -"));
                    }
                }
            }
        }));
    }
    for writer in writing {
        writer.await.unwrap();
    }
}

async fn run(connection: &dyn Connection, statement: &str) -> Vec<Vec<Value>> {
    let rows = connection.execute(statement, vec![]).await.unwrap().rows;
    rows.try_collect().await.unwrap()
}

/// Runs a child in this folder, kills it after a random while, answers what it said.
fn run_and_kill(test: &str, folder: &Path, round: u64) -> Vec<String> {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
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
    std::thread::sleep(Duration::from_millis(30 + ids::random_u64() % 450));
    drop(running);
    reading.join().unwrap()
}

/// What was acknowledged of each key, in order; `-` for a deletion.
#[derive(Default)]
struct Known {
    acknowledged: HashMap<String, Vec<String>>,
    count: u64,
}

impl Known {
    fn hear(&mut self, line: &str) {
        let parts: Vec<_> = line.split(' ').collect();
        for pair in parts.chunks(2) {
            let [key, value] = pair else {
                panic!("not understood: {line}")
            };
            let of = self.acknowledged.entry((*key).to_owned()).or_default();
            of.push((*value).to_owned());
            self.count += 1;
        }
    }

    async fn check(&mut self, folder: &Path) {
        let opened = open(folder);
        let mut told: HashMap<String, Vec<String>> = HashMap::new();
        let (mut holds, mut version) = (BTreeMap::new(), 0);
        for logged in read(&*opened.stream).await {
            let of = |name: &str| logged.message.attributes[&format!("ce-{name}")].clone();
            let key = logged.message.group.clone().unwrap();
            let number: u64 = of("version").parse().unwrap();
            let value = String::from_utf8(logged.message.body.to_vec()).unwrap();
            match &*of("type") {
                "gust.kv.set" => {
                    assert!(number > version, "{number} after {version}");
                    version = number;
                    holds.insert(key.clone(), (value.clone(), number));
                    told.entry(key).or_default().push(value);
                }
                "gust.kv.deleted" => {
                    let there = holds.remove(&key).map(|(_, number)| number);
                    assert_eq!(there, Some(number), "what went was there");
                    told.entry(key).or_default().push("-".to_owned());
                }
                other => panic!("{other}"),
            }
        }
        assert_eq!(holds, contents(&*opened.kv).await, "told and kept are one");
        self.compare(told);
    }

    async fn check_rows(&mut self, folder: &Path) {
        let opened = open(folder);
        if run(
            &*opened.sql.connect().await.unwrap(),
            "SELECT 1 FROM sqlite_schema",
        )
        .await
        .is_empty()
        {
            return;
        }
        // As a node does when it starts.
        opened.sql.watch(vec!["行".to_owned()], true).await.unwrap();
        let kept = rows(&*opened.sql).await;
        let mut found = (BTreeMap::new(), HashMap::new());
        let (mut events, mut quiet) = (0, 0);
        for _ in 0..500 {
            let all = read(&*opened.rows).await;
            found = fold(&all);
            // What comes and goes again makes no difference to what is kept: until nothing more comes.
            quiet = if all.len() == events { quiet + 1 } else { 0 };
            events = all.len();
            if found.0 == kept && quiet >= 10 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(found.0, kept, "told and kept are one");
        self.compare(found.1);
    }

    /// What was acknowledged is told; and from now on what was told counts as acknowledged.
    fn compare(&mut self, told: HashMap<String, Vec<String>>) {
        for (key, acknowledged) in &mut self.acknowledged {
            // Of what was never there nothing is told.
            let told = told.get(key).map_or(&[][..], Vec::as_slice);
            is_within(acknowledged, told, key);
            // What was told and not acknowledged was under way at the kill; it happened, and stays so.
            *acknowledged = told.to_vec();
        }
        for (key, told) in told {
            self.acknowledged.entry(key).or_insert(told);
        }
    }
}

/// All acknowledged changes of a key are told, in order and once; between them may be the one that a kill cut off, and
/// nothing is told of a deletion of what was not there.
fn is_within(acknowledged: &[String], told: &[String], key: &str) {
    let (mut rest, mut there, mut matched) = (told.iter(), false, 0);
    for wanted in acknowledged {
        if wanted == "-" && !there {
            continue;
        }
        let found = rest.find(|told| *told == wanted);
        assert!(found.is_some(), "{key}: {wanted} is not told in its place");
        there = wanted != "-";
        matched += 1;
    }
    // One request of up to three writes may have been cut off.
    let more = told.len() - matched;
    assert!(more <= 3, "{key}: {more} are told that nobody asked for");
}

async fn rows(sql: &dyn Sql) -> BTreeMap<String, String> {
    let connection = sql.connect().await.unwrap();
    let there = "SELECT 1 FROM sqlite_schema WHERE name = '行'";
    if run(&*connection, there).await.is_empty() {
        return BTreeMap::new();
    }
    let rows = run(&*connection, "SELECT id, v FROM 行").await.into_iter();
    let row = |row: Vec<Value>| match &row[..] {
        [Value::Text(id), Value::Text(value)] => (id.clone(), value.clone()),
        other => panic!("{other:?}"),
    };
    rows.map(row).collect()
}

/// What rows there are after these events, each of which has to fit what was before it; and what was told of each.
fn fold(events: &[Logged]) -> (BTreeMap<String, String>, HashMap<String, Vec<String>>) {
    let (mut rows, mut told) = (BTreeMap::new(), HashMap::<String, Vec<String>>::new());
    let mut ids = HashSet::new();
    for logged in events {
        let of = |name: &str| logged.message.attributes[&format!("ce-{name}")].clone();
        assert!(ids.insert(of("id")), "{} is told twice", of("id"));
        let data: serde_json::Value = serde_json::from_slice(&logged.message.body).unwrap();
        let value = |which: &str| data[which]["v"].as_str().map(str::to_owned);
        let key = logged.message.group.clone().unwrap();
        let before = match value("new") {
            Some(new) => {
                told.entry(key.clone()).or_default().push(new.clone());
                rows.insert(key, new)
            }
            None => {
                told.entry(key.clone()).or_default().push("-".to_owned());
                rows.remove(&key)
            }
        };
        assert_eq!(before, value("old"), "{}", of("type"));
    }
    (rows, told)
}

async fn read(stream: &dyn Topic) -> Vec<Logged> {
    let (mut all, mut after) = (Vec::new(), Position(0));
    loop {
        let options = ReadOptions {
            after,
            most: 1000,
            ..ReadOptions::default()
        };
        let page = stream.read(options).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = last.position;
        all.extend(page);
    }
}

async fn contents(kv: &dyn Kv) -> BTreeMap<String, (String, u64)> {
    let keys: Vec<String> = kv.list(ListOptions::default()).try_collect().await.unwrap();
    let mut all = BTreeMap::new();
    for key in keys {
        let found = kv.get(&key).await.unwrap().unwrap();
        let value = String::from_utf8(found.value.to_vec()).unwrap();
        all.insert(key, (value, found.version.0));
    }
    all
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Kills children, and looks at what they have left behind each time. Answers what there was.
fn rounds(test: &str, check: impl AsyncFn(&mut Known, &Path)) -> String {
    let rounds = match std::env::var_os("GUST_LONG") {
        Some(_) => 200,
        None => 30,
    };
    let folder = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    let runtime = runtime();
    for round in 0..rounds {
        for line in run_and_kill(test, folder.path(), round) {
            known.hear(&line);
        }
        runtime.block_on(check(&mut known, folder.path()));
    }
    assert!(known.count > rounds * 3, "{} acknowledged", known.count);
    format!("{rounds} rounds: {} acknowledged", known.count)
}

/// The folder and round of a child.
fn child() -> Option<(PathBuf, u64)> {
    let folder = std::env::var_os(FOLDER)?;
    let round = std::env::var(ROUND).unwrap().parse().unwrap();
    Some((folder.into(), round))
}

#[test]
fn changes_are_told_with_what_they_change() {
    if let Some((folder, round)) = child() {
        return runtime().block_on(work(&folder, round));
    }
    let done = rounds(STORE, async |known, folder| known.check(folder).await);
    println!("{done}");
}

#[test]
fn changes_of_rows_are_told_once() {
    if let Some((folder, round)) = child() {
        return runtime().block_on(work_on_rows(&folder, round));
    }
    let check = async |known: &mut Known, folder: &Path| known.check_rows(folder).await;
    let done = rounds(DATABASE, check);
    println!("{done}");
}
