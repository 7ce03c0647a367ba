//! What calls cost inside the runtime, without a gateway: microseconds of one thread.
//!
//! `cargo xtask guests`, then `cargo run --profile dist -p gust-runtime-wasm --example calls [--json]`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a program for people at a terminal"
)]

use std::{fs, path::Path, sync::Arc, time::Duration};

use gust_runtime::{
    Done, Finished, Instance, Loaded, Prepared, Quiet, Runtime as _, Settle,
    artifact::ArtifactFolder, suite,
};
use gust_runtime_wasm::{Settings, WasmRuntime};
use gust_task::clock;
use gust_types::{Call, FunctionKey, Revision, call::empty};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

const WARM_ROUNDS: usize = 20_000;
const COLD_ROUNDS: usize = 300;

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let threads = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let rows = threads.block_on(rows());
    if json {
        let map: serde_json::Map<_, _> = rows
            .into_iter()
            .map(|(name, p50, p99)| (name, serde_json::json!({ "p50_us": p50, "p99_us": p99 })))
            .collect();
        println!("{}", serde_json::Value::Object(map));
        return;
    }
    println!("{:<34} {:>10} {:>10}", "microseconds", "p50", "p99");
    for (name, p50, p99) in rows {
        println!("{name:<34} {p50:>10.1} {p99:>10.1}");
    }
}

type Row = (String, f64, f64);

async fn rows() -> Vec<Row> {
    let bench = Bench::new();
    let mut rows = Vec::new();
    for (name, calls, what) in [
        ("hello-p2", 1, "p2, fresh instance each call"),
        ("hello-p2", u32::MAX, "p2, reused instance"),
        ("hello-p3", 1, "p3, fresh instance each call"),
        ("hello-p3", u32::MAX, "p3, reused instance"),
    ] {
        let revision = bench.prepare(name, calls).await;
        let prepared = bench.load(&revision).await.prepared;
        rows.extend(warm(&*prepared, what).await);
    }
    for name in ["hello-p2", "hello-p3"] {
        rows.extend(cold(&bench, name).await);
    }
    rows
}

fn soon() -> std::time::Instant {
    clock::now() + Duration::from_secs(60)
}

/// Calls one after the other, as a busy connection makes them.
async fn warm(prepared: &dyn Prepared, what: &str) -> Vec<Row> {
    let back: Arc<Mutex<Option<Box<dyn Instance>>>> = Arc::default();
    let mut times = Vec::with_capacity(WARM_ROUNDS);
    let mut starts = Vec::new();
    for _ in 0..WARM_ROUNDS + 1000 {
        let begun = clock::now();
        let idle = back.lock().take();
        let instance = match idle {
            Some(instance) => instance,
            None => {
                let instance = prepared.start(soon(), None).await.unwrap();
                starts.push(begun.elapsed());
                instance
            }
        };
        call(instance, &back).await;
        times.push(begun.elapsed());
    }
    times.drain(..1000);
    let mut rows = vec![row(what.to_owned(), times)];
    if starts.len() > WARM_ROUNDS {
        starts.drain(..1000);
        rows.push(row(format!("{what}: the instance"), starts));
    }
    rows
}

/// Everything from the prepared file to the first answer, each round from the start.
async fn cold(bench: &Bench, name: &str) -> Vec<Row> {
    let mut phases: [Vec<Duration>; 6] = Default::default();
    let back = Arc::default();
    let revision = bench.prepare(name, 1).await;
    for _ in 0..COLD_ROUNDS {
        let begun = clock::now();
        let Loaded {
            prepared,
            map,
            link,
        } = bench.load(&revision).await;
        let check = begun.elapsed() - map - link;
        let begun = clock::now();
        let instance = prepared.start(soon(), None).await.unwrap();
        let started = begun.elapsed();
        call(instance, &back).await;
        let called = begun.elapsed() - started;
        let sum = check + map + link + started + called;
        let all = [check, map, link, started, called, sum];
        for (times, time) in phases.iter_mut().zip(all) {
            times.push(time);
        }
        drop(prepared);
    }
    let names = ["check", "map", "link", "instantiate", "first call", "sum"];
    let rows = names.into_iter().zip(phases);
    rows.map(|(phase, times)| row(format!("{name} cold: {phase}"), times))
        .collect()
}

async fn call(instance: Box<dyn Instance>, back: &Arc<Mutex<Option<Box<dyn Instance>>>>) {
    let done = Done::new(Box::new(Back(back.clone())));
    let reply = instance.call(request(), done).await.expect("an answer");
    reply.into_body().collect().await.expect("a whole body");
}

fn request() -> Call {
    let request = http::Request::get("/").header("host", "bench.gust.localhost");
    suite::request(request.body(empty()).unwrap())
}

/// Keeps the instance that comes back.
struct Back(Arc<Mutex<Option<Box<dyn Instance>>>>);

impl Settle for Back {
    fn settle(self: Box<Self>, finished: Finished) {
        *self.0.lock() = finished.instance;
    }
}

fn row(name: String, mut times: Vec<Duration>) -> Row {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    (name, at(0.5), at(0.99))
}

struct Bench {
    runtime: WasmRuntime,
    artifacts: Arc<ArtifactFolder>,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Arc::new(ArtifactFolder::open(folder.path().join("artifacts")).unwrap());
        let prepared = folder.path().join("prepared");
        let runtime = WasmRuntime::open(prepared, artifacts.clone(), Settings::default()).unwrap();
        Self {
            runtime,
            artifacts,
            _folder: folder,
        }
    }

    async fn load(&self, revision: &Arc<Revision>) -> Loaded {
        let loaded = self.runtime.load(revision.clone(), suite::nothing()).await;
        loaded.unwrap()
    }

    async fn prepare(&self, name: &str, calls: u32) -> Arc<Revision> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let path = root.join("target/guests").join(format!("{name}.wasm"));
        let bytes = fs::read(path).unwrap_or_else(|e| panic!("{e}\nrun: cargo xtask guests"));
        let artifact = self.artifacts.put(&bytes).unwrap();
        let mut spec = suite::plain(artifact);
        spec.reuse.calls = Some(calls);
        let revision = Revision {
            key: FunctionKey {
                project: gust_types::ProjectName::default_project(),
                app: gust_types::AppName::new("bench").unwrap(),
                function: gust_types::FunctionName::new(name).unwrap(),
            },
            number: 1,
            artifact,
            spec,
            variables: Default::default(),
        };
        self.runtime.prepare(&revision, &Quiet).await.unwrap();
        Arc::new(revision)
    }
}
