//! Setting and forgetting values of variables.
//!
//! A value is not part of a revision: setting one makes no new revision and no deployment. When the app serves and uses
//! the variable, it is published again with the new value at once; calls in flight finish with the old one.

use gust_api::secrets::{Secret, SecretChanged};
use gust_types::{AppName, Error, ProjectName, Result};

use crate::{
    control::Control,
    locks::PATIENCE,
    publish::{self, Before},
    store::{StoreResult, apps, rows::KeptSecret, secrets},
    validate::{self, MAX_VALUE, MAX_VARIABLES},
    variables::{self, Values},
};

impl Control {
    /// The names of the values that are set for an app.
    pub(crate) async fn secrets(
        &self,
        project: &ProjectName,
        app: &AppName,
    ) -> Result<Vec<Secret>> {
        let key = (project.clone(), app.clone());
        let (kept, serving) = self
            .0
            .store
            .read(move |db| {
                Ok((
                    secrets::list(db, &key.0, &key.1)?,
                    apps::serving(db, &key.0, &key.1)?,
                ))
            })
            .await?;
        let used = |name: &str| {
            serving
                .as_ref()
                .is_some_and(|s| s.head.variables.contains_key(name))
        };
        let lines = kept.into_iter().map(|secret| Secret {
            used: used(&secret.name),
            name: secret.name,
            updated_us: secret.updated_us,
        });
        Ok(lines.collect())
    }

    /// Sets a value, before or after the app's first deploy.
    pub async fn set_secret(
        &self,
        project: &ProjectName,
        app: &AppName,
        name: &str,
        value: &str,
    ) -> Result<SecretChanged> {
        check_value(name, value)?;
        let sealed_name = variables::sealed_name(project, app, name);
        let kept = KeptSecret {
            name: name.to_owned(),
            sealed: self.0.seal.seal(&sealed_name, value.as_bytes())?,
            updated_us: gust_task::clock::unix_micros(),
        };
        let (p, a) = (project.clone(), app.clone());
        self.change_value(
            (project, app, name),
            |set| {
                set.insert(name.to_owned(), value.to_owned());
                Ok(())
            },
            move |db| secrets::set(db, &p, &a, &kept, MAX_VARIABLES),
        )
        .await
    }

    /// Forgets a value. Refused while the serving deployment requires it.
    pub async fn remove_secret(
        &self,
        project: &ProjectName,
        app: &AppName,
        name: &str,
    ) -> Result<SecretChanged> {
        validate::variable_name(name)?;
        let (p, a, n) = (project.clone(), app.clone(), name.to_owned());
        self.change_value(
            (project, app, name),
            |set| match set.remove(name) {
                Some(_) => Ok(()),
                None => Err(Error::not_found(format!("no value is set for: {name:?}"))),
            },
            move |db| secrets::remove(db, &p, &a, &n),
        )
        .await
    }

    /// Changes the values and, when the app serves and uses the variable, what it serves with.
    async fn change_value(
        &self,
        (project, app, name): (&ProjectName, &AppName, &str),
        change: impl FnOnce(&mut Values) -> Result<()>,
        write: impl FnOnce(&rusqlite::Transaction<'_>) -> StoreResult<()> + Send + 'static,
    ) -> Result<SecretChanged> {
        let _turn = self.0.locks.turn(project, app, PATIENCE).await?;
        let before = Before::read(self, project, app).await?;
        let mut set = before.set.clone();
        change(&mut set)?;
        let published = match &before.serving {
            Some(serving) if variables::is_used(serving, name) => {
                let head = variables::whole_head(&self.0.seal, serving)?;
                still_whole(&head.variables, &set, serving, name)?;
                let values = variables::effective(&head.variables, &set);
                let events = variables::with_values(&head.events, &values);
                self.0.parts.events.check(project, app, &events)?;
                let new = publish::of_stored(self, serving, &set)?;
                let old = before.deployment(self)?;
                publish::publish(self, new, old, write).await?;
                true
            }
            _ => {
                self.0.store.write(write).await?;
                false
            }
        };
        tracing::info!(%project, %app, name, published, "a value changed");
        Ok(SecretChanged {
            name: name.to_owned(),
            published,
        })
    }
}

/// Every template of the serving deployment can still be filled.
fn still_whole(
    declared: &std::collections::BTreeMap<String, gust_types::app::VariableSpec>,
    set: &Values,
    serving: &crate::store::rows::KeptDeployment,
    name: &str,
) -> Result<()> {
    let values = variables::effective(declared, set);
    validate::webhooks(&serving.head.events, declared, &values)?;
    for revision in &serving.revisions {
        validate::callbacks(&revision.spec, declared, &values)
            .map_err(|e| validate::within(&revision.function, e))?;
        for template in variables::templates(&revision.spec) {
            gust_types::template::expand(template, &values).map_err(|_| {
                Error::conflict(format!(
                    "function {} needs a value for: {name:?}",
                    revision.function
                ))
                .hint("set another value, or deploy an app that does not need it first")
            })?;
        }
        // A value may have made a pattern of a destination; it must stay one.
        variables::outbound(&revision.spec, &values)
            .map_err(|e| validate::within(&revision.function, e))?;
    }
    Ok(())
}

/// A name and a value as they may be.
pub(crate) fn check_value(name: &str, value: &str) -> Result<()> {
    validate::variable_name(name)?;
    if value.len() > MAX_VALUE {
        return Err(Error::invalid(format!(
            "the value of {name} is longer than {MAX_VALUE} bytes: {}",
            value.len()
        )));
    }
    Ok(())
}
