//! A call with a unit of work has an instance to itself, and writes into the unit.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use gust_backend::{
    blob::BucketExt as _,
    kv::KvExt as _,
    queue::{Message, Queue, QueueSettings, TakeOptions},
    unit::{Marks, Unit},
};
use gust_runtime::{Bindings, memory::MemoryRuntime};
use gust_types::{Body, Label, ProjectName, Result};
use http::Request;
use http_body_util::BodyExt as _;

use super::kit::{App, World, get, key, reply, runtime};

fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}

fn bindings(request: &Request<Body>) -> Arc<Bindings> {
    request
        .extensions()
        .get::<Arc<Bindings>>()
        .expect("bindings")
        .clone()
}

/// Counts its calls in the store, and tells the queue.
fn counting(capacity: usize) -> MemoryRuntime {
    runtime(capacity).with("count", |request| async move {
        let bindings = bindings(&request);
        bindings.kv["s"].increment("n", 1).await?;
        let message = Message::new("told");
        bindings.outlets["told"].publish(vec![message]).await?;
        Ok(reply("counted"))
    })
}

fn app(concurrent: u32) -> App {
    App::new("shop").function_with("count", |spec| {
        spec.kv = vec![label("s")];
        spec.queues = vec![label("told")];
        spec.reuse.calls = Some(100);
        spec.reuse.concurrent = Some(concurrent);
    })
}

fn queue(world: &World, name: &str) -> Arc<dyn Queue> {
    let project = ProjectName::default_project();
    let settings = QueueSettings::default();
    let queue = world.backends.queue(&project, &label(name), &settings);
    queue.unwrap()
}

async fn unit(world: &World) -> Arc<Unit> {
    let from = queue(world, "from");
    from.publish(vec![Message::new("x")]).await.unwrap();
    let taken = from.take(TakeOptions::default()).await.unwrap();
    let receipts = taken.iter().map(|taken| taken.receipt).collect();
    let project = ProjectName::default_project();
    Unit::new(world.backends.clone(), project, label("from"), receipts)
}

async fn call(world: &World, unit: Option<&Arc<Unit>>) -> Result<()> {
    let call = world.call_of(get("/"), Arc::new(key("shop", "count")));
    let reply = world.dispatcher.invoke_in(call, unit).await?;
    // To its end: an answer that is dropped cuts its instance off.
    reply.into_body().collect().await.map(drop)
}

async fn count(world: &World) -> Option<String> {
    let project = ProjectName::default_project();
    let store = world.backends.kv(&project, &label("s")).unwrap();
    let found = store.get("n").await.unwrap()?;
    Some(String::from_utf8_lossy(&found.value).into_owned())
}

#[tokio::test]
async fn what_it_writes_is_the_units() {
    let world = World::new(counting(10));
    world.deploy(&app(1));
    let dropped = unit(&world).await;
    call(&world, Some(&dropped)).await.unwrap();
    drop(dropped);
    assert_eq!(count(&world).await, None);
    let kept = unit(&world).await;
    call(&world, Some(&kept)).await.unwrap();
    assert_eq!(count(&world).await, None, "not before the commit");
    assert_eq!(queue(&world, "told").stats().await.unwrap().messages, 0);
    kept.commit(&Marks::default()).await.unwrap();
    assert_eq!(count(&world).await.as_deref(), Some("1"));
    assert_eq!(queue(&world, "told").stats().await.unwrap().messages, 1);
    // Without a unit nothing has changed.
    call(&world, None).await.unwrap();
    assert_eq!(count(&world).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_bucket_is_read_only_in_it() {
    let runtime = runtime(10).with("count", |request| async move {
        let bucket = bindings(&request).blobs["b"].clone();
        let there = bucket.head("a").await?.is_some();
        let put = bucket.put_bytes("a", "x".into()).await;
        Ok(reply(format!("{there} {}", put.is_ok())))
    });
    let world = World::new(runtime);
    world.deploy(&App::new("shop").function_with("count", |spec| {
        spec.blobs = vec![label("b")];
    }));
    let unit = unit(&world).await;
    let mut said = Vec::new();
    for unit in [None, Some(&unit)] {
        let call = world.call_of(get("/"), Arc::new(key("shop", "count")));
        let reply = world.dispatcher.invoke_in(call, unit).await.unwrap();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        said.push(String::from_utf8_lossy(&body).into_owned());
    }
    assert_eq!(said, ["false true", "true false"]);
}

#[tokio::test]
async fn its_instance_is_new_and_serves_nobody_else() {
    let world = World::new(counting(10));
    world.deploy(&app(8));
    let starts = || world.runtime.counts.starts.load(SeqCst);
    call(&world, None).await.unwrap();
    call(&world, None).await.unwrap();
    assert_eq!(starts(), 1, "an instance is used again");
    for n in 0..3 {
        let unit = unit(&world).await;
        call(&world, Some(&unit)).await.unwrap();
        assert_eq!(starts(), 2 + n, "one of its own");
    }
    let idle = world.state("shop", "count").idle;
    assert_eq!(idle, 1, "which is not kept");
    call(&world, None).await.unwrap();
    assert_eq!(starts(), 4);
}

#[tokio::test]
async fn no_other_call_comes_into_its_instance_while_it_runs() {
    let inside = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (seen, held) = (inside.clone(), gate.clone());
    let runtime = runtime(10).with("count", move |request| {
        let (seen, held) = (seen.clone(), held.clone());
        async move {
            let store = bindings(&request).kv["s"].clone();
            seen.fetch_add(1, SeqCst);
            let _ = held.acquire().await;
            store.increment("n", 1).await?;
            Ok(reply("counted"))
        }
    });
    let world = World::new(runtime);
    world.deploy(&app(8));
    let unit = unit(&world).await;
    let with = async { call(&world, Some(&unit)).await.unwrap() };
    let beside = async {
        world.until("inside", |_| inside.load(SeqCst) == 1).await;
        let calls = [call(&world, None), call(&world, None)];
        let calls = futures::future::join_all(calls);
        let open = async {
            world.until("all", |_| inside.load(SeqCst) == 3).await;
            gate.add_permits(10);
        };
        let (calls, ()) = tokio::join!(calls, open);
        calls.into_iter().for_each(|call| call.unwrap());
    };
    tokio::join!(with, beside);
    assert_eq!(world.runtime.counts.starts.load(SeqCst), 2);
    assert_eq!(
        count(&world).await.as_deref(),
        Some("2"),
        "the unit's is not there"
    );
    drop(unit);
    let store = world
        .backends
        .kv(&ProjectName::default_project(), &label("s"));
    assert!(store.unwrap().exists("n").await.unwrap());
}

#[tokio::test]
async fn a_node_without_room_makes_some_or_lets_it_wait() {
    let world = World::new(counting(1));
    world.deploy(&app(1));
    // The idle one gives up its place.
    call(&world, None).await.unwrap();
    let unit = unit(&world).await;
    call(&world, Some(&unit)).await.unwrap();
    unit.commit(&Marks::default()).await.unwrap();
    assert_eq!(count(&world).await.as_deref(), Some("2"));
    assert_eq!(world.runtime.counts.starts.load(SeqCst), 2);
}
