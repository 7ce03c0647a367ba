//! `gust trigger`: what starts functions besides requests.

use clap::Subcommand;
use gust_api::{
    client::Client,
    queue::{Feed, LookQuery, Purge, Redrive, Trigger, Triggers},
};
use gust_types::{
    AppName, Error, Label, ProjectName, Result,
    trigger::{ChangesSpec, ExternalSpec, ScheduleSpec, TriggerSource},
};

use super::{queue, topic};
use crate::{
    output::{self, Table},
    progress,
    remote::Of,
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
        #[command(flatten)]
        of: Of,
    },
    /// Look at events of a trigger that were given up, with the cause
    Dead {
        /// The trigger
        #[arg(value_name = "APP/TRIGGER")]
        trigger: topic::Trigger,
        #[command(flatten)]
        look: queue::Look,
        #[command(flatten)]
        of: Of,
    },
    /// Deliver events of a trigger again that were given up
    Redrive {
        /// The trigger
        #[arg(value_name = "APP/TRIGGER")]
        trigger: topic::Trigger,
        /// Only these, by number [default: all]
        ids: Vec<u64>,
        /// At most this many
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        #[command(flatten)]
        of: Of,
    },
    /// Remove what waits for a trigger
    Purge {
        /// The trigger
        #[arg(value_name = "APP/TRIGGER")]
        trigger: topic::Trigger,
        /// Remove what was given up instead
        #[arg(long)]
        dead: bool,
        /// Yes, remove it
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        of: Of,
    },
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    match &args.action {
        Action::Ls { of } => list(of).await?,
        Action::Dead {
            trigger: topic::Trigger(app, name),
            look,
            of: Of { json, remote },
        } => {
            let (client, of) = (remote.client()?, (app, name));
            let query: LookQuery = look.query();
            let dead = client.trigger_dead(&remote.project, of, &query).await;
            queue::print(&dead.map_err(|e| remote.explain(e))?, *json)?;
        }
        Action::Redrive {
            trigger: topic::Trigger(app, name),
            ids,
            limit,
            of: Of { json, remote },
        } => {
            let redrive = Redrive {
                ids: (!ids.is_empty()).then(|| ids.clone()),
                limit: *limit,
            };
            let (client, project) = (remote.client()?, &remote.project);
            let work = client.trigger_redrive(project, (app, name), &redrive);
            let left = async || left(&client, project, (app, name), true).await;
            let count = progress::watched("delivering again", work, left).await;
            let count = count.map_err(|e| remote.explain(e))?;
            match json {
                true => output::json(&count)?,
                false => output::say(&format!("delivering {} events again", count.count)),
            }
        }
        Action::Purge {
            trigger: topic::Trigger(app, name),
            dead,
            yes,
            of: Of { json, remote },
        } => {
            if !yes {
                return Err(Error::invalid("nothing is removed without --yes")
                    .hint("what is removed cannot be had back"));
            }
            let (client, project) = (remote.client()?, &remote.project);
            let purge = Purge { dead: *dead };
            let work = client.trigger_purge(project, (app, name), &purge);
            let left = async || left(&client, project, (app, name), *dead).await;
            let count = progress::watched("removing events", work, left).await;
            let count = count.map_err(|e| remote.explain(e))?;
            match json {
                true => output::json(&count)?,
                false => output::say(&format!("removed {} events", count.count)),
            }
        }
    }
    Ok(crate::OK)
}

/// What waits for a trigger, or what was given up.
async fn left(
    client: &Client,
    project: &ProjectName,
    (app, name): (&AppName, &Label),
    dead: bool,
) -> Result<u64> {
    let triggers = client.triggers(project).await?.triggers;
    let mut triggers = triggers.into_iter();
    let ours = triggers.find(|trigger| trigger.app == *app && trigger.spec.name == *name);
    let held = ours.and_then(|trigger| trigger.progress);
    Ok(held.map_or(0, |held| if dead { held.dead } else { held.waiting }))
}

async fn list(Of { json, remote }: &Of) -> Result<()> {
    let client = remote.client()?;
    let triggers = client
        .triggers(&remote.project)
        .await
        .map_err(|e| remote.explain(e))?;
    if *json {
        output::json(&triggers)
    } else if triggers.triggers.is_empty() {
        output::say("no triggers; write them into gust.toml as [[trigger]]");
        Ok(())
    } else {
        table(&triggers).print()
    }
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
        "BEHIND",
    ];
    let mut table = Table::new(&heading, &[5, 6, 7, 8, 9]);
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
            behind(trigger),
        ]);
    }
    table
}

/// Events of its topic that a trigger has not come to, and those that wait for its function.
fn behind(trigger: &Trigger) -> String {
    match &trigger.progress {
        Some(progress) => (progress.lag + progress.waiting).to_string(),
        None => "-".to_owned(),
    }
}

fn source(source: &TriggerSource) -> String {
    match source {
        TriggerSource::Queue { queue, batch: 1 } => format!("queue {queue}"),
        TriggerSource::Queue { queue, batch } => format!("queue {queue}, {batch} at once"),
        TriggerSource::Topic { topic, .. } => format!("topic {topic}"),
        TriggerSource::Changes(spec) => changes(spec),
        TriggerSource::Schedule(schedule) => when(schedule),
        TriggerSource::External(external) => outside(external),
        TriggerSource::Webhook(hook) => format!("webhook {} ({})", hook.path, hook.scheme.as_str()),
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

/// The resource, and what of it.
fn changes(spec: &ChangesSpec) -> String {
    match (&*spec.prefix, &*spec.suffix, &spec.tables[..]) {
        ("", "", []) => spec.of.to_string(),
        (prefix, suffix, []) => {
            let keys = format!("{prefix}*{suffix}");
            format!("{} {}", spec.of, output::printable(&keys))
        }
        (_, _, tables) => format!("{} {}", spec.of, output::printable(&tables.join(", "))),
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
        (None, true) => "connected".to_owned(),
        (Some(error), true) => format!("connected; last: {error}"),
        (None, false) => "connecting".to_owned(),
        (Some(error), false) => format!("not connected: {error}"),
    }
}
