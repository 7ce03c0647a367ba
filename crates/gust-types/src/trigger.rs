//! What starts a function besides a request, and the queues and topics it comes through.
//!
//! These are the manifest's words and the wire form of a deploy. What a cron line or a filter means, and whether it can
//! be read at all, is the events room's to say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ByteSize, Error, FunctionName, Label, Result,
    changes::{ChangeKind, Watched},
    deployment::Variables,
    template,
    units::Span,
};

/// One trigger of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerSpec {
    /// Unique in its app.
    pub name: Label,
    /// What is called.
    pub function: FunctionName,
    /// The path it is called at. Default `/`.
    #[serde(default = "root")]
    pub path: String,
    /// What starts it.
    pub source: TriggerSource,
    /// Calls of this trigger at once. Default 16.
    #[serde(default = "concurrency")]
    pub concurrency: u32,
    /// What becomes of an event that the function does not take.
    #[serde(default)]
    pub retry: RetrySpec,
    /// What the function writes while it handles an event, and the end of the event, are one commit. Default false.
    #[serde(default)]
    pub exactly_once: bool,
    /// How an event is laid into a call. Default `binary`.
    #[serde(default)]
    pub mode: ContentMode,
}

/// The content mode of the CloudEvents HTTP binding for a call with one event; several are always a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentMode {
    /// Attributes as headers, the data as the body.
    #[default]
    Binary,
    /// The whole event as one JSON document.
    Structured,
}

/// What starts a trigger's calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TriggerSource {
    /// Messages of a queue.
    Queue {
        /// The queue.
        queue: Label,
        /// Messages in one call; more than 1 come as a batch. Default 1.
        #[serde(default = "one")]
        batch: u32,
    },
    /// Events of a topic, through a subscription of this trigger's own.
    Topic {
        /// The topic.
        topic: Label,
        /// Filters, as the CloudEvents Subscriptions API writes them; an event has to match all of them.
        #[serde(default)]
        filters: Vec<FilterSpec>,
        /// Where it begins when it is new. Default `latest`.
        #[serde(default)]
        from: Beginning,
        /// Events in one call; more than 1 come as a batch. Default 1.
        #[serde(default = "one")]
        batch: u32,
        /// Where the events go that the function answers with. Default `same`.
        #[serde(default)]
        reply: ReplySpec,
    },
    /// Changes of what the project keeps, through a subscription of this trigger's own.
    Changes(ChangesSpec),
    /// Time.
    Schedule(ScheduleSpec),
    /// Something outside the node: a broker, a database, a page that changes.
    External(ExternalSpec),
    /// Requests that somebody else's program makes when something happens, signed.
    Webhook(WebhookSpec),
}

/// Changes of a resource of the project, and which of them are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangesSpec {
    /// The resource.
    pub of: Watched,
    /// Of a key-value store or a bucket: only keys that begin so. Default all.
    #[serde(default)]
    pub prefix: String,
    /// Of a bucket: only keys that end so. Default all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub suffix: String,
    /// Of a database: the tables that are watched. At least one.
    #[serde(default)]
    pub tables: Vec<String>,
    /// What has to happen. Default everything that can.
    #[serde(default)]
    pub on: Vec<ChangeKind>,
    /// Further filters, as those of a topic.
    #[serde(default)]
    pub filters: Vec<FilterSpec>,
    /// Where it begins when it is new. Default `latest`.
    #[serde(default)]
    pub from: Beginning,
    /// Events in one call; more than 1 come as a batch. Default 1.
    #[serde(default = "one")]
    pub batch: u32,
}

/// Where somebody else's program tells of something, and how it signs that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSpec {
    /// The path on the app's hosts, one path.
    pub path: String,
    /// How requests are signed.
    pub scheme: WebhookScheme,
    /// The secrets, any of which may have signed: templates that name one variable each.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// How far the signed time may be from now, where a scheme signs one. Default 5 min.
    #[serde(default)]
    pub tolerance: Option<Span>,
    /// The header with a delivery's own id, of senders without a scheme of their own.
    #[serde(default)]
    pub id_header: Option<String>,
    /// The header that says what happened, of senders without a scheme of their own.
    #[serde(default)]
    pub event_header: Option<String>,
}

/// How the requests of a webhook are signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WebhookScheme {
    /// As GitHub does, and those who follow it: `X-Hub-Signature-256`.
    Github,
    /// As Stripe does: `Stripe-Signature`, with the time.
    Stripe,
    /// As Slack does: `X-Slack-Signature`, with the time.
    Slack,
    /// A keyed hash of the body in a header.
    Hmac(HmacSpec),
    /// Not at all: anybody may call.
    None,
}

