//! What functions answer with goes into a topic before the event that they were given is done.
//!
//! An answer is a reply when it is an event in the HTTP binding: in headers, in JSON, or several in a batch. It is kept
//! under a key of the delivery, so a delivery that is repeated after a crash adds nothing. Each reply counts the triggers
//! that led to it and names them; after too many it is a loop, and ends.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use gust_backend::{
    queue::QueueLimits,
    topic::check,
    unit::{Place, Publication},
};
use gust_types::{
    Error, Event, Label, Result,
    event::Cause,
    trigger::{ReplySpec, TriggerSource, TriggerSpec},
};

use super::Topics;
use crate::{
    deliver::{ATTEMPT, Answered, Delivered, Fate, Replies},
    http as binding, message,
    triggers::Key,
};

/// How long the key of a reply is remembered beyond the longest time that its delivery is tried.
const BEYOND: Duration = Duration::from_secs(86_400);

/// Puts the replies of one trigger into a topic.
pub(crate) struct TopicReplies {
    topics: Topics,
    topic: Label,
    key: Key,
    /// For how long a delivery is tried.
    tried: Duration,
}

#[async_trait]
impl Replies for TopicReplies {
    fn read(
        &self,
        delivered: &[Delivered<'_>],
        answered: &Answered,
    ) -> Result<Option<Publication>, Fate> {
        let events = read(answered)?;
        if events.is_empty() {
            return Ok(None);
        }
        let name = self.key.subscription();
        let cause = Cause::new(delivered.iter().map(|d| d.event), &name);
        cause.leads_on().map_err(|error| {
            let loops = error.message;
            Fate::Dead(format!("{loops}; what {name} answered is not published"))
        })?;
        let parent = delivered.iter().find_map(|d| d.event.traceparent());
        let first = delivered.iter().map(|d| d.message.0).min().unwrap_or(0);
        let mut messages = Vec::with_capacity(events.len());
        for (n, event) in events.into_iter().enumerate() {
            let event = led_to(event, &cause, parent).map_err(|e| no_event(&e))?;
            let key = format!("reply/{name}/{first}/{n}");
            messages.push(message::of_event(&event).with_key(key));
        }
        check::events(&messages, &QueueLimits::default()).map_err(|e| unpublished(&e))?;
        let settings = self.topics.settings(&self.key.project, &self.topic);
        let remember = Some(self.tried + BEYOND);
        Ok(Some(Publication {
            to: Place::Topic(self.topic.clone(), settings, remember),
            messages,
        }))
    }

    async fn publish(&self, publication: Publication) -> Result<(), Fate> {
        let topic = self.topics.open(&self.key.project, &self.topic);
        let topic = topic.map_err(|e| unpublished(&e))?;
        let remember = Some(self.tried + BEYOND);
        let published = topic.publish(publication.messages, remember).await;
        published.map(drop).map_err(|e| unpublished(&e))
    }
}

impl TopicReplies {
    /// Who takes what a trigger's function answers; nobody, unless it is a topic's trigger that lets replies through.
    pub(crate) fn of(topics: Topics, key: &Key, spec: &TriggerSpec) -> Option<Arc<dyn Replies>> {
        let TriggerSource::Topic { topic, reply, .. } = &spec.source else {
            return None;
        };
        let topic = match reply {
            ReplySpec::Same => topic,
            ReplySpec::Topic(topic) => topic,
            ReplySpec::Off => return None,
        };
        Some(Arc::new(Self {
            topics,
            topic: topic.clone(),
            key: key.clone(),
            tried: spec.retry.max_age.0,
        }))
    }
}

fn unpublished(error: &Error) -> Fate {
    Fate::Failed(format!("its reply cannot be published: {}", error.chain()))
}

/// The events of an answer; none when it is a plain answer.
fn read(answered: &Answered) -> Result<Vec<Event>, Fate> {
    if binding::mode(&answered.headers).is_none() {
        return Ok(Vec::new());
    }
    if answered.cut {
        let most = super::super::deliver::REPLY_MOST;
        return Err(Fate::Failed(format!(
            "its reply is larger than {most} bytes"
        )));
    }
    let body = Bytes::copy_from_slice(&answered.body);
    let decoded = binding::decode(&answered.headers, &body, &binding::Limits::default());
    let decoded = decoded.map_err(|error| no_event(&error))?;
    Ok(decoded.map(|decoded| decoded.events).unwrap_or_default())
}

fn no_event(error: &Error) -> Fate {
    Fate::Failed(format!("its reply is no event: {}", error.chain()))
}

/// The reply with what says where it comes from.
fn led_to(mut event: Event, cause: &Cause, parent: Option<&str>) -> Result<Event> {
    // Functions like to send back what they were given.
    event.remove(ATTEMPT);
    for (name, value) in cause.extensions() {
        event.set(name, value)?;
    }
    if event.traceparent().is_none()
        && let Some(parent) = parent
    {
        event.set(Event::TRACE_PARENT, parent.to_owned())?;
    }
    Ok(event)
}

#[cfg(test)]
mod tests;
