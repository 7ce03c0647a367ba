//! A runtime whose functions are Rust closures, for the tests of those who call runtimes.
//!
//! It keeps the seam's promises (limits of wall time, reuse, sharing, one [`Done`] per call) without running foreign
//! code, counts what it was asked to do, and can be told to be slow.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use gust_task::clock;
use gust_types::{
    Blame, Body, BoxFuture, Call, Error, Kind, Outcome, Reply, Result, Revision, limits::Reuse,
};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

use crate::{
    Bindings, Done, Finished, Instance, Loaded, Preparation, Prepared, Progress, ReusePlan,
    Runtime, Sharer, Used,
};

/// What answers a call. What the instance may touch is among the request's extensions, as `Arc<Bindings>`.
pub type Handler =
    Arc<dyn Fn(http::Request<Body>) -> BoxFuture<'static, Result<Reply>> + Send + Sync>;

/// How slow it is, and how its instances are reused when the revision does not say.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Each prepare takes this long.
    pub prepare: Duration,
    /// Each load takes this long.
    pub load: Duration,
    /// Each start takes this long.
    pub start: Duration,
    /// Live instances.
    pub capacity: usize,
    /// Reuse by default.
    pub reuse: ReusePlan,
    /// What [`Prepared::resident_bytes`] says.
    pub resident_bytes: u64,
}

/// What it was asked to do so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Prepares.
    pub prepares: AtomicU64,
    /// Loads.
    pub loads: AtomicU64,
    /// Starts.
    pub starts: AtomicU64,
    /// Calls begun.
    pub calls: AtomicU64,
    /// Revisions resident now.
    pub resident: AtomicU64,
    /// Copies alive now.
    pub alive: AtomicU64,
}

/// The runtime. Cheap to clone; clones share functions and counts.
#[derive(Clone)]
pub struct MemoryRuntime {
    functions: Arc<Mutex<HashMap<String, Handler>>>,
    pace: Pace,
    /// What it was asked to do so far.
    pub counts: Arc<Counts>,
}

struct Resident {
    handler: Handler,
    bindings: Arc<Bindings>,
    plan: ReusePlan,
    pace: Pace,
    counts: Arc<Counts>,
}

/// One running copy.
struct Copy {
    resident: Arc<Resident>,
    bindings: Arc<Bindings>,
    state: Mutex<CopyState>,
}

#[derive(Default)]
struct CopyState {
    served: u32,
    places: u32,
    spoilt: bool,
}

/// A handle that holds a place in its copy, or the first handle of a fresh or returned one.
struct Handle {
    copy: Arc<Copy>,
    placed: bool,
}

/// The rest of a call after its head: tells the end when the body ends or is dropped.
struct Tail {
    body: Body,
    end: Option<End>,
    deadline: Pin<Box<tokio::time::Sleep>>,
}

/// The obligation to tell how one call ended.
struct End {
    handle: Handle,
    done: Option<Done>,
}

// === impl MemoryRuntime ===

impl Default for Pace {
    fn default() -> Self {
        Self {
            prepare: Duration::ZERO,
            load: Duration::ZERO,
            start: Duration::ZERO,
            capacity: 1000,
            reuse: ReusePlan {
                calls: 128,
                concurrent: 1,
                idle: Duration::from_secs(1),
            },
            resident_bytes: 64 * 1024,
        }
    }
}

impl MemoryRuntime {
    /// A runtime without functions.
    pub fn new(pace: Pace) -> Self {
        Self {
            functions: Arc::default(),
            pace,
            counts: Arc::default(),
        }
    }

