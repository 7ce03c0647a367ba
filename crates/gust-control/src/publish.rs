//! Where the database and dispatch change together.
//!
//! A publish runs on the database's thread: the rows are written, dispatch takes the app, the transaction commits. When
//! dispatch refuses, nothing was written; when the disk refuses the commit, dispatch gets the old app back. A crash in
//! between leaves what was committed: the old app or the new one, never a mixture.

use std::{collections::BTreeMap, sync::Arc};

use gust_types::{
    AppName, Deployment, Error, FunctionKey, ProjectName, Result, Revision, app::FunctionSpec,
};
use rusqlite::{Transaction, TransactionBehavior};

use crate::{
    control::Control,
    store::{
        StoreResult,
        apps::{self, Which},
        rows::{Head, KeptDeployment, KeptRevision},
        secrets,
    },
    variables::{self, Values},
};

/// An app that cannot be served, and why.
pub(crate) type Rejected = (ProjectName, AppName, Error);

/// Makes `change` durable and `new` served, both or neither. `old` is what serves now.
pub(crate) async fn publish<T: Send + 'static>(
    control: &Control,
    new: Deployment,
    old: Option<Deployment>,
    change: impl FnOnce(&Transaction<'_>) -> StoreResult<T> + Send + 'static,
) -> Result<T> {
    let dispatcher = control.0.parts.dispatcher.clone();
    control
        .0
        .store
        .run(move |db| {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = change(&transaction)?;
            let (project, app) = (new.project.clone(), new.app.clone());
            dispatcher.deploy(new)?;
            if let Err(error) = transaction.commit() {
                let restored = match old {
                    Some(old) => dispatcher.deploy(old),
                    None => {
                        dispatcher.remove(&project, &app);
                        Ok(())
                    }
                };
                if let Err(error) = restored {
                    tracing::error!(%project, %app, error = error.chain(), "the old deployment is not served again");
                }
                return Err(error.into());
            }
            Ok(answer)
        })
        .await
}

/// What dispatch is to serve for a deployment.
pub(crate) fn deployment(
    control: &Control,
    (project, app): (&ProjectName, &AppName),
    head: &Head,
    revisions: &[KeptRevision],
    set: &Values,
) -> Deployment {
    let values = variables::effective(&head.variables, set);
    let functions = revisions
        .iter()
        .map(|kept| Arc::new(revision(project, app, kept, &values)));
    let mut hosts = head.hosts.clone();
    if control.0.settings.any_host {
        hosts.push("*".to_owned());
    }
    Deployment {
        project: project.clone(),
        app: app.clone(),
        hosts,
        routes: head.routes.clone(),
        functions: functions.collect(),
        events: Arc::new(variables::with_values(&head.events, &values)),
    }
}

/// A revision with the values its templates name.
pub(crate) fn revision(
    project: &ProjectName,
    app: &AppName,
    kept: &KeptRevision,
    values: &Values,
) -> Revision {
    let spec: FunctionSpec = kept.spec.clone();
    Revision {
        key: FunctionKey {
            project: project.clone(),
            app: app.clone(),
            function: kept.function.clone(),
        },
        number: kept.number,
        artifact: kept.artifact,
        variables: variables::seen_by(&spec, values),
        spec,
    }
}

/// What dispatch is to serve for a stored deployment.
pub(crate) fn of_stored(
    control: &Control,
    kept: &KeptDeployment,
    set: &Values,
) -> Result<Deployment> {
    let head = variables::whole_head(&control.0.seal, kept)?;
    let at = (&kept.project, &kept.app);
    Ok(deployment(control, at, &head, &kept.revisions, set))
}

/// Everything that is to be served, read in one go, and what cannot be.
pub(crate) async fn stored(control: &Control) -> Result<(Vec<Deployment>, Vec<Rejected>)> {
    let read =
        |db: &rusqlite::Connection| Ok((apps::read(db, &Which::Serving)?, secrets::all(db)?));
    let (kept, sealed) = control.0.store.read(read).await?;
    let mut by_app: BTreeMap<(ProjectName, AppName), Vec<_>> = BTreeMap::new();
    for (project, app, secret) in sealed {
        by_app.entry((project, app)).or_default().push(secret);
    }
    let (mut good, mut rejected) = (Vec::with_capacity(kept.len()), Vec::new());
    for deployment in kept {
        let key = (deployment.project.clone(), deployment.app.clone());
        let sealed = by_app.remove(&key).unwrap_or_default();
        let whole = variables::open(&control.0.seal, &key.0, &key.1, &sealed)
            .and_then(|set| of_stored(control, &deployment, &set));
        match whole {
            Ok(whole) => good.push(whole),
            Err(error) => rejected.push((key.0, key.1, error)),
        }
    }
    Ok((good, rejected))
}

/// An app as it is before a change.
pub(crate) struct Before {
    pub(crate) serving: Option<KeptDeployment>,
    pub(crate) next: apps::Next,
    /// Values that are set.
    pub(crate) set: Values,
}

impl Before {
    /// Reads it. The app's turn must be held, so that it stays so.
    pub(crate) async fn read(
        control: &Control,
        project: &ProjectName,
        app: &AppName,
    ) -> Result<Self> {
        let key = (project.clone(), app.clone());
        let (serving, next, sealed) = control
            .0
            .store
            .read(move |db| {
                Ok((
                    apps::serving(db, &key.0, &key.1)?,
                    apps::next(db, &key.0, &key.1)?,
                    secrets::list(db, &key.0, &key.1)?,
                ))
            })
            .await?;
        let set = variables::open(&control.0.seal, project, app, &sealed)?;
        Ok(Self { serving, next, set })
    }

    /// What dispatch serves now.
    pub(crate) fn deployment(&self, control: &Control) -> Result<Option<Deployment>> {
        self.serving
            .as_ref()
            .map(|kept| of_stored(control, kept, &self.set))
            .transpose()
    }
}
