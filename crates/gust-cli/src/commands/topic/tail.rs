//! `gust topic tail`: events as they are published.

use gust_api::topic::{Event, EventsQuery};
use gust_task::clock;
use gust_types::{Error, Result, changes::TopicName};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{output, remote::Remote, time};

/// Events asked for at once.
const PAGE: u32 = 500;
/// How long the node waits for the first one.
const WAIT_MS: u64 = 20_000;
/// Letters of data that a line shows.
const SHOWN: usize = 120;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The topic, or kv:STORE, sql:DATABASE or blob:BUCKET for the changes of one
    topic: TopicName,
    /// Begin behind this position; 0 is before all
    #[arg(long, value_name = "POSITION", conflicts_with = "since")]
    after: Option<u64>,
    /// Stop after this many
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    how: How,
}

/// What is printed, of one topic or of many.
#[derive(Debug, clap::Args)]
pub(crate) struct How {
    /// Begin with what was published then, such as 2026-11-23T09:30:00Z, or 10m for ten minutes ago [default: now]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only events of which this is true: CloudEvents SQL such as "type = 'order.placed'", or NAME=VALUE; may be repeated
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Stop at the end of what is there
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// Print one JSON document for each event
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

pub(super) async fn run(args: &Args) -> Result<()> {
    let mut left = args.limit.unwrap_or(u64::MAX);
    let from = match args.after {
        Some(after) => From::Behind(after),
        None => args.how.from()?,
    };
    follow(&args.how, &args.topic, from, &mut left, "").await
}

/// Where to begin.
#[derive(Debug, Clone, Copy)]
pub(crate) enum From {
    Now,
    Behind(u64),
    Time(u64),
}

/// Prints the events of a topic, each line with this before it, until so many are printed.
pub(crate) async fn follow(
    how: &How,
    topic: &TopicName,
    from: From,
    left: &mut u64,
    before: &str,
) -> Result<()> {
    let (client, project) = (how.remote.client()?, &how.remote.project);
    let explain = |e| how.remote.explain(e);
    let mut query = EventsQuery {
        after: None,
        since_us: None,
        limit: None,
        filter: expression(&how.filter)?,
        wait_ms: (!how.no_follow).then_some(WAIT_MS),
    };
    match from {
        From::Behind(position) => query.after = Some(position),
        From::Time(us) => query.since_us = Some(us),
        From::Now => {
            let topic = client.topic(project, topic).await;
            query.after = Some(topic.map_err(explain)?.last);
        }
    }
    while *left > 0 {
        query.limit = Some(PAGE.min(u32::try_from(*left).unwrap_or(PAGE)));
        let page = client.events(project, topic, &query).await;
        let page = page.map_err(explain)?;
        for event in &page.events {
            print(topic, event, how.json, before)?;
        }
        *left -= page.events.len() as u64;
        let stands = query.after == Some(page.next);
        if how.no_follow && page.events.is_empty() && stands {
            break;
        }
        (query.after, query.since_us) = (Some(page.next), None);
    }
    Ok(())
}

// === impl How ===

impl How {
    /// Where these words say to begin.
    pub(crate) fn from(&self) -> Result<From> {
        Ok(match &self.since {
            Some(text) => From::Time(time::parse(text, clock::unix_micros())?),
            None if self.no_follow => From::Behind(0),
            None => From::Now,
        })
    }
}

fn print(topic: &TopicName, event: &Event, json: bool, before: &str) -> Result<()> {
    if json {
        let line = match before {
            "" => serde_json::to_string(event),
            _ => serde_json::to_string(&Placed { topic, event }),
        };
        let line = line.map_err(|e| Error::internal("cannot write an event as json").because(e))?;
        return output::line(&line);
    }
    let read: Shown<'_> = serde_json::from_str(event.event.get())
        .map_err(|e| Error::internal("the node sent an event that is none").because(e))?;
    let text = |text: &Option<String>| output::printable(text.as_deref().unwrap_or_default());
    output::line(&format!(
        "{before}{}  {}  {}  {}  {}  {}",
        event.position,
        time::millis(event.published_us),
        text(&read.kind),
        text(&read.source),
        text(&read.id),
        data(&read)
    ))
}

/// What a line says of an event. Its data may be nested as deep as it likes: nobody looks into it.
#[derive(Deserialize)]
struct Shown<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    source: Option<String>,
    id: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(rename = "data_base64")]
    bytes: Option<IgnoredAny>,
}

/// An event of one topic among others.
#[derive(Serialize)]
struct Placed<'a> {
    topic: &'a TopicName,
    #[serde(flatten)]
    event: &'a Event,
}

/// The beginning of the data, on one line.
fn data(event: &Shown<'_>) -> String {
    let text = match (event.data, event.bytes) {
        (Some(data), _) => serde_json::from_str(data.get()).unwrap_or_else(|_| data.get().into()),
        (None, Some(_)) => "(bytes)".to_owned(),
        (None, None) => String::new(),
    };
    output::beginning(&text, SHOWN)
}

/// All filters as one expression.
fn expression(filters: &[String]) -> Result<Option<String>> {
    let parts: Vec<_> = filters.iter().map(|text| part(text)).collect();
    Ok(match &parts[..] {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("({})", many.join(") AND ("))),
    })
}

/// `name=value` without spaces and quotes after the sign is a comparison; anything else is an expression.
fn part(text: &str) -> String {
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    match text.split_once('=') {
        Some((name, value)) if is_name(name) && !value.starts_with([' ', '\'', '"', '=']) => {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            format!("{name} = '{value}'")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_shown_however_deep_it_is() {
        let shown = |data: &str| {
            let json = format!(r#"{{"specversion":"1.0","id":"1","type":"t",{data}}}"#);
            super::data(&serde_json::from_str(&json).unwrap())
        };
        let deep = format!("\"data\":{}{}", "[".repeat(5000), "]".repeat(5000));
        assert!(shown(&deep).starts_with("[[["));
        assert_eq!(shown(r#""data":"订单 7""#), "订单 7");
        assert_eq!(shown(r#""data":{"n":1}"#), r#"{"n":1}"#);
        assert_eq!(shown(r#""data_base64":"AA==""#), "(bytes)");
        assert_eq!(shown(r#""subject":"s""#), "");
    }

    #[test]
    fn filters_are_expressions_or_pairs() {
        let of = |filters: &[&str]| {
            let filters: Vec<_> = filters.iter().map(|text| (*text).to_owned()).collect();
            expression(&filters).unwrap()
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["type=a.b"]).unwrap(), "type = 'a.b'");
        assert_eq!(of(&["subject=it's\\"]).unwrap(), "subject = 'it\\'s\\\\'");
        for sql in ["type = 'a'", "type='a'", "EXISTS subject", "hops >= 3"] {
            assert_eq!(of(&[sql]).unwrap(), sql);
        }
        assert_eq!(
            of(&["a=b", "EXISTS c"]).unwrap(),
            "(a = 'b') AND (EXISTS c)"
        );
    }
}
