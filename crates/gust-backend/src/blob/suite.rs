//! What every bucket does: call [`run`] with a way to make an empty one. What comes in parts is in [`uploads()`], and what
//! becomes of buckets as such in [`buckets()`].

mod uploads;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt as _, future, stream};
use gust_types::{Blame, Error, Kind, Result};
use sha2::{Digest as _, Sha256};

use super::{
    Body, Bucket, BucketExt as _, ByteRange, Condition, Findings, Found, GetOptions, Got,
    ListOptions, Page, PutOptions, body, collect, known,
};

pub use uploads::{buckets, uploads};

/// Sizes at which implementations may begin to do things in another way.
const SIZES: [usize; 6] = [0, 1, 16 << 10, (16 << 10) + 1, 100_000, 600_000];

/// Runs every check, each on a bucket of its own. Needs a tokio runtime with time.
pub async fn run(make: impl AsyncFn() -> Arc<dyn Bucket>) {
    objects_round_trip(make().await).await;
    what_is_said_of_an_object_is_kept(make().await).await;
    what_breaks_off_leaves_nothing(make().await).await;
    what_was_announced_is_held_against_what_came(make().await).await;
    ranges_are_cut_out(make().await).await;
    conditions_hold_or_conflict(make().await).await;
    gets_have_conditions(make().await).await;
    who_reads_reads_to_the_end(make().await).await;
    keys_list_in_byte_order(make().await).await;
    lists_fold_and_go_on(make().await).await;
    what_is_no_key_is_refused(make().await).await;
    of_many_who_would_be_first_one_is(make().await).await;
}

#[expect(clippy::panic, reason = "a suite fails its test by panicking")]
fn ok<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|e| panic!("{:?}: {}", e.kind, e.chain()))
}

#[expect(clippy::panic, reason = "a suite fails its test by panicking")]
fn found(got: Result<Got>) -> Found {
    match ok(got) {
        Got::Found(found) => found,
        _ => panic!("not found"),
    }
}

fn refused<T>(result: Result<T>, kind: Kind) {
    let error = result.err();
    assert_eq!(error.as_ref().map(|e| e.kind), Some(kind), "{error:?}");
    assert_eq!(error.map(|e| e.blame), Some(Blame::Function));
}

/// Bytes that tell places in them apart.
fn bytes(size: usize) -> Bytes {
    (0..size).map(|n| (n / 7 + n * 31) as u8).collect()
}

/// A body in pieces of all sizes, some of them empty.
fn pieces(bytes: &Bytes) -> Body {
    let (mut rest, mut size, mut pieces) = (bytes.clone(), 0, Vec::new());
    while !rest.is_empty() {
        let piece = rest.split_to(size.min(rest.len()));
        pieces.push(Ok(piece));
        size = (size * 3 + 1) % 100_003;
    }
    stream::iter(pieces).boxed()
}

async fn put(bucket: &Arc<dyn Bucket>, key: &str, text: &str) -> String {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    ok(bucket.put_bytes(key, bytes).await).etag
}

