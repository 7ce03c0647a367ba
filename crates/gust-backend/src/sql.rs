//! The SQL seam (SQLite's dialect; PostgreSQL comes behind a seam of its own dialect). The checks that every
//! implementation passes are in [`suite`].

pub mod suite;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use gust_types::Result;

/// A value in a row or a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT.
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
}

/// What a statement answers.
pub struct Rows {
    /// Column names; empty for a statement that returns no rows.
    pub columns: Vec<String>,
    /// The rows, one item each; at most [`SqlLimits::result`] bytes in all, else `Exhausted`.
    pub rows: BoxStream<'static, Result<Vec<Value>>>,
}

/// What the writes of a connection did, as SQLite counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effect {
    /// Rows changed by the connection's last INSERT, UPDATE or DELETE; 0 when there was none.
    pub changes: u64,
    /// Row id of the connection's last INSERT; 0 when there was none.
    pub last_insert_rowid: i64,
}

/// What a database accepts.
#[derive(Debug, Clone, Copy)]
pub struct SqlLimits {
    /// Bytes of a statement.
    pub statement: usize,
    /// Bytes of all rows of one answer.
    pub result: usize,
    /// Bytes of the database.
    pub database: u64,
    /// How long one statement may run, waiting for other writers included; waiting for whoever reads its rows counts
    /// by the row.
    pub time: std::time::Duration,
}

/// What a unit of work leaves in a database when it commits there: proof that it did, and what is to be done elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// Its name: one unit leaves one mark, ever.
    pub id: String,
    /// When, Unix microseconds.
    pub at_us: u64,
    /// What is to be done elsewhere, in the words of whoever wrote it.
    pub intent: Bytes,
    /// Marks that nobody will ask for any more.
    pub forget: Vec<String>,
    /// Those that were left before this, Unix microseconds, are forgotten too, some at a time.
    pub forget_before_us: u64,
}

/// A database.
#[async_trait]
pub trait Sql: Send + Sync {
    /// Opens a connection. Transactions belong to it; dropping it rolls an open one back.
    async fn connect(&self) -> Result<Box<dyn Connection>>;
    /// Opens a connection inside a transaction that writes, which waits for others that do.
    async fn begin(&self) -> Result<Box<dyn Transaction>>;
    /// The intent of a mark, if it was left. Makes no database.
    async fn mark(&self, id: &str) -> Result<Option<Bytes>>;
    /// From when this answers, what changes in rows of these tables is told in the database's change stream, once and in
    /// order, and also after a restart. With `exactly`, what changes in others is not told any more. A table need not be
    /// there yet.
    async fn watch(&self, tables: Vec<String>, exactly: bool) -> Result<()>;
    /// What it accepts.
    fn limits(&self) -> SqlLimits;
}

/// One connection. A statement that failed leaves it usable; one that was stopped half-way (time, a dropped future)
/// may have rolled its transaction back.
///
/// Errors: `Invalid` for SQL that is malformed or does not fit its parameters, `Conflict` for a broken constraint or a
/// transaction overtaken by another, `Denied` for what guests may not do, `Exhausted` over a limit, `Timeout` for
/// time; all of them blame the function. Exactly one statement is taken at a time.
#[async_trait]
pub trait Connection: Send + Sync {
    /// Runs one statement. A write (outside a transaction) or a COMMIT is durable when this answers. Rows are read
    /// as they are consumed; running another statement meanwhile keeps the rest of them in memory.
    async fn execute(&self, statement: &str, parameters: Vec<Value>) -> Result<Rows>;
    /// What the writes so far did.
    async fn effect(&self) -> Result<Effect>;
}

/// A connection inside one transaction, from its first statement to its last. Statements that begin or end transactions
/// are `Invalid`; savepoints are not. Dropping it rolls back.
///
/// A statement may end the transaction all the same (a full disk, `ON CONFLICT ROLLBACK`): from then on every statement is
/// a `Conflict`, and so is the commit.
#[async_trait]
pub trait Transaction: Connection {
    /// Leaves the mark and commits, in one; durable when it answers. `Conflict` when there is such a mark already.
    async fn commit(&self, mark: Mark) -> Result<()>;
}
