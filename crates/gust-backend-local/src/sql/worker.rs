//! The thread that owns a connection: SQLite blocks, so it has a thread to itself for as long as it is open.
//!
//! A borrower sends jobs and reads rows. When the borrower is gone (its sender is dropped), the thread rolls back what is
//! open and puts itself back into the pool, or ends when the connection is no longer as it was.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use gust_backend::sql::{Effect, Mark, Rows, SqlLimits, Value};
use gust_types::{Blame, Error, Kind, Result};
use parking_lot::Mutex;
use rusqlite::{
    Connection,
    hooks::{Action, Authorization},
    types::{ToSqlOutput, ValueRef},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    changes::{self, Touches},
    fault, guard, mark,
    pool::{DatabaseKey, Pool},
    rows::{Reader, Run, size},
};

/// Work for a connection's thread.
pub(super) enum Job {
    /// A new borrower; open the database if it is not.
    Begin {
        permit: tokio::sync::OwnedSemaphorePermit,
        ready: oneshot::Sender<Result<()>>,
    },
    Execute {
        statement: String,
        parameters: Vec<Value>,
        run: Arc<Run>,
        head: oneshot::Sender<Result<Rows>>,
    },
    Effect {
        answer: oneshot::Sender<Effect>,
    },
    /// What is the platform's own to do, see `mark.rs`.
    Own {
        run: Arc<Run>,
        task: Box<OwnTask>,
        answer: oneshot::Sender<Result<Option<Bytes>>>,
    },
    /// Tell of changes in these tables.
    Watch {
        tables: Vec<String>,
        exactly: bool,
        answer: oneshot::Sender<Result<()>>,
    },
}

/// Something that the platform does on a connection for itself.
pub(super) enum OwnTask {
    /// Begins a transaction which the borrower cannot end.
    Begin,
    /// Leaves a mark in it and commits.
    Commit(Mark),
    /// Looks for a mark.
    Find(String),
}

/// Jobs that may wait for one connection.
pub(super) const JOBS: usize = 8;

/// SQLite's steps between two looks at the clock: some tens of microseconds.
const STEPS: i32 = 1000;

/// A savepoint around a write that returns rows, so that it can be undone when they are too many.
const SAVEPOINT: &str = "gust_returning";

pub(super) struct Worker {
    pub(super) pool: Arc<Pool>,
    pub(super) key: DatabaseKey,
    pub(super) path: PathBuf,
    pub(super) limits: SqlLimits,
    open: Option<Open>,
    permit: Option<tokio::sync::OwnedSemaphorePermit>,
}

/// An open connection with what its hooks share with the thread.
struct Open {
    connection: Connection,
    shared: Arc<Shared>,
    effect: Effect,
}

#[derive(Default)]
struct Shared {
    /// The statement that is running.
    run: Mutex<Option<Arc<Run>>>,
    /// The connection is no longer as it was when it was opened.
    marked: AtomicBool,
    /// Something was made: it may be in the connection alone.
    made: AtomicBool,
    /// A row was inserted.
    inserted: AtomicBool,
    /// The statement wanted something that is denied.
    denied: AtomicBool,
    /// It wanted to begin or end a transaction that is not its own.
    ending: AtomicBool,
    /// What runs is the platform's own.
    ours: AtomicBool,
    /// The borrower is inside a transaction of the platform's.
    within: AtomicBool,
    /// A change of a watched table was written down.
    told: AtomicBool,
}

// === impl Worker ===

impl Worker {
    pub(super) fn new(pool: Arc<Pool>, key: DatabaseKey, path: PathBuf, limits: SqlLimits) -> Self {
        Self {
            pool,
            key,
            path,
            limits,
            open: None,
            permit: None,
        }
    }