async fn text(bucket: &Arc<dyn Bucket>, key: &str) -> Option<String> {
    let (_, bytes) = ok(bucket.read(key, 1 << 20).await)?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn on(condition: Condition) -> PutOptions {
    PutOptions {
        condition,
        ..PutOptions::default()
    }
}

async fn objects_round_trip(bucket: Arc<dyn Bucket>) {
    let keys = [
        "plain",
        "照片/二〇二六/猫 %2F.jpg",
        "../../etc/passwd",
        "/",
        "a//b",
        "\u{1f980}\u{1}",
    ];
    for (size, key) in SIZES.into_iter().zip(keys) {
        assert!(ok(bucket.head(key).await).is_none(), "{key:?}");
        let bytes = bytes(size);
        let object = ok(bucket.put(key, pieces(&bytes), PutOptions::default()).await);
        assert_eq!(object.size, size as u64);
        assert!((1..=64).contains(&object.etag.len()), "{}", object.etag);
        assert_eq!(object.content_type, "application/octet-stream");
        assert_eq!(ok(bucket.head(key).await).as_ref(), Some(&object));
        let got = found(bucket.get(key, GetOptions::default()).await);
        assert_eq!((&got.object, got.range), (&object, 0..size as u64));
        assert!(ok(collect(got.body).await) == bytes, "{size} bytes differ");
        // The same bytes under another key, and again: one etag, another version.
        let again = ok(bucket.put(key, body(bytes), PutOptions::default()).await);
        assert_eq!(again.etag, object.etag);
        assert_ne!(again.version, object.version);
    }
    for key in keys {
        let there = ok(bucket.head(key).await);
        assert_eq!(ok(bucket.delete(key, Condition::Always).await), there);
        assert!(there.is_some(), "{key:?}");
        assert_eq!(ok(bucket.delete(key, Condition::Always).await), None);
        assert!(matches!(
            ok(bucket.get(key, GetOptions::default()).await),
            Got::Absent
        ));
    }
    assert_eq!(
        ok(bucket.list(ListOptions::default()).await),
        Page::default()
    );
}

async fn what_is_said_of_an_object_is_kept(bucket: Arc<dyn Bucket>) {
    let metadata: BTreeMap<_, _> = [("author", "王小明"), ("x-1", "")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let headers: BTreeMap<_, _> = [
        ("cache-control", "no-cache"),
        ("content-disposition", "attachment; filename=\"照片.jpg\""),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let findings = Findings {
        etag: Some("0123-7".to_owned()),
        checksums: [("crc32".to_owned(), "AAAAAA==".to_owned())].into(),
    };
    let options = PutOptions {
        content_type: Some("text/plain; charset=utf-8".to_owned()),
        metadata: metadata.clone(),
        headers: headers.clone(),
        found: known(findings.clone()),
        ..PutOptions::default()
    };
    let object = ok(bucket.put("k", body("文".into()), options).await);
    let head = ok(bucket.head("k").await);
    assert_eq!(head.as_ref(), Some(&object));
    assert_eq!(object.content_type, "text/plain; charset=utf-8");
    assert_eq!(object.metadata, metadata);
    assert_eq!(object.headers, headers);
    assert_eq!(Some(&object.etag), findings.etag.as_ref());
    assert_eq!(object.checksums, findings.checksums);
    assert!(object.modified_us > 1_600_000_000_000_000);
    let page = ok(bucket.list(ListOptions::default()).await);
    assert_eq!(page.objects, [("k".to_owned(), object)]);
    // Nothing of the one before is left.
    put(&bucket, "k", "x").await;
    let head = ok(bucket.head("k").await);
    assert!(head.is_some_and(|object| object.metadata.is_empty()));
    let large = "x".repeat(bucket.limits().metadata);
    for (name, value, kind) in [
        ("Upper", "v", Kind::Invalid),
        ("", "v", Kind::Invalid),
        ("名", "v", Kind::Invalid),
        ("n", "a\nb", Kind::Invalid),
        ("n", &*large, Kind::Exhausted),
    ] {
        let options = PutOptions {
            metadata: [(name.to_owned(), value.to_owned())].into(),
            ..PutOptions::default()
        };
        refused(bucket.put("k", body("y".into()), options).await, kind);
    }
    for (name, value) in [("set-cookie", "x"), ("expires", "a\r\nb")] {
        let options = PutOptions {
            headers: [(name.to_owned(), value.to_owned())].into(),
            ..PutOptions::default()
        };
        refused(
            bucket.put("k", body("y".into()), options).await,
            Kind::Invalid,
        );
    }
    let odd = Findings {
        etag: Some("a\"b".to_owned()),
        ..Findings::default()
    };
    let options = PutOptions {
        found: known(odd),
        ..PutOptions::default()
    };
    refused(
        bucket.put("k", body("y".into()), options).await,
        Kind::Invalid,
    );
    for media in ["", "text/plain\r\nx: y", "文"] {
        let options = PutOptions {
            content_type: Some(media.to_owned()),
            ..PutOptions::default()
        };
        refused(
            bucket.put("k", body("y".into()), options).await,
            Kind::Invalid,
        );
    }
    assert_eq!(text(&bucket, "k").await.as_deref(), Some("x"));
}

async fn what_breaks_off_leaves_nothing(bucket: Arc<dyn Bucket>) {
    put(&bucket, "k", "old").await;
    for size in SIZES {
        for key in ["k", "new"] {
            let hung_up = Error::new(Kind::Failed, Blame::Function, "hung up");
            let broken = stream::iter([Ok(bytes(size)), Err(hung_up)]).boxed();
            let put = bucket.put(key, broken, PutOptions::default());
            refused(put.await, Kind::Failed);
        }
        // Somebody who goes away in the middle.
        let stuck = stream::iter([Ok(bytes(size))]).chain(stream::pending());
        let put = bucket.put("new", stuck.boxed(), PutOptions::default());
        let waited = tokio::time::timeout(std::time::Duration::from_millis(20), put).await;
        assert!(waited.is_err());
    }
    assert_eq!(text(&bucket, "k").await.as_deref(), Some("old"));
    assert_eq!(text(&bucket, "new").await, None);
    let page = ok(bucket.list(ListOptions::default()).await);
    assert_eq!(page.objects.len(), 1);
}

async fn what_was_announced_is_held_against_what_came(bucket: Arc<dyn Bucket>) {
    for size in SIZES {
        let bytes = bytes(size);
        let sha256: [u8; 32] = Sha256::digest(&bytes).into();
        let announced = |size: u64, sha256| PutOptions {
            size: Some(size),
            sha256: Some(sha256),
            ..PutOptions::default()
        };
        let size = size as u64;
        for wrong in [
            announced(size + 1, sha256),
            announced(size.wrapping_sub(1).min(7), sha256),
            announced(size, [7; 32]),
        ] {
            if wrong.size == Some(size) && wrong.sha256 == Some(sha256) {
                continue;
            }
            refused(bucket.put("k", pieces(&bytes), wrong).await, Kind::Invalid);
            assert!(ok(bucket.head("k").await).is_none());
        }
        ok(bucket
            .put("k", pieces(&bytes), announced(size, sha256))
            .await);
        ok(bucket.delete("k", Condition::Always).await);
    }
    let too_large = PutOptions {
        size: Some(bucket.limits().object + 1),
        ..PutOptions::default()
    };
    refused(
        bucket.put("k", body("x".into()), too_large).await,
        Kind::Exhausted,
    );
}

async fn ranges_are_cut_out(bucket: Arc<dyn Bucket>) {
    for size in SIZES {
        let bytes = bytes(size);
        ok(bucket.put("k", pieces(&bytes), PutOptions::default()).await);
        let size = size as u64;
        for range in [
            ByteRange::From(0),
            ByteRange::From(size / 2),
            ByteRange::From(size),
            ByteRange::Between(0, 0),
            ByteRange::Between(size / 3, size / 2),
            ByteRange::Between(1, u64::MAX),
            ByteRange::Between(5, 4),
            ByteRange::Last(1),
            ByteRange::Last(100_000),
            ByteRange::Last(0),
        ] {
            let options = GetOptions {
                range: Some(range),
                ..GetOptions::default()
            };
            let got = ok(bucket.get("k", options).await);
            match (got, range.of(size)) {
                (Got::Found(found), Some(wanted)) => {
                    assert_eq!(found.range, wanted);
                    let wanted = wanted.start as usize..wanted.end as usize;
                    let same = ok(collect(found.body).await) == bytes[wanted];
                    assert!(same, "{range:?} of {size} differs");
                }
                (Got::OutOfRange(object), None) => assert_eq!(object.size, size),
                _ => assert!(range.of(size).is_none(), "{range:?} of {size}"),
            }
        }
    }
}

async fn conditions_hold_or_conflict(bucket: Arc<dyn Bucket>) {
    let of = |etags: &[&String]| Condition::Etag(etags.iter().map(|e| (*e).clone()).collect());
    let other = "0".repeat(64);
    let put_on = async |text: &str, condition| {
        let body = body(Bytes::copy_from_slice(text.as_bytes()));
        bucket.put("k", body, on(condition)).await
    };
    refused(put_on("x", of(&[&other])).await, Kind::Conflict);
    refused(put_on("x", Condition::Present).await, Kind::Conflict);
    refused(bucket.delete("k", Condition::Present).await, Kind::Conflict);
    let first = ok(put_on("1", Condition::Absent).await).etag;
    refused(put_on("x", Condition::Absent).await, Kind::Conflict);
    refused(put_on("x", of(&[&other])).await, Kind::Conflict);
    let second = ok(put_on("2", of(&[&other, &first])).await).etag;
    assert_ne!(first, second);
    refused(put_on("x", of(&[&first])).await, Kind::Conflict);
    // A condition that cannot hold is told before the bytes are read.
    let never = stream::pending().boxed();
    refused(
        bucket.put("k", never, on(Condition::Absent)).await,
        Kind::Conflict,
    );
    refused(bucket.delete("k", of(&[&first])).await, Kind::Conflict);
    assert_eq!(text(&bucket, "k").await.as_deref(), Some("2"));
    ok(put_on("3", Condition::Present).await);
    let there = ok(bucket.head("k").await).map(|object| object.etag);
    let gone = ok(bucket.delete("k", of(&[&there.unwrap_or_default()])).await);
    assert!(gone.is_some());
    ok(put_on("4", Condition::Absent).await);
}

async fn gets_have_conditions(bucket: Arc<dyn Bucket>) {
    let etag = put(&bucket, "k", "v").await;
    let get = async |if_match: Option<&[&str]>, if_none_match: Option<&[&str]>| {
        let own = |etags: &[&str]| etags.iter().map(|e| (*e).to_owned()).collect();
        let options = GetOptions {
            range: None,
            if_match: if_match.map(own),
            if_none_match: if_none_match.map(own),
        };
        bucket.get("k", options).await
    };
    let is_found = |got: Result<Got>| matches!(ok(got), Got::Found(_));
    assert!(is_found(get(Some(&["x", &etag]), None).await));
    assert!(is_found(get(Some(&["*"]), Some(&["x"])).await));
    refused(get(Some(&["x"]), None).await, Kind::Conflict);
    for seen in [&["x", &*etag][..], &["*"]] {
        let got = ok(get(None, Some(seen)).await);
        assert!(matches!(got, Got::Unchanged(object) if object.etag == etag));
    }
}

async fn who_reads_reads_to_the_end(bucket: Arc<dyn Bucket>) {
    for size in SIZES {
        let old = bytes(size);
        ok(bucket.put("k", pieces(&old), PutOptions::default()).await);
        let first = found(bucket.get("k", GetOptions::default()).await);
        put(&bucket, "k", "new").await;
        let second = found(bucket.get("k", GetOptions::default()).await);
        ok(bucket.delete("k", Condition::Always).await);
        // Long enough for what is not needed any more to go.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert!(ok(collect(first.body).await) == old, "{size} bytes differ");
        assert_eq!(ok(collect(second.body).await), "new");
    }
}

fn keys(page: &Page) -> Vec<&str> {
    page.objects.iter().map(|(key, _)| &**key).collect()
}

async fn keys_list_in_byte_order(bucket: Arc<dyn Bucket>) {
    let all = [
        "A",
        "a",
        "a/b",
        "a0",
        "b",
        "照片/一",
        "照片/二",
        "\u{10ffff}x",
    ];
    for key in all.iter().rev() {
        put(&bucket, key, key).await;
    }
    let list = async |prefix: &str, after: Option<&str>| {
        let options = ListOptions {
            prefix: prefix.to_owned(),
            after: after.map(str::to_owned),
            ..ListOptions::default()
        };
        ok(bucket.list(options).await)
    };
    assert_eq!(keys(&list("", None).await), all);
    assert_eq!(keys(&list("a", None).await), ["a", "a/b", "a0"]);
    assert_eq!(keys(&list("a", Some("a")).await), ["a/b", "a0"]);
    assert_eq!(keys(&list("a", Some("A")).await), ["a", "a/b", "a0"]);
    assert_eq!(keys(&list("照片/", Some("照片/一")).await), ["照片/二"]);
    assert!(keys(&list("a", Some("b")).await).is_empty());
    assert!(keys(&list("nothing", None).await).is_empty());
    assert_eq!(keys(&list("\u{10ffff}", None).await), ["\u{10ffff}x"]);
}

async fn lists_fold_and_go_on(bucket: Arc<dyn Bucket>) {
    for n in 0..30 {
        put(&bucket, &format!("in/{}/{n:02}", n / 10), "x").await;
        put(&bucket, &format!("k{n:02}"), "x").await;
    }
    put(&bucket, "in/", "x").await;
    put(&bucket, "in/top", "x").await;
    let list = async |prefix: &str, after: Option<String>, most| {
        let options = ListOptions {
            prefix: prefix.to_owned(),
            delimiter: Some("/".to_owned()),
            after,
            most,
        };
        ok(bucket.list(options).await)
    };
    let page = list("in/", None, 0).await;
    assert_eq!(page.prefixes, ["in/0/", "in/1/", "in/2/"]);
    assert_eq!(keys(&page), ["in/", "in/top"]);
    assert_eq!(page.next, None);
    let page = list("", None, 0).await;
    assert_eq!((page.prefixes.len(), page.objects.len()), (1, 30));
    // Page by page it is the same, whatever the size of a page.
    for (prefix, most) in [
        ("in/", 1),
        ("in/", 2),
        ("in/", 4),
        ("", 1),
        ("", 7),
        ("k", 30),
    ] {
        let whole = list(prefix, None, 0).await;
        let (mut all, mut after) = (Page::default(), None);
        loop {
            let page = list(prefix, after, most).await;
            let count = page.objects.len() + page.prefixes.len();
            assert!(count <= most && (count == most || page.next.is_none()));
            all.objects.extend(page.objects);
            all.prefixes.extend(page.prefixes);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(all, whole, "{prefix:?} by {most}");
    }
    let page = ok(bucket
        .list(ListOptions {
            most: usize::MAX,
            ..ListOptions::default()
        })
        .await);
    assert_eq!(page.objects.len(), 62);
}

async fn what_is_no_key_is_refused(bucket: Arc<dyn Bucket>) {
    let long = "键".repeat(bucket.limits().key / 3 + 1);
    for key in ["", "a\0b", &*long] {
        let put = bucket.put(key, body("x".into()), PutOptions::default());
        refused(put.await, Kind::Invalid);
        refused(bucket.get(key, GetOptions::default()).await, Kind::Invalid);
        refused(bucket.head(key).await, Kind::Invalid);
        refused(bucket.delete(key, Condition::Always).await, Kind::Invalid);
    }
    let longest = "k".repeat(bucket.limits().key);
    put(&bucket, &longest, "x").await;
    assert_eq!(text(&bucket, &longest).await.as_deref(), Some("x"));
}

async fn of_many_who_would_be_first_one_is(bucket: Arc<dyn Bucket>) {
    for size in [10, 100_000] {
        let key = size.to_string();
        let puts = (0..16u8).map(|n| {
            let bytes = Bytes::from(vec![n; size]);
            bucket.put(&key, body(bytes), on(Condition::Absent))
        });
        let results = future::join_all(puts).await;
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 15));
        for error in lost {
            refused(error, Kind::Conflict);
        }
        let there = ok(bucket.head(&key).await).map(|object| object.etag);
        let won = won.into_iter().next().map(|object| ok(object).etag);
        assert_eq!(there, won);
    }
}
