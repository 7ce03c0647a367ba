//! Changes of rows: SQLite itself writes them down, in the transaction that makes them.
//!
//! A database whose tables are watched has tables of the platform's own beside the guest's, and triggers on the watched ones
//! that write what changes into one of them. From there `feed.rs` moves it to the database's change stream. All of it is in
//! the database's file, so that a connection that knows nothing of it keeps to it, and so does a restart.
//!
//! | table | what it holds |
//! |---|---|
//! | `_gust_tables` | the names of the watched tables, in lower case; they need not be there yet |
//! | `_gust_stream` | one row: the name of this numbering of changes, a new one for each file that is watched anew |
//! | `_gust_changes` | the changes that the stream does not have yet, and always the one with the highest number |
//!
//! Guests cannot touch them (`guard.rs`). What has to stay true: the platform's triggers are those that [`rows`] makes of the
//! tables as they are now, and the last of the schema, so that SQLite runs them before a guest's, which may change the row
//! once more. So they are made anew after whatever changes the schema, in its transaction.
//!
//! - `rows.rs`: the text of the triggers.

pub(super) mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use gust_types::{Blame, Error, Kind, Result};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault;

/// What the names of the platform's own begin with.
const OURS: &str = "_gust_";
/// The table of changes.
pub(super) const CHANGES: &str = "_gust_changes";
/// Changes that wait for the stream before writes are refused.
pub(super) const WAITING: u64 = 100_000;
/// How a refusal begins that comes out of a trigger.
pub(super) const FULL: &str = "too many changes of watched tables wait for their stream";

const SCHEMA: &str = "
CREATE TABLE _gust_tables (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE _gust_stream (epoch TEXT NOT NULL);
CREATE TABLE _gust_changes (
    seq INTEGER PRIMARY KEY, at_ms INTEGER, tab TEXT, op TEXT NOT NULL, id TEXT, old TEXT, new TEXT
);";

const SAVEPOINT: &str = "_gust_schema";

/// Whether this is the name of something of the platform's own.
pub(super) fn is_ours(name: &str) -> bool {
    let start = name.as_bytes().get(..OURS.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(OURS.as_bytes()))
}

/// Whether any table of this database is watched.
pub(super) fn is_watched(connection: &Connection) -> Result<bool> {
    let found = connection
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = '_gust_changes'")
        .and_then(|mut statement| statement.exists([]));
    found.map_err(fault::of_statement)
}

/// What a statement may do that concerns the platform's triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touches {
    /// Changes the schema; with `rest`, of what is there already.
    Schema {
        rest: bool,
    },
    /// Replaces rows, and with them deletes others, which SQLite tells triggers of only when it is asked to.
    Replaces,
    Nothing,
}

// === impl Touches ===

impl Touches {
    /// What this statement may do.
    pub(super) fn of(statement: &str) -> Self {
        let start = super::worker::skip(statement);
        let word: String = start
            .chars()
            .take_while(char::is_ascii_alphabetic)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        match &*word {
            "create" => Self::Schema { rest: false },
            "alter" | "drop" => Self::Schema { rest: true },
            "select" => Self::Nothing,
            _ if contains(statement, "replace") => Self::Replaces,
            _ => Self::Nothing,
        }
    }
}

/// Refuses a name of the platform's own where the authorizer does not see it.
pub(super) fn check_rename(statement: &str) -> Result<()> {
    if matches!(Touches::of(statement), Touches::Schema { rest: true }) && contains(statement, OURS)
    {
        let text = "sql: names that begin with _gust_ are the platform's";
        return Err(Error::new(Kind::Denied, Blame::Function, text));
    }
    Ok(())
}

/// Watches these tables; with `exactly`, no others. All of it or nothing.
pub(super) fn watch(connection: &Connection, tables: &[String], exactly: bool) -> Result<()> {
    let undo = begin(connection, "BEGIN IMMEDIATE")?;
    let watched = is_watched(connection)?;
    if tables.is_empty() && (!watched || !exactly) {
        return Ok(());
    }
    if exactly && tables.is_empty() {
        run(
            connection,
            "DROP TABLE _gust_changes; DROP TABLE _gust_stream; DROP TABLE _gust_tables",
        )?;
        drop_triggers(connection)?;
        return undo.keep("COMMIT");
    }
    if !watched {
        run(connection, SCHEMA)?;
        let epoch = format!("{:016x}", gust_task::ids::random_u64());
        let insert = "INSERT INTO _gust_stream VALUES (?1)";
        connection
            .execute(insert, [epoch])
            .map_err(fault::of_statement)?;
    }
    let wanted: BTreeSet<String> = tables.iter().map(|table| folded(table)).collect();
    for table in watched_tables(connection)? {
        if exactly && !wanted.contains(&table) {
            let delete = "DELETE FROM _gust_tables WHERE name = ?1";
            connection
                .execute(delete, [table])
                .map_err(fault::of_statement)?;
        }
    }
    for table in wanted {
        let insert = "INSERT OR IGNORE INTO _gust_tables VALUES (?1)";
        connection
            .execute(insert, [table])
            .map_err(fault::of_statement)?;
    }
    arrange(connection)?;
    undo.keep("COMMIT")
}

