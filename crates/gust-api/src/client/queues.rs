//! Queues and triggers.

use gust_types::{Label, ProjectName, Result};
use http::Method;

use super::Client;
use crate::queue::{
    Count, LookQuery, Messages, Publish, PublishedAll, Purge, Queue, Queues, Redrive, Triggers,
};

impl Client {
    /// The queues of a project.
    pub async fn queues(&self, project: &ProjectName) -> Result<Queues> {
        self.get(&format!("/projects/{project}/queues"), &()).await
    }

    /// A queue and what it holds.
    pub async fn queue(&self, project: &ProjectName, queue: &Label) -> Result<Queue> {
        self.get(&of(project, queue, ""), &()).await
    }

    /// Publishes messages; they are durable when this answers.
    pub async fn publish(
        &self,
        project: &ProjectName,
        queue: &Label,
        publish: &Publish,
    ) -> Result<PublishedAll> {
        self.send(Method::POST, &of(project, queue, "/messages"), publish)
            .await
    }

    /// Looks at messages without taking them.
    pub async fn peek(
        &self,
        project: &ProjectName,
        queue: &Label,
        query: &LookQuery,
    ) -> Result<Messages> {
        self.get(&of(project, queue, "/messages"), query).await
    }

    /// Looks at messages that were given up.
    pub async fn dead(
        &self,
        project: &ProjectName,
        queue: &Label,
        query: &LookQuery,
    ) -> Result<Messages> {
        self.get(&of(project, queue, "/dead"), query).await
    }

    /// Publishes dead messages again.
    pub async fn redrive(
        &self,
        project: &ProjectName,
        queue: &Label,
        redrive: &Redrive,
    ) -> Result<Count> {
        self.work(&of(project, queue, "/redrive"), redrive).await
    }

    /// Removes all messages, or all dead ones.
    pub async fn purge(
        &self,
        project: &ProjectName,
        queue: &Label,
        purge: &Purge,
    ) -> Result<Count> {
        self.work(&of(project, queue, "/purge"), purge).await
    }

    /// The triggers of a project.
    pub async fn triggers(&self, project: &ProjectName) -> Result<Triggers> {
        self.get(&format!("/projects/{project}/triggers"), &())
            .await
    }
}

fn of(project: &ProjectName, queue: &Label, what: &str) -> String {
    format!("/projects/{project}/queues/{queue}{what}")
}
