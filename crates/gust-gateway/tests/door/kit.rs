//! A door with functions behind it, and callers that speak raw bytes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use gust_backend::{
    desk::{Doorbell, Hook, Ring, Rung},
    unit::memory::MemoryBackends,
};
use gust_dispatch::{Dispatcher, Parts};
use gust_gateway::{Gateway, Settings, Summary};
use gust_meter::Meter;
use gust_runtime::{
    Artifacts as _,
    artifact::ArtifactFolder,
    logs::Discard,
    memory::{MemoryRuntime, Pace},
};
use gust_task::Stop;
use gust_telemetry::{PathMetrics, Registry, Traces};
use gust_types::{
    AppName, Body, Deployment, Digest, FunctionKey, FunctionName, Label, Outcome, ProjectName,
    Reply, Result, Revision, Usage,
    app::{FileSpec, FunctionSpec, RouteSpec, RouteTarget, Source},
    call::full,
    trigger::{EventsSpec, TriggerSource, TriggerSpec, WebhookScheme, WebhookSpec},
};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

/// Long enough for a busy machine, short enough to fail.
pub(crate) const SOON: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Records(Mutex<Vec<Usage>>);

impl Meter for Records {
    fn record(&self, usage: Usage) {
        self.0.lock().push(usage);
    }
}

/// A node's door, open.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) stop: Stop,
    pub(crate) metrics: PathMetrics,
    _folder: TempDir,
    pub(crate) running: JoinHandle<Option<Summary>>,
    records: Arc<Records>,
}

/// What is behind the door.
pub(crate) struct Behind {
    runtime: MemoryRuntime,
    functions: Vec<(String, FunctionSpec)>,
    routes: Vec<RouteSpec>,
    artifacts: Vec<Vec<u8>>,
    traces: Traces,
    settings: Settings,
    events: EventsSpec,
    bell: Arc<Bell>,
}

/// Hears webhooks, and answers as it is told.
#[derive(Default)]
pub(crate) struct Bell {
    pub(crate) heard: Mutex<Vec<(Arc<Hook>, Ring)>>,
    /// `None` for kept.
    pub(crate) answer: Mutex<Option<Result<Rung>>>,
}

#[async_trait::async_trait]
impl Doorbell for Bell {
    async fn ring(&self, hook: &Arc<Hook>, ring: Ring) -> Result<Rung> {
        self.heard.lock().push((hook.clone(), ring));
        self.answer.lock().take().unwrap_or(Ok(Rung::Kept))
    }
}

/// Nothing yet, and a door that takes any free port.
pub(crate) fn behind() -> Behind {
    Behind {
        runtime: MemoryRuntime::new(Pace::default()),
        functions: Vec::new(),
        routes: Vec::new(),
        artifacts: Vec::new(),
        traces: Traces::off(),
        events: EventsSpec::default(),
        bell: Arc::default(),
        settings: Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..Settings::default()
        },
    }
}

