//! What a function may touch in a call with a unit of work: the same, through the unit.

use std::{sync::Arc, time::Duration};

use gust_backend::unit::Unit;
use gust_runtime::{Bindings, ReusePlan};

/// An instance that serves one call and is gone.
pub(super) const ALONE: ReusePlan = ReusePlan {
    calls: 1,
    concurrent: 1,
    idle: Duration::ZERO,
};

/// Bindings for an instance that works for this unit alone.
pub(super) fn bind(unit: &Arc<Unit>, plain: &Bindings) -> Bindings {
    let mut bindings = plain.clone();
    for (label, store) in &mut bindings.kv {
        *store = unit.kv(label, store.clone());
    }
    for (label, database) in &mut bindings.sql {
        *database = unit.sql(label, database.clone());
    }
    for outlet in bindings.outlets.values_mut() {
        *outlet = unit.outlet(outlet.clone());
    }
    for bucket in bindings.blobs.values_mut() {
        *bucket = unit.bucket(bucket.clone());
    }
    bindings
}
