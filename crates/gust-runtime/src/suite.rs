//! What every runtime must do, checked against any implementation. Call [`check`] from a test with the artifacts that
//! the runtime can run; a check panics with a sentence when a promise of the seam is broken.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a check that fails panics with a sentence"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

use bytes::Bytes;
use gust_task::{clock, ids};
use gust_types::{
    Body, Call, Digest, FunctionKey, FunctionName, Kind, Outcome, Reply, Result, Revision,
    app::{FunctionSpec, Source},
    call::{Origin, Trace, Trigger, empty, full},
    limits::{Limits, Reuse},
};
use http_body_util::BodyExt as _;

use crate::{Bindings, Done, Finished, Instance, Prepared, Quiet, Runtime, Settle, logs::Discard};

/// The artifacts of one runtime, already on this machine.
pub struct Specimens {
    /// Answers 200 with a body to any request.
    pub hello: Digest,
    /// Answers a POST to `/echo` with the request's body, streamed.
    pub echo: Digest,
    /// `/sleep/<ms>` waits, `/trap` crashes, `/spin` computes for ever, `/ok` answers 200.
    pub faults: Digest,
    /// Something that cannot be run; `None` when every artifact can.
    pub broken: Option<Digest>,
}

/// Tries every promise. `spins` says that the runtime enforces limits of CPU time.
pub async fn check(runtime: &dyn Runtime, specimens: &Specimens, spins: bool) {
    prepares_once(runtime, specimens).await;
    answers_and_settles_once(runtime, specimens).await;
    streams_both_ways(runtime, specimens).await;
    hands_back_what_is_fit(runtime, specimens).await;
    a_dropped_call_is_cancelled(runtime, specimens).await;
    a_parked_guest_is_stopped(runtime, specimens).await;
    a_crash_is_the_functions_fault(runtime, specimens).await;
    if spins {
        a_busy_guest_is_stopped(runtime, specimens).await;
    }
}

async fn prepares_once(runtime: &dyn Runtime, specimens: &Specimens) {
    let hello = revision(specimens.hello, Chosen::default());
    runtime
        .prepare(&hello, &Quiet)
        .await
        .expect("a good artifact prepares");
    let again = runtime
        .prepare(&hello, &Quiet)
        .await
        .expect("a second prepare succeeds");
    assert!(!again.contract.is_empty(), "prepare names the contract");
    if let Some(broken) = specimens.broken {
        let broken = revision(broken, Chosen::default());
        let error = runtime
            .prepare(&broken, &Quiet)
            .await
            .expect_err("a broken artifact is refused");
        assert_eq!(error.kind, Kind::Invalid, "{}", error.chain());
    }
}

async fn start(prepared: &dyn Prepared) -> Box<dyn Instance> {
    let deadline = clock::now() + Duration::from_secs(60);
    prepared
        .start(deadline, None)
        .await
        .expect("an instance starts")
}

async fn answers_and_settles_once(runtime: &dyn Runtime, specimens: &Specimens) {
    let prepared = load(runtime, specimens.hello, Chosen::default()).await;
    let instance = start(&*prepared).await;
    let (reply, ended) = call(instance, get("/")).await;
    let reply = reply.expect("hello answers");
    assert_eq!(reply.status(), 200);
    let body = bytes(reply.into_body()).await.expect("the body is whole");
    assert!(!body.is_empty(), "hello has a body");
    let finished = ended.get("the end of hello").await;
    assert_eq!(finished.outcome, Outcome::Ok);
    assert!(
        finished.used.memory_peak > 0,
        "a call's memory peak is known"
    );
    ended.no_more();
}

async fn streams_both_ways(runtime: &dyn Runtime, specimens: &Specimens) {
    let prepared = load(runtime, specimens.echo, Chosen::default()).await;
    let instance = start(&*prepared).await;
    let sent = Bytes::from(vec![7; 3 << 20]);
    let mut request = http::Request::post("http://localhost/echo");
    request = request.header("host", "localhost");
    let request = request.body(full(sent.clone())).expect("a request");
    let (reply, ended) = call(instance, request).await;
    let back = bytes(reply.expect("echo answers").into_body()).await;
    assert!(
        back.expect("the echo is whole") == sent,
        "the echo is what was sent"
    );
    assert_eq!(ended.get("the end of echo").await.outcome, Outcome::Ok);
}

