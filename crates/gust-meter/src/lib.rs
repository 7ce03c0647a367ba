//! What calls took and what that costs: the ledger's seam, roll-ups, prices and budgets.
//!
//! Every settled call makes one [`gust_types::Usage`], handed to a [`Meter`]. A [`Ledger`] keeps records durably and
//! rolls them up by minute and hour. Nothing here touches a disk: `gust-backend-local` has the durable ledger.
#![warn(missing_docs)]

use gust_types::Usage;

/// Takes records on the hot path. Never blocks and never fails: what it cannot keep, it counts and says.
pub trait Meter: Send + Sync {
    /// One settled call.
    fn record(&self, usage: Usage);
}
