//! Deliveries with `exactly_once` over backends in memory and functions that are closures: what is written together with
//! the end of an event, what becomes of conflicts, and what when a commit cannot be made.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use gust_backend::{
    Backends,
    desk::{Counts, Desk as _},
    kv::{Kv, KvExt as _},
    queue::{Message, Queue, QueueSettings},
    sql::Sql,
    topic::{Topic, TopicSettings},
    unit::{Commit, memory::MemoryBackends},
};
use gust_dispatch::Dispatcher;
use gust_events::{Events, Sources};
use gust_meter::Meter;
use gust_runtime::{
    Artifacts, Bindings,
    logs::Discard,
    memory::{MemoryRuntime, Pace},
};
use gust_task::Stop;
use gust_telemetry::PathMetrics;
use gust_types::{
    AppName, Body, Deployment, Digest, Error, FunctionKey, FunctionName, Label, Limits,
    ProjectName, Reply, Result, Revision, Span, Usage,
    app::{FunctionSpec, Source},
    call::full,
    limits::Reuse,
    trigger::{EventsSpec, ReplySpec, RetrySpec, TriggerSource, TriggerSpec},
};
use http::Request;

struct Nothing;

impl Meter for Nothing {
    fn record(&self, _: Usage) {}
}

impl Artifacts for Nothing {
    fn path(&self, digest: &Digest) -> Result<std::path::PathBuf> {
        Err(Error::not_found(format!("no artifacts here: {digest}")))
    }
}

/// Backends whose next commits fail.
struct Failing {
    backends: MemoryBackends,
    left: AtomicU64,
}

