//! The engine of the one path: `accept → route → admit → acquire → call → settle`.
//!
//! This room owns the route table, the queues, the instances and the settlement of every call. It never parses HTTP,
//! never touches a disk but for a function's files, and never knows how a runtime runs code or a meter keeps records.
//! Start with [`Dispatcher`], then `path.rs`, which walks the stages in order; each stage is a file of its name.
#![warn(missing_docs)]

mod entry;
pub mod metrics;
pub mod refused;
pub mod route;
mod settings;

use std::{sync::Arc, time::Duration};

use gust_backend::Backends;
use gust_meter::Meter;
use gust_runtime::{Artifacts, Runtime, logs::LogSink};
use gust_types::{
    AppName, Call, Deployment, Error, FunctionKey, ProjectName, Reply, Result, Revision,
};

pub use entry::{FunctionEntry, FunctionState};
pub use metrics::PathMetrics;
pub use refused::{Refusal, Refused};
pub use route::{FileSite, FixedResponse, Routed, SiteFile, Target};
pub use settings::Settings;

/// What the engine is made of; swapped things come in here.
pub struct Parts {
    /// Runs code.
    pub runtime: Arc<dyn Runtime>,
    /// Opens the resources that functions are bound to.
    pub backends: Arc<dyn Backends>,
    /// Takes a record of each settled call.
    pub meter: Arc<dyn Meter>,
    /// Takes what guests print.
    pub logs: Arc<dyn LogSink>,
    /// Knows where the bytes of artifacts are.
    pub artifacts: Arc<dyn Artifacts>,
    /// Sees the stages.
    pub metrics: Arc<dyn PathMetrics>,
}

/// The engine. Clones are handles to the same one.
#[derive(Clone)]
pub struct Dispatcher {
    settings: Arc<Settings>,
}

/// An app that [`Dispatcher::replace_all`] could not take.
#[derive(Debug)]
pub struct Rejected {
    /// Its project.
    pub project: ProjectName,
    /// The app.
    pub app: AppName,
    /// Why.
    pub error: Error,
}

// === impl Dispatcher ===

impl Dispatcher {
    /// An engine without apps. Needs a tokio runtime around it: idle instances are swept by a task.
    pub fn new(settings: Settings, parts: Parts) -> Self {
        let _ = parts;
        Self {
            settings: Arc::new(settings),
        }
    }

    /// Adds an app, or replaces it atomically: requests routed before go to the old revisions, later ones to the new.
    /// Refused whole, with nothing changed, when a route, a host or a binding is at fault. Takes well under 2 ms.
    pub fn deploy(&self, deployment: Deployment) -> Result<()> {
        let _ = deployment;
        Err(Error::internal("not assembled yet"))
    }

    /// Serves exactly these apps. Those that cannot be taken are handed back; the rest is served.
    pub fn replace_all(&self, all: Vec<Deployment>) -> Vec<Rejected> {
        let _ = all;
        Vec::new()
    }

    /// Stops serving an app; calls in flight finish. False when there was none.
    pub fn remove(&self, project: &ProjectName, app: &AppName) -> bool {
        let _ = (project, app);
        false
    }

    /// route: what answers this request. Reads one atomic pointer.
    pub fn route(&self, request: &http::request::Parts) -> Result<Routed> {
        let _ = request;
        Err(Error::internal("not assembled yet"))
    }

    /// admit, acquire, call and settle for a request that was routed to a function. Sets the guest-facing headers of
    /// the route; applies the function's limits. A refusal is found by [`Refused::of`] in the error.
    pub async fn dispatch(&self, call: Call, routed: &Routed) -> Result<Reply> {
        let _ = (call, routed);
        Err(Error::internal("not assembled yet"))
    }

    /// The same for a function by name, private or not: `gust invoke`, and events.
    pub async fn invoke(&self, call: Call) -> Result<Reply> {
        let _ = call;
        Err(Error::internal("not assembled yet"))
    }

    /// The current revision of a function.
    pub fn function(&self, key: &FunctionKey) -> Option<Arc<FunctionEntry>> {
        let _ = key;
        None
    }

    /// Calls a revision that is not routed yet: `GET path` must answer 2xx within `timeout`.
    pub async fn probe(
        &self,
        revision: Arc<Revision>,
        path: &str,
        timeout: Duration,
    ) -> Result<()> {
        let _ = (revision, path, timeout);
        Err(Error::internal("not assembled yet"))
    }

    /// Refuses the calls of a project with this text (429), or no longer. Holds for projects without apps too.
    pub fn set_refusal(&self, project: &ProjectName, refusal: Option<String>) {
        let _ = (project, refusal);
    }

    /// Every function and how it is doing, by key.
    pub fn functions(&self) -> Vec<FunctionState> {
        Vec::new()
    }

    /// The URL host of an app: `<app>.<domain>` or `<app>.<project>.<domain>`.
    pub fn host(&self, project: &ProjectName, app: &AppName) -> String {
        format!("{}.{}", route::app_host(project, app), self.settings.domain)
    }

    /// Waits until no call is in flight, for `grace` at most. Answers how many were left.
    pub async fn drain(&self, grace: Duration) -> usize {
        let _ = grace;
        0
    }
}
