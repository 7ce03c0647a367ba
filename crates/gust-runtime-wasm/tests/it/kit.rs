//! What the tests are made of: a runtime, guests from `target/guests`, calls and how they ended.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use gust_runtime::{
    Bindings, Finished, Instance, Loaded, Preparation, Prepared, Quiet, Runtime as _,
    artifact::ArtifactFolder,
    logs::{LogSink, Stream},
    suite::{self, Ended, done},
};
use gust_runtime_wasm::{Settings, WasmRuntime};
use gust_types::{
    Body, Call, Digest, FunctionKey, Reply, Result, Revision,
    call::{CallId, empty, full},
};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

/// A runtime with folders of its own.
pub(crate) struct Bench {
    pub(crate) runtime: WasmRuntime,
    pub(crate) artifacts: Arc<ArtifactFolder>,
    pub(crate) folder: tempfile::TempDir,
}

/// The bytes of a guest.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("target/guests").join(format!("{name}.wasm"));
    fs::read(&path)
        .unwrap_or_else(|e| panic!("no guest {}: {e}\nrun: cargo xtask guests", path.display()))
}

impl Bench {
    pub(crate) fn new(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Arc::new(ArtifactFolder::open(folder.path().join("artifacts")).unwrap());
        Self {
            runtime: open(folder.path(), artifacts.clone(), settings),
            artifacts,
            folder,
        }
    }

    /// The runtime as after a restart of the node.
    pub(crate) fn restart(&mut self) {
        self.runtime = open(self.folder.path(), self.artifacts.clone(), small());
    }

    pub(crate) fn prepared(&self) -> PathBuf {
        self.folder.path().join("prepared")
    }

    /// The only file in the prepared folder with this ending.
    pub(crate) fn only(&self, ending: &str) -> PathBuf {
        let files = fs::read_dir(self.prepared()).unwrap();
        let mut found = files
            .map(|f| f.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == ending));
        let one = found.next().expect("a prepared file");
        assert!(found.next().is_none(), "more than one prepared file");
        one
    }

    /// Waits until no prepared file is mapped: unmapping is a thread's work. Whoever damages a file that is mapped
    /// damages the running program.
    pub(crate) async fn unmapped(&self) {
        let folder = self.prepared().display().to_string();
        while fs::read_to_string("/proc/self/maps")
            .unwrap()
            .contains(&folder)
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn put(&self, name: &str) -> Digest {
        self.artifacts.put(&guest(name)).unwrap()
    }

    /// A revision of a guest with its default configuration.
    pub(crate) fn revision(&self, name: &str) -> Revision {
        revision(self.put(name), name)
    }

    /// A revision of a component that is written down in the test.
    pub(crate) fn written(&self, text: &str, name: &str) -> Revision {
        let bytes = wat::parse_str(text).unwrap();
        revision(self.artifacts.put(&bytes).unwrap(), name)
    }

    pub(crate) async fn prepare(&self, revision: &Revision) -> Result<Preparation> {
        self.runtime.prepare(revision, &Quiet).await
    }

    pub(crate) async fn load(&self, revision: Revision) -> Function {
        self.load_with(revision, |_| {}).await
    }

    pub(crate) async fn load_with(
        &self,
        revision: Revision,
        change: impl FnOnce(&mut Bindings),
    ) -> Function {
        let logs = Arc::new(Logs::default());
        let mut bindings = suite::nothing();
        bindings.logs = logs.clone();
        change(&mut bindings);
        let revision = Arc::new(revision);
        let Loaded { prepared, .. } = self.runtime.load(revision, bindings).await.unwrap();
        Function { prepared, logs }
    }
}

fn open(folder: &Path, artifacts: Arc<ArtifactFolder>, settings: Settings) -> WasmRuntime {
    WasmRuntime::open(folder.join("prepared"), artifacts, settings).unwrap()
}

/// Fewer instances than a node has, so that many test processes fit beside each other.
pub(crate) fn small() -> Settings {
    Settings {
        max_instances: 600,
        ..Settings::default()
    }
}

/// One runtime for all tests that do not touch its files: guests are compiled once.
pub(crate) fn shared() -> &'static Bench {
    static SHARED: OnceLock<Bench> = OnceLock::new();
    SHARED.get_or_init(|| Bench::new(small()))
}

