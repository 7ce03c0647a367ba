//! Topics: made, listed, described and removed.

use gust_types::Label;
use serde_json::{Map, Value, json};

use super::kept::{Kept, Topic};
use crate::{
    fault::{Code, Fault, Result},
    gate::Call,
    names,
    params::Params,
};

/// Topics, or subscriptions, of one page.
const PAGE: usize = 100;
/// The attribute that can be set.
const DISPLAY: &str = "DisplayName";
/// Tags of a topic.
const TAGS: usize = 50;

pub(crate) async fn create(call: &Call<'_>) -> Result<Value> {
    let params = call.params()?;
    let name = params.need("Name")?;
    if name.ends_with(".fifo") {
        return Err(Code::SNS_PARAMETER.says("FIFO topics are not served here."));
    }
    let label = Label::new(name).map_err(|error| {
        Code::SNS_PARAMETER.says(format!("Invalid parameter: Topic Name: {}", error.message))
    })?;
    params.refuse(&["DataProtectionPolicy"])?;
    let mut topic = Topic::default();
    for (name, value) in params.pairs("Attributes")? {
        set(&mut topic, name, value)?;
    }
    for tag in params.list("Tags")? {
        let tag = Params::of(tag)?;
        let (name, value) = (tag.need("Key")?, tag.need("Value")?);
        topic.tags.insert(name.to_owned(), value.to_owned());
    }
    let sizes = topic
        .tags
        .iter()
        .all(|(n, v)| n.len() <= 512 && v.len() <= 1024);
    if topic.tags.len() > TAGS || !sizes {
        return Err(Code::SNS_PARAMETER.says(format!("A topic has {TAGS} short tags at most.")));
    }
    if let Some(there) = Kept::open(call)?.make(&label, &topic).await? {
        let mut wanted = topic.attributes.iter();
        if wanted.any(|(name, value)| there.attributes.get(name) != Some(value)) {
            return Err(Code::SNS_PARAMETER.says(
                "Invalid parameter: Attributes Reason: Topic already exists with different attributes",
            ));
        }
    }
    Ok(json!({ "TopicArn": names::arn("sns", &call.region, name) }))
}

/// What can be said of a topic. An empty policy is none.
fn set(topic: &mut Topic, name: &str, value: &str) -> Result<()> {
    match (name, value) {
        (DISPLAY, value) if value.chars().count() <= 100 => {
            topic.attributes.insert(name.to_owned(), value.to_owned());
            Ok(())
        }
        ("FifoTopic", "false") => Ok(()),
        _ => Err(Code::SNS_PARAMETER.says(format!(
            "Invalid parameter: the attribute {name} is not served here; {DISPLAY} is, with 100 letters."
        ))),
    }
}

pub(crate) async fn delete(call: &Call<'_>) -> Result<Value> {
    let kept = Kept::open(call)?;
    match kept.topic(call.params()?.need("TopicArn")?).await {
        Ok((label, _)) => kept.remove(&label).await?,
        // As SNS has it, there is nothing to do.
        Err(Fault { code, .. }) if code == Code::SNS_NOT_FOUND => {}
        Err(fault) => return Err(fault),
    }
    Ok(Value::Null)
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Value> {
    let topics = Kept::open(call)?.topics().await?;
    let arns = topics.iter().map(|topic| {
        let arn = names::arn("sns", &call.region, topic.as_str());
        json!({ "TopicArn": arn })
    });
    page(call, "Topics", arns.collect())
}

/// A page; its token is how many were before it.
pub(super) fn page(call: &Call<'_>, list: &str, all: Vec<Value>) -> Result<Value> {
    let before = match call.params()?.text("NextToken")? {
        Some(token) => token
            .parse::<usize>()
            .map_err(|_| Code::SNS_PARAMETER.says("Invalid parameter: NextToken"))?,
        None => 0,
    };
    let next = before.saturating_add(PAGE);
    let more = all.len() > next;
    let items: Vec<_> = all.into_iter().skip(before).take(PAGE).collect();
    let mut answer = Map::new();
    answer.insert(list.to_owned(), items.into());
    if more {
        answer.insert("NextToken".to_owned(), next.to_string().into());
    }
    Ok(Value::Object(answer))
}

pub(crate) async fn attributes(call: &Call<'_>) -> Result<Value> {
    let kept = Kept::open(call)?;
    let (label, topic) = kept.topic(call.params()?.need("TopicArn")?).await?;
    let subscriptions = kept.of(&label).await?.len();
    let display = topic.attributes.get(DISPLAY).cloned();
    Ok(json!({ "Attributes": {
        "TopicArn": names::arn("sns", &call.region, label.as_str()),
        "Owner": names::ACCOUNT,
        "DisplayName": display.unwrap_or_default(),
        "SubscriptionsConfirmed": subscriptions.to_string(),
        "SubscriptionsPending": "0",
        "SubscriptionsDeleted": "0",
    } }))
}

pub(crate) async fn set_attributes(call: &Call<'_>) -> Result<Value> {
    let params = call.params()?;
    let kept = Kept::open(call)?;
    let (label, _) = kept.topic(params.need("TopicArn")?).await?;
    let name = params.need("AttributeName")?;
    let value = params.text("AttributeValue")?.unwrap_or_default();
    set(&mut Topic::default(), name, value)?;
    kept.change(&label, |topic| {
        // It was looked at before.
        let _ = set(topic, name, value);
    })
    .await?;
    Ok(Value::Null)
}
