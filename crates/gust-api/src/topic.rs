//! Topics, their events and their subscriptions.

use gust_types::{changes::TopicName, trigger};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::schema;

/// The topics of a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Topics {
    /// By name.
    pub topics: Vec<Topic>,
}

/// A topic and what it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Topic {
    /// Its name; of one that has the changes of a resource, what that is: `kv:default`.
    #[schema(value_type = schema::TopicName)]
    pub topic: TopicName,
    /// Events that are kept.
    pub events: u64,
    /// Their bytes, attributes included.
    pub bytes: u64,
    /// The position of the oldest event; one more than `last` when there is none.
    pub first: u64,
    /// The position of the newest event there ever was; 0 when there was none.
    pub last: u64,
    /// When the oldest event was published, Unix microseconds; nothing when there is none.
    pub oldest_us: Option<u64>,
    /// When the newest event was published, Unix microseconds; nothing when there never was one.
    pub newest_us: Option<u64>,
    /// Who takes from it, by name.
    pub subscriptions: Vec<Subscription>,
    /// How it behaves.
    #[schema(value_type = schema::TopicSettings)]
    pub settings: trigger::TopicSettings,
}

/// Who takes from a topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Subscription {
    /// Its name: app and trigger.
    pub name: String,
    /// Everything up to this position was looked at.
    pub cursor: u64,
    /// Events that are kept behind the cursor.
    pub lag: u64,
    /// Events that were forgotten before it came to them.
    pub missed: u64,
    /// Events that it wanted.
    pub forwarded: u64,
}

/// How to publish events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct PublishQuery {
    /// An event whose source and id were published with `once` within the topic's `dedup` is not kept again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PublishedEvent {
    /// Its position in the topic, or that of the event that was there already.
    pub position: u64,
    /// It was there already and is not kept again.
    pub duplicate: bool,
}

/// What became of events. They are durable.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PublishedEvents {
    /// In the order of the request.
    pub published: Vec<PublishedEvent>,
}

/// Which events to read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct EventsQuery {
    /// Only those behind this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Without `after`: only those published from this moment on, Unix microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_us: Option<u64>,
    /// At most this many: 1 to 1,000. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only those of which this is true: CloudEvents SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// How long to wait for the first one, in milliseconds: 30,000 at most. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// Events of a topic.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Events {
    /// In the order of their positions.
    pub events: Vec<Event>,
    /// Everything up to this position was looked at: ask again with it as `after`.
    pub next: u64,
}

/// An event of a topic.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Where it stands.
    pub position: u64,
    /// When it was published, Unix microseconds.
    pub published_us: u64,
    /// The event in the JSON format of CloudEvents.
    #[schema(value_type = Object)]
    pub event: Box<RawValue>,
}

/// Where a subscription is to go on: exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Seek {
    /// Behind this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// With the first event that was published at this moment or later, Unix microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_us: Option<u64>,
    /// With the oldest event that is kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub earliest: bool,
    /// With what is published from now on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub latest: bool,
}
