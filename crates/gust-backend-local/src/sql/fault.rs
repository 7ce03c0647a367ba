//! SQLite's errors in our words: whose fault, and of what kind.

use gust_types::{Blame, Error, Kind};
use rusqlite::ErrorCode;

use super::changes;
use crate::disk;

/// SQLite's code for "your transaction has read what another has changed since".
const BUSY_SNAPSHOT: i32 = 517;

/// SQLite's code for "the file that connections share cannot grow", which it does at the first connection.
pub(crate) const NO_SHARED_MEMORY: i32 = 4874;

/// An error of a statement.
pub(super) fn of_statement(error: rusqlite::Error) -> Error {
    use rusqlite::Error as E;
    let function = |kind, text: String| Error::new(kind, Blame::Function, text);
    match error {
        E::SqliteFailure(code, text) => of_sqlite(code, text),
        E::SqlInputError { error, msg, .. } => of_sqlite(error, Some(msg)),
        E::MultipleStatement => function(
            Kind::Invalid,
            "more than one statement was given".to_owned(),
        )
        .hint("run them one by one"),
        other => function(Kind::Invalid, format!("sql: {other}")),
    }
}

fn of_sqlite(code: rusqlite::ffi::Error, text: Option<String>) -> Error {
    let text = text.unwrap_or_else(|| code.to_string());
    let function = |kind| Error::new(kind, Blame::Function, format!("sql: {text}"));
    match code.code {
        ErrorCode::ConstraintViolation if text.starts_with(changes::FULL) => {
            function(Kind::Exhausted).hint("they are moved at once when the disk has room; try again")
        }
        ErrorCode::ConstraintViolation => function(Kind::Conflict),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked
            if code.extended_code == BUSY_SNAPSHOT =>
        {
            function(Kind::Conflict)
                .hint("another transaction wrote what this one has read; begin a transaction that writes with BEGIN IMMEDIATE")
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            function(Kind::Timeout).hint("another transaction keeps the database locked")
        }
        ErrorCode::OperationInterrupted => Error::timeout("sql: statement took longer than it may"),
        ErrorCode::AuthorizationForStatementDenied => function(Kind::Denied),
        ErrorCode::TooBig => function(Kind::Exhausted),
        ErrorCode::OutOfMemory => function(Kind::Exhausted),
        ErrorCode::DiskFull => disk::full(),
        ErrorCode::SystemIoFailure if code.extended_code == NO_SHARED_MEMORY => disk::full(),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            Error::internal("sql: database file is damaged").because(text)
        }
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            Error::internal("sql: database file cannot be used").because(text)
        }
        _ => function(Kind::Invalid),
    }
}

/// An error while opening a database, which no function can be blamed for.
pub(super) fn of_opening(error: rusqlite::Error) -> Error {
    let ours = of_statement(error);
    match ours.kind {
        Kind::Exhausted | Kind::Timeout => Error {
            blame: Blame::Platform,
            ..ours
        },
        Kind::Internal => ours,
        _ => Error::internal("sql: database cannot be opened").because(ours),
    }
}

/// A statement that would begin or end a transaction which is not the guest's.
pub(super) fn not_yours() -> Error {
    let text = "sql: with exactly_once the call is one transaction, committed after its answer; leave out BEGIN, COMMIT and ROLLBACK";
    Error::new(Kind::Invalid, Blame::Function, text)
        .hint("to undo a part, use SAVEPOINT and ROLLBACK TO")
}

/// The transaction that a statement belongs to is gone.
pub(super) fn rolled_back() -> Error {
    let text = "sql: the transaction of the call was rolled back";
    Error::new(Kind::Conflict, Blame::Function, text)
        .hint("an earlier statement did that; let the function fail, and it is called again")
}

/// No more than this many bytes.
pub(super) fn too_many_bytes(limit: usize) -> Error {
    let text = format!("sql: rows have more bytes than {limit}");
    Error::new(Kind::Exhausted, Blame::Function, text)
        .hint("select fewer rows or columns, or read them in pieces with LIMIT")
}
