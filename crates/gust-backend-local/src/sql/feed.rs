//! Moves the changes of watched tables from their database into its change stream: one thread, which sleeps until a
//! connection has committed some.
//!
//! Each change is in the stream once, wherever this is cut off: the stream remembers in the commit that takes changes up
//! to which number it has them, and only then are they forgotten in the database.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use gust_backend::{
    changes::{Change, TopicSettings, Watched},
    queue::Message,
};
use gust_task::clock;
use gust_types::{Error, Result};
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, ErrorCode, OpenFlags, types::ValueRef};

use super::{changes, fault, pool::DatabaseKey};
use crate::{
    queue::keys,
    store::Committer,
    topic::ask::{Op, Target},
};

/// Changes moved at once, and bytes of them after which no more are added.
const AT_ONCE: usize = 500;
const AT_ONCE_BYTES: usize = 4 << 20;
/// For how long a connection stays open that has nothing to move.
const IDLE: Duration = Duration::from_secs(10);
/// Databases that are open at once.
const OPEN: usize = 16;
/// Before the next try, when the database is locked or something is wrong.
const LOCKED: Duration = Duration::from_millis(100);
const REST: Duration = Duration::from_secs(2);

/// The extension that names what of a row is left out because it is too large: `old`, `new` or both.
const OMITTED: &str = "omitted";

/// Who is told that a database has changes to move.
pub(super) struct Feeder {
    due: Mutex<Due>,
    bell: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Due {
    databases: BTreeMap<DatabaseKey, Instant>,
    stopped: bool,
}

/// What the thread does next.
enum Next {
    Feed(DatabaseKey),
    Close,
    Stop,
}

/// The thread's own.
struct Mover {
    feeder: Arc<Feeder>,
    folder: PathBuf,
    committer: Arc<Committer>,
    open: HashMap<DatabaseKey, (Connection, Instant)>,
}

/// What one round found.
struct Found {
    events: Vec<(u64, Message)>,
    more: bool,
}

// === impl Feeder ===

impl Feeder {
    pub(super) fn start(folder: &Path, committer: Arc<Committer>) -> Result<Arc<Self>> {
        let feeder = Arc::new(Self {
            due: Mutex::default(),
            bell: Condvar::new(),
            thread: Mutex::default(),
        });
        let mut mover = Mover {
            feeder: feeder.clone(),
            folder: folder.to_owned(),
            committer,
            open: HashMap::new(),
        };
        let thread = std::thread::Builder::new()
            .name("sql-feed".to_owned())
            .spawn(move || mover.run())
            .map_err(|e| Error::internal("cannot start the feeding thread").because(e))?;
        *feeder.thread.lock() = Some(thread);
        Ok(feeder)
    }

    /// This database may have changes.
    pub(super) fn wake(&self, database: &DatabaseKey) {
        self.at(database.clone(), clock::now());
    }

    fn at(&self, database: DatabaseKey, when: Instant) {
        let mut due = self.due.lock();
        let at = due.databases.entry(database).or_insert(when);
        *at = when.min(*at);
        self.bell.notify_one();
    }

    pub(super) fn stop(&self) {
        self.due.lock().stopped = true;
        self.bell.notify_one();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the feeding thread panicked");
        }
    }

    fn next(&self, some_open: bool) -> Next {
        let mut due = self.due.lock();
        loop {
            if due.stopped {
                return Next::Stop;
            }
            let now = clock::now();
            let first = due.databases.iter().min_by_key(|(_, at)| **at);
            let first = first.map(|(database, at)| (database.clone(), *at));
            match first {
                Some((database, at)) if at <= now => {
                    due.databases.remove(&database);
                    return Next::Feed(database);
                }
                Some((_, at)) => drop(self.bell.wait_for(&mut due, at - now)),
                None if some_open => {
                    if self.bell.wait_for(&mut due, IDLE).timed_out() {
                        return Next::Close;
                    }
                }
                None => self.bell.wait(&mut due),
            }
        }
    }
}

// === impl Mover ===

impl Mover {
    fn run(&mut self) {
        loop {
            let database = match self.feeder.next(!self.open.is_empty()) {
                Next::Feed(database) => database,
                Next::Close => {
                    self.open.retain(|_, (_, used)| used.elapsed() < IDLE);
                    continue;
                }
                Next::Stop => return,
            };
            let again = match self.feed(&database) {
                Ok(false) => continue,
                Ok(true) => Duration::ZERO,
                Err(Fault::Locked) => LOCKED,
                Err(Fault::Other(error)) => {
                    self.open.remove(&database);
                    let (project, name) = &database;
                    tracing::warn!(%project, database = %name, error = error.chain(), "changes of a database are not told yet");
                    REST
                }
            };
            self.feeder.at(database, clock::now() + again);
        }
    }

