//! The topics of projects: what is published to them, read from them, and answered into them.
//!
//! - `pump.rs`: takes what a trigger wants out of its topic into the trigger's inbox.
//! - `subscribed.rs`: that pump from a trigger's coming to its going.
//! - `replies.rs`: puts what functions answer with back into a topic, and ends loops.

mod pump;
mod replies;
mod subscribed;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use gust_backend::{
    desk::{EventPage, EventQuery, ReadEvent},
    topic::{Appended, ReadOptions, Start, Topic, TopicSettings},
};
use gust_task::clock;
use gust_types::{
    AppName, Error, Event, Label, ProjectName, Result,
    call::Trace,
    trigger::{EventsSpec, FilterSpec, TriggerSource},
};
use http::HeaderMap;
use sha2::{Digest as _, Sha256};

pub(crate) use self::{
    pump::Pace,
    replies::TopicReplies,
    subscribed::{Subscribed, Turn},
};
use crate::{Parts, filter::Filter, http as binding, message};

/// Events of one page, and how many are looked at to fill it.
const PAGE: usize = 1000;
const LOOKED_AT: usize = 20_000;
/// Bytes of events in one page.
const PAGE_BYTES: usize = 8 << 20;
/// Events read at once.
const STEP: usize = 500;
/// The longest wait for the first event of a page.
const WAIT: Duration = Duration::from_secs(30);

/// Opens topics with the settings that the served apps give them.
#[derive(Clone)]
pub(crate) struct Topics(pub(crate) Arc<Parts>);

// === impl Topics ===

