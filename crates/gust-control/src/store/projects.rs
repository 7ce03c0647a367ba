//! Projects.

use gust_api::app::Project;
use gust_types::{Error, ProjectName};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    StoreResult,
    rows::{name, number, signed},
};

/// The row of a project.
pub(crate) fn id(db: &Connection, project: &ProjectName) -> StoreResult<i64> {
    db.prepare_cached("SELECT id FROM projects WHERE name = ?1")?
        .query_row([project.as_str()], |row| row.get(0))
        .optional()?
        .ok_or_else(|| {
            Error::not_found(format!("no such project: {project}"))
                .hint("list the projects, or make this one first")
                .into()
        })
}

pub(crate) fn list(db: &Connection) -> StoreResult<Vec<Project>> {
    let mut statement = db.prepare_cached(
        "SELECT p.name, p.created_us, count(a.serving)
         FROM projects p LEFT JOIN apps a ON a.project = p.id
         GROUP BY p.id ORDER BY p.name",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Project {
            name: name(row, 0)?,
            created_us: number(row, 1)?,
            apps: number(row, 2)?,
        });
    }
    Ok(found)
}

pub(crate) fn create(
    db: &Connection,
    project: &ProjectName,
    now_us: u64,
    most: usize,
) -> StoreResult<Project> {
    let count: i64 = db.query_row("SELECT count(*) FROM projects", [], |row| row.get(0))?;
    if usize::try_from(count).unwrap_or(usize::MAX) >= most {
        return Err(
            Error::exhausted(format!("a node has this many projects at most: {most}")).into(),
        );
    }
    let made = db.execute(
        "INSERT INTO projects (name, created_us) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![project.as_str(), signed(now_us)],
    )?;
    if made == 0 {
        return Err(Error::conflict(format!("the project exists already: {project}")).into());
    }
    Ok(Project {
        name: project.clone(),
        created_us: now_us,
        apps: 0,
    })
}

/// Only a project without apps goes, and with it its values and its budget.
pub(crate) fn remove(db: &Connection, project: &ProjectName) -> StoreResult<()> {
    if *project == ProjectName::default_project() {
        return Err(Error::denied("the project is always there: default").into());
    }
    let id = id(db, project)?;
    let apps: i64 = db.query_row(
        "SELECT count(serving) FROM apps WHERE project = ?1",
        [id],
        |row| row.get(0),
    )?;
    if apps > 0 {
        return Err(Error::conflict(format!("the project has apps: {project}"))
            .hint("remove its apps first")
            .into());
    }
    db.execute("DELETE FROM projects WHERE id = ?1", [id])?;
    Ok(())
}

/// Projects, apps and functions that are served.
pub(crate) fn counts(db: &Connection) -> StoreResult<gust_api::node::DeployedCounts> {
    let count = |sql: &str| -> StoreResult<u64> {
        Ok(db
            .prepare_cached(sql)?
            .query_row([], |row| number(row, 0))?)
    };
    Ok(gust_api::node::DeployedCounts {
        projects: count("SELECT count(*) FROM projects")?,
        apps: count("SELECT count(serving) FROM apps")?,
        functions: count(
            "SELECT count(*) FROM apps a JOIN deployment_revisions r ON r.deployment = a.serving",
        )?,
    })
}
