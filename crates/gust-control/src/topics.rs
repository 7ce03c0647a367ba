//! Topics, and what waits for triggers, as the API speaks of them: its words into the seam's, and back.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gust_api::{
    queue::{LookQuery, Messages, Redrive},
    topic::{
        Event as EventShown, Events, EventsQuery, PublishedEvent, Seek, Subscription as Shown,
        Topic as TopicShown,
    },
};
use gust_backend::{
    desk::{EventQuery, Inbox},
    topic::{Position, Start, Subscription, Topic, TopicSettings},
};
use gust_types::{AppName, Error, Label, ProjectName, Result, changes::TopicName};
use http::HeaderMap;
use serde_json::value::RawValue;

use crate::{control::Control, queues};

/// Events that are read, unless the caller says; and at most.
const READ: u32 = 100;
const READ_MOST: u32 = 1000;
/// The longest wait for events.
const WAIT_MS: u64 = 30_000;

impl Control {
    /// The topics of a project, by name.
    pub(crate) async fn topics(&self, project: &ProjectName) -> Result<Vec<TopicShown>> {
        self.must_have(project).await?;
        let mut all = Vec::new();
        let events = &self.0.parts.events;
        let streams = events.streams(project)?.into_iter();
        let streams = streams.map(|of| (of.topic(), TopicSettings::default()));
        for (name, settings) in events.topics(project)?.into_iter().chain(streams) {
            let topic = events.topic(project, &name)?;
            all.push(show(name.into(), &*topic, settings).await?);
        }
        Ok(all)
    }

    /// A topic, what it holds and who takes from it.
    pub(crate) async fn topic(
        &self,
        project: &ProjectName,
        name: &TopicName,
    ) -> Result<TopicShown> {
        let topic = self.open_topic(project, name).await?;
        let known = self.0.parts.events.topics(project)?;
        let settings = known.into_iter().find(|(known, _)| *known == name.label());
        let settings = settings.map(|(_, settings)| settings).unwrap_or_default();
        show(name.clone(), &*topic, settings).await
    }

    async fn open_topic(&self, project: &ProjectName, name: &TopicName) -> Result<Arc<dyn Topic>> {
        self.must_have(project).await?;
        self.0.parts.events.topic(project, &name.label())
    }

    /// Publishes the events of a request, all or none.
    pub(crate) async fn publish_events(
        &self,
        project: &ProjectName,
        topic: &TopicName,
        (headers, body): (&HeaderMap, Bytes),
        once: bool,
    ) -> Result<Vec<PublishedEvent>> {
        self.must_have(project).await?;
        let (events, topic) = (&self.0.parts.events, topic.publishable()?);
        let appended = events
            .publish_request(project, topic, headers, body, once)
            .await?;
        let shown = appended.into_iter().map(|appended| PublishedEvent {
            position: appended.position.0,
            duplicate: appended.duplicate,
        });
        Ok(shown.collect())
    }

    /// Reads events.
    pub(crate) async fn read_events(
        &self,
        project: &ProjectName,
        topic: &TopicName,
        query: EventsQuery,
    ) -> Result<Events> {
        self.must_have(project).await?;
        let limit = query.limit.unwrap_or(READ);
        if !(1..=READ_MOST).contains(&limit) {
            let text = format!("limit is not 1 to {READ_MOST}: {limit}");
            return Err(Error::invalid(text));
        }
        let wait_ms = query.wait_ms.unwrap_or(0);
        if wait_ms > WAIT_MS {
            let text = format!("wait_ms is above {WAIT_MS}: {wait_ms}");
            return Err(Error::invalid(text));
        }
        let query = EventQuery {
            after: query.after.map(Position),
            since_us: query.since_us,
            limit: limit as usize,
            filter: query.filter,
            wait: Duration::from_millis(wait_ms),
        };
        let page = self
            .0
            .parts
            .events
            .read_events(project, &topic.label(), query)
            .await?;
        let mut events = Vec::with_capacity(page.events.len());
        for read in page.events {
            events.push(EventShown {
                position: read.position.0,
                published_us: read.published_us,
                event: raw(&read.json)?,
            });
        }
        Ok(Events {
            events,
            next: page.next.0,
        })
    }

