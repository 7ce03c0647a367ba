//! What every store does: call [`run`] with a way to make an empty one.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, future};
use gust_task::clock;
use gust_types::{Blame, Kind, Result};

use super::{Condition, Kv, KvExt as _, ListOptions, PutOptions, Version, Write};

/// Runs every check, each on a store of its own. Needs a tokio runtime with time.
pub async fn run(make: impl AsyncFn() -> Arc<dyn Kv>) {
    values_round_trip(make().await).await;
    conditions_hold_or_conflict(make().await).await;
    versions_are_never_used_again(make().await).await;
    expired_values_are_gone_at_once(make().await).await;
    keys_list_in_byte_order(make().await).await;
    long_lists_stream(make().await).await;
    sizes_over_a_limit_are_refused(make().await).await;
    batches_apply_whole_or_not_at_all(make().await).await;
    a_batch_sees_its_own_writes(make().await).await;
    requirements_hold_or_nothing_is_written(make().await).await;
    expiries_come_back(make().await).await;
    numbers_count(make().await).await;
    concurrent_increments_lose_nothing(make().await).await;
    concurrent_swaps_have_one_winner_a_version(make().await).await;
}

#[expect(clippy::panic, reason = "a suite fails its test by panicking")]
fn ok<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|e| panic!("{:?}: {}", e.kind, e.chain()))
}

fn refused<T>(result: Result<T>, kind: Kind) {
    let error = result.err();
    assert_eq!(error.as_ref().map(|e| e.kind), Some(kind), "{error:?}");
    assert_eq!(error.map(|e| e.blame), Some(Blame::Function));
}

fn put(key: &str, value: &str, condition: Condition) -> Write {
    Write::Put {
        key: key.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        options: PutOptions {
            condition,
            ..PutOptions::default()
        },
    }
}

fn delete(key: &str) -> Write {
    Write::Delete {
        key: key.to_owned(),
    }
}

async fn text(kv: &Arc<dyn Kv>, key: &str) -> Option<String> {
    let value = ok(kv.get(key).await)?;
    Some(String::from_utf8_lossy(&value.value).into_owned())
}

async fn listed(kv: &Arc<dyn Kv>, prefix: &str, after: Option<&str>) -> Vec<String> {
    let options = ListOptions {
        prefix: prefix.to_owned(),
        after: after.map(str::to_owned),
    };
    kv.list(options).map(ok).collect().await
}

async fn values_round_trip(kv: Arc<dyn Kv>) {
    let binary: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let values: [(&str, &[u8]); 7] = [
        ("plain", b"value"),
        ("empty", b""),
        ("", b"the empty key"),
        ("\u{4f60}\u{597d}/\u{4e16}\u{754c}", "\u{503c}".as_bytes()),
        ("\u{1f980}\u{0}\u{ff}", b"odd"),
        ("a/b\\c d\n", b"\x00\xff"),
        ("binary", &binary),
    ];
    for (key, value) in values {
        assert_eq!(ok(kv.get(key).await), None, "{key:?}");
        ok(kv.put(key, Bytes::copy_from_slice(value)).await);
    }
    for (key, value) in values {
        let found = ok(kv.get(key).await);
        assert_eq!(found.map(|v| v.value), Some(Bytes::copy_from_slice(value)));
        assert!(ok(kv.exists(key).await));
    }
    let keys: Vec<_> = values.iter().map(|(key, _)| (*key).to_owned()).collect();
    assert!(ok(kv.get_many(&keys).await).iter().all(Option::is_some));
    for (key, _) in values {
        ok(kv.delete(key).await);
        ok(kv.delete(key).await);
        assert!(!ok(kv.exists(key).await), "{key:?}");
    }
    assert!(listed(&kv, "", None).await.is_empty());
    assert!(ok(kv.write(Vec::new()).await).is_empty());
}

