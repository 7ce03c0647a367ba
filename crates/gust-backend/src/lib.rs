//! Where things are kept: the seams for key-value stores, SQL databases, blobs, queues and topics.
//!
//! A backend never knows what a guest is; a runtime never knows which engine is behind. Each seam comes with a public
//! suite (`kv::suite`, `sql::suite`, `blob::suite`, `queue::suite`, `unit::suite`) that every implementation passes. The key-value store and the queue in
//! memory are here ([`kv::memory`], [`queue::memory`]); SQL in memory is SQLite's own and lives with it in `gust-backend-local`.
//! Start with [`kv::Kv`].
#![warn(missing_docs)]

pub mod blob;
pub mod changes;
pub mod counts;
pub mod desk;
pub mod keys;
pub mod kv;
pub mod outlet;
pub mod queue;
pub mod sql;
pub mod topic;
pub mod unit;

use std::sync::Arc;

use async_trait::async_trait;
use gust_types::{Label, ProjectName, Result};

/// Opens the resources of a project. One per node; plug-ins implement it.
///
/// Opening is cheap and does no I/O: an engine opens its files at the first operation.
#[async_trait]
pub trait Backends: Send + Sync {
    /// The store behind this name.
    fn kv(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn kv::Kv>>;
    /// The stores of a project that anything was ever put into.
    fn stores(&self, project: &ProjectName) -> Result<Vec<Label>>;
    /// The database behind this name.
    fn sql(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn sql::Sql>>;
    /// The databases of a project that anything was ever written to.
    fn databases(&self, project: &ProjectName) -> Result<Vec<Label>>;
    /// The bucket behind this name.
    fn blob(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn blob::Bucket>>;
    /// The buckets of a project that are there.
    fn buckets(&self, project: &ProjectName) -> Result<Vec<Label>>;
    /// What comes into the bucket behind this name in parts.
    fn uploads(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn blob::Uploads>>;
    /// The bucket, if it is there: made, or anything was put into it.
    async fn bucket(&self, project: &ProjectName, name: &Label)
    -> Result<Option<blob::BucketInfo>>;
    /// Makes a bucket; answers whether it was not there.
    async fn make_bucket(&self, project: &ProjectName, name: &Label) -> Result<bool>;
    /// Removes a bucket; answers whether it was there. One that has objects or uploads is a `Conflict`.
    async fn remove_bucket(&self, project: &ProjectName, name: &Label) -> Result<bool>;
    /// The queue behind this name, which behaves like this from now on.
    fn queue(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: &queue::QueueSettings,
    ) -> Result<Arc<dyn queue::Queue>>;
    /// The queues of a project that anything was ever asked of, but for those that the platform keeps for itself.
    fn queues(&self, project: &ProjectName) -> Result<Vec<Label>>;
    /// The queues of a project that the platform keeps for itself.
    fn own_queues(&self, project: &ProjectName) -> Result<Vec<Label>>;
    /// The topic behind this name, which behaves like this from now on.
    fn topic(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: &topic::TopicSettings,
    ) -> Result<Arc<dyn topic::Topic>>;
    /// The topics of a project that anything was ever published to or subscribed from, but for those that the platform
    /// keeps for itself.
    fn topics(&self, project: &ProjectName) -> Result<Vec<Label>>;
    /// The resources of all projects whose changes anybody ever listened to: each has the topic
    /// [`changes::Watched::topic`].
    fn streams(&self) -> Result<Vec<(ProjectName, changes::Watched)>>;
    /// Commits a unit of work of the project: writes, messages and the end of the messages that led to them, durable when
    /// it answers, or nothing of it. `Conflict` when a check does not hold, `NotFound` when a receipt is worth nothing,
    /// `Exhausted` when there is no room.
    async fn commit(&self, project: &ProjectName, commit: unit::Commit) -> Result<()>;
}
