//! Back to what served before. Its revisions are still prepared, so this is a publish and little more.

use gust_api::deploy::{Change, Deployed, DeployedFunction};
use gust_runtime::Quiet;
use gust_types::{AppName, Error, ProjectName, Result};

use crate::{
    apps::urls,
    control::Control,
    locks::PATIENCE,
    publish::{self, Before},
    store::{
        apps::{self, NewDeployment, Which},
        rows::{Head, KeptDeployment},
    },
    validate, variables,
};

impl Control {
    /// Makes an earlier deployment serve again, as a new deployment. Without a number: the one before the serving one;
    /// asked again, the one before that.
    pub async fn rollback(
        &self,
        project: &ProjectName,
        app: &AppName,
        to: Option<u64>,
    ) -> Result<Deployed> {
        let _turn = self.0.locks.turn(project, app, PATIENCE).await?;
        let _needed = self.0.needed.read().await;
        let before = Before::read(self, project, app).await?;
        let which = Which::Kept(project.clone(), app.clone());
        let history = self.0.store.read(move |db| apps::read(db, &which)).await?;
        let Some(serving) = &before.serving else {
            return Err(Error::not_found(format!("no such app: {project}/{app}")));
        };
        let target = choose(serving, &history, to)?;
        let head = variables::whole_head(&self.0.seal, target)?;
        check_variables(&head, &before)?;
        let values = variables::effective(&head.variables, &before.set);
        for kept in &target.revisions {
            let revision = publish::revision(project, app, kept, &values);
            self.0
                .parts
                .runtime
                .prepare(&revision, &Quiet)
                .await
                .map_err(|e| validate::within(&kept.function, e))?;
        }
        let events = &self.0.parts.events;
        let _ready = events.prepare(project, app, &head.events).await?;
        let new = publish::deployment(self, (project, app), &head, &target.revisions, &before.set);
        let old = before.deployment(self)?;
        let (insert, keep) = (again(target)?, self.0.settings.keep_deployments);
        let number =
            publish::publish(self, new, old, move |db| apps::insert(db, &insert, keep)).await?;
        tracing::info!(%project, %app, deployment = number, to = target.number, "rolled back");
        let functions = target.revisions.iter().map(|r| DeployedFunction {
            function: r.function.clone(),
            revision: r.number,
            changed: !serving.revisions.contains(r),
            contract: r.contract.clone(),
        });
        Ok(Deployed {
            project: project.clone(),
            app: app.clone(),
            deployment: number,
            changed: true,
            functions: functions.collect(),
            urls: urls(self, project, app, &head),
            warnings: Vec::new(),
        })
    }
}

/// The deployment to go back to.
fn choose<'a>(
    serving: &KeptDeployment,
    history: &'a [KeptDeployment],
    to: Option<u64>,
) -> Result<&'a KeptDeployment> {
    if let Some(number) = to {
        if number == serving.number {
            return Err(Error::conflict(format!(
                "this deployment serves already: {number}"
            )));
        }
        return history.iter().find(|d| d.number == number).ok_or_else(|| {
            Error::not_found(format!("no such deployment is kept: {number}"))
                .hint("see what is kept with: gust show")
        });
    }
    served_before(stands_at(serving), history).ok_or_else(|| {
        Error::conflict("there is no earlier deployment to go back to")
            .hint("what is kept is listed by: gust show APP")
    })
}

/// A rollback stands where the deployment stands that it went back to.
fn stands_at(deployment: &KeptDeployment) -> u64 {
    deployment.rolled_back_to.unwrap_or(deployment.number)
}

/// What served when the deployment of this number came: that may have been a rollback, which a bad deploy followed.
/// When nothing that old is kept, a rollback still is what it went back to.
fn served_before(number: u64, history: &[KeptDeployment]) -> Option<&KeptDeployment> {
    let then = history.iter().filter(|d| d.number < number);
    then.max_by_key(|d| d.number).or_else(|| {
        let older = history.iter().filter(|d| stands_at(d) < number);
        older.max_by_key(|d| (stands_at(d), d.number))
    })
}

