//! What dispatch tells whoever counts: once per refusal, once per settled call.
//!
//! A seam of one small trait, so that this room does not know how metrics are kept. Both calls are on the hot path.

use gust_types::{FunctionKey, Usage, call::Trace};

use crate::Refusal;

/// How long a settled call spent in each stage, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    /// Until the function and the project let it in.
    pub admit_us: u64,
    /// Until it had an instance.
    pub acquire_us: u64,
    /// Until the guest was done with it.
    pub call_us: u64,
    /// From there until the reply was gone and the record written.
    pub settle_us: u64,
}

/// Sees what happens on the path.
pub trait PathMetrics: Send + Sync {
    /// A call was refused.
    fn refused(&self, function: &FunctionKey, why: Refusal);
    /// A call was settled; `usage` is its record.
    fn settled(&self, usage: &Usage, stages: Stages, trace: Trace);
}

/// Counts nothing.
pub struct Unseen;

impl PathMetrics for Unseen {
    fn refused(&self, _: &FunctionKey, _: Refusal) {}
    fn settled(&self, _: &Usage, _: Stages, _: Trace) {}
}