    /// Serves one borrower after the other, until the pool has no use for the connection.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            while let Some(job) = jobs.blocking_recv() {
                self.serve(job);
            }
            let clean = self.permit.is_some() && self.clean();
            let permit = self.permit.take();
            let (sender, receiver) = mpsc::channel(JOBS);
            if !clean || !self.pool.put_back(self.key.clone(), sender) {
                return;
            }
            drop(permit);
            jobs = receiver;
        }
    }

    fn serve(&mut self, job: Job) {
        match job {
            Job::Begin { permit, ready } => {
                self.permit = Some(permit);
                let opened = match self.open {
                    Some(_) => Ok(()),
                    None => self.open(),
                };
                let _ = ready.send(opened);
            }
            Job::Execute {
                statement,
                parameters,
                run,
                head,
            } => self.execute(&statement, parameters, &run, head),
            Job::Own { run, task, answer } => {
                let done = self.own(&run, *task);
                let _ = answer.send(done);
            }
            Job::Effect { answer } => {
                let effect = self.open.as_ref().map(|open| open.effect);
                let _ = answer.send(effect.unwrap_or_default());
            }
            Job::Watch {
                tables,
                exactly,
                answer,
            } => {
                let _ = answer.send(self.watch(&tables, exactly));
            }
        }
    }

    fn open(&mut self) -> Result<()> {
        if let Some(folder) = self.path.parent() {
            crate::disk::make_folder(folder)?;
        }
        self.pool.disk().check(0).or_else(|full| {
            // An existing database can be read however full the disk is.
            if self.path.exists() {
                Ok(())
            } else {
                Err(full)
            }
        })?;
        self.open = Some(Open::new(&self.path, &self.limits).map_err(fault::of_opening)?);
        Ok(())
    }

    fn watch(&mut self, tables: &[String], exactly: bool) -> Result<()> {
        let open = self.open.as_ref();
        let open = open.ok_or_else(|| Error::internal("sql: connection is not open"))?;
        let run = Run::new();
        run.start(self.limits.time);
        *open.shared.run.lock() = Some(run);
        open.ours(true);
        let watched = changes::watch(&open.connection, tables, exactly);
        open.ours(false);
        *open.shared.run.lock() = None;
        // Also when nothing has changed: there may be changes from before a restart.
        self.pool.feeder().wake(&self.key);
        watched
    }

    fn execute(
        &mut self,
        statement: &str,
        parameters: Vec<Value>,
        run: &Arc<Run>,
        head: oneshot::Sender<Result<Rows>>,
    ) {
        let Some(open) = self.open.as_mut() else {
            let _ = head.send(Err(Error::internal("sql: connection is not open")));
            return;
        };
        if let Err(over) = open.still_within() {
            let _ = head.send(Err(over));
            return;
        }
        run.start(self.limits.time);
        *open.shared.run.lock() = Some(run.clone());
        open.shared.denied.store(false, Relaxed);
        open.shared.ending.store(false, Relaxed);
        let mut task = Task {
            run,
            limits: &self.limits,
            head: Some(head),
            bytes: 0,
        };
        let before = open.connection.total_changes();
        let result = open.around(statement, || {
            task.perform(&open.connection, statement, parameters, || {
                self.pool.disk().check(0)
            })
        });
        *open.shared.run.lock() = None;
        open.count(before);
        if open.connection.is_autocommit() && open.shared.told.swap(false, Relaxed) {
            self.pool.feeder().wake(&self.key);
        }
        let result = result.map_err(|error| open.explain(error, &self.limits));
        task.finish(result);
    }

    fn own(&mut self, run: &Arc<Run>, task: OwnTask) -> Result<Option<Bytes>> {
        let Some(open) = self.open.as_mut() else {
            return Err(Error::internal("sql: connection is not open"));
        };
        run.start(self.limits.time);
        *open.shared.run.lock() = Some(run.clone());
        open.ours(true);
        let done = match task {
            OwnTask::Begin => open.begin().map(|()| None),
            OwnTask::Commit(mark) => self
                .pool
                .disk()
                .check(mark.intent.len() as u64)
                .and_then(|()| open.commit(&mark))
                .map(|()| None),
            OwnTask::Find(id) => mark::find(&open.connection, &id),
        };
        open.ours(false);
        *open.shared.run.lock() = None;
        if open.connection.is_autocommit() && open.shared.told.swap(false, Relaxed) {
            self.pool.feeder().wake(&self.key);
        }
        done.map_err(|error| open.explain(error, &self.limits))
    }

    /// Makes the connection as good as new; false when it has to be closed.
    fn clean(&mut self) -> bool {
        let Some(open) = self.open.as_mut() else {
            return false;
        };
        if !open.connection.is_autocommit()
            && open.connection.execute_batch("ROLLBACK").is_err()
            && !open.connection.is_autocommit()
        {
            return false;
        }
        open.leave();
        open.effect = Effect::default();
        open.shared.inserted.store(false, Relaxed);
        open.shared.told.store(false, Relaxed);
        // `CREATE TABLE temp.t` says nothing of TEMP to the authorizer, and would be the next borrower's.
        let made = open.shared.made.swap(false, Relaxed);
        let marked = open.shared.marked.load(Relaxed);
        !marked && (!made || !guard::has_temporary(&open.connection))
    }
}