/// A keyed hash of the body in a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HmacSpec {
    /// The header.
    pub header: String,
    /// What stands before the hash, such as `sha256=`.
    #[serde(default)]
    pub prefix: String,
    /// How the hash is written. Default `hex`.
    #[serde(default)]
    pub encoding: HmacEncoding,
    /// Which hash it is. Default `sha256`.
    #[serde(default)]
    pub algorithm: HmacAlgorithm,
}

/// How a hash is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HmacEncoding {
    /// In hex digits.
    #[default]
    Hex,
    /// In base64, with or without padding.
    Base64,
}

/// A hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HmacAlgorithm {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

/// A source outside the node. What its settings mean is known to the plug-in of its kind alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalSpec {
    /// Which plug-in: `redis`, `nats`, `mqtt` and so on.
    pub kind: String,
    /// Its settings. Texts may mention the app's variables.
    pub settings: ExternalSettings,
}

/// Settings by name.
pub type ExternalSettings = serde_json::Map<String, Value>;

/// A filter as people write it: one dialect and what it needs.
///
/// `{ exact = { type = "order.placed" } }` in TOML, `{"sql": "EXISTS subject"}` in JSON. Filters beside each other in a list
/// are an `all`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilterSpec {
    /// Each attribute is that text.
    Exact(BTreeMap<String, String>),
    /// Each attribute starts with that text.
    Prefix(BTreeMap<String, String>),
    /// Each attribute ends with that text.
    Suffix(BTreeMap<String, String>),
    /// All of these are true.
    All(Vec<FilterSpec>),
    /// At least one of these is true.
    Any(Vec<FilterSpec>),
    /// This is false.
    Not(Box<FilterSpec>),
    /// This expression is true: CloudEvents SQL.
    Sql(String),
}

/// Where in a topic a new trigger begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beginning {
    /// With what is published from now on.
    #[default]
    Latest,
    /// With the oldest event that is kept.
    Earliest,
}

/// Where the events go that a function answers with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplySpec {
    /// Into the topic that the trigger takes from.
    #[default]
    Same,
    /// Nowhere: an answer is an answer.
    Off,
    /// Into this topic.
    Topic(Label),
}

/// When a schedule fires: exactly one of `cron`, `rate` and `at`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleSpec {
    /// A cron line of five fields, or of six or seven with seconds first and years last.
    pub cron: Option<String>,
    /// Every so often.
    pub rate: Option<Span>,
    /// Once: an RFC 3339 time.
    pub at: Option<String>,
    /// The cron line's time zone, by its IANA name. Default UTC.
    pub timezone: Option<String>,
    /// While the run before is still going. Default `allow`.
    pub overlap: Overlap,
    /// Runs that were missed while the node was down. Default `last`.
    pub missed: Missed,
    /// Missed runs that are older than this are left out. Default 1 day.
    pub missed_within: Option<Span>,
    /// Fires up to this much later, by an amount that is always the same for one schedule. Default none.
    pub jitter: Option<Span>,
}

/// What to do when a schedule fires and the run before is still going.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Run beside it.
    #[default]
    Allow,
    /// Leave this run out.
    Skip,
    /// Run when it is over; at most one run waits.
    Queue,
}

/// What to do with runs that were missed while the node was down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// Leave them out.
    Skip,
    /// Make up for the last one.
    #[default]
    Last,
    /// Make up for all of them, up to a thousand.
    All,
}

/// What becomes of an event that a function does not take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySpec {
    /// Attempts in all, the first included. Default 8.
    pub attempts: u32,
    /// How the time between attempts grows. Default `exponential`.
    pub backoff: Backoff,
    /// The time before the second attempt. Default 1 s.
    pub delay: Span,
    /// The longest time between attempts. Default 5 min.
    pub max_delay: Span,
    /// The part of the time that is left to chance, in percent. Default 20.
    pub jitter: u8,
    /// An event that is older is given up. Default 6 h.
    pub max_age: Span,
}

/// How the time between attempts grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// It stays the same.
    None,
    /// By `delay` each time.
    Linear,
    /// Twice as long each time.
    #[default]
    Exponential,
}

/// How a queue behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSettings {
    /// How long a taken message is its consumer's. Default 30 s.
    pub visibility: Span,
    /// Before a published message can be taken. Default none.
    pub delay: Span,
    /// A message that was taken this often without being done is given up; 0 for never. Default 10.
    pub attempts: u32,
    /// A message that is older is given up. Default 4 days; 14 at most.
    pub max_age: Span,
    /// How long a message that was given up is kept. Default 14 days.
    pub dead_age: Span,
    /// Bytes of all messages together, attributes included and dead ones too; more are refused. Default 1 GiB.
    pub max_bytes: ByteSize,
    /// For how long a key is remembered. Default 5 min.
    pub dedup: Span,
}

