//! `gust queue`: queues and what is in them.

use clap::Subcommand;
use gust_api::queue::{
    LookQuery, Message, Messages, NewMessage, Publish, PublishedAll, Purge, Redrive,
};
use gust_types::{Error, Label, Result, Span};

use crate::{
    input::{self, Attribute},
    output::{self, Table},
    progress,
    remote::Of,
    time,
};

/// Letters of a message that a table shows.
const SHOWN: usize = 60;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the queues of a project
    Ls {
        #[command(flatten)]
        of: Of,
    },
    /// Show a queue: what it holds and how it behaves
    Show {
        /// The queue
        queue: Label,
        #[command(flatten)]
        of: Of,
    },
    /// Publish a message; it is durable when this returns
    Publish(Box<PublishArgs>),
    /// Look at messages without taking them
    Peek {
        /// The queue
        queue: Label,
        #[command(flatten)]
        look: Look,
        #[command(flatten)]
        of: Of,
    },
    /// Look at messages that were given up, with the cause
    Dead {
        /// The queue
        queue: Label,
        #[command(flatten)]
        look: Look,
        #[command(flatten)]
        of: Of,
    },
    /// Publish dead messages again
    Redrive {
        /// The queue
        queue: Label,
        /// Only these, by number [default: all]
        ids: Vec<u64>,
        /// At most this many
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        #[command(flatten)]
        of: Of,
    },
    /// Remove all messages of a queue
    Purge {
        /// The queue
        queue: Label,
        /// Remove the dead instead
        #[arg(long)]
        dead: bool,
        /// Yes, remove them
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Look {
    /// Only those above this number
    #[arg(long, value_name = "ID")]
    after: Option<u64>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, clap::Args)]
struct PublishArgs {
    /// The queue
    queue: Label,
    /// The message: text, @FILE, or @- for stdin
    #[arg(required_unless_present = "lines", default_value = "")]
    data: String,
    /// Publish every line of stdin as a message
    #[arg(long, conflicts_with = "data")]
    lines: bool,
    /// A value beside the body; may be repeated. content-type is the body's type
    #[arg(short, long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<Attribute>,
    /// Messages of one group are handled one after the other
    #[arg(long)]
    group: Option<String>,
    /// Published again under the same key within the queue's `dedup`, it is not kept again
    #[arg(long, conflicts_with = "lines")]
    key: Option<String>,
    /// 0 to 9; higher is taken first
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: u8,
    /// Not to be taken before that long
    #[arg(long, value_name = "DURATION")]
    delay: Option<Span>,
    #[command(flatten)]
    of: Of,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    match &args.action {
        Action::Ls { of } => list(of).await?,
        Action::Show { queue, of } => show(queue, of).await?,
        Action::Publish(publish) => send(publish).await?,
        Action::Peek { queue, look, of } => {
            let client = of.remote.client()?;
            let messages = client.peek(&of.remote.project, queue, &look.query()).await;
            print(&messages.map_err(|e| of.remote.explain(e))?, of.json)?;
        }
        Action::Dead { queue, look, of } => {
            let client = of.remote.client()?;
            let messages = client.dead(&of.remote.project, queue, &look.query()).await;
            print(&messages.map_err(|e| of.remote.explain(e))?, of.json)?;
        }
        Action::Redrive {
            queue,
            ids,
            limit,
            of,
        } => redrive(queue, ids, *limit, of).await?,
        Action::Purge {
            queue,
            dead,
            yes,
            of,
        } => purge(queue, *dead, *yes, of).await?,
    }
    Ok(crate::OK)
}

async fn list(of: &Of) -> Result<()> {
    let queues = of.remote.client()?.queues(&of.remote.project).await;
    let queues = queues.map_err(|e| of.remote.explain(e))?;
    if of.json {
        return output::json(&queues);
    }
    if queues.queues.is_empty() {
        output::say("no queues; make one by publishing: gust queue publish NAME TEXT");
        return Ok(());
    }
    let heading = ["QUEUE", "MESSAGES", "BYTES", "OLDEST", "BLOCKED", "DEAD"];
    let mut table = Table::new(&heading, &[1, 2, 3, 4, 5]);
    for queue in &queues.queues {
        table.row(vec![
            queue.queue.to_string(),
            queue.messages.to_string(),
            output::bytes(queue.bytes),
            output::age(queue.oldest_us),
            queue.blocked.to_string(),
            queue.dead.to_string(),
        ]);
    }
    table.print()
}

async fn show(queue: &Label, of: &Of) -> Result<()> {
    let queue = of.remote.client()?.queue(&of.remote.project, queue).await;
    let queue = queue.map_err(|e| of.remote.explain(e))?;
    if of.json {
        return output::json(&queue);
    }
    let settings = &queue.settings;
    let rows = [
        ("messages", queue.messages.to_string()),
        ("bytes", output::bytes(queue.bytes)),
        ("oldest", output::age(queue.oldest_us)),
        ("blocked", queue.blocked.to_string()),
        ("dead", queue.dead.to_string()),
        ("published", queue.published.to_string()),
        ("done", queue.done.to_string()),
        ("visibility", settings.visibility.to_string()),
        ("delay", settings.delay.to_string()),
        ("attempts", settings.attempts.to_string()),
        ("max_age", settings.max_age.to_string()),
        ("dead_age", settings.dead_age.to_string()),
        ("max_bytes", settings.max_bytes.to_string()),
        ("dedup", settings.dedup.to_string()),
    ];
    let mut table = Table::new(&["QUEUE", queue.queue.as_str()], &[]);
    for (name, value) in rows {
        table.row(vec![name.to_owned(), value]);
    }
    table.print()
}

