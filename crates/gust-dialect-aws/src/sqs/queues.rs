//! Queues: made, found, listed, changed, emptied and removed.

use gust_types::{Kind, Label};
use serde_json::{Map, Value, json};

use super::{Named, attributes, attributes::Wishes, redrive, tags};
use crate::{
    fault::{Code, Fault, Result},
    gate::Call,
    names,
};

/// Queues of one page.
const PAGE: usize = 1000;

pub(crate) async fn create(call: &Call<'_>) -> Result<Value> {
    let params = call.params()?;
    let label = names::fresh(params.need("QueueName")?)?;
    let mut pairs = params.pairs("Attributes")?;
    typed(&label, &pairs)?;
    pairs.retain(|(name, _)| *name != "FifoQueue");
    let wishes = Wishes::read(call, pairs, &label).await?;
    let desk = &call.door.parts.desk;
    let (settings, mut notes) = wishes.fresh();
    let tags = match params.has("tags") {
        true => params.pairs("tags")?,
        false => params.pairs("Tags")?,
    };
    tags::note(&mut notes, tags)?;
    // Once more when somebody else makes it at the same moment: then theirs is compared.
    for _ in 0..2 {
        if let Some(found) = desk.find_queue(&call.project, &label).await? {
            let made = found.made.as_ref();
            let behaves = found.given || made.is_some_and(|made| made.settings.is_some());
            let named = Named { label, found };
            if let Some(name) = wishes.differs(&named).filter(|_| behaves) {
                return Err(Code::QUEUE_EXISTS.says(format!(
                    "A queue already exists with the same name and a different value for attribute {name}"
                )));
            }
            if behaves {
                return Ok(json!({ "QueueUrl": call.url(&named.label) }));
            }
            return make(call, named.label, settings, notes).await;
        }
        match make(call, label.clone(), settings.clone(), notes.clone()).await {
            Err(fault) if fault.code == Code::QUEUE_EXISTS => {}
            made => return made,
        }
    }
    Err(Code::QUEUE_EXISTS.says("A queue already exists with the same name."))
}

/// Refuses a queue whose name and attributes do not agree on what it is.
fn typed(label: &Label, pairs: &[(&str, &str)]) -> Result<()> {
    let fifo = pairs.iter().find(|(name, _)| *name == "FifoQueue");
    match (fifo.map(|(_, value)| *value), names::is_fifo(label)) {
        (Some("true"), true) | (None, false) => Ok(()),
        (Some("true"), false) => {
            Err(Code::PARAMETER.says(
                "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, \
                 must end with .fifo suffix.",
            ))
        }
        (None, true) => Err(Code::PARAMETER.says(
            "A name that ends in .fifo is that of a FIFO queue: set FifoQueue to true.",
        )),
        (Some(value), _) => Err(attributes::invalid("FifoQueue", value)),
    }
}

async fn make(
    call: &Call<'_>,
    label: Label,
    settings: gust_backend::queue::QueueSettings,
    notes: std::collections::BTreeMap<String, String>,
) -> Result<Value> {
    let desk = &call.door.parts.desk;
    let made = desk
        .make_queue(&call.project, &label, settings, notes)
        .await;
    match made {
        Err(error) if error.kind == Kind::Conflict => Err(Code::QUEUE_EXISTS.says(error.message)),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(json!({ "QueueUrl": call.url(&label) })),
    }
}

pub(crate) async fn url(call: &Call<'_>) -> Result<Value> {
    let name = call.params()?.need("QueueName")?;
    let label = names::label(name).ok_or_else(Fault::no_queue)?;
    let named = call.find(label).await?;
    Ok(json!({ "QueueUrl": call.url(&named.label) }))
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Value> {
    let prefix = call.params()?.text("QueueNamePrefix")?.unwrap_or_default();
    let all = call.door.parts.desk.find_queues(&call.project).await?;
    let all = all.into_keys();
    let all = all.filter(|label| names::name(label).starts_with(prefix));
    page(call, "QueueUrls", all.collect())
}

pub(crate) async fn sources(call: &Call<'_>) -> Result<Value> {
    let named = call.queue().await?;
    let all = redrive::sources(call, &named.label).await?;
    page(call, "queueUrls", all)
}

/// A page of URLs. Its token is the name that it ended with.
fn page(call: &Call<'_>, list: &str, mut all: Vec<Label>) -> Result<Value> {
    let params = call.params()?;
    let most = params.number("MaxResults", 1, PAGE as i64)?;
    if let Some(token) = params.text("NextToken")? {
        let label = names::label(token);
        let label = label.ok_or_else(|| Fault::value("NextToken", token, "It is none of ours"))?;
        all.retain(|of| *of > label);
    }
    let size = most.map_or(PAGE, |most| most as usize);
    let more = all.len() > size;
    all.truncate(size);
    let urls: Vec<_> = all.iter().map(|label| call.url(label)).collect();
    let mut answer = Map::new();
    // As SQS has it, an empty list of queues is no list.
    if !urls.is_empty() || list == "queueUrls" {
        answer.insert(list.to_owned(), urls.into());
    }
    // A token is given to those only who asked for pages.
    if let (true, Some(last), Some(_)) = (more, all.last(), most) {
        answer.insert("NextToken".to_owned(), names::name(last).into());
    }
    Ok(Value::Object(answer))
}

pub(crate) async fn delete(call: &Call<'_>) -> Result<Value> {
    let named = call.queue().await?;
    let desk = &call.door.parts.desk;
    let removed = desk.remove_queue(&call.project, &named.label).await;
    match removed {
        Err(error) if error.kind == Kind::Conflict => {
            let hint = error.hint.unwrap_or_default();
            Err(Code::UNSUPPORTED.says(format!("{}; {hint}", error.message)))
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(Value::Null),
    }
}

pub(crate) async fn purge(call: &Call<'_>) -> Result<Value> {
    let named = call.queue().await?;
    call.open(&named)?.purge(false).await?;
    Ok(Value::Null)
}

pub(crate) async fn get_attributes(call: &Call<'_>) -> Result<Value> {
    let names = call.params()?.texts("AttributeNames")?;
    let asked = attributes::asked(&names)?;
    let named = call.queue().await?;
    let counts = match asked.iter().any(|name| attributes::COUNTS.contains(name)) {
        true => redrive::counts(&*call.open(&named)?).await?,
        false => [0; 3],
    };
    let mut all = Map::new();
    for name in asked {
        let count = attributes::COUNTS.iter().zip(counts);
        let count = count.clone().find(|(of, _)| **of == name);
        let value = match (name, count) {
            (_, Some((_, count))) => Some(count.to_string()),
            ("QueueArn", _) => Some(call.arn(&named.label)),
            (name, _) => attributes::value(&named, name),
        };
        all.extend(value.map(|value| (name.to_owned(), value.into())));
    }
    match all.is_empty() {
        true => Ok(json!({})),
        false => Ok(json!({ "Attributes": all })),
    }
}

pub(crate) async fn set_attributes(call: &Call<'_>) -> Result<Value> {
    let params = call.params()?;
    if !params.has("Attributes") {
        return Err(Fault::missing("Attributes"));
    }
    let named = call.queue().await?;
    let mut pairs = params.pairs("Attributes")?;
    // Said of a FIFO queue that it is one, nothing changes.
    let fifo = named.is_fifo();
    pairs.retain(|(name, value)| !(fifo && *name == "FifoQueue" && *value == "true"));
    let wishes = Wishes::read(call, pairs, &named.label).await?;
    call.change(&named.label, |named, made| wishes.change(named, made))
        .await?;
    Ok(Value::Null)
}