/// A function on `/...` that answers with what it was sent: the request line, the headers and the body.
pub(crate) async fn echo(request: http::Request<Body>) -> Result<Reply> {
    let (head, body) = request.into_parts();
    let mut text = format!("{} {} {:?}\n", head.method, head.uri, head.version);
    for (name, value) in &head.headers {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    let collected = body.collect().await?;
    if let Some(trailers) = collected.trailers() {
        for (name, value) in trailers {
            text += &format!("trailer {name}: {}\n", value.to_str().unwrap());
        }
    }
    text += "\n";
    text += &String::from_utf8_lossy(&collected.to_bytes());
    Ok(Reply::new(full(text)))
}

/// A door with [`echo`] on every path.
pub(crate) async fn echoing() -> World {
    behind().function("/...", echo).open().await
}

impl Behind {
    /// A function on a route.
    pub(crate) fn function<F, A>(self, route: &str, answer: F) -> Self
    where
        F: Fn(http::Request<Body>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Reply>> + Send + 'static,
    {
        self.limited(route, |_| {}, answer)
    }

    /// The same with limits of its own.
    pub(crate) fn limited<F, A>(
        mut self,
        route: &str,
        limit: impl FnOnce(&mut FunctionSpec),
        answer: F,
    ) -> Self
    where
        F: Fn(http::Request<Body>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Reply>> + Send + 'static,
    {
        let name = format!("f{}", self.functions.len());
        self.runtime = self.runtime.with(&name, answer);
        let mut spec = FunctionSpec {
            description: String::new(),
            source: Source::Artifact {
                digest: Digest::of(name.as_bytes()),
                size: 1,
            },
            build: None,
            environment: Default::default(),
            variables: Default::default(),
            files: Vec::new(),
            kv: Vec::new(),
            sql: Vec::new(),
            queues: Vec::new(),
            topics: Vec::new(),
            blobs: Vec::new(),
            outbound: Vec::new(),
            limits: Default::default(),
            reuse: Default::default(),
            health: None,
            later: None,
            cgi: None,
            dependencies: Vec::new(),
        };
        limit(&mut spec);
        let target = RouteTarget::Function(FunctionName::new(&name).unwrap());
        self.functions.push((name, spec));
        self.route(route, target)
    }

    pub(crate) fn route(mut self, path: &str, target: RouteTarget) -> Self {
        self.routes.push(RouteSpec {
            path: Some(path.to_owned()),
            target,
        });
        self
    }

    /// Static files below a route.
    pub(crate) fn files(mut self, route: &str, files: &[(&str, &[u8])]) -> Self {
        let mut specs = Vec::new();
        for (path, bytes) in files {
            self.artifacts.push(bytes.to_vec());
            specs.push(FileSpec {
                path: (*path).to_owned(),
                source: Source::Artifact {
                    digest: Digest::of(bytes),
                    size: bytes.len() as u64,
                },
            });
        }
        let target = RouteTarget::Files {
            files: specs,
            index: "index.html".to_owned(),
            fallback: None,
        };
        self.route(route, target)
    }

    /// A webhook at a path, and who hears it.
    pub(crate) fn hook(mut self, path: &str) -> (Self, Arc<Bell>) {
        self.events.triggers.push(TriggerSpec {
            name: Label::new("hook").unwrap(),
            function: FunctionName::new("f0").unwrap(),
            path: "/".to_owned(),
            source: TriggerSource::Webhook(WebhookSpec {
                path: path.to_owned(),
                scheme: WebhookScheme::None,
                secrets: Vec::new(),
                tolerance: None,
                id_header: None,
                event_header: None,
            }),
            concurrency: 1,
            retry: Default::default(),
            exactly_once: false,
            mode: Default::default(),
        });
        let bell = self.bell.clone();
        (self, bell)
    }

    pub(crate) fn traced(mut self, traces: Traces) -> Self {
        self.traces = traces;
        self
    }

    pub(crate) fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Tries to take the address, and lets it go.
    pub(crate) async fn try_bind(self) -> Result<()> {
        let folder = TempDir::new().unwrap();
        let artifacts = ArtifactFolder::open(folder.path()).unwrap();
        let metrics = PathMetrics::default();
        let dispatcher = self.dispatcher(&artifacts, &metrics, Arc::default());
        let bell = Arc::new(Bell::default());
        Gateway::bind(
            self.settings,
            dispatcher,
            Arc::new(artifacts),
            None,
            bell,
            metrics,
        )
        .map(|_| ())
    }

    fn dispatcher(
        &self,
        artifacts: &ArtifactFolder,
        metrics: &PathMetrics,
        records: Arc<Records>,
    ) -> Dispatcher {
        Dispatcher::new(
            gust_dispatch::Settings::default(),
            Parts {
                runtime: Arc::new(self.runtime.clone()),
                backends: Arc::new(MemoryBackends::default()),
                meter: records,
                logs: Arc::new(Discard),
                artifacts: Arc::new(artifacts.clone()),
                metrics: metrics.clone(),
            },
        )
    }

    /// Opens the door.
    pub(crate) async fn open(self) -> World {
        if let Ok(level) = std::env::var("GUST_TEST_LOG") {
            let settings = gust_telemetry::init::Settings {
                level,
                ..Default::default()
            };
            std::mem::forget(gust_telemetry::init(&settings, None).unwrap());
        }
        let folder = TempDir::new().unwrap();
        let artifacts = ArtifactFolder::open(folder.path().join("artifacts")).unwrap();
        for bytes in &self.artifacts {
            let digest = artifacts.put(bytes).unwrap();
            assert!(artifacts.path(&digest).is_ok());
        }
        let metrics = PathMetrics::new(self.traces.clone());
        let records = Arc::new(Records::default());
        let dispatcher = self.dispatcher(&artifacts, &metrics, records.clone());
        dispatcher.deploy(self.deployment()).unwrap();
        let artifacts = Arc::new(artifacts);
        let bell = self.bell.clone();
        let gateway = Gateway::bind(
            self.settings,
            dispatcher,
            artifacts,
            None,
            bell,
            metrics.clone(),
        );
        let gateway = gateway.unwrap();
        let (address, stop) = (gateway.local_addr(), Stop::new());
        let until = stop.clone();
        let running = gust_task::spawn("door", async move { gateway.run(until).await });
        World {
            address,
            stop,
            metrics,
            _folder: folder,
            running,
            records,
        }
    }

    fn deployment(&self) -> Deployment {
        let (project, app) = (ProjectName::default_project(), AppName::new("app").unwrap());
        let functions = self.functions.iter().map(|(name, spec)| {
            let key = FunctionKey {
                project: project.clone(),
                app: app.clone(),
                function: FunctionName::new(name).unwrap(),
            };
            let Source::Artifact { digest, .. } = spec.source else {
                panic!("tests deploy artifacts");
            };
            Arc::new(Revision {
                key,
                number: 1,
                artifact: digest,
                spec: spec.clone(),
                variables: Default::default(),
            })
        });
        Deployment {
            functions: functions.collect(),
            project,
            app,
            hosts: vec!["*".to_owned()],
            routes: self.routes.clone(),
            events: Arc::new(self.events.clone()),
        }
    }
}

impl World {
    pub(crate) async fn connect(&self) -> Caller {
        Caller {
            stream: TcpStream::connect(self.address).await.unwrap(),
            held: Vec::new(),
        }
    }

    /// Sends bytes on a connection of their own and takes everything until the other side closes.
    pub(crate) async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut caller = self.connect().await;
        caller.send(bytes).await;
        caller.rest().await
    }

    /// The status of what these bytes are answered with, and whether the connection was closed after it.
    pub(crate) async fn status(&self, bytes: impl AsRef<[u8]>) -> (u16, bool) {
        let mut caller = self.connect().await;
        caller.send(bytes).await;
        let answer = caller.answer().await;
        (answer.status, caller.is_closed().await)
    }

    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        self.records
            .0
            .lock()
            .iter()
            .map(|usage| usage.outcome)
            .collect()
    }

    pub(crate) fn scrape(&self) -> String {
        Registry::new(self.metrics.clone()).encode()
    }

    /// Waits until `f` holds.
    pub(crate) async fn until(&self, what: &str, f: impl Fn(&Self) -> bool) {
        for _ in 0..4000 {
            if f(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never happened: {what}");
    }
}

/// One connection.
pub(crate) struct Caller {
    pub(crate) stream: TcpStream,
    held: Vec<u8>,
}

/// An HTTP/1 answer, taken apart by hand.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.head.lines().filter_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        let value = found.next();
        assert_eq!(found.next(), None, "{name} twice in {}", self.head);
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Caller {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The other side may have closed already; what it said before is what counts.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Takes some more bytes; false at the end.
    pub(crate) async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(SOON, self.stream.read_buf(&mut self.held)).await;
        matches!(read.expect("the door answers in time"), Ok(n) if n > 0)
    }

    /// Takes bytes until `end` is among them, and answers with all up to there.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            let at = self
                .held
                .windows(end.len())
                .position(|w| w == end.as_bytes());
            if let Some(at) = at {
                let rest = self.held.split_off(at + end.len());
                let found = std::mem::replace(&mut self.held, rest);
                return String::from_utf8_lossy(&found).into_owned();
            }
            let sofar = String::from_utf8_lossy(&self.held).into_owned();
            assert!(self.more().await, "no {end:?} in {sofar:?}");
        }
    }

    /// Everything until the other side closes.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }

    /// Whether the other side closes now.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut one = [0];
        let read = self.stream.read(&mut one);
        matches!(
            tokio::time::timeout(Duration::from_millis(400), read).await,
            Ok(Ok(0) | Err(_))
        )
    }

    /// The next answer, whole.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await
    }

    /// The next answer, to a request of this method.
    pub(crate) async fn answer_to(&mut self, method: &str) -> Answer {
        let head = self.until("\r\n\r\n").await;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
        };
        if method == "HEAD" || matches!(status, 204 | 304 | 100) {
            return answer;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = self.until("\r\n").await;
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                if size == 0 {
                    self.until("\r\n").await;
                    return answer;
                }
                self.take(size, &mut answer.body).await;
                self.until("\r\n").await;
            }
        }
        let length = answer
            .header("content-length")
            .expect("a length")
            .parse()
            .unwrap();
        self.take(length, &mut answer.body).await;
        answer
    }

    async fn take(&mut self, size: usize, to: &mut Vec<u8>) {
        while self.held.len() < size {
            assert!(self.more().await, "the body ended early");
        }
        let rest = self.held.split_off(size);
        to.append(&mut std::mem::replace(&mut self.held, rest));
    }
}
