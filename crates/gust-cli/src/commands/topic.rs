//! `gust topic`: topics, their events, and who takes from them.

mod event;
pub(crate) mod tail;

use clap::Subcommand;
use gust_api::topic::{PublishQuery, PublishedEvents, Seek, Topic};
use gust_task::clock;
use gust_types::{AppName, Error, Label, Result, changes::TopicName};

use self::event::EventArgs;
use crate::{
    input,
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
    /// List the topics of a project
    Ls {
        #[command(flatten)]
        of: Of,
    },
    /// Show a topic: what it holds, how it behaves and who takes from it
    Show {
        /// The topic, or kv:STORE, sql:DATABASE or blob:BUCKET for the changes of one
        topic: TopicName,
        #[command(flatten)]
        of: Of,
    },
    /// Publish an event; it is durable when this returns
    Publish(Box<PublishArgs>),
    /// Print events as they are published, until Ctrl-C
    Tail(Box<tail::Args>),
    /// Move a trigger to another place in its topic, so that it gets events again
    Replay {
        /// The topic, or kv:STORE, sql:DATABASE or blob:BUCKET for the changes of one
        topic: TopicName,
        /// Whose trigger
        #[arg(value_name = "APP/TRIGGER")]
        trigger: Trigger,
        #[command(flatten)]
        to: To,
        #[command(flatten)]
        of: Of,
    },
    /// Remove all events of a topic
    Purge {
        /// The topic, or kv:STORE, sql:DATABASE or blob:BUCKET for the changes of one
        topic: TopicName,
        /// Yes, remove them
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        of: Of,
    },
}

/// Where a trigger goes on.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct To {
    /// With the oldest event that is kept
    #[arg(long)]
    earliest: bool,
    /// With what is published from now on: skips the rest
    #[arg(long)]
    latest: bool,
    /// With the first event that was published then, such as 2026-11-23T09:30:00Z, or 10m for ten minutes ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// With what stands behind this position
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct PublishArgs {
    /// The topic
    topic: TopicName,
    #[command(flatten)]
    event: EventArgs,
    /// The data: text, @FILE, or @- for stdin
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["file", "lines"])]
    data: Option<String>,
    /// The file that has the data; - for stdin
    #[arg(long, value_name = "FILE", conflicts_with = "lines")]
    file: Option<String>,
    /// Publish an event for every line of stdin, with the line as its data
    #[arg(long, conflicts_with = "id")]
    lines: bool,
    /// An event whose source and id were published with this before, within the topic's `dedup`, is not kept again
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    of: Of,
}

/// `app/trigger`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trigger(pub(crate) AppName, pub(crate) Label);

impl std::str::FromStr for Trigger {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('/');
        let (app, name) = parts.ok_or_else(|| Error::invalid("write it as APP/TRIGGER"))?;
        Ok(Self(AppName::new(app)?, Label::new(name)?))
    }
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    match &args.action {
        Action::Ls { of } => list(of).await?,
        Action::Show { topic, of } => show(topic, of).await?,
        Action::Publish(args) => publish(args).await?,
        Action::Tail(args) => tail::run(args).await?,
        Action::Replay {
            topic,
            trigger,
            to,
            of,
        } => replay(topic, trigger, to, of).await?,
        Action::Purge { topic, yes, of } => purge(topic, *yes, of).await?,
    }
    Ok(crate::OK)
}

async fn list(of: &Of) -> Result<()> {
    let topics = of.remote.client()?.topics(&of.remote.project).await;
    let topics = topics.map_err(|e| of.remote.explain(e))?;
    if of.json {
        return output::json(&topics);
    }
    if topics.topics.is_empty() {
        output::say("no topics; make one by publishing: gust topic publish NAME --type TYPE");
        return Ok(());
    }
    let heading = [
        "TOPIC", "EVENTS", "BYTES", "OLDEST", "LAST", "TRIGGERS", "LAG",
    ];
    let mut table = Table::new(&heading, &[1, 2, 3, 4, 5, 6]);
    for topic in &topics.topics {
        let lags = topic.subscriptions.iter().map(|s| s.lag);
        table.row(vec![
            topic.topic.to_string(),
            topic.events.to_string(),
            output::bytes(topic.bytes),
            output::age(topic.oldest_us),
            topic.last.to_string(),
            topic.subscriptions.len().to_string(),
            lags.max()
                .map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
        ]);
    }
    table.print()
}

