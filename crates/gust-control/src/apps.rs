//! Apps as people see them, and the end of one.

use std::collections::HashMap;

use gust_api::app::{
    AppDetails, AppSummary, DeploymentSummary, FunctionDetails, FunctionRevision, FunctionState,
    FunctionSummary, Project, RouteKind, RouteUrl, VariableState,
};
use gust_backend::{
    blob::{ListOptions, UploadsOptions},
    queue::QueueSettings,
};
use gust_types::{
    AppName, Error, FunctionKey, ProjectName, Result, app::RouteTarget, trigger::TriggerSource,
};

use crate::{
    control::Control,
    locks::PATIENCE,
    store::{
        apps::{self, Which},
        projects,
        rows::{Head, KeptDeployment, KeptRevision},
        secrets,
    },
    variables,
};

/// Projects of one node.
const MAX_PROJECTS: usize = 10_000;

/// What instances are doing, by function.
type States = HashMap<FunctionKey, FunctionState>;

impl Control {
    /// All projects.
    pub(crate) async fn projects(&self) -> Result<Vec<Project>> {
        self.0.store.read(projects::list).await
    }

    /// Makes a project.
    pub async fn create_project(&self, name: ProjectName) -> Result<Project> {
        let now_us = gust_task::clock::unix_micros();
        let new = name.clone();
        let made = self
            .0
            .store
            .write(move |db| projects::create(db, &new, now_us, MAX_PROJECTS))
            .await?;
        // What another project of this name may have left behind.
        self.forget_own_queues(&name).await?;
        self.0.parts.later.forget(&name).await?;
        Ok(made)
    }

    /// Removes a project without apps and without messages, and its budget.
    pub(crate) async fn remove_project(&self, name: ProjectName) -> Result<()> {
        for (queue, _) in self.0.parts.events.queues(&name)? {
            let held = self.0.parts.events.queue(&name, &queue)?.stats().await?;
            if held.messages + held.dead > 0 {
                // Whoever makes a project of this name again would get them.
                let text = format!("the project has messages in its queue: {queue}");
                return Err(Error::conflict(text)
                    .hint("purge it first: gust queue purge, with --dead for the dead"));
            }
        }
        for (topic, _) in self.0.parts.events.topics(&name)? {
            let held = self.0.parts.events.topic(&name, &topic)?.stats().await?;
            if held.events() > 0 {
                let text = format!("the project has events in its topic: {topic}");
                return Err(Error::conflict(text).hint("purge it first: gust topic purge"));
            }
        }
        for bucket in self.0.parts.backends.buckets(&name)? {
            let first = ListOptions {
                most: 1,
                ..ListOptions::default()
            };
            let page = self.0.parts.backends.blob(&name, &bucket)?;
            if !page.list(first).await?.objects.is_empty() {
                let text = format!("the project has objects in its bucket: {bucket}");
                return Err(Error::conflict(text).hint("remove them first: gust blob rm"));
            }
            let uploads = self.0.parts.backends.uploads(&name, &bucket)?;
            let first = UploadsOptions {
                most: 1,
                ..UploadsOptions::default()
            };
            if !uploads.list(first).await?.uploads.is_empty() {
                let text = format!("the project has uploads under way in its bucket: {bucket}");
                return Err(Error::conflict(text)
                    .hint("complete or abort them first: aws s3api abort-multipart-upload"));
            }
        }
        let gone = name.clone();
        self.0
            .store
            .write(move |db| projects::remove(db, &gone))
            .await?;
        self.forget_access_keys(&name);
        self.forget_buckets(&name).await;
        self.forget_changes(&name).await;
        self.0.keeper.set(name.clone(), None);
        // Once more when somebody makes a project of this name, should these fail.
        if let Err(error) = self.forget_own_queues(&name).await {
            tracing::warn!(project = %name, error = error.chain(), "events of a removed project are still kept");
        }
        if let Err(error) = self.0.parts.later.forget(&name).await {
            tracing::warn!(project = %name, error = error.chain(), "calls of a removed project are still kept");
        }
        Ok(())
    }

