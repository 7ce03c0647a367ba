//! Triggers and queues as the API's description shows them.

use std::collections::BTreeMap;

use utoipa::ToSchema;

use super::{Duration, Label, Name, Size};

/// What an app has besides functions and routes.
#[derive(ToSchema)]
pub struct EventsSpec {
    /// Triggers, in the manifest's order.
    #[schema(required = false)]
    triggers: Vec<TriggerSpec>,
    /// How the project's queues behave that this app names.
    #[schema(required = false)]
    queues: BTreeMap<String, QueueSettings>,
    /// How the project's topics behave that this app names.
    #[schema(required = false)]
    topics: BTreeMap<String, TopicSettings>,
}

/// One trigger of an app.
#[derive(ToSchema)]
pub struct TriggerSpec {
    /// Unique in its app.
    name: Label,
    /// What is called.
    function: Name,
    /// The path it is called at.
    #[schema(required = false)]
    path: String,
    /// What starts it.
    source: TriggerSource,
    /// Calls of this trigger at once.
    #[schema(required = false)]
    concurrency: u32,
    /// What becomes of an event that the function does not take.
    #[schema(required = false)]
    retry: RetrySpec,
    /// Whether what the function writes and the end of the event are one commit.
    #[schema(required = false)]
    exactly_once: bool,
    /// How one event is laid into a call.
    #[schema(required = false)]
    mode: ContentMode,
}

/// The content mode of the CloudEvents HTTP binding.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum ContentMode {
    /// Attributes as headers, the data as the body.
    Binary,
    /// The whole event as one JSON document.
    Structured,
}

/// What starts a trigger's calls.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum TriggerSource {
    /// Messages of a queue.
    Queue {
        /// The queue.
        queue: Label,
        /// Messages in one call.
        #[schema(required = false)]
        batch: u32,
    },
    /// Events of a topic.
    Topic {
        /// The topic.
        topic: Label,
        /// Filters of the CloudEvents Subscriptions API.
        #[schema(required = false, value_type = Vec<Object>)]
        filters: Vec<serde_json::Value>,
        /// Where a new trigger begins.
        #[schema(required = false)]
        from: Beginning,
        /// Events in one call.
        #[schema(required = false)]
        batch: u32,
        /// Where the events go that the function answers with.
        #[schema(required = false)]
        reply: ReplySpec,
    },
    /// Changes of what the project keeps.
    Changes(ChangesSpec),
    /// Time.
    Schedule(ScheduleSpec),
    /// Something outside the node: a broker, a database, a page that changes.
    External(ExternalSpec),
}

/// Changes of a resource, and which of them are wanted.
#[derive(ToSchema)]
pub struct ChangesSpec {
    /// The resource: `kv:STORE`, `sql:DATABASE` or `blob:BUCKET`.
    #[schema(example = "kv:default")]
    of: String,
    /// Of a store or a bucket: only keys that begin so.
    #[schema(required = false)]
    prefix: String,
    /// Of a bucket: only keys that end so.
    #[schema(required = false)]
    suffix: String,
    /// Of a database: the tables that are watched.
    #[schema(required = false)]
    tables: Vec<String>,
    /// What has to happen; everything when it is empty.
    #[schema(required = false)]
    on: Vec<ChangeKind>,
    /// Further filters of the CloudEvents Subscriptions API.
    #[schema(required = false, value_type = Vec<Object>)]
    filters: Vec<serde_json::Value>,
    /// Where a new trigger begins.
    #[schema(required = false)]
    from: Beginning,
    /// Events in one call.
    #[schema(required = false)]
    batch: u32,
}

/// What happened to a key or a row.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A key got a value.
    Set,
    /// An object was put.
    Created,
    /// A row came.
    Inserted,
    /// A row became another.
    Updated,
    /// It is gone.
    Deleted,
}

