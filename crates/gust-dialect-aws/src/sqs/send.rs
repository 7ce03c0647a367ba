//! Messages in.

use std::{collections::BTreeMap, time::Duration};

use gust_backend::queue::Message;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{
    Named,
    attributes::MESSAGE,
    batch::{self, Outcomes},
    digest, message,
    message::{Attribute, Datum, Letter},
};
use crate::{
    fault::{Code, Fault, Result},
    gate::Call,
    params::Params,
    protocol::xml::is_xml,
};

/// Attributes of a message.
const ATTRIBUTES: usize = 10;
/// Letters of an attribute's name and of its type.
const NAME: usize = 256;
/// Letters of a group, and of a deduplication id.
const ID: usize = 128;

/// A message that may be published, and what its sender is told.
struct Ready {
    message: Message,
    letter: Letter,
    /// As SQS counts it.
    size: u64,
}

pub(crate) async fn send(call: &Call<'_>) -> Result<Value> {
    let named = call.queue().await?;
    let ready = read(&named, &call.params()?)?;
    let desk = &call.door.parts.desk;
    let messages = vec![ready.message.clone()];
    let published = desk.publish(&call.project, &named.label, messages).await?;
    let published = published.first().copied();
    let published = published.ok_or_else(|| Code::INTERNAL.says("nothing was published"))?;
    Ok(told(call, &named, &ready, published.id))
}

pub(crate) async fn send_batch(call: &Call<'_>) -> Result<Value> {
    let named = call.queue().await?;
    let entries = batch::entries(&call.params()?, "Entries")?;
    let (mut outcomes, mut good, mut size) = (Outcomes::default(), Vec::new(), 0);
    for (id, entry) in entries {
        match read(&named, &entry) {
            Ok(ready) => {
                size += ready.size;
                good.push((id, ready));
            }
            Err(fault) => outcomes.bad(id, &fault),
        }
    }
    if size > MESSAGE {
        return Err(Code::BATCH_TOO_LONG.says(format!(
            "Batch requests cannot be longer than {MESSAGE} bytes. You have sent {size} bytes."
        )));
    }
    if good.is_empty() {
        return Ok(outcomes.answer());
    }
    let messages = good.iter().map(|(_, ready)| ready.message.clone());
    let desk = &call.door.parts.desk;
    let published = desk
        .publish(&call.project, &named.label, messages.collect())
        .await?;
    for ((id, ready), published) in good.iter().zip(published) {
        let mut answer = told(call, &named, ready, published.id);
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("Id".to_owned(), (*id).into());
        }
        outcomes.good(answer);
    }
    Ok(outcomes.answer())
}

fn told(
    call: &Call<'_>,
    named: &Named,
    ready: &Ready,
    id: gust_backend::queue::MessageId,
) -> Value {
    let letter = &ready.letter;
    let mut answer = Map::new();
    let mut say = |name: &str, value: Option<String>| {
        answer.extend(value.map(|value| (name.to_owned(), Value::String(value))));
    };
    say("MD5OfMessageBody", Some(digest::body(&letter.body)));
    say(
        "MD5OfMessageAttributes",
        digest::attributes(&letter.attributes),
    );
    let system = letter.trace.clone().map(trace).map(|of| {
        let all = BTreeMap::from([(TRACE.to_owned(), of)]);
        digest::attributes(&all)
    });
    say("MD5OfMessageSystemAttributes", system.flatten());
    let shown = message::id(&call.project, named.label.as_str(), id);
    say("MessageId", Some(shown));
    say("SequenceNumber", named.is_fifo().then(|| sequence(id.0)));
    Value::Object(answer)
}

/// The system attribute that senders may set.
const TRACE: &str = "AWSTraceHeader";

fn trace(text: String) -> Attribute {
    Attribute {
        kind: "String".to_owned(),
        value: Datum::Text(text),
    }
}

/// A message's place in its queue, in twenty digits.
pub(super) fn sequence(id: u64) -> String {
    format!("1{id:019}")
}