    /// Adds a function. `name` is a function's name, or an artifact's digest as it is written.
    #[must_use]
    pub fn with<F, A>(self, name: &str, answer: F) -> Self
    where
        F: Fn(http::Request<Body>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Reply>> + Send + 'static,
    {
        self.insert(name, Arc::new(move |request| Box::pin(answer(request))));
        self
    }

    /// Adds or replaces a function.
    pub fn insert(&self, name: &str, handler: Handler) {
        self.functions.lock().insert(name.to_owned(), handler);
    }

    fn find(&self, revision: &Revision) -> Result<Handler> {
        let functions = self.functions.lock();
        functions
            .get(&revision.artifact.to_string())
            .or_else(|| functions.get(revision.key.function.as_str()))
            .cloned()
            .ok_or_else(|| {
                Error::invalid(format!(
                    "no such function in memory: {}",
                    revision.key.function
                ))
            })
    }
}

#[async_trait]
impl Runtime for MemoryRuntime {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn prepare(&self, revision: &Revision, progress: &dyn Progress) -> Result<Preparation> {
        self.counts.prepares.fetch_add(1, Relaxed);
        self.find(revision)?;
        progress.report("preparing", 0, 1);
        pause(self.pace.prepare).await;
        progress.report("preparing", 1, 1);
        Ok(Preparation {
            contract: "memory".to_owned(),
            ..Preparation::default()
        })
    }

    async fn load(&self, revision: Arc<Revision>, bindings: Bindings) -> Result<Loaded> {
        self.counts.loads.fetch_add(1, Relaxed);
        let handler = self.find(&revision)?;
        pause(self.pace.load).await;
        self.counts.resident.fetch_add(1, Relaxed);
        let resident = Resident {
            handler,
            bindings: Arc::new(bindings),
            plan: plan(&revision.spec.reuse, self.pace.reuse),
            pace: self.pace,
            counts: self.counts.clone(),
        };
        Ok(Loaded {
            prepared: Arc::new(Shelf(Arc::new(resident))),
            map: self.pace.load,
            link: Duration::ZERO,
        })
    }

