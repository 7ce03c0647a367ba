//! A node's control plane on a free port, with a data folder that outlives it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use gust_api::{
    Client,
    deploy::{DeployRequest, Deployed, Event},
};
use gust_backend::{Backends, unit::memory::MemoryBackends};
use gust_control::{Control, Parts, Settings};
use gust_dispatch::Dispatcher;
use gust_events::Events;
use gust_meter::{MemoryLedger, Prices};
use gust_runtime::{
    artifact::ArtifactFolder,
    logs::Discard,
    memory::{MemoryRuntime, Pace},
};
use gust_task::Stop;
use gust_telemetry::{GuestLogs, PathMetrics, Registry};
use gust_types::{
    AppName, AppSpec, Digest, FunctionName, ProjectName, Result,
    app::{FunctionSpec, RouteSpec, RouteTarget, Source},
    call::full,
};
use http_body_util::BodyExt as _;
use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, net::TcpStream};

/// What a test has in its hands.
pub struct Node {
    pub control: Control,
    pub events: Events,
    pub backends: Arc<dyn Backends>,
    pub client: Client,
    pub address: SocketAddr,
    pub runtime: MemoryRuntime,
    pub dispatcher: Dispatcher,
    pub logs: GuestLogs,
    pub artifacts: ArtifactFolder,
    pub token: String,
    pub forgotten: Arc<parking_lot::Mutex<Vec<Digest>>>,
    stop: Stop,
    _own: Option<tempfile::TempDir>,
}

pub async fn node() -> Node {
    let folder = tempfile::tempdir().unwrap();
    let mut node = open(folder.path(), Settings::default()).await;
    node._own = Some(folder);
    node
}

pub async fn node_with(settings: Settings) -> Node {
    let folder = tempfile::tempdir().unwrap();
    let mut node = open(folder.path(), settings).await;
    node._own = Some(folder);
    node
}

/// Opens the data folder, restores and serves.
pub async fn open(data: &Path, settings: Settings) -> Node {
    let node = assemble(data, settings).await;
    node.control.restore().await.unwrap();
    node
}

