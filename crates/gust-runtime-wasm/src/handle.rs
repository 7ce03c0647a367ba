//! Instances as the seam sees them.

use std::sync::Arc;

use gust_runtime::{Done, Instance, Sharer};
use gust_types::{BoxFuture, Call, Error, Reply, Result};

use crate::{call, live::Live, resident::Resident, ride::Ride, share::Place};

/// A live instance that nobody calls at the moment.
struct Idle {
    live: Live,
    resident: Arc<Resident>,
}

/// A place in one that somebody calls already.
struct Placed {
    place: Place,
    resident: Arc<Resident>,
}

/// Makes the two.
pub(crate) struct Handle;

// === impl Handle ===

impl Handle {
    pub(crate) fn idle(live: Live, resident: Arc<Resident>) -> Box<dyn Instance> {
        Box::new(Idle { live, resident })
    }

    pub(crate) fn placed(place: Place, resident: Arc<Resident>) -> Box<dyn Instance> {
        Box::new(Placed { place, resident })
    }
}

impl Instance for Idle {
    fn call(self: Box<Self>, call: Call, done: Done) -> BoxFuture<'static, Result<Reply>> {
        if self.resident.is_stale() {
            return elsewhere(*self, call, done);
        }
        call::start(self.live, self.resident, call, done)
    }

    fn sharer(&self) -> Option<Arc<dyn Sharer>> {
        let shared = self.live.shared.as_ref()?;
        Some(shared.way(&self.resident))
    }
}

/// The code under this instance has changed. The instance is not entered again, nor taken apart, which may read it: the
/// call goes to a new one, of code that was mapped anew.
fn elsewhere(idle: Idle, call: Call, done: Done) -> BoxFuture<'static, Result<Reply>> {
    let Idle { live, resident } = idle;
    // What this one may touch, which need not be what the revision was loaded with.
    let bindings = live.store.data().scope.bindings.clone();
    std::mem::forget(live);
    Box::pin(async move {
        let gone = || Error::unavailable("the function is being unloaded");
        let home = resident.home().ok_or_else(gone)?;
        let (live, resident) = home.make(call.deadline, Some(bindings)).await?;
        call::start(live, resident, call, done).await
    })
}

impl Instance for Placed {
    fn call(self: Box<Self>, call: Call, done: Done) -> BoxFuture<'static, Result<Reply>> {
        Box::pin(Ride::enter(self.place, self.resident, call, done))
    }

    /// The way in was asked for when the instance was idle; there is only one.
    fn sharer(&self) -> Option<Arc<dyn Sharer>> {
        None
    }
}
