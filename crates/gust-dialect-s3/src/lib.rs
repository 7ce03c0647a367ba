//! The S3 door: a project's buckets as every S3 client knows them.
//!
//! It speaks the protocol (signatures, XML, checksums) and knows buckets by the blob seam alone. It never names a backend,
//! and it keeps no keys: whose they are it asks [`gust_backend::keys::Keys`]. Start with `operations.rs` (what is served), then `gate.rs` (one
//! request from its head to its answer), then `objects.rs`.
#![warn(missing_docs)]

mod access;
mod body;
mod buckets;
mod copies;
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

use gust_backend::{Backends, keys::Keys};
use gust_types::ProjectName;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::sync::Semaphore;

pub use gust_backend::counts::{Class, Counted};
pub use operations::{Operation, SERVED};

use gust_backend::counts::Counts;

/// Requests under way at once.
const REQUESTS: usize = 1024;

/// What the door needs from other rooms.
pub struct Parts {
    /// Opens buckets.
    pub backends: Arc<dyn Backends>,
    /// Knows access keys.
    pub keys: Arc<dyn Keys>,
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
