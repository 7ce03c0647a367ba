//! What a guest's connection may do and take. Everything else is refused while the statement is compiled.

use std::path::Path;

use super::changes;
use gust_backend::sql::SqlLimits;
use rusqlite::{
    Connection, OpenFlags, Result,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};

/// Bytes of a database's page.
const PAGE: u64 = 4096;

/// Pragmas that only tell something, or change nothing but the guest's own data.
const HARMLESS: &[&str] = &[
    "application_id",
    "collation_list",
    "compile_options",
    "data_version",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "module_list",
    "optimize",
    "page_count",
    "pragma_list",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
];

/// Pragmas that may be asked; setting them is quietly without effect, since the platform decides. Programs set them by habit.
const DECIDED: &[&str] = &[
    "auto_vacuum",
    "busy_timeout",
    "cache_size",
    "journal_mode",
    "journal_size_limit",
    "locking_mode",
    "mmap_size",
    "page_size",
    "secure_delete",
    "synchronous",
    "temp_store",
    "wal_autocheckpoint",
];

/// Pragmas that change how a connection behaves: allowed, and the connection is not lent again afterwards.
const PERSONAL: &[&str] = &[
    "automatic_index",
    "case_sensitive_like",
    "defer_foreign_keys",
    "foreign_keys",
    "ignore_check_constraints",
    "legacy_alter_table",
    "query_only",
    "recursive_triggers",
    "reverse_unordered_selects",
];

/// Functions that reach outside or into SQLite itself.
const FUNCTIONS: &[&str] = &["load_extension", "fts3_tokenizer"];

/// Opens a database file, made if need be.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.pragma_update(None, "page_size", PAGE as i64)?;
    Ok(connection)
}

/// Sets what is set once for a connection. Needs the busy handler in place: another connection may be doing the same.
pub(super) fn set_up(connection: &Connection, limits: &SqlLimits) -> Result<()> {
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    let pages = limits.database / PAGE;
    for (pragma, value) in [
        // A write is on the disk when it is answered.
        ("synchronous", "FULL".to_owned()),
        ("cache_size", "-1024".to_owned()),
        ("journal_size_limit", (16 << 20).to_string()),
        ("cell_size_check", "ON".to_owned()),
    ] {
        connection.pragma_update(None, pragma, value)?;
    }
    for schema in ["main", "temp"] {
        let sql = format!("PRAGMA {schema}.max_page_count = {pages}");
        connection.query_row(&sql, [], |_| Ok(()))?;
    }
    for (config, value) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
    ] {
        connection.set_db_config(config, value)?;
    }
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, limits.result as i32),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, limits.statement as i32),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 50),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000),
    ] {
        connection.set_limit(limit, value)?;
    }
    Ok(())
}

/// Whether a page count of this database is its limit: full because of us, not because of the disk.
pub(super) fn is_full(connection: &Connection, limits: &SqlLimits) -> bool {
    let pages = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let count = pages("PRAGMA page_count").unwrap_or(0).unsigned_abs();
    // A statement that did not fit has been undone, so the count is some way below.
    let margin = limits.result as u64 / PAGE + 16;
    count + margin >= limits.database / PAGE
}

/// Whether a statement makes something that could be the connection's own.
pub(super) fn makes(action: &AuthAction<'_>) -> bool {
    use AuthAction as A;
    matches!(
        action,
        A::CreateTable { .. }
            | A::CreateView { .. }
            | A::CreateVtable { .. }
            | A::CreateTrigger { .. }
            | A::CreateIndex { .. }
    )
}

/// Whether a connection has tables, views or triggers of its own. When that cannot be said, it may.
pub(super) fn has_temporary(connection: &Connection) -> bool {
    let found = connection.query_row("SELECT count(*) FROM sqlite_temp_schema", [], |row| {
        row.get::<_, i64>(0)
    });
    !matches!(found, Ok(0))
}

/// Whether a statement begins or ends a transaction.
pub(super) fn is_transaction(context: &AuthContext<'_>) -> bool {
    matches!(context.action, AuthAction::Transaction { .. })
}

/// Whether a statement reads or changes what is the platform's own.
fn touches_ours(action: &AuthAction<'_>) -> bool {
    use AuthAction as A;
    use changes::is_ours as ours;
    match action {
        A::CreateTable { table_name }
        | A::CreateTempTable { table_name }
        | A::CreateVtable { table_name, .. }
        | A::DropTable { table_name }
        | A::DropTempTable { table_name }
        | A::DropVtable { table_name, .. }
        | A::AlterTable { table_name, .. }
        | A::Analyze { table_name }
        | A::Read { table_name, .. }
        | A::Insert { table_name }
        | A::Update { table_name, .. }
        | A::Delete { table_name } => ours(table_name),
        A::CreateIndex {
            index_name: name,
            table_name,
        }
        | A::CreateTempIndex {
            index_name: name,
            table_name,
        }
        | A::DropIndex {
            index_name: name,
            table_name,
        }
        | A::DropTempIndex {
            index_name: name,
            table_name,
        }
        | A::CreateTrigger {
            trigger_name: name,
            table_name,
        }
        | A::CreateTempTrigger {
            trigger_name: name,
            table_name,
        }
        | A::DropTrigger {
            trigger_name: name,
            table_name,
        }
        | A::DropTempTrigger {
            trigger_name: name,
            table_name,
        } => ours(name) || ours(table_name),
        A::CreateView { view_name }
        | A::CreateTempView { view_name }
        | A::DropView { view_name }
        | A::DropTempView { view_name } => ours(view_name),
        _ => false,
    }
}

/// What an authorizer says, and whether the connection is marked by it.
pub(super) fn authorize(context: &AuthContext<'_>) -> (Authorization, bool) {
    use AuthAction as A;
    let allow = (Authorization::Allow, false);
    let marked = (Authorization::Allow, true);
    let deny = (Authorization::Deny, false);
    let by_ours = context.accessor.is_some_and(changes::is_ours);
    match &context.action {
        action if !by_ours && touches_ours(action) => deny,
        A::Attach { .. } | A::Detach { .. } | A::Unknown { .. } => deny,
        A::Function { function_name } if contains(FUNCTIONS, function_name) => deny,
        A::Pragma {
            pragma_name,
            pragma_value,
        } => pragma(pragma_name, *pragma_value),
        A::CreateTempIndex { .. }
        | A::CreateTempTable { .. }
        | A::CreateTempTrigger { .. }
        | A::CreateTempView { .. } => marked,
        _ => allow,
    }
}

fn pragma(name: &str, value: Option<&str>) -> (Authorization, bool) {
    if contains(HARMLESS, name) {
        (Authorization::Allow, false)
    } else if contains(DECIDED, name) {
        match value {
            None => (Authorization::Allow, false),
            Some(_) => (Authorization::Ignore, false),
        }
    } else if contains(PERSONAL, name) {
        (Authorization::Allow, value.is_some())
    } else if value.is_none() && contains(&["max_page_count", "schema_version"], name) {
        (Authorization::Allow, false)
    } else {
        (Authorization::Deny, false)
    }
}

fn contains(names: &[&str], name: &str) -> bool {
    names.iter().any(|n| n.eq_ignore_ascii_case(name))
}