    /// Moves some; answers whether there may be more.
    fn feed(&mut self, database: &DatabaseKey) -> Result<bool, Fault> {
        let Some(connection) = self.connection(database)? else {
            return Ok(false);
        };
        let Some(epoch) = changes::epoch(connection)? else {
            return Ok(false);
        };
        let found = read(connection, database, &epoch)?;
        let Some((last, _)) = found.events.last() else {
            return Ok(false);
        };
        let (last, events) = (*last, found.events);
        let op = Op::Feed { epoch, events };
        self.committer.feed(stream(database), op)?;
        if let Some((connection, _)) = self.open.get(database) {
            changes::forget(connection, last as i64)?;
        }
        Ok(found.more)
    }

    fn connection(&mut self, database: &DatabaseKey) -> Result<Option<&Connection>, Fault> {
        if !self.open.contains_key(database) {
            let path = super::pool::path(&self.folder, database);
            if !path.exists() {
                return Ok(None);
            }
            if self.open.len() >= OPEN {
                self.open.clear();
            }
            let connection = open(&path)?;
            self.open
                .insert(database.clone(), (connection, clock::now()));
        }
        let known = self.open.get_mut(database);
        Ok(known.map(|(connection, used)| {
            *used = clock::now();
            &*connection
        }))
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCKED)?;
    // What is forgotten and comes back after a power cut is known to the stream.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", "-1024")?;
    // A guest's table may name one of ours as its parent.
    connection.pragma_update(None, "foreign_keys", "OFF")?;
    Ok(connection)
}

/// Where the changes of a database go.
fn stream((project, name): &DatabaseKey) -> Target {
    let topic = Watched::Sql(name.clone()).topic();
    Target::new(
        keys::topic(project, &topic).into(),
        TopicSettings::default(),
    )
}

fn read(connection: &Connection, (_, database): &DatabaseKey, epoch: &str) -> Result<Found, Fault> {
    let of = Watched::Sql(database.clone());
    let mut statement = connection.prepare_cached(
        "SELECT seq, at_ms, tab, op, id, old, new FROM _gust_changes WHERE op <> '' ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if events.len() >= AT_ONCE || bytes >= AT_ONCE_BYTES {
            return Ok(Found { events, more: true });
        }
        let seq: i64 = row.get(0)?;
        let message = event(&of, epoch, row)?;
        bytes += message.size();
        events.push((seq.unsigned_abs(), message));
    }
    Ok(Found {
        events,
        more: false,
    })
}

fn event(of: &Watched, epoch: &str, row: &rusqlite::Row<'_>) -> rusqlite::Result<Message> {
    let (seq, at_ms): (i64, i64) = (row.get(0)?, row.get(1)?);
    let text = |column| Ok::<_, rusqlite::Error>(text(row.get_ref(column)?));
    let (table, op, key) = (text(2)?, text(3)?, text(4)?);
    let (table, op) = (table.unwrap_or_default(), op.unwrap_or_default());
    let (old, new) = (text(5)?, text(6)?);
    let omitted: Vec<&str> = [("old", &old, "inserted"), ("new", &new, "deleted")]
        .into_iter()
        .filter(|(_, row, without)| row.is_none() && *without != op)
        .map(|(which, ..)| which)
        .collect();
    let json = |row: Option<String>| row.unwrap_or_else(|| "null".to_owned());
    let data = format!("{{\"old\":{},\"new\":{}}}", json(old), json(new));
    let extensions = match omitted.is_empty() {
        true => Vec::new(),
        false => vec![(OMITTED, omitted.join(","))],
    };
    let change = Change {
        source: &of.source_of_table(&table),
        kind: &format!("gust.sql.{op}"),
        id: format!("{epoch}-{seq}"),
        key: &key.unwrap_or_default(),
        time_us: at_ms.unsigned_abs() * 1000,
        extensions,
        data: Some(("application/json", data.into())),
    };
    Ok(change.into_message())
}

/// Text, whatever bytes a guest has put into it.
fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Null => None,
    }
}

/// Why a round ended early.
enum Fault {
    /// Somebody else has it; that is no news.
    Locked,
    Other(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        match code {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            _ => Self::Other(fault::of_opening(error)),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}
