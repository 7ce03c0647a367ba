//! `gust bill`: what a month costs.

use gust_api::usage::{Bill, BillQuery, Cost, Totals};
use gust_types::{Error, Result};

use crate::{
    groups::Groups,
    output::{self, Table},
    remote::Remote,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The month (UTC) [default: the current one]
    #[arg(long, value_name = "YYYY-MM", num_args = 0..=1, default_missing_value = "")]
    month: Option<String>,
    #[command(flatten)]
    groups: Groups,
    /// Print one JSON document
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    let query = BillQuery {
        month: month(args.month.as_deref())?,
        by: Some(args.groups.by()),
    };
    let bill = args
        .remote
        .client()?
        .bill(args.groups.project(&args.remote), &query)
        .await
        .map_err(|e| args.remote.explain(e))?;
    match (args.json, args.csv) {
        (true, _) => output::json(&bill)?,
        (_, true) => output::csv(&csv(&bill)?)?,
        _ => {
            let whose = match &bill.project {
                Some(project) => project.as_str(),
                None => "all projects",
            };
            output::say(&format!("{whose} in {}, {}", bill.month, bill.currency));
            table(&bill, args.groups).print()?;
        }
    }
    Ok(crate::OK)
}

fn month(given: Option<&str>) -> Result<Option<String>> {
    let Some(text) = given.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let valid = text.split_once('-').is_some_and(|(year, month)| {
        year.len() == 4
            && month.len() == 2
            && year.parse::<u32>().is_ok()
            && month.parse::<u32>().is_ok_and(|m| (1..=12).contains(&m))
    });
    if !valid {
        return Err(
            Error::invalid(format!("not a month: {text:?}")).hint("write it like \"2026-11\"")
        );
    }
    Ok(Some(text.to_owned()))
}

const HEADING: [&str; 10] = [
    "CALLS",
    "CALLS COST",
    "MEMORY",
    "CPU",
    "TRANSFER IN",
    "TRANSFER OUT",
    "KV",
    "SQL",
    "HTTP",
    "TOTAL",
];

fn table(bill: &Bill, groups: Groups) -> Table {
    let mut heading = groups.heading();
    let names = heading.len();
    heading.extend(HEADING);
    let right: Vec<usize> = (names..heading.len()).collect();
    let mut table = Table::new(&heading, &right);
    for line in &bill.lines {
        let mut row = groups.cells(&line.project, line.app.as_ref(), line.function.as_ref());
        row.push(line.usage.calls.to_string());
        row.extend(items(&line.cost).map(Clone::clone));
        row.push(line.total.clone());
        table.row(row);
    }
    let mut total = groups.total();
    let calls: u64 = bill.lines.iter().map(|line| line.usage.calls).sum();
    total.push(calls.to_string());
    total.resize(heading.len() - 1, String::new());
    total.push(format!("{} {}", bill.total, bill.currency));
    table.row(total);
    table
}

/// In the order of the heading.
fn items(cost: &Cost) -> [&String; 8] {
    [
        &cost.calls,
        &cost.memory,
        &cost.cpu,
        &cost.bytes_in,
        &cost.bytes_out,
        &cost.kv,
        &cost.sql,
        &cost.http_out,
    ]
}

/// What was used and what that costs, item by item, under the names of the API.
fn csv(bill: &Bill) -> Result<Vec<Vec<String>>> {
    let mut heading = ["month", "currency", "project", "app", "function"]
        .map(str::to_owned)
        .to_vec();
    heading.extend(output::names(&Totals::default())?);
    let costs = output::names(&Cost::default())?;
    heading.extend(costs.into_iter().map(|name| format!("cost_{name}")));
    heading.push("total".to_owned());
    let mut rows = vec![heading];
    for line in &bill.lines {
        let mut row = vec![
            bill.month.clone(),
            bill.currency.clone(),
            line.project.to_string(),
            line.app
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            line.function
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ];
        row.extend(output::values(&line.usage)?);
        row.extend(output::values(&line.cost)?);
        row.push(line.total.clone());
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use gust_api::usage::BillLine;

    use super::*;

    #[test]
    fn months_are_checked() {
        assert_eq!(month(None).unwrap(), None);
        assert_eq!(month(Some("")).unwrap(), None);
        assert_eq!(month(Some("2026-11")).unwrap().as_deref(), Some("2026-11"));
        for bad in [
            "2026",
            "2026-13",
            "26-11",
            "2026-1",
            "november",
            "2026-11-01",
        ] {
            assert!(month(Some(bad)).is_err(), "{bad}");
        }
    }

    fn line(app: &str, calls: u64) -> BillLine {
        let amount = || "0.1".to_owned();
        BillLine {
            project: "default".parse().unwrap(),
            app: Some(app.parse().unwrap()),
            function: None,
            usage: Totals {
                calls,
                cpu_us: 7,
                ..Default::default()
            },
            cost: Cost {
                calls: amount(),
                memory: amount(),
                cpu: amount(),
                bytes_in: amount(),
                bytes_out: amount(),
                kv: amount(),
                sql: amount(),
                http_out: "0.000000001".to_owned(),
            },
            total: "0.700000001".to_owned(),
        }
    }

    #[test]
    fn csv_has_what_was_used_and_what_it_costs() {
        let bill = Bill {
            project: None,
            month: "2026-11".to_owned(),
            currency: "USD".to_owned(),
            lines: vec![line("shop", 12), line("blog", 3)],
            total: "1.400000002".to_owned(),
        };
        let rows = csv(&bill).unwrap();
        assert!(rows.iter().all(|row| row.len() == rows[0].len()));
        let at = |name: &str| rows[0].iter().position(|h| h == name).unwrap();
        for (name, value) in [
            ("month", "2026-11"),
            ("currency", "USD"),
            ("project", "default"),
            ("app", "shop"),
            ("function", ""),
            ("calls", "12"),
            ("cpu_us", "7"),
            ("cost_calls", "0.1"),
            ("cost_http_out", "0.000000001"),
            ("total", "0.700000001"),
        ] {
            assert_eq!(rows[1][at(name)], value, "{name}");
        }
    }
}