// === impl Open ===

impl Open {
    fn new(path: &std::path::Path, limits: &SqlLimits) -> rusqlite::Result<Self> {
        let mut connection = guard::open(path)?;
        let shared = Arc::new(Shared::default());
        let time = limits.time;
        connection.busy_handler(Some({
            let shared = shared.clone();
            move |tries| shared.wait_for_lock(tries, time)
        }))?;
        guard::set_up(&connection, limits)?;
        connection.progress_handler(
            STEPS,
            Some({
                let shared = shared.clone();
                move || shared.must_stop()
            }),
        )?;
        connection.update_hook(Some({
            let shared = shared.clone();
            move |action, _: &str, table: &str, _| {
                if table == changes::CHANGES {
                    shared.told.store(true, Relaxed);
                } else if action == Action::SQLITE_INSERT {
                    shared.inserted.store(true, Relaxed);
                }
            }
        }))?;
        connection.authorizer(Some({
            let shared = shared.clone();
            move |context: rusqlite::hooks::AuthContext<'_>| {
                if shared.ours.load(Relaxed) {
                    return Authorization::Allow;
                }
                let (said, marked) = guard::authorize(&context);
                if guard::makes(&context.action) {
                    shared.made.store(true, Relaxed);
                }
                if said == Authorization::Deny {
                    shared.denied.store(true, Relaxed);
                }
                if shared.within.load(Relaxed) && guard::is_transaction(&context) {
                    shared.ending.store(true, Relaxed);
                    return Authorization::Deny;
                }
                if marked {
                    shared.marked.store(true, Relaxed);
                }
                said
            }
        }))?;
        Ok(Self {
            connection,
            shared,
            effect: Effect::default(),
        })
    }

    /// Statements that were compiled outside may be such as are denied inside, so none of them is kept.
    fn begin(&mut self) -> Result<()> {
        self.connection.flush_prepared_statement_cache();
        mark::begin(&self.connection)?;
        self.shared.within.store(true, Relaxed);
        Ok(())
    }

    fn commit(&mut self, mark: &Mark) -> Result<()> {
        self.still_within()?;
        mark::commit(&self.connection, mark)?;
        self.leave();
        Ok(())
    }

    fn leave(&mut self) {
        if self.shared.within.swap(false, Relaxed) {
            self.connection.flush_prepared_statement_cache();
        }
    }

    /// A statement inside a transaction of the platform's must never run outside of it.
    fn still_within(&self) -> Result<()> {
        if self.shared.within.load(Relaxed) && self.connection.is_autocommit() {
            return Err(fault::rolled_back());
        }
        Ok(())
    }

    /// Whether what runs from now on is the platform's own.
    fn ours(&self, ours: bool) {
        self.shared.ours.store(ours, Relaxed);
    }

    /// Runs a guest's statement so that nothing is missed of what watched tables have to tell.
    fn around<T>(&self, statement: &str, perform: impl FnOnce() -> Result<T>) -> Result<T> {
        changes::check_rename(statement)?;
        let (touches, connection) = (Touches::of(statement), &self.connection);
        if touches == Touches::Nothing || !changes::is_watched(connection)? {
            return perform();
        }
        let ours = |on| self.ours(on);
        match touches {
            Touches::Schema { rest } => changes::around(connection, rest, perform, ours),
            _ => changes::told_of_replaced(connection, perform, ours),
        }
    }

    fn count(&mut self, total_before: u64) {
        // A write that met no row leaves 0 there; anything else that changed nothing leaves what was there before, which may
        // be of whoever had the connection last.
        let changes = self.connection.changes();
        if self.connection.total_changes() != total_before || changes == 0 {
            self.effect.changes = changes;
        }
        if self.shared.inserted.load(Relaxed) {
            self.effect.last_insert_rowid = self.connection.last_insert_rowid();
        }
    }

    /// SQLite has one code for a disk that is full and a database as large as it may be, and not always one of its own
    /// for what is denied.
    fn explain(&self, mut error: Error, limits: &SqlLimits) -> Error {
        if self.shared.ending.load(Relaxed) && matches!(error.kind, Kind::Invalid | Kind::Denied) {
            return fault::not_yours();
        }
        if error.kind == Kind::Invalid && self.shared.denied.load(Relaxed) {
            error.kind = Kind::Denied;
        }
        let disk = error.kind == Kind::Exhausted && error.blame == Blame::Platform;
        if disk && guard::is_full(&self.connection, limits) {
            let text = format!("sql: database has more bytes than {}", limits.database);
            return Error::new(Kind::Exhausted, Blame::Function, text).hint("delete some rows");
        }
        error
    }
}

