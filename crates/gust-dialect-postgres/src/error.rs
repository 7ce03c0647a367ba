//! What went wrong, as PostgreSQL says it: a code, a message, a hint.

use gust_types::{Blame, Error, Kind};

/// A refusal or a failure that the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// SQLSTATE.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The session ends with it.
    pub(crate) fatal: bool,
}

/// Why a session does not go on as it was: something to tell, or nobody there.
#[derive(Debug)]
pub(crate) enum Trouble {
    Fault(Fault),
    Gone(std::io::Error),
}

/// Beginnings and parts of SQLite's messages, and what PostgreSQL calls that. The first that fits counts.
const TEXTS: &[(&str, &str)] = &[
    ("UNIQUE constraint failed", "23505"),
    ("PRIMARY KEY constraint failed", "23505"),
    ("NOT NULL constraint failed", "23502"),
    ("FOREIGN KEY constraint failed", "23503"),
    ("CHECK constraint failed", "23514"),
    ("cannot store ", "42804"),
    ("datatype mismatch", "42804"),
    ("no such table", "42P01"),
    ("no such view", "42P01"),
    ("no such column", "42703"),
    ("has no column named", "42703"),
    ("unknown column", "42703"),
    ("no such function", "42883"),
    ("wrong number of arguments", "42883"),
    ("no such savepoint", "3B001"),
    ("no such ", "42704"),
    ("ambiguous column name", "42702"),
    ("duplicate column name", "42701"),
    ("already exists", "42P07"),
    ("already another table or index", "42P07"),
    ("syntax error", "42601"),
    ("unrecognized token", "42601"),
    ("incomplete input", "42601"),
    ("statement is empty", "42601"),
    ("values were supplied", "42601"),
    ("values for", "42601"),
    ("parameters, given", "08P01"),
    ("within a transaction", "25001"),
    ("from within a transaction", "25001"),
    ("no transaction is active", "25P01"),
    ("misuse of aggregate", "42803"),
    (
        "does not match any PRIMARY KEY or UNIQUE constraint",
        "42P10",
    ),
    ("readonly database", "25006"),
    ("malformed JSON", "22P02"),
    ("integer overflow", "22003"),
];

// === impl Fault ===

impl Fault {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            fatal: false,
        }
    }

    /// One that ends the session.
    pub(crate) fn fatal(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            fatal: true,
            ..Self::new(code, message)
        }
    }

    /// The client does not keep to the protocol.
    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::fatal("08P01", message)
    }

    /// Something of PostgreSQL's that is not here.
    pub(crate) fn unserved(what: impl std::fmt::Display) -> Self {
        Self::new("0A000", format!("{what} is not served"))
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The statement was stopped, by whom the message says.
    pub(crate) fn stopped(message: &str) -> Self {
        Self::new("57014", message)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let message = error
            .message
            .strip_prefix("sql: ")
            .unwrap_or(&error.message);
        Self {
            code: code(&error),
            message: message.to_owned(),
            hint: error.hint.clone(),
            fatal: false,
        }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Fault(error.into())
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Gone(error)
    }
}

/// The seam's kinds, and SQLite's words where a kind is not enough.
fn code(error: &Error) -> &'static str {
    let known = || {
        let found = TEXTS.iter().find(|(part, _)| error.message.contains(part));
        found.map(|(_, code)| *code)
    };
    let locked = error
        .hint
        .as_deref()
        .is_some_and(|hint| hint.contains("locked"));
    match error.kind {
        Kind::Invalid => known().unwrap_or("42000"),
        Kind::Conflict if error.message.contains("constraint") => known().unwrap_or("23000"),
        // A trigger's own refusal is a conflict too, and its text says nothing of locks.
        Kind::Conflict if error.hint.is_none() && !error.message.contains("locked") => {
            known().unwrap_or("P0001")
        }
        Kind::Conflict => "40001",
        Kind::Denied => "42501",
        Kind::NotFound => known().unwrap_or("42704"),
        Kind::Exhausted if error.blame == Blame::Platform => "53100",
        Kind::Exhausted if error.message.contains("database has more bytes") => "53100",
        Kind::Exhausted if error.message.contains("more bytes than") => "54000",
        Kind::Exhausted if error.message.contains("longer than") => "54000",
        Kind::Exhausted => "53400",
        Kind::Timeout if locked => "55P03",
        Kind::Timeout => "57014",
        Kind::Unavailable if error.message.contains("connections") => "53300",
        Kind::Unavailable => "57P03",
        Kind::Failed | Kind::Internal => "XX000",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqlite_says_has_postgres_codes() {
        let function = |kind, text: &str| Error::new(kind, Blame::Function, text);
        let check = |error: Error, wanted: &str| {
            let fault = Fault::from(error);
            assert_eq!(fault.code, wanted, "{fault:?}");
            assert!(!fault.message.starts_with("sql: "));
        };
        for (kind, text, wanted) in [
            (
                Kind::Conflict,
                "sql: UNIQUE constraint failed: t.a",
                "23505",
            ),
            (
                Kind::Conflict,
                "sql: NOT NULL constraint failed: t.a",
                "23502",
            ),
            (
                Kind::Conflict,
                "sql: FOREIGN KEY constraint failed",
                "23503",
            ),
            (
                Kind::Conflict,
                "sql: CHECK constraint failed: a > 0",
                "23514",
            ),
            (Kind::Conflict, "sql: my own refusal", "P0001"),
            (Kind::Invalid, "sql: no such table: t", "42P01"),
            (Kind::Invalid, "sql: no such column: a", "42703"),
            (Kind::Invalid, "sql: table t has no column named a", "42703"),
            (Kind::Invalid, "sql: near \"x\": syntax error", "42601"),
            (Kind::Invalid, "sql: no such function: f", "42883"),
            (Kind::Invalid, "sql: table t already exists", "42P07"),
            (Kind::Denied, "sql: not authorized", "42501"),
            (Kind::Exhausted, "sql: rows have more bytes than 5", "54000"),
            (Kind::Exhausted, "statement is longer than 5 bytes", "54000"),
            (Kind::Exhausted, "sql: out of memory", "53400"),
            (
                Kind::Timeout,
                "sql: statement took longer than it may",
                "57014",
            ),
            (Kind::Internal, "sql: database file is damaged", "XX000"),
        ] {
            check(function(kind, text), wanted);
        }
        let snapshot =
            function(Kind::Conflict, "sql: database is locked").hint("another transaction wrote");
        check(snapshot, "40001");
        let locked = function(Kind::Timeout, "sql: database is locked")
            .hint("another transaction keeps the database locked");
        check(locked, "55P03");
        check(
            Error::new(Kind::Exhausted, Blame::Platform, "disk is full"),
            "53100",
        );
    }
}
