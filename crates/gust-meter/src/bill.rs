//! Money from usage: pure, in whole billionths, each item rounded once.

use gust_types::{AppName, FunctionName, ProjectName};
use serde::{Deserialize, Serialize};

use crate::{
    Money, Prices, Totals, UsageRow,
    prices::{GB, GB_SECOND, MILLION, SECOND},
};

/// What usage costs, item by item. Each amount is rounded half up to a billionth, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Settled calls.
    pub calls: Money,
    /// Memory over time.
    pub memory: Money,
    /// CPU time.
    pub cpu: Money,
    /// Request bodies.
    pub bytes_in: Money,
    /// Response bodies.
    pub bytes_out: Money,
    /// Key-value operations.
    pub kv: Money,
    /// SQL statements.
    pub sql: Money,
    /// Outbound HTTP requests.
    pub http_out: Money,
}

/// One line: a function, or whatever the usage was grouped by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BillLine {
    /// The project.
    pub project: ProjectName,
    /// The app, when told apart.
    pub app: Option<AppName>,
    /// The function, when told apart.
    pub function: Option<FunctionName>,
    /// Start of the period, Unix microseconds.
    pub start_us: u64,
    /// What was used.
    pub usage: Totals,
    /// What each item costs.
    pub cost: Cost,
    /// The sum of the items.
    pub total: Money,
}

/// A bill: its total is the sum of its lines, to the billionth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// Of all amounts.
    pub currency: String,
    /// The lines.
    pub lines: Vec<BillLine>,
    /// Their sum.
    pub total: Money,
}

impl Cost {
    /// What this usage costs.
    pub fn of(usage: &Totals, prices: &Prices) -> Self {
        Self {
            calls: prices.calls_per_million.of(usage.calls, MILLION),
            memory: prices
                .memory_per_gb_second
                .of(usage.memory_mb_ms, GB_SECOND),
            cpu: prices.cpu_per_second.of(usage.cpu_us, SECOND),
            bytes_in: prices.bytes_in_per_gb.of(usage.bytes_in, GB),
            bytes_out: prices.bytes_out_per_gb.of(usage.bytes_out, GB),
            kv: prices.kv_per_million.of(usage.kv, MILLION),
            sql: prices.sql_per_million.of(usage.sql, MILLION),
            http_out: prices.http_out_per_million.of(usage.http_out, MILLION),
        }
    }

    /// The sum of the items.
    pub fn total(&self) -> Money {
        [
            self.calls,
            self.memory,
            self.cpu,
            self.bytes_in,
            self.bytes_out,
            self.kv,
            self.sql,
            self.http_out,
        ]
        .into_iter()
        .sum()
    }
}

impl Bill {
    /// The bill for these rows.
    pub fn of(rows: Vec<UsageRow>, prices: &Prices) -> Self {
        let lines: Vec<_> = rows
            .into_iter()
            .map(|row| BillLine::of(row, prices))
            .collect();
        Self {
            currency: prices.currency.clone(),
            total: lines.iter().map(|line| line.total).sum(),
            lines,
        }
    }
}

impl BillLine {
    fn of(row: UsageRow, prices: &Prices) -> Self {
        let cost = Cost::of(&row.totals, prices);
        Self {
            project: row.project,
            app: row.app,
            function: row.function,
            start_us: row.start_us,
            usage: row.totals,
            total: cost.total(),
            cost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(totals: Totals) -> UsageRow {
        UsageRow {
            project: ProjectName::default_project(),
            app: None,
            function: None,
            start_us: 0,
            totals,
        }
    }

    #[test]
    fn a_bill_can_be_checked_by_hand() {
        let usage = Totals {
            calls: 3_000_000,
            // 3,000,000 calls of 120 ms at 1.5 GB: 540,000 GB-seconds
            memory_mb_ms: 3_000_000 * 120 * 1500,
            cpu_us: 10_000 * SECOND,
            bytes_in: 5 * GB,
            bytes_out: 100 * GB,
            kv: 8_000_000,
            sql: 1_000_000,
            http_out: 9,
            ..Totals::default()
        };
        let bill = Bill::of(vec![row(usage)], &Prices::default());
        let cost = bill.lines[0].cost;
        for (item, amount) in [
            (cost.calls, "0.60"),
            (cost.memory, "9.000018"),
            (cost.cpu, "0.20"),
            (cost.bytes_in, "0.00"),
            (cost.bytes_out, "9.00"),
            (cost.kv, "1.00"),
            (cost.sql, "0.35"),
            (cost.http_out, "0.00"),
            (bill.total, "20.150018"),
        ] {
            assert_eq!(item.to_string(), amount);
        }
    }

    #[test]
    fn lines_add_up_to_the_total_exactly() {
        let rows: Vec<_> = (1..1000u64)
            .map(|i| {
                row(Totals {
                    calls: i * 7,
                    memory_mb_ms: i * i * 13,
                    cpu_us: i * 1009,
                    bytes_out: i * 77_777,
                    ..Totals::default()
                })
            })
            .collect();
        let mut all = Totals::default();
        rows.iter().for_each(|r| all.add(&r.totals));
        let bill = Bill::of(rows, &Prices::default());
        let sum: u64 = bill.lines.iter().map(|l| l.total.nanos()).sum();
        assert_eq!(bill.total.nanos(), sum);
        // Rounding per line moves the total by at most half a billionth an item.
        let at_once = Cost::of(&all, &Prices::default()).total().nanos();
        assert!(at_once.abs_diff(sum) <= 999 * 4 / 2 + 4);
    }
}
