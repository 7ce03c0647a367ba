//! What is published: an event in the topic, and a message in each queue that is subscribed, in one commit.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use gust_backend::{
    queue::{Message, QueueSettings, event::of_event},
    topic::TopicSettings,
    unit::{Commit, Place, Publication},
};
use gust_types::{
    Event, Label,
    event::{Data, Form},
};
use serde_json::{Map, Value, json};

use super::kept::{Kept, Subscription, fault};
use crate::{
    fault::{Code, Fault, Result},
    gate::Call,
    names,
    params::Params,
    protocol::xml::is_xml,
    sqs::{
        batch::{self, Outcomes},
        message::{Attribute, Datum, Letter},
        send,
    },
};

/// Bytes of a message, and of all of a batch.
const BYTES: usize = 256 << 10;
/// The type of what is published, as an event.
const TYPE: &str = "gust.sns.message";
/// Letters of a subject.
const SUBJECT: usize = 100;

/// Known to SNS, and not served here.
const REFUSED: &[&str] = &[
    "PhoneNumber",
    "MessageStructure",
    "MessageDeduplicationId",
    "MessageGroupId",
];

/// One message that may be published.
struct Notice {
    id: String,
    letter: Letter,
    subject: Option<String>,
    /// As SNS counts it.
    size: usize,
}

/// Where messages go.
struct Targets {
    topic: Label,
    settings: TopicSettings,
    queues: Vec<(Subscription, QueueSettings)>,
}

pub(crate) async fn publish(call: &Call<'_>) -> Result<Value> {
    let params = call.params()?;
    let arn = params.text("TopicArn")?.or(params.text("TargetArn")?);
    let arn = arn.ok_or_else(|| Fault::missing("TopicArn"))?;
    let targets = Targets::of(call, arn).await?;
    let notice = Notice::read(&params)?;
    let answer = json!({ "MessageId": notice.id });
    targets.publish(call, vec![notice]).await?;
    Ok(answer)
}

pub(crate) async fn publish_batch(call: &Call<'_>) -> Result<Value> {
    let params = call.params()?;
    let targets = Targets::of(call, params.need("TopicArn")?).await?;
    let entries = batch::entries(&params, "PublishBatchRequestEntries")?;
    let (mut outcomes, mut good, mut size) = (Outcomes::default(), Vec::new(), 0);
    for (id, entry) in entries {
        match Notice::read(&entry) {
            Ok(notice) => {
                size += notice.size;
                outcomes.good(json!({ "Id": id, "MessageId": notice.id }));
                good.push(notice);
            }
            Err(fault) => outcomes.bad(id, &fault),
        }
    }
    if size > BYTES {
        let text =
            format!("The length of all the messages put together is more than {BYTES} bytes.");
        return Err(Code::BATCH_TOO_LONG.says(text));
    }
    if !good.is_empty() {
        targets.publish(call, good).await?;
    }
    Ok(outcomes.answer())
}

// === impl Notice ===

