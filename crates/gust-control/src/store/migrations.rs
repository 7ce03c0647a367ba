//! The tables, and how an older file gets to them.
//!
//! A migration is never changed once it was released; a new one is added at the end. `user_version` counts them.

use gust_types::Error;
use rusqlite::{Connection, TransactionBehavior};

use super::StoreResult;

/// In order. Each runs once, in one transaction with its count.
const MIGRATIONS: &[&str] = &[
    // 1: everything.
    "
    CREATE TABLE projects (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created_us INTEGER NOT NULL
    ) STRICT;

    -- An app stays here when it is removed (serving is null), so that its numbers never come again.
    CREATE TABLE apps (
        id INTEGER PRIMARY KEY,
        project INTEGER NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        serving INTEGER REFERENCES deployments(id),
        next_deployment INTEGER NOT NULL DEFAULT 1,
        UNIQUE (project, name)
    ) STRICT;

    CREATE TABLE functions (
        id INTEGER PRIMARY KEY,
        app INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        next_revision INTEGER NOT NULL DEFAULT 1,
        UNIQUE (app, name)
    ) STRICT;

    -- Written once, never changed.
    CREATE TABLE revisions (
        id INTEGER PRIMARY KEY,
        function INTEGER NOT NULL REFERENCES functions(id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        artifact TEXT NOT NULL,
        contract TEXT NOT NULL,
        warnings TEXT NOT NULL,
        spec TEXT NOT NULL,
        UNIQUE (function, number)
    ) STRICT;

    -- Written once, never changed. `head` is the app without its functions and without defaults of secret variables;
    -- those are in `sealed`.
    CREATE TABLE deployments (
        id INTEGER PRIMARY KEY,
        app INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        created_us INTEGER NOT NULL,
        change TEXT NOT NULL,
        rolled_back_to INTEGER,
        head TEXT NOT NULL,
        sealed BLOB,
        UNIQUE (app, number)
    ) STRICT;
    CREATE INDEX apps_serving ON apps (serving);

    CREATE TABLE deployment_revisions (
        deployment INTEGER NOT NULL REFERENCES deployments(id) ON DELETE CASCADE,
        revision INTEGER NOT NULL REFERENCES revisions(id),
        PRIMARY KEY (deployment, revision)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX deployment_revisions_revision ON deployment_revisions (revision);

    -- Every artifact a deployment needs: code, files of guests, files of routes.
    CREATE TABLE deployment_artifacts (
        deployment INTEGER NOT NULL REFERENCES deployments(id) ON DELETE CASCADE,
        artifact TEXT NOT NULL,
        PRIMARY KEY (deployment, artifact)
    ) STRICT, WITHOUT ROWID;

    -- By name, since a value may be set before the app's first deploy.
    CREATE TABLE secrets (
        project INTEGER NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
        app TEXT NOT NULL,
        name TEXT NOT NULL,
        sealed BLOB NOT NULL,
        updated_us INTEGER NOT NULL,
        PRIMARY KEY (project, app, name)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE budgets (
        project INTEGER PRIMARY KEY REFERENCES projects(id) ON DELETE CASCADE,
        monthly_nanos INTEGER NOT NULL,
        warn_percent INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE tokens (
        hash BLOB PRIMARY KEY,
        created_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    INSERT INTO projects (name, created_us) VALUES ('default', 0);
    ",
    // 2: access keys. Their secrets are sealed, since a signature can be checked only by who has the secret.
    "
    CREATE TABLE access_keys (
        id TEXT PRIMARY KEY,
        project INTEGER NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
        note TEXT NOT NULL,
        sealed BLOB NOT NULL,
        created_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX access_keys_project ON access_keys (project);
    ",
];

/// Brings the file up to date; a file of a newer version is refused.
pub(super) fn run(connection: &mut Connection) -> StoreResult<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    if done > MIGRATIONS.len() {
        let known = MIGRATIONS.len();
        return Err(Error::conflict(format!(
            "the control database was written by a newer version of gust: its format is {done}, this program knows {known}"
        ))
        .hint("start the newer version, or restore a backup of the data folder")
        .into());
    }
    for (i, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", i as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrating_twice_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection).unwrap();
        run(&mut connection).unwrap();
        let projects: i64 = connection
            .query_row("SELECT count(*) FROM projects", [], |r| r.get(0))
            .unwrap();
        assert_eq!(projects, 1);
    }

    #[test]
    fn a_newer_file_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 999).unwrap();
        let error = Error::from(run(&mut connection).unwrap_err());
        assert_eq!(error.kind, gust_types::Kind::Conflict);
    }
}
