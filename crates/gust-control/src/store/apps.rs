//! Apps: what serves, what served before, and the one change that makes a deployment.

use std::collections::{BTreeMap, BTreeSet};

use gust_api::deploy::Change;
use gust_types::{AppName, Digest, Error, FunctionName, ProjectName};
use rusqlite::{Connection, OptionalExtension as _, Params, params};

use super::{
    StoreResult, projects,
    rows::{self, Head, KeptDeployment, KeptRevision, name, number, signed},
};

/// Which deployments to read.
#[derive(Debug, Clone)]
pub(crate) enum Which {
    /// All that serve, of every app.
    Serving,
    /// Those that serve in a project.
    ServingIn(ProjectName),
    /// The one that serves an app.
    ServingOf(ProjectName, AppName),
    /// All that are kept of an app.
    Kept(ProjectName, AppName),
}

/// A deployment to write.
pub(crate) struct NewDeployment {
    pub(crate) project: ProjectName,
    pub(crate) app: AppName,
    pub(crate) created_us: u64,
    pub(crate) change: Change,
    pub(crate) rolled_back_to: Option<u64>,
    pub(crate) head: Head,
    pub(crate) sealed: Option<Vec<u8>>,
    pub(crate) revisions: Vec<KeptRevision>,
    pub(crate) artifacts: BTreeSet<Digest>,
}

/// The numbers that come next.
#[derive(Debug, Default)]
pub(crate) struct Next {
    pub(crate) revisions: BTreeMap<FunctionName, u64>,
}

/// Reads deployments, by project, app and number.
pub(crate) fn read(db: &Connection, which: &Which) -> StoreResult<Vec<KeptDeployment>> {
    match which {
        Which::Serving => scan(db, "d.id = a.serving", []),
        Which::ServingIn(project) => {
            scan(db, "d.id = a.serving AND p.name = ?1", [project.as_str()])
        }
        Which::ServingOf(project, app) => scan(
            db,
            "d.id = a.serving AND p.name = ?1 AND a.name = ?2",
            [project.as_str(), app.as_str()],
        ),
        Which::Kept(project, app) => scan(
            db,
            "p.name = ?1 AND a.name = ?2",
            [project.as_str(), app.as_str()],
        ),
    }
}

/// The deployment that serves an app, if one does.
pub(crate) fn serving(
    db: &Connection,
    project: &ProjectName,
    app: &AppName,
) -> StoreResult<Option<KeptDeployment>> {
    projects::id(db, project)?;
    Ok(read(db, &Which::ServingOf(project.clone(), app.clone()))?.pop())
}

/// The same, where there must be one.
pub(crate) fn must_serve(
    db: &Connection,
    project: &ProjectName,
    app: &AppName,
) -> StoreResult<KeptDeployment> {
    serving(db, project, app)?.ok_or_else(|| no_app(project, app).into())
}

fn no_app(project: &ProjectName, app: &AppName) -> Error {
    Error::not_found(format!("no such app: {project}/{app}")).hint("list the apps with: gust ls")
}

/// Two scans in the same order, joined here: a deployment's head is read once, not once per function.
fn scan<P: Params + Clone>(
    db: &Connection,
    condition: &str,
    values: P,
) -> StoreResult<Vec<KeptDeployment>> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT d.id, p.name, a.name, d.number, d.created_us, d.change, d.rolled_back_to, d.head, d.sealed
         FROM apps a JOIN projects p ON p.id = a.project JOIN deployments d ON d.app = a.id
         WHERE {condition} ORDER BY d.id"
    ))?;
    let mut found: Vec<(i64, KeptDeployment)> = Vec::new();
    let mut heads = statement.query(values.clone())?;
    while let Some(row) = heads.next()? {
        let deployment = KeptDeployment {
            project: name(row, 1)?,
            app: name(row, 2)?,
            number: number(row, 3)?,
            created_us: number(row, 4)?,
            change: rows::change(row, 5)?,
            rolled_back_to: row
                .get::<_, Option<i64>>(6)?
                .and_then(|n| u64::try_from(n).ok()),
            head: rows::json(row, 7, "head")?,
            sealed: row.get(8)?,
            revisions: Vec::new(),
        };
        found.push((row.get(0)?, deployment));
    }
    let mut statement = db.prepare_cached(&format!(
        "SELECT d.id, f.name, r.number, r.artifact, r.contract, r.warnings, r.spec
         FROM apps a JOIN projects p ON p.id = a.project JOIN deployments d ON d.app = a.id
         JOIN deployment_revisions dr ON dr.deployment = d.id
         JOIN revisions r ON r.id = dr.revision JOIN functions f ON f.id = r.function
         WHERE {condition} ORDER BY d.id, f.name"
    ))?;
    let mut revisions = statement.query(values)?;
    let mut at = 0;
    while let Some(row) = revisions.next()? {
        let id: i64 = row.get(0)?;
        while found
            .get(at)
            .is_some_and(|(deployment, _)| *deployment < id)
        {
            at += 1;
        }
        if let Some((_, deployment)) = found.get_mut(at) {
            deployment.revisions.push(KeptRevision {
                function: name(row, 1)?,
                number: number(row, 2)?,
                artifact: name(row, 3)?,
                contract: row.get(4)?,
                warnings: rows::json(row, 5, "warnings")?,
                spec: rows::json(row, 6, "spec")?,
            });
        }
    }
    Ok(found
        .into_iter()
        .map(|(_, deployment)| deployment)
        .collect())
}

