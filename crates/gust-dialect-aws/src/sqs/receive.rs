//! Messages out: ready ones are taken, for a while, by whoever asks first.
//!
//! Who goes away while waiting has taken nothing. Who goes away with messages on their way has them until their time is up;
//! then they are there again.

use std::{collections::BTreeMap, time::Duration};

use gust_backend::queue::{TakeOptions, Taken};
use gust_task::clock;
use serde_json::{Map, Value, json};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{
    Named, digest,
    handle::Seal,
    message::{self, Attribute, Datum, Letter},
    redrive, send,
    settle::LONGEST,
};
use crate::{
    fault::{Code, Result},
    gate::Call,
    names,
};

/// The longest wait, in seconds.
const WAIT: i64 = 20;
/// Messages of one taking.
const MOST: i64 = 10;
/// Times that a taking is repeated whose messages all went to the dead-letter queue.
const ROUNDS: usize = 100;

/// What SQS itself says of a message.
const SYSTEM: &[&str] = &[
    "SenderId",
    "SentTimestamp",
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "SequenceNumber",
    "MessageDeduplicationId",
    "MessageGroupId",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
];

/// What of a message is asked for.
struct Wanted<'v> {
    system: Vec<&'v str>,
    attributes: Vec<&'v str>,
}

pub(crate) async fn receive(call: &Call<'_>) -> Result<Value> {
    let params = call.params()?;
    params.refuse(&["ReceiveRequestAttemptId"])?;
    let mut system = params.texts("AttributeNames")?;
    system.extend(params.texts("MessageSystemAttributeNames")?);
    if let Some(odd) = system.iter().find(|name| !is_system(name)) {
        return Err(Code::ATTRIBUTE_NAME.says(format!("Unknown Attribute {odd}.")));
    }
    let wanted = Wanted {
        system,
        attributes: params.texts("MessageAttributeNames")?,
    };
    let most = params.number("MaxNumberOfMessages", 1, MOST)?.unwrap_or(1);
    let visibility = params.number("VisibilityTimeout", 0, LONGEST)?;
    let wait = params.number("WaitTimeSeconds", 0, WAIT)?;
    let named = call.queue().await?;
    let seal = call.door.handles.seal(call, &named).await?;
    let wait = wait.map(i64::unsigned_abs);
    let wait = wait.unwrap_or_else(|| named.number("ReceiveMessageWaitTimeSeconds", 0));
    let visibility = visibility.map(|secs| Duration::from_secs(secs.unsigned_abs()));
    let options = TakeOptions {
        most: usize::try_from(most).unwrap_or(1),
        visibility: Some(visibility.unwrap_or(named.found.settings.visibility.0)),
        wait: Duration::from_secs(wait),
    };
    let taken = take(call, &named, options).await?;
    let messages: Vec<_> = taken
        .iter()
        .map(|taken| show(call, &named, &seal, taken, &wanted))
        .collect();
    match messages.is_empty() {
        true => Ok(json!({})),
        false => Ok(json!({ "Messages": messages })),
    }
}

/// `All`, what SQS says of messages, and what is of queues, which older programs ask for here as well.
fn is_system(name: &str) -> bool {
    name == "All" || SYSTEM.contains(&name) || super::attributes::asked(&[name]).is_ok()
}

/// Takes messages; those that were taken too often go elsewhere instead.
async fn take(call: &Call<'_>, named: &Named, mut options: TakeOptions) -> Result<Vec<Taken>> {
    let queue = call.open(named)?;
    let end = clock::now() + options.wait;
    for _ in 0..ROUNDS {
        let taken = tokio::select! {
            taken = queue.take(options) => taken?,
            // What is taken in a look that is cut short here, the queue puts back.
            () = call.door.closing.stopped() => return Ok(Vec::new()),
        };
        let none = taken.is_empty();
        let rest = redrive::over(call, named, taken).await?;
        if none || !rest.is_empty() {
            return Ok(rest);
        }
        options.wait = end.saturating_duration_since(clock::now());
    }
    Ok(Vec::new())
}

