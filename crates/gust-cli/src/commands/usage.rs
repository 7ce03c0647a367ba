//! `gust usage`: what calls took, summed or one by one.

use clap::ValueEnum;
use gust_api::usage::{Period, RecordQuery, Records, Totals, UsageQuery, UsageReport};
use gust_types::Result;

use crate::{
    groups::Groups,
    here::{self, Target},
    output::{self, Table},
    remote::Remote,
    time,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of this APP or APP/FUNCTION only
    target: Option<Target>,
    #[command(flatten)]
    groups: Groups,
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

/// The words of `--period`.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Every {
    Minute,
    Hour,
    Month,
    Whole,
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
        by: Some(args.groups.by()),
        period: Some(args.period.into()),
    };
    let client = args.remote.client()?;
    let project = args.groups.project(&args.remote);
    let report = client.usage(project, &query).await?;
    if let (Some(target), true) = (&args.target, report.rows.is_empty()) {
        here::must_be(&args.remote, &client, target).await?;
    }
    match (args.json, args.csv) {
        (true, _) => output::json(&report),
        (_, true) => output::csv(&csv(&report)?),
        _ => {
            output::say(&format!(
                "from {} to {} (UTC)",
                time::seconds(report.from_us),
                time::seconds(report.until_us)
            ));
            table(&report, args.groups, args.period != Every::Whole).print()
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
        .records(args.groups.project(&args.remote), &query)
        .await?;
    match (args.json, args.csv) {
        (true, _) => output::json(&records),
        (_, true) => output::csv(&record_csv(&records)?),
        _ => record_table(&records).print(),
    }
}

const HEADING: [&str; 8] = [
    "CALLS",
    "FAILED",
    "CPU",
    "WALL",
    "MEMORY GB-s",
    "IN",
    "OUT",
    "COLD",
];

fn table(report: &UsageReport, groups: Groups, with_time: bool) -> Table {
    let mut heading = groups.heading();
    if with_time {
        heading.insert(0, "FROM (UTC)");
    }
    let names = heading.len();
    heading.extend(HEADING);
    let right: Vec<usize> = (names..heading.len()).collect();
    let mut table = Table::new(&heading, &right);
    let mut add = |start: String, mut row: Vec<String>, totals: &Totals| {
        if with_time {
            row.insert(0, start);
        }
        row.extend(cells(totals));
        table.row(row);
    };
    for row in &report.rows {
        let names = groups.cells(&row.project, row.app.as_ref(), row.function.as_ref());
        add(time::seconds(row.start_us), names, &row.totals);
    }
    if report.rows.len() != 1 {
        add(String::new(), groups.total(), &report.total);
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
fn csv(report: &UsageReport) -> Result<Vec<Vec<String>>> {
    let mut heading = ["start_us", "project", "app", "function"]
        .map(str::to_owned)
        .to_vec();
    heading.extend(output::names(&Totals::default())?);
    let mut rows = vec![heading];
    for row in &report.rows {
        let mut cells = vec![
            row.start_us.to_string(),
            row.project.to_string(),
            row.app
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            row.function
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ];
        cells.extend(output::values(&row.totals)?);
        rows.push(cells);
    }
    Ok(rows)
}

const RECORD_HEADING: [&str; 11] = [
    "WHEN (UTC)",
    "PROJECT",
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

fn record_table(records: &Records) -> Table {
    let mut table = Table::new(&RECORD_HEADING, &[5, 6, 7]);
    for record in &records.records {
        table.row(vec![
            time::millis(record.start_us),
            record.function.project.to_string(),
            record.function.app.to_string(),
            record.function.function.to_string(),
            record.outcome.as_str().to_owned(),
            record.status.to_string(),
            output::micros(record.wall_us),
            output::micros(record.cpu_us),
            format!("{:?}", record.start).to_lowercase(),
            output::bytes(record.memory_peak),
            record.call.to_string(),
        ]);
    }
    table
}

/// Everything that a record has, under the names of the API. Spelled out, since the heading is there without a record too.
const RECORD_FIELDS: [&str; 24] = [
    "call",
    "project",
    "app",
    "function",
    "revision",
    "trigger",
    "start_us",
    "wall_us",
    "cpu_us",
    "memory_peak",
    "memory_mb_ms",
    "bytes_in",
    "bytes_out",
    "kv",
    "sql",
    "http_out",
    "start",
    "outcome",
    "status",
    "queue_us",
    "map_us",
    "link_us",
    "instantiate_us",
    "first_byte_us",
];

fn record_csv(records: &Records) -> Result<Vec<Vec<String>>> {
    let mut rows = vec![RECORD_FIELDS.map(str::to_owned).to_vec()];
    for record in &records.records {
        rows.push(output::values(record)?);
    }
    Ok(rows)
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
            project: None,
            from_us: 0,
            until_us: 1,
            rows: vec![UsageRow {
                start_us: 5,
                project: "default".parse().unwrap(),
                app: Some("shop".parse().unwrap()),
                function: None,
                totals,
            }],
            total: totals,
        };
        let rows = csv(&report).unwrap();
        let at = |name: &str| rows[0].iter().position(|h| h == name).unwrap();
        assert_eq!(rows[1][at("calls")], "3");
        assert_eq!(rows[1][at("cpu_us")], "9");
        assert_eq!(rows[1][at("project")], "default");
        assert_eq!(rows[1][at("app")], "shop");
        assert_eq!(rows[1][at("function")], "");
        assert_eq!(rows[0].len(), rows[1].len());
    }

    #[test]
    fn csv_of_records_leaves_nothing_out() {
        let record: gust_types::Usage = serde_json::from_value(serde_json::json!({
            "call": "0000000000000000000000000000000a",
            "function": {"project": "default", "app": "shop", "function": "cart"},
            "revision": 3, "trigger": "http", "start_us": 4, "wall_us": 5, "cpu_us": 6,
            "memory_peak": 7, "memory_mb_ms": 8, "bytes_in": 9, "bytes_out": 10,
            "host": {"kv": 11, "sql": 12, "http_out": 13},
            "start": "cold", "outcome": "ok", "status": 200,
            "phases": {"queue_us": 14, "map_us": 15, "link_us": 16, "instantiate_us": 17, "first_byte_us": u32::MAX},
        }))
        .unwrap();
        assert_eq!(output::names(&record).unwrap(), RECORD_FIELDS);
        let rows = record_csv(&Records {
            records: vec![record],
        });
        assert_eq!(
            rows.unwrap()[1].join(","),
            "0000000000000000000000000000000a,default,shop,cart,3,http,4,5,6,7,8,9,10,11,12,13,cold,ok,200,14,15,16,17,4294967295"
        );
        assert_eq!(record_csv(&Records::default()).unwrap().len(), 1);
    }
}