async fn conditions_hold_or_conflict(kv: Arc<dyn Kv>) {
    let first = ok(kv.write(vec![put("k", "1", Condition::Absent)]).await)[0].unwrap_or(Version(0));
    assert_ne!(first, Version(0));
    refused(
        kv.write(vec![put("k", "x", Condition::Absent)]).await,
        Kind::Conflict,
    );
    let stale = Condition::Version(Version(first.0 + 1000));
    refused(kv.write(vec![put("k", "x", stale)]).await, Kind::Conflict);
    let gone = Condition::Version(first);
    refused(
        kv.write(vec![put("other", "x", gone)]).await,
        Kind::Conflict,
    );
    let second = ok(kv
        .write(vec![put("k", "2", Condition::Version(first))])
        .await)[0];
    assert_ne!(second, Some(first));
    refused(
        kv.write(vec![put("k", "x", Condition::Version(first))])
            .await,
        Kind::Conflict,
    );
    let found = ok(kv.get("k").await);
    assert_eq!(found.as_ref().map(|v| v.version), second);
    assert_eq!(text(&kv, "k").await.as_deref(), Some("2"));
}

async fn versions_are_never_used_again(kv: Arc<dyn Kv>) {
    let mut seen = HashSet::new();
    for n in 0..50 {
        let version = ok(kv.put("k", Bytes::from("same")).await);
        assert!(seen.insert(version), "version used twice: {version:?}");
        if n % 2 == 0 {
            ok(kv.delete("k").await);
        }
    }
    let before = ok(kv.put("k", Bytes::from("a")).await);
    ok(kv.delete("k").await);
    ok(kv.put("k", Bytes::from("a")).await);
    let blind = put("k", "b", Condition::Version(before));
    refused(kv.write(vec![blind]).await, Kind::Conflict);
}

async fn expired_values_are_gone_at_once(kv: Arc<dyn Kv>) {
    let expiring = async |key: &str, expires_us| {
        let options = PutOptions {
            condition: Condition::Always,
            expires_us: Some(expires_us),
        };
        ok(kv.put_with(key, Bytes::from("7"), options).await)
    };
    let now = clock::unix_micros();
    expiring("past", now - 1).await;
    let soon = expiring("soon", now + 400_000).await;
    expiring("later", now + 3_600_000_000).await;
    assert_eq!(ok(kv.get("past").await), None);
    assert_eq!(listed(&kv, "", None).await, ["later", "soon"]);
    assert_eq!(
        ok(kv.increment("soon", 1).await),
        8,
        "counting keeps the expiry"
    );
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(listed(&kv, "", None).await, ["later"]);
    assert_eq!(ok(kv.get("soon").await), None);
    let stale = put("soon", "x", Condition::Version(soon));
    refused(kv.write(vec![stale]).await, Kind::Conflict);
    ok(kv
        .write(vec![put("soon", "again", Condition::Absent)])
        .await);
    assert_eq!(
        text(&kv, "soon").await.as_deref(),
        Some("again"),
        "a put without expiry stays"
    );
    assert_eq!(
        ok(kv.increment("past", 1).await),
        1,
        "an expired number counts from 0"
    );
}

