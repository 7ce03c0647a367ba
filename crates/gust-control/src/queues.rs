//! Queues as the API speaks of them: its words into the seam's, and back.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use gust_api::queue::{
    Feed, LookQuery, Message as Shown, Messages, NewMessage, Progress, PublishedMessage,
    Queue as QueueShown, Redrive, Trigger,
};
use gust_backend::desk::{Desk, Inbox, TriggerState};
use gust_backend::queue::{
    Message, MessageId, Queue, QueueSettings, QueueStats, check, event::PREFIX,
};
use gust_types::{Error, Event, Label, ProjectName, Result};

use crate::control::Control;

/// Messages looked at, unless the caller says.
const LOOK: u32 = 100;
/// What a page may lack of its bytes and be full all the same: one message.
const PAGE_MARGIN: u64 = 2 << 20;
/// And at most.
const LOOK_MOST: u32 = 1000;

impl Control {
    /// The queues of a project, by name.
    pub(crate) async fn queues(&self, project: &ProjectName) -> Result<Vec<QueueShown>> {
        self.must_have(project).await?;
        let mut shown = Vec::new();
        for (name, settings) in self.0.parts.events.queues(project)? {
            let queue = self.0.parts.events.queue(project, &name)?;
            shown.push(show(name, &*queue, settings).await?);
        }
        Ok(shown)
    }

    /// A queue and what it holds.
    pub(crate) async fn queue(&self, project: &ProjectName, name: &Label) -> Result<QueueShown> {
        let queue = self.open_queue(project, name).await?;
        let known = self.0.parts.events.queues(project)?;
        let settings = known.into_iter().find(|(known, _)| known == name);
        let settings = settings.map(|(_, settings)| settings).unwrap_or_default();
        show(name.clone(), &*queue, settings).await
    }

