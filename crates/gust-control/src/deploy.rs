//! A deploy: validate → artifacts → prepare → probe → publish.
//!
//! Everything that can fail comes before the publish, and nothing before it leaves a trace but prepared files, which the
//! garbage collector finds. Deploys of one app follow each other; a second one waits for the first for 30 s and is
//! refused as a conflict after that. A deploy of what already serves changes nothing and says so.

mod plan;

use std::sync::Arc;

use gust_api::deploy::{Change, DeployRequest, Deployed, DeployedFunction, Event};
use gust_runtime::Progress;
use gust_types::{Error, FunctionName, ProjectName, Result};

use self::plan::Plan;
use crate::{
    apps::urls,
    control::Control,
    locks::PATIENCE,
    publish::{self, Before},
    store::{
        apps::{self, NewDeployment},
        rows::{Head, KeptRevision, KeptSecret},
        secrets,
    },
    validate::{self, MAX_VARIABLES},
    variables,
};

/// Hears how a deploy goes. Never waits.
pub type Heard = dyn Fn(Event) + Send + Sync;

impl Control {
    /// Deploys an app whose artifacts are here. On success the new deployment serves and is durable; on failure what
    /// served before still does. `heard` gets steps and warnings; the result is the answer's.
    pub async fn deploy(
        &self,
        project: &ProjectName,
        request: DeployRequest,
        heard: &Heard,
    ) -> Result<Deployed> {
        let app = request.app.name.clone();
        let _pending = self.0.pending.try_acquire().map_err(|_| {
            Error::unavailable("too many deploys at once").hint("try again in a moment")
        })?;
        step(heard, "wait", None, 0, 0);
        let _turn = self.0.locks.turn(project, &app, PATIENCE).await?;
        let _needed = self.0.needed.read().await;
        step(heard, "check", None, 0, 0);
        let before = Before::read(self, project, &app).await?;
        let mut plan = Plan::make(self, project, request, &before)?;
        if plan.is_unchanged() {
            return Ok(deployed(self, &plan, &before, before.number()));
        }
        self.check_artifacts(&plan).await?;
        self.prepare(&mut plan, heard).await?;
        self.probe(&plan, heard).await?;
        step(heard, "publish", None, 0, 0);
        let events = &plan.head.events;
        let _ready = self.0.parts.events.prepare(project, &app, events).await?;
        let number = self.commit(&plan, &before).await?;
        tracing::info!(%project, %app, deployment = number, "deployed");
        Ok(deployed(self, &plan, &before, number))
    }

    /// Every artifact is here and as long as it is said to be.
    async fn check_artifacts(&self, plan: &Plan) -> Result<()> {
        let folder = self.0.parts.artifacts.clone();
        let wanted = plan.artifacts.clone();
        let check = move || {
            for (digest, size) in wanted {
                let found = std::fs::metadata(folder.file(&digest))
                    .map(|m| m.len())
                    .ok();
                match found {
                    Some(length) if length == size => {}
                    Some(length) => {
                        return Err(Error::invalid(format!(
                            "artifact {digest} has {length} bytes, the app says: {size}"
                        )));
                    }
                    None => {
                        return Err(Error::not_found(format!(
                            "artifact is not uploaded: {digest}"
                        ))
                        .hint("upload it first, or deploy with the command line"));
                    }
                }
            }
            Ok(())
        };
        tokio::task::spawn_blocking(check)
            .await
            .map_err(|e| Error::internal("looking for artifacts failed").because(e))?
    }

    /// Prepares what is new; notes what the runtime found.
    async fn prepare(&self, plan: &mut Plan, heard: &Heard) -> Result<()> {
        let _place = self
            .0
            .deploys
            .acquire()
            .await
            .map_err(|e| Error::unavailable("the node is stopping").because(e))?;
        let total = plan.changed().count() as u64;
        let (project, app, values) = (plan.project.clone(), plan.app.clone(), plan.values.clone());
        let changed = plan.functions.iter_mut().filter(|f| f.changed);
        for (done, planned) in (0u64..).zip(changed) {
            let name = planned.revision.function.clone();
            step(heard, "prepare", Some(&name), done, total);
            let revision = publish::revision(&project, &app, &planned.revision, &values);
            let progress = Preparing {
                heard,
                function: &name,
            };
            let found = self
                .0
                .parts
                .runtime
                .prepare(&revision, &progress)
                .await
                .map_err(|e| validate::within(&name, e))?;
            for message in &found.warnings {
                heard(Event::Warning {
                    function: Some(name.clone()),
                    message: message.clone(),
                });
            }
            planned.revision.contract = found.contract;
            planned.revision.warnings = found.warnings;
        }
        Ok(())
    }