async fn keys_list_in_byte_order(kv: Arc<dyn Kv>) {
    let keys = [
        "b",
        "a",
        "a/1",
        "a/2",
        "a/10",
        "A",
        "",
        "\u{4e2d}",
        "\u{4e2d}\u{6587}",
        "\u{10ffff}",
        "\u{7f}",
        "a\u{0}",
    ];
    for key in keys {
        ok(kv.put(key, Bytes::new()).await);
    }
    let sorted: Vec<_> = keys
        .iter()
        .map(|k| (*k).to_owned())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    assert_eq!(listed(&kv, "", None).await, sorted);
    assert_eq!(listed(&kv, "a/", None).await, ["a/1", "a/10", "a/2"]);
    assert_eq!(listed(&kv, "a/1", None).await, ["a/1", "a/10"]);
    assert_eq!(
        listed(&kv, "\u{4e2d}", None).await,
        ["\u{4e2d}", "\u{4e2d}\u{6587}"]
    );
    assert_eq!(listed(&kv, "\u{10ffff}", None).await, ["\u{10ffff}"]);
    assert_eq!(listed(&kv, "a/", Some("a/1")).await, ["a/10", "a/2"]);
    assert_eq!(
        listed(&kv, "a/", Some("a/15")).await,
        ["a/2"],
        "after a key that is not there"
    );
    assert_eq!(
        listed(&kv, "a/", Some("A")).await,
        ["a/1", "a/10", "a/2"],
        "after is before the prefix"
    );
    assert!(
        listed(&kv, "a/", Some("b")).await.is_empty(),
        "after is behind the prefix"
    );
    assert!(listed(&kv, "nothing", None).await.is_empty());
    for n in 0..sorted.len() {
        assert_eq!(listed(&kv, "", Some(&sorted[n])).await, sorted[n + 1..]);
    }
    let (page, more) = ok(kv.keys(ListOptions::default(), 3).await);
    assert_eq!((page.len(), more), (3, true));
    let (page, more) = ok(kv.keys(ListOptions::default(), keys.len()).await);
    assert_eq!((page.len(), more), (keys.len(), false));
}

async fn long_lists_stream(kv: Arc<dyn Kv>) {
    let batch = kv.limits().batch.min(500);
    for chunk in 0..4 {
        let writes = (0..batch).map(|n| put(&format!("k{chunk}-{n:05}"), "v", Condition::Always));
        ok(kv.write(writes.collect()).await);
    }
    let all = listed(&kv, "k", None).await;
    assert_eq!(all.len(), batch * 4);
    assert!(all.is_sorted());
    // A list that somebody drops half-way, and one that goes on while keys behind it vanish.
    let mut dropped = kv.list(ListOptions::default());
    assert!(dropped.next().await.is_some());
    drop(dropped);
    let mut going = kv.list(ListOptions::default());
    assert!(going.next().await.is_some());
    ok(kv
        .write(all.iter().take(batch).map(|k| delete(k)).collect())
        .await);
    let rest: Vec<_> = going.map(ok).collect().await;
    assert!(rest.is_sorted() && rest.len() >= batch * 3);
}

async fn sizes_over_a_limit_are_refused(kv: Arc<dyn Kv>) {
    let limits = kv.limits();
    let longest = "k".repeat(limits.key);
    ok(kv.put(&longest, Bytes::from("v")).await);
    assert!(ok(kv.exists(&longest).await));
    let long = "k".repeat(limits.key + 1);
    refused(kv.put(&long, Bytes::new()).await, Kind::Invalid);
    refused(kv.get(&long).await, Kind::Invalid);
    refused(kv.increment(&long, 1).await, Kind::Invalid);
    let value = |size: usize| Bytes::from(vec![7u8; size]);
    ok(kv.put("v", value(limits.value)).await);
    assert_eq!(
        ok(kv.get("v").await).map(|v| v.value.len()),
        Some(limits.value)
    );
    refused(kv.put("v2", value(limits.value + 1)).await, Kind::Exhausted);
    let many = |count: usize| {
        (0..count)
            .map(|n| put(&format!("m{n}"), "", Condition::Always))
            .collect()
    };
    ok(kv.write(many(limits.batch)).await);
    refused(kv.write(many(limits.batch + 1)).await, Kind::Exhausted);
    // Requirements are no writes, but the bytes of their keys count.
    let required = |n: usize| require(&format!("absent{n}"), Condition::Absent);
    let both: Vec<Write> = many(limits.batch);
    ok(kv
        .write(
            both.into_iter()
                .chain((0..limits.batch + 1).map(required))
                .collect(),
        )
        .await);
    let wordy = limits.batch_bytes / limits.key + 1;
    let wordy = (0..wordy).map(|_| require(&longest, Condition::Absent));
    refused(kv.write(wordy.collect()).await, Kind::Exhausted);
    let big = (0..limits.batch_bytes / limits.value + 1).map(|n| Write::Put {
        key: format!("b{n}"),
        value: value(limits.value),
        options: PutOptions::default(),
    });
    refused(
        kv.write(big.take(limits.batch).collect()).await,
        Kind::Exhausted,
    );
    assert!(listed(&kv, "b", None).await.is_empty());
    assert!(!ok(kv.exists("v2").await));
}