async fn show(topic: &TopicName, of: &Of) -> Result<()> {
    let topic = of.remote.client()?.topic(&of.remote.project, topic).await;
    let topic = topic.map_err(|e| of.remote.explain(e))?;
    if of.json {
        return output::json(&topic);
    }
    what(&topic).print()?;
    if topic.subscriptions.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let heading = ["TRIGGER", "CURSOR", "LAG", "FORWARDED", "MISSED"];
    let mut table = Table::new(&heading, &[1, 2, 3, 4]);
    for subscription in &topic.subscriptions {
        table.row(vec![
            output::printable(&subscription.name),
            subscription.cursor.to_string(),
            subscription.lag.to_string(),
            subscription.forwarded.to_string(),
            subscription.missed.to_string(),
        ]);
    }
    table.print()
}

fn what(topic: &Topic) -> Table {
    let rows = [
        ("events", topic.events.to_string()),
        ("bytes", output::bytes(topic.bytes)),
        ("first", topic.first.to_string()),
        ("last", topic.last.to_string()),
        ("oldest", output::age(topic.oldest_us)),
        ("newest", output::age(topic.newest_us)),
        ("max_age", topic.settings.max_age.to_string()),
        ("max_bytes", topic.settings.max_bytes.to_string()),
        ("dedup", topic.settings.dedup.to_string()),
    ];
    let mut table = Table::new(&["TOPIC", &topic.topic.to_string()], &[]);
    for (name, value) in rows {
        table.row(vec![name.to_owned(), value]);
    }
    table
}

async fn publish(args: &PublishArgs) -> Result<()> {
    if args.lines {
        let made = |line| args.event.write(Some(line));
        let send = async |events: Vec<_>| send(args, &events).await.map(|_| ());
        return input::publish_lines(&args.of, "events", made, send).await;
    }
    let data = match (&args.data, &args.file) {
        (Some(data), _) => Some(input::read(data)?),
        (None, Some(file)) => Some(input::read(&format!("@{file}"))?),
        (None, None) => None,
    };
    let event = args.event.write(data)?;
    let published = send(args, &[event]).await?;
    if args.of.json {
        return output::json(&published);
    }
    for one in &published.published {
        output::line(&one.position.to_string())?;
        if one.duplicate {
            output::say("it was there already and is not kept again");
        }
    }
    Ok(())
}

async fn send(args: &PublishArgs, events: &[serde_json::Value]) -> Result<PublishedEvents> {
    let batch = serde_json::to_vec(events)
        .map_err(|e| Error::internal("cannot write events as json").because(e))?;
    let query = PublishQuery { once: args.once };
    let remote = &args.of.remote;
    let client = remote.client()?;
    let published = client
        .publish_events(&remote.project, &args.topic, batch.into(), &query)
        .await;
    published.map_err(|e| remote.explain(e))
}

async fn replay(topic: &TopicName, trigger: &Trigger, to: &To, of: &Of) -> Result<()> {
    let now = clock::unix_micros();
    let since = to.since.as_deref().map(|text| time::parse(text, now));
    let seek = Seek {
        after: to.after,
        since_us: since.transpose()?,
        earliest: to.earliest,
        latest: to.latest,
    };
    let Trigger(app, name) = trigger;
    let at = of
        .remote
        .client()?
        .seek(&of.remote.project, topic, (app, name), &seek)
        .await;
    let at = at.map_err(|e| of.remote.explain(e))?;
    if of.json {
        return output::json(&at);
    }
    output::say(&format!(
        "{} goes on behind position {}: {} events",
        at.name, at.cursor, at.lag
    ));
    Ok(())
}

async fn purge(topic: &TopicName, yes: bool, of: &Of) -> Result<()> {
    if !yes {
        return Err(Error::invalid("nothing is removed without --yes")
            .hint("what is removed cannot be had back; look at it with gust topic tail"));
    }
    let (client, project) = (of.remote.client()?, &of.remote.project);
    let work = client.purge_topic(project, topic);
    let left = async || Ok(client.topic(project, topic).await?.events);
    let count = progress::watched("removing events", work, left).await;
    let count = count.map_err(|e| of.remote.explain(e))?;
    if of.json {
        return output::json(&count);
    }
    output::say(&format!("removed {} events", count.count));
    Ok(())
}
