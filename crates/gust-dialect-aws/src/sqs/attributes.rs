//! What is said of a queue: the attributes that can be set, what each may be, and where it is kept.

use std::{collections::BTreeMap, time::Duration};

use gust_backend::{desk::MadeQueue, queue::QueueSettings};
use gust_types::Span;

use super::{Named, redrive};
use crate::{
    fault::{Code, Fault, Result},
    gate::Call,
};

/// How long a message is kept that was given up for its age: SQS forgets it at once.
const DEAD_AGE: Span = Span::secs(3600);
/// Bytes of a message, unless its queue takes fewer.
pub(crate) const MESSAGE: u64 = 1 << 20;

/// What an attribute may be.
enum Rule {
    Number(u64, u64),
    OneOf(&'static [&'static str]),
    /// Nothing but that there is none: an empty text.
    None,
    Redrive,
    Allow,
}

/// Attributes that can be set, and those of them that only FIFO queues have.
const SETTABLE: &[(&str, Rule, bool)] = &[
    ("VisibilityTimeout", Rule::Number(0, 43_200), false),
    ("DelaySeconds", Rule::Number(0, 900), false),
    ("MessageRetentionPeriod", Rule::Number(60, 1_209_600), false),
    ("MaximumMessageSize", Rule::Number(1024, MESSAGE), false),
    ("ReceiveMessageWaitTimeSeconds", Rule::Number(0, 20), false),
    ("RedrivePolicy", Rule::Redrive, false),
    ("RedriveAllowPolicy", Rule::Allow, false),
    (
        "ContentBasedDeduplication",
        Rule::OneOf(&["true", "false"]),
        true,
    ),
    (
        "DeduplicationScope",
        Rule::OneOf(&["queue", "messageGroup"]),
        true,
    ),
    (
        "FifoThroughputLimit",
        Rule::OneOf(&["perQueue", "perMessageGroupId"]),
        true,
    ),
    ("SqsManagedSseEnabled", Rule::OneOf(&["false"]), false),
    ("Policy", Rule::None, false),
    ("KmsMasterKeyId", Rule::None, false),
];

/// Attributes that a queue has, whether or not they can be set. Counts are told apart: they cost a look.
pub(crate) const COUNTS: &[&str] = &[
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
];
const TOLD: &[&str] = &[
    "QueueArn",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "FifoQueue",
];
/// Known to SQS, never there.
const NEVER: &[&str] = &["KmsDataKeyReusePeriodSeconds"];

/// Attributes as they were asked for, each within its rule. An empty one means that it is to go.
#[derive(Debug, Default)]
pub(crate) struct Wishes(BTreeMap<&'static str, String>);

// === impl Wishes ===

impl Wishes {
    pub(crate) async fn read(
        call: &Call<'_>,
        pairs: Vec<(&str, &str)>,
        own: &gust_types::Label,
    ) -> Result<Self> {
        let mut wishes = Self::default();
        for (name, value) in pairs {
            let known = SETTABLE.iter().find(|(known, ..)| *known == name);
            let Some((name, rule, fifo)) = known else {
                return Err(unknown(name));
            };
            if *fifo && !crate::names::is_fifo(own) {
                return Err(unknown(name));
            }
            let value = match rule {
                Rule::Number(least, most) => number(name, value, *least, *most)?,
                Rule::OneOf(all) if all.contains(&value) => value.to_owned(),
                Rule::Redrive | Rule::Allow if value.is_empty() => String::new(),
                Rule::Redrive => redrive::policy(call, value, own).await?,
                Rule::Allow => redrive::allow(value)?,
                Rule::None if value.is_empty() => continue,
                Rule::None | Rule::OneOf(_) => return Err(invalid(name, value)),
            };
            wishes.0.insert(name, value);
        }
        Ok(wishes)
    }

    /// How a queue behaves that is made so, and what is noted of it.
    pub(crate) fn fresh(&self) -> (QueueSettings, BTreeMap<String, String>) {
        let mut made = MadeQueue {
            settings: Some(QueueSettings {
                attempts: 0,
                dead_age: DEAD_AGE,
                ..QueueSettings::default()
            }),
            ..MadeQueue::default()
        };
        self.write(&mut made);
        (made.settings.unwrap_or_default(), made.notes)
    }

    /// Changes a queue. What an app says of it stays as the app says.
    pub(crate) fn change(&self, named: &Named, made: &mut MadeQueue) -> Result<()> {
        let mut settings = self.0.iter().filter(|(name, _)| is_setting(name));
        if named.found.given {
            let differs =
                |(name, wish): &(&&str, &String)| value(named, name).as_ref() != Some(*wish);
            return match settings.find(differs) {
                Some((name, _)) => Err(Code::UNSUPPORTED.says(format!(
                    "An app's gust.toml says how this queue behaves; change {name} there."
                ))),
                None => {
                    self.note(made);
                    Ok(())
                }
            };
        }
        if settings.next().is_some() {
            made.settings
                .get_or_insert_with(|| named.found.settings.clone());
        }
        self.write(made);
        Ok(())
    }

    fn write(&self, made: &mut MadeQueue) {
        if let Some(settings) = &mut made.settings {
            for (name, value) in &self.0 {
                let Some(span) = span(settings, name) else {
                    continue;
                };
                *span = Span::secs(value.parse().unwrap_or_default());
            }
        }
        self.note(made);
    }

    fn note(&self, made: &mut MadeQueue) {
        for (name, value) in self.0.iter().filter(|(name, _)| !is_setting(name)) {
            match value.is_empty() {
                true => made.notes.remove(*name),
                false => made.notes.insert((*name).to_owned(), value.clone()),
            };
        }
    }

    /// What a queue that is there has otherwise.
    pub(crate) fn differs(&self, named: &Named) -> Option<&'static str> {
        let mut wishes = self.0.iter();
        let differs = wishes.find(|(name, wish)| value(named, name).unwrap_or_default() != **wish);
        differs.map(|(name, _)| *name)
    }
}

