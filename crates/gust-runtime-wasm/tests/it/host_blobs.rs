//! Buckets through `wasi:blobstore`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use gust_backend::blob::{
    self, BlobLimits, Body, Bucket, BucketExt as _, Condition, Found, GetOptions, Got, ListOptions,
    Object, Page, PutOptions, memory::MemoryBucket,
};
use gust_types::{Blame, ByteSize, Error, Kind, Label, Result};
use serde_json::{Value, json};

use crate::kit::{Function, broken, get, post, post_body, shared};

const PIECE: usize = 64 << 10;

/// A function with two buckets.
struct World {
    function: Function,
    photos: Arc<MemoryBucket>,
    thumbs: Arc<MemoryBucket>,
}

async fn load(buckets: Vec<(&str, Arc<dyn Bucket>)>) -> Function {
    let bench = shared();
    let mut revision = bench.revision("blobs-p2");
    revision.spec.limits.memory = ByteSize(16 << 20);
    let function = bench.load_with(revision, |bindings| {
        for (name, bucket) in buckets {
            bindings.blobs.insert(Label::new(name).unwrap(), bucket);
        }
    });
    function.await
}

async fn world() -> World {
    let (photos, thumbs) = (Arc::<MemoryBucket>::default(), Arc::default());
    World {
        function: load(vec![
            ("photos", photos.clone()),
            ("thumbs", Arc::<MemoryBucket>::clone(&thumbs)),
        ])
        .await,
        photos,
        thumbs,
    }
}

impl World {
    async fn put(&self, key: &str, text: &'static str) {
        let bytes = Bytes::from_static(text.as_bytes());
        self.photos.put_bytes(key, bytes).await.unwrap();
    }
}

async fn text(bucket: &MemoryBucket, key: &str) -> Option<String> {
    let (_, bytes) = bucket.read(key, 1 << 30).await.unwrap()?;
    Some(String::from_utf8(bytes.into()).unwrap())
}

/// The words of an answer that is an error.
#[track_caller]
fn detail(answer: &Value) -> &str {
    assert_eq!(answer["error"], "error", "{answer}");
    answer["detail"].as_str().unwrap()
}

fn ok() -> Value {
    json!({"ok": true})
}

/// `in/猫.jpg`, as it stands in a path.
const CAT: &str = "in/%E7%8C%AB.jpg";

#[tokio::test]
async fn what_is_finished_is_there() {
    let world = world().await;
    for when in ["after", "before"] {
        let path = format!("/put/photos/{CAT}?when={when}");
        let body = format!("喵 {when}");
        assert_eq!(world.function.post(&path, body.clone()).await, ok());
        assert_eq!(text(&world.photos, "in/猫.jpg").await, Some(body.clone()));
        let got = world.function.get(&format!("/get/photos/{CAT}")).await;
        assert_eq!(got.text(), body);
        let whole = world.function.ask(&format!("/whole/photos/{CAT}")).await;
        assert_eq!(whole, json!({"length": body.len(), "start": body}));
    }
    assert_eq!(world.function.post("/put/photos/empty", "").await, ok());
    for path in ["/whole/photos/empty", "/sum/photos/empty"] {
        let empty = world.function.ask(path).await;
        assert_eq!(empty["error"], Value::Null, "{empty}");
    }
}

#[tokio::test]
async fn what_is_not_finished_leaves_what_was_there() {
    let world = world().await;
    world.put("a", "before").await;
    for (when, wanted) in [
        ("unfinished", None),
        ("nowhere", Some("before it was written to a container")),
        ("twice", Some("written already")),
    ] {
        let path = format!("/put/photos/a?when={when}");
        let answer = world.function.post(&path, "x".repeat(400_000)).await;
        match wanted {
            None => assert_eq!(answer, json!({"dropped": true})),
            Some(words) => assert!(detail(&answer).contains(words), "{answer}"),
        }
    }
    let (error, _) = world
        .function
        .fail(post("/put/photos/a?when=trap", "x"))
        .await;
    assert_eq!(error.kind, Kind::Failed, "{}", error.chain());
    let cut = broken(Error::invalid("gone"));
    let cut = world.function.send(post_body("/put/photos/a", cut)).await;
    assert_eq!(cut.json()["error"], "error");
    // Nothing comes later either.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(text(&world.photos, "a").await.as_deref(), Some("before"));
    assert_eq!(
        world
            .photos
            .list(ListOptions::default())
            .await
            .unwrap()
            .objects
            .len(),
        1
    );
}

