//! The same commands to the door and to a real `redis-server`: the answers are equal.
//!
//! Commands are drawn from a seed over a few keys of all types, so that most of them meet something. Where there is no
//! `redis-server` it says so and is skipped.

mod templates;

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use self::templates::{TEMPLATES, UNORDERED};
use super::{
    client::{Answer, Client},
    world,
};

/// A server of its own, which ends with the test.
struct Redis {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Redis {
    async fn start() -> Option<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--port", &address.port().to_string()])
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) => {
                eprintln!("SKIPPED: no redis-server to compare with: {error}");
                return None;
            }
        };
        let redis = Self {
            child,
            address,
            _folder: folder,
        };
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Some(redis);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("redis-server does not listen");
    }
}

/// Draws from a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }

    fn one(&mut self, of: &[&str]) -> String {
        of[self.below(of.len())].to_owned()
    }

    fn key(&mut self) -> String {
        self.one(&["a", "b", "c", "d", "键", "f:1", "f:2", ""])
    }

    fn value(&mut self) -> String {
        self.one(&[
            "x",
            "y",
            "",
            "10",
            "-3",
            "3.5",
            "值 值",
            "1e3",
            "007",
            "9223372036854775807",
            "\0\u{1}",
            "hello world",
            "+5",
            "-0",
        ])
    }

    fn member(&mut self) -> String {
        self.one(&["m1", "m2", "m3", "m4", "", "员", "z"])
    }

    fn index(&mut self) -> String {
        self.one(&["0", "1", "2", "-1", "-2", "-100", "100", "x"])
    }

    fn score(&mut self) -> String {
        self.one(&[
            "0", "1", "2", "-1.5", "3.25", "+inf", "-inf", "100", "nan", "a",
        ])
    }

    fn score_bound(&mut self) -> String {
        self.one(&["-inf", "+inf", "(1", "1", "3.25", "(0", "-2", "x", "200"])
    }

    fn lex_bound(&mut self) -> String {
        self.one(&["-", "+", "[m1", "(m1", "[m3", "(z", "[", "m"])
    }

    fn seconds(&mut self) -> String {
        self.one(&[
            "2000000",
            "5000000",
            "100000000",
            "-1",
            "0",
            "x",
            "9223372036854775807",
        ])
    }

    fn at(&mut self) -> String {
        self.one(&["4102444800", "4102444900", "1", "0", "-5"])
    }

    /// What a word of a template stands for; others are themselves, and `?` before one is a coin.
    fn word(&mut self, word: &str, to: &mut Vec<String>) {
        if let Some(word) = word.strip_prefix('?') {
            if self.below(3) == 0 {
                word.split('+').for_each(|word| self.word(word, to));
            }
            return;
        }
        if word.contains('|') {
            let choices: Vec<_> = word.split('|').collect();
            let word = self.one(&choices);
            return self.word(&word, to);
        }
        let drawn = match word {
            "K" => self.key(),
            "V" => self.value(),
            "M" => self.member(),
            "I" => self.index(),
            "N" => self.one(&["1", "2", "5", "-1", "0", "x"]),
            "R" => self.one(&[
                "1",
                "-1",
                "10",
                "9223372036854775807",
                "-9223372036854775808",
                "x",
            ]),
            // Beyond 64 bits ours are more exact than theirs, so fractions are only added to small numbers.
            "F" => self.one(&["1e2", "-2", "x", "3", "nan"]),
            // All scores are the same there: otherwise a range by member means nothing.
            "Y" => self.one(&["y:1", "y:2"]),
            "G" => self.one(&["g:1", "g:2"]),
            "D" => self.one(&["0.1", "-2.5", "0.001", "1e-2"]),
            "S" => self.score(),
            "B" => self.score_bound(),
            "L" => self.lex_bound(),
            "T" => self.seconds(),
            "A" => self.at(),
            "P" => self.one(&["*", "f:*", "?", "[ab]", "*m*", "键"]),
            word => word.to_owned(),
        };
        to.push(drawn);
    }

    fn command(&mut self) -> Vec<String> {
        let template = TEMPLATES[self.below(TEMPLATES.len())];
        let mut words = Vec::new();
        for word in template.split(' ') {
            self.word(word, &mut words);
        }
        // Now and then a word is missing or one too many.
        match self.below(60) {
            // What answers by chance is not cut short.
            0 if words.len() > 1
                && !["SPOP", "SRANDMEMBER", "HRANDFIELD"].contains(&&*words[0]) =>
            {
                words.pop();
            }
            1 => words.push("extra".into()),
            _ => {}
        }
        words
    }
}

