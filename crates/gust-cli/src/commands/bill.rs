//! `gust bill`: what a month costs.

use gust_api::usage::{Bill, BillLine, BillQuery, Cost};
use gust_types::{Error, Result};

use crate::{
    output::{self, Table},
    remote::Remote,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The month (UTC) [default: the current one]
    #[arg(long, value_name = "YYYY-MM", num_args = 0..=1, default_missing_value = "")]
    month: Option<String>,
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
    };
    let bill = args
        .remote
        .client()?
        .bill(&args.remote.project, &query)
        .await
        .map_err(|e| args.remote.explain(e))?;
    match (args.json, args.csv) {
        (true, _) => output::json(&bill)?,
        (_, true) => output::csv(&csv(&bill))?,
        _ => {
            output::say(&format!(
                "{} in {}, {}",
                bill.project, bill.month, bill.currency
            ));
            table(&bill).print()?;
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

fn table(bill: &Bill) -> Table {
    let heading = [
        "APP",
        "FUNCTION",
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
    let mut table = Table::new(&heading, &[2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    for line in &bill.lines {
        let mut row = vec![
            line.app.to_string(),
            line.function.to_string(),
            line.usage.calls.to_string(),
        ];
        row.extend(items(&line.cost).map(|(_, amount)| amount.clone()));
        row.push(line.total.clone());
        table.row(row);
    }
    let mut total = vec![String::new(); heading.len()];
    total[0] = "total".to_owned();
    total[heading.len() - 1] = format!("{} {}", bill.total, bill.currency);
    table.row(total);
    table
}

fn items(cost: &Cost) -> [(&'static str, &String); 8] {
    [
        ("calls", &cost.calls),
        ("memory", &cost.memory),
        ("cpu", &cost.cpu),
        ("bytes_in", &cost.bytes_in),
        ("bytes_out", &cost.bytes_out),
        ("kv", &cost.kv),
        ("sql", &cost.sql),
        ("http_out", &cost.http_out),
    ]
}

fn csv(bill: &Bill) -> Vec<Vec<String>> {
    let heading = [
        "month",
        "currency",
        "project",
        "app",
        "function",
        "calls",
        "cost_calls",
        "cost_memory",
        "cost_cpu",
        "cost_bytes_in",
        "cost_bytes_out",
        "cost_kv",
        "cost_sql",
        "cost_http_out",
        "total",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(bill.lines.iter().map(|line| csv_row(bill, line)));
    rows
}

fn csv_row(bill: &Bill, line: &BillLine) -> Vec<String> {
    let mut row = vec![
        bill.month.clone(),
        bill.currency.clone(),
        bill.project.to_string(),
        line.app.to_string(),
        line.function.to_string(),
        line.usage.calls.to_string(),
    ];
    row.extend(items(&line.cost).map(|(_, amount)| amount.clone()));
    row.push(line.total.clone());
    row
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_bill_has_a_line_for_each_function_and_a_total() {
        let amount = || "0.1".to_owned();
        let bill = Bill {
            project: "default".parse().unwrap(),
            month: "2026-11".to_owned(),
            currency: "USD".to_owned(),
            lines: vec![BillLine {
                app: "shop".parse().unwrap(),
                function: "cart".parse().unwrap(),
                usage: gust_api::usage::Totals {
                    calls: 12,
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
                    http_out: amount(),
                },
                total: "0.8".to_owned(),
            }],
            total: "0.8".to_owned(),
        };
        let rows = csv(&bill);
        assert_eq!(rows[0].len(), rows[1].len());
        assert_eq!(
            rows[1].join(","),
            "2026-11,USD,default,shop,cart,12,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.8"
        );
    }
}
