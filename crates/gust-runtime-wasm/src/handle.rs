//! Instances as the seam sees them.

use std::sync::Arc;

use gust_runtime::{Done, Instance, Sharer};
use gust_types::{BoxFuture, Call, Reply, Result};

use crate::{call::Inline, live::Live, resident::Resident};

/// A copy that nobody calls at the moment.
pub(crate) struct Handle {
    live: Live,
    resident: Arc<Resident>,
}

// === impl Handle ===

impl Handle {
    pub(crate) fn boxed(live: Live, resident: Arc<Resident>) -> Box<dyn Instance> {
        Box::new(Self { live, resident })
    }
}

impl Instance for Handle {
    fn call(self: Box<Self>, call: Call, done: Done) -> BoxFuture<'static, Result<Reply>> {
        Box::pin(Inline::new(self.live, self.resident, call, done))
    }

    fn sharer(&self) -> Option<Arc<dyn Sharer>> {
        None
    }
}