async fn hands_back_what_is_fit(runtime: &dyn Runtime, specimens: &Specimens) {
    let specs = Chosen {
        reuse: Some(2),
        ..Chosen::default()
    };
    let prepared = load(runtime, specimens.hello, specs).await;
    assert_eq!(prepared.reuse().calls, 2, "the revision's reuse counts");
    let mut instance = start(&*prepared).await;
    for round in 0..2 {
        let (reply, ended) = call(instance, get("/")).await;
        bytes(reply.expect("hello answers").into_body())
            .await
            .expect("the body is whole");
        let finished = ended.get("the end of hello").await;
        match finished.instance {
            Some(fit) if round == 0 => instance = fit,
            None if round == 1 => return,
            found => panic!(
                "round {round}: an instance handed back: {}",
                found.is_some()
            ),
        }
    }
}

async fn a_dropped_call_is_cancelled(runtime: &dyn Runtime, specimens: &Specimens) {
    let prepared = load(runtime, specimens.faults, Chosen::default()).await;
    let instance = start(&*prepared).await;
    let (done, ended) = done();
    let answer = instance.call(request(get("/sleep/5000")), done);
    let cut = tokio::time::timeout(Duration::from_millis(50), answer).await;
    assert!(cut.is_err(), "the guest sleeps for longer");
    let finished = ended.get("the end of a dropped call").await;
    assert_eq!(finished.outcome, Outcome::Cancelled);
    assert!(
        finished.instance.is_none(),
        "an instance cut off is not fit"
    );
}

async fn a_parked_guest_is_stopped(runtime: &dyn Runtime, specimens: &Specimens) {
    let prepared = load(runtime, specimens.faults, Chosen::default()).await;
    let instance = start(&*prepared).await;
    let (done, ended) = done();
    let mut sleeping = request(get("/sleep/10000"));
    sleeping.deadline = clock::now() + Duration::from_millis(100);
    let error = instance.call(sleeping, done).await.err();
    let error = error.expect("a guest past its deadline has no answer");
    assert_eq!(error.kind, Kind::Timeout, "{}", error.chain());
    let finished = ended.get("the end of a late call").await;
    assert_eq!(finished.outcome, Outcome::WallLimit);
}

async fn a_crash_is_the_functions_fault(runtime: &dyn Runtime, specimens: &Specimens) {
    let prepared = load(runtime, specimens.faults, Chosen::default()).await;
    let instance = start(&*prepared).await;
    let (reply, ended) = call(instance, get("/trap")).await;
    let error = reply.expect_err("a crashed guest has no answer");
    assert_eq!(error.kind, Kind::Failed, "{}", error.chain());
    assert_eq!(error.blame, gust_types::Blame::Function);
    let finished = ended.get("the end of a crash").await;
    assert_eq!(finished.outcome, Outcome::Failed);
    assert!(finished.instance.is_none(), "a crashed instance is not fit");
    let after = start(&*prepared).await;
    let (reply, _) = call(after, get("/ok")).await;
    assert_eq!(reply.expect("the next call answers").status(), 200);
}

async fn a_busy_guest_is_stopped(runtime: &dyn Runtime, specimens: &Specimens) {
    let specs = Chosen {
        cpu: Some(Duration::from_millis(50)),
        ..Chosen::default()
    };
    let prepared = load(runtime, specimens.faults, specs).await;
    let instance = start(&*prepared).await;
    let (reply, ended) = call(instance, get("/spin")).await;
    let error = reply.expect_err("a busy guest has no answer");
    assert_eq!(error.kind, Kind::Timeout, "{}", error.chain());
    let finished = ended.get("the end of a busy call").await;
    assert_eq!(finished.outcome, Outcome::CpuLimit);
    assert!(finished.used.cpu >= Duration::from_millis(45));
}

// === what the checks are made of ===

/// The parts of a revision that checks choose.
#[derive(Default)]
struct Chosen {
    reuse: Option<u32>,
    cpu: Option<Duration>,
}

fn revision(artifact: Digest, specs: Chosen) -> Revision {
    let mut limits = Limits::default();
    if let Some(cpu) = specs.cpu {
        limits.cpu_time = gust_types::Span(cpu);
    }
    let spec = FunctionSpec {
        limits,
        reuse: Reuse {
            calls: specs.reuse,
            ..Reuse::default()
        },
        ..plain(artifact)
    };
    Revision {
        key: key(),
        number: 1,
        artifact,
        spec,
        variables: Default::default(),
    }
}

