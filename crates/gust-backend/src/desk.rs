//! Queues, topics and triggers as other rooms see them.
//!
//! The control plane asks the events room through [`Desk`] and knows nothing of deliveries; the events room never knows
//! who asks.

mod inbox;
mod later;
mod made;
pub mod memory;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use gust_types::{
    AppName, Event, FunctionName, Label, ProjectName, Result,
    call::Trace,
    trigger::{EventsSpec, TriggerSpec, WebhookSpec},
};
use http::HeaderMap;

use crate::{
    changes::Watched,
    queue::{Message, Published, Queue, QueueSettings},
    topic::{Appended, Position, Topic, TopicSettings},
};

pub use inbox::Inbox;
pub use later::{Accepted, Callback, CallbackState, Later, LaterCall, LaterState, Wishes};
pub use made::{FoundQueue, MadeQueue, MadeQueues, doors};

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
    /// The queue that its events wait in: its source, or one that the platform keeps for it. The runs of schedules are in
    /// none of their own.
    pub queue: Option<Label>,
    /// How it keeps up with its topic, for one that takes from a topic.
    pub progress: Option<Progress>,
    /// How its source is doing, when that is outside the node.
    pub feed: Option<FeedState>,
}

/// How a trigger keeps up with its topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events of the topic that it has not looked at.
    pub lag: u64,
    /// Events that the topic forgot before it came to them.
    pub missed: u64,
}

/// Which events of a topic to read.
#[derive(Debug, Clone, PartialEq)]
pub struct EventQuery {
    /// Only those behind this position.
    pub after: Option<Position>,
    /// Without `after`: only those published at this time or later, Unix microseconds.
    pub since_us: Option<u64>,
    /// At most this many.
    pub limit: usize,
    /// Only those of which this is true: CloudEvents SQL.
    pub filter: Option<String>,
    /// How long to wait for the first one.
    pub wait: Duration,
}

/// Events of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventPage {
    /// In the order of their positions.
    pub events: Vec<ReadEvent>,
    /// Everything up to here was looked at; to go on, ask for what is behind it.
    pub next: Position,
}

/// An event of a topic, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadEvent {
    /// Where it stands.
    pub position: Position,
    /// When it was published, Unix microseconds.
    pub published_us: u64,
    /// The event in the JSON format.
    pub json: Bytes,
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
    /// A queue of a project if it is there: made, named by an app, or holding messages.
    async fn find_queue(&self, project: &ProjectName, name: &Label) -> Result<Option<FoundQueue>>;
    /// The queues of a project that are there, by name.
    async fn find_queues(&self, project: &ProjectName) -> Result<BTreeMap<Label, FoundQueue>>;
    /// Makes a queue that behaves like this where no app says otherwise, with what a door notes of it; durable when it
    /// answers whether it was not made before. One that was made otherwise is a `Conflict`.
    async fn make_queue(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: QueueSettings,
        notes: BTreeMap<String, String>,
    ) -> Result<bool>;
    /// Changes what is kept of a queue. `to` has the version that it was found with, or 0; `Conflict` when somebody else
    /// changed it meanwhile.
    async fn set_queue(&self, project: &ProjectName, name: &Label, to: MadeQueue) -> Result<()>;
    /// Removes a queue and all that it holds; answers whether it was there. One that an app names is a `Conflict`. The
    /// engine keeps the name: a queue that is made under it again goes on with its numbers.
    async fn remove_queue(&self, project: &ProjectName, name: &Label) -> Result<bool>;
    /// Publishes messages, which have to be such that an event can be made of them.
    async fn publish(
        &self,
        project: &ProjectName,
        queue: &Label,
        messages: Vec<Message>,
    ) -> Result<Vec<Published>>;
    /// Makes ready what an app that was checked needs before it is served: its triggers miss nothing from then on. To be
    /// held until the app is served, or will not be: until then what the app has now is kept for it.
    async fn prepare(
        &self,
        project: &ProjectName,
        app: &AppName,
        events: &EventsSpec,
    ) -> Result<Ready>;
    /// What was served of these projects when the node last ran is served again, but for these apps. What nobody needs any
    /// more may go.
    fn restored(&self, projects: Vec<ProjectName>, left_out: Vec<(ProjectName, AppName)>);
    /// The topics of a project, by name, with how they behave.
    fn topics(&self, project: &ProjectName) -> Result<Vec<(Label, TopicSettings)>>;
    /// The resources of a project whose changes anybody ever listened to: [`Watched::topic`] is the topic that has them.
    fn streams(&self, project: &ProjectName) -> Result<Vec<Watched>>;
    /// A topic of a project. One that nobody has named yet is empty.
    fn topic(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Topic>>;
    /// Publishes events, all or none; durable when it answers. With `once`, an event whose source and id were published
    /// within the topic's `dedup` is not kept again.
    async fn publish_events(
        &self,
        project: &ProjectName,
        topic: &Label,
        events: Vec<Event>,
        once: bool,
    ) -> Result<Vec<Appended>>;
    /// Publishes the events of a request of the CloudEvents HTTP binding, in any of its modes.
    async fn publish_request(
        &self,
        project: &ProjectName,
        topic: &Label,
        headers: &HeaderMap,
        body: Bytes,
        once: bool,
    ) -> Result<Vec<Appended>>;
    /// Reads events of a topic.
    async fn read_events(
        &self,
        project: &ProjectName,
        topic: &Label,
        query: EventQuery,
    ) -> Result<EventPage>;
    /// Where a trigger's events wait before it gets them: its source, or what the platform keeps for it.
    fn inbox(&self, project: &ProjectName, app: &AppName, trigger: &Label) -> Result<Inbox>;
    /// The triggers of a project, by app and name.
    fn triggers(&self, project: &ProjectName) -> Vec<TriggerState>;
}

/// What an app was made ready with. Dropping it says that the app is served now, or will not be.
pub struct Ready(Option<Box<dyn FnOnce() + Send + Sync>>);

/// A webhook as it is served.
#[derive(Debug, Clone)]
pub struct Hook {
    /// The tenant.
    pub project: ProjectName,
    /// The app.
    pub app: AppName,
    /// The trigger's name.
    pub trigger: Label,
    /// What is called in the end.
    pub function: FunctionName,
    /// What the manifest says.
    pub spec: WebhookSpec,
    /// The values of its secrets.
    pub secrets: Secrets,
}

/// Values that nobody is to see. `Debug` tells how many there are.
#[derive(Clone, Default)]
pub struct Secrets(pub Vec<String>);

/// A request that came in at a webhook's path.
#[derive(Debug)]
pub struct Ring {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body, [`Hook::MAX_BODY`] at most.
    pub body: Bytes,
    /// Its place in a trace.
    pub trace: Trace,
}

/// What became of such a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rung {
    /// What it brought is durable, and will be delivered.
    Kept,
    /// It was there before, and is not delivered again.
    Known,
    /// The sender asked for this answer.
    Answer(String),
}

/// Takes what comes in at the paths of webhooks.
#[async_trait]
pub trait Doorbell: Send + Sync {
    /// Checks the request's signature, and answers when what it brought is durable. `Denied` when it is not signed as it
    /// should be, `Unavailable` when there is no room.
    async fn ring(&self, hook: &Arc<Hook>, ring: Ring) -> Result<Rung>;
}

impl Ready {
    /// With what is to be done when it is dropped.
    pub fn new(over: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(over)))
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let Some(over) = self.0.take() {
            over();
        }
    }
}

impl Hook {
    /// Bytes of a body: with its attributes it has to fit into a message.
    pub const MAX_BODY: usize = (1 << 20) - (32 << 10);
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
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
