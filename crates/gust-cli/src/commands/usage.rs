//! `gust usage`: what calls took, summed or one by one.

use clap::ValueEnum;
use gust_api::usage::{GroupBy, Period, RecordQuery, Records, Totals, UsageQuery, UsageReport};
use gust_types::Result;

use crate::{
    here::Target,
    output::{self, Table},
    remote::Remote,
    time,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of this APP or APP/FUNCTION only
    target: Option<Target>,
    /// One row for each
    #[arg(long, value_enum, default_value_t = By::Function)]
    by: By,
    /// One row for each stretch of time
    #[arg(long, value_enum, default_value_t = Every::Whole)]
    period: Every,
    /// From this moment on: a date (UTC), or a span such as 24h [default: the start of the month]
    #[arg(long, value_name = "WHEN")]
    from: Option<String>,
    /// Up to this moment [default: now]
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Show the records of single calls, newest first
    #[arg(long, conflicts_with_all = ["by", "period", "from", "until"])]
    records: bool,
    /// At most so many records
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print one JSON document
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    remote: Remote,
}

/// The words of `--by`.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum By {
    Project,
    App,
    Function,
}

/// The words of `--period`.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Every {
    Minute,
    Hour,
    Month,
    Whole,
}

impl From<By> for GroupBy {
    fn from(by: By) -> Self {
        match by {
            By::Project => Self::Project,
            By::App => Self::App,
            By::Function => Self::Function,
        }
    }
}

impl From<Every> for Period {
    fn from(every: Every) -> Self {
        match every {
            Every::Minute => Self::Minute,
            Every::Hour => Self::Hour,
            Every::Month => Self::Month,
            Every::Whole => Self::Whole,
        }
    }
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    match args.records {
        true => records(args).await,
        false => sums(args).await,
    }
    .map_err(|e| args.remote.explain(e))?;
    Ok(crate::OK)
}

async fn sums(args: &Args) -> Result<()> {
    let now = gust_task::clock::unix_micros();
    let moment = |text: &Option<String>| {
        let text = text.as_deref();
        text.map(|text| time::parse(text, now)).transpose()
    };
    let query = UsageQuery {
        from_us: moment(&args.from)?,
        until_us: moment(&args.until)?,
        app: args.target.as_ref().map(|t| t.app.clone()),
        function: args.target.as_ref().and_then(|t| t.function.clone()),
        by: Some(args.by.into()),
        period: Some(args.period.into()),
    };
    let report = args
        .remote
        .client()?
        .usage(&args.remote.project, &query)
        .await?;
    match (args.json, args.csv) {
        (true, _) => output::json(&report),
        (_, true) => output::csv(&csv(&report)),
        _ => {
            output::say(&format!(
                "from {} to {} (UTC)",
                time::seconds(report.from_us),
                time::seconds(report.until_us)
            ));
            table(&report, args.period != Every::Whole).print()
        }
    }
}

async fn records(args: &Args) -> Result<()> {
    let query = RecordQuery {
        app: args.target.as_ref().map(|t| t.app.clone()),
        function: args.target.as_ref().and_then(|t| t.function.clone()),
        limit: Some(args.limit),
    };
    let records = args
        .remote
        .client()?
        .records(&args.remote.project, &query)
        .await?;
    match (args.json, args.csv) {
        (true, _) => output::json(&records),
        (_, csv) => {
            let rows = record_rows(&records, !csv);
            if csv {
                return output::csv(&rows);
            }
            let heading: Vec<&str> = RECORD_HEADING.to_vec();
            let mut table = Table::new(&heading, &[4, 5, 6]);
            rows.into_iter().skip(1).for_each(|row| table.row(row));
            table.print()
        }
    }
}

const HEADING: [&str; 10] = [
    "APP",
    "FUNCTION",
    "CALLS",
    "FAILED",
    "CPU",
    "WALL",
    "MEMORY GB-s",
    "IN",
    "OUT",
    "COLD",
];