/// How a topic behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicSettings {
    /// How long an event is kept. Default 7 days.
    pub max_age: Span,
    /// Bytes of all events together, attributes included; beyond it the oldest go. Default 1 GiB.
    pub max_bytes: ByteSize,
    /// For how long a key is remembered. Default 5 min.
    pub dedup: Span,
}

/// What an app has besides functions and routes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsSpec {
    /// Triggers, in manifest order.
    pub triggers: Vec<TriggerSpec>,
    /// How the project's queues behave that this app names.
    pub queues: BTreeMap<Label, QueueSettings>,
    /// How the project's topics behave that this app names.
    pub topics: BTreeMap<Label, TopicSettings>,
    /// The values of the variables that triggers mention, secrets among them; filled by the node, never stored or sent.
    #[serde(skip)]
    pub values: Variables,
}

fn root() -> String {
    "/".to_owned()
}

fn one() -> u32 {
    1
}

fn concurrency() -> u32 {
    16
}

impl TriggerSource {
    /// The topic that it takes from: one of the project's, or the one that keeps the changes of a resource.
    pub fn topic(&self) -> Option<Label> {
        match self {
            Self::Topic { topic, .. } => Some(topic.clone()),
            Self::Changes(spec) => Some(spec.of.topic()),
            _ => None,
        }
    }

    /// Events that one call gets at most.
    pub fn batch(&self) -> u32 {
        match self {
            Self::Queue { batch, .. } | Self::Topic { batch, .. } => *batch,
            Self::Changes(spec) => spec.batch,
            Self::Schedule(_) | Self::External(_) | Self::Webhook(_) => 1,
        }
    }

    /// Where in its topic it begins when it is new.
    pub fn from(&self) -> Beginning {
        match self {
            Self::Topic { from, .. } => *from,
            Self::Changes(spec) => spec.from,
            _ => Beginning::default(),
        }
    }
}

impl ChangesSpec {
    /// Bytes of a prefix, and of a table's name.
    const TEXT: usize = 1024;
    /// Tables of one trigger.
    const TABLES: usize = 64;

    /// Refuses what means nothing for its resource, and what is too much.
    pub fn check(&self) -> Result<()> {
        let (kind, of) = (self.of.kind(), &self.of);
        if let Some(other) = self.on.iter().find(|on| !self.of.kinds().contains(on)) {
            let words: Vec<_> = self.of.kinds().iter().map(|kind| kind.as_str()).collect();
            let text = format!("{of} has no such changes: {}", other.as_str());
            return Err(Error::invalid(text).hint(format!("write {}", words.join(", "))));
        }
        let tables = matches!(of, Watched::Sql(_));
        if tables && self.tables.is_empty() {
            return Err(Error::invalid(format!("no tables of {of} are named"))
                .hint("write those that are to be watched: tables = [\"orders\"]"));
        }
        if !tables && !self.tables.is_empty() {
            return Err(Error::invalid(format!(
                "`tables` means nothing for `{kind}`"
            )));
        }
        let bucket = matches!(of, Watched::Blob(_));
        for (word, text, means) in [
            ("prefix", &self.prefix, !tables),
            ("suffix", &self.suffix, bucket),
        ] {
            if !means && !text.is_empty() {
                let text = format!("`{word}` means nothing for `{kind}`");
                return Err(Error::invalid(text));
            }
            if text.len() > Self::TEXT {
                let text = format!("{word} is longer than {} bytes", Self::TEXT);
                return Err(Error::invalid(text));
            }
        }
        if self.tables.len() > Self::TABLES {
            let text = format!("more tables than {}: {}", Self::TABLES, self.tables.len());
            return Err(Error::invalid(text).hint("split them over several triggers"));
        }
        self.tables.iter().try_for_each(|table| check_table(table))
    }
}

/// Refuses a table that nobody could watch.
fn check_table(table: &str) -> Result<()> {
    let lower = table.to_ascii_lowercase();
    let ours = lower.starts_with("_gust_") || lower.starts_with("sqlite_");
    if table.is_empty() || table.len() > 256 || table.chars().any(char::is_control) || ours {
        let text = format!("not a table that can be watched: {table:?}");
        return Err(Error::invalid(text).hint(
            "a name has 1 to 256 bytes, no control characters, and begins with neither _gust_ nor sqlite_",
        ));
    }
    Ok(())
}