/// A name as it is compared: SQLite folds ASCII and nothing else.
pub(super) fn folded(table: &str) -> String {
    table.to_ascii_lowercase()
}

/// Runs what changes the schema, with the platform's triggers out of its way and made anew afterwards. All of it or nothing.
pub(super) fn around<T>(
    connection: &Connection,
    rest: bool,
    change: impl FnOnce() -> Result<T>,
    ours: impl Fn(bool),
) -> Result<T> {
    ours(true);
    let undo = begin(connection, &format!("SAVEPOINT {SAVEPOINT}"));
    let prepared = undo.and_then(|undo| {
        if rest {
            drop_triggers(connection)?;
        }
        Ok(undo)
    });
    ours(false);
    let undo = prepared?;
    let done = change();
    ours(true);
    let kept = done.and_then(|done| {
        arrange(connection)?;
        undo.keep(&format!("RELEASE {SAVEPOINT}"))?;
        Ok(done)
    });
    ours(false);
    kept
}

/// Makes the platform's triggers what they have to be.
fn arrange(connection: &Connection) -> Result<()> {
    let mut wanted = Vec::new();
    for table in watched_tables(connection)? {
        wanted.extend(rows::triggers(connection, &table)?);
    }
    rows::check_triggers(connection)?;
    let there = triggers(connection)?;
    let ours = there.iter().filter(|(name, _)| is_ours(name)).count();
    if ours == wanted.len() && there.ends_with(&wanted) {
        return Ok(());
    }
    drop_triggers(connection)?;
    for (_, text) in wanted {
        run(connection, &text)?;
    }
    Ok(())
}

fn watched_tables(connection: &Connection) -> Result<Vec<String>> {
    let read = || {
        let mut statement = connection.prepare("SELECT name FROM _gust_tables ORDER BY name")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(fault::of_statement)
}

/// Names and texts of all triggers, in the order of the schema.
fn triggers(connection: &Connection) -> Result<Vec<(String, String)>> {
    let read = || {
        let text = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid";
        let mut statement = connection.prepare(text)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(fault::of_statement)
}

fn drop_triggers(connection: &Connection) -> Result<()> {
    for (name, _) in triggers(connection)? {
        if is_ours(&name) {
            run(connection, &format!("DROP TRIGGER {}", rows::quoted(&name)))?;
        }
    }
    Ok(())
}

/// Turns on, for as long as `write` runs, that triggers are told of the rows that a REPLACE deletes.
pub(super) fn told_of_replaced<T>(
    connection: &Connection,
    write: impl FnOnce() -> Result<T>,
    ours: impl Fn(bool),
) -> Result<T> {
    let set = |on: bool| {
        ours(true);
        let set = connection.pragma_update(None, "recursive_triggers", on);
        ours(false);
        set.map_err(fault::of_statement)
    };
    let is_on: bool = connection
        .query_row("PRAGMA recursive_triggers", [], |row| row.get(0))
        .map_err(fault::of_statement)?;
    if is_on {
        return write();
    }
    set(true)?;
    let done = write();
    set(false)?;
    done
}

/// The name of this numbering; `None` when nothing is watched.
pub(super) fn epoch(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let there = connection.query_row(
        "SELECT 1 FROM sqlite_schema WHERE name = '_gust_stream'",
        [],
        |_| Ok(()),
    );
    if there.optional()?.is_none() {
        return Ok(None);
    }
    let read = connection.query_row("SELECT epoch FROM _gust_stream", [], |row| row.get(0));
    read.optional()
}

/// Forgets the changes up to this one, and of this one all but its number: the next has to be higher.
pub(super) fn forget(connection: &Connection, upto: i64) -> rusqlite::Result<()> {
    let undo = connection.unchecked_transaction()?;
    let delete = "DELETE FROM _gust_changes WHERE seq < ?1";
    connection.execute(delete, params![upto])?;
    let empty =
        "UPDATE _gust_changes SET op = '', id = NULL, old = NULL, new = NULL WHERE seq = ?1";
    connection.execute(empty, params![upto])?;
    undo.commit()
}

fn run(connection: &Connection, text: &str) -> Result<()> {
    connection.execute_batch(text).map_err(fault::of_statement)
}

fn contains(text: &str, lower: &str) -> bool {
    let (text, lower) = (text.as_bytes(), lower.as_bytes());
    text.windows(lower.len())
        .any(|part| part.eq_ignore_ascii_case(lower))
}

/// What was begun, and is undone unless it is kept.
struct Undo<'a> {
    connection: &'a Connection,
    text: &'static str,
    kept: bool,
}

fn begin<'a>(connection: &'a Connection, how: &str) -> Result<Undo<'a>> {
    run(connection, how)?;
    let text = match how.starts_with("SAVEPOINT") {
        true => "ROLLBACK TO _gust_schema; RELEASE _gust_schema",
        false => "ROLLBACK",
    };
    Ok(Undo {
        connection,
        text,
        kept: false,
    })
}

impl Undo<'_> {
    fn keep(mut self, how: &str) -> Result<()> {
        run(self.connection, how)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if !self.kept
            && !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch(self.text)
        {
            tracing::debug!(%error, "nothing is left to undo");
        }
    }
}
