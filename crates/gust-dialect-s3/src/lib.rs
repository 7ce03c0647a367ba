//! The S3 door: a project's buckets as every S3 client knows them.
//!
//! It speaks the protocol (signatures, XML, checksums) and knows buckets by the blob seam alone. It never names a backend,
//! and it keeps no keys: whose they are it asks [`Keys`]. Start with `operations.rs` (what is served), then `gate.rs` (one
//! request from its head to its answer), then `objects.rs`.
#![warn(missing_docs)]

mod access;
mod body;
mod buckets;
mod copies;
mod counts;
mod error;
mod gate;
mod lists;
mod objects;
mod operations;
mod refuse;
mod serve;
mod service;
mod sums;
#[cfg(test)]
mod tests;
mod uploads;

use std::sync::Arc;

use gust_backend::Backends;
use gust_types::ProjectName;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::sync::Semaphore;

pub use counts::{Class, Counted};
pub use operations::{Operation, SERVED};

use crate::counts::Counts;

/// Requests under way at once.
const REQUESTS: usize = 1024;

/// What the door needs from other rooms.
pub struct Parts {
    /// Opens buckets.
    pub backends: Arc<dyn Backends>,
    /// Knows access keys.
    pub keys: Arc<dyn Keys>,
}

/// Knows access keys. Asked with every request, so it answers from memory.
pub trait Keys: Send + Sync {
    /// The key of this id, if it is good.
    fn find(&self, id: &str) -> Option<AccessKey>;
}

/// A key that requests are signed with.
#[derive(Clone)]
pub struct AccessKey {
    /// Whose buckets it opens.
    pub project: ProjectName,
    /// What signatures are made with.
    pub secret: String,
}

/// The door. Clones are handles to the same one.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    service: S3Service,
    counts: Counts,
    places: Arc<Semaphore>,
}

// === impl Door ===

impl Door {
    /// A door to these backends.
    pub fn new(parts: Parts) -> Self {
        let mut builder =
            S3ServiceBuilder::new(service::Service::new(parts.backends, parts.keys.clone()));
        builder.set_auth(access::Secrets(parts.keys.clone()));
        builder.set_access(access::Access(parts.keys));
        builder.set_validation(access::Names);
        builder.set_config(gate::limits());
        Self(Arc::new(Inner {
            service: builder.build(),
            counts: Counts::default(),
            places: Arc::new(Semaphore::new(REQUESTS)),
        }))
    }

    /// What projects have asked for since the start, by name.
    pub fn counted(&self) -> Vec<(ProjectName, Counted)> {
        self.0.counts.all()
    }
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey")
            .field("project", &self.project)
            .finish_non_exhaustive()
    }
}