impl Notice {
    fn read(params: &Params<'_>) -> Result<Self> {
        params.refuse(REFUSED)?;
        let message = params.need("Message")?;
        let subject = params.text("Subject")?.map(str::to_owned);
        let odd = |why: &str| Code::SNS_PARAMETER.says(format!("Invalid parameter: {why}"));
        if message.is_empty() || !message.chars().all(is_xml) {
            return Err(odd(
                "Message Reason: it is empty, or has a character that XML has not",
            ));
        }
        let short = |text: &String| {
            (1..=SUBJECT).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        if subject.as_ref().is_some_and(|text| !short(text)) {
            return Err(odd("Subject"));
        }
        let attributes = send::attributes(params.map("MessageAttributes")?)?;
        let letter = Letter {
            body: message.to_owned(),
            attributes,
            ..Letter::default()
        };
        let size = letter.size();
        if size > BYTES {
            return Err(odd(&format!("Message too long: more than {BYTES} bytes")));
        }
        let written = letter.write(false);
        let beside = written.attributes.iter();
        let beside: usize = beside.map(|(n, v)| n.len() + v.len()).sum();
        if beside > crate::sqs::message::ATTRIBUTES {
            return Err(odd("MessageAttributes Reason: they take too many bytes"));
        }
        Ok(Self {
            id: id(),
            letter,
            subject,
            size,
        })
    }

    /// As triggers of the topic see it.
    fn event(&self, arn: &str) -> gust_types::Result<Event> {
        let mut event = Event::new(self.id.clone(), arn, TYPE)?;
        if let Some(subject) = &self.subject {
            event.set("subject", subject.clone())?;
        }
        let now = gust_task::clock::unix_micros();
        event.set("time", time(now, 6))?;
        event.set("datacontenttype", "text/plain; charset=utf-8".to_owned())?;
        for (name, value) in self.letter.write(false).attributes {
            // What an event says of itself is not for senders.
            let own = Event::CORE.contains(&name.as_str()) || !Event::is_name(&name);
            if !own {
                event.set(&name, value)?;
            }
        }
        let bytes = self.letter.body.clone().into();
        let form = Form::Text;
        Ok(event.with_data(Data { bytes, form }))
    }

    /// As a queue gets it.
    fn message(&self, call: &Call<'_>, arn: &str, subscription: &Subscription) -> Message {
        if subscription.raw {
            return self.letter.write(false);
        }
        let mut envelope = Map::new();
        let mut say = |name: &str, value: Value| envelope.insert(name.to_owned(), value);
        say("Type", "Notification".into());
        say("MessageId", self.id.as_str().into());
        say("TopicArn", arn.into());
        if let Some(subject) = &self.subject {
            say("Subject", subject.as_str().into());
        }
        say("Message", self.letter.body.as_str().into());
        say("Timestamp", time(gust_task::clock::unix_micros(), 3).into());
        let attributes = self.letter.attributes.iter();
        let attributes: Map<_, _> = attributes
            .map(|(name, attribute)| (name.clone(), shown(attribute)))
            .collect();
        if !attributes.is_empty() {
            say("MessageAttributes", attributes.into());
        }
        let unsubscribe = subscription.arn(call);
        say(
            "UnsubscribeURL",
            format!(
                "{}/?Action=Unsubscribe&SubscriptionArn={unsubscribe}",
                call.origin
            )
            .into(),
        );
        let letter = Letter {
            body: Value::Object(envelope).to_string(),
            ..Letter::default()
        };
        letter.write(false)
    }
}

fn shown(attribute: &Attribute) -> Value {
    let value = match &attribute.value {
        Datum::Text(text) => text.clone(),
        Datum::Bytes(bytes) => BASE64.encode(bytes),
    };
    json!({ "Type": attribute.kind, "Value": value })
}

/// A new message's id, which looks like those of SNS.
fn id() -> String {
    let hex = format!("{:032x}", gust_task::ids::call_id().0);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

fn time(unix_us: u64, digits: usize) -> String {
    let micros = i64::try_from(unix_us).unwrap_or(i64::MAX);
    let time = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default();
    match digits {
        3 => time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        _ => time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
    }
}

// === impl Targets ===

impl Targets {
    async fn of(call: &Call<'_>, arn: &str) -> Result<Self> {
        let kept = Kept::open(call)?;
        let (topic, _) = kept.topic(arn).await?;
        let desk = &call.door.parts.desk;
        let mut queues = Vec::new();
        for subscription in kept.of(&topic).await? {
            // A queue that was removed is not made again by what is published.
            let found = desk.find_queue(&call.project, &subscription.queue).await?;
            queues.extend(found.map(|found| (subscription, found.settings)));
        }
        let known = desk.topics(&call.project)?;
        let known = known.into_iter().find(|(name, _)| *name == topic);
        Ok(Self {
            topic,
            settings: known.map(|(_, settings)| settings).unwrap_or_default(),
            queues,
        })
    }

    /// All of them everywhere, or nothing anywhere.
    async fn publish(self, call: &Call<'_>, notices: Vec<Notice>) -> Result<()> {
        let arn = names::arn("sns", &call.region, self.topic.as_str());
        let events: gust_types::Result<Vec<_>> = notices
            .iter()
            .map(|notice| Ok(of_event(&notice.event(&arn)?)))
            .collect();
        let mut published = vec![Publication {
            to: Place::Topic(self.topic, self.settings, None),
            messages: events.map_err(fault)?,
        }];
        for (subscription, settings) in self.queues {
            let messages = notices.iter();
            let messages = messages.map(|notice| notice.message(call, &arn, &subscription));
            published.push(Publication {
                messages: messages.collect(),
                to: Place::Queue(subscription.queue, settings),
            });
        }
        let commit = Commit {
            published,
            ..Commit::default()
        };
        let backends = &call.door.parts.backends;
        backends.commit(&call.project, commit).await.map_err(fault)
    }
}
