//! The suite, and what is particular to the local store: files, syncs, faults.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::future;
use gust_backend::{
    Backends as _,
    kv::{Condition, Kv, KvExt as _, ListOptions, PutOptions, Version, Write},
};
use gust_task::clock;
use gust_types::{ByteSize, Kind, Label, ProjectName};

use crate::{LocalBackends, Settings, small_disk::SmallDisk};

fn store(backends: &LocalBackends, project: &str, name: &str) -> Arc<dyn Kv> {
    backends
        .kv(
            &ProjectName::new(project).unwrap(),
            &Label::new(name).unwrap(),
        )
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let made = AtomicUsize::new(0);
    let make = async || {
        let n = made.fetch_add(1, Ordering::Relaxed);
        store(&backends, "default", &format!("store{n}"))
    };
    gust_backend::kv::suite::run(make).await;
}

#[tokio::test]
async fn values_and_versions_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, deleted) = {
        let backends = LocalBackends::open(folder.path()).unwrap();
        let kv = store(&backends, "default", "s");
        let kept = kv.put("kept", Bytes::from("v")).await.unwrap();
        let deleted = kv.put("deleted", Bytes::from("v")).await.unwrap();
        kv.delete("deleted").await.unwrap();
        (kept, deleted)
    };
    let backends = LocalBackends::open(folder.path()).unwrap();
    let kv = store(&backends, "default", "s");
    let found = kv.get("kept").await.unwrap().unwrap();
    assert_eq!((found.version, &found.value[..]), (kept, &b"v"[..]));
    assert!(!kv.exists("deleted").await.unwrap());
    let again = kv.put("deleted", Bytes::from("v")).await.unwrap();
    assert!(
        again > deleted && again > kept,
        "versions go on after a restart"
    );
}

#[tokio::test]
async fn projects_and_stores_do_not_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let places = [("a", "s"), ("b", "s"), ("a", "t"), ("as", "s"), ("a", "ss")];
    for (project, name) in places {
        let kv = store(&backends, project, name);
        assert_eq!(
            kv.keys(Default::default(), 10).await.unwrap(),
            (vec![], false)
        );
        let first = kv.put("k", Bytes::from(format!("{project}/{name}"))).await;
        assert_eq!(first.unwrap().0, 1, "versions are counted by store");
    }
    for (project, name) in places {
        let kv = store(&backends, project, name);
        let value = kv.get("k").await.unwrap().unwrap().value;
        assert_eq!(value, format!("{project}/{name}"));
    }
}

#[tokio::test]
async fn a_folder_is_held_by_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = LocalBackends::open(folder.path()).unwrap();
    let second = LocalBackends::open(folder.path()).err().unwrap();
    assert_eq!(second.kind, Kind::Conflict);
    assert!(second.hint.is_some());
    let kv = store(&first, "default", "s");
    drop(first);
    let closed = kv.get("k").await.err().unwrap();
    assert_eq!(
        closed.kind,
        Kind::Unavailable,
        "a handle outlives its folder politely"
    );
    assert_eq!(
        kv.put("k", Bytes::new()).await.err().unwrap().kind,
        Kind::Unavailable
    );
    LocalBackends::open(folder.path()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_syncs() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let kv = store(&backends, "default", "s");
    let writers = (0..128).map(|writer| {
        let kv = kv.clone();
        gust_task::spawn("writer", async move {
            for n in 0..20 {
                let key = format!("{writer}-{n}");
                kv.put(&key, Bytes::from(key.clone())).await.unwrap();
            }
        })
    });
    future::join_all(writers).await;
    let stats = backends.kv_stats();
    assert_eq!(stats.writes, 128 * 20);
    assert!(
        stats.commits * 8 < stats.writes,
        "a sync is for many: {stats:?}"
    );
    let (keys, _) = kv.keys(Default::default(), usize::MAX).await.unwrap();
    assert_eq!(keys.len(), 128 * 20);
}

#[tokio::test]
async fn expired_values_leave_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.kv.sweep.0 = Duration::from_millis(20);
    let backends = LocalBackends::open_with(folder.path(), settings).unwrap();
    let kv = store(&backends, "default", "s");
    let expires = |us: u64| PutOptions {
        expires_us: Some(clock::unix_micros() + us),
        ..PutOptions::default()
    };
    for n in 0..50 {
        kv.put_with(&format!("gone{n}"), Bytes::from("v"), expires(1000))
            .await
            .unwrap();
        kv.put_with(&format!("renewed{n}"), Bytes::from("v"), expires(400_000))
            .await
            .unwrap();
        kv.put(&format!("renewed{n}"), Bytes::from("v"))
            .await
            .unwrap();
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(
        backends.kv_stats().swept,
        50,
        "what was put again is not swept"
    );
    let open = backends.kv.engine.try_get().unwrap().unwrap();
    assert!(open.due(u64::MAX, 10).unwrap().is_empty());
    let (keys, _) = kv.keys(Default::default(), 1000).await.unwrap();
    assert_eq!(keys.len(), 50);
}

