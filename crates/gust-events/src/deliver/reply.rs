//! Who hears what a function answers, before the events that it was given are settled.

use async_trait::async_trait;
use gust_backend::{queue::MessageId, unit::Publication};
use gust_types::Event;

use super::outcome::Answered;

/// An event that was delivered, and the message that it came as: the same one however often it is tried.
pub(crate) struct Delivered<'a> {
    pub(crate) message: MessageId,
    pub(crate) event: &'a Event,
}

/// What becomes of events whose answer could not be used.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    /// As if the function had failed: why.
    Failed(String),
    /// Given up: why.
    Dead(String),
}

/// Publishes what functions answer with success. With an error the events are not done.
#[async_trait]
pub(crate) trait Replies: Send + Sync {
    /// What is to be published of an answer, if anything is.
    fn read(
        &self,
        delivered: &[Delivered<'_>],
        answered: &Answered,
    ) -> Result<Option<Publication>, Fate>;
    /// Publishes it. It is durable when this returns.
    async fn publish(&self, publication: Publication) -> Result<(), Fate>;
}
