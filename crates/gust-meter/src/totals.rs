//! What many records add up to. One list of columns serves memory, storage, checks and JSON.

use gust_types::{Outcome, Usage, usage::Start};
use serde::{Deserialize, Serialize};

macro_rules! totals {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// Sums over calls. Every field is a plain sum, so totals of totals are totals.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Totals {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Totals {
            /// The names of the sums, in the order of [`Totals::columns`].
            pub const COLUMNS: [&'static str; totals!(@count $($field)*)] = [$(stringify!($field),)*];

            /// The sums, in the order of [`Totals::COLUMNS`].
            pub fn columns(&self) -> [u64; Self::COLUMNS.len()] {
                [$(self.$field,)*]
            }

            /// Totals of these sums.
            pub fn from_columns(columns: [u64; Self::COLUMNS.len()]) -> Self {
                let [$($field,)*] = columns;
                Self { $($field,)* }
            }

            /// Adds other totals.
            pub fn add(&mut self, other: &Totals) {
                $(self.$field = self.$field.saturating_add(other.$field);)*
            }
        }
    };
    (@count) => { 0 };
    (@count $head:ident $($tail:ident)*) => { 1 + totals!(@count $($tail)*) };
}

totals! {
    /// Settled calls.
    calls,
    /// From accept to settle, microseconds.
    wall_us,
    /// Time guests were really running, microseconds.
    cpu_us,
    /// Memory times the time it was held, MB (1,000,000 bytes) times ms.
    memory_mb_ms,
    /// Request body bytes.
    bytes_in,
    /// Response body bytes.
    bytes_out,
    /// Key-value operations.
    kv,
    /// SQL statements.
    sql,
    /// Outbound HTTP requests.
    http_out,
    /// Calls that mapped the code first.
    cold,
    /// Calls that made a new instance of mapped code.
    warm,
    /// Calls that an instance served which had served before.
    reused,
    /// Calls without an instance.
    uninstanced,
    /// Outcome `ok`.
    ok,
    /// Outcome `failed`.
    failed,
    /// Outcome `cpu_limit`.
    cpu_limit,
    /// Outcome `wall_limit`.
    wall_limit,
    /// Outcome `memory_limit`.
    memory_limit,
    /// Outcome `body_limit`.
    body_limit,
    /// Outcome `cancelled`.
    cancelled,
    /// Outcome `platform`.
    platform,
    /// Waiting for admission and an instance's place, microseconds.
    queue_us,
    /// Mapping, microseconds.
    map_us,
    /// Linking, microseconds.
    link_us,
    /// Making instances, microseconds.
    instantiate_us,
    /// From calling the guest to the head of its response, microseconds.
    first_byte_us,
    /// Calls among [`Totals::calls`] whose single record was not kept (the disk was full for long); their sums are here all the same.
    unkept,
}

impl Totals {
    /// Adds one record.
    pub fn add_usage(&mut self, usage: &Usage) {
        let add = |sum: &mut u64, value: u64| *sum = sum.saturating_add(value);
        add(&mut self.calls, 1);
        add(&mut self.wall_us, usage.wall_us);
        add(&mut self.cpu_us, usage.cpu_us);
        add(&mut self.memory_mb_ms, usage.memory_mb_ms);
        add(&mut self.bytes_in, usage.bytes_in);
        add(&mut self.bytes_out, usage.bytes_out);
        add(&mut self.kv, u64::from(usage.host.kv));
        add(&mut self.sql, u64::from(usage.host.sql));
        add(&mut self.http_out, u64::from(usage.host.http_out));
        add(self.start_mut(usage.start), 1);
        add(self.outcome_mut(usage.outcome), 1);
        add(&mut self.queue_us, u64::from(usage.phases.queue_us));
        add(&mut self.map_us, u64::from(usage.phases.map_us));
        add(&mut self.link_us, u64::from(usage.phases.link_us));
        add(
            &mut self.instantiate_us,
            u64::from(usage.phases.instantiate_us),
        );
        add(
            &mut self.first_byte_us,
            u64::from(usage.phases.first_byte_us),
        );
    }

    /// The totals of these records.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Usage>) -> Self {
        let mut totals = Self::default();
        records.into_iter().for_each(|u| totals.add_usage(u));
        totals
    }

    fn start_mut(&mut self, start: Start) -> &mut u64 {
        match start {
            Start::Cold => &mut self.cold,
            Start::Warm => &mut self.warm,
            Start::Reused => &mut self.reused,
            Start::None => &mut self.uninstanced,
        }
    }

    fn outcome_mut(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Ok => &mut self.ok,
            Outcome::Failed => &mut self.failed,
            Outcome::CpuLimit => &mut self.cpu_limit,
            Outcome::WallLimit => &mut self.wall_limit,
            Outcome::MemoryLimit => &mut self.memory_limit,
            Outcome::BodyLimit => &mut self.body_limit,
            Outcome::Cancelled => &mut self.cancelled,
            Outcome::Platform => &mut self.platform,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::usage;

    #[test]
    fn totals_of_totals_are_totals() {
        let records: Vec<_> = (0..100).map(|i| usage("app", "f", i, i * 7)).collect();
        let (left, right) = records.split_at(37);
        let mut sum = Totals::of(left);
        sum.add(&Totals::of(right));
        assert_eq!(sum, Totals::of(&records));
        assert_eq!(sum.calls, 100);
        assert_eq!(Totals::from_columns(sum.columns()), sum);
    }

    #[test]
    fn every_start_and_outcome_is_counted_once() {
        let records: Vec<_> = (0..64).map(|i| usage("app", "f", i, 0)).collect();
        let t = Totals::of(&records);
        assert_eq!(t.cold + t.warm + t.reused + t.uninstanced, t.calls);
        let outcomes = t.ok
            + t.failed
            + t.cpu_limit
            + t.wall_limit
            + t.memory_limit
            + t.body_limit
            + t.cancelled
            + t.platform;
        assert_eq!(outcomes, t.calls);
        assert!(t.cold > 0 && t.warm > 0 && t.reused > 0 && t.uninstanced > 0);
        assert!(t.platform > 0 && t.cpu_limit > 0);
    }
}
