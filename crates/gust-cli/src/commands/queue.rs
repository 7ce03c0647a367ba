//! `gust queue`: queues and what is in them.

use std::{
    io::{BufRead as _, Read as _},
    str::FromStr,
};

use clap::Subcommand;
use gust_api::queue::{LookQuery, Message, Messages, NewMessage, Publish, Purge, Queue, Redrive};
use gust_task::clock;
use gust_types::{Error, Label, Result, Span};

use crate::{
    output::{self, Table},
    remote::Remote,
    time,
};

/// The largest body that is sent: what a queue takes.
const MAX_BODY: u64 = 1 << 20;
/// Lines published in one request.
const LINES: usize = 500;
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
struct Of {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
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

/// `name=value`.
#[derive(Debug, Clone, PartialEq)]
struct Attribute(String, String);

impl FromStr for Attribute {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('=');
        let (name, value) = parts.ok_or_else(|| Error::invalid("write it as NAME=VALUE"))?;
        Ok(Self(name.to_owned(), value.to_owned()))
    }
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
            age(queue),
            queue.blocked.to_string(),
            queue.dead.to_string(),
        ]);
    }
    table.print()
}

/// How long the oldest message has been there.
pub(super) fn age(queue: &Queue) -> String {
    match queue.oldest_us {
        Some(at) => output::micros(clock::unix_micros().saturating_sub(at)),
        None => "-".to_owned(),
    }
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
        ("oldest", age(&queue)),
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
        return send_lines(args).await;
    }
    let body = read(&args.data)?;
    let message = args.message(body);
    let client = args.of.remote.client()?;
    let publish = Publish {
        messages: vec![message],
    };
    let published = client
        .publish(&args.of.remote.project, &args.queue, &publish)
        .await;
    let published = published.map_err(|e| args.of.remote.explain(e))?;
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

/// Every line is a message. What a failure leaves behind is said: so many are published, the rest is not.
async fn send_lines(args: &PublishArgs) -> Result<()> {
    let client = args.of.remote.client()?;
    let mut lines = std::io::stdin().lock().lines();
    let mut count = 0u64;
    loop {
        let mut messages = Vec::new();
        for line in lines.by_ref().take(LINES) {
            let line =
                line.map_err(|e| Error::invalid("cannot read lines from stdin").because(e))?;
            messages.push(args.message(line.into_bytes()));
        }
        if messages.is_empty() {
            break;
        }
        let sent = messages.len() as u64;
        let publish = Publish { messages };
        let published = client
            .publish(&args.of.remote.project, &args.queue, &publish)
            .await;
        if let Err(error) = published {
            output::say(&format!("{count} lines were published before this"));
            return Err(args.of.remote.explain(error));
        }
        count += sent;
    }
    if args.of.json {
        return output::json(&serde_json::json!({ "count": count }));
    }
    output::say(&format!("published {count} messages"));
    Ok(())
}

fn read(data: &str) -> Result<Vec<u8>> {
    let Some(path) = data.strip_prefix('@') else {
        return Ok(data.as_bytes().to_vec());
    };
    let mut bytes = Vec::new();
    let read = match path {
        "-" => std::io::stdin()
            .lock()
            .take(MAX_BODY + 1)
            .read_to_end(&mut bytes),
        path => std::fs::File::open(path)
            .and_then(|file| file.take(MAX_BODY + 1).read_to_end(&mut bytes)),
    };
    read.map_err(|e| Error::invalid(format!("cannot read the message: {path}")).because(e))?;
    if bytes.len() as u64 > MAX_BODY {
        return Err(Error::invalid(format!(
            "the message is larger than {MAX_BODY} bytes"
        )));
    }
    Ok(bytes)
}

pub(crate) fn print(messages: &Messages, json: bool) -> Result<()> {
    if json {
        return output::json(messages);
    }
    if messages.messages.is_empty() {
        output::say("nothing there");
        return Ok(());
    }
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
    table.print()?;
    if let Some(next) = messages.next {
        output::say(&format!("there may be more: --after {next}"));
    }
    Ok(())
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
    let Some(text) = &message.text else {
        return "(bytes)".to_owned();
    };
    let mut shown: String = output::printable(text).chars().take(SHOWN).collect();
    if text.chars().count() > SHOWN {
        shown.push('…');
    }
    shown
}

async fn redrive(queue: &Label, ids: &[u64], limit: Option<u64>, of: &Of) -> Result<()> {
    let redrive = Redrive {
        ids: (!ids.is_empty()).then(|| ids.to_vec()),
        limit,
    };
    let count = of
        .remote
        .client()?
        .redrive(&of.remote.project, queue, &redrive)
        .await;
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
    let count = of
        .remote
        .client()?
        .purge(&of.remote.project, queue, &purge)
        .await;
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
    fn attributes_have_a_name_and_a_value() {
        let read = |text: &str| text.parse::<Attribute>();
        assert_eq!(read("a=b=c").unwrap(), Attribute("a".into(), "b=c".into()));
        assert!(read("a").is_err());
    }

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