impl EventsSpec {
    /// Whether there is nothing of the kind.
    pub fn is_empty(&self) -> bool {
        self.triggers.is_empty() && self.queues.is_empty() && self.topics.is_empty()
    }

    /// Every text of a trigger that may mention variables.
    pub fn templates(&self) -> impl Iterator<Item = &str> {
        self.triggers
            .iter()
            .flat_map(|trigger| match &trigger.source {
                TriggerSource::External(external) => external.texts(),
                TriggerSource::Webhook(webhook) => {
                    webhook.secrets.iter().map(String::as_str).collect()
                }
                _ => Vec::new(),
            })
    }
}

impl ExternalSpec {
    /// Settings that are secrets, and stand in the manifest only as the name of a variable.
    /// These words in a key say so, also in the name of a header.
    const SECRET: [&str; 8] = [
        "password",
        "token",
        "secret",
        "authorization",
        "cookie",
        "api-key",
        "api_key",
        "apikey",
    ];

    /// Its settings that are text, those in lists and tables too.
    pub fn texts(&self) -> Vec<&str> {
        self.named().into_iter().map(|(_, text)| text).collect()
    }

    /// The same, each with the key that it stands under.
    fn named(&self) -> Vec<(&str, &str)> {
        fn walk<'v>(name: &'v str, value: &'v Value, found: &mut Vec<(&'v str, &'v str)>) {
            match value {
                Value::String(text) => found.push((name, text)),
                Value::Array(list) => list.iter().for_each(|value| walk(name, value, found)),
                Value::Object(map) => map
                    .iter()
                    .for_each(|(name, value)| walk(name, value, found)),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        let mut found = Vec::new();
        let settings = self.settings.iter();
        settings.for_each(|(name, value)| walk(name, value, &mut found));
        found
    }

    /// Refuses settings that show a secret.
    pub fn check_secrets(&self) -> Result<()> {
        let mut named = self.named().into_iter();
        named.try_for_each(|(name, text)| Self::check_secret(name, text))
    }

    /// Its settings with the variables filled in. They may hold secrets now: nobody prints them.
    pub fn filled(&self, values: &Variables) -> Result<ExternalSettings> {
        fn fill(value: &mut Value, values: &Variables) -> Result<()> {
            match value {
                Value::String(text) => *text = template::expand(text, &values.0)?,
                Value::Array(list) => list.iter_mut().try_for_each(|value| fill(value, values))?,
                Value::Object(map) => map.values_mut().try_for_each(|value| fill(value, values))?,
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
            Ok(())
        }
        let mut settings = self.settings.clone();
        settings
            .values_mut()
            .try_for_each(|value| fill(value, values))?;
        Ok(settings)
    }

    /// Refuses a secret that stands in the open: whoever may read a deployment would read it.
    pub fn check_secret(name: &str, text: &str) -> Result<()> {
        let name_of_secret = name.to_ascii_lowercase();
        let secret = Self::SECRET
            .iter()
            .any(|word| name_of_secret.contains(word));
        let open = match secret {
            true => !text.contains("{{"),
            false => shows_password(text),
        };
        if !open {
            return Ok(());
        }
        Err(
            Error::invalid(format!("a secret stands in the open, in the key: {name}")).hint(
                "declare a variable with `secret = true`, write {{ its_name }}, and set it with: gust secret set",
            ),
        )
    }
}

/// Whether a URL has a password in it that is not a variable's.
fn shows_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let Some((user, _)) = authority.rsplit_once('@') else {
        return false;
    };
    let password = user.split_once(':').map(|(_, password)| password);
    password.is_some_and(|password| !password.is_empty() && !password.contains("{{"))
}

impl WebhookScheme {
    /// The manifest's word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Stripe => "stripe",
            Self::Slack => "slack",
            Self::Hmac(_) => "hmac",
            Self::None => "none",
        }
    }
}

impl Default for RetrySpec {
    fn default() -> Self {
        Self {
            attempts: 8,
            backoff: Backoff::Exponential,
            delay: Span::secs(1),
            max_delay: Span::secs(300),
            jitter: 20,
            max_age: Span::secs(6 * 3600),
        }
    }
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            visibility: Span::secs(30),
            delay: Span::secs(0),
            attempts: 10,
            max_age: Span::secs(4 * 86_400),
            dead_age: Span::secs(14 * 86_400),
            max_bytes: ByteSize::mib(1024),
            dedup: Span::secs(300),
        }
    }
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            max_age: Span::secs(7 * 86_400),
            max_bytes: ByteSize::mib(1024),
            dedup: Span::secs(300),
        }
    }
}