impl Topics {
    /// A topic of a project, whether or not an app names it.
    pub(crate) fn open(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Topic>> {
        let settings = self.settings(project, name);
        self.0.backends.topic(project, name, &settings)
    }

    /// What the app says that gives it settings; the defaults when none does.
    pub(crate) fn settings(&self, project: &ProjectName, name: &Label) -> TopicSettings {
        self.0.dispatcher.topic_settings(project, name)
    }

    /// Every topic of a project: those that hold or held something, and those that apps name.
    pub(crate) fn all(&self, project: &ProjectName) -> Result<BTreeMap<Label, TopicSettings>> {
        let mut names = self.0.backends.topics(project)?;
        for (of, _, events) in self.0.dispatcher.events() {
            if of == *project {
                names.extend(named(&events));
            }
        }
        let settings = |name: Label| {
            let settings = self.settings(project, &name);
            (name, settings)
        };
        Ok(names.into_iter().map(settings).collect())
    }

    /// Refuses settings for a topic that another app of the project has given others: who would be right?
    pub(crate) fn check(
        &self,
        project: &ProjectName,
        app: &AppName,
        events: &EventsSpec,
    ) -> Result<()> {
        for (of, other, theirs) in self.0.dispatcher.events() {
            if of != *project || other == *app {
                continue;
            }
            let mut given = events.topics.iter();
            let differs = |(name, settings): &(&Label, &TopicSettings)| {
                theirs
                    .topics
                    .get(*name)
                    .is_some_and(|there| there != *settings)
            };
            if let Some((name, _)) = given.find(differs) {
                let text = format!(
                    "app {other:?} has other settings for the topic: {name}",
                    other = other.as_str()
                );
                return Err(Error::conflict(text)
                    .hint("let one app say how the topic behaves, or both the same"));
            }
        }
        Ok(())
    }

    /// Publishes events; with `once`, those whose source and id were published before are not kept again.
    pub(crate) async fn publish(
        &self,
        project: &ProjectName,
        topic: &Label,
        events: &[Event],
        once: bool,
    ) -> Result<Vec<Appended>> {
        let message = |event: &Event| {
            let mut message = message::of_event(event);
            message.key = once.then(|| identity(event));
            message
        };
        let messages = events.iter().map(message).collect();
        self.open(project, topic)?.publish(messages, None).await
    }

    /// Publishes what came as a request of the HTTP binding.
    pub(crate) async fn publish_request(
        &self,
        project: &ProjectName,
        topic: &Label,
        (headers, body): (&HeaderMap, Bytes),
        once: bool,
    ) -> Result<Vec<Appended>> {
        let decoded = binding::decode(headers, &body, &binding::Limits::default())?;
        let decoded = decoded.ok_or_else(no_event)?;
        let mut events = decoded.events;
        // A batch may have no events at all.
        if events.is_empty() {
            return Ok(Vec::new());
        }
        // What is published goes on with the trace of who publishes it.
        if let Some(parent) = Trace::header_of(headers) {
            for event in events.iter_mut().filter(|e| e.traceparent().is_none()) {
                event.set(Event::TRACE_PARENT, parent)?;
            }
        }
        self.publish(project, topic, &events, once).await
    }

    /// Reads events that a filter wants.
    pub(crate) async fn read(
        &self,
        project: &ProjectName,
        topic: &Label,
        query: EventQuery,
    ) -> Result<EventPage> {
        let filter = match query.filter {
            Some(sql) => Filter::new(&[FilterSpec::Sql(sql)]).map_err(unplaced)?,
            None => Filter::default(),
        };
        let topic = self.open(project, topic)?;
        let mut after = match (query.after, query.since_us) {
            (Some(after), _) => after,
            (None, Some(since_us)) => topic.position(Start::Since(since_us)).await?,
            (None, None) => topic.position(Start::Earliest).await?,
        };
        let (most, mut events, mut bytes) = (query.limit.min(PAGE), Vec::new(), 0);
        let end = clock::now() + query.wait.min(WAIT);
        let mut left = LOOKED_AT;
        while events.len() < most && bytes < PAGE_BYTES && left > 0 {
            let wait = match events.is_empty() {
                true => end.saturating_duration_since(clock::now()),
                false => Duration::ZERO,
            };
            let most_now = STEP.min(left).min(if filter.is_everything() {
                most - events.len()
            } else {
                STEP
            });
            let options = ReadOptions {
                after,
                most: most_now,
                wait,
            };
            let page = topic.read(options).await?;
            if page.is_empty() && clock::now() >= end {
                break;
            }
            if page.is_empty() && !events.is_empty() {
                break;
            }
            left -= page.len();
            for logged in page {
                if events.len() == most || bytes >= PAGE_BYTES {
                    break;
                }
                after = logged.position;
                let event = message::event(&logged.message)?;
                if filter.matches(&event) {
                    let (_, json) = binding::encode_structured(&event)?;
                    bytes += json.len();
                    events.push(ReadEvent {
                        position: logged.position,
                        published_us: logged.published_us,
                        json,
                    });
                }
            }
        }
        Ok(EventPage {
            events,
            next: after,
        })
    }

    /// Makes the subscriptions of an app's triggers, so that they miss nothing from the moment that it is deployed.
    pub(crate) async fn prepare(
        &self,
        project: &ProjectName,
        app: &AppName,
        events: &EventsSpec,
    ) -> Result<()> {
        for trigger in &events.triggers {
            let Some(topic) = trigger.source.topic() else {
                continue;
            };
            let settings = events.topics.get(&topic).cloned();
            let settings = settings.unwrap_or_else(|| self.settings(project, &topic));
            let topic = self.0.backends.topic(project, &topic, &settings)?;
            let name = format!("{app}/{}", trigger.name);
            let start = pump::start(trigger.source.from());
            topic.subscribe(&name, start).await?;
        }
        Ok(())
    }
}

/// What tells an event from all others, short enough for a key.
fn identity(event: &Event) -> String {
    let mut hash = Sha256::new();
    for part in [event.source(), event.id()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let hash = hash.finalize();
    hash.iter().fold("event/".to_owned(), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn no_event() -> Error {
    Error::invalid("the request is no event").hint(
        "send an event of its own with ce-specversion, ce-id, ce-source and ce-type as headers, or as \
         application/cloudevents+json or application/cloudevents-batch+json",
    )
}

/// There is one filter only: where it stands goes without saying.
fn unplaced(mut error: Error) -> Error {
    if let Some(rest) = error.message.strip_prefix("filters[0].sql: ") {
        error.message = format!("filter: {rest}");
    }
    error
}

/// The topics that an app names.
fn named(events: &EventsSpec) -> impl Iterator<Item = Label> {
    use gust_types::trigger::ReplySpec;
    let of_triggers = events.triggers.iter().flat_map(|trigger| {
        let (topic, reply) = match &trigger.source {
            TriggerSource::Topic { topic, reply, .. } => (Some(topic), Some(reply)),
            _ => (None, None),
        };
        let reply = match reply {
            Some(ReplySpec::Topic(topic)) => Some(topic),
            _ => None,
        };
        topic.into_iter().chain(reply).cloned()
    });
    of_triggers.chain(events.topics.keys().cloned())
}
