//! Kill -9 at random moments with writers on a bucket: every object that was acknowledged is there and whole, none is half
//! or another's, and no file remains that no object needs. Some objects come in parts.
//!
//! The test starts itself again as a child, which says on its standard output what it begins and what was acknowledged.
//! Thirty rounds, two hundred with `GUST_LONG=1`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use gust_backend::{
    Backends as _,
    blob::{
        Bucket, BucketExt as _, Chosen, CompleteOptions, Condition, ListOptions, PartOptions,
        PutOptions, UploadOptions, Uploads, UploadsOptions, body,
    },
};
use gust_backend_local::LocalBackends;
use gust_task::{clock, ids};
use gust_types::{Label, ProjectName};

const FOLDER: &str = "GUST_CRASH_FOLDER";
const ROUND: &str = "GUST_CRASH_ROUND";
const TEST: &str = "acknowledged_objects_are_whole";
const WRITERS: u64 = 6;
const SIZES: [usize; 4] = [10, 16 << 10, 20_000, 120_000];

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Files of an object that came in parts.
const PARTS: usize = 2;

struct Opened {
    _backends: LocalBackends,
    bucket: Arc<dyn Bucket>,
    uploads: Arc<dyn Uploads>,
}

fn open(folder: &Path) -> Opened {
    let backends = LocalBackends::open(folder).unwrap();
    let (project, name) = (ProjectName::default_project(), Label::new("crash").unwrap());
    Opened {
        bucket: backends.blob(&project, &name).unwrap(),
        uploads: backends.uploads(&project, &name).unwrap(),
        _backends: backends,
    }
}

/// Puts an object in two parts.
async fn put_parts(uploads: &Arc<dyn Uploads>, key: &str, bytes: &Bytes) {
    let begun = uploads.begin(key, UploadOptions::default()).await.unwrap();
    let (one, two) = (
        bytes.slice(..bytes.len() / 2),
        bytes.slice(bytes.len() / 2..),
    );
    let mut chosen = Vec::new();
    for (number, bytes) in [(1, one), (2, two)] {
        let put = uploads.put_part(key, &begun.id, number, body(bytes), PartOptions::default());
        let etag = put.await.unwrap().etag;
        chosen.push(Chosen { number, etag });
    }
    let completed = uploads.complete(key, &begun.id, chosen, CompleteOptions::default());
    completed.await.unwrap();
}

fn say(what: impl std::fmt::Display) {
    let line = format!("\nsaid {what}.\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

/// Bytes that tell which put they are of, everywhere.
fn bytes(tag: &str, size: usize) -> Bytes {
    let line = format!("{tag}\n");
    line.bytes().cycle().take(size.max(line.len())).collect()
}

/// The put that these bytes are of, if they are whole.
fn tag(bytes: &[u8], size: usize) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let tag = std::str::from_utf8(&bytes[..end]).ok()?;
    (self::bytes(tag, size) == bytes).then(|| tag.to_owned())
}

/// Each writer has three keys of its own: it puts, overwrites and deletes them.
async fn work(folder: &Path, round: u64) {
    let opened = open(folder);
    let mut writing = Vec::new();
    for writer in 0..WRITERS {
        let (bucket, uploads) = (opened.bucket.clone(), opened.uploads.clone());
        writing.push(gust_task::spawn("writer", async move {
            for n in 0u64.. {
                let key = format!("键{writer}/{}", n % 3);
                if n % 5 == 4 {
                    say(format!("begin {key} -"));
                    bucket.delete(&key, Condition::Always).await.unwrap();
                    say(format!("done {key} -"));
                    continue;
                }
                let size = SIZES[(n as usize + writer as usize) % SIZES.len()];
                let tag = format!("{round}-{writer}-{n}-{size}");
                if n % 4 == 3 {
                    say(format!("begin {key} {tag}"));
                    put_parts(&uploads, &key, &bytes(&tag, size)).await;
                    say(format!("done {key} {tag}"));
                    continue;
                }
                let pieces: Vec<_> = bytes(&tag, size)
                    .chunks(7000)
                    .map(|c| Ok(Bytes::copy_from_slice(c)))
                    .collect();
                say(format!("begin {key} {tag}"));
                let put = bucket.put(&key, stream::iter(pieces).boxed(), PutOptions::default());
                put.await.unwrap();
                say(format!("done {key} {tag}"));
            }
        }));
    }
    for writer in writing {
        writer.await.unwrap();
    }
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
    let (begun, beginning) = std::sync::mpsc::sync_channel(1);
    let reading = std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        let said = |line: String| {
            let said = line.strip_prefix("said ")?.strip_suffix('.')?.to_owned();
            let _ = begun.try_send(());
            Some(said)
        };
        lines.filter_map(said).collect::<Vec<_>>()
    });
    // Some die while they open the folder, most while they write.
    if round % 6 != 5 {
        let _ = beginning.recv_timeout(Duration::from_secs(30));
    }
    std::thread::sleep(Duration::from_millis(10 + ids::random_u64() % 300));
    drop(running);
    reading.join().unwrap()
}