    /// Asks each new revision that names a probe.
    async fn probe(&self, plan: &Plan, heard: &Heard) -> Result<()> {
        for planned in plan.changed() {
            let Some(health) = &planned.revision.spec.health else {
                continue;
            };
            let name = &planned.revision.function;
            step(heard, "probe", Some(name), 0, 0);
            let revision =
                publish::revision(&plan.project, &plan.app, &planned.revision, &plan.values);
            self.0
                .parts
                .dispatcher
                .probe(Arc::new(revision), &health.path, health.timeout.0)
                .await
                .map_err(|e| validate::within(format_args!("{name} is not healthy"), e))?;
        }
        Ok(())
    }

    /// Makes the plan durable and served.
    async fn commit(&self, plan: &Plan, before: &Before) -> Result<u64> {
        let (project, app) = (&plan.project, &plan.app);
        let mut set = before.set.clone();
        set.extend(plan.set.clone());
        let revisions: Vec<KeptRevision> =
            plan.functions.iter().map(|f| f.revision.clone()).collect();
        let new = publish::deployment(self, (project, app), &plan.head, &revisions, &set);
        let old = before.deployment(self)?;
        let values = self.seal_values(plan)?;
        let number = before.number();
        let insert = plan
            .makes_deployment()
            .then(|| self.new_deployment(plan, revisions))
            .transpose()?;
        let (project, app, keep) = (
            project.clone(),
            app.clone(),
            self.0.settings.keep_deployments,
        );
        publish::publish(self, new, old, move |db| {
            for value in &values {
                secrets::set(db, &project, &app, value, MAX_VARIABLES)?;
            }
            insert.map_or(Ok(number), |insert| apps::insert(db, &insert, keep))
        })
        .await
    }

    fn new_deployment(&self, plan: &Plan, revisions: Vec<KeptRevision>) -> Result<NewDeployment> {
        let mut head: Head = plan.head.clone();
        let sealed = variables::hide_defaults(&self.0.seal, &plan.project, &plan.app, &mut head)?;
        Ok(NewDeployment {
            project: plan.project.clone(),
            app: plan.app.clone(),
            created_us: gust_task::clock::unix_micros(),
            change: Change::Deploy,
            rolled_back_to: None,
            head,
            sealed,
            revisions,
            artifacts: plan.artifacts.keys().copied().collect(),
        })
    }

    fn seal_values(&self, plan: &Plan) -> Result<Vec<KeptSecret>> {
        let updated_us = gust_task::clock::unix_micros();
        let seal = |(name, value): (&String, &String)| {
            let sealed_name = variables::sealed_name(&plan.project, &plan.app, name);
            Ok(KeptSecret {
                name: name.clone(),
                sealed: self.0.seal.seal(&sealed_name, value.as_bytes())?,
                updated_us,
            })
        };
        plan.set.iter().map(seal).collect()
    }
}

/// The answer.
fn deployed(control: &Control, plan: &Plan, before: &Before, number: u64) -> Deployed {
    // Also of what did not change: it is as true as before.
    let warnings = plan.functions.iter().flat_map(|planned| {
        let of = &planned.revision;
        let name = &of.function;
        of.warnings
            .iter()
            .map(move |text| format!("{name}: {text}"))
    });
    let functions = plan.functions.iter().map(|planned| DeployedFunction {
        function: planned.revision.function.clone(),
        revision: planned.revision.number,
        changed: planned.changed,
        contract: planned.revision.contract.clone(),
    });
    Deployed {
        project: plan.project.clone(),
        app: plan.app.clone(),
        deployment: number,
        changed: before.serving.is_none() || !plan.is_unchanged(),
        functions: functions.collect(),
        urls: urls(control, &plan.project, &plan.app, &plan.head),
        warnings: warnings.collect(),
    }
}

/// Says where the deploy is.
pub(crate) fn step(
    heard: &Heard,
    step: &str,
    function: Option<&FunctionName>,
    done: u64,
    total: u64,
) {
    heard(Event::Step {
        step: step.to_owned(),
        function: function.cloned(),
        done,
        total,
    });
}

/// The runtime's progress as events of the deploy.
struct Preparing<'a> {
    heard: &'a Heard,
    function: &'a FunctionName,
}

impl Progress for Preparing<'_> {
    fn report(&self, name: &str, done: u64, total: u64) {
        step(self.heard, name, Some(self.function), done, total);
    }
}

impl Before {
    /// The deployment that serves; 0 when none does.
    fn number(&self) -> u64 {
        self.serving.as_ref().map_or(0, |s| s.number)
    }
}
