//! A store that takes its time, so that everybody is in between everybody else.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::stream::BoxStream;
use gust_backend::{
    Backends,
    blob::{Bucket, BucketInfo, Uploads},
    changes::Watched,
    kv::{Kv, KvLimits, ListOptions, Version, Versioned, Write},
    queue::{Queue, QueueSettings},
    sql::Sql,
    topic::{Topic, TopicSettings},
    unit::{Commit, memory::MemoryBackends},
};
use gust_task::ids;
use gust_types::{Error, Label, ProjectName, Result};

use super::{
    World,
    client::{Answer, bulk},
    stories::sum,
    world_over,
};

/// Keys that begin with `stuck` take so long, a minute unless said otherwise.
pub(super) struct Slow(MemoryBackends, Duration);

struct SlowKv(Arc<dyn Kv>, Duration);

impl Default for Slow {
    fn default() -> Self {
        Self::taking(MemoryBackends::default(), Duration::from_secs(60))
    }
}

impl Slow {
    pub(super) fn taking(backends: MemoryBackends, stuck: Duration) -> Self {
        Self(backends, stuck)
    }
}

async fn dawdle() {
    for _ in 0..ids::random_u64() % 20 {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl Kv for SlowKv {
    async fn get(&self, key: &str) -> Result<Option<Versioned>> {
        dawdle().await;
        if key.starts_with("stuck") {
            tokio::time::sleep(self.1).await;
        }
        let found = self.0.get(key).await;
        dawdle().await;
        found
    }

    async fn write(&self, batch: Vec<Write>) -> Result<Vec<Option<Version>>> {
        dawdle().await;
        let done = self.0.write(batch).await;
        dawdle().await;
        done
    }

    async fn increment(&self, key: &str, delta: i64) -> Result<i64> {
        dawdle().await;
        self.0.increment(key, delta).await
    }

    fn list(&self, options: ListOptions) -> BoxStream<'static, Result<String>> {
        self.0.list(options)
    }

    fn limits(&self) -> KvLimits {
        self.0.limits()
    }
}

fn none<T>() -> Result<T> {
    Err(Error::internal("there are only key-value stores here"))
}

#[async_trait]
impl Backends for Slow {
    fn kv(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Kv>> {
        Ok(Arc::new(SlowKv(self.0.kv(project, name)?, self.1)))
    }

    fn stores(&self, _: &ProjectName) -> Result<Vec<Label>> {
        none()
    }

    fn sql(&self, _: &ProjectName, _: &Label) -> Result<Arc<dyn Sql>> {
        none()
    }

    fn databases(&self, _: &ProjectName) -> Result<Vec<Label>> {
        none()
    }

    fn blob(&self, _: &ProjectName, _: &Label) -> Result<Arc<dyn Bucket>> {
        none()
    }

    fn buckets(&self, _: &ProjectName) -> Result<Vec<Label>> {
        none()
    }

    fn uploads(&self, _: &ProjectName, _: &Label) -> Result<Arc<dyn Uploads>> {
        none()
    }

    async fn bucket(&self, _: &ProjectName, _: &Label) -> Result<Option<BucketInfo>> {
        none()
    }

    async fn make_bucket(&self, _: &ProjectName, _: &Label) -> Result<bool> {
        none()
    }

    async fn remove_bucket(&self, _: &ProjectName, _: &Label) -> Result<bool> {
        none()
    }

    fn queue(&self, _: &ProjectName, _: &Label, _: &QueueSettings) -> Result<Arc<dyn Queue>> {
        none()
    }

    fn queues(&self, _: &ProjectName) -> Result<Vec<Label>> {
        none()
    }

    fn own_queues(&self, _: &ProjectName) -> Result<Vec<Label>> {
        none()
    }

    fn topic(&self, _: &ProjectName, _: &Label, _: &TopicSettings) -> Result<Arc<dyn Topic>> {
        none()
    }

    fn topics(&self, _: &ProjectName) -> Result<Vec<Label>> {
        none()
    }

    fn streams(&self) -> Result<Vec<(ProjectName, Watched)>> {
        none()
    }

    async fn commit(&self, _: &ProjectName, _: Commit) -> Result<()> {
        none()
    }
}

async fn slow_world() -> World {
    let backends = MemoryBackends::default();
    let slow = Slow::taking(backends.clone(), Duration::ZERO);
    world_over(Arc::new(slow), backends).await
}

/// Money moves between accounts in transactions and by single commands; a function moves some too. The sum stays, and
/// whoever reads all accounts at once sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn money_stays_while_everybody_is_in_between() {
    let world = slow_world().await;
    let mut client = world.one().await;
    client.ok(&["MSET", "a", "100", "b", "100"]).await;
    client.run(&["HSET", "h", "a", "100", "b", "100"]).await;
    let clients = (0..5).map(|n| {
        let world = &world;
        async move {
            let mut client = world.one().await;
            let mut done = 0;
            for round in 0..40 {
                let (from, to) = [("a", "b"), ("b", "a")][(n + round) % 2];
                client.ok(&["MULTI"]).await;
                client.run(&["DECRBY", from, "3"]).await;
                client.run(&["HINCRBY", "h", from, "-3"]).await;
                client.run(&["INCRBY", to, "3"]).await;
                client.run(&["HINCRBY", "h", to, "3"]).await;
                client.run(&["MGET", "a", "b"]).await;
                if let Answer::Array(replies) = client.run(&["EXEC"]).await {
                    assert_eq!(sum(&replies[4]), 200);
                    done += 1;
                }
                if let seen @ Answer::Array(_) = client.run(&["MGET", "a", "b"]).await {
                    assert_eq!(sum(&seen), 200, "a torn read");
                }
                assert_eq!(sum(&client.run(&["HVALS", "h"]).await), 200);
            }
            done
        }
    });
    let store = world.store("default");
    let function = async {
        for _ in 0..200 {
            store.increment("function", 1).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let (done, ()) = tokio::join!(futures::future::join_all(clients), function);
    assert!(done.iter().sum::<i32>() > 150, "{done:?}");
    client.is(&["GET", "function"], bulk("200")).await;
    assert_eq!(sum(&client.run(&["MGET", "a", "b"]).await), 200);
}

/// What is read under `WATCH` and written in `EXEC` counts every round that was not refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn watched_counters_lose_nothing() {
    let world = slow_world().await;
    let clients = (0..5).map(|_| async {
        let mut client = world.one().await;
        let (mut done, mut refused) = (0, 0);
        while done < 20 {
            client.ok(&["WATCH", "n"]).await;
            let n = match client.run(&["GET", "n"]).await {
                Answer::Bulk(text) => String::from_utf8(text).unwrap().parse::<i64>().unwrap(),
                _ => 0,
            };
            client.ok(&["MULTI"]).await;
            client.run(&["SET", "n", &(n + 1).to_string()]).await;
            client.run(&["RPUSH", "l", &(n + 1).to_string()]).await;
            match client.run(&["EXEC"]).await {
                Answer::Array(_) => done += 1,
                Answer::NullArray => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        refused
    });
    let refused: i32 = futures::future::join_all(clients).await.into_iter().sum();
    assert!(refused > 0, "nobody was in between: nothing was tried");
    let mut client = world.one().await;
    client.is(&["GET", "n"], bulk("100")).await;
    client.is(&["LLEN", "l"], Answer::Int(100)).await;
    client.is(&["LINDEX", "l", "-1"], bulk("100")).await;
}

/// Elements that are popped while others push are neither lost nor given twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_element_goes_to_one_however_slow() {
    let world = slow_world().await;
    let workers = (0..4).map(|_| async {
        let mut client = world.one().await;
        let mut done = Vec::new();
        while let Answer::Array(items) = client.run(&["BLPOP", "x", "jobs", "1"]).await {
            done.push(format!("{:?}", items[1]));
        }
        done
    });
    let pushing = (0..3).map(|by| {
        let world = &world;
        async move {
            let mut client = world.one().await;
            for n in 0..50 {
                let pushed = client.run(&["RPUSH", "jobs", &format!("{by}-{n}")]).await;
                assert!(matches!(pushed, Answer::Int(_)), "{pushed:?}");
            }
        }
    });
    let both = (
        futures::future::join_all(workers),
        futures::future::join_all(pushing),
    );
    let (done, _) = tokio::join!(both.0, both.1);
    let mut done = done.concat();
    assert_eq!(done.len(), 150);
    done.sort();
    done.dedup();
    assert_eq!(done.len(), 150);
}
