//! `gust events`: all queues, topics and triggers of a project at once.

use std::{collections::HashSet, fmt, time::Duration};

use clap::Subcommand;
use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use gust_api::{
    Client,
    queue::{LookQuery, Messages, Redrive, Trigger},
};
use gust_types::{AppName, Error, Label, Result, changes::TopicName, trigger::TriggerSource};
use serde::Serialize;

use super::{
    queue,
    topic::tail::{self, How},
};
use crate::{
    output::{self, Table},
    remote::Of,
};

/// How often topics that are new are looked for.
const NEW_TOPICS: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List where events are: how many wait, since when, and how many were given up
    Ls {
        #[command(flatten)]
        of: Of,
    },
    /// Print events of all topics as they are published, until Ctrl-C
    Tail(Box<How>),
    /// Look at what was given up anywhere, with the cause
    Dead {
        /// At most this many of each place
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        of: Of,
    },
    /// Deliver again what was given up anywhere
    Redrive {
        /// Yes, all of it
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        of: Of,
    },
}

/// Where events wait for a function. Queues that triggers keep for themselves go by the trigger's name.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Queue(Label),
    Trigger(AppName, Label),
}

/// What a place holds.
#[derive(Debug, PartialEq, Serialize)]
struct Held {
    place: Place,
    /// Not done yet: with the function, ready or to come.
    waiting: u64,
    /// When the oldest of them was published, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_us: Option<u64>,
    dead: u64,
}

/// A part of what was given up.
#[derive(Debug, Serialize)]
struct Dead {
    place: Place,
    #[serde(flatten)]
    messages: Messages,
}

/// What was published again from a place.
#[derive(Debug, Serialize)]
struct Redriven {
    place: Place,
    count: u64,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    match &args.action {
        Action::Ls { of } => list(of).await?,
        Action::Tail(how) => tail(how).await?,
        Action::Dead { limit, of } => dead(*limit, of).await?,
        Action::Redrive { yes, of } => redrive(*yes, of).await?,
    }
    Ok(crate::OK)
}

/// Every place of the project.
async fn places(client: &Client, of: &Of) -> Result<Vec<Held>> {
    let project = &of.remote.project;
    let asked = futures::try_join!(client.queues(project), client.triggers(project));
    let (queues, triggers) = asked.map_err(|e| of.remote.explain(e))?;
    let queues = queues.queues.into_iter().map(|queue| Held {
        waiting: queue.messages,
        oldest_us: queue.oldest_us,
        dead: queue.dead,
        place: Place::Queue(queue.queue),
    });
    let triggers = triggers.triggers.into_iter().filter_map(kept);
    Ok(queues.chain(triggers).collect())
}

/// A trigger as a place, when its events are not in a queue that is listed already.
fn kept(trigger: Trigger) -> Option<Held> {
    if matches!(trigger.spec.source, TriggerSource::Queue { .. }) {
        return None;
    }
    let progress = trigger.progress;
    Some(Held {
        waiting: progress.map_or(trigger.in_flight, |p| p.lag + p.waiting),
        oldest_us: None,
        dead: progress.map_or(trigger.dead, |p| p.dead),
        place: Place::Trigger(trigger.app, trigger.spec.name),
    })
}

async fn list(of: &Of) -> Result<()> {
    let mut places = places(&of.remote.client()?, of).await?;
    // What wants looking at comes first.
    places.sort_by_key(|held| std::cmp::Reverse((held.dead, held.waiting)));
    if of.json {
        return output::json(&serde_json::json!({ "places": places }));
    }
    if places.is_empty() {
        output::say("no queues and no triggers");
        return Ok(());
    }
    let mut table = Table::new(&["WHERE", "WAITING", "OLDEST", "DEAD"], &[1, 2, 3]);
    for held in &places {
        table.row(vec![
            held.place.to_string(),
            held.waiting.to_string(),
            output::age(held.oldest_us),
            held.dead.to_string(),
        ]);
    }
    table.print()
}

