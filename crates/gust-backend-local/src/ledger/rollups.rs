//! The roll-ups in SQLite: by minute, hour and month, with the place in the journal up to which they go.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    time::Duration,
};

use gust_meter::{Month, Period, Totals, period};
use gust_types::{AppName, Error, FunctionKey, FunctionName, ProjectName, Result};
use rusqlite::{
    Connection, OpenFlags, Row, Statement, Transaction, params_from_iter, types::Value,
};

use super::{
    segment::Position,
    state::{Commit, Sums},
};
use crate::{disk, sql::fault::NO_SHARED_MEMORY};

/// How long minutes are kept, and hours. Months stay.
pub(super) const MINUTES_US: u64 = 35 * period::DAY_US;
pub(super) const HOURS_US: u64 = 400 * period::DAY_US;

const SECOND_US: u64 = 1_000_000;
const COLUMNS: usize = Totals::COLUMNS.len();

/// A table of roll-ups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Minute,
    Hour,
    Month,
}

/// The writing connection.
pub(super) struct Rollups {
    connection: Connection,
    functions: HashMap<FunctionKey, i64>,
}

/// Numbers kept beside the roll-ups, in the same transactions.
const SEGMENT: &str = "segment";
const OFFSET: &str = "offset";
/// Counts commits, to tell whether one that reported an error took place.
const GENERATION: &str = "generation";
/// Minutes before this (in seconds) are no longer all in the journal.
const FLOOR: &str = "floor";

// === impl Table ===

impl Table {
    pub(super) const ALL: [Table; 3] = [Table::Minute, Table::Hour, Table::Month];

    pub(super) fn name(self) -> &'static str {
        match self {
            Table::Minute => "minute",
            Table::Hour => "hour",
            Table::Month => "month",
        }
    }

    pub(super) fn period(self) -> Period {
        match self {
            Table::Minute => Period::Minute,
            Table::Hour => Period::Hour,
            Table::Month => Period::Month,
        }
    }
}

// === impl Rollups ===

impl Rollups {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path).map_err(|e| fault("open", e))?;
        prepare(&connection).map_err(|e| fault("open", e))?;
        Ok(Self {
            connection,
            functions: HashMap::new(),
        })
    }

    /// Up to where the journal is rolled up.
    pub(super) fn position(&self) -> Result<Position> {
        Ok(Position {
            segment: self.number(SEGMENT)?,
            offset: self.number(OFFSET)?,
        })
    }

    /// Before this, minutes and records cannot be compared.
    pub(super) fn floor_us(&self) -> Result<u64> {
        Ok(self.number(FLOOR)? * SECOND_US)
    }

    /// Totals of each project in a month.
    pub(super) fn month(&self, month: Month) -> Result<Vec<(ProjectName, Totals)>> {
        let mut projects: HashMap<ProjectName, Totals> = HashMap::new();
        let until_us = month.end_us();
        let see = |key: FunctionKey, _, totals: Totals| {
            projects.entry(key.project).or_default().add(&totals);
        };
        read(
            &self.connection,
            Table::Month,
            month.start_us(),
            until_us,
            None,
            see,
        )?;
        Ok(projects.into_iter().collect())
    }

    /// Writes the sums and the place, all or nothing; `publish` is run around the moment they become visible.
    pub(super) fn commit<G>(&mut self, commit: &Commit, publish: impl FnOnce() -> G) -> Result<G> {
        let generation = self.number(GENERATION)? + 1;
        let result = self.try_commit(commit, generation, publish);
        match result {
            Ok(guard) => Ok(guard),
            Err((error, guard)) => {
                // Names given in the transaction may be gone with it.
                self.functions.clear();
                match guard {
                    Some(guard) if self.number(GENERATION).is_ok_and(|g| g == generation) => {
                        Ok(guard)
                    }
                    _ => Err(fault("commit", error)),
                }
            }
        }
    }

    fn try_commit<G>(
        &mut self,
        commit: &Commit,
        generation: u64,
        publish: impl FnOnce() -> G,
    ) -> Result<G, (rusqlite::Error, Option<G>)> {
        let early = |error| (error, None);
        let transaction = self.connection.transaction().map_err(early)?;
        write(&transaction, &mut self.functions, commit, generation).map_err(early)?;
        let guard = publish();
        match transaction.commit() {
            Ok(()) => Ok(guard),
            Err(error) => Err((error, Some(guard))),
        }
    }

    /// Notes that records of minutes up to this one are about to go.
    pub(super) fn raise_floor(&self, until_us: u64) -> Result<()> {
        let floor = self.number(FLOOR)?.max(until_us / SECOND_US);
        set(&self.connection, FLOOR, floor).map_err(|e| fault("write", e))
    }

    /// Removes minutes and hours that are old enough.
    pub(super) fn expire(&self, now_us: u64) -> Result<()> {
        // A little more is kept than promised, so that a range never starts in what is being removed.
        for (table, kept_us) in [
            ("minute", MINUTES_US + period::DAY_US),
            ("hour", HOURS_US + 31 * period::DAY_US),
            ("coarse", MINUTES_US),
        ] {
            let sql = format!("DELETE FROM {table} WHERE at < ?1");
            let before = seconds(now_us.saturating_sub(kept_us));
            self.connection
                .execute(&sql, [before])
                .map_err(|e| fault("expire", e))?;
        }
        Ok(())
    }

    /// Hours whose minutes were put together.
    pub(super) fn coarse(&self) -> Result<BTreeSet<u64>> {
        let read = || -> rusqlite::Result<_> {
            let mut statement = self.connection.prepare("SELECT at FROM coarse")?;
            let hours = statement.query_map([], |row| row.get::<_, i64>(0))?;
            hours.map(|at| Ok(at? as u64 * SECOND_US)).collect()
        };
        read().map_err(|e| fault("read", e))
    }

    /// The minutes of a range.
    pub(super) fn minutes(
        &self,
        from_us: u64,
        see: impl FnMut(FunctionKey, u64, Totals),
    ) -> Result<()> {
        read(
            &self.connection,
            Table::Minute,
            from_us,
            u64::MAX,
            None,
            see,
        )
    }

    fn number(&self, name: &str) -> Result<u64> {
        number(&self.connection, name).map_err(|e| fault("read", e))
    }
}