/// Everything but the restore.
pub async fn assemble(data: &Path, mut settings: Settings) -> Node {
    let runtime = MemoryRuntime::new(Pace::default());
    let artifacts = ArtifactFolder::open(data.join("artifacts")).unwrap();
    let ledger = Arc::new(MemoryLedger::default());
    let metrics = PathMetrics::default();
    let backends: Arc<dyn Backends> = Arc::new(MemoryBackends::default());
    let dispatcher = Dispatcher::new(
        gust_dispatch::Settings {
            files: data.join("files"),
            ..Default::default()
        },
        gust_dispatch::Parts {
            runtime: Arc::new(runtime.clone()),
            backends: backends.clone(),
            meter: ledger.clone(),
            logs: Arc::new(Discard),
            artifacts: Arc::new(artifacts.clone()),
            metrics: metrics.clone(),
        },
    );
    let logs = GuestLogs::open(data.join("logs"), Default::default()).unwrap();
    let forgotten: Arc<parking_lot::Mutex<Vec<Digest>>> = Arc::default();
    settings.data = Some(data.to_owned());
    let events = Events::new(gust_events::Parts {
        dispatcher: dispatcher.clone(),
        backends: backends.clone(),
        sources: Default::default(),
        callbacks: gust_events::Callbacks {
            hosts: vec!["http://127.0.0.1:*".to_owned()],
            ..Default::default()
        },
    });
    let parts = Parts {
        dispatcher: dispatcher.clone(),
        runtime: Arc::new(runtime.clone()),
        artifacts: artifacts.clone(),
        backends: backends.clone(),
        later: events.later(),
        events: Arc::new(events.clone()),
        ledger: ledger.clone(),
        prices: Prices::default(),
        logs: logs.clone(),
        registry: Arc::new(Registry::new(metrics)),
        forget: Box::new({
            let forgotten = forgotten.clone();
            move |digest| forgotten.lock().push(*digest)
        }),
    };
    let control = Control::open(parts, settings).await.unwrap();
    let stop = Stop::new();
    control.start(&stop);
    events.start(&stop);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (served, stopping) = (control.clone(), stop.clone());
    gust_task::spawn(
        "serve",
        async move { served.serve(listener, stopping).await },
    );
    let token = gust_control::read_token(&data.join("token")).unwrap_or_default();
    Node {
        client: Client::new(&format!("http://{address}"), Some(token.clone())).unwrap(),
        control,
        events,
        backends,
        address,
        runtime,
        dispatcher,
        logs,
        artifacts,
        token,
        forgotten,
        stop,
        _own: None,
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

pub fn project() -> ProjectName {
    ProjectName::default_project()
}

pub fn app_name(name: &str) -> AppName {
    AppName::new(name).unwrap()
}

pub fn function_name(name: &str) -> FunctionName {
    FunctionName::new(name).unwrap()
}

/// A function whose code is these bytes.
pub fn function(code: &str) -> FunctionSpec {
    serde_json::from_value(serde_json::json!({"source": source(code)})).unwrap()
}

pub fn source(code: &str) -> Source {
    Source::Artifact {
        digest: Digest::of(code.as_bytes()),
        size: code.len() as u64,
    }
}

/// An app with one function `main`, reached by every path.
pub fn app(name: &str, code: &str) -> AppSpec {
    AppSpec {
        name: app_name(name),
        version: String::new(),
        description: String::new(),
        variables: BTreeMap::new(),
        functions: BTreeMap::from([(function_name("main"), function(code))]),
        routes: vec![route("/...", "main")],
        hosts: Vec::new(),
        events: Default::default(),
    }
}

pub fn route(path: &str, function: &str) -> RouteSpec {
    RouteSpec {
        path: Some(path.to_owned()),
        target: RouteTarget::Function(function_name(function)),
    }
}

impl Node {
    /// Makes code that answers with its own text, and uploads it.
    pub async fn upload(&self, code: &str) {
        let text = code.to_owned();
        self.teach(code, move |_| {
            let text = text.clone();
            async move { Ok(http::Response::new(full(text))) }
        });
        self.send(code).await;
    }

    /// Code that answers as told.
    pub fn teach<F, A>(&self, code: &str, answer: F)
    where
        F: Fn(http::Request<gust_types::Body>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<gust_types::Reply>> + Send + 'static,
    {
        let digest = Digest::of(code.as_bytes()).to_string();
        self.runtime
            .insert(&digest, Arc::new(move |r| Box::pin(answer(r))));
    }

    /// Uploads code without teaching the runtime what it does.
    pub async fn send(&self, code: &str) {
        let digest = Digest::of(code.as_bytes());
        let bytes = code.as_bytes().to_vec();
        self.client
            .upload(&digest, bytes.into(), Arc::new(|_| {}))
            .await
            .unwrap();
    }

    pub async fn deploy(&self, app: AppSpec) -> Result<Deployed> {
        self.deploy_with(app, &[]).await
    }

    pub async fn deploy_with(&self, app: AppSpec, variables: &[(&str, &str)]) -> Result<Deployed> {
        let variables = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let request = DeployRequest { app, variables };
        self.client
            .deploy(&project(), &request, &mut |_: &Event| {})
            .await
    }

    /// What `main` of an app answers to `GET /`: status and body.
    pub async fn call(&self, app: &str) -> Result<(u16, String)> {
        self.call_function(app, "main").await
    }

    pub async fn call_function(&self, app: &str, function: &str) -> Result<(u16, String)> {
        let request = http::Request::get("/")
            .body(gust_types::call::empty())
            .unwrap();
        let invoked = self
            .client
            .invoke(
                &project(),
                &app_name(app),
                &function_name(function),
                request,
            )
            .await?;
        let status = invoked.response.status().as_u16();
        let body = invoked.response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8(body.to_vec()).unwrap()))
    }

    /// One request as raw text, answered as raw text.
    pub async fn raw(&self, request: &str) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = socket.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .expect("an answer in time")
            .ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A request with the token.
    pub async fn authorized(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let (token, length) = (&self.token, body.len());
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             content-length: {length}\r\n{headers}\r\n{body}"
        ))
        .await
    }
}

/// Every byte of every file below a folder.
pub fn all_bytes(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(all_bytes(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            // A file that a closing database just removed is no file.
            found.push((path, bytes));
        }
    }
    found
}

/// Waits until something holds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("did not come true: {what}");
}