#[tokio::test]
async fn ranges_include_their_end() {
    let world = world().await;
    world.put("a", "0123456789").await;
    for (range, wanted) in [
        ("start=2&end=4", "234"),
        ("start=9&end=9", "9"),
        ("start=7&end=700", "789"),
        ("start=0", "0123456789"),
    ] {
        let got = world.function.get(&format!("/get/photos/a?{range}")).await;
        assert_eq!(got.text(), wanted);
    }
    for range in ["start=10&end=12", "start=4&end=2"] {
        let got = world.function.ask(&format!("/get/photos/a?{range}")).await;
        assert!(detail(&got).contains("the object has 10 bytes"), "{got}");
    }
    let got = world.function.ask("/get/photos/none").await;
    assert_eq!(detail(&got), "there is no such object: \"none\"");
}

#[tokio::test]
async fn names_come_page_by_page_to_the_end() {
    let world = world().await;
    let list = async |query: &str| world.function.ask(&format!("/list/photos{query}")).await;
    let nothing = json!({"skipped": 0, "names": [], "reads": 1});
    assert_eq!(list("").await, nothing);
    let mut names: Vec<_> = (0..600).map(|n| format!("照片/{n:03}")).collect();
    names.push("a".to_owned());
    for name in &names {
        world.put(name, "x").await;
    }
    names.sort();
    assert_eq!(list("").await["names"], json!(names));
    let paged = list("?page=250&skip=1").await;
    assert_eq!(
        paged,
        json!({"skipped": 1, "names": names[1..], "reads": 3})
    );
    let behind = list("?skip=1000").await;
    assert_eq!(behind, json!({"skipped": 601, "names": [], "reads": 1}));
}

