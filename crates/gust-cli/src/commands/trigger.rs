//! `gust trigger`: what starts functions besides requests.

use clap::Subcommand;
use gust_api::queue::{Feed, Trigger, Triggers};
use gust_types::{
    Result,
    trigger::{ExternalSpec, ScheduleSpec, TriggerSource},
};

use crate::{
    output::{self, Table},
    remote::Remote,
    time,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the triggers of a project and what became of their events
    Ls {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    let Action::Ls { json, remote } = &args.action;
    let client = remote.client()?;
    let triggers = client
        .triggers(&remote.project)
        .await
        .map_err(|e| remote.explain(e))?;
    if *json {
        output::json(&triggers)?;
    } else if triggers.triggers.is_empty() {
        output::say("no triggers; write them into gust.toml as [[trigger]]");
    } else {
        table(&triggers).print()?;
    }
    Ok(crate::OK)
}

fn table(triggers: &Triggers) -> Table {
    let heading = [
        "APP",
        "TRIGGER",
        "FUNCTION",
        "SOURCE",
        "STATE",
        "IN FLIGHT",
        "DONE",
        "RETRIED",
        "DEAD",
    ];
    let mut table = Table::new(&heading, &[5, 6, 7, 8]);
    for trigger in &triggers.triggers {
        table.row(vec![
            trigger.app.to_string(),
            trigger.spec.name.to_string(),
            trigger.spec.function.to_string(),
            source(&trigger.spec.source),
            state(trigger),
            trigger.in_flight.to_string(),
            trigger.done.to_string(),
            trigger.retried.to_string(),
            trigger.dead.to_string(),
        ]);
    }
    table
}

fn source(source: &TriggerSource) -> String {
    match source {
        TriggerSource::Queue { queue, batch: 1 } => format!("queue {queue}"),
        TriggerSource::Queue { queue, batch } => format!("queue {queue}, {batch} at once"),
        TriggerSource::Topic { topic, .. } => format!("topic {topic}"),
        TriggerSource::Schedule(schedule) => when(schedule),
        TriggerSource::External(external) => outside(external),
    }
}

/// The kind, and what is listened to there. Where it is may be a secret, and is as the manifest has it.
fn outside(external: &ExternalSpec) -> String {
    let places = ["channel", "stream", "subject", "topic", "queue", "url"];
    let text = |key: &str| external.settings.get(key)?.as_str();
    match places.into_iter().find_map(text) {
        Some(place) => format!("{} {place}", external.kind),
        None => external.kind.clone(),
    }
}

fn when(schedule: &ScheduleSpec) -> String {
    match schedule {
        ScheduleSpec {
            cron: Some(line),
            timezone: Some(zone),
            ..
        } => format!("cron {line} ({zone})"),
        ScheduleSpec {
            cron: Some(line), ..
        } => format!("cron {line}"),
        ScheduleSpec {
            rate: Some(rate), ..
        } => format!("every {rate}"),
        ScheduleSpec { at, .. } => format!("at {}", at.as_deref().unwrap_or("-")),
    }
}

fn state(trigger: &Trigger) -> String {
    match (trigger.running, trigger.next_us, &trigger.feed) {
        (false, ..) => "not running".to_owned(),
        (true, Some(next), _) => format!("next {}", time::seconds(next)),
        (true, None, None) => "running".to_owned(),
        (true, None, Some(feed)) => fed(feed),
    }
}

fn fed(feed: &Feed) -> String {
    match (&feed.error, feed.connected) {
        (_, true) => "connected".to_owned(),
        (None, false) => "connecting".to_owned(),
        (Some(error), false) => format!("not connected: {error}"),
    }
}