async fn a_full_disk(reserve: ByteSize) {
    let Some(disk) = SmallDisk::mount("48m") else {
        return;
    };
    let settings = Settings {
        disk_reserve: reserve,
        ..Settings::default()
    };
    let backends = LocalBackends::open_with(disk.path(), settings).unwrap();
    let kv = store(&backends, "default", "s");
    let value = |n: u32| Bytes::from(vec![n as u8; 100_000]);
    let mut versions = Vec::new();
    for n in 0..20u32 {
        versions.push(kv.put(&format!("before{n}"), value(n)).await.unwrap());
    }
    disk.fill();
    let mut refused = 0;
    for n in 0..30u32 {
        match kv.put(&format!("during{n}"), value(n)).await {
            Ok(version) => versions.push(version),
            Err(error) => {
                assert_eq!(error.kind, Kind::Exhausted, "{}", error.chain());
                refused += 1;
                assert!(!kv.exists(&format!("during{n}")).await.unwrap());
            }
        }
        let found = kv.get("before7").await.unwrap().unwrap();
        assert_eq!(found.value, value(7), "reads go on");
    }
    assert!(refused > 20, "{refused} of 30 were refused");
    let reopened = backends.kv_stats().reopened;
    assert_eq!(
        reopened > 0,
        reserve == ByteSize(0),
        "without a reserve it runs into the end of the disk: {reopened}"
    );
    disk.free();
    tokio::time::sleep(Duration::from_millis(300)).await;
    versions.push(kv.put("after", value(1)).await.unwrap());
    assert!(
        versions.is_sorted() && versions.windows(2).all(|w| w[0] != w[1]),
        "{versions:?}"
    );
    drop(kv);
    drop(backends);
    let backends = LocalBackends::open(disk.path()).unwrap();
    let kv = store(&backends, "default", "s");
    let (keys, _) = kv.keys(Default::default(), 100).await.unwrap();
    assert_eq!(keys.len(), 50 - refused + 1);
    for key in keys {
        assert_eq!(kv.get(&key).await.unwrap().unwrap().value.len(), 100_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_recovers_with_a_reserve() {
    a_full_disk(ByteSize::mib(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_recovers_without_a_reserve() {
    a_full_disk(ByteSize(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_on_a_full_disk_serves_reads() {
    let Some(disk) = SmallDisk::mount("48m") else {
        return;
    };
    {
        let backends = LocalBackends::open(disk.path()).unwrap();
        let kv = store(&backends, "default", "s");
        kv.put("k", Bytes::from("v")).await.unwrap();
    }
    disk.fill();
    let backends = LocalBackends::open(disk.path()).unwrap();
    let kv = store(&backends, "default", "s");
    assert_eq!(kv.get("k").await.unwrap().unwrap().value, "v");
    let refused = kv.put("k", Bytes::from("w")).await.err().unwrap();
    assert_eq!(refused.kind, Kind::Exhausted);
    disk.free();
    kv.put("k", Bytes::from("w")).await.unwrap();
}

/// Random requests, the same to the store in memory and to the local one: the same answers, before and after restarts.
#[tokio::test]
async fn behaves_as_the_store_in_memory_does() {
    let folder = tempfile::tempdir().unwrap();
    let model: Arc<dyn Kv> = Arc::new(gust_backend::kv::memory::MemoryKv::default());
    let mut random = Random(7);
    for _ in 0..4 {
        let backends = LocalBackends::open(folder.path()).unwrap();
        let local = store(&backends, "default", "s");
        for _ in 0..150 {
            same_answer(&mut random, &model, &local).await;
        }
    }
}

/// A small seeded generator: a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }

    fn key(&mut self) -> String {
        ["a", "b", "ab", "", "\u{4f60}", "a\u{0}"][self.below(6) as usize].to_owned()
    }

    fn write(&mut self, version: Option<Version>) -> Write {
        let key = self.key();
        if self.below(4) == 0 {
            return Write::Delete { key };
        }
        let condition = match self.below(4) {
            0 => Condition::Absent,
            1 => version.map_or(Condition::Absent, Condition::Version),
            _ => Condition::Always,
        };
        if self.below(8) == 0 {
            return Write::Require { key, condition };
        }
        let now = clock::unix_micros();
        let expires_us = match self.below(6) {
            0 => Some(now - 1),
            1 => Some(now + 3_600_000_000),
            _ => None,
        };
        let value = Bytes::from(self.below(100).to_string());
        let options = PutOptions {
            condition,
            expires_us,
        };
        Write::Put {
            key,
            value,
            options,
        }
    }
}

async fn same_answer(random: &mut Random, model: &Arc<dyn Kv>, local: &Arc<dyn Kv>) {
    let key = random.key();
    let (expected, found) = (
        model.get(&key).await.unwrap(),
        local.get(&key).await.unwrap(),
    );
    // Both count versions from 1 and a refused batch takes none, so even versions are the same.
    assert_eq!(expected, found, "{key:?}");
    let version = found.map(|v| v.version);
    match random.below(8) {
        0 => {
            let (a, b) = (
                model.increment(&key, 3).await,
                local.increment(&key, 3).await,
            );
            assert_eq!(a.map_err(|e| e.kind), b.map_err(|e| e.kind));
        }
        1 => {
            let options = ListOptions {
                prefix: random.key(),
                after: (random.below(2) == 0).then(|| random.key()),
            };
            let a = model.keys(options.clone(), 100).await.unwrap();
            let b = local.keys(options.clone(), 100).await.unwrap();
            assert_eq!(a, b, "{options:?}");
        }
        _ => {
            let batch: Vec<_> = (0..=random.below(4))
                .map(|_| random.write(version))
                .collect();
            let (a, b) = (
                model.write(batch.clone()).await,
                local.write(batch.clone()).await,
            );
            assert_eq!(a.map_err(|e| e.kind), b.map_err(|e| e.kind), "{batch:?}");
        }
    }
}
