//! What the path itself costs: calls of a guest that does nothing, through route and dispatch and without them, in CPU time of the thread.
//!
//! `cargo run --release -p gust-dispatch --example overhead`
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints a measurement"
)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use gust_backend::unit::memory::MemoryBackends;
use gust_dispatch::{Dispatcher, Parts, Settings};
use gust_meter::Meter;
use gust_runtime::{
    Artifacts, Bindings, Done, Finished, Instance, Loaded, Preparation, Prepared, Progress,
    ReusePlan, Runtime, Settle, Sharer, Used, logs::Discard,
};
use gust_task::{clock, ids};
use gust_telemetry::PathMetrics;
use gust_types::{
    AppName, BoxFuture, Call, Deployment, Digest, Error, FunctionKey, FunctionName, Limits,
    Outcome, ProjectName, Reply, Result, Revision, Usage,
    app::{FunctionSpec, RouteSpec, RouteTarget, Source},
    call::{Origin, Trace, Trigger, empty, full},
    limits::Reuse,
};
use http::Request;

const CALLS: u32 = 200_000;

struct Nothing {
    calls: u32,
}
struct NothingLoaded(u32);
struct Guest;

#[async_trait]
impl Runtime for Nothing {
    fn kind(&self) -> &'static str {
        "nothing"
    }
    async fn prepare(&self, _: &Revision, _: &dyn Progress) -> Result<Preparation> {
        Ok(Preparation::default())
    }
    async fn load(&self, _: Arc<Revision>, _: Bindings) -> Result<Loaded> {
        Ok(Loaded {
            prepared: Arc::new(NothingLoaded(self.calls)),
            map: Duration::ZERO,
            link: Duration::ZERO,
        })
    }
    fn capacity(&self) -> usize {
        1000
    }
}

impl Prepared for NothingLoaded {
    fn start(
        &self,
        _: std::time::Instant,
        _: Option<Bindings>,
    ) -> BoxFuture<'_, Result<Box<dyn Instance>>> {
        Box::pin(async { Ok(Box::new(Guest) as Box<dyn Instance>) })
    }
    fn reuse(&self) -> ReusePlan {
        ReusePlan {
            calls: self.0,
            concurrent: 1,
            idle: Duration::from_secs(1),
        }
    }
    fn resident_bytes(&self) -> u64 {
        1
    }
}

impl Instance for Guest {
    fn call(self: Box<Self>, _: Call, done: Done) -> BoxFuture<'static, Result<Reply>> {
        Box::pin(async move {
            done.finish(Finished {
                instance: Some(self),
                outcome: Outcome::Ok,
                used: Used::default(),
            });
            Ok(Reply::new(full("hello")))
        })
    }
    fn sharer(&self) -> Option<Arc<dyn Sharer>> {
        None
    }
}

struct Forget;
impl Meter for Forget {
    fn record(&self, _: Usage) {}
}
impl Settle for Forget {
    fn settle(self: Box<Self>, _: Finished) {}
}
impl Artifacts for Forget {
    fn path(&self, _: &Digest) -> Result<std::path::PathBuf> {
        Err(Error::not_found("no artifacts"))
    }
}

fn app() -> Deployment {
    let key = FunctionKey {
        project: ProjectName::default_project(),
        app: AppName::new("app").unwrap(),
        function: FunctionName::new("hello").unwrap(),
    };
    let artifact = Digest::of(b"");
    let spec = FunctionSpec {
        description: String::new(),
        source: Source::Artifact {
            digest: artifact,
            size: 0,
        },
        build: None,
        environment: BTreeMap::new(),
        variables: BTreeMap::new(),
        files: Vec::new(),
        kv: Vec::new(),
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
    Deployment {
        project: key.project.clone(),
        app: key.app.clone(),
        hosts: Vec::new(),
        routes: vec![RouteSpec {
            path: Some("/hello/...".to_owned()),
            target: RouteTarget::Function(key.function.clone()),
        }],
        functions: vec![Arc::new(Revision {
            key,
            number: 1,
            artifact,
            spec,
            variables: Default::default(),
        })],
        events: Arc::default(),
    }
}

fn request() -> Request<gust_types::Body> {
    Request::get("/hello/you")
        .header("host", "app.gust.localhost:8080")
        .header("user-agent", "overhead")
        .header("accept", "*/*")
        .body(empty())
        .unwrap()
}

fn call_of(function: &Arc<FunctionKey>, request: Request<gust_types::Body>) -> Call {
    Call {
        id: ids::call_id(),
        function: function.clone(),
        origin: Origin {
            trigger: Trigger::Http,
            peer: Some(([127, 0, 0, 1], 4711).into()),
            hops: 0,
            cause: None,
        },
        deadline: clock::now() + Duration::from_secs(30),
        trace: Trace::default(),
        request,
    }
}

async fn path(calls: u32) -> Duration {
    let dispatcher = Dispatcher::new(
        Settings::default(),
        Parts {
            runtime: Arc::new(Nothing { calls }),
            backends: Arc::new(MemoryBackends::default()),
            meter: Arc::new(Forget),
            logs: Arc::new(Discard),
            artifacts: Arc::new(Forget),
            metrics: PathMetrics::default(),
        },
    );
    dispatcher.deploy(app()).unwrap();
    let begun = clock::thread_cpu();
    for _ in 0..CALLS {
        let (head, body) = request().into_parts();
        let routed = dispatcher.route(&head).unwrap();
        let function = routed.function().unwrap().key().clone();
        let call = call_of(&function, Request::from_parts(head, body));
        drop(dispatcher.dispatch(call, &routed).await.unwrap());
    }
    clock::thread_cpu() - begun
}

async fn bare() -> Duration {
    let function = Arc::new(app().functions[0].key.clone());
    let begun = clock::thread_cpu();
    for _ in 0..CALLS {
        let call = call_of(&function, request());
        let done = Done::new(Box::new(Forget));
        drop(Box::new(Guest).call(call, done).await.unwrap());
    }
    clock::thread_cpu() - begun
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for _ in 0..3 {
        let (bare, reused, fresh) = (bare().await, path(u32::MAX).await, path(1).await);
        let each = |time: Duration| (time / CALLS).as_nanos();
        println!(
            "bare {} ns, path with a reused instance {} ns, with a new one {} ns per call",
            each(bare),
            each(reused),
            each(fresh)
        );
    }
}