/// The numbers that the next revisions of an app's functions get; 1 where nothing is known.
pub(crate) fn next(db: &Connection, project: &ProjectName, app: &AppName) -> StoreResult<Next> {
    let mut statement = db.prepare_cached(
        "SELECT f.name, f.next_revision
         FROM functions f JOIN apps a ON a.id = f.app JOIN projects p ON p.id = a.project
         WHERE p.name = ?1 AND a.name = ?2",
    )?;
    let mut rows = statement.query(params![project.as_str(), app.as_str()])?;
    let mut next = Next::default();
    while let Some(row) = rows.next()? {
        next.revisions.insert(name(row, 0)?, number(row, 1)?);
    }
    Ok(next)
}

/// Writes a deployment, makes it the one that serves, and forgets all but the newest `keep`. Answers its number.
pub(crate) fn insert(db: &Connection, new: &NewDeployment, keep: usize) -> StoreResult<u64> {
    let project = projects::id(db, &new.project)?;
    db.prepare_cached("INSERT INTO apps (project, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![project, new.app.as_str()])?;
    let (app, number) = db
        .prepare_cached("SELECT id, next_deployment FROM apps WHERE project = ?1 AND name = ?2")?
        .query_row(params![project, new.app.as_str()], |row| {
            Ok((row.get::<_, i64>(0)?, number(row, 1)?))
        })?;
    db.prepare_cached(
        "INSERT INTO deployments (app, number, created_us, change, rolled_back_to, head, sealed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        app,
        signed(number),
        signed(new.created_us),
        new.change.as_str(),
        new.rolled_back_to.map(signed),
        rows::to_json(&new.head, "head")?,
        new.sealed,
    ])?;
    let deployment = db.last_insert_rowid();
    for revision in &new.revisions {
        let id = insert_revision(db, app, revision)?;
        db.prepare_cached(
            "INSERT INTO deployment_revisions (deployment, revision) VALUES (?1, ?2)",
        )?
        .execute(params![deployment, id])?;
    }
    for artifact in &new.artifacts {
        db.prepare_cached(
            "INSERT INTO deployment_artifacts (deployment, artifact) VALUES (?1, ?2)",
        )?
        .execute(params![deployment, artifact.to_string()])?;
    }
    db.prepare_cached("UPDATE apps SET serving = ?2, next_deployment = ?3 WHERE id = ?1")?
        .execute(params![app, deployment, signed(number + 1)])?;
    forget(db, app, keep)?;
    Ok(number)
}

/// The row of a revision, made when it is new.
fn insert_revision(db: &Connection, app: i64, revision: &KeptRevision) -> StoreResult<i64> {
    db.prepare_cached("INSERT INTO functions (app, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![app, revision.function.as_str()])?;
    let function: i64 = db
        .prepare_cached("SELECT id FROM functions WHERE app = ?1 AND name = ?2")?
        .query_row(params![app, revision.function.as_str()], |row| row.get(0))?;
    let known = db
        .prepare_cached("SELECT id FROM revisions WHERE function = ?1 AND number = ?2")?
        .query_row(params![function, signed(revision.number)], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    db.prepare_cached(
        "INSERT INTO revisions (function, number, artifact, contract, warnings, spec)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        function,
        signed(revision.number),
        revision.artifact.to_string(),
        revision.contract,
        rows::to_json(&revision.warnings, "warnings")?,
        rows::to_json(&revision.spec, "spec")?,
    ])?;
    let id = db.last_insert_rowid();
    db.prepare_cached("UPDATE functions SET next_revision = max(next_revision, ?2) WHERE id = ?1")?
        .execute(params![function, signed(revision.number + 1)])?;
    Ok(id)
}

/// Deletes all but the newest `keep` deployments, never the one that serves, and the revisions that are in none.
fn forget(db: &Connection, app: i64, keep: usize) -> StoreResult<()> {
    db.prepare_cached(
        "DELETE FROM deployments WHERE app = ?1
         AND id NOT IN (SELECT id FROM deployments WHERE app = ?1 ORDER BY number DESC LIMIT ?2)
         AND id IS NOT (SELECT serving FROM apps WHERE id = ?1)",
    )?
    .execute(params![app, i64::try_from(keep).unwrap_or(i64::MAX)])?;
    db.prepare_cached(
        "DELETE FROM revisions WHERE function IN (SELECT id FROM functions WHERE app = ?1)
         AND NOT EXISTS (SELECT 1 FROM deployment_revisions dr WHERE dr.revision = revisions.id)",
    )?
    .execute([app])?;
    Ok(())
}

/// Removes an app with its history and its values. Its numbers are kept.
pub(crate) fn remove(db: &Connection, project: &ProjectName, app: &AppName) -> StoreResult<()> {
    let id: Option<i64> = db
        .prepare_cached(
            "SELECT a.id FROM apps a JOIN projects p ON p.id = a.project
             WHERE p.name = ?1 AND a.name = ?2 AND a.serving IS NOT NULL",
        )?
        .query_row(params![project.as_str(), app.as_str()], |row| row.get(0))
        .optional()?;
    let Some(id) = id else {
        projects::id(db, project)?;
        return Err(no_app(project, app).into());
    };
    db.execute("UPDATE apps SET serving = NULL WHERE id = ?1", [id])?;
    forget(db, id, 0)?;
    db.execute(
        "DELETE FROM secrets WHERE app = ?2 AND project = (SELECT project FROM apps WHERE id = ?1)",
        params![id, app.as_str()],
    )?;
    Ok(())
}

/// Every artifact that some kept deployment needs.
pub(crate) fn artifacts(db: &Connection) -> StoreResult<BTreeSet<Digest>> {
    let mut statement = db.prepare_cached("SELECT DISTINCT artifact FROM deployment_artifacts")?;
    let mut rows = statement.query([])?;
    let mut found = BTreeSet::new();
    while let Some(row) = rows.next()? {
        found.insert(name(row, 0)?);
    }
    Ok(found)
}