/// What each key may hold: what was acknowledged last, or what was under way at the kill. `-` for nothing.
#[derive(Default)]
struct Known {
    holds: HashMap<String, String>,
    under_way: HashMap<String, String>,
    count: u64,
}

impl Known {
    fn hear(&mut self, line: &str) {
        let parts: Vec<_> = line.split(' ').collect();
        let [what, key, tag] = parts[..] else {
            panic!("not understood: {line}")
        };
        match what {
            "begin" => {
                self.under_way.insert(key.to_owned(), tag.to_owned());
            }
            _ => {
                self.under_way.remove(key);
                self.holds.insert(key.to_owned(), tag.to_owned());
                self.count += 1;
            }
        }
    }

    async fn check(&mut self, folder: &Path) {
        let Opened {
            bucket,
            uploads,
            _backends,
        } = open(folder);
        // Nobody goes on with what was under way.
        for upload in uploads
            .list(UploadsOptions::default())
            .await
            .unwrap()
            .uploads
        {
            uploads.abort(&upload.key, &upload.id).await.unwrap();
        }
        let page = bucket.list(ListOptions::default()).await.unwrap();
        assert!(page.next.is_none());
        let mut found = HashMap::new();
        let (mut versions, mut parts) = (HashSet::new(), 0);
        for (key, object) in page.objects {
            let (_, bytes) = bucket.read(&key, 1 << 20).await.unwrap().unwrap();
            let size = SIZES.into_iter().find(|size| {
                let whole = tag(&bytes, *size);
                whole.is_some_and(|tag| tag.ends_with(&format!("-{size}")))
            });
            let size = size.unwrap_or_else(|| panic!("{key} is not whole"));
            if object.etag.ends_with("-2") {
                parts += PARTS;
            } else if size > 16 << 10 {
                versions.insert(object.version);
            }
            found.insert(key, tag(&bytes, size).unwrap());
        }
        let keys: HashSet<_> = self
            .holds
            .keys()
            .chain(self.under_way.keys())
            .cloned()
            .collect();
        for key in keys {
            let there = found.get(&key).map_or("-", String::as_str);
            let acknowledged = self.holds.get(&key).map_or("-", String::as_str);
            let under_way = self.under_way.get(&key).map(String::as_str);
            assert!(
                there == acknowledged || Some(there) == under_way,
                "{key} holds {there}, not {acknowledged} or {under_way:?}"
            );
            self.holds.insert(key, there.to_owned());
        }
        assert!(found.keys().all(|key| self.holds.contains_key(key)));
        self.under_way.clear();
        no_file_too_many(folder, &versions, parts).await;
    }
}

/// What no object needs is removed soon after the start.
async fn no_file_too_many(folder: &Path, versions: &HashSet<String>, parts: usize) {
    let begun = clock::now();
    loop {
        let files = files(&folder.join("blobs"));
        let wanted = versions.len() + parts;
        assert!(versions.is_subset(&files), "a file is missing");
        assert!(files.len() >= wanted, "a part's file is missing");
        if files.len() == wanted {
            return;
        }
        let late = begun.elapsed() > Duration::from_secs(30);
        assert!(!late, "{} files too many", files.len() - wanted);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn files(folder: &Path) -> HashSet<String> {
    let mut found = HashSet::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => assert!(found.insert(path.file_name().unwrap().to_str().unwrap().to_owned())),
        }
    }
    found
}

#[test]
fn acknowledged_objects_are_whole() {
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
    assert!(known.count > rounds * 5, "{} acknowledged", known.count);
    println!("{rounds} rounds: {} acknowledged", known.count);
}
