//! The engine of the one path: `accept → route → admit → acquire → call → settle`.
//!
//! This room owns the route table, the queues, the instances and the settlement of every call. It never parses HTTP,
//! never touches a disk but for a function's files, and never knows how a runtime runs code or a meter keeps records.
//! Start with [`Dispatcher`], then `path.rs`, which walks the stages in order; each stage is a file of its name.
#![warn(missing_docs)]

mod acquire;
mod admit;
mod call;
mod engine;
mod entry;
mod path;
mod peers;
mod probe;
mod publish;
pub mod refused;
pub mod route;
mod settings;
mod settle;
mod sweep;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use gust_backend::{Backends, unit::Unit};
use gust_meter::Meter;
use gust_runtime::{Artifacts, Runtime, logs::LogSink};
use gust_task::clock;
use gust_telemetry::PathMetrics;
use gust_types::{
    AppName, Call, Deployment, Error, FunctionKey, Label, ProjectName, Reply, Result, Revision,
    trigger::{EventsSpec, QueueSettings, TopicSettings},
};

use engine::Engine;
pub use entry::{FunctionEntry, FunctionState};
use publish::Published;
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
    pub metrics: PathMetrics,
}

/// The engine. Clones are handles to the same one; it ends with the last of them.
#[derive(Clone)]
pub struct Dispatcher {
    core: Arc<Core>,
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

/// What the handles share.
pub(crate) struct Core {
    pub(crate) engine: Arc<Engine>,
    pub(crate) published: Published,
}

/// How often a drain looks whether calls are left.
const DRAIN_LOOK: Duration = Duration::from_millis(5);

// === impl Dispatcher ===

impl Dispatcher {
    /// An engine without apps. Needs a tokio runtime around it: idle instances are swept by a task.
    pub fn new(settings: Settings, parts: Parts) -> Self {
        let core = Arc::new_cyclic(|core| Core {
            published: Published::new(&settings.domain),
            engine: Arc::new(Engine::new(settings, parts, core.clone())),
        });
        sweep::start(&core);
        Self { core }
    }

    /// Adds an app, or replaces it atomically: no request fails because of it, and later ones go to the new revisions.
    /// Refused whole, with nothing changed, when a route, a host or a binding is at fault. Takes well under 2 ms.
    pub fn deploy(&self, deployment: Deployment) -> Result<()> {
        self.core.published.deploy(&self.core.engine, &deployment)
    }

    /// Serves exactly these apps. Those that cannot be taken are handed back; the rest is served. For the start of a
    /// node: file trees that none of them reads are removed.
    pub fn replace_all(&self, all: Vec<Deployment>) -> Vec<Rejected> {
        let revisions: Vec<_> = all.iter().flat_map(|app| app.functions.clone()).collect();
        self.core.engine.files.tidy(&revisions);
        self.core.published.replace_all(&self.core.engine, &all)
    }

    /// Stops serving an app; calls in flight finish. False when there was none.
    pub fn remove(&self, project: &ProjectName, app: &AppName) -> bool {
        self.core.published.remove(&self.core.engine, project, app)
    }

    /// route: what answers this request. Reads one atomic pointer.
    pub fn route(&self, request: &http::request::Parts) -> Result<Routed> {
        self.core.published.table().route(request)
    }

    /// admit, acquire, call and settle, for a request that was routed to a function. Sets the guest-facing headers of
    /// the route and applies the function's limits. A refusal is found by [`Refused::of`] in the error.
    pub async fn dispatch(&self, call: Call, routed: &Routed) -> Result<Reply> {
        self.dispatch_in(call, routed, None).await
    }

    async fn dispatch_in(
        &self,
        mut call: Call,
        routed: &Routed,
        unit: Option<&Arc<Unit>>,
    ) -> Result<Reply> {
        let Target::Function(entry) = &routed.target else {
            return Err(Error::internal("only a function can be called"));
        };
        // A reference count, where taking the request apart would move all of it twice.
        let uri = call.request.uri().clone();
        let headers = call.request.headers_mut();
        route::headers::strip_host(headers);
        route::headers::set(routed, &uri, headers, call.origin.peer);
        path::walk(call, entry, unit).await
    }

    /// The same for the function that the call names, private or not: `gust invoke`, and events.
    pub async fn invoke(&self, call: Call) -> Result<Reply> {
        self.invoke_in(call, None).await
    }

