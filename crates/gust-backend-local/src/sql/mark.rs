//! Transactions that belong to the platform, and the marks that they leave.
//!
//! A mark is a row of `_gust_units`, which guests can neither read nor change ([`super::guard`]). It is there exactly when
//! the transaction was committed.

use bytes::Bytes;
use gust_backend::sql::Mark;
use gust_types::{Blame, Error, Kind, Result};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault;

/// Marks forgotten in one commit because of their age.
const FORGOTTEN: i64 = 100;

/// Begins a transaction that writes: it waits for others that do.
pub(super) fn begin(connection: &Connection) -> Result<()> {
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(fault::of_statement)
}

/// Leaves a mark and commits. With an error the transaction is as it was, or gone.
pub(super) fn commit(connection: &Connection, mark: &Mark) -> Result<()> {
    write(connection, mark).map_err(|error| match fault::of_statement(error) {
        error if error.kind == Kind::Conflict => {
            let text = format!("a delivery was committed before: {}", mark.id);
            Error::new(Kind::Conflict, Blame::Function, text).because(error)
        }
        error => error,
    })?;
    connection
        .execute_batch("COMMIT")
        .map_err(fault::of_statement)
}

fn write(connection: &Connection, mark: &Mark) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS main._gust_units
             (id TEXT PRIMARY KEY NOT NULL, at INTEGER NOT NULL, intent BLOB NOT NULL);
         CREATE INDEX IF NOT EXISTS main._gust_units_at ON _gust_units (at);",
    )?;
    let mut forget = connection.prepare("DELETE FROM main._gust_units WHERE id = ?1")?;
    for id in &mark.forget {
        forget.execute([id])?;
    }
    connection.execute(
        "DELETE FROM main._gust_units WHERE rowid IN
             (SELECT rowid FROM main._gust_units WHERE at < ?1 ORDER BY at LIMIT ?2)",
        params![time(mark.forget_before_us), FORGOTTEN],
    )?;
    connection.execute(
        "INSERT INTO main._gust_units (id, at, intent) VALUES (?1, ?2, ?3)",
        params![mark.id, time(mark.at_us), &mark.intent[..]],
    )?;
    Ok(())
}

/// The intent of a mark, if there is one.
pub(super) fn find(connection: &Connection, id: &str) -> Result<Option<Bytes>> {
    let found = connection.query_row(
        "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = '_gust_units'",
        [],
        |_| Ok(()),
    );
    let Some(()) = found.optional().map_err(fault::of_statement)? else {
        return Ok(None);
    };
    let found = connection.query_row(
        "SELECT intent FROM main._gust_units WHERE id = ?1",
        [id],
        |row| row.get::<_, Vec<u8>>(0),
    );
    let found = found.optional().map_err(fault::of_statement)?;
    Ok(found.map(Bytes::from))
}

fn time(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}
