//! Access keys, their secrets sealed before they come here.

use gust_api::keys::AccessKey;
use gust_types::{Error, ProjectName};
use rusqlite::{Connection, params};

use super::{
    StoreResult, projects,
    rows::{name, number, signed},
};

/// A key as it is kept.
pub(crate) struct KeptKey {
    pub(crate) project: ProjectName,
    pub(crate) id: String,
    pub(crate) sealed: Vec<u8>,
}

/// Every key there is, for the node's start.
pub(crate) fn all(db: &Connection) -> StoreResult<Vec<KeptKey>> {
    let mut statement = db.prepare_cached(
        "SELECT p.name, k.id, k.sealed FROM access_keys k JOIN projects p ON p.id = k.project",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(KeptKey {
            project: name(row, 0)?,
            id: row.get(1)?,
            sealed: row.get(2)?,
        });
    }
    Ok(found)
}

pub(crate) fn list(db: &Connection, project: &ProjectName) -> StoreResult<Vec<AccessKey>> {
    let of = projects::id(db, project)?;
    let mut statement = db.prepare_cached(
        "SELECT id, note, created_us FROM access_keys WHERE project = ?1 ORDER BY created_us, id",
    )?;
    let mut rows = statement.query([of])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(AccessKey {
            id: row.get(0)?,
            note: row.get(1)?,
            created_us: number(row, 2)?,
        });
    }
    Ok(found)
}

pub(crate) fn add(
    db: &Connection,
    project: &ProjectName,
    key: &AccessKey,
    sealed: &[u8],
    most: usize,
) -> StoreResult<()> {
    let of = projects::id(db, project)?;
    let count: i64 = db
        .prepare_cached("SELECT count(*) FROM access_keys WHERE project = ?1")?
        .query_row([of], |row| row.get(0))?;
    if usize::try_from(count).unwrap_or(usize::MAX) >= most {
        return Err(Error::exhausted(format!(
            "a project has this many access keys at most: {most}"
        ))
        .hint("remove one that nobody uses any more")
        .into());
    }
    db.prepare_cached(
        "INSERT INTO access_keys (id, project, note, sealed, created_us) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        key.id,
        of,
        key.note,
        sealed,
        signed(key.created_us)
    ])?;
    Ok(())
}

pub(crate) fn remove(db: &Connection, project: &ProjectName, id: &str) -> StoreResult<()> {
    let of = projects::id(db, project)?;
    let gone = db.execute(
        "DELETE FROM access_keys WHERE project = ?1 AND id = ?2",
        params![of, id],
    )?;
    match gone {
        0 => Err(Error::not_found(format!("no such access key: {id}")).into()),
        _ => Ok(()),
    }
}
