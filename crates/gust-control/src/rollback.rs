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
    // A rollback stands where the deployment stands that it went back to.
    let stands_at = serving.rolled_back_to.unwrap_or(serving.number);
    history
        .iter()
        .filter(|d| d.number < stands_at && d.change == Change::Deploy)
        .max_by_key(|d| d.number)
        .ok_or_else(|| Error::conflict("there is no earlier deployment to go back to"))
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
        rolled_back_to: Some(target.rolled_back_to.unwrap_or(target.number)),
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
}