/// An answer without what may differ: the order of what has none, and the digits of a number that is the same.
fn plain(words: &[String], answer: Answer) -> Answer {
    let name = words[0].to_uppercase();
    let is_score = name.starts_with('Z');
    let has_pairs = name == "HGETALL" || words.iter().any(|word| word == "WITHVALUES");
    let answer = digits(answer, is_score);
    match answer {
        Answer::Array(items) if name.ends_with("SCAN") => {
            let mut items = items.into_iter();
            let next = items.next().unwrap();
            let list = match items.next() {
                Some(Answer::Array(list)) => sorted(list, name != "SSCAN"),
                other => panic!("{other:?}"),
            };
            Answer::Array(vec![next, Answer::Array(list)])
        }
        Answer::Array(items) if UNORDERED.contains(&&*name) => {
            let is_nested = items.iter().any(|item| matches!(item, Answer::Array(_)));
            Answer::Array(sorted(items, has_pairs && !is_nested))
        }
        Answer::Set(items) => Answer::Set(sorted(items, false)),
        Answer::Map(mut pairs) => {
            pairs.sort_by(|a, b| a.partial_cmp(b).unwrap());
            Answer::Map(pairs)
        }
        other => other,
    }
}

fn sorted(mut items: Vec<Answer>, has_pairs: bool) -> Vec<Answer> {
    if has_pairs {
        let mut pairs: Vec<_> = items.chunks(2).map(<[Answer]>::to_vec).collect();
        pairs.sort_by(|a, b| a.partial_cmp(b).unwrap());
        return pairs.concat();
    }
    items.sort_by(|a, b| a.partial_cmp(b).unwrap());
    items
}

fn digits(answer: Answer, is_score: bool) -> Answer {
    let every = |items: Vec<Answer>| {
        items
            .into_iter()
            .map(|item| digits(item, is_score))
            .collect()
    };
    match answer {
        Answer::Bulk(text) if is_score => {
            let number = String::from_utf8_lossy(&text).parse::<f64>().ok();
            number.map_or(Answer::Bulk(text), |n| Answer::Double(n.to_string()))
        }
        Answer::Double(text) => Answer::Double(text.parse::<f64>().unwrap().to_string()),
        Answer::Array(items) => Answer::Array(every(items)),
        other => other,
    }
}

/// Times are the same when they are near.
fn is_same(words: &[String], ours: &Answer, theirs: &Answer) -> bool {
    let near = match words[0].as_str() {
        "TTL" => 2,
        "PTTL" | "PEXPIRETIME" | "EXPIRETIME" => 3000,
        _ => 0,
    };
    match (ours, theirs) {
        (Answer::Int(a), Answer::Int(b)) if *a > 0 && *b > 0 => (a - b).abs() <= near,
        // What is said first of two faults is all the same.
        (Answer::Error(a), Answer::Error(b)) => a == b,
        (a, b) => a == b,
    }
}

struct Pair {
    ours: Client,
    theirs: Client,
    queued: Vec<Vec<String>>,
    log: Vec<String>,
    seed: u64,
}

impl Pair {
    async fn run(&mut self, words: Vec<String>) {
        self.log.push(format!("{words:?}"));
        let ours = self.ours.run_bytes(&words).await;
        let theirs = self.theirs.run_bytes(&words).await;
        if let (Answer::Array(a), Answer::Array(b), "EXEC") = (&ours, &theirs, &*words[0]) {
            assert_eq!(a.len(), b.len(), "{}", self.tail());
            let queued = std::mem::take(&mut self.queued);
            for ((words, a), b) in queued.iter().zip(a).zip(b) {
                self.same(words, a.clone(), b.clone());
            }
        } else {
            self.same(&words, ours, theirs.clone());
        }
        match &theirs {
            Answer::Status(text) if text == "QUEUED" => self.queued.push(words),
            Answer::Error(_) if words[0] != "EXEC" => {}
            _ if !["EXEC", "DISCARD"].contains(&&*words[0]) => {}
            _ => self.queued.clear(),
        }
    }

    fn same(&self, words: &[String], ours: Answer, theirs: Answer) {
        let (ours, theirs) = (plain(words, ours), plain(words, theirs));
        assert!(
            is_same(words, &ours, &theirs),
            "seed {}: {words:?}\n  ours: {ours:?}\ntheirs: {theirs:?}\n{}",
            self.seed,
            self.tail()
        );
    }

    fn tail(&self) -> String {
        let from = self.log.len().saturating_sub(40);
        self.log[from..].join("\n")
    }
}

async fn compare(seed: u64, version: &str, count: usize) {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let world = world().await;
    let mut pair = Pair {
        ours: world.one().await,
        theirs: Client::connect(redis.address).await,
        queued: Vec::new(),
        log: Vec::new(),
        seed,
    };
    pair.ours.run(&["HELLO", version]).await;
    pair.theirs.run(&["HELLO", version]).await;
    let mut draw = Draw(seed);
    for _ in 0..count {
        let words = draw.command();
        pair.run(words).await;
    }
}

/// More seeds than one: `REDIS_SEEDS=100-200 cargo test -p gust-dialect-redis differential`.
fn seeds(seed: u64) -> std::ops::Range<u64> {
    let asked = std::env::var("REDIS_SEEDS").ok();
    let range = asked.as_deref().and_then(|text| text.split_once('-'));
    let range = range.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.unwrap_or(seed..seed + 1)
}

#[tokio::test]
async fn answers_are_those_of_redis_in_resp2() {
    for seed in seeds(7) {
        compare(seed, "2", 8000).await;
    }
}

#[tokio::test]
async fn answers_are_those_of_redis_in_resp3() {
    for seed in seeds(11) {
        compare(seed, "3", 8000).await;
    }
}
