//! Values of variables, sealed before they come here.

use gust_types::{AppName, Error, ProjectName};
use rusqlite::{Connection, params};

use super::{
    StoreResult, projects,
    rows::{KeptSecret, name, number, signed},
};

pub(crate) fn list(
    db: &Connection,
    project: &ProjectName,
    app: &AppName,
) -> StoreResult<Vec<KeptSecret>> {
    let id = projects::id(db, project)?;
    let mut statement = db.prepare_cached(
        "SELECT name, sealed, updated_us FROM secrets WHERE project = ?1 AND app = ?2 ORDER BY name",
    )?;
    let mut rows = statement.query(params![id, app.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(KeptSecret {
            name: row.get(0)?,
            sealed: row.get(1)?,
            updated_us: number(row, 2)?,
        });
    }
    Ok(found)
}

/// Every value there is, for the node's start.
pub(crate) fn all(db: &Connection) -> StoreResult<Vec<(ProjectName, AppName, KeptSecret)>> {
    let mut statement = db.prepare_cached(
        "SELECT p.name, s.app, s.name, s.sealed, s.updated_us
         FROM secrets s JOIN projects p ON p.id = s.project",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let secret = KeptSecret {
            name: row.get(2)?,
            sealed: row.get(3)?,
            updated_us: number(row, 4)?,
        };
        found.push((name(row, 0)?, name(row, 1)?, secret));
    }
    Ok(found)
}

pub(crate) fn set(
    db: &Connection,
    project: &ProjectName,
    app: &AppName,
    secret: &KeptSecret,
    most: usize,
) -> StoreResult<()> {
    let id = projects::id(db, project)?;
    db.prepare_cached(
        "INSERT INTO secrets (project, app, name, sealed, updated_us) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET sealed = excluded.sealed, updated_us = excluded.updated_us",
    )?
    .execute(params![
        id,
        app.as_str(),
        secret.name,
        secret.sealed,
        signed(secret.updated_us)
    ])?;
    let count: i64 = db
        .prepare_cached("SELECT count(*) FROM secrets WHERE project = ?1 AND app = ?2")?
        .query_row(params![id, app.as_str()], |row| row.get(0))?;
    if usize::try_from(count).unwrap_or(usize::MAX) > most {
        return Err(
            Error::exhausted(format!("an app has this many values at most: {most}")).into(),
        );
    }
    Ok(())
}

pub(crate) fn remove(
    db: &Connection,
    project: &ProjectName,
    app: &AppName,
    name: &str,
) -> StoreResult<()> {
    let id = projects::id(db, project)?;
    let gone = db.execute(
        "DELETE FROM secrets WHERE project = ?1 AND app = ?2 AND name = ?3",
        params![id, app.as_str(), name],
    )?;
    if gone == 0 {
        return Err(Error::not_found(format!("no value is set for: {name:?}")).into());
    }
    Ok(())
}
