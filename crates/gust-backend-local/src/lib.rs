//! Everything kept in one folder on this machine: key-value stores, queues and topics (fjall), objects (fjall and files),
//! SQL databases (SQLite), the ledger.
//!
//! Writes of many callers become few syncs: one thread commits for all of them. It never answers a write that is not on
//! the disk, and it never knows what a guest is. Start with [`LocalBackends`], then `store/commit.rs` (the group commit),
//! `queue/group.rs`, `blob.rs`, `sql/pool.rs` and `ledger.rs`.
#![warn(missing_docs)]

mod blob;
mod disk;
pub mod kv;
pub mod ledger;
pub mod queue;
#[cfg(test)]
mod small_disk;
pub mod sql;
mod store;
pub mod topic;

pub use ledger::LocalLedger;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use gust_backend::{
    Backends,
    blob::{Bucket, BucketInfo, Uploads},
    changes::Watched,
    kv::Kv,
    queue::{Queue, QueueSettings},
    sql::Sql,
    topic::{Topic, TopicSettings},
    unit::{Commit, Place, Publication},
};
use gust_types::{ByteSize, Label, ProjectName, Result};
use serde::{Deserialize, Serialize};
use store::{Committer, Engine, unit};

/// How the local backends behave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Free space that writes leave on the disk, so that what is running can still tidy up; 0 writes to the end. Default 16 MiB.
    pub disk_reserve: ByteSize,
    /// Key-value stores.
    pub kv: kv::Settings,
    /// SQL databases.
    pub sql: sql::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            disk_reserve: ByteSize::mib(16),
            kv: kv::Settings::default(),
            sql: sql::Settings::default(),
        }
    }
}

/// The backends of one data folder. One process at a time holds a folder; dropping this lets it go.
pub struct LocalBackends {
    kv: kv::Stores,
    queues: Arc<queue::Queues>,
    sweeper: queue::sweep::Sweeper,
    topics: topic::Topics,
    buckets: blob::Buckets,
    sql: sql::Databases,
    committer: Arc<Committer>,
    engine: Arc<Engine>,
}

impl LocalBackends {
    /// Opens or makes the folder. A folder that another process holds is a `Conflict`.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(folder, Settings::default())
    }

    /// Opens or makes the folder, with settings.
    pub fn open_with(folder: impl AsRef<Path>, settings: Settings) -> Result<Self> {
        let folder = folder.as_ref();
        let disk = disk::Disk::new(folder, settings.disk_reserve)?;
        let cache = settings.kv.cache.bytes();
        let engine = Arc::new(Engine::open(&folder.join("kv"), disk.clone(), cache)?);
        let handles = Arc::<topic::Handles>::default();
        let committer = Committer::start(engine.clone(), settings.kv.queue, handles.clone())?;
        let committer = Arc::new(committer);
        let queues = Arc::new(queue::Queues::new(engine.clone(), committer.clone()));
        let buckets = blob::Buckets::open(
            &folder.join("blobs"),
            disk.clone(),
            engine.clone(),
            committer.clone(),
        )?;
        Ok(Self {
            buckets,
            sql: sql::Databases::new(&folder.join("sql"), disk, &settings.sql, committer.clone())?,
            kv: kv::Stores::new(engine.clone(), committer.clone(), &settings.kv)?,
            sweeper: queue::sweep::Sweeper::start(queues.clone())?,
            topics: topic::Topics::new(engine.clone(), committer.clone(), queues.clone(), handles),
            queues,
            committer,
            engine,
        })
    }

    /// What the key-value stores and queues have done since they were opened.
    pub fn kv_stats(&self) -> kv::Stats {
        self.committer.stats()
    }

    /// A unit of work in the words of the tree.
    fn unit(&self, project: &ProjectName, commit: Commit) -> unit::Unit {
        let bytes = commit.size() + 64 * (commit.receipts.len() + 1);
        let target = |name: &Label, settings: &QueueSettings| {
            self.queues.queue(project, name, settings).target()
        };
        let (mut queues, mut topics) = (Vec::new(), Vec::new());
        for Publication { to, messages } in commit.published {
            match to {
                Place::Queue(name, settings) => queues.push((target(&name, &settings), messages)),
                Place::Topic(name, settings, remember) => {
                    let target = self.topics.topic(project, &name, &settings).target();
                    let events = messages;
                    topics.push((target, topic::ask::Op::Publish { events, remember }));
                }
            }
        }
        let receipts = commit.receipts;
        let stores = commit.stores.into_iter().map(|changes| unit::Changes {
            store: kv::keys::StoreKey::new(project, &changes.store),
            checks: changes.checks,
            writes: changes.writes,
        });
        unit::Unit {
            taken: commit
                .queue
                .map(|name| (target(&name, &QueueSettings::default()), receipts)),
            stores: stores.collect(),
            queues,
            topics,
            bytes,
        }
    }
}

#[async_trait]
impl Backends for LocalBackends {
    fn kv(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Kv>> {
        Ok(Arc::new(self.kv.store(project, name)))
    }

    fn stores(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.kv.names(project)
    }

    fn databases(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.sql.names(project)
    }

    fn sql(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Sql>> {
        Ok(Arc::new(self.sql.database(project, name)))
    }

    fn blob(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Bucket>> {
        Ok(Arc::new(self.buckets.bucket(project, name)))
    }

    fn buckets(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.buckets.names(project)
    }

    fn uploads(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Uploads>> {
        Ok(Arc::new(self.buckets.bucket(project, name)))
    }

    async fn bucket(&self, project: &ProjectName, name: &Label) -> Result<Option<BucketInfo>> {
        self.buckets.info(project, name).await
    }

    async fn make_bucket(&self, project: &ProjectName, name: &Label) -> Result<bool> {
        self.buckets.make(project, name).await
    }

    async fn remove_bucket(&self, project: &ProjectName, name: &Label) -> Result<bool> {
        self.buckets.remove(project, name).await
    }

    fn queue(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: &QueueSettings,
    ) -> Result<Arc<dyn Queue>> {
        Ok(Arc::new(self.queues.queue(project, name, settings)))
    }

    fn queues(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.queues.names(project)
    }

    fn own_queues(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.queues.own(project)
    }

    fn topic(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: &TopicSettings,
    ) -> Result<Arc<dyn Topic>> {
        Ok(Arc::new(self.topics.topic(project, name, settings)))
    }

    fn topics(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.topics.names(project)
    }

    fn streams(&self) -> Result<Vec<(ProjectName, Watched)>> {
        self.topics.streams()
    }

    async fn commit(&self, project: &ProjectName, commit: Commit) -> Result<()> {
        self.committer.unit(self.unit(project, commit)).await
    }
}

impl Drop for LocalBackends {
    fn drop(&mut self) {
        self.kv.stop();
        self.buckets.stop();
        self.sql.stop();
        self.sweeper.stop();
        self.queues.stop();
        self.topics.stop();
        self.committer.stop();
        self.engine.close();
    }
}