    fn capacity(&self) -> usize {
        self.pace.capacity
    }
}

fn plan(asked: &Reuse, defaults: ReusePlan) -> ReusePlan {
    ReusePlan {
        calls: asked.calls.unwrap_or(defaults.calls).max(1),
        concurrent: asked.concurrent.unwrap_or(defaults.concurrent).max(1),
        idle: asked.idle.map_or(defaults.idle, |span| span.0),
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

// === impl Prepared ===

struct Shelf(Arc<Resident>);

impl Prepared for Shelf {
    fn start(
        &self,
        deadline: Instant,
        bindings: Option<Bindings>,
    ) -> BoxFuture<'_, Result<Box<dyn Instance>>> {
        Box::pin(async move {
            tokio::time::timeout_at(deadline.into(), pause(self.0.pace.start))
                .await
                .map_err(|_| Error::timeout("the function's instance took too long to start"))?;
            self.0.counts.starts.fetch_add(1, Relaxed);
            self.0.counts.alive.fetch_add(1, Relaxed);
            let copy = Copy {
                resident: self.0.clone(),
                bindings: bindings.map_or_else(|| self.0.bindings.clone(), Arc::new),
                state: Mutex::default(),
            };
            let instance = Handle {
                copy: Arc::new(copy),
                placed: false,
            };
            Ok(Box::new(instance) as Box<dyn Instance>)
        })
    }

    fn reuse(&self) -> ReusePlan {
        self.0.plan
    }

    fn resident_bytes(&self) -> u64 {
        self.0.pace.resident_bytes
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.0.counts.resident.fetch_sub(1, Relaxed);
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.resident.counts.alive.fetch_sub(1, Relaxed);
    }
}

// === impl Handle ===

impl Copy {
    /// Takes a place for one more call.
    fn enter(self: &Arc<Self>) -> Option<Handle> {
        let mut state = self.state.lock();
        let plan = self.resident.plan;
        let fits = !state.spoilt && state.places < plan.concurrent && state.served < plan.calls;
        fits.then(|| {
            state.places += 1;
            state.served += 1;
            Handle {
                copy: self.clone(),
                placed: true,
            }
        })
    }
}

impl Instance for Handle {
    fn call(mut self: Box<Self>, mut call: Call, done: Done) -> BoxFuture<'static, Result<Reply>> {
        let copy = self.copy.clone();
        let placed = if std::mem::take(&mut self.placed) {
            Some(Handle {
                copy: copy.clone(),
                placed: true,
            })
        } else {
            copy.enter()
        };
        Box::pin(async move {
            let Some(handle) = placed else {
                return Err(Error::internal("the instance has no place for a call"));
            };
            copy.resident.counts.calls.fetch_add(1, Relaxed);
            let mut end = End {
                handle,
                done: Some(done),
            };
            let deadline = tokio::time::Instant::from_std(call.deadline);
            call.request.extensions_mut().insert(copy.bindings.clone());
            let answer = (copy.resident.handler)(call.request);
            match tokio::time::timeout_at(deadline, answer).await {
                Ok(Ok(reply)) => Ok(reply.map(|body| Tail::wrap(body, end, deadline))),
                Ok(Err(error)) => {
                    end.tell(outcome_of(&error));
                    Err(error)
                }
                Err(_) => {
                    end.tell(Outcome::WallLimit);
                    Err(late())
                }
            }
        })
    }

    fn sharer(&self) -> Option<Arc<dyn Sharer>> {
        let shared = self.copy.resident.plan.concurrent > 1;
        shared.then(|| Arc::new(Way(Arc::downgrade(&self.copy))) as Arc<dyn Sharer>)
    }
}

/// The way into a copy while it lives.
struct Way(Weak<Copy>);

impl Sharer for Way {
    fn share(&self) -> Option<Box<dyn Instance>> {
        let handle = self.0.upgrade()?.enter()?;
        Some(Box::new(handle))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.placed {
            let mut state = self.copy.state.lock();
            state.places -= 1;
            // The place was held and never used.
            state.served -= 1;
        }
    }
}

fn late() -> Error {
    Error::timeout("the function reached its limit of wall time")
}

fn outcome_of(error: &Error) -> Outcome {
    match (error.kind, error.blame) {
        (Kind::Timeout, _) => Outcome::WallLimit,
        (Kind::Exhausted, _) => Outcome::MemoryLimit,
        (_, Blame::Platform) => Outcome::Platform,
        _ => Outcome::Failed,
    }
}

// === impl End ===

impl End {
    /// Tells how it ended, and hands the copy back when it is fit and this was its last call.
    fn tell(&mut self, outcome: Outcome) {
        let Some(done) = self.done.take() else {
            return;
        };
        let copy = self.handle.copy.clone();
        self.handle.placed = false;
        let fit = {
            let mut state = copy.state.lock();
            state.places -= 1;
            state.spoilt |= outcome != Outcome::Ok;
            !state.spoilt && state.places == 0 && state.served < copy.resident.plan.calls
        };
        let instance = fit.then(|| {
            Box::new(Handle {
                copy,
                placed: false,
            }) as Box<dyn Instance>
        });
        done.finish(Finished {
            instance,
            outcome,
            used: Used {
                cpu: Duration::from_micros(1),
                memory_peak: 1 << 20,
                ..Used::default()
            },
        });
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.tell(Outcome::Cancelled);
    }
}

// === impl Tail ===

impl Tail {
    /// A body that was there from the start ends the call at once.
    fn wrap(body: Body, mut end: End, deadline: tokio::time::Instant) -> Body {
        if body.is_end_stream() {
            end.tell(Outcome::Ok);
            return body;
        }
        Self {
            body,
            end: Some(end),
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
        }
        .boxed_unsync()
    }

    fn tell(&mut self, outcome: Outcome) {
        if let Some(mut end) = self.end.take() {
            end.tell(outcome);
        }
    }
}

impl http_body::Body for Tail {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.end.is_some() && this.deadline.as_mut().poll(cx).is_ready() {
            this.tell(Outcome::WallLimit);
            return Poll::Ready(Some(Err(late())));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            None => this.tell(Outcome::Ok),
            Some(Err(error)) => this.tell(outcome_of(error)),
            Some(Ok(_)) if this.body.is_end_stream() => this.tell(Outcome::Ok),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A deadline `time` from now, for calls made in tests.
pub fn within(time: Duration) -> Instant {
    clock::now() + time
}

#[cfg(test)]
mod tests;