    /// Moves the cursor of a trigger.
    pub(crate) async fn seek(
        &self,
        project: &ProjectName,
        topic: &TopicName,
        subscription: String,
        seek: Seek,
    ) -> Result<Shown> {
        let start = start(&seek)?;
        let topic = self.open_topic(project, topic).await?;
        let at = topic.seek(&subscription, start).await?;
        tracing::info!(%project, subscription, cursor = at.cursor.0, "a subscription was moved");
        Ok(shown(at))
    }

    /// Removes all events; answers how many.
    pub(crate) async fn purge_topic(&self, project: &ProjectName, name: &TopicName) -> Result<u64> {
        let count = self.open_topic(project, name).await?.purge().await?;
        tracing::info!(%project, topic = %name, count, "a topic was purged");
        Ok(count)
    }

    async fn inbox(&self, project: &ProjectName, app: &AppName, trigger: &Label) -> Result<Inbox> {
        self.must_have(project).await?;
        self.0.parts.events.inbox(project, app, trigger)
    }

    /// Looks at the events of a trigger that were given up.
    pub(crate) async fn trigger_dead(
        &self,
        project: &ProjectName,
        (app, trigger): (AppName, Label),
        query: LookQuery,
    ) -> Result<Messages> {
        let inbox = self.inbox(project, &app, &trigger).await?;
        queues::dead(&inbox, query).await
    }

    /// Delivers dead events of a trigger again; answers how many.
    pub(crate) async fn trigger_redrive(
        &self,
        project: &ProjectName,
        (app, trigger): (AppName, Label),
        redrive: Redrive,
    ) -> Result<u64> {
        let inbox = self.inbox(project, &app, &trigger).await?;
        queues::again(&inbox, redrive).await
    }

    /// Removes what waits for a trigger, or what was given up; answers how many.
    pub(crate) async fn trigger_purge(
        &self,
        project: &ProjectName,
        (app, trigger): (AppName, Label),
        dead: bool,
    ) -> Result<u64> {
        let inbox = self.inbox(project, &app, &trigger).await?;
        let count = inbox.purge(dead).await?;
        tracing::info!(%project, %app, %trigger, dead, count, "a trigger's events were purged");
        Ok(count)
    }
}

async fn show(name: TopicName, topic: &dyn Topic, settings: TopicSettings) -> Result<TopicShown> {
    let stats = topic.stats().await?;
    let subscriptions = topic.subscriptions().await?;
    Ok(TopicShown {
        topic: name,
        events: stats.events(),
        bytes: stats.bytes,
        first: stats.first,
        last: stats.last,
        oldest_us: Some(stats.oldest_us).filter(|at| *at > 0),
        newest_us: Some(stats.newest_us).filter(|at| *at > 0),
        subscriptions: subscriptions.into_iter().map(shown).collect(),
        settings,
    })
}

fn shown(subscription: Subscription) -> Shown {
    Shown {
        name: subscription.name,
        cursor: subscription.cursor.0,
        lag: subscription.lag,
        missed: subscription.missed,
        forwarded: subscription.forwarded,
    }
}

fn start(seek: &Seek) -> Result<Start> {
    let starts = [
        seek.after.map(|after| Start::After(Position(after))),
        seek.since_us.map(Start::Since),
        seek.earliest.then_some(Start::Earliest),
        seek.latest.then_some(Start::Latest),
    ];
    let mut given = starts.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(start), None) => Ok(start),
        _ => Err(Error::invalid(
            "a subscription goes on at exactly one of `after`, `since_us`, `earliest` and `latest`",
        )),
    }
}

fn raw(json: &[u8]) -> Result<Box<RawValue>> {
    serde_json::from_slice(json)
        .map_err(|e| Error::internal("an event is not written as json").because(e))
}
