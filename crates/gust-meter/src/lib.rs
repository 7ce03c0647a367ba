//! What calls took and what that costs: the ledger's seam, roll-ups, prices and budgets.
//!
//! Every settled call makes one [`gust_types::Usage`], handed to a [`Meter`]. A [`Ledger`] keeps records durably and
//! rolls them up by minute, hour and month. Nothing here touches a disk: `gust-backend-local` has the durable ledger.
//! Start with [`totals`] (what records add up to), then [`ledger`], then [`bill`].
#![warn(missing_docs)]

pub mod bill;
pub mod budget;
pub mod ledger;
pub mod memory;
pub mod money;
pub mod period;
pub mod prices;
pub mod suite;
pub mod totals;

pub use bill::{Bill, BillLine};
pub use budget::{Assessment, Budget, BudgetKeeper, Standing};
pub use ledger::{GroupBy, Ledger, RecordQuery, UsageQuery, UsageRow, Verification};
pub use memory::MemoryLedger;
pub use money::Money;
pub use period::{Month, Period};
pub use prices::Prices;
pub use totals::Totals;

use gust_types::Usage;

/// Takes records on the hot path. Never blocks and never fails: what it cannot keep, it counts and says.
pub trait Meter: Send + Sync {
    /// One settled call.
    fn record(&self, usage: Usage);
}
