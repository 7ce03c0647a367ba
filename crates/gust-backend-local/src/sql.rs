//! SQL databases on SQLite: one file a database, one thread a connection.
//!
//! - `pool.rs`: lends connections, keeps idle ones open up to a bound.
//! - `worker.rs`: the thread that owns a connection and runs one statement after the other.
//! - `guard.rs`: what a connection may do and take.
//! - `mark.rs`: transactions of the platform's own, and what they leave.
//! - `changes.rs`: what SQLite writes down of the changes of watched tables.
//! - `feed.rs`: moves that into the database's change stream.
//! - `rows.rs`: rows on their way from that thread to whoever reads them.
//! - `fault.rs`: SQLite's errors in our words.

mod changes;
pub(crate) mod fault;
mod feed;
mod guard;
mod mark;
mod pool;
mod rows;
#[cfg(test)]
mod tests;
mod worker;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use gust_backend::sql::{Connection, Effect, Mark, Rows, Sql, SqlLimits, Transaction, Value};
use gust_types::{Blame, ByteSize, Error, Kind, Label, ProjectName, Result, Span};
use serde::{Deserialize, Serialize};

use self::{
    feed::Feeder,
    pool::{Lent, Pool},
    worker::OwnTask,
};
use crate::{disk::Disk, store::Committer};

/// How SQL databases behave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Bytes of a statement. Default 1 MiB.
    pub statement: ByteSize,
    /// Bytes of all rows of one answer, and of one value. Default 16 MiB.
    pub result: ByteSize,
    /// Bytes of one database. Default 1 GiB.
    pub database: ByteSize,
    /// How long one statement may run, waiting for other writers included. Default 10 s.
    pub time: Span,
    /// Connections in use at once, of all databases. Default 256.
    pub connections: u32,
    /// Connections kept open while nobody uses them, of all databases. Default 64.
    pub idle: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            statement: ByteSize::mib(1),
            result: ByteSize::mib(16),
            database: ByteSize(1 << 30),
            time: Span::secs(10),
            connections: 256,
            idle: 64,
        }
    }
}

impl Settings {
    fn limits(&self) -> SqlLimits {
        // SQLite counts in 31 bits.
        let bytes = |size: ByteSize| size.bytes().clamp(1024, 1 << 30) as usize;
        SqlLimits {
            statement: bytes(self.statement),
            result: bytes(self.result),
            database: self.database.bytes().max(64 << 10),
            time: self.time.0,
        }
    }
}

/// All databases of a data folder.
pub(crate) struct Databases {
    pool: Arc<Pool>,
    feeder: Arc<Feeder>,
}

impl Databases {
    pub(crate) fn new(
        folder: &Path,
        disk: Disk,
        settings: &Settings,
        committer: Arc<Committer>,
    ) -> Result<Self> {
        let feeder = Feeder::start(folder, committer)?;
        Ok(Self {
            pool: Arc::new(Pool::new(folder, disk, settings, feeder.clone())),
            feeder,
        })
    }

    /// Moves no more changes: before the committing thread ends.
    pub(crate) fn stop(&self) {
        self.feeder.stop();
    }

    /// The databases of a project that have a file, but for those that the platform keeps for itself.
    pub(crate) fn names(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.pool.names(project)
    }

    pub(crate) fn database(&self, project: &ProjectName, name: &Label) -> LocalSql {
        LocalSql {
            pool: self.pool.clone(),
            project: project.clone(),
            name: name.clone(),
        }
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        self.stop();
        self.pool.close();
    }
}

/// One database. Its file is made at the first connection.
pub(crate) struct LocalSql {
    pool: Arc<Pool>,
    project: ProjectName,
    name: Label,
}

#[async_trait]
impl Sql for LocalSql {
    async fn connect(&self) -> Result<Box<dyn Connection>> {
        let lent = self.pool.lend(&self.project, &self.name).await?;
        Ok(Box::new(LocalConnection {
            lent,
            limits: self.pool.limits(),
        }))
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        let lent = self.pool.lend(&self.project, &self.name).await?;
        lent.own(OwnTask::Begin).await?;
        Ok(Box::new(LocalConnection {
            lent,
            limits: self.pool.limits(),
        }))
    }

    async fn mark(&self, id: &str) -> Result<Option<Bytes>> {
        if !self.pool.has(&self.project, &self.name) {
            return Ok(None);
        }
        let lent = self.pool.lend(&self.project, &self.name).await?;
        lent.own(OwnTask::Find(id.to_owned())).await
    }

    async fn watch(&self, tables: Vec<String>, exactly: bool) -> Result<()> {
        if tables.is_empty() && !self.pool.has(&self.project, &self.name) {
            return Ok(());
        }
        let lent = self.pool.lend(&self.project, &self.name).await?;
        lent.watch(tables, exactly).await
    }

    fn limits(&self) -> SqlLimits {
        self.pool.limits()
    }
}

/// A connection on loan. Dropping it ends what it runs and rolls back; the thread behind it sees to that.
struct LocalConnection {
    lent: Lent,
    limits: SqlLimits,
}

#[async_trait]
impl Connection for LocalConnection {
    async fn execute(&self, statement: &str, parameters: Vec<Value>) -> Result<Rows> {
        if statement.len() > self.limits.statement {
            let text = format!("statement is longer than {} bytes", self.limits.statement);
            return Err(Error::new(Kind::Exhausted, Blame::Function, text));
        }
        self.lent.execute(statement.to_owned(), parameters).await
    }

    async fn effect(&self) -> Result<Effect> {
        self.lent.effect().await
    }
}

#[async_trait]
impl Transaction for LocalConnection {
    async fn commit(&self, mark: Mark) -> Result<()> {
        self.lent.own(OwnTask::Commit(mark)).await.map(drop)
    }
}