/// The specification of a function with nothing but its code.
pub fn plain(artifact: Digest) -> FunctionSpec {
    FunctionSpec {
        description: String::new(),
        source: Source::Artifact {
            digest: artifact,
            size: 0,
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
        limits: Limits::default(),
        reuse: Reuse::default(),
        health: None,
        later: None,
        cgi: None,
        dependencies: Vec::new(),
    }
}

fn key() -> FunctionKey {
    FunctionKey {
        project: gust_types::ProjectName::default_project(),
        app: gust_types::AppName::new("suite").expect("a name"),
        function: FunctionName::new("specimen").expect("a name"),
    }
}

async fn load(runtime: &dyn Runtime, artifact: Digest, specs: Chosen) -> Arc<dyn Prepared> {
    let revision = Arc::new(revision(artifact, specs));
    let loaded = runtime.load(revision, nothing()).await;
    loaded.expect("a good artifact loads").prepared
}

/// Bindings that allow nothing.
pub fn nothing() -> Bindings {
    Bindings {
        kv: Default::default(),
        sql: Default::default(),
        outlets: Default::default(),
        blobs: Default::default(),
        variables: Arc::default(),
        environment: Arc::default(),
        outbound: Arc::default(),
        files: None,
        logs: Arc::new(Discard),
        peers: Arc::new(Nobody),
    }
}

/// No other functions.
pub struct Nobody;

impl crate::Peers for Nobody {
    fn call(
        &self,
        _: &Revision,
        function: Option<&FunctionName>,
        _: http::Request<Body>,
        _: crate::PeerContext,
    ) -> gust_types::BoxFuture<'static, Result<Reply>> {
        let name = function.map(|name| name.to_string()).unwrap_or_default();
        Box::pin(async move {
            Err(gust_types::Error::not_found(format!(
                "no such function: {name}"
            )))
        })
    }
}

fn get(path: &str) -> http::Request<Body> {
    http::Request::get(format!("http://localhost{path}"))
        .header("host", "localhost")
        .body(empty())
        .expect("a request")
}

/// A call of the specimen, due in 30 s.
pub fn request(request: http::Request<Body>) -> Call {
    Call {
        id: ids::call_id(),
        function: Arc::new(key()),
        origin: Origin {
            trigger: Trigger::Http,
            peer: None,
            hops: 0,
            cause: None,
        },
        deadline: clock::now() + Duration::from_secs(30),
        trace: Trace::default(),
        request,
    }
}

async fn call(instance: Box<dyn Instance>, head: http::Request<Body>) -> (Result<Reply>, Ended) {
    let (done, ended) = done();
    (instance.call(request(head), done).await, ended)
}

async fn bytes(body: Body) -> Result<Bytes> {
    Ok(body.collect().await?.to_bytes())
}

/// Hears the end of one call.
pub struct Ended {
    ends: parking_lot::Mutex<mpsc::Receiver<Finished>>,
    heard: Arc<AtomicU64>,
}

struct Ear {
    to: mpsc::SyncSender<Finished>,
    heard: Arc<AtomicU64>,
}

impl Settle for Ear {
    fn settle(self: Box<Self>, finished: Finished) {
        self.heard.fetch_add(1, Relaxed);
        let _ = self.to.try_send(finished);
    }
}

/// An obligation and the ear that hears it kept.
pub fn done() -> (Done, Ended) {
    let (to, ends) = mpsc::sync_channel(2);
    let heard = Arc::new(AtomicU64::new(0));
    let ear = Ear {
        to,
        heard: heard.clone(),
    };
    let ended = Ended {
        ends: parking_lot::Mutex::new(ends),
        heard,
    };
    (Done::new(Box::new(ear)), ended)
}

impl Ended {
    /// Waits for the end, ten seconds at most.
    pub async fn get(&self, what: &str) -> Finished {
        for _ in 0..10_000 {
            if let Ok(finished) = self.ends.lock().try_recv() {
                return finished;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{what} was not told within ten seconds");
    }

    /// Panics when the end was told more than once.
    pub fn no_more(&self) {
        assert_eq!(self.heard.load(Relaxed), 1, "the end is told once");
    }
}