/// A source outside the node.
#[derive(ToSchema)]
pub struct ExternalSpec {
    /// Which: `redis`, `nats`, `mqtt` and so on.
    #[schema(example = "redis")]
    kind: String,
    /// What the manifest says under that name. Texts may mention the app's variables.
    #[schema(value_type = Object)]
    settings: serde_json::Value,
}

/// Where in a topic a new trigger begins.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Beginning {
    /// With what is published from now on.
    Latest,
    /// With the oldest event that is kept.
    Earliest,
}

/// Where the events go that a function answers with.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum ReplySpec {
    /// Into the topic that the trigger takes from.
    Same,
    /// Nowhere.
    Off,
    /// Into this topic.
    Topic(Label),
}

/// When a schedule fires: exactly one of `cron`, `rate` and `at`.
#[derive(ToSchema)]
pub struct ScheduleSpec {
    /// A cron line.
    #[schema(example = "0 */5 * * * *")]
    cron: Option<String>,
    /// Every so often.
    rate: Option<Duration>,
    /// Once: an RFC 3339 time.
    at: Option<String>,
    /// The cron line's time zone.
    #[schema(example = "Asia/Shanghai")]
    timezone: Option<String>,
    /// While the run before is still going.
    #[schema(required = false)]
    overlap: Overlap,
    /// Runs that were missed while the node was down.
    #[schema(required = false)]
    missed: Missed,
    /// Missed runs that are older than this are left out.
    missed_within: Option<Duration>,
    /// Fires up to this much later.
    jitter: Option<Duration>,
}

/// What to do when a schedule fires and the run before is still going.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Overlap {
    /// Run beside it.
    Allow,
    /// Leave this run out.
    Skip,
    /// Run when it is over; at most one run waits.
    Queue,
}

/// What to do with runs that were missed while the node was down.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Missed {
    /// Leave them out.
    Skip,
    /// Make up for the last one.
    Last,
    /// Make up for all of them, up to a thousand.
    All,
}

/// What becomes of an event that a function does not take.
#[derive(ToSchema)]
pub struct RetrySpec {
    /// Attempts in all, the first included.
    #[schema(required = false)]
    attempts: u32,
    /// How the time between attempts grows.
    #[schema(required = false)]
    backoff: Backoff,
    /// The time before the second attempt.
    #[schema(required = false)]
    delay: Duration,
    /// The longest time between attempts.
    #[schema(required = false)]
    max_delay: Duration,
    /// The part of the time that is left to chance, in percent.
    #[schema(required = false)]
    jitter: u8,
    /// An event that is older is given up.
    #[schema(required = false)]
    max_age: Duration,
}

/// How the time between attempts grows.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Backoff {
    /// It stays the same.
    None,
    /// By `delay` each time.
    Linear,
    /// Twice as long each time.
    Exponential,
}

/// How a queue behaves.
#[derive(ToSchema)]
pub struct QueueSettings {
    /// How long a taken message is its consumer's.
    #[schema(required = false)]
    visibility: Duration,
    /// Before a published message can be taken.
    #[schema(required = false)]
    delay: Duration,
    /// A message that was taken this often without being done is given up; 0 for never.
    #[schema(required = false)]
    attempts: u32,
    /// A message that is older is given up.
    #[schema(required = false)]
    max_age: Duration,
    /// How long a message that was given up is kept.
    #[schema(required = false)]
    dead_age: Duration,
    /// Bytes of all messages together; more are refused.
    #[schema(required = false)]
    max_bytes: Size,
    /// For how long a key is remembered.
    #[schema(required = false)]
    dedup: Duration,
}

/// How a topic behaves.
#[derive(ToSchema)]
pub struct TopicSettings {
    /// How long an event is kept.
    #[schema(required = false)]
    max_age: Duration,
    /// Bytes of all events together; beyond it the oldest go.
    #[schema(required = false)]
    max_bytes: Size,
    /// For how long a key is remembered.
    #[schema(required = false)]
    dedup: Duration,
}