pub(crate) fn revision(artifact: Digest, name: &str) -> Revision {
    Revision {
        key: FunctionKey {
            project: gust_types::ProjectName::default_project(),
            app: gust_types::AppName::new("tests").unwrap(),
            function: gust_types::FunctionName::new(name).unwrap(),
        },
        number: 1,
        artifact,
        spec: suite::plain(artifact),
        variables: Default::default(),
    }
}

/// A resident function and what it logged.
pub(crate) struct Function {
    pub(crate) prepared: Arc<dyn Prepared>,
    pub(crate) logs: Arc<Logs>,
}

/// A call that has been answered.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) finished: Finished,
}

impl Answered {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Function {
    pub(crate) async fn start(&self) -> Box<dyn Instance> {
        let deadline = gust_task::clock::now() + Duration::from_secs(60);
        self.prepared.start(deadline, None).await.unwrap()
    }

    /// A call in a fresh instance, to its end.
    pub(crate) async fn get(&self, path: &str) -> Answered {
        self.send(get(path)).await
    }

    pub(crate) async fn send(&self, call: Call) -> Answered {
        finish(self.start().await, call).await
    }

    /// A call in a fresh instance that has no answer. On a busy machine a guest may be interrupted between the head of
    /// its answer and its end; then it is the body that fails.
    pub(crate) async fn fail(&self, call: Call) -> (gust_types::Error, Finished) {
        let (done, ended) = done();
        let error = match self.start().await.call(call, done).await {
            Err(error) => error,
            Ok(reply) => match reply.into_body().collect().await {
                Err(error) => error,
                Ok(body) => panic!("an answer: {:?}", body.to_bytes()),
            },
        };
        (error, ended.get("the end of a failed call").await)
    }
}

/// A call in this instance, to its end.
pub(crate) async fn finish(instance: Box<dyn Instance>, call: Call) -> Answered {
    let (reply, ended) = begin(instance, call).await;
    let (parts, body) = reply.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Answered {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
        finished: ended.get("the end of a call").await,
    }
}

/// A call in this instance, to its head.
pub(crate) async fn begin(instance: Box<dyn Instance>, call: Call) -> (Reply, Ended) {
    let (done, ended) = done();
    let reply = instance.call(call, done).await;
    (
        reply.unwrap_or_else(|e| panic!("no answer: {}", e.chain())),
        ended,
    )
}

pub(crate) fn get(path: &str) -> Call {
    suite::request(request("GET", path).body(empty()).unwrap())
}

pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Call {
    suite::request(request("POST", path).body(full(body)).unwrap())
}

pub(crate) fn post_body(path: &str, body: Body) -> Call {
    suite::request(request("POST", path).body(body).unwrap())
}

/// A body that breaks off with this error after its first bytes.
pub(crate) fn broken(error: gust_types::Error) -> Body {
    let first = Bytes::from_static(b"the first half of ");
    let frames = [Ok(http_body::Frame::data(first)), Err(error)];
    http_body_util::StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}

/// A command that is a core module with a function `run` (0 is well), imported functions given.
pub(crate) fn written_command(imports: &str, module: &str, with: &str) -> String {
    format!(
        r#"(component
            {imports}
            (core module $m {module})
            (core instance $i (instantiate $m {with}))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $exported)))"#
    )
}

fn request(method: &str, path: &str) -> http::request::Builder {
    http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "tests.gust.localhost")
}

/// A call that is due in `time`.
pub(crate) fn within(mut call: Call, time: Duration) -> Call {
    call.deadline = gust_task::clock::now() + time;
    call
}

/// A log sink that remembers.
#[derive(Default)]
pub(crate) struct Logs(Mutex<Vec<(CallId, Stream, Vec<u8>)>>);

impl Logs {
    /// What one stream was given, all calls.
    pub(crate) fn of(&self, stream: Stream) -> String {
        let lines = self.0.lock();
        let bytes: Vec<u8> = lines
            .iter()
            .filter(|(_, s, _)| *s == stream)
            .flat_map(|(_, _, bytes)| bytes.clone())
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The calls that wrote.
    pub(crate) fn calls(&self) -> Vec<CallId> {
        self.0.lock().iter().map(|(call, _, _)| *call).collect()
    }
}

impl LogSink for Logs {
    fn write(&self, _: &FunctionKey, _: u64, call: CallId, stream: Stream, bytes: &[u8]) {
        self.0.lock().push((call, stream, bytes.to_vec()));
    }
}

/// A task of the test's own.
#[expect(clippy::disallowed_methods, reason = "tests join their tasks by hand")]
pub(crate) fn spawn<F>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(task)
}
