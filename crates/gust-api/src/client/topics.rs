//! Topics, and what waits for triggers.

use bytes::Bytes;
use gust_types::{AppName, Label, ProjectName, Result, call, changes::TopicName};
use http::{HeaderValue, Method, header::CONTENT_TYPE};

use super::{Client, wire::with_query};
use crate::{
    queue::{Count, LookQuery, Messages, Purge, Redrive},
    topic::{
        Events, EventsQuery, PublishQuery, PublishedEvents, Seek, Subscription, Topic, Topics,
    },
};

impl Client {
    /// The topics of a project.
    pub async fn topics(&self, project: &ProjectName) -> Result<Topics> {
        self.get(&format!("/projects/{project}/topics"), &()).await
    }

    /// A topic, what it holds and who takes from it.
    pub async fn topic(&self, project: &ProjectName, topic: &TopicName) -> Result<Topic> {
        self.get(&of(project, topic, ""), &()).await
    }

    /// Publishes a batch of events in the JSON format; they are durable when this answers.
    pub async fn publish_events(
        &self,
        project: &ProjectName,
        topic: &TopicName,
        batch: Bytes,
        query: &PublishQuery,
    ) -> Result<PublishedEvents> {
        let path = with_query(&of(project, topic, "/events"), query)?;
        let mut request = self.request(Method::POST, &path, call::full(batch))?;
        request.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/cloudevents-batch+json"),
        );
        self.document(request).await
    }

    /// Reads events.
    pub async fn events(
        &self,
        project: &ProjectName,
        topic: &TopicName,
        query: &EventsQuery,
    ) -> Result<Events> {
        self.get(&of(project, topic, "/events"), query).await
    }

    /// Moves the subscription of a trigger.
    pub async fn seek(
        &self,
        project: &ProjectName,
        topic: &TopicName,
        (app, trigger): (&AppName, &Label),
        seek: &Seek,
    ) -> Result<Subscription> {
        let what = format!("/subscriptions/{app}/{trigger}/seek");
        self.send(Method::POST, &of(project, topic, &what), seek)
            .await
    }

    /// Removes all events of a topic.
    pub async fn purge_topic(&self, project: &ProjectName, topic: &TopicName) -> Result<Count> {
        self.work(&of(project, topic, "/purge"), &()).await
    }

    /// Looks at events of a trigger that were given up.
    pub async fn trigger_dead(
        &self,
        project: &ProjectName,
        trigger: (&AppName, &Label),
        query: &LookQuery,
    ) -> Result<Messages> {
        self.get(&inbox(project, trigger, "dead"), query).await
    }

    /// Delivers dead events of a trigger again.
    pub async fn trigger_redrive(
        &self,
        project: &ProjectName,
        trigger: (&AppName, &Label),
        redrive: &Redrive,
    ) -> Result<Count> {
        self.work(&inbox(project, trigger, "redrive"), redrive)
            .await
    }

    /// Removes what waits for a trigger, or what was given up.
    pub async fn trigger_purge(
        &self,
        project: &ProjectName,
        trigger: (&AppName, &Label),
        purge: &Purge,
    ) -> Result<Count> {
        self.work(&inbox(project, trigger, "purge"), purge).await
    }
}

fn of(project: &ProjectName, topic: &TopicName, what: &str) -> String {
    format!("/projects/{project}/topics/{topic}{what}")
}

fn inbox(project: &ProjectName, (app, trigger): (&AppName, &Label), what: &str) -> String {
    format!("/projects/{project}/triggers/{app}/{trigger}/{what}")
}