    /// The same, in a new instance that no other call gets. What it writes belongs to `unit`, and is nowhere before that is
    /// committed.
    pub async fn invoke_in(&self, call: Call, unit: Option<&Arc<Unit>>) -> Result<Reply> {
        let entry = self
            .function(&call.function)
            .ok_or_else(|| Error::not_found(format!("no such function: {}", call.function)))?;
        let routed = Routed::whole(Target::Function(entry));
        self.dispatch_in(call, &routed, unit).await
    }

    /// Whether a call from outside may be taken over to be made later: budget, declared length and the caller's rate are
    /// looked at now, as [`Dispatcher::dispatch`] does first; the rest when it is made.
    pub fn may_come_later(&self, call: &Call, function: &FunctionEntry) -> Result<()> {
        admit::may_come_later(function, &admit::Asks::of(call), clock::now())
    }

    /// The current revision of a function.
    pub fn function(&self, key: &FunctionKey) -> Option<Arc<FunctionEntry>> {
        let table = self.core.published.table();
        table
            .app(&key.project, &key.app)?
            .function(&key.function)
            .cloned()
    }

    /// Calls a revision that is not routed yet: `GET path` must answer 2xx within `timeout`.
    pub async fn probe(
        &self,
        revision: Arc<Revision>,
        path: &str,
        timeout: Duration,
    ) -> Result<()> {
        let host = self.host(&revision.key.project, &revision.key.app);
        probe::probe(&self.core.engine, revision, &host, path, timeout).await
    }

    /// Refuses the calls of a project with this text (429), or no longer. Holds for projects without apps too, and for
    /// apps they deploy later.
    pub fn set_refusal(&self, project: &ProjectName, refusal: Option<String>) {
        self.core.published.set_refusal(project, refusal);
    }

    /// Every function and how it is doing, by key.
    pub fn functions(&self) -> Vec<FunctionState> {
        let table = self.core.published.table();
        let entries = table.sites().flat_map(|site| site.entries());
        let mut states: Vec<_> = entries.map(|entry| entry.state()).collect();
        states.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        states
    }

    /// What starts the functions of each app besides requests; apps without anything of the kind are left out.
    pub fn events(&self) -> Vec<(ProjectName, AppName, Arc<EventsSpec>)> {
        let table = self.core.published.table();
        let sites = table.sites().filter(|site| !site.events.is_empty());
        sites
            .map(|site| (site.project.clone(), site.app.clone(), site.events.clone()))
            .collect()
    }

    /// The projects that anything is served for.
    pub fn projects(&self) -> BTreeSet<ProjectName> {
        let table = self.core.published.table();
        table.sites().map(|site| site.project.clone()).collect()
    }

    /// How a queue of a project behaves: as the served app says that gives it settings, else as a command made it, else as
    /// any queue does.
    pub fn queue_settings(&self, project: &ProjectName, name: &Label) -> QueueSettings {
        self.core.published.queue_settings(project, name)
    }

    /// The queues of a project that were made by a command, and how they behave where no app says.
    pub fn made_queues(&self, project: &ProjectName) -> BTreeMap<Label, QueueSettings> {
        self.core.published.made(project)
    }

    /// How the queues of a project behave that were made by a command: these, and no others.
    pub fn set_made_queues(&self, project: &ProjectName, queues: BTreeMap<Label, QueueSettings>) {
        self.core.published.set_made(project, queues);
    }

    /// How a topic of a project behaves, by the same rule.
    pub fn topic_settings(&self, project: &ProjectName, name: &Label) -> TopicSettings {
        self.core.published.table().topic_settings(project, name)
    }

    /// Changes with every publish: who follows [`Dispatcher::events`] looks again.
    pub fn publishes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.core.published.count()
    }

    /// The host an app answers on: `<app>.<domain>` or `<app>.<project>.<domain>`.
    pub fn host(&self, project: &ProjectName, app: &AppName) -> String {
        let domain = &self.core.engine.settings.domain;
        format!("{}.{domain}", route::app_host(project, app))
    }

    /// Waits until no call is in flight, for `grace` at most. Answers how many were left. Refuses nothing: who drains
    /// stops accepting first, and functions may still call each other.
    pub async fn drain(&self, grace: Duration) -> usize {
        let end = clock::now() + grace;
        loop {
            let open = self.core.published.open_calls();
            let now = clock::now();
            if open == 0 || now >= end {
                return open;
            }
            tokio::time::sleep(DRAIN_LOOK.min(end - now)).await;
        }
    }
}