    async fn open_queue(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Queue>> {
        self.must_have(project).await?;
        self.0.parts.events.queue(project, name)
    }

    /// Publishes messages, all or none; those that name no trace go on with this one.
    pub(crate) async fn publish_messages(
        &self,
        project: &ProjectName,
        queue: &Label,
        messages: Vec<NewMessage>,
        parent: Option<&str>,
    ) -> Result<Vec<PublishedMessage>> {
        self.must_have(project).await?;
        let mut messages: Vec<_> = messages.into_iter().map(read).collect::<Result<_>>()?;
        if let Some(parent) = parent {
            messages
                .iter_mut()
                .for_each(|message| go_on(message, parent));
        }
        let published = self
            .0
            .parts
            .events
            .publish(project, queue, messages)
            .await?;
        let shown = published.into_iter().map(|published| PublishedMessage {
            id: published.id.0,
            duplicate: published.duplicate,
        });
        Ok(shown.collect())
    }

    /// Looks at messages.
    pub(crate) async fn peek(
        &self,
        project: &ProjectName,
        queue: &Label,
        query: LookQuery,
    ) -> Result<Messages> {
        let (after, limit) = page(query)?;
        let seen = self
            .open_queue(project, queue)
            .await?
            .peek(after, limit)
            .await?;
        let messages = seen.into_iter().map(|seen| Shown {
            id: seen.id.0,
            attempts: seen.attempts,
            published_us: seen.published_us,
            at_us: seen.at_us,
            died_us: None,
            cause: None,
            message: write(seen.message),
        });
        Ok(paged(messages.collect(), limit))
    }

    /// Looks at the dead.
    pub(crate) async fn dead(
        &self,
        project: &ProjectName,
        queue: &Label,
        query: LookQuery,
    ) -> Result<Messages> {
        let queue = self.open_queue(project, queue).await?;
        dead(&Inbox::whole(queue), query).await
    }

    /// Publishes dead messages again; answers how many.
    pub(crate) async fn redrive(
        &self,
        project: &ProjectName,
        queue: &Label,
        redrive: Redrive,
    ) -> Result<u64> {
        let queue = self.open_queue(project, queue).await?;
        again(&Inbox::whole(queue), redrive).await
    }

    /// Removes messages; answers how many.
    pub(crate) async fn purge(
        &self,
        project: &ProjectName,
        queue: &Label,
        dead: bool,
    ) -> Result<u64> {
        let count = self.open_queue(project, queue).await?.purge(dead).await?;
        tracing::info!(%project, %queue, dead, count, "a queue was purged");
        Ok(count)
    }

    /// The triggers of a project.
    pub(crate) async fn triggers(&self, project: &ProjectName) -> Result<Vec<Trigger>> {
        self.must_have(project).await?;
        let mut all = Vec::new();
        for state in self.0.parts.events.triggers(project) {
            let backlog = backlog(&*self.0.parts.events, project, &state).await?;
            all.push(shown(state, backlog));
        }
        Ok(all)
    }
}

/// What the queue of a trigger holds, when it has one.
pub(crate) async fn backlog(
    events: &dyn Desk,
    project: &ProjectName,
    state: &TriggerState,
) -> Result<Option<QueueStats>> {
    match &state.queue {
        Some(queue) => Ok(Some(events.queue(project, queue)?.stats().await?)),
        None => Ok(None),
    }
}

/// Events that a trigger is not done with.
pub(crate) fn lag(state: &TriggerState, backlog: &QueueStats) -> u64 {
    state.progress.map_or(0, |progress| progress.lag) + backlog.messages
}

/// Publishes dead messages of a queue, or of a trigger, again; answers how many.
pub(crate) async fn again(inbox: &Inbox, redrive: Redrive) -> Result<u64> {
    let ids = redrive
        .ids
        .map(|ids| ids.into_iter().map(MessageId).collect());
    let most = redrive.limit.unwrap_or(u64::MAX);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    inbox.redrive(ids, most).await
}

/// Looks at the dead of a queue, or of a trigger.
pub(crate) async fn dead(inbox: &Inbox, query: LookQuery) -> Result<Messages> {
    let (after, limit) = page(query)?;
    let dead = inbox.dead(after, limit).await?;
    let messages = dead.into_iter().map(|dead| Shown {
        id: dead.id.0,
        attempts: dead.attempts,
        published_us: dead.published_us,
        at_us: None,
        died_us: Some(dead.died_us),
        cause: Some(dead.cause),
        message: write(dead.message),
    });
    Ok(paged(messages.collect(), limit))
}

async fn show(name: Label, queue: &dyn Queue, settings: QueueSettings) -> Result<QueueShown> {
    let stats = queue.stats().await?;
    Ok(QueueShown {
        queue: name,
        messages: stats.messages,
        bytes: stats.bytes,
        blocked: stats.blocked,
        dead: stats.dead,
        dead_bytes: stats.dead_bytes,
        oldest_us: Some(stats.oldest_us).filter(|at| *at > 0),
        published: stats.published,
        done: stats.done,
        settings,
    })
}

fn page(query: LookQuery) -> Result<(Option<MessageId>, usize)> {
    let limit = query.limit.unwrap_or(LOOK);
    if !(1..=LOOK_MOST).contains(&limit) {
        return Err(Error::invalid(format!(
            "limit is not 1 to {LOOK_MOST}: {limit}"
        )));
    }
    Ok((query.after.map(MessageId), limit as usize))
}

/// A page ends before its limit when its messages are large.
fn paged(messages: Vec<Shown>, limit: usize) -> Messages {
    let bytes: usize = messages.iter().map(|shown| size(&shown.message)).sum();
    let full = messages.len() == limit || bytes as u64 + PAGE_MARGIN >= check::LOOK_BYTES;
    let next = messages.last().filter(|_| full).map(|last| last.id);
    Messages { messages, next }
}

fn size(message: &NewMessage) -> usize {
    let text = message.text.as_ref().map_or(0, String::len);
    text + message.base64.as_ref().map_or(0, String::len)
}

fn read(new: NewMessage) -> Result<Message> {
    let body = match (new.text, new.base64) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid("a message has `text` and `base64`")
                .hint("write its body as one of them"));
        }
        (Some(text), None) => text.into_bytes(),
        (None, Some(text)) => BASE64
            .decode(text)
            .map_err(|e| Error::invalid("a message's `base64` cannot be read").because(e))?,
        (None, None) => Vec::new(),
    };
    // As CloudEvents has it, whoever publishes: guests, topics, and programs here.
    let group = new.group.or_else(|| {
        let of = |name: &str| new.attributes.get(name).cloned();
        of("ce-partitionkey").or_else(|| of("partitionkey"))
    });
    Ok(Message {
        attributes: new.attributes,
        body: body.into(),
        group,
        key: new.key,
        priority: new.priority,
        delay: new.delay.map(|delay| delay.0),
    })
}

