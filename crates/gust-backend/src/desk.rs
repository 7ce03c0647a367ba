//! Queues and triggers as other rooms see them.
//!
//! The control plane asks the events room through [`Desk`] and knows nothing of deliveries; the events room never knows
//! who asks.

use std::sync::Arc;

use async_trait::async_trait;
use gust_types::{
    AppName, Label, ProjectName, Result,
    trigger::{EventsSpec, TriggerSpec},
};

use crate::queue::{Message, Published, Queue, QueueSettings};

/// A trigger and what became of its events.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerState {
    /// The app it belongs to.
    pub app: AppName,
    /// What the manifest says.
    pub spec: TriggerSpec,
    /// False when it could not be started; the log says why.
    pub running: bool,
    /// What became of its events since the node started, or since it last changed.
    pub counts: Counts,
    /// When it fires next, Unix microseconds, for a schedule that still does.
    pub next_us: Option<u64>,
    /// How its source is doing, when that is outside the node.
    pub feed: Option<FeedState>,
}

/// How a source outside the node is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedState {
    /// Whether it is connected.
    pub connected: bool,
    /// Since when it is, or is not, Unix microseconds.
    pub since_us: u64,
    /// The last thing that went wrong, and when, Unix microseconds.
    pub error: Option<(String, u64)>,
}

/// What became of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// With their function now.
    pub in_flight: u64,
    /// Taken by their function.
    pub done: u64,
    /// To be tried again.
    pub retried: u64,
    /// Put back because the node had no room for the call.
    pub refused: u64,
    /// Given up.
    pub dead: u64,
}

/// Who is asked about events.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Refuses what an app says of its events when it cannot be done.
    fn check(&self, project: &ProjectName, app: &AppName, events: &EventsSpec) -> Result<()>;
    /// The queues of a project, by name, with how they behave.
    fn queues(&self, project: &ProjectName) -> Result<Vec<(Label, QueueSettings)>>;
    /// A queue of a project. One that nobody has named yet is empty.
    fn queue(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Queue>>;
    /// Publishes messages, which have to be such that an event can be made of them.
    async fn publish(
        &self,
        project: &ProjectName,
        queue: &Label,
        messages: Vec<Message>,
    ) -> Result<Vec<Published>>;
    /// The triggers of a project, by app and name.
    fn triggers(&self, project: &ProjectName) -> Vec<TriggerState>;
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.in_flight += other.in_flight;
        self.done += other.done;
        self.retried += other.retried;
        self.refused += other.refused;
        self.dead += other.dead;
    }
}