/// Attributes that are how the queue behaves, and not only noted.
fn span<'s>(settings: &'s mut QueueSettings, name: &str) -> Option<&'s mut Span> {
    match name {
        "VisibilityTimeout" => Some(&mut settings.visibility),
        "DelaySeconds" => Some(&mut settings.delay),
        "MessageRetentionPeriod" => Some(&mut settings.max_age),
        _ => None,
    }
}

fn is_setting(name: &str) -> bool {
    span(&mut QueueSettings::default(), name).is_some()
}

/// What a queue has, but for its counts.
pub(crate) fn value(named: &Named, name: &str) -> Option<String> {
    let secs = |of: Duration| Some(of.as_secs().to_string());
    let settings = &named.found.settings;
    let fifo = named.is_fifo();
    let noted = || named.note(name).map(str::to_owned);
    let or = |default: &str| Some(noted().unwrap_or_else(|| default.to_owned()));
    match name {
        "VisibilityTimeout" => secs(settings.visibility.0),
        "DelaySeconds" => secs(settings.delay.0),
        "MessageRetentionPeriod" => secs(settings.max_age.0),
        "MaximumMessageSize" => or("1048576"),
        "ReceiveMessageWaitTimeSeconds" => or("0"),
        "SqsManagedSseEnabled" => or("false"),
        "ContentBasedDeduplication" if fifo => or("false"),
        "DeduplicationScope" if fifo => or("queue"),
        "FifoThroughputLimit" if fifo => or("perQueue"),
        "FifoQueue" => fifo.then(|| "true".to_owned()),
        "RedrivePolicy" | "RedriveAllowPolicy" => noted(),
        "CreatedTimestamp" => Some((named.made_us() / 1_000_000).to_string()),
        "LastModifiedTimestamp" => {
            let made = named.found.made.as_ref();
            let changed_us = made.map_or(0, |made| made.changed_us);
            Some((changed_us / 1_000_000).to_string())
        }
        _ => None,
    }
}

/// The names that are meant by those that were asked for.
pub(crate) fn asked(names: &[&str]) -> Result<Vec<&'static str>> {
    let settable = SETTABLE.iter().map(|(name, ..)| *name);
    let all: Vec<_> = settable
        .chain(TOLD.iter().copied())
        .chain(COUNTS.iter().copied())
        .collect();
    if names.contains(&"All") {
        return Ok(all);
    }
    let mut asked = Vec::new();
    for name in names {
        match all.iter().find(|known| *known == name) {
            Some(known) => asked.push(*known),
            None if NEVER.contains(name) => {}
            None => return Err(unknown(name)),
        }
    }
    Ok(asked)
}

fn number(name: &str, value: &str, least: u64, most: u64) -> Result<String> {
    let number = value.parse::<u64>().ok();
    let number = number.filter(|number| (least..=most).contains(number));
    number
        .map(|number| number.to_string())
        .ok_or_else(|| invalid(name, value))
}

fn unknown(name: &str) -> Fault {
    Code::ATTRIBUTE_NAME.says(format!("Unknown Attribute {name}."))
}

pub(super) fn invalid(name: &str, value: &str) -> Fault {
    let value: String = value.chars().take(200).collect();
    let hint = match name {
        "Policy" | "KmsMasterKeyId" | "SqsManagedSseEnabled" => " It is not served here.",
        _ => "",
    };
    Code::ATTRIBUTE_VALUE.says(format!(
        "Invalid value for the parameter {name}: {value:?}.{hint}"
    ))
}