/// A connection for questions: reads while the other writes.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "query_only", true)?;
        rusqlite::Result::Ok(connection)
    };
    open().map_err(|e| fault("open", e))
}

/// From now on, until the transaction's end, this connection sees what is committed at this moment.
pub(super) fn snapshot(connection: &mut Connection) -> Result<Transaction<'_>> {
    let transaction = connection.transaction().map_err(|e| fault("read", e))?;
    number(&transaction, GENERATION).map_err(|e| fault("read", e))?;
    Ok(transaction)
}

/// Whose roll-ups to read.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub(super) project: Option<ProjectName>,
    pub(super) app: Option<AppName>,
    pub(super) function: Option<FunctionName>,
}

/// Shows each roll-up of a table whose period starts in the range.
pub(super) fn read(
    connection: &Connection,
    table: Table,
    from_us: u64,
    until_us: u64,
    names: Option<&Names>,
    mut see: impl FnMut(FunctionKey, u64, Totals),
) -> Result<()> {
    let mut keys = HashMap::new();
    for (id, key) in functions(connection, names).map_err(|e| fault("read", e))? {
        keys.insert(id, key?);
    }
    let only = (keys.len() == 1)
        .then(|| keys.keys().copied().next())
        .flatten();
    let wanted = if only.is_some() {
        "AND function = ?3"
    } else {
        ""
    };
    let sql = format!(
        "SELECT at, function, {} FROM {} WHERE at >= ?1 AND at < ?2 {wanted}",
        Totals::COLUMNS.join(", "),
        table.name(),
    );
    // A period that starts within the last second of the range is in it.
    let mut range = vec![
        seconds(from_us),
        seconds(until_us.saturating_add(SECOND_US - 1)),
    ];
    range.extend(only);
    let run = || -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(range))?;
        while let Some(row) = rows.next()? {
            if let Some(key) = keys.get(&row.get(1)?) {
                see(
                    key.clone(),
                    row.get::<_, i64>(0)? as u64 * SECOND_US,
                    totals(row)?,
                );
            }
        }
        Ok(())
    };
    run().map_err(|e| fault("read", e))
}

fn functions(
    connection: &Connection,
    names: Option<&Names>,
) -> rusqlite::Result<Vec<(i64, Result<FunctionKey>)>> {
    let text = |name: Option<&str>| name.map_or(Value::Null, |n| Value::Text(n.to_owned()));
    let names = names.cloned().unwrap_or_default();
    let wanted = [
        text(names.project.as_ref().map(ProjectName::as_str)),
        text(names.app.as_ref().map(AppName::as_str)),
        text(names.function.as_ref().map(FunctionName::as_str)),
    ];
    let mut statement = connection.prepare_cached(
        "SELECT id, project, app, name FROM function
         WHERE (?1 IS NULL OR project = ?1) AND (?2 IS NULL OR app = ?2) AND (?3 IS NULL OR name = ?3)",
    )?;
    let rows = statement.query_map(params_from_iter(wanted), |row| Ok((row.get(0)?, key(row))))?;
    rows.collect()
}

fn key(row: &Row<'_>) -> Result<FunctionKey> {
    let name = |column| row.get::<_, String>(column).map_err(|e| fault("read", e));
    Ok(FunctionKey {
        project: ProjectName::new(name(1)?)?,
        app: AppName::new(name(2)?)?,
        function: FunctionName::new(name(3)?)?,
    })
}