// === impl Shared ===

impl Shared {
    fn must_stop(&self) -> bool {
        self.run.lock().as_ref().is_some_and(|run| run.must_stop())
    }

    /// Called by SQLite while another connection holds the lock. A short even wait: whoever waits longest is not the one
    /// that sleeps longest.
    fn wait_for_lock(&self, tries: i32, time: Duration) -> bool {
        const NAP: Duration = Duration::from_millis(1);
        let in_time = NAP * tries.unsigned_abs() < time;
        if self.must_stop() || !in_time {
            return false;
        }
        std::thread::sleep(NAP);
        true
    }
}

/// One statement being run.
struct Task<'a> {
    run: &'a Arc<Run>,
    limits: &'a SqlLimits,
    /// Still to be answered.
    head: Option<oneshot::Sender<Result<Rows>>>,
    bytes: usize,
}

impl Task<'_> {
    fn perform(
        &mut self,
        connection: &Connection,
        text: &str,
        parameters: Vec<Value>,
        room: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let mut statement = connection
            .prepare_cached(text)
            .map_err(fault::of_statement)?;
        bind(&mut statement, parameters, text)?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        if statement.readonly() {
            return self.read(statement.raw_query(), columns);
        }
        room()?;
        if columns.is_empty() {
            return self.drain(statement.raw_query(), 0);
        }
        // The answer says "durable", so a write is run to its end before it is given.
        self.run.hurry();
        let undo = Undo::new(connection)?;
        let width = columns.len();
        self.drain(statement.raw_query(), width)?;
        drop(statement);
        undo.keep()?;
        self.answer(columns);
        Ok(())
    }

    /// Answers with the first row in hand, then streams.
    fn read(&mut self, mut rows: rusqlite::Rows<'_>, columns: Vec<String>) -> Result<()> {
        let width = columns.len();
        let mut columns = Some(columns);
        while let Some(row) = rows.next().map_err(fault::of_statement)? {
            if self.run.is_cancelled() {
                return Ok(());
            }
            let row = self.row(row, width)?;
            if let Some(columns) = columns.take() {
                self.answer(columns);
            }
            self.run.push(row, self.limits.time)?;
        }
        if let Some(columns) = columns.take() {
            self.answer(columns);
        }
        Ok(())
    }

    /// Runs to the end, keeping the rows.
    fn drain(&mut self, mut rows: rusqlite::Rows<'_>, width: usize) -> Result<()> {
        while let Some(row) = rows.next().map_err(fault::of_statement)? {
            let row = self.row(row, width)?;
            self.run.push(row, self.limits.time)?;
        }
        Ok(())
    }

    fn row(&mut self, row: &rusqlite::Row<'_>, width: usize) -> Result<Vec<Value>> {
        let mut values = Vec::with_capacity(width);
        for column in 0..width {
            let value = row.get_ref(column).map_err(fault::of_statement)?;
            values.push(read(value, column)?);
        }
        self.bytes += size(&values);
        if self.bytes > self.limits.result {
            return Err(fault::too_many_bytes(self.limits.result));
        }
        Ok(values)
    }

    fn answer(&mut self, columns: Vec<String>) {
        let Some(head) = self.head.take() else {
            return;
        };
        let rows = Box::pin(Reader(self.run.clone()));
        // A caller that has gone drops the reader with the answer, which cancels the run.
        let _ = head.send(Ok(Rows { columns, rows }));
    }

    /// Tells the caller, if it has no answer yet, or else the reader.
    fn finish(mut self, result: Result<()>) {
        match result {
            Ok(()) => {
                self.run.end(Ok(()));
                self.answer(Vec::new());
            }
            Err(error) => match self.head.take() {
                Some(head) => {
                    let _ = head.send(Err(error));
                }
                None => self.run.end(Err(error)),
            },
        }
    }
}

