use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gust_backend::{
    Backends as _,
    kv::{Condition, Kv, KvExt as _, PutOptions, Version, Write},
    topic::{Position, ReadOptions, Start, Topic},
};
use gust_task::clock;
use gust_types::{ByteSize, Kind, Span};

use super::*;
use crate::{LocalBackends, Settings, kv, small_disk::SmallDisk};

#[test]
fn streams_are_told_from_topics() {
    let project = ProjectName::new("p-1").unwrap();
    let kv = Watched::Kv(Label::new("s").unwrap());
    let name = keys::topic(&project, &kv.topic());
    assert_eq!(stream(&name), Some((project.clone(), kv)));
    let own = keys::topic(&project, &Label::new("kv").unwrap());
    assert_eq!(stream(&own), None);
}

struct Made {
    backends: LocalBackends,
    kv: Arc<dyn Kv>,
    topic: Arc<dyn Topic>,
}

fn settings() -> Settings {
    Settings {
        kv: kv::Settings {
            sweep: Span::millis(10),
            ..kv::Settings::default()
        },
        disk_reserve: ByteSize::mib(8),
        ..Settings::default()
    }
}

fn open(folder: &std::path::Path) -> Made {
    let backends = LocalBackends::open_with(folder, settings()).unwrap();
    let (project, name) = (ProjectName::default_project(), Label::new("s").unwrap());
    let stream = Watched::Kv(name.clone()).topic();
    Made {
        kv: backends.kv(&project, &name).unwrap(),
        topic: backends
            .topic(&project, &stream, &TopicSettings::default())
            .unwrap(),
        backends,
    }
}

/// What the stream holds behind a position: type, subject, version, reason and data.
async fn told(topic: &dyn Topic, after: u64) -> Vec<String> {
    let options = ReadOptions {
        after: Position(after),
        ..ReadOptions::default()
    };
    let page = topic.read(options).await.unwrap();
    let line = |logged: &gust_backend::topic::Logged| {
        let of = |name: &str| {
            let value = logged.message.attributes.get(&format!("ce-{name}"));
            value.cloned().unwrap_or_default()
        };
        let kind = of("type").replace("gust.kv.", "");
        let body = String::from_utf8_lossy(&logged.message.body).into_owned();
        let group = logged.message.group.clone().unwrap();
        format!("{kind} {group} {}{} {body}", of("version"), of("reason"))
    };
    page.iter().map(line).collect()
}

fn put(key: &str, value: &str) -> Write {
    Write::Put {
        key: key.into(),
        value: Bytes::from(value.to_owned()),
        options: PutOptions::default(),
    }
}

fn delete(key: &str) -> Write {
    Write::Delete { key: key.into() }
}

#[tokio::test]
async fn what_is_written_is_told_in_order_and_only_while_somebody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let made = open(folder.path());
    made.kv.put("before", Bytes::from("x")).await.unwrap();
    assert!(made.backends.streams().unwrap().is_empty());
    made.topic.subscribe("a/t", Start::Earliest).await.unwrap();
    let batch = vec![put("键", "1"), put("键", "2"), delete("键"), delete("键")];
    made.kv.write(batch).await.unwrap();
    made.kv.increment("n", 5).await.unwrap();
    made.kv.delete("nothing").await.unwrap();
    made.kv.delete("before").await.unwrap();
    let wanted = [
        "set 键 2 1",
        "set 键 3 2",
        "deleted 键 3 ",
        "set n 4 5",
        "deleted before 1 ",
    ];
    assert_eq!(told(&*made.topic, 0).await, wanted);
    let listed = made.backends.streams().unwrap();
    assert_eq!(listed.len(), 1);
    assert!(made.backends.topics(&listed[0].0).unwrap().is_empty());
    // Another store of the same project has its own.
    let project = ProjectName::default_project();
    let other = made.backends.kv(&project, &Label::new("s2").unwrap());
    other.unwrap().put("k", Bytes::new()).await.unwrap();
    assert!(made.topic.unsubscribe("a/t").await.unwrap());
    made.kv.put("after", Bytes::new()).await.unwrap();
    assert_eq!(told(&*made.topic, 0).await, wanted);
}

#[tokio::test]
async fn who_listens_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path())
        .topic
        .subscribe("a/t", Start::Latest)
        .await
        .unwrap();
    let made = open(folder.path());
    made.kv.put("k", Bytes::from("v")).await.unwrap();
    assert_eq!(told(&*made.topic, 0).await, ["set k 1 v"]);
}