async fn send(args: &PublishArgs) -> Result<()> {
    if args.lines {
        let made = |line| Ok(args.message(line));
        let send = async |messages| args.publish(messages).await.map(|_| ());
        return input::publish_lines(&args.of, "messages", made, send).await;
    }
    let published = args.publish(vec![args.message(input::read(&args.data)?)]);
    let published = published.await?;
    if args.of.json {
        return output::json(&published);
    }
    for one in &published.published {
        output::line(&one.id.to_string())?;
        if one.duplicate {
            output::say("it was there already under this key and is not kept again");
        }
    }
    Ok(())
}

pub(crate) fn print(messages: &Messages, json: bool) -> Result<()> {
    if json {
        return output::json(messages);
    }
    if messages.messages.is_empty() {
        output::say("nothing there");
        return Ok(());
    }
    table(messages)?;
    if let Some(next) = messages.next {
        output::say(&format!("there may be more: --after {next}"));
    }
    Ok(())
}

/// Messages as rows.
pub(super) fn table(messages: &Messages) -> Result<()> {
    let dead = messages.messages.iter().any(|m| m.died_us.is_some());
    let last = if dead { "CAUSE" } else { "READY (UTC)" };
    let heading = [
        "ID",
        "ATTEMPTS",
        "PUBLISHED (UTC)",
        last,
        "GROUP",
        "MESSAGE",
    ];
    let mut table = Table::new(&heading, &[0, 1]);
    for message in &messages.messages {
        table.row(row(message));
    }
    table.print()
}

fn row(message: &Message) -> Vec<String> {
    let state = match (&message.cause, message.at_us) {
        (Some(cause), _) => output::printable(cause),
        (None, Some(at)) => time::millis(at),
        (None, None) => "after its group".to_owned(),
    };
    vec![
        message.id.to_string(),
        message.attempts.to_string(),
        time::millis(message.published_us),
        state,
        message
            .message
            .group
            .clone()
            .unwrap_or_else(|| "-".to_owned()),
        body(&message.message),
    ]
}

/// The beginning of a body, on one line.
fn body(message: &NewMessage) -> String {
    match &message.text {
        Some(text) => output::beginning(text, SHOWN),
        None => "(bytes)".to_owned(),
    }
}

async fn redrive(queue: &Label, ids: &[u64], limit: Option<u64>, of: &Of) -> Result<()> {
    let redrive = Redrive {
        ids: (!ids.is_empty()).then(|| ids.to_vec()),
        limit,
    };
    let (client, project) = (of.remote.client()?, &of.remote.project);
    let work = client.redrive(project, queue, &redrive);
    let left = async || Ok(client.queue(project, queue).await?.dead);
    let count = progress::watched("publishing the dead again", work, left).await;
    let count = count.map_err(|e| of.remote.explain(e))?;
    if of.json {
        return output::json(&count);
    }
    output::say(&format!("published {} dead messages again", count.count));
    Ok(())
}

async fn purge(queue: &Label, dead: bool, yes: bool, of: &Of) -> Result<()> {
    if !yes {
        return Err(Error::invalid("nothing is removed without --yes")
            .hint("what is removed cannot be had back; look at it with gust queue peek"));
    }
    let purge = Purge { dead };
    let (client, project) = (of.remote.client()?, &of.remote.project);
    let work = client.purge(project, queue, &purge);
    let left = async || {
        let queue = client.queue(project, queue).await?;
        Ok(if dead { queue.dead } else { queue.messages })
    };
    let count = progress::watched("removing messages", work, left).await;
    let count = count.map_err(|e| of.remote.explain(e))?;
    if of.json {
        return output::json(&count);
    }
    output::say(&format!("removed {} messages", count.count));
    Ok(())
}

// === impl Look, PublishArgs ===

impl Look {
    pub(crate) fn query(&self) -> LookQuery {
        LookQuery {
            after: self.after,
            limit: Some(self.limit),
        }
    }
}

impl PublishArgs {
    async fn publish(&self, messages: Vec<NewMessage>) -> Result<PublishedAll> {
        let remote = &self.of.remote;
        let publish = Publish { messages };
        let client = remote.client()?;
        let published = client.publish(&remote.project, &self.queue, &publish).await;
        published.map_err(|e| remote.explain(e))
    }

    fn message(&self, body: Vec<u8>) -> NewMessage {
        let (text, base64) = match String::from_utf8(body) {
            Ok(text) => (Some(text), None),
            Err(error) => {
                use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
                (None, Some(BASE64.encode(error.into_bytes())))
            }
        };
        let attributes = self
            .attributes
            .iter()
            .cloned()
            .map(|Attribute(name, value)| (name, value));
        NewMessage {
            text,
            base64,
            attributes: attributes.collect(),
            group: self.group.clone(),
            key: self.key.clone(),
            priority: self.priority,
            delay: self.delay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_are_cut_by_letters() {
        let message = |text: &str| NewMessage {
            text: Some(text.to_owned()),
            ..NewMessage::default()
        };
        assert_eq!(body(&message("短")), "短");
        let long = body(&message(&"长".repeat(100)));
        assert_eq!(long.chars().count(), SHOWN + 1);
    }
}