async fn batches_apply_whole_or_not_at_all(kv: Arc<dyn Kv>) {
    let before = ok(kv.put("there", Bytes::from("1")).await);
    let batch = vec![
        put("new", "x", Condition::Always),
        delete("there"),
        put("there", "y", Condition::Version(before)),
    ];
    refused(kv.write(batch).await, Kind::Conflict);
    assert_eq!(listed(&kv, "", None).await, ["there"]);
    assert_eq!(ok(kv.get("there").await).map(|v| v.version), Some(before));
    let batch = vec![
        put("new", "x", Condition::Absent),
        delete("missing"),
        put("there", "y", Condition::Version(before)),
    ];
    let versions = ok(kv.write(batch).await);
    assert!(matches!(versions[..], [Some(_), None, Some(_)]));
    assert_ne!(versions[0], versions[2]);
    assert_eq!(text(&kv, "there").await.as_deref(), Some("y"));
}

async fn a_batch_sees_its_own_writes(kv: Arc<dyn Kv>) {
    let batch = vec![
        put("k", "1", Condition::Absent),
        put("k", "2", Condition::Always),
        delete("k"),
        put("k", "3", Condition::Absent),
    ];
    let versions = ok(kv.write(batch).await);
    assert_eq!(text(&kv, "k").await.as_deref(), Some("3"));
    assert_eq!(ok(kv.get("k").await).map(|v| v.version), versions[3]);
    let twice = vec![
        put("q", "1", Condition::Absent),
        put("q", "2", Condition::Absent),
    ];
    refused(kv.write(twice).await, Kind::Conflict);
    assert!(!ok(kv.exists("q").await));
    let expired = Write::Put {
        key: "e".to_owned(),
        value: Bytes::new(),
        options: PutOptions {
            condition: Condition::Always,
            expires_us: Some(1),
        },
    };
    ok(kv
        .write(vec![expired, put("e", "1", Condition::Absent)])
        .await);
    assert_eq!(text(&kv, "e").await.as_deref(), Some("1"));
    ok(kv
        .write(vec![put("k", "4", Condition::Always), delete("k")])
        .await);
    assert!(!ok(kv.exists("k").await));
}

fn require(key: &str, condition: Condition) -> Write {
    Write::Require {
        key: key.to_owned(),
        condition,
    }
}

async fn requirements_hold_or_nothing_is_written(kv: Arc<dyn Kv>) {
    let first = ok(kv.put("there", Bytes::from("1")).await);
    let here = Condition::Version(first);
    let held = vec![
        require("there", here),
        require("missing", Condition::Absent),
        put("new", "x", Condition::Always),
        require("any", Condition::Always),
        delete("there"),
        require("there", Condition::Absent),
    ];
    let versions = ok(kv.write(held).await);
    assert!(matches!(
        versions[..],
        [None, None, Some(_), None, None, None]
    ));
    assert_eq!(listed(&kv, "", None).await, ["new"]);
    let second = ok(kv.put("there", Bytes::from("2")).await);
    let stale = [
        require("there", here),
        require("there", Condition::Absent),
        require("missing", here),
    ];
    for requirement in stale {
        let batch = vec![put("new", "y", Condition::Always), requirement];
        refused(kv.write(batch).await, Kind::Conflict);
        assert_eq!(text(&kv, "new").await.as_deref(), Some("x"));
    }
    // On their own they only look: the value and its version stay.
    let look = vec![require("there", Condition::Version(second))];
    assert_eq!(ok(kv.write(look).await), [None]);
    assert_eq!(ok(kv.get("there").await).map(|v| v.version), Some(second));
    let long = "k".repeat(kv.limits().key + 1);
    let long = require(&long, Condition::Absent);
    refused(kv.write(vec![long]).await, Kind::Invalid);
    let expired = Write::Put {
        key: "expired".to_owned(),
        value: Bytes::new(),
        options: PutOptions {
            condition: Condition::Always,
            expires_us: Some(1),
        },
    };
    ok(kv.write(vec![expired]).await);
    ok(kv.write(vec![require("expired", Condition::Absent)]).await);
}