/// Gives a message a trace, unless it has one.
fn go_on(message: &mut Message, parent: &str) {
    let mut names = message.attributes.keys();
    let name = match names.any(|name| name.starts_with(PREFIX)) {
        true => format!("{PREFIX}{}", Event::TRACE_PARENT),
        false => Event::TRACE_PARENT.to_owned(),
    };
    let there = message.attributes.entry(name);
    there.or_insert_with(|| parent.to_owned());
}

fn write(message: Message) -> NewMessage {
    let (mut text, mut base64) = (None, None);
    match std::str::from_utf8(&message.body) {
        Ok(body) => text = Some(body.to_owned()),
        Err(_) => base64 = Some(BASE64.encode(&message.body)),
    }
    NewMessage {
        text,
        base64,
        attributes: message.attributes,
        group: message.group,
        key: message.key,
        priority: message.priority,
        delay: message.delay.map(gust_types::Span),
    }
}

fn shown(state: TriggerState, backlog: Option<QueueStats>) -> Trigger {
    let counts = state.counts;
    let held = backlog.unwrap_or_default();
    let progress = state.progress.map(|progress| Progress {
        lag: progress.lag,
        waiting: held.messages,
        missed: progress.missed,
        dead: held.dead,
    });
    Trigger {
        lag: backlog.map(|held| lag(&state, &held)),
        oldest_us: Some(held.oldest_us).filter(|at| *at > 0),
        app: state.app,
        spec: state.spec,
        running: state.running,
        in_flight: counts.in_flight,
        done: counts.done,
        retried: counts.retried,
        refused: counts.refused,
        dead: counts.dead,
        next_us: state.next_us,
        progress,
        feed: state.feed.map(|feed| {
            let (error, error_us) = feed.error.unzip();
            Feed {
                connected: feed.connected,
                since_us: feed.since_us,
                error,
                error_us,
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_where_none_is_named() {
        for (attribute, wanted) in [
            ("colour", ("traceparent", "ours")),
            ("ce-id", ("ce-traceparent", "ours")),
            ("traceparent", ("traceparent", "own")),
            ("ce-traceparent", ("ce-traceparent", "own")),
        ] {
            let mut message = Message::new("x");
            message.attributes.insert(attribute.into(), "own".into());
            go_on(&mut message, "ours");
            assert_eq!(message.attributes[wanted.0], wanted.1, "{attribute}");
        }
    }

    #[test]
    fn bodies_are_text_where_they_can_be() {
        for body in ["", "正文"] {
            let message = Message::new(body);
            let shown = write(message.clone());
            assert_eq!(shown.text.as_deref(), Some(body));
            assert_eq!(read(shown).unwrap(), message);
        }
        let bytes = Message::new(vec![0xff, 0]);
        let shown = write(bytes.clone());
        assert_eq!(shown.base64.as_deref(), Some("/wA="));
        assert_eq!(read(shown).unwrap(), bytes);
        for bad in [
            NewMessage {
                base64: Some("?".into()),
                ..NewMessage::default()
            },
            NewMessage {
                base64: Some(String::new()),
                text: Some(String::new()),
                ..NewMessage::default()
            },
        ] {
            assert!(read(bad).is_err());
        }
    }
}
