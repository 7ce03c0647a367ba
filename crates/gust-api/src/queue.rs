//! Queues, their messages, and the triggers that take from them.

use std::collections::BTreeMap;

use gust_types::{AppName, Label, trigger};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::schema;

/// The queues of a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Queues {
    /// By name.
    pub queues: Vec<Queue>,
}

/// A queue and what it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// Its name.
    #[schema(value_type = schema::Label)]
    pub queue: Label,
    /// Messages that are not dead: ready, delayed, taken and blocked ones.
    pub messages: u64,
    /// Their bytes, attributes included.
    pub bytes: u64,
    /// Of the messages, those that wait for another of their group.
    pub blocked: u64,
    /// Messages that were given up.
    pub dead: u64,
    /// Bytes of those.
    pub dead_bytes: u64,
    /// When the oldest message was published, Unix microseconds; nothing when there is none.
    pub oldest_us: Option<u64>,
    /// Messages published since the queue was made.
    pub published: u64,
    /// Messages done since the queue was made.
    pub done: u64,
    /// How it behaves.
    #[schema(value_type = schema::QueueSettings)]
    pub settings: trigger::QueueSettings,
}

/// A message to publish. Its body is `text` or `base64`, not both; neither means no body.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewMessage {
    /// The body as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The body as bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Values beside the body. Names are of lower-case letters and digits; `content-type` is the body's type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Messages of one group are handled one after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Published again under the same key within the queue's `dedup`, it is not kept again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// 0 to 9; higher is taken first.
    pub priority: u8,
    /// Not to be taken before that long.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Duration>)]
    pub delay: Option<gust_types::Span>,
}

/// Messages to publish: all of them are kept, or none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// In order.
    pub messages: Vec<NewMessage>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PublishedMessage {
    /// Its number in the queue, or that of the message that has its key already.
    pub id: u64,
    /// It was there already and is not kept again.
    pub duplicate: bool,
}

/// What became of messages. They are durable.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PublishedAll {
    /// In the order of the request.
    pub published: Vec<PublishedMessage>,
}

/// A message that is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// Its number in the queue.
    pub id: u64,
    /// How often it was taken.
    pub attempts: u32,
    /// When it was published, Unix microseconds.
    pub published_us: u64,
    /// When it can be taken, Unix microseconds; nothing while another of its group is before it, or when it is dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_us: Option<u64>,
    /// When it was given up, Unix microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub died_us: Option<u64>,
    /// Why it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What it says, in the words of publishing.
    pub message: NewMessage,
}

/// Messages that are looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Messages {
    /// In the order of their numbers.
    pub messages: Vec<Message>,
    /// To ask for those that follow; nothing at the end.
    pub next: Option<u64>,
}

/// Which messages to look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct LookQuery {
    /// Only those above this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// At most this many: 1 to 1,000. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Which dead messages to publish again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redrive {
    /// These; without it all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<u64>>,
    /// At most this many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// What to remove.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Purge {
    /// The dead, instead of those that are not.
    pub dead: bool,
}

/// How many messages there were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Count {
    /// The number.
    pub count: u64,
}

/// The triggers of a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Triggers {
    /// By app and name.
    pub triggers: Vec<Trigger>,
}

/// A trigger and what became of its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trigger {
    /// Its app.
    #[schema(value_type = schema::Name)]
    pub app: AppName,
    /// What the manifest says.
    #[schema(value_type = schema::TriggerSpec)]
    pub spec: trigger::TriggerSpec,
    /// False when it could not be started; the node's log says why.
    pub running: bool,
    /// With their function now.
    pub in_flight: u64,
    /// Taken by their function since the node started.
    pub done: u64,
    /// To be tried again.
    pub retried: u64,
    /// Put back because the node had no room for the call.
    pub refused: u64,
    /// Given up.
    pub dead: u64,
    /// Events that are not done with: those of its topic that it has not looked at, and those that wait in its queue or are
    /// with it. Nothing for a schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// When the oldest event in its queue was published, Unix microseconds; nothing when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_us: Option<u64>,
    /// When it fires next, Unix microseconds, for a schedule that still does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_us: Option<u64>,
    /// Of a topic's trigger: how it keeps up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// How its source is doing, when that is outside the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feed: Option<Feed>,
}

/// How a trigger keeps up with its topic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Events of the topic that it has not looked at.
    pub lag: u64,
    /// Events that it wants and that wait for its function, or are with it.
    pub waiting: u64,
    /// Events that the topic forgot before it came to them.
    pub missed: u64,
    /// Events that were given up and are kept.
    pub dead: u64,
}

/// How a source outside the node is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Feed {
    /// Whether it is connected.
    pub connected: bool,
    /// Since when it is, or is not, Unix microseconds.
    pub since_us: u64,
    /// The last thing that went wrong, if anything did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When that was, Unix microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_us: Option<u64>,
}