fn totals(row: &Row<'_>) -> rusqlite::Result<Totals> {
    let mut columns = [0u64; COLUMNS];
    for (n, column) in columns.iter_mut().enumerate() {
        *column = row.get::<_, i64>(n + 2)?.unsigned_abs();
    }
    Ok(Totals::from_columns(columns))
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    connection.set_prepared_statement_cache_capacity(32);
    let mut sql = String::from(
        "CREATE TABLE IF NOT EXISTS number (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS coarse (at INTEGER PRIMARY KEY) STRICT;
         CREATE TABLE IF NOT EXISTS function (
             id INTEGER PRIMARY KEY, project TEXT NOT NULL, app TEXT NOT NULL, name TEXT NOT NULL,
             UNIQUE (project, app, name)) STRICT;",
    );
    for table in Table::ALL {
        let columns = Totals::COLUMNS.map(|column| format!("{column} INTEGER NOT NULL"));
        sql.push_str(&format!(
            "CREATE TABLE IF NOT EXISTS {} (at INTEGER NOT NULL, function INTEGER NOT NULL, {},
             PRIMARY KEY (at, function)) STRICT, WITHOUT ROWID;",
            table.name(),
            columns.join(", "),
        ));
    }
    connection.execute_batch(&sql)
}

fn write(
    transaction: &Transaction<'_>,
    functions: &mut HashMap<FunctionKey, i64>,
    commit: &Commit,
    generation: u64,
) -> rusqlite::Result<()> {
    for table in Table::ALL {
        let mut upsert = transaction.prepare_cached(&upsert(table))?;
        for ((id, at), totals) in sums(transaction, functions, &commit.sums, table)? {
            add(&mut upsert, at, id, &totals)?;
        }
    }
    for hour_us in &commit.coarse {
        let sql = "INSERT OR IGNORE INTO coarse (at) VALUES (?1)";
        transaction.execute(sql, [seconds(*hour_us)])?;
    }
    set(transaction, SEGMENT, commit.position.segment)?;
    set(transaction, OFFSET, commit.position.offset)?;
    set(transaction, GENERATION, generation)
}

/// The sums by function and period of one table.
fn sums(
    transaction: &Transaction<'_>,
    functions: &mut HashMap<FunctionKey, i64>,
    sums: &Sums,
    table: Table,
) -> rusqlite::Result<HashMap<(i64, i64), Totals>> {
    let mut grouped: HashMap<(i64, i64), Totals> = HashMap::new();
    for (key, totals) in sums {
        let id = match functions.get(&*key.function) {
            Some(id) => *id,
            None => {
                let id = function(transaction, &key.function)?;
                functions.insert((*key.function).clone(), id);
                id
            }
        };
        let at = seconds(table.period().start_of(key.minute_us));
        grouped.entry((id, at)).or_default().add(totals);
    }
    Ok(grouped)
}

fn function(transaction: &Transaction<'_>, key: &FunctionKey) -> rusqlite::Result<i64> {
    transaction
        .prepare_cached(
            "INSERT INTO function (project, app, name) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET name = name RETURNING id",
        )?
        .query_row(
            [
                key.project.as_str(),
                key.app.as_str(),
                key.function.as_str(),
            ],
            |row| row.get(0),
        )
}

fn upsert(table: Table) -> String {
    let name = table.name();
    let columns = Totals::COLUMNS;
    let places: Vec<_> = (1..=COLUMNS + 2).map(|n| format!("?{n}")).collect();
    let sums = columns.map(|column| format!("{column} = {name}.{column} + excluded.{column}"));
    format!(
        "INSERT INTO {name} (at, function, {}) VALUES ({}) ON CONFLICT DO UPDATE SET {}",
        columns.join(", "),
        places.join(", "),
        sums.join(", "),
    )
}

fn add(upsert: &mut Statement<'_>, at: i64, id: i64, totals: &Totals) -> rusqlite::Result<()> {
    let columns = totals.columns();
    let counts = columns
        .iter()
        .map(|n| i64::try_from(*n).unwrap_or(i64::MAX));
    upsert
        .execute(params_from_iter([at, id].into_iter().chain(counts)))
        .map(|_| ())
}

fn number(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("SELECT value FROM number WHERE name = ?1")?;
    let mut rows = statement.query([name])?;
    match rows.next()? {
        Some(row) => Ok(row.get::<_, i64>(0)?.unsigned_abs()),
        None => Ok(0),
    }
}

fn set(connection: &Connection, name: &str, value: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO number VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2")?
        .execute((name, i64::try_from(value).unwrap_or(i64::MAX)))
        .map(|_| ())
}

fn seconds(us: u64) -> i64 {
    (us / SECOND_US) as i64
}

fn fault(doing: &str, error: rusqlite::Error) -> Error {
    let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
    let extended = error.sqlite_error().map(|e| e.extended_code);
    if full || extended == Some(NO_SHARED_MEMORY) {
        return disk::full().because(error);
    }
    Error::internal(format!("ledger's roll-ups failed to {doing}")).because(error)
}
