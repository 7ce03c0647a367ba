//! Budgets.

use gust_meter::{Budget, Money};
use gust_types::ProjectName;
use rusqlite::{Connection, params};

use super::{
    StoreResult, projects,
    rows::{name, number, signed},
};

pub(crate) fn all(db: &Connection) -> StoreResult<Vec<(ProjectName, Budget)>> {
    let mut statement = db.prepare_cached(
        "SELECT p.name, b.monthly_nanos, b.warn_percent
         FROM budgets b JOIN projects p ON p.id = b.project ORDER BY p.name",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let budget = Budget {
            monthly: Money::from_nanos(number(row, 1)?),
            warn_percent: row.get(2)?,
        };
        found.push((name(row, 0)?, budget));
    }
    Ok(found)
}

/// `None` lifts it.
pub(crate) fn set(
    db: &Connection,
    project: &ProjectName,
    budget: Option<Budget>,
) -> StoreResult<()> {
    let id = projects::id(db, project)?;
    match budget {
        Some(budget) => db.execute(
            "INSERT INTO budgets (project, monthly_nanos, warn_percent) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET monthly_nanos = excluded.monthly_nanos, warn_percent = excluded.warn_percent",
            params![id, signed(budget.monthly.nanos()), budget.warn_percent],
        )?,
        None => db.execute("DELETE FROM budgets WHERE project = ?1", [id])?,
    };
    Ok(())
}