/// A value that the old deployment requires may have been removed since.
fn check_variables(head: &Head, before: &Before) -> Result<()> {
    let missing: Vec<&str> = head
        .variables
        .iter()
        .filter(|(name, v)| v.required && v.default.is_none() && !before.set.contains_key(*name))
        .map(|(name, _)| name.as_str())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "variables that the deployment requires are not set: {}",
        missing.join(", ")
    ))
    .hint("set each with: gust secret set NAME"))
}

/// The same app once more.
fn again(target: &KeptDeployment) -> Result<NewDeployment> {
    let mut artifacts = std::collections::BTreeSet::new();
    let mut add = |source| validate::artifact(source).map(|(digest, _)| artifacts.insert(digest));
    for revision in &target.revisions {
        add(&revision.spec.source)?;
        for file in &revision.spec.files {
            add(&file.source)?;
        }
    }
    for route in &target.head.routes {
        if let gust_types::app::RouteTarget::Files { files, .. } = &route.target {
            for file in files {
                add(&file.source)?;
            }
        }
    }
    Ok(NewDeployment {
        project: target.project.clone(),
        app: target.app.clone(),
        created_us: gust_task::clock::unix_micros(),
        change: Change::Rollback,
        rolled_back_to: Some(stands_at(target)),
        head: target.head.clone(),
        sealed: target.sealed.clone(),
        revisions: target.revisions.clone(),
        artifacts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: u64, rolled_back_to: Option<u64>) -> KeptDeployment {
        KeptDeployment {
            project: ProjectName::default_project(),
            app: AppName::new("a").unwrap(),
            number,
            created_us: 0,
            change: match rolled_back_to {
                Some(_) => Change::Rollback,
                None => Change::Deploy,
            },
            rolled_back_to,
            head: Default::default(),
            sealed: None,
            revisions: Vec::new(),
        }
    }

    #[test]
    fn each_rollback_goes_one_deploy_further_back() {
        // Deploys 1, 2, 3; a rollback to 2 made 4; another one to 1 made 5.
        let history = [
            kept(1, None),
            kept(2, None),
            kept(3, None),
            kept(4, Some(2)),
            kept(5, Some(1)),
        ];
        let cases = [
            (2, None, Some(2)),
            (3, None, Some(1)),
            (4, None, None),
            (4, Some(3), Some(3)),
            (4, Some(4), Some(4)),
            (4, Some(5), None),
            (4, Some(9), None),
        ];
        for (serving, to, expected) in cases {
            let found = choose(&history[serving], &history, to)
                .ok()
                .map(|d| d.number);
            assert_eq!(found, expected, "serving {}, to {to:?}", serving + 1);
        }
        assert!(choose(&history[0], &history[..1], None).is_err());
    }

    #[test]
    fn a_deploy_that_was_rolled_back_from_is_not_returned_to() {
        // Deploy 1 is good, 2 is bad, a rollback to 1 made 3, deploy 4 is bad again, 5 too.
        let history = [
            kept(1, None),
            kept(2, None),
            kept(3, Some(1)),
            kept(4, None),
            kept(5, None),
            kept(6, Some(4)),
            kept(7, Some(1)),
        ];
        for (serving, expected) in [
            (2, Some(1)),
            (4, Some(3)),
            (5, Some(4)),
            (6, Some(3)),
            (7, None),
        ] {
            let found = choose(&history[serving - 1], &history[..serving], None).ok();
            assert_eq!(found.map(|d| d.number), expected, "serving {serving}");
        }
        assert_eq!(again(&history[2]).unwrap().rolled_back_to, Some(1));
    }

    #[test]
    fn a_rollback_is_gone_back_to_when_its_original_is_not_kept() {
        // Deploys 1, 2 and 3 were gone back to by turns until they were too old to be kept.
        let history = [
            kept(12, Some(1)),
            kept(13, Some(2)),
            kept(14, Some(3)),
            kept(15, Some(3)),
        ];
        let found = choose(&history[3], &history, None).unwrap();
        assert_eq!(found.number, 13, "deploy 2 served before deploy 3");
        let found = choose(&history[1], &history, None).unwrap();
        assert_eq!(found.number, 12);
        assert!(choose(&history[0], &history, None).is_err());
    }
}