/// Reads one message and holds it against what its queue takes.
fn read(named: &Named, params: &Params<'_>) -> Result<Ready> {
    let body = params.need("MessageBody")?;
    if body.is_empty() {
        return Err(Fault::missing("MessageBody"));
    }
    text(body)?;
    let mut letter = Letter {
        body: body.to_owned(),
        attributes: attributes(params.map("MessageAttributes")?)?,
        group: id(params, "MessageGroupId")?,
        dedup: id(params, "MessageDeduplicationId")?,
        trace: system(params)?,
        origin: None,
    };
    let size = letter.size() as u64;
    let most = named.number("MaximumMessageSize", MESSAGE);
    if size > most {
        return Err(longer(most));
    }
    let key = match named.is_fifo() {
        true => Some(order(named, &mut letter)?),
        false => {
            unordered(&letter)?;
            None
        }
    };
    let mut message = letter.write(named.is_fifo());
    message.key = key;
    message.delay = Some(delay(named, params)?);
    fits(&message)?;
    Ok(Ready {
        message,
        letter,
        size,
    })
}

/// Refuses what a queue of Gust's would: what is kept beside the body counts there.
fn fits(message: &Message) -> Result<()> {
    let beside: usize = message
        .attributes
        .iter()
        .map(|(n, v)| n.len() + v.len())
        .sum();
    if beside > message::ATTRIBUTES {
        return Err(Code::PARAMETER.says(format!(
            "One or more parameters are invalid. Reason: Message attributes take more than {} bytes here.",
            message::ATTRIBUTES
        )));
    }
    match message.size() as u64 > MESSAGE {
        true => Err(longer(
            MESSAGE - (message.size() - message.body.len()) as u64,
        )),
        false => Ok(()),
    }
}

fn longer(most: u64) -> Fault {
    Code::PARAMETER.says(format!(
        "One or more parameters are invalid. Reason: Message must be shorter than {most} bytes."
    ))
}

fn text(text: &str) -> Result<()> {
    match text.chars().find(|c| !is_xml(*c)) {
        Some(c) => Err(Code::CONTENTS.says(format!(
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | \
             #x10000 to #x10FFFF, and this is none: {c:?}"
        ))),
        None => Ok(()),
    }
}

/// What holds for a message of a FIFO queue; answers the key under which it is kept once.
fn order(named: &Named, letter: &mut Letter) -> Result<String> {
    let group = letter.group.as_deref();
    let group = group.ok_or_else(|| Fault::missing("MessageGroupId"))?;
    let by_content = named.note("ContentBasedDeduplication") == Some("true");
    let dedup = match &letter.dedup {
        Some(dedup) => dedup.clone(),
        None if by_content => hex::encode(Sha256::digest(letter.body.as_bytes())),
        None => {
            return Err(Code::PARAMETER.says(
                "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
            ));
        }
    };
    let scope = match named.note("DeduplicationScope") {
        Some("messageGroup") => group,
        _ => "",
    };
    // A queue that is made again under the same name knows nothing of the ids of the one before.
    let mut hash = Sha256::new();
    hash.update(named.made_us().to_be_bytes());
    hash.update((scope.len() as u32).to_be_bytes());
    hash.update(scope.as_bytes());
    hash.update(dedup.as_bytes());
    letter.dedup = Some(dedup);
    Ok(format!("sqs/{}", hex::encode(hash.finalize())))
}

fn unordered(letter: &Letter) -> Result<()> {
    match &letter.dedup {
        Some(dedup) => Err(Fault::value(
            "MessageDeduplicationId",
            dedup,
            "The request include parameter that is not valid for this queue type",
        )),
        None => Ok(()),
    }
}

fn delay(named: &Named, params: &Params<'_>) -> Result<Duration> {
    let own = params.number("DelaySeconds", 0, 900)?;
    match own {
        Some(secs) if secs > 0 && named.is_fifo() => Err(Fault::value(
            "DelaySeconds",
            &secs.to_string(),
            "The request include parameter that is not valid for this queue type",
        )),
        Some(secs) if !named.is_fifo() => Ok(Duration::from_secs(secs.unsigned_abs())),
        _ => Ok(named.found.settings.delay.0),
    }
}