#[async_trait]
impl Backends for Failing {
    fn kv(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Kv>> {
        self.backends.kv(project, name)
    }

    fn stores(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.backends.stores(project)
    }

    fn sql(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Sql>> {
        self.backends.sql(project, name)
    }

    fn databases(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.backends.databases(project)
    }

    fn queue(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: &QueueSettings,
    ) -> Result<Arc<dyn Queue>> {
        self.backends.queue(project, name, settings)
    }

    fn queues(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.backends.queues(project)
    }

    fn topic(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: &TopicSettings,
    ) -> Result<Arc<dyn Topic>> {
        self.backends.topic(project, name, settings)
    }

    fn topics(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.backends.topics(project)
    }

    fn blob(
        &self,
        project: &ProjectName,
        name: &Label,
    ) -> Result<Arc<dyn gust_backend::blob::Bucket>> {
        self.backends.blob(project, name)
    }

    fn buckets(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.backends.buckets(project)
    }

    fn uploads(
        &self,
        project: &ProjectName,
        name: &Label,
    ) -> Result<Arc<dyn gust_backend::blob::Uploads>> {
        self.backends.uploads(project, name)
    }

    async fn bucket(
        &self,
        project: &ProjectName,
        name: &Label,
    ) -> Result<Option<gust_backend::blob::BucketInfo>> {
        self.backends.bucket(project, name).await
    }

    async fn make_bucket(&self, project: &ProjectName, name: &Label) -> Result<bool> {
        self.backends.make_bucket(project, name).await
    }

    async fn remove_bucket(&self, project: &ProjectName, name: &Label) -> Result<bool> {
        self.backends.remove_bucket(project, name).await
    }

    fn own_queues(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.backends.own_queues(project)
    }

    fn streams(&self) -> Result<Vec<(ProjectName, gust_backend::changes::Watched)>> {
        self.backends.streams()
    }

    async fn commit(&self, project: &ProjectName, commit: Commit) -> Result<()> {
        let less = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(SeqCst, SeqCst, less).is_ok() {
            return Err(Error::unavailable("the disk has something better to do"));
        }
        self.backends.commit(project, commit).await
    }
}

/// A node with one function, `f`, and one trigger of it.
struct World {
    backends: Arc<Failing>,
    events: Events,
    calls: Arc<AtomicU64>,
    stop: Stop,
}

fn project() -> ProjectName {
    ProjectName::default_project()
}

fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}

fn store(request: &Request<Body>) -> Arc<dyn Kv> {
    let bindings = request.extensions().get::<Arc<Bindings>>();
    bindings.unwrap().kv["s"].clone()
}

fn done() -> Result<Reply> {
    Ok(Reply::new(full("")))
}

impl World {
    async fn new<F, A>(source: TriggerSource, function: F) -> Self
    where
        F: Fn(Request<Body>, Arc<MemoryBackends>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Reply>> + Send + 'static,
    {
        let memory = MemoryBackends::default();
        let calls = Arc::<AtomicU64>::default();
        let (counted, behind) = (calls.clone(), Arc::new(memory.clone()));
        let runtime = MemoryRuntime::new(Pace::default()).with("f", move |request| {
            counted.fetch_add(1, SeqCst);
            function(request, behind.clone())
        });
        let backends = Arc::new(Failing {
            backends: memory,
            left: AtomicU64::new(0),
        });
        let parts = gust_dispatch::Parts {
            runtime: Arc::new(runtime),
            backends: backends.clone(),
            meter: Arc::new(Nothing),
            logs: Arc::new(Discard),
            artifacts: Arc::new(Nothing),
            metrics: PathMetrics::default(),
        };
        let dispatcher = Dispatcher::new(gust_dispatch::Settings::default(), parts);
        let events = Events::new(gust_events::Parts {
            dispatcher: dispatcher.clone(),
            backends: backends.clone(),
            sources: Sources::default(),
            callbacks: Default::default(),
        });
        let spec = EventsSpec {
            triggers: vec![TriggerSpec {
                name: label("t"),
                function: FunctionName::new("f").unwrap(),
                path: "/".to_owned(),
                source,
                concurrency: 16,
                retry: RetrySpec {
                    delay: Span::millis(10),
                    jitter: 0,
                    ..RetrySpec::default()
                },
                exactly_once: true,
                mode: Default::default(),
            }],
            ..EventsSpec::default()
        };
        let app = AppName::new("a").unwrap();
        events.prepare(&project(), &app, &spec).await.unwrap();
        dispatcher.deploy(deployment(app, spec)).unwrap();
        let stop = Stop::new();
        events.start(&stop);
        Self {
            backends,
            events,
            calls,
            stop,
        }
    }

    async fn publish(&self, count: usize) {
        let settings = QueueSettings::default();
        let queue = self.backends.queue(&project(), &label("q"), &settings);
        let messages = (0..count).map(|n| Message::new(format!("消息 {n}")));
        queue.unwrap().publish(messages.collect()).await.unwrap();
    }

    async fn value(&self, key: &str) -> Option<String> {
        let store = self.backends.kv(&project(), &label("s")).unwrap();
        let found = store.get(key).await.unwrap()?;
        Some(String::from_utf8_lossy(&found.value).into_owned())
    }

    fn counts(&self) -> Counts {
        self.events.triggers(&project())[0].counts
    }

    /// Waits for so many that are done or dead.
    async fn over(&self, count: u64) -> Counts {
        for _ in 0..3000 {
            let counts = self.counts();
            if counts.done + counts.dead == count && counts.in_flight == 0 {
                return counts;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never over: {:?}", self.counts());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

fn deployment(app: AppName, events: EventsSpec) -> Deployment {
    let artifact = Digest::of(b"f");
    let spec = FunctionSpec {
        description: String::new(),
        source: Source::Artifact {
            digest: artifact,
            size: 1,
        },
        build: None,
        environment: BTreeMap::new(),
        variables: BTreeMap::new(),
        files: Vec::new(),
        kv: vec![label("s")],
        sql: Vec::new(),
        queues: Vec::new(),
        topics: Vec::new(),
        blobs: Vec::new(),
        outbound: Vec::new(),
        limits: Limits::default(),
        reuse: Reuse::default(),
        health: None,
        later: None,
        cgi: None,
        dependencies: Vec::new(),
    };
    let key = FunctionKey {
        project: project(),
        app: app.clone(),
        function: FunctionName::new("f").unwrap(),
    };
    Deployment {
        project: project(),
        app,
        hosts: Vec::new(),
        routes: Vec::new(),
        functions: vec![Arc::new(Revision {
            key,
            number: 1,
            artifact,
            spec,
            variables: Default::default(),
        })],
        events: Arc::new(events),
    }
}

fn queue(batch: u32) -> TriggerSource {
    TriggerSource::Queue {
        queue: label("q"),
        batch,
    }
}

#[tokio::test]
async fn deliveries_that_change_one_key_all_come_through() {
    const MANY: u64 = 40;
    let world = World::new(queue(1), async |request: Request<Body>, _| {
        let store = store(&request);
        store.increment("n", 1).await?;
        // All the others have read the same by now.
        tokio::time::sleep(Duration::from_millis(5)).await;
        done()
    })
    .await;
    world.publish(MANY as usize).await;
    let counts = world.over(MANY).await;
    assert_eq!(world.value("n").await, Some(MANY.to_string()));
    assert_eq!((counts.done, counts.retried, counts.dead), (MANY, 0, 0));
    let calls = world.calls.load(SeqCst);
    assert!(calls > MANY, "there were conflicts: {calls}");
    assert!(calls <= 2 * MANY, "each is made again once: {calls}");
}

#[tokio::test]
async fn a_conflict_with_others_is_an_attempt() {
    let meddled = Arc::<AtomicU64>::default();
    let world = World::new(queue(1), move |request: Request<Body>, behind| {
        let meddled = meddled.clone();
        async move {
            let store = store(&request);
            store.increment("n", 1).await?;
            store.put("beside", "1".into()).await?;
            // Somebody who waits for no turn, twice.
            if meddled.fetch_add(1, SeqCst) < 2 {
                let theirs = behind.kv(&project(), &label("s"))?;
                theirs.increment("n", 100).await?;
            }
            done()
        }
    })
    .await;
    world.publish(1).await;
    let counts = world.over(1).await;
    assert_eq!((counts.done, counts.retried), (1, 1));
    assert_eq!(world.calls.load(SeqCst), 3);
    assert_eq!(world.value("n").await.as_deref(), Some("201"));
}

#[tokio::test]
async fn a_commit_that_cannot_be_made_is_no_attempt() {
    let world = World::new(queue(1), async |request: Request<Body>, _| {
        store(&request).increment("n", 1).await?;
        done()
    })
    .await;
    world.backends.left.store(2, SeqCst);
    world.publish(1).await;
    let counts = world.over(1).await;
    assert_eq!((counts.done, counts.refused, counts.retried), (1, 2, 0));
    assert_eq!(world.value("n").await.as_deref(), Some("1"));
    assert_eq!(world.calls.load(SeqCst), 3);
}

#[tokio::test]
async fn a_batch_that_is_not_taken_whole_leaves_nothing() {
    let calls = Arc::<AtomicU64>::default();
    let world = World::new(queue(10), move |request: Request<Body>, _| {
        let call = calls.fetch_add(1, SeqCst);
        async move {
            store(&request).increment("n", 1).await?;
            let failed = r#"{"batchItemFailures":[{"itemIdentifier":"2"}]}"#;
            let mut reply = Reply::new(full(if call == 0 { failed } else { "" }));
            let media = http::HeaderValue::from_static("application/json");
            reply.headers_mut().insert("content-type", media);
            if call == 1 {
                *reply.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            }
            Ok(reply)
        }
    })
    .await;
    world.publish(3).await;
    let counts = world.over(3).await;
    assert_eq!((counts.done, counts.dead), (3, 0));
    assert!(counts.retried >= 4, "all of the first call: {counts:?}");
    let taken = world.calls.load(SeqCst) - 2;
    assert_eq!(world.value("n").await, Some(taken.to_string()));
}

#[tokio::test]
async fn a_reply_goes_out_with_the_rest() {
    let source = TriggerSource::Topic {
        topic: label("in"),
        filters: Vec::new(),
        from: Default::default(),
        batch: 1,
        reply: ReplySpec::Topic(label("out")),
    };
    let world = World::new(source, async |request: Request<Body>, _| {
        let n = store(&request).increment("n", 1).await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut reply = Reply::new(full(n.to_string()));
        for (name, value) in [
            ("ce-specversion", "1.0".to_owned()),
            ("ce-id", n.to_string()),
            ("ce-source", "/f".to_owned()),
            ("ce-type", "counted".to_owned()),
        ] {
            let value = http::HeaderValue::from_str(&value).unwrap();
            reply.headers_mut().insert(name, value);
        }
        Ok(reply)
    })
    .await;
    world.backends.left.store(1, SeqCst);
    let events = (0..10).map(|n| gust_types::Event::new(n.to_string(), "/s", "t").unwrap());
    let (project, topic) = (project(), label("in"));
    let desk = &world.events;
    let published = desk.publish_events(&project, &topic, events.collect(), false);
    published.await.unwrap();
    let counts = world.over(10).await;
    assert_eq!(counts.done, 10);
    assert_eq!(world.value("n").await.as_deref(), Some("10"));
    // Each says another number: none is of a call that came to nothing.
    let out = world.events.topic(&project, &label("out")).unwrap();
    let options = gust_backend::topic::ReadOptions {
        after: Default::default(),
        most: 100,
        wait: Duration::ZERO,
    };
    let read = out.read(options).await.unwrap();
    let mut numbers: Vec<u64> = read
        .iter()
        .map(|event| {
            String::from_utf8_lossy(&event.message.body)
                .parse()
                .unwrap()
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
}