fn show(call: &Call<'_>, named: &Named, seal: &Seal, taken: &Taken, wanted: &Wanted<'_>) -> Value {
    let mut letter = Letter::read(&taken.message);
    letter.attributes.retain(|name, _| wanted.attribute(name));
    let mut shown = Map::new();
    shown.insert(
        "MessageId".into(),
        shown_id(call, named, taken, &letter).into(),
    );
    shown.insert("ReceiptHandle".into(), seal.close(taken.receipt).into());
    shown.insert("MD5OfBody".into(), digest::body(&letter.body).into());
    let system = system(call, named, taken, &letter);
    let system: Map<_, _> = system
        .into_iter()
        .filter(|(name, _)| wanted.system(name))
        .map(|(name, text)| (name.to_owned(), text.into()))
        .collect();
    if !system.is_empty() {
        shown.insert("Attributes".into(), system.into());
    }
    if let Some(digest) = digest::attributes(&letter.attributes) {
        shown.insert("MD5OfMessageAttributes".into(), digest.into());
        let attributes = attributes(&letter.attributes);
        shown.insert("MessageAttributes".into(), attributes.into());
    }
    shown.insert("Body".into(), letter.body.into());
    Value::Object(shown)
}

/// A message keeps its id in a dead-letter queue.
fn shown_id(call: &Call<'_>, named: &Named, taken: &Taken, letter: &Letter) -> String {
    let id = taken.receipt.id;
    match &letter.origin {
        Some(origin) => message::id(
            &call.project,
            &origin.queue,
            gust_backend::queue::MessageId(origin.id),
        ),
        None => message::id(&call.project, named.label.as_str(), id),
    }
}

fn attributes(all: &BTreeMap<String, Attribute>) -> Map<String, Value> {
    let shown = |attribute: &Attribute| match &attribute.value {
        Datum::Text(text) => json!({ "StringValue": text, "DataType": attribute.kind }),
        Datum::Bytes(bytes) => {
            json!({ "BinaryValue": BASE64.encode(bytes), "DataType": attribute.kind })
        }
    };
    all.iter()
        .map(|(name, attribute)| (name.clone(), shown(attribute)))
        .collect()
}

/// What SQS says of a message.
fn system(
    call: &Call<'_>,
    named: &Named,
    taken: &Taken,
    letter: &Letter,
) -> Vec<(&'static str, String)> {
    let millis = |us: u64| (us / 1000).to_string();
    let origin = letter.origin.as_ref();
    let sent_us = origin.map_or(taken.published_us, |origin| origin.sent_us);
    // When it was first taken is not kept; that it was ready is the best that is known.
    let first_us = match taken.receipt.attempt {
        1 => clock::unix_micros(),
        _ => taken.ready_us,
    };
    let mut all = vec![
        ("SenderId", names::ACCOUNT.to_owned()),
        ("SentTimestamp", millis(sent_us)),
        ("ApproximateReceiveCount", taken.receipt.attempt.to_string()),
        ("ApproximateFirstReceiveTimestamp", millis(first_us)),
    ];
    let mut say = |name, text: Option<String>| all.extend(text.map(|text| (name, text)));
    let fifo = named.is_fifo();
    say(
        "SequenceNumber",
        fifo.then(|| send::sequence(taken.receipt.id.0)),
    );
    say(
        "MessageDeduplicationId",
        letter.dedup.clone().filter(|_| fifo),
    );
    say("MessageGroupId", letter.group.clone());
    say("AWSTraceHeader", letter.trace.clone());
    let source = origin.and_then(|origin| gust_types::Label::new(&origin.queue).ok());
    say(
        "DeadLetterQueueSourceArn",
        source.map(|queue| call.arn(&queue)),
    );
    all
}

// === impl Wanted ===

impl Wanted<'_> {
    fn system(&self, name: &str) -> bool {
        self.system.iter().any(|of| *of == "All" || *of == name)
    }

    /// By name, by the beginning of a name, or all.
    fn attribute(&self, name: &str) -> bool {
        self.attributes
            .iter()
            .any(|of| match of.strip_suffix(".*") {
                Some(start) => name.starts_with(start),
                None => *of == "All" || *of == name,
            })
    }
}
