//! Lends connections. Idle ones stay open, the least recently used go first when they are too many.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use gust_backend::sql::{Effect, Rows, SqlLimits, Value};
use gust_types::{Error, Label, ProjectName, Result};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    Settings,
    feed::Feeder,
    rows::Run,
    worker::{JOBS, Job, OwnTask, Worker},
};
use crate::disk::Disk;

/// Which database.
pub(super) type DatabaseKey = (ProjectName, Label);

/// How long a borrower waits for a place.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Pool {
    folder: PathBuf,
    disk: Disk,
    limits: SqlLimits,
    places: Arc<Semaphore>,
    idle: Mutex<Idle>,
    /// Told of the changes of watched tables.
    feeder: Arc<Feeder>,
}

struct Idle {
    /// The least recently used first.
    connections: VecDeque<(DatabaseKey, mpsc::Sender<Job>)>,
    most: usize,
    closed: bool,
}

/// A connection on loan.
pub(super) struct Lent {
    jobs: mpsc::Sender<Job>,
    /// The statement that was started last.
    last: Mutex<Option<Arc<Run>>>,
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(folder: &Path, disk: Disk, settings: &Settings, feeder: Arc<Feeder>) -> Self {
        Self {
            feeder,
            folder: folder.to_owned(),
            disk,
            limits: settings.limits(),
            places: Arc::new(Semaphore::new(settings.connections.max(1) as usize)),
            idle: Mutex::new(Idle {
                connections: VecDeque::new(),
                most: settings.idle as usize,
                closed: false,
            }),
        }
    }

    pub(super) fn limits(&self) -> SqlLimits {
        self.limits
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(super) fn feeder(&self) -> &Feeder {
        &self.feeder
    }

    /// Whether there is such a database.
    pub(super) fn has(&self, project: &ProjectName, name: &Label) -> bool {
        path(&self.folder, &(project.clone(), name.clone())).exists()
    }

    /// The databases of a project that have a file.
    pub(super) fn names(&self, project: &ProjectName) -> Result<Vec<Label>> {
        let unread = |error| Error::unavailable("the databases cannot be listed").because(error);
        let entries = match std::fs::read_dir(self.folder.join(project.as_str())) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unread(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = entry.map_err(unread)?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".db"));
            names.extend(name.and_then(|name| Label::new(name).ok()));
        }
        names.sort();
        Ok(names)
    }

    /// A connection to this database; waits for a place if all are taken.
    pub(super) async fn lend(
        self: &Arc<Self>,
        project: &ProjectName,
        name: &Label,
    ) -> Result<Lent> {
        let place = tokio::time::timeout(PATIENCE, self.places.clone().acquire_owned()).await;
        let permit = place
            .map_err(|_| Error::unavailable("too many database connections are in use"))?
            .map_err(|_| closed())?;
        let key = (project.clone(), name.clone());
        let jobs = match self.take(&key)? {
            Some(jobs) => jobs,
            None => self.start(key)?,
        };
        let (ready, opened) = oneshot::channel();
        let begin = Job::Begin { permit, ready };
        jobs.send(begin).await.map_err(|_| closed())?;
        opened.await.map_err(|_| closed())??;
        Ok(Lent {
            jobs,
            last: Mutex::new(None),
        })
    }

    /// Takes a connection back; false when it is not wanted any more.
    pub(super) fn put_back(&self, key: DatabaseKey, jobs: mpsc::Sender<Job>) -> bool {
        let mut idle = self.idle.lock();
        if idle.closed || idle.most == 0 {
            return false;
        }
        idle.connections.push_back((key, jobs));
        if idle.connections.len() > idle.most {
            // Its thread sees that nobody can send any more, and ends.
            idle.connections.pop_front();
        }
        true
    }

    /// Closes what is idle; connections on loan close when they come back.
    pub(super) fn close(&self) {
        self.places.close();
        let mut idle = self.idle.lock();
        idle.closed = true;
        idle.connections.clear();
    }

    fn take(&self, key: &DatabaseKey) -> Result<Option<mpsc::Sender<Job>>> {
        let mut idle = self.idle.lock();
        if idle.closed {
            return Err(closed());
        }
        // The most recently used: its pages are in memory.
        let at = idle.connections.iter().rposition(|(k, _)| k == key);
        Ok(at
            .and_then(|at| idle.connections.remove(at))
            .map(|(_, jobs)| jobs))
    }

    fn start(self: &Arc<Self>, key: DatabaseKey) -> Result<mpsc::Sender<Job>> {
        let (sender, receiver) = mpsc::channel(JOBS);
        let path = path(&self.folder, &key);
        let worker = Worker::new(self.clone(), key, path, self.limits);
        std::thread::Builder::new()
            .name("sql".to_owned())
            .spawn(move || worker.run(receiver))
            .map_err(|e| Error::unavailable("cannot start a database thread").because(e))?;
        Ok(sender)
    }
}

/// The file of a database. Names have no dots, slashes or zero bytes, so they are safe in a path.
pub(super) fn path(folder: &Path, (project, name): &DatabaseKey) -> PathBuf {
    folder.join(project.as_str()).join(format!("{name}.db"))
}

fn closed() -> Error {
    Error::unavailable("database is closed")
}

// === impl Lent ===

impl Lent {
    pub(super) async fn execute(&self, statement: String, parameters: Vec<Value>) -> Result<Rows> {
        let run = Run::new();
        if let Some(before) = self.last.lock().replace(run.clone()) {
            before.hurry();
        }
        let (head, answer) = oneshot::channel();
        let job = Job::Execute {
            statement,
            parameters,
            run: run.clone(),
            head,
        };
        // Whoever stops waiting stops the statement.
        let guard = CancelOnDrop(Some(run));
        self.jobs.send(job).await.map_err(|_| closed())?;
        let answer = answer.await.map_err(|_| closed())?;
        guard.disarm();
        answer
    }

    /// Has the platform's own work done.
    pub(super) async fn own(&self, task: OwnTask) -> Result<Option<Bytes>> {
        let run = Run::new();
        if let Some(before) = self.last.lock().replace(run.clone()) {
            before.hurry();
        }
        let (answer, reply) = oneshot::channel();
        let job = Job::Own {
            run: run.clone(),
            task: Box::new(task),
            answer,
        };
        let guard = CancelOnDrop(Some(run));
        self.jobs.send(job).await.map_err(|_| closed())?;
        let reply = reply.await.map_err(|_| closed())?;
        guard.disarm();
        reply
    }

    pub(super) async fn watch(&self, tables: Vec<String>, exactly: bool) -> Result<()> {
        let (answer, reply) = oneshot::channel();
        let job = Job::Watch {
            tables,
            exactly,
            answer,
        };
        self.jobs.send(job).await.map_err(|_| closed())?;
        reply.await.map_err(|_| closed())?
    }

    pub(super) async fn effect(&self) -> Result<Effect> {
        if let Some(before) = &*self.last.lock() {
            before.hurry();
        }
        let (answer, reply) = oneshot::channel();
        let job = Job::Effect { answer };
        self.jobs.send(job).await.map_err(|_| closed())?;
        reply.await.map_err(|_| closed())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Rows may be read after the connection's handle is gone, but nobody waits for them: they have to fit.
        if let Some(run) = self.last.lock().take() {
            run.hurry();
        }
    }
}

struct CancelOnDrop(Option<Arc<Run>>);

impl CancelOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run.cancel();
        }
    }
}
