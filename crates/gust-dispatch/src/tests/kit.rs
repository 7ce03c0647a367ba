//! A node without sockets or disks: functions are closures, records are a list.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use gust_backend::{Backends, unit::memory::MemoryBackends};
use gust_meter::Meter;
use gust_runtime::{
    Artifacts,
    logs::Discard,
    memory::{MemoryRuntime, Pace},
};
use gust_task::{clock, ids};
use gust_telemetry::PathMetrics;
use gust_types::{
    AppName, Body, Call, Deployment, Digest, Error, FunctionKey, FunctionName, Outcome,
    ProjectName, Reply, Result, Revision, Usage,
    app::{FunctionSpec, RouteSpec, RouteTarget, Source},
    call::{Origin, Trace, Trigger, empty, full},
    limits::{Limits, Reuse},
};
use http::Request;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

use crate::{Dispatcher, FunctionState, Parts, Refusal, Refused, Settings};

/// Keeps records.
#[derive(Default)]
pub(crate) struct Records(Mutex<Vec<Usage>>);

impl Meter for Records {
    fn record(&self, usage: Usage) {
        self.0.lock().push(usage);
    }
}

struct NoArtifacts;

impl Artifacts for NoArtifacts {
    fn path(&self, digest: &Digest) -> Result<std::path::PathBuf> {
        Err(Error::not_found(format!(
            "no artifacts in this test: {digest}"
        )))
    }
}

/// The node.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) runtime: MemoryRuntime,
    pub(crate) backends: Arc<dyn Backends>,
    records: Arc<Records>,
}

/// An app to deploy, built up.
#[derive(Clone)]
pub(crate) struct App {
    deployment: Deployment,
    number: u64,
}

pub(crate) fn reply(text: impl Into<Bytes>) -> Reply {
    Reply::new(full(text))
}

pub(crate) fn key(app: &str, function: &str) -> FunctionKey {
    FunctionKey {
        project: ProjectName::default_project(),
        app: AppName::new(app).unwrap(),
        function: FunctionName::new(function).unwrap(),
    }
}

/// `GET http://<host>/<path>` with an empty body.
pub(crate) fn get(url: &str) -> Request<Body> {
    Request::get(url).body(empty()).unwrap()
}

impl World {
    pub(crate) fn new(runtime: MemoryRuntime) -> Self {
        Self::with(runtime, |_| {})
    }