async fn expiries_come_back(kv: Arc<dyn Kv>) {
    let at = clock::unix_micros() + 3_600_000_000;
    let options = PutOptions {
        expires_us: Some(at),
        ..PutOptions::default()
    };
    ok(kv.put_with("k", Bytes::from("1"), options).await);
    let expiry = async |key: &str| ok(kv.get(key).await).map(|found| found.expires_us);
    assert_eq!(expiry("k").await, Some(Some(at)));
    ok(kv.increment("k", 1).await);
    assert_eq!(expiry("k").await, Some(Some(at)), "counting keeps it");
    ok(kv.put("k", Bytes::from("1")).await);
    assert_eq!(expiry("k").await, Some(None), "a put without one ends it");
    assert_eq!(expiry("missing").await, None);
}

async fn numbers_count(kv: Arc<dyn Kv>) {
    assert_eq!(ok(kv.increment("n", 5).await), 5);
    assert_eq!(ok(kv.increment("n", -7).await), -2);
    assert_eq!(text(&kv, "n").await.as_deref(), Some("-2"));
    ok(kv.put("n", Bytes::from("40")).await);
    let before = ok(kv.get("n").await).map(|v| v.version);
    assert_eq!(ok(kv.increment("n", 2).await), 42);
    assert_ne!(ok(kv.get("n").await).map(|v| v.version), before);
    for bad in ["", "four", "1.5", "99999999999999999999"] {
        ok(kv.put("bad", Bytes::from(bad)).await);
        refused(kv.increment("bad", 1).await, Kind::Invalid);
        assert_eq!(text(&kv, "bad").await.as_deref(), Some(bad));
    }
    ok(kv.put("n", Bytes::from(i64::MAX.to_string())).await);
    refused(kv.increment("n", 1).await, Kind::Invalid);
    assert_eq!(ok(kv.increment("n", 0).await), i64::MAX);
}

async fn concurrent_increments_lose_nothing(kv: Arc<dyn Kv>) {
    let counting = (0..64).map(|n| {
        let kv = kv.clone();
        async move {
            let mut last = 0;
            for _ in 0..10 {
                let now = ok(kv.increment(["a", "b"][n % 2], 1).await);
                assert!(now > last, "a counter went back");
                last = now;
            }
        }
    });
    future::join_all(counting).await;
    assert_eq!(text(&kv, "a").await.as_deref(), Some("320"));
    assert_eq!(text(&kv, "b").await.as_deref(), Some("320"));
}

async fn concurrent_swaps_have_one_winner_a_version(kv: Arc<dyn Kv>) {
    let mut version = ok(kv.put("k", Bytes::from("start")).await);
    for round in 0..10 {
        let swaps = (0..16).map(|n| {
            let kv = kv.clone();
            let write = put("k", &format!("{round}-{n}"), Condition::Version(version));
            async move { kv.write(vec![write]).await }
        });
        let answers = future::join_all(swaps).await;
        let won: Vec<_> = answers.into_iter().filter_map(Result::ok).collect();
        assert_eq!(won.len(), 1, "exactly one of equal swaps wins");
        version = ok(kv.get("k").await).map_or(Version(0), |v| v.version);
        assert_eq!(won[0], [Some(version)]);
    }
}
