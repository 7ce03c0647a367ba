//! What a function may publish to, as it sees it: something that keeps messages.
//!
//! A function knows an outlet by its label and never learns what is behind. What is published here is a message in the
//! form that an event can be made of ([`crate::queue::check::attributes`]); [`Outlet::shape`] makes of it what the place keeps.

use async_trait::async_trait;
use gust_types::{Result, event::Cause};

use crate::{
    queue::{Message, Published, QueueLimits},
    unit::Place,
};

/// Keeps what is published.
#[async_trait]
pub trait Outlet: Send + Sync {
    /// Messages as this place keeps them; refuses those that it cannot keep. `cause` is what led to the call that publishes.
    fn shape(&self, messages: Vec<Message>, cause: Option<&Cause>) -> Result<Vec<Message>>;
    /// Keeps all of these messages or none, in order: what [`Outlet::shape`] has made. Answers when they are durable.
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>>;
    /// What it accepts; a caller refuses early, and can tell a message that is too large from a place that is full.
    fn limits(&self) -> QueueLimits;
    /// Which place it is, and how that behaves now.
    fn place(&self) -> Result<Place>;
}