    pub(crate) fn with(runtime: MemoryRuntime, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            domain: "test".to_owned(),
            ..Settings::default()
        };
        change(&mut settings);
        let records = Arc::new(Records::default());
        let backends: Arc<dyn Backends> = Arc::new(MemoryBackends::default());
        let parts = Parts {
            runtime: Arc::new(runtime.clone()),
            backends: backends.clone(),
            meter: records.clone(),
            logs: Arc::new(Discard),
            artifacts: Arc::new(NoArtifacts),
            metrics: PathMetrics::default(),
        };
        Self {
            dispatcher: Dispatcher::new(settings, parts),
            runtime,
            backends,
            records,
        }
    }

    pub(crate) fn deploy(&self, app: &App) {
        self.dispatcher.deploy(app.deployment()).unwrap();
    }

    /// A call as the gateway makes it.
    pub(crate) fn call_of(&self, request: Request<Body>, key: Arc<FunctionKey>) -> Call {
        Call {
            id: ids::call_id(),
            function: key,
            origin: Origin {
                trigger: Trigger::Http,
                peer: Some(([127, 0, 0, 1], 4711).into()),
                hops: 0,
                cause: None,
            },
            deadline: clock::now() + Duration::from_secs(60),
            trace: Trace::default(),
            request,
        }
    }

    /// Routes and dispatches.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Reply> {
        let (head, body) = request.into_parts();
        let routed = self.dispatcher.route(&head)?;
        let key = routed.function().expect("a function").key().clone();
        let call = self.call_of(Request::from_parts(head, body), key);
        self.dispatcher.dispatch(call, &routed).await
    }

    /// The whole answer as text.
    pub(crate) async fn text(&self, url: &str) -> Result<String> {
        let body = self.send(get(url)).await?.into_body().collect().await?;
        Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
    }

    /// The same in the background.
    pub(crate) fn spawn(&self, url: &str) -> tokio::task::JoinHandle<Option<Result<String>>> {
        let (world, url) = (self.clone(), url.to_owned());
        gust_task::spawn("test call", async move { world.text(&url).await })
    }

    pub(crate) fn state(&self, app: &str, function: &str) -> FunctionState {
        self.dispatcher
            .function(&key(app, function))
            .unwrap()
            .state()
    }

    pub(crate) fn records(&self) -> Vec<Usage> {
        self.records.0.lock().clone()
    }

    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        self.records().iter().map(|usage| usage.outcome).collect()
    }

    /// `(entered, refused, left, settled)` of a function.
    pub(crate) fn tally(&self, app: &str, function: &str) -> (u64, u64, u64, u64) {
        let entry = self.dispatcher.function(&key(app, function)).unwrap();
        entry.lane.tally.read()
    }

    /// Waits until `f` holds.
    pub(crate) async fn until(&self, what: &str, f: impl Fn(&Self) -> bool) {
        for _ in 0..2000 {
            if f(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("never happened: {what}");
    }
}

impl App {
    pub(crate) fn new(name: &str) -> Self {
        let deployment = Deployment {
            project: ProjectName::default_project(),
            app: AppName::new(name).unwrap(),
            hosts: Vec::new(),
            routes: Vec::new(),
            functions: Vec::new(),
            events: Arc::default(),
        };
        Self {
            deployment,
            number: 1,
        }
    }

    pub(crate) fn project(mut self, name: &str) -> Self {
        self.deployment.project = ProjectName::new(name).unwrap();
        self
    }

    /// Functions that follow are of this revision.
    pub(crate) fn revision(mut self, number: u64) -> Self {
        self.number = number;
        self
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        self.deployment.hosts.push(host.to_owned());
        self
    }

    /// A function with a route `/<name>/...`.
    pub(crate) fn function(self, name: &str) -> Self {
        self.function_with(name, |_| {})
    }

    pub(crate) fn function_with(
        mut self,
        name: &str,
        change: impl FnOnce(&mut FunctionSpec),
    ) -> Self {
        let artifact = Digest::of(format!("{name} {}", self.number).as_bytes());
        let mut spec = FunctionSpec {
            description: String::new(),
            source: Source::Artifact {
                digest: artifact,
                size: 1,
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
        change(&mut spec);
        let function = FunctionName::new(name).unwrap();
        self.deployment.functions.push(Arc::new(Revision {
            key: FunctionKey {
                project: self.deployment.project.clone(),
                app: self.deployment.app.clone(),
                function,
            },
            number: self.number,
            artifact,
            spec,
            variables: Default::default(),
        }));
        let path = format!("/{name}/...");
        self.route(Some(&path), name)
    }

    pub(crate) fn route(self, path: Option<&str>, function: &str) -> Self {
        let target = RouteTarget::Function(FunctionName::new(function).unwrap());
        self.target(path, target)
    }

    pub(crate) fn target(mut self, path: Option<&str>, target: RouteTarget) -> Self {
        self.deployment.routes.push(RouteSpec {
            path: path.map(str::to_owned),
            target,
        });
        self
    }

    pub(crate) fn deployment(&self) -> Deployment {
        self.deployment.clone()
    }
}

/// A runtime with room for this many instances.
pub(crate) fn runtime(capacity: usize) -> MemoryRuntime {
    MemoryRuntime::new(Pace {
        capacity,
        ..Pace::default()
    })
}

/// Why a call was refused.
pub(crate) fn refusal<T>(result: &Result<T>) -> Refusal {
    let error = result.as_ref().err().expect("a refusal");
    Refused::of(error)
        .unwrap_or_else(|| panic!("{}", error.chain()))
        .kind
}

/// A handler that answers its function's text after `time`.
pub(crate) fn slow(
    time: Duration,
) -> impl Fn(Request<Body>) -> std::pin::Pin<Box<dyn Future<Output = Result<Reply>> + Send>> {
    move |_| {
        Box::pin(async move {
            tokio::time::sleep(time).await;
            Ok(reply("done"))
        })
    }
}