fn id(params: &Params<'_>, name: &str) -> Result<Option<String>> {
    let Some(id) = params.text(name)? else {
        return Ok(None);
    };
    let fits = (1..=ID).contains(&id.len()) && id.chars().all(|c| c.is_ascii_graphic());
    match fits {
        true => Ok(Some(id.to_owned())),
        false => Err(Code::PARAMETER.says(format!(
            "{name} can only include alphanumeric and punctuation characters. 1 to {ID} in length."
        ))),
    }
}

/// The one system attribute that may be set.
fn system(params: &Params<'_>) -> Result<Option<String>> {
    let mut found = None;
    for (name, value) in params.map("MessageSystemAttributes")? {
        let value = Params::of(value)?;
        let text = value.text("StringValue")?;
        match (name, value.text("DataType")?, text) {
            (TRACE, Some("String"), Some(header)) if (1..=1024).contains(&header.len()) => {
                self::text(header)?;
                found = Some(header.to_owned());
            }
            _ => {
                return Err(Code::PARAMETER.says(format!(
                    "Message system attribute name {name:?} is invalid: {TRACE} is the one that may be set, a String."
                )));
            }
        }
    }
    Ok(found)
}

/// Reads the attributes of a message.
pub(crate) fn attributes(all: Vec<(&str, &Value)>) -> Result<BTreeMap<String, Attribute>> {
    if all.len() > ATTRIBUTES {
        return Err(Code::PARAMETER.says(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{ATTRIBUTES}].",
            all.len()
        )));
    }
    let mut attributes = BTreeMap::new();
    for (name, value) in all {
        attribute_name(name)?;
        let attribute = attribute(name, &Params::of(value)?)?;
        attributes.insert(name.to_owned(), attribute);
    }
    Ok(attributes)
}

fn attribute_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let lower = name.to_ascii_lowercase();
    let dots = name.starts_with('.') || name.ends_with('.') || name.contains("..");
    let theirs = lower.starts_with("aws.") || lower.starts_with("amazon.");
    match name.is_empty() || name.len() > NAME || !name.chars().all(fits) || dots || theirs {
        true => Err(Code::PARAMETER.says(format!(
            "Message attribute name {name:?} is invalid: letters, digits, _, - and single dots within, 1 to {NAME}."
        ))),
        false => Ok(()),
    }
}

fn attribute(name: &str, params: &Params<'_>) -> Result<Attribute> {
    let kind = params.text("DataType")?.unwrap_or_default();
    let odd = |why: &str| Code::PARAMETER.says(format!("The message attribute '{name}' {why}."));
    for list in ["StringListValues", "BinaryListValues"] {
        if !params.list(list)?.is_empty() {
            return Err(odd("has a list, which SQS does not take either"));
        }
    }
    let (base, label) = kind.split_once('.').unwrap_or((kind, "x"));
    let labelled =
        !label.is_empty() && kind.len() <= NAME && kind.chars().all(|c| c.is_ascii_graphic());
    if !labelled || !["String", "Number", "Binary"].contains(&base) {
        return Err(odd(
            "has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String",
        ));
    }
    let (text, bytes) = (params.text("StringValue")?, params.bytes("BinaryValue")?);
    let empty = || odd(&format!("must contain a non-empty value of type {kind:?}"));
    let value = match (base, text, bytes) {
        ("Binary", None, Some(bytes)) if !bytes.is_empty() => Datum::Bytes(bytes),
        ("String" | "Number", Some(text), None) if !text.is_empty() => Datum::Text(text.to_owned()),
        _ => return Err(empty()),
    };
    if let Datum::Text(text) = &value {
        self::text(text)?;
        // What Rust takes for a number besides numbers.
        let words = text
            .chars()
            .any(|c| !"+-.eE".contains(c) && !c.is_ascii_digit());
        if base == "Number" && (words || text.parse::<f64>().is_err()) {
            return Err(odd("cannot be cast to a number"));
        }
    }
    let kind = kind.to_owned();
    Ok(Attribute { kind, value })
}