/// A savepoint that is rolled back unless it is kept.
struct Undo<'a> {
    connection: &'a Connection,
    kept: bool,
}

impl<'a> Undo<'a> {
    fn new(connection: &'a Connection) -> Result<Self> {
        connection
            .execute_batch(&format!("SAVEPOINT {SAVEPOINT}"))
            .map_err(fault::of_statement)?;
        Ok(Self {
            connection,
            kept: false,
        })
    }

    fn keep(mut self) -> Result<()> {
        self.connection
            .execute_batch(&format!("RELEASE {SAVEPOINT}"))
            .map_err(fault::of_statement)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if !self.kept && !self.connection.is_autocommit() {
            let undo = format!("ROLLBACK TO {SAVEPOINT}; RELEASE {SAVEPOINT}");
            if let Err(error) = self.connection.execute_batch(&undo) {
                tracing::debug!(%error, "a savepoint is gone already");
            }
        }
    }
}

fn bind(
    statement: &mut rusqlite::CachedStatement<'_>,
    parameters: Vec<Value>,
    text: &str,
) -> Result<()> {
    let invalid = |text: String| Error::new(Kind::Invalid, Blame::Function, text);
    let wanted = statement.parameter_count();
    if wanted != parameters.len() {
        let given = parameters.len();
        return Err(invalid(format!(
            "sql: statement takes {wanted} parameters, given: {given}"
        )));
    }
    if statement.column_count() == 0 && is_empty(text) {
        return Err(invalid("sql: statement is empty".to_owned()));
    }
    for (n, value) in parameters.into_iter().enumerate() {
        let value = match &value {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Integer(n) => ToSqlOutput::Borrowed(ValueRef::Integer(*n)),
            Value::Real(x) => ToSqlOutput::Borrowed(ValueRef::Real(*x)),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Blob(blob) => ToSqlOutput::Borrowed(ValueRef::Blob(blob)),
        };
        statement
            .raw_bind_parameter(n + 1, value)
            .map_err(fault::of_statement)?;
    }
    Ok(())
}

/// Nothing but space, semicolons and comments: SQLite compiles that to no statement at all.
fn is_empty(text: &str) -> bool {
    skip(text).is_empty()
}

/// The statement without what stands before it.
pub(super) fn skip(text: &str) -> &str {
    let mut rest = text;
    loop {
        rest = rest
            .trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ';' || c == '\u{feff}');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else {
            return rest;
        }
    }
}

fn read(value: ValueRef<'_>, column: usize) -> Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Integer(n),
        ValueRef::Real(x) => Value::Real(x),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => {
                let text = format!("sql: text is not UTF-8 in column {}", column + 1);
                return Err(Error::new(Kind::Invalid, Blame::Function, text)
                    .hint("read it with CAST(... AS BLOB)"));
            }
        },
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn statements_without_a_statement_are_recognized() {
        for empty in ["", " ;\n;", "-- x", "-- x\n /* y */ ;", "/* open"] {
            assert!(super::is_empty(empty), "{empty:?}");
        }
        for full in ["BEGIN", "-- x\nBEGIN", "/* a */ SELECT", "-"] {
            assert!(!super::is_empty(full), "{full:?}");
        }
    }
}
