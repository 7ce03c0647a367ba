//! What control remembers: one SQLite file, one connection, one thread.
//!
//! A change is a closure that runs on that thread inside a transaction ([`Store::write`]). Changes therefore happen one
//! after the other and are never cut off half-way by a caller that stops waiting. A write-ahead log with
//! `synchronous = FULL` means that what was answered survives a power cut.
//!
//! The tables are in [`migrations`]; the other files are questions and changes by resource, each a plain function
//! of a connection.

pub(crate) mod apps;
pub(crate) mod keys;
pub(crate) mod migrations;
pub(crate) mod money;
pub(crate) mod projects;
pub(crate) mod rows;
pub(crate) mod secrets;
pub(crate) mod tokens;

use std::path::Path;

use gust_types::{Blame, Error, Kind, Result};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

/// Questions and changes that may wait for the thread.
const QUEUE: usize = 256;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle to the thread. Clones share it; it ends with the last of them.
#[derive(Clone)]
pub(crate) struct Store {
    jobs: mpsc::Sender<Job>,
}

/// What can go wrong with a statement.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the control database failed")]
    Sql(#[from] rusqlite::Error),
    #[error("a row of the control database is not readable: {what}")]
    Row {
        what: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The change is not one that may be made.
    #[error(transparent)]
    Refused(#[from] Error),
}

pub(crate) type StoreResult<T> = std::result::Result<T, StoreError>;

// === impl Store ===

impl Store {
    /// Opens (and makes, and brings up to date) the file; `None` keeps everything in memory.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self> {
        let connection = connect(file)?;
        let (jobs, inbox) = mpsc::channel(QUEUE);
        // Dispatch is called from this thread and may spawn.
        let runtime = tokio::runtime::Handle::try_current().ok();
        std::thread::Builder::new()
            .name("gust-control-db".to_owned())
            .spawn(move || serve(connection, inbox, runtime))
            .map_err(|e| Error::internal("cannot start the database's thread").because(e))?;
        Ok(Self { jobs })
    }

    /// Asks.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    ) -> Result<T> {
        self.run(move |connection| question(connection)).await
    }

    /// Changes: all of it or nothing. Once begun it goes to its end, whether or not the caller still waits.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> StoreResult<T> + Send + 'static,
    ) -> Result<T> {
        self.run(move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = change(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        })
        .await
    }

    /// Runs on the thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> StoreResult<T> + Send + 'static,
    ) -> Result<T> {
        let gone = || Error::internal("the database's thread is gone");
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let _ = reply.send(work(connection));
        });
        self.jobs.send(job).await.map_err(|_| gone())?;
        Ok(answer.await.map_err(|_| gone())??)
    }
}

fn serve(
    mut connection: Connection,
    mut inbox: mpsc::Receiver<Job>,
    runtime: Option<tokio::runtime::Handle>,
) {
    let _entered = runtime.as_ref().map(tokio::runtime::Handle::enter);
    while let Some(job) = inbox.blocking_recv() {
        // A transaction that is dropped by a panic is rolled back, so the connection stays good.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(&mut connection)));
        if let Err(panic) = ended {
            tracing::error!(
                panic = gust_task::panic_text(&*panic),
                "a change of the control database panicked"
            );
        }
    }
}

fn connect(file: Option<&Path>) -> Result<Connection> {
    let open = || -> StoreResult<Connection> {
        let mut connection = match file {
            Some(file) => Connection::open(file)?,
            None => Connection::open_in_memory()?,
        };
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // What is deleted is overwritten: sealed values do not linger in free pages.
        connection.pragma_update(None, "secure_delete", true)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(128);
        migrations::run(&mut connection)?;
        if let Some(file) = file {
            keep_private(file);
        }
        Ok(connection)
    };
    open().map_err(|e| {
        let hint = "is the data folder writable, and made by this version of gust or an older one?";
        let mut error = Error::from(e);
        error.hint.get_or_insert_with(|| hint.to_owned());
        error
    })
}

/// Readable by its owner only; SQLite gives the files beside it the same rights.
fn keep_private(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let private = std::fs::Permissions::from_mode(0o600);
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        // Values are sealed in any case; a file system without rights is no reason not to start.
        let _ = std::fs::set_permissions(Path::new(&name), private.clone());
    }
}

impl StoreError {
    /// A value that another version wrote, or a damaged file.
    pub(crate) fn row(
        what: &'static str,
    ) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> Self {
        move |source| Self::Row { what, source }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let full = |e: &rusqlite::Error| {
            matches!(
                e.sqlite_error_code(),
                Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure)
            )
        };
        match error {
            StoreError::Refused(error) => error,
            StoreError::Sql(e) if full(&e) => Error::new(
                Kind::Exhausted,
                Blame::Platform,
                "the control database cannot be written",
            )
            .hint("is the disk full? free some space; nothing needs a restart")
            .because(e),
            other => Error::internal(other.to_string()).because(other),
        }
    }
}