fn table(report: &UsageReport, with_time: bool) -> Table {
    let mut heading = HEADING.to_vec();
    if with_time {
        heading.insert(0, "FROM (UTC)");
    }
    let right: &'static [usize] = match with_time {
        true => &[3, 4, 5, 6, 7, 8, 9, 10],
        false => &[2, 3, 4, 5, 6, 7, 8, 9],
    };
    let mut table = Table::new(&heading, right);
    let mut add = |start: String, app: String, function: String, totals: &Totals| {
        let mut row = vec![app, function];
        row.extend(cells(totals));
        if with_time {
            row.insert(0, start);
        }
        table.row(row);
    };
    for row in &report.rows {
        let name = |name: Option<String>| name.unwrap_or_else(|| "*".to_owned());
        add(
            time::seconds(row.start_us),
            name(row.app.as_ref().map(ToString::to_string)),
            name(row.function.as_ref().map(ToString::to_string)),
            &row.totals,
        );
    }
    if report.rows.len() != 1 {
        add(
            String::new(),
            "total".to_owned(),
            String::new(),
            &report.total,
        );
    }
    table
}

fn cells(totals: &Totals) -> [String; 8] {
    [
        totals.calls.to_string(),
        (totals.calls - totals.ok.min(totals.calls)).to_string(),
        output::micros(totals.cpu_us),
        output::micros(totals.wall_us),
        format!("{:.3}", totals.memory_mb_ms as f64 / 1e6),
        output::bytes(totals.bytes_in),
        output::bytes(totals.bytes_out),
        totals.cold.to_string(),
    ]
}

/// Every number of a report, exact, under the names of the API.
fn csv(report: &UsageReport) -> Vec<Vec<String>> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let numbers = |totals: &Totals| match serde_json::to_value(totals) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let mut heading = vec![
        "start_us".to_owned(),
        "app".to_owned(),
        "function".to_owned(),
    ];
    heading.extend(numbers(&Totals::default()).keys().cloned());
    let mut rows = vec![heading];
    for row in &report.rows {
        let mut cells = vec![
            row.start_us.to_string(),
            row.app
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            row.function
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ];
        cells.extend(numbers(&row.totals).values().map(text));
        rows.push(cells);
    }
    rows
}

const RECORD_HEADING: [&str; 10] = [
    "WHEN (UTC)",
    "APP",
    "FUNCTION",
    "OUTCOME",
    "STATUS",
    "WALL",
    "CPU",
    "START",
    "MEMORY",
    "CALL",
];

fn record_rows(records: &Records, for_people: bool) -> Vec<Vec<String>> {
    let mut rows = vec![RECORD_HEADING.map(str::to_lowercase).to_vec()];
    for record in &records.records {
        let us = |us: u64| match for_people {
            true => output::micros(us),
            false => us.to_string(),
        };
        let start = format!("{:?}", record.start).to_lowercase();
        rows.push(vec![
            time::millis(record.start_us),
            record.function.app.to_string(),
            record.function.function.to_string(),
            record.outcome.as_str().to_owned(),
            record.status.to_string(),
            us(record.wall_us),
            us(record.cpu_us),
            start,
            match for_people {
                true => output::bytes(record.memory_peak),
                false => record.memory_peak.to_string(),
            },
            record.call.to_string(),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use gust_api::usage::UsageRow;

    use super::*;

    #[test]
    fn csv_has_every_number_under_its_name() {
        let totals = Totals {
            calls: 3,
            cpu_us: 9,
            ..Totals::default()
        };
        let report = UsageReport {
            project: "default".parse().unwrap(),
            from_us: 0,
            until_us: 1,
            rows: vec![UsageRow {
                start_us: 5,
                app: Some("shop".parse().unwrap()),
                function: None,
                totals,
            }],
            total: totals,
        };
        let rows = csv(&report);
        let at = |name: &str| rows[0].iter().position(|h| h == name).unwrap();
        assert_eq!(rows[1][at("calls")], "3");
        assert_eq!(rows[1][at("cpu_us")], "9");
        assert_eq!(rows[1][at("app")], "shop");
        assert_eq!(rows[1][at("function")], "");
        assert_eq!(rows[0].len(), rows[1].len());
    }
}