    /// Whoever makes a project of this name again does not get what waited for the triggers of this one.
    async fn forget_own_queues(&self, project: &ProjectName) -> Result<()> {
        let backends = &self.0.parts.backends;
        for name in backends.own_queues(project)? {
            let queue = backends.queue(project, &name, &QueueSettings::default())?;
            for dead in [false, true] {
                queue.purge(dead).await?;
            }
        }
        Ok(())
    }

    /// Whoever makes a project of this name again does not find the buckets of this one.
    async fn forget_buckets(&self, project: &ProjectName) {
        let backends = &self.0.parts.backends;
        for bucket in backends.buckets(project).unwrap_or_default() {
            if let Err(error) = backends.remove_bucket(project, &bucket).await {
                tracing::warn!(%project, %bucket, error = error.chain(), "a bucket of a removed project is still there");
            }
        }
    }

    /// Whoever makes a project of this name again does not get the changes of this one.
    async fn forget_changes(&self, project: &ProjectName) {
        let events = &self.0.parts.events;
        for of in events.streams(project).unwrap_or_default() {
            let purged = match events.topic(project, &of.topic()) {
                Ok(stream) => stream.purge().await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = purged {
                tracing::warn!(%project, %of, error = error.chain(), "changes of a removed project are still kept");
            }
        }
    }

    /// The apps of a project.
    pub(crate) async fn apps(&self, project: &ProjectName) -> Result<Vec<AppSummary>> {
        self.must_have(project).await?;
        let which = Which::ServingIn(project.clone());
        let mut kept = self.0.store.read(move |db| apps::read(db, &which)).await?;
        kept.sort_by(|a, b| a.app.cmp(&b.app));
        let states = self.states();
        Ok(kept.iter().map(|k| self.summary(k, &states)).collect())
    }

    /// One app, whole.
    pub(crate) async fn app(&self, project: &ProjectName, app: &AppName) -> Result<AppDetails> {
        let key = (project.clone(), app.clone());
        let (serving, history, set) = self
            .0
            .store
            .read(move |db| {
                Ok((
                    apps::must_serve(db, &key.0, &key.1)?,
                    apps::read(db, &Which::Kept(key.0.clone(), key.1.clone()))?,
                    secrets::list(db, &key.0, &key.1)?,
                ))
            })
            .await?;
        let head = variables::whole_head(&self.0.seal, &serving)?;
        let is_set = |name: &str| set.iter().any(|s| s.name == name);
        let variables = head.variables.iter().map(|(name, spec)| VariableState {
            name: name.clone(),
            description: spec.description.clone(),
            secret: spec.secret,
            required: spec.required,
            value: variables::origin(spec, is_set(name)),
        });
        Ok(AppDetails {
            summary: self.summary(&serving, &self.states()),
            description: head.description.clone(),
            hosts: head.hosts.clone(),
            variables: variables.collect(),
            configuration: serving.revisions.iter().map(configuration).collect(),
            deployments: newest_first(&history, serving.number),
        })
    }

    /// An app's history, newest first.
    pub(crate) async fn deployments(
        &self,
        project: &ProjectName,
        app: &AppName,
    ) -> Result<Vec<DeploymentSummary>> {
        let key = (project.clone(), app.clone());
        let (serving, history) = self
            .0
            .store
            .read(move |db| {
                Ok((
                    apps::must_serve(db, &key.0, &key.1)?,
                    apps::read(db, &Which::Kept(key.0.clone(), key.1.clone()))?,
                ))
            })
            .await?;
        Ok(newest_first(&history, serving.number))
    }

    /// Stops serving an app and forgets it, its history, its values and what it printed. Usage stays: it is to be paid.
    pub async fn remove_app(&self, project: &ProjectName, app: &AppName) -> Result<()> {
        let _turn = self.0.locks.turn(project, app, PATIENCE).await?;
        let dispatcher = self.0.parts.dispatcher.clone();
        let (p, a) = (project.clone(), app.clone());
        self.0
            .store
            .run(move |db| {
                let transaction = db.transaction()?;
                apps::remove(&transaction, &p, &a)?;
                transaction.commit()?;
                dispatcher.remove(&p, &a);
                Ok(())
            })
            .await?;
        if let Err(error) = self.0.parts.logs.remove(project.clone(), app.clone()).await {
            tracing::warn!(%project, %app, error = error.chain(), "the logs of a removed app are still there");
        }
        tracing::info!(%project, %app, "removed");
        Ok(())
    }

    fn states(&self) -> States {
        let all = self.0.parts.dispatcher.functions();
        all.into_iter()
            .map(|state| {
                let now = FunctionState {
                    resident: state.resident,
                    idle: state.idle as u64,
                    busy: state.busy as u64,
                    queued: state.queued as u64,
                };
                (state.key, now)
            })
            .collect()
    }

    fn summary(&self, kept: &KeptDeployment, states: &States) -> AppSummary {
        let functions = kept.revisions.iter().map(|r| FunctionSummary {
            function: r.function.clone(),
            revision: r.number,
            artifact: r.artifact,
            state: states.get(&key_of(kept, r)).copied(),
        });
        AppSummary {
            project: kept.project.clone(),
            app: kept.app.clone(),
            version: kept.head.version.clone(),
            deployment: kept.number,
            deployed_us: kept.created_us,
            functions: functions.collect(),
            urls: urls(self, &kept.project, &kept.app, &kept.head),
        }
    }
}

fn key_of(kept: &KeptDeployment, revision: &KeptRevision) -> FunctionKey {
    FunctionKey {
        project: kept.project.clone(),
        app: kept.app.clone(),
        function: revision.function.clone(),
    }
}

fn configuration(kept: &KeptRevision) -> FunctionDetails {
    FunctionDetails {
        function: kept.function.clone(),
        contract: kept.contract.clone(),
        warnings: kept.warnings.clone(),
        spec: kept.spec.clone(),
    }
}

fn newest_first(history: &[KeptDeployment], serving: u64) -> Vec<DeploymentSummary> {
    let mut all: Vec<_> = history
        .iter()
        .map(|kept| history_line(kept, serving))
        .collect();
    all.sort_by_key(|line| std::cmp::Reverse(line.deployment));
    all
}

fn history_line(kept: &KeptDeployment, serving: u64) -> DeploymentSummary {
    let functions = kept.revisions.iter().map(|r| FunctionRevision {
        function: r.function.clone(),
        revision: r.number,
        artifact: r.artifact,
    });
    DeploymentSummary {
        deployment: kept.number,
        created_us: kept.created_us,
        change: kept.change,
        rolled_back_to: kept.rolled_back_to,
        version: kept.head.version.clone(),
        serving: kept.number == serving,
        functions: functions.collect(),
    }
}

/// Where an app's public routes answer, in the manifest's order.
pub(crate) fn urls(
    control: &Control,
    project: &ProjectName,
    app: &AppName,
    head: &Head,
) -> Vec<RouteUrl> {
    let public = &control.0.settings.public;
    let port = public.port.map(|p| format!(":{p}")).unwrap_or_default();
    let host = control.0.parts.dispatcher.host(project, app);
    let base = format!("{}://{host}{port}", public.scheme);
    let routes = head
        .routes
        .iter()
        .filter_map(|route| Some((route.path.as_deref()?, &route.target)));
    let hooks = head.events.triggers.iter().filter_map(|trigger| {
        let TriggerSource::Webhook(webhook) = &trigger.source else {
            return None;
        };
        Some(RouteUrl {
            url: format!("{base}{}", webhook.path),
            target: RouteKind::Webhook,
            function: Some(trigger.function.clone()),
        })
    });
    let routes = routes.map(|(path, target)| {
        let (kind, function) = match target {
            RouteTarget::Function(name) => (RouteKind::Function, Some(name.clone())),
            RouteTarget::Response { .. } => (RouteKind::Response, None),
            RouteTarget::Files { .. } => (RouteKind::Files, None),
        };
        let path = path
            .strip_suffix("...")
            .or_else(|| path.strip_suffix('*'))
            .unwrap_or(path);
        RouteUrl {
            url: format!("{base}{path}"),
            target: kind,
            function,
        }
    });
    routes.chain(hooks).collect()
}