/// Follows every topic there is, and those that come.
async fn tail(how: &How) -> Result<()> {
    let client = how.remote.client()?;
    let mut known: HashSet<TopicName> = HashSet::new();
    let mut following = FuturesUnordered::new();
    let mut first = true;
    loop {
        let topics = client.topics(&how.remote.project).await;
        let topics = topics.map_err(|e| how.remote.explain(e))?.topics;
        for topic in topics {
            if !known.insert(topic.topic.clone()) {
                continue;
            }
            // What is in a topic that was not there before is new too.
            let from = match (first, how.from()?) {
                (false, tail::From::Now) => tail::From::Behind(0),
                (_, from) => from,
            };
            following.push(follow(how, topic.topic, from));
        }
        if how.no_follow {
            while let Some(done) = following.next().await {
                done?;
            }
            return Ok(());
        }
        first = false;
        let mut pause = Box::pin(tokio::time::sleep(NEW_TOPICS)).fuse();
        loop {
            futures::select! {
                () = pause => break,
                done = following.select_next_some() => done?,
            }
        }
    }
}

async fn follow(how: &How, topic: TopicName, from: tail::From) -> Result<()> {
    let before = format!("{topic}  ");
    tail::follow(how, &topic, from, &mut u64::MAX.clone(), &before).await
}

async fn dead(limit: u32, of: &Of) -> Result<()> {
    let client = of.remote.client()?;
    let mut found = Vec::new();
    for held in places(&client, of).await? {
        let query = LookQuery {
            after: None,
            limit: Some(limit),
        };
        let project = &of.remote.project;
        let messages = match &held.place {
            Place::Queue(_) if held.dead == 0 => continue,
            Place::Queue(queue) => client.dead(project, queue, &query).await,
            Place::Trigger(app, name) => client.trigger_dead(project, (app, name), &query).await,
        };
        let messages = messages.map_err(|e| of.remote.explain(e))?;
        if !messages.messages.is_empty() {
            let place = held.place;
            found.push(Dead { place, messages });
        }
    }
    if of.json {
        return output::json(&serde_json::json!({ "dead": found }));
    }
    if found.is_empty() {
        output::say("nothing was given up");
    }
    for (n, dead) in found.iter().enumerate() {
        if n > 0 {
            output::line("")?;
        }
        output::line(&dead.place.to_string())?;
        queue::table(&dead.messages)?;
        if dead.messages.next.is_some() {
            output::say(&format!("there may be more: {}", dead.place.look()));
        }
    }
    Ok(())
}

async fn redrive(yes: bool, of: &Of) -> Result<()> {
    if !yes {
        return Err(
            Error::invalid("nothing is delivered again without --yes").hint(
                "look at it with gust events dead; one place alone: gust queue redrive, gust trigger redrive",
            ),
        );
    }
    let client = of.remote.client()?;
    let mut redriven = Vec::new();
    for held in places(&client, of).await? {
        let all = Redrive::default();
        let project = &of.remote.project;
        let count = match &held.place {
            Place::Queue(_) if held.dead == 0 => continue,
            Place::Queue(queue) => client.redrive(project, queue, &all).await,
            Place::Trigger(app, name) => client.trigger_redrive(project, (app, name), &all).await,
        };
        let count = count.map_err(|e| of.remote.explain(e))?.count;
        if count > 0 {
            if !of.json {
                output::say(&format!("{}: delivering {count} again", held.place));
            }
            let place = held.place;
            redriven.push(Redriven { place, count });
        }
    }
    if of.json {
        return output::json(&serde_json::json!({ "redriven": redriven }));
    }
    if redriven.is_empty() {
        output::say("nothing was given up");
    }
    Ok(())
}

// === impl Place ===

impl Place {
    /// The command that looks at what was given up there.
    fn look(&self) -> String {
        match self {
            Self::Queue(queue) => format!("gust queue dead {queue}"),
            Self::Trigger(app, name) => format!("gust trigger dead {app}/{name}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(queue) => write!(f, "queue {queue}"),
            Self::Trigger(app, name) => write!(f, "trigger {app}/{name}"),
        }
    }
}
