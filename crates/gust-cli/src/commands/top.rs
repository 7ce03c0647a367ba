//! `gust top`: what a project's functions, triggers and queues are doing, drawn anew every so often.
//!
//! Rates are differences between two looks at what the node counts anyway; nothing is measured for it.

use std::{
    collections::HashMap,
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use gust_api::{
    Client,
    node::NodeStatus,
    queue::{Queue, Trigger},
    usage::{GroupBy, Period, Totals, UsageQuery},
};
use gust_task::clock;
use gust_types::{AppName, Error, FunctionName, Label, Result, Span};
use serde::Serialize;

use crate::{
    output::{self, Table},
    remote::Remote,
    time,
};

/// The shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "2s")]
    every: Span,
    /// End after so many looks
    #[arg(long, short = 'n', value_name = "N")]
    times: Option<u64>,
    /// Rows of each table
    #[arg(long, value_name = "N", default_value_t = 15)]
    rows: usize,
    /// Print one JSON document a line for each look
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// One look at everything.
struct Look {
    at: Instant,
    node: NodeStatus,
    functions: HashMap<(AppName, FunctionName), Totals>,
    triggers: Vec<Trigger>,
    queues: Vec<Queue>,
}

/// What is shown of one look.
#[derive(Serialize)]
struct Shown {
    at_us: u64,
    /// Calls in flight, and waiting for a place.
    busy: u64,
    queued: u64,
    functions: Vec<FunctionRow>,
    triggers: Vec<TriggerRow>,
    queues: Vec<QueueRow>,
}

#[derive(Serialize)]
struct FunctionRow {
    app: AppName,
    function: FunctionName,
    calls_per_s: f64,
    /// Of them, those that did not end well.
    failed_per_s: f64,
    /// Of the calls in this time, on average.
    wall_ms: f64,
    /// Processors in use.
    cpus: f64,
    cold_per_s: f64,
}

#[derive(Serialize)]
struct TriggerRow {
    app: AppName,
    trigger: Label,
    running: bool,
    /// Events that it is not done with; a schedule has none that wait.
    lag: Option<u64>,
    oldest_us: Option<u64>,
    in_flight: u64,
    done_per_s: f64,
    retried_per_s: f64,
    refused_per_s: f64,
    dead: u64,
    #[serde(skip)]
    age: String,
}

#[derive(Serialize)]
struct QueueRow {
    queue: Label,
    messages: u64,
    oldest_us: Option<u64>,
    published_per_s: f64,
    done_per_s: f64,
    dead: u64,
    #[serde(skip)]
    age: String,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    if args.every.0 < SHORTEST {
        let text = format!("--every is at least {}: {}", Span(SHORTEST), args.every);
        return Err(Error::invalid(text));
    }
    let client = args.remote.client()?;
    let from_us = clock::unix_micros();
    let look = async || {
        let look = look(&client, args, from_us).await;
        look.map_err(|e| args.remote.explain(e))
    };
    let mut before = look().await?;
    let mut round = 0;
    while args.times.is_none_or(|times| round < times) {
        round += 1;
        tokio::time::sleep(args.every.0).await;
        let now = look().await?;
        let shown = shown(&before, &now);
        match args.json {
            true => line(&shown)?,
            false => draw(args, &shown)?,
        }
        before = now;
    }
    Ok(crate::OK)
}

async fn look(client: &Client, args: &Args, from_us: u64) -> Result<Look> {
    let project = &args.remote.project;
    let query = UsageQuery {
        from_us: Some(from_us),
        by: Some(GroupBy::Function),
        period: Some(Period::Whole),
        ..UsageQuery::default()
    };
    let node = client.status().await?;
    let usage = client.usage(Some(project), &query).await?;
    let triggers = client.triggers(project).await?.triggers;
    let queues = client.queues(project).await?.queues;
    let functions = usage
        .rows
        .into_iter()
        .filter_map(|row| Some(((row.app?, row.function?), row.totals)));
    Ok(Look {
        at: clock::now(),
        node,
        functions: functions.collect(),
        triggers,
        queues,
    })
}

fn shown(before: &Look, now: &Look) -> Shown {
    let seconds = now.at.duration_since(before.at).as_secs_f64();
    let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
    let functions = now
        .functions
        .iter()
        .filter_map(|((app, function), totals)| {
            let was = before.functions.get(&(app.clone(), function.clone()));
            let was = was.copied().unwrap_or_default();
            let calls = totals.calls.saturating_sub(was.calls);
            (calls > 0).then(|| FunctionRow {
                app: app.clone(),
                function: function.clone(),
                calls_per_s: rate(totals.calls, was.calls),
                failed_per_s: rate(totals.calls - totals.ok, was.calls - was.ok),
                wall_ms: totals.wall_us.saturating_sub(was.wall_us) as f64 / 1e3 / calls as f64,
                cpus: rate(totals.cpu_us, was.cpu_us) / 1e6,
                cold_per_s: rate(totals.cold, was.cold),
            })
        });
    let mut functions: Vec<_> = functions.collect();
    functions.sort_by(|a, b| b.calls_per_s.total_cmp(&a.calls_per_s));
    let triggers = now.triggers.iter().map(|trigger| {
        let was = before
            .triggers
            .iter()
            .find(|was| was.app == trigger.app && was.spec.name == trigger.spec.name);
        let rate_of = |of: fn(&Trigger) -> u64| rate(of(trigger), was.map_or(0, of));
        TriggerRow {
            app: trigger.app.clone(),
            trigger: trigger.spec.name.clone(),
            running: trigger.running,
            lag: trigger.lag,
            oldest_us: trigger.oldest_us,
            age: output::age(trigger.oldest_us),
            in_flight: trigger.in_flight,
            done_per_s: rate_of(|t| t.done),
            retried_per_s: rate_of(|t| t.retried),
            refused_per_s: rate_of(|t| t.refused),
            dead: trigger.dead,
        }
    });
    let mut triggers: Vec<_> = triggers.collect();
    triggers.sort_by(|a, b| {
        // One that is behind and does nothing is what somebody looks for.
        let busy = |row: &TriggerRow| {
            let lag = row.lag.unwrap_or(0) as f64;
            row.done_per_s + row.retried_per_s + row.in_flight as f64 + lag
        };
        busy(b).total_cmp(&busy(a))
    });
    let queues = now.queues.iter().map(|queue| {
        let was = before.queues.iter().find(|was| was.queue == queue.queue);
        QueueRow {
            queue: queue.queue.clone(),
            messages: queue.messages,
            oldest_us: queue.oldest_us,
            published_per_s: rate(queue.published, was.map_or(0, |q| q.published)),
            done_per_s: rate(queue.done, was.map_or(0, |q| q.done)),
            dead: queue.dead,
            age: output::age(queue.oldest_us),
        }
    });
    let mut queues: Vec<_> = queues.collect();
    queues.sort_by_key(|row| std::cmp::Reverse(row.messages));
    Shown {
        at_us: clock::unix_micros(),
        busy: now.node.capacity.busy,
        queued: now.node.capacity.queued,
        functions,
        triggers,
        queues,
    }
}

fn line(shown: &Shown) -> Result<()> {
    let text = serde_json::to_string(shown)
        .map_err(|e| Error::internal("cannot write json").because(e))?;
    output::line(&text)
}

fn draw(args: &Args, shown: &Shown) -> Result<()> {
    let mut text = format!(
        "{} (UTC), project {}: {} calls in flight, {} waiting\n",
        time::seconds(shown.at_us),
        args.remote.project,
        shown.busy,
        shown.queued
    );
    for table in [
        functions(shown, args.rows),
        triggers(shown, args.rows),
        queues(shown, args.rows),
    ]
    .into_iter()
    .flatten()
    {
        text.push('\n');
        text.push_str(&table.text());
    }
    if std::io::stdout().is_terminal() {
        // Home, then clear to the end: less flicker than clearing first.
        text = format!("\u{1b}[H\u{1b}[J{text}");
    } else {
        text.push('\n');
    }
    output::out(text.as_bytes())
}

fn functions(shown: &Shown, rows: usize) -> Option<Table> {
    let heading = [
        "APP", "FUNCTION", "CALLS/S", "FAILED/S", "WALL MS", "CPUS", "COLD/S",
    ];
    let mut table = Table::new(&heading, &[2, 3, 4, 5, 6]);
    for row in shown.functions.iter().take(rows) {
        table.row(vec![
            row.app.to_string(),
            row.function.to_string(),
            number(row.calls_per_s),
            number(row.failed_per_s),
            number(row.wall_ms),
            number(row.cpus),
            number(row.cold_per_s),
        ]);
    }
    (!shown.functions.is_empty()).then_some(table)
}

fn triggers(shown: &Shown, rows: usize) -> Option<Table> {
    let heading = [
        "APP",
        "TRIGGER",
        "STATE",
        "LAG",
        "OLDEST",
        "IN FLIGHT",
        "DONE/S",
        "RETRIED/S",
        "REFUSED/S",
        "DEAD",
    ];
    let mut table = Table::new(&heading, &[3, 4, 5, 6, 7, 8, 9]);
    for row in shown.triggers.iter().take(rows) {
        let state = match row.running {
            true => "running",
            false => "not running",
        };
        table.row(vec![
            row.app.to_string(),
            row.trigger.to_string(),
            state.to_owned(),
            row.lag
                .map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
            row.age.clone(),
            row.in_flight.to_string(),
            number(row.done_per_s),
            number(row.retried_per_s),
            number(row.refused_per_s),
            row.dead.to_string(),
        ]);
    }
    (!shown.triggers.is_empty()).then_some(table)
}

fn queues(shown: &Shown, rows: usize) -> Option<Table> {
    let heading = [
        "QUEUE",
        "MESSAGES",
        "OLDEST",
        "PUBLISHED/S",
        "DONE/S",
        "DEAD",
    ];
    let mut table = Table::new(&heading, &[1, 2, 3, 4, 5]);
    for row in shown.queues.iter().take(rows) {
        table.row(vec![
            row.queue.to_string(),
            row.messages.to_string(),
            row.age.clone(),
            number(row.published_per_s),
            number(row.done_per_s),
            row.dead.to_string(),
        ]);
    }
    (!shown.queues.is_empty()).then_some(table)
}

/// Three digits that matter.
fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at: Instant, calls: u64, ok: u64) -> Look {
        let key = (
            AppName::new("shop").unwrap(),
            FunctionName::new("f").unwrap(),
        );
        let totals = Totals {
            calls,
            ok,
            wall_us: calls * 5000,
            cpu_us: calls * 1000,
            ..Totals::default()
        };
        Look {
            at,
            node: NodeStatus::default(),
            functions: HashMap::from([(key, totals)]),
            triggers: Vec::new(),
            queues: Vec::new(),
        }
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let start = clock::now();
        let before = look(start, 100, 100);
        let now = look(start + Duration::from_secs(2), 300, 290);
        let shown = shown(&before, &now);
        let row = &shown.functions[0];
        assert_eq!((row.calls_per_s, row.failed_per_s), (100.0, 5.0));
        assert_eq!((row.wall_ms, row.cpus), (5.0, 0.1));
        let still = look(start + Duration::from_secs(4), 300, 290);
        let later = super::shown(&now, &still);
        assert!(later.functions.is_empty(), "nothing was called");
    }

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.0, 0.123, 9.876, 12.34, 1234.5].map(number);
        assert_eq!(shown, ["0", "0.12", "9.88", "12.3", "1234"]);
    }
}
