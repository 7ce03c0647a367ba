//! What a function may publish to, as it sees it: something that keeps messages.
//!
//! A function knows an outlet by its label and never learns what is behind. What is published here is a message in the
//! form that an event can be made of ([`crate::queue::check::attributes`]).

use async_trait::async_trait;
use gust_types::Result;

use crate::queue::{Message, Published, QueueLimits};

/// Keeps what is published.
#[async_trait]
pub trait Outlet: Send + Sync {
    /// Keeps all of these messages or none, in order. Answers when they are durable.
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>>;
    /// What it accepts; a caller refuses early, and can tell a message that is too large from a place that is full.
    fn limits(&self) -> QueueLimits;
}