#[tokio::test]
async fn objects_are_told_of_and_removed() {
    let world = world().await;
    for key in ["in/猫.jpg", "b", "c", "d"] {
        world.put(key, "meow").await;
    }
    let ask = async |path: &str| world.function.ask(path).await;
    let info = ask(&format!("/info/photos/{CAT}")).await;
    assert_eq!(
        (&info["name"], &info["container"], &info["size"]),
        (&json!("in/猫.jpg"), &json!("photos"), &json!(4))
    );
    assert!(info["created"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(
        ask("/info/photos").await,
        json!({"name": "photos", "created": 0})
    );
    assert!(detail(&ask("/info/photos/none").await).contains("no such object"));
    assert_eq!(ask(&format!("/has/photos/{CAT}")).await, json!(true));
    assert_eq!(ask(&format!("/delete/photos/{CAT}")).await, ok());
    assert_eq!(ask(&format!("/delete/photos/{CAT}")).await, ok());
    assert_eq!(ask(&format!("/has/photos/{CAT}")).await, json!(false));
    // All names are looked at before any object goes.
    let long = "x".repeat(1025);
    let refused = ask(&format!("/delete/photos?b&{long}")).await;
    assert!(detail(&refused).contains("longer than 1024 bytes"));
    assert_eq!(ask("/delete/photos?b&none").await, ok());
    assert_eq!(ask("/list/photos").await["names"], json!(["c", "d"]));
    assert!(detail(&ask("/remove/photos").await).contains("not empty"));
    assert_eq!(ask("/clear/photos").await, ok());
    assert_eq!(ask("/list/photos").await["names"], json!([]));
    assert_eq!(ask("/remove/photos").await, ok());
    assert_eq!(ask("/create/photos").await, json!({"name": "photos"}));
    assert_eq!(ask("/exists/photos").await, json!(true));
}

#[tokio::test]
async fn objects_are_copied_and_moved_with_what_is_known_of_them() {
    let world = world().await;
    let options = PutOptions {
        content_type: Some("image/jpeg".into()),
        metadata: [("author".to_owned(), "我".to_owned())].into(),
        ..PutOptions::default()
    };
    let body = blob::body(Bytes::from_static(b"meow"));
    world.photos.put("in/猫.jpg", body, options).await.unwrap();
    let ask = async |path: &str| world.function.ask(path).await;
    let to = format!("{CAT}?bucket=thumbs&key=%E5%B0%8F");
    assert_eq!(ask(&format!("/copy/photos/{to}")).await, ok());
    let copy = world.thumbs.head("小").await.unwrap().unwrap();
    assert_eq!(
        (&*copy.content_type, &*copy.metadata["author"]),
        ("image/jpeg", "我")
    );
    assert_eq!(
        ask(&format!("/move/photos/{CAT}?bucket=photos&key=b")).await,
        ok()
    );
    assert_eq!(text(&world.photos, "in/猫.jpg").await, None);
    assert_eq!(text(&world.photos, "b").await.as_deref(), Some("meow"));
    // Onto itself: it stays.
    for does in ["copy", "move"] {
        let onto = format!("/{does}/photos/b?bucket=photos&key=b");
        assert_eq!(ask(&onto).await, ok());
        assert_eq!(text(&world.photos, "b").await.as_deref(), Some("meow"));
        let none = ask(&format!("/{does}/photos/none?bucket=thumbs&key=b")).await;
        assert!(detail(&none).contains("no such object"), "{none}");
        let denied = ask(&format!("/{does}/photos/b?bucket=other&key=b")).await;
        assert!(detail(&denied).contains("access denied"), "{denied}");
    }
    assert_eq!(text(&world.thumbs, "b").await, None);
}

#[tokio::test]
async fn what_is_not_given_is_denied_with_its_name() {
    let world = world().await;
    for path in [
        "/create/mail",
        "/exists/mail",
        "/remove/mail",
        "/info/mail",
        "/get/mail/a",
        "/put/mail/a",
        "/copy/mail/a?bucket=photos&key=a",
    ] {
        let answer = world.function.ask(path).await;
        let said = detail(&answer);
        assert!(
            said.starts_with("access denied") && said.contains("\"mail\" (name it among"),
            "{path}: {said}"
        );
    }
}

#[tokio::test]
async fn what_breaks_a_rule_is_the_guests_error() {
    let world = world().await;
    let long = "x".repeat(1025);
    for path in ["put", "get", "has", "info", "delete"] {
        let answer = world.function.ask(&format!("/{path}/photos/{long}")).await;
        assert!(
            detail(&answer).contains("longer than 1024 bytes"),
            "{answer}"
        );
    }
    // What nobody knows the place of does not pile up.
    let full = "x".repeat(1 << 20);
    let path = "/put/photos/a?when=before";
    assert_eq!(world.function.post(path, full.clone()).await, ok());
    let more = world.function.post(path, full.clone() + "x").await;
    assert!(detail(&more).contains("call write-data first"), "{more}");
    assert_eq!(text(&world.photos, "a").await, Some(full));
    // Nor does what is read at once.
    let large = Bytes::from(vec![0; (16 << 20) + 1]);
    world.photos.put_bytes("large", large).await.unwrap();
    let answer = world.function.ask("/whole/photos/large").await;
    assert!(
        detail(&answer).contains("consume it as a stream"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_is_open_at_once_is_bounded() {
    let world = world().await;
    world.put("a", "x").await;
    for (path, most, words) in [
        ("/make/20", 16, "writes more values than it may: 16"),
        ("/read/70/photos/a", 64, "reads more values than it may: 64"),
        ("/lists/20/photos", 16, "more listings open than it may: 16"),
        ("/open/300/photos", 256, "too many containers are open"),
    ] {
        let instance = world.function.start().await;
        let answered = crate::kit::finish(instance, get(path)).await;
        let answer = answered.json();
        assert_eq!(answer["held"], most, "{path}: {answer}");
        assert!(
            answer["error"].as_str().unwrap().contains(words),
            "{answer}"
        );
        // What was let go of is free again.
        if let Some(instance) = answered.finished.instance {
            let path = "/put/photos/b";
            let again = crate::kit::finish(instance, post(path, "x")).await;
            assert_eq!(again.json(), ok());
        }
    }
}

/// A bucket of objects of any size that holds none of their bytes, and that may be out of order.
#[derive(Default)]
struct Large {
    /// Pieces that were asked for, and bytes that came.
    pulled: Arc<AtomicUsize>,
    came: AtomicUsize,
    objects: AtomicUsize,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// Takes nothing and waits.
    Stuck,
    /// Refuses at once.
    Refuses,
    /// The disk is full after the first bytes, or reading fails after the first piece.
    HalfWay,
}

const PIECES: usize = 1024;

fn full() -> Error {
    let error = Error::new(Kind::Exhausted, Blame::Platform, "the disk is full");
    error.because("a secret of the insides")
}

fn object(size: usize) -> Object {
    Object {
        size: size as u64,
        etag: "e".into(),
        version: "1".into(),
        content_type: "text/plain".into(),
        metadata: Default::default(),
        headers: Default::default(),
        checksums: Default::default(),
        modified_us: 0,
    }
}

#[async_trait]
impl Bucket for Large {
    async fn put(&self, _: &str, mut body: Body, _: PutOptions) -> Result<Object> {
        match self.fault {
            Some(Fault::Stuck) => std::future::pending().await,
            Some(Fault::Refuses) => return Err(full()),
            _ => {}
        }
        while let Some(bytes) = body.try_next().await? {
            let came = self.came.fetch_add(bytes.len(), Relaxed);
            if self.fault.is_some() && came > 100_000 {
                return Err(full());
            }
        }
        self.objects.fetch_add(1, Relaxed);
        Ok(object(self.came.load(Relaxed)))
    }

    async fn get(&self, _: &str, _: GetOptions) -> Result<Got> {
        let (pulled, fault) = (self.pulled.clone(), self.fault);
        let piece = move |n: usize| match fault {
            Some(_) if n > 0 => Err(full()),
            _ => {
                pulled.fetch_add(1, Relaxed);
                Ok(Bytes::from(vec![(n % 251) as u8; PIECE]))
            }
        };
        Ok(Got::Found(Found {
            object: object(PIECES * PIECE),
            range: 0..(PIECES * PIECE) as u64,
            body: stream::iter((0..PIECES).map(piece)).boxed(),
        }))
    }

    async fn head(&self, _: &str) -> Result<Option<Object>> {
        Err(full())
    }

    async fn delete(&self, _: &str, _: Condition) -> Result<Option<Object>> {
        Err(full())
    }

    async fn list(&self, _: ListOptions) -> Result<Page> {
        Err(full())
    }

    fn limits(&self) -> BlobLimits {
        BlobLimits::default()
    }
}

async fn large(fault: Option<Fault>) -> (Function, Arc<Large>) {
    let bucket = Arc::new(Large {
        fault,
        ..Large::default()
    });
    (load(vec![("large", bucket.clone())]).await, bucket)
}

/// 64 MiB pass through a guest of 16 MiB, and through a host that is never far ahead of either side.
#[tokio::test]
async fn memory_does_not_grow_with_an_object() {
    let (function, bucket) = large(None).await;
    let answered = function
        .get(&format!("/fill/large/a?pieces={PIECES}"))
        .await;
    assert_eq!(answered.json(), ok());
    assert_eq!(bucket.came.load(Relaxed), PIECES * PIECE);
    let sum: usize = (0..PIECES).map(|n| n % 251 * PIECE).sum();
    let read = function.ask("/sum/large/a").await;
    let size = PIECES * PIECE;
    assert_eq!(
        read,
        json!({"size": size, "bytes": size, "sum": sum, "broken": null})
    );
    // A reader that stops asks for no more.
    bucket.pulled.store(0, Relaxed);
    assert_eq!(function.ask("/peek/large/a").await, json!({"read": 10}));
    assert_eq!(bucket.pulled.load(Relaxed), 1);
    // Copied without the guest: nor is it held on the way.
    assert_eq!(function.ask("/copy/large/a?bucket=large&key=b").await, ok());
    // A bucket that takes nothing holds the writer up.
    let (function, _) = large(Some(Fault::Stuck)).await;
    for (first, wanted) in [(0, 256 << 10), (1 << 20, 1 << 20)] {
        let room = function.ask(&format!("/room/large/a?first={first}")).await;
        assert_eq!(room, json!({"written": wanted}));
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_no_trap() {
    for fault in [Fault::Refuses, Fault::HalfWay] {
        let (function, bucket) = large(Some(fault)).await;
        let half_way = fault == Fault::HalfWay;
        for path in [
            "/put/large/a",
            "/put/large/a?when=before",
            "/fill/large/a?pieces=64",
        ] {
            let answer = function.post(path, "x".repeat(500_000)).await;
            assert_eq!(detail(&answer), "the disk is full", "{path}");
        }
        for path in ["/has", "/info", "/delete"] {
            let answer = function.ask(&format!("{path}/large/a")).await;
            assert_eq!(detail(&answer), "the disk is full", "{path}");
        }
        for path in ["/list/large", "/clear/large", "/remove/large"] {
            let answer = function.ask(path).await;
            assert_eq!(detail(&answer), "the disk is full", "{path}");
        }
        if half_way {
            let read = function.ask("/sum/large/a").await;
            assert_eq!(
                (&read["bytes"], &read["broken"]),
                (&json!(PIECE), &json!("the disk is full"))
            );
        }
        assert_eq!(bucket.objects.load(Relaxed), 0);
    }
}
