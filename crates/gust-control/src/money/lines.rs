//! The lines of a bill by function, app or project.
//!
//! Amounts are rounded once, for each function, and only added up after that. So a bill has the same total however it
//! is told apart, and an app's line is the sum of its functions' lines to the billionth.

use std::collections::{BTreeMap, btree_map::Entry};

use gust_api::usage::GroupBy;
use gust_meter::bill::{BillLine, Cost};

/// The lines of functions, added up.
pub(super) fn summed(functions: Vec<BillLine>, by: GroupBy) -> Vec<BillLine> {
    let mut sums = BTreeMap::new();
    for mut line in functions {
        line.app = line.app.filter(|_| by != GroupBy::Project);
        line.function = line.function.filter(|_| by == GroupBy::Function);
        let group = (
            line.project.clone(),
            line.app.clone(),
            line.function.clone(),
        );
        match sums.entry(group) {
            Entry::Vacant(first) => {
                first.insert(line);
            }
            Entry::Occupied(mut sum) => add(sum.get_mut(), &line),
        }
    }
    sums.into_values().collect()
}

fn add(sum: &mut BillLine, line: &BillLine) {
    sum.usage.add(&line.usage);
    sum.cost = both(&sum.cost, &line.cost);
    sum.total = sum.total.plus(line.total);
}

fn both(a: &Cost, b: &Cost) -> Cost {
    Cost {
        calls: a.calls.plus(b.calls),
        memory: a.memory.plus(b.memory),
        cpu: a.cpu.plus(b.cpu),
        bytes_in: a.bytes_in.plus(b.bytes_in),
        bytes_out: a.bytes_out.plus(b.bytes_out),
        kv: a.kv.plus(b.kv),
        sql: a.sql.plus(b.sql),
        http_out: a.http_out.plus(b.http_out),
    }
}

#[cfg(test)]
mod tests {
    use gust_meter::{Bill, Money, Prices, Totals, UsageRow};

    use super::*;

    fn row(project: &str, app: &str, function: &str, n: u64) -> UsageRow {
        UsageRow {
            project: project.parse().unwrap(),
            app: Some(app.parse().unwrap()),
            function: Some(function.parse().unwrap()),
            start_us: 0,
            // Amounts that do not come out even.
            totals: Totals {
                calls: n,
                memory_mb_ms: 7 * n + 3,
                cpu_us: 1009 * n,
                bytes_out: 77_777 * n,
                kv: n,
                ..Totals::default()
            },
        }
    }

    #[test]
    fn every_grouping_adds_up_to_the_same_total() {
        let rows = vec![
            row("one", "shop", "cart", 1),
            row("one", "shop", "pay", 2),
            row("one", "blog", "main", 3),
            row("two", "shop", "cart", 4),
        ];
        let bill = Bill::of(rows, &Prices::default());
        for (by, names) in [
            (GroupBy::Project, vec!["one", "two"]),
            (GroupBy::App, vec!["one/blog", "one/shop", "two/shop"]),
            (
                GroupBy::Function,
                vec![
                    "one/blog/main",
                    "one/shop/cart",
                    "one/shop/pay",
                    "two/shop/cart",
                ],
            ),
        ] {
            let lines = summed(bill.lines.clone(), by);
            let name = |line: &BillLine| {
                let parts = [
                    Some(line.project.to_string()),
                    line.app.as_ref().map(ToString::to_string),
                    line.function.as_ref().map(ToString::to_string),
                ];
                parts.into_iter().flatten().collect::<Vec<_>>().join("/")
            };
            assert_eq!(lines.iter().map(name).collect::<Vec<_>>(), names);
            assert_eq!(
                lines.iter().map(|l| l.total).sum::<Money>(),
                bill.total,
                "{by:?}"
            );
            assert!(lines.iter().all(|l| l.cost.total() == l.total), "{by:?}");
            assert_eq!(
                lines.iter().map(|l| l.usage.calls).sum::<u64>(),
                10,
                "{by:?}"
            );
        }
    }
}