#[tokio::test]
async fn what_is_refused_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let made = open(folder.path());
    made.topic.subscribe("a/t", Start::Latest).await.unwrap();
    let conditional = Write::Put {
        key: "k".into(),
        value: Bytes::from("v"),
        options: PutOptions {
            condition: Condition::Version(Version(9)),
            ..PutOptions::default()
        },
    };
    let refused = made.kv.write(vec![put("a", "1"), conditional]).await;
    assert_eq!(refused.unwrap_err().kind, Kind::Conflict);
    made.kv.put("word", Bytes::from("w")).await.unwrap();
    assert!(made.kv.increment("word", 1).await.is_err());
    assert_eq!(told(&*made.topic, 0).await, ["set word 1 w"]);
}

#[tokio::test]
async fn each_value_that_expires_is_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let made = open(folder.path());
    made.topic.subscribe("a/t", Start::Latest).await.unwrap();
    let expires = |ms: u64| PutOptions {
        expires_us: Some(clock::unix_micros() + ms * 1000),
        ..PutOptions::default()
    };
    for key in ["swept", "overwritten", "deleted"] {
        made.kv
            .put_with(key, Bytes::from("v"), expires(1))
            .await
            .unwrap();
    }
    tokio::time::sleep(Duration::from_millis(3)).await;
    // Some are found by the sweeper and some by the next write: both tell the same.
    made.kv.put("overwritten", Bytes::from("w")).await.unwrap();
    made.kv.delete("deleted").await.unwrap();
    let mut events = Vec::new();
    for _ in 0..200 {
        events = told(&*made.topic, 0).await;
        if events.len() == 7 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(told(&*made.topic, 0).await, events);
    for (key, wanted) in [
        ("swept", vec!["set swept 1 v", "deleted swept 1expired "]),
        (
            "overwritten",
            vec![
                "set overwritten 2 v",
                "deleted overwritten 2expired ",
                "set overwritten 4 w",
            ],
        ),
        (
            "deleted",
            vec!["set deleted 3 v", "deleted deleted 3expired "],
        ),
    ] {
        let of = |line: &&String| line.contains(&format!(" {key} "));
        let found: Vec<_> = events.iter().filter(of).collect();
        assert_eq!(found, wanted, "{events:?}");
    }
}

#[tokio::test]
async fn a_value_that_is_too_large_is_left_out_and_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let made = open(folder.path());
    made.topic.subscribe("a/t", Start::Latest).await.unwrap();
    made.kv
        .put("k", Bytes::from(vec![b'x'; 300 << 10]))
        .await
        .unwrap();
    let page = made.topic.read(ReadOptions::default()).await.unwrap();
    let message = &page[0].message;
    assert!(message.body.is_empty());
    assert_eq!(message.attributes["ce-omittedsize"], "307200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_reader_hears_of_a_write() {
    let folder = tempfile::tempdir().unwrap();
    let made = open(folder.path());
    made.topic.subscribe("a/t", Start::Latest).await.unwrap();
    let (topic, begun) = (made.topic.clone(), clock::now());
    let reading = gust_task::spawn("reader", async move {
        let wait = Duration::from_secs(20);
        let options = ReadOptions {
            wait,
            ..ReadOptions::default()
        };
        topic.read(options).await.unwrap()
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    made.kv.put("k", Bytes::from("v")).await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap().len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_nothing_of_a_store_changes_that_could_not_be_told() {
    let Some(disk) = SmallDisk::mount("96m") else {
        return;
    };
    let made = open(disk.path());
    made.kv.put("k", Bytes::from("v")).await.unwrap();
    made.topic.subscribe("a/t", Start::Latest).await.unwrap();
    let project = ProjectName::default_project();
    let unheard = made.backends.kv(&project, &Label::new("s2").unwrap());
    let unheard = unheard.unwrap();
    unheard.put("k", Bytes::from("v")).await.unwrap();
    disk.fill();
    let error = made.kv.delete("k").await.unwrap_err();
    assert_eq!(
        (error.kind, &*error.message),
        (Kind::Exhausted, "disk is full")
    );
    unheard.delete("k").await.unwrap();
    disk.free();
    made.kv.delete("k").await.unwrap();
    assert_eq!(told(&*made.topic, 0).await, ["deleted k 1 "]);
}
