//! The suite, and what is particular to units on a disk: they survive whole, in one sync, beside others.

use std::sync::Arc;

use futures::future::join_all;
use gust_backend::{
    Backends,
    kv::KvExt as _,
    queue::{Message, QueueSettings, TakeOptions},
    unit::{Marks, Unit, suite},
};
use gust_types::{Label, ProjectName};

use crate::LocalBackends;

fn open(folder: &tempfile::TempDir) -> Arc<dyn Backends> {
    Arc::new(LocalBackends::open(folder.path()).unwrap())
}

#[tokio::test]
async fn passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    suite::run(open(&folder)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite_of_those_with_databases() {
    let folder = tempfile::tempdir().unwrap();
    suite::with_sql(open(&folder)).await;
}

#[tokio::test]
async fn a_store_under_a_unit_is_a_store() {
    let folders = std::sync::Mutex::new(Vec::new());
    gust_backend::kv::suite::run(async || {
        let folder = tempfile::tempdir().unwrap();
        let staged = suite::staged(&open(&folder));
        folders.lock().unwrap().push(folder);
        staged
    })
    .await;
}

#[tokio::test]
async fn many_units_at_once_share_syncs_and_survive_a_restart() {
    const MANY: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let (project, name) = (ProjectName::default_project(), Label::new("n").unwrap());
    let settings = QueueSettings::default();
    let local = Arc::new(LocalBackends::open(folder.path()).unwrap());
    let backends: Arc<dyn Backends> = local.clone();
    let queue = backends.queue(&project, &name, &settings).unwrap();
    let messages = (0..MANY).map(|n| Message::new(n.to_string())).collect();
    queue.publish(messages).await.unwrap();
    let options = TakeOptions {
        most: MANY,
        ..TakeOptions::default()
    };
    let taken = queue.take(options).await.unwrap();
    let store = backends.kv(&project, &name).unwrap();
    let before = local.kv_stats().commits;
    let units = taken.iter().map(|taken| {
        let receipts = vec![taken.receipt];
        let unit = Unit::new(backends.clone(), project.clone(), name.clone(), receipts);
        let kv = unit.kv(&name, store.clone());
        async move {
            kv.put(&taken.receipt.id.0.to_string(), "x".into()).await?;
            unit.commit(&Marks::default()).await
        }
    });
    for result in join_all(units).await {
        result.unwrap();
    }
    let commits = local.kv_stats().commits - before;
    assert!(commits < MANY as u64 / 4, "{commits} syncs for {MANY}");
    drop((queue, store, backends, local));
    let backends = open(&folder);
    let queue = backends.queue(&project, &name, &settings).unwrap();
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.messages, stats.done), (0, MANY as u64));
    let store = backends.kv(&project, &name).unwrap();
    for n in 1..=MANY {
        assert!(store.exists(&n.to_string()).await.unwrap(), "{n}");
    }
}
