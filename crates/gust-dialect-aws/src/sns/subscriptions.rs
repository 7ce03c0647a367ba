//! Queues that get what is published to a topic.

use gust_types::{Kind, Label};
use serde_json::{Value, json};

use super::{
    kept::{Kept, SUBSCRIPTIONS, Subscription, TRIES, busy},
    topics::page,
};
use crate::{
    fault::{Code, Fault, Result},
    gate::Call,
    names,
};

const RAW: &str = "RawMessageDelivery";

fn invalid(why: &str) -> Fault {
    Code::SNS_PARAMETER.says(format!("Invalid parameter: {why}"))
}

pub(crate) async fn subscribe(call: &Call<'_>) -> Result<Value> {
    let params = call.params()?;
    let kept = Kept::open(call)?;
    let arn = params.need("TopicArn")?;
    let protocol = params.need("Protocol")?;
    if protocol != "sqs" {
        return Err(invalid(&format!(
            "the protocol {protocol} is not served here; sqs is"
        )));
    }
    let endpoint = params.need("Endpoint")?;
    let queue = names::of_arn(endpoint, "sqs").and_then(names::label);
    let queue = queue.ok_or_else(|| invalid("Endpoint Reason: it is the ARN of no queue"))?;
    if names::is_fifo(&queue) {
        return Err(invalid(
            "Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
        ));
    }
    let there = call.door.parts.desk.find_queue(&call.project, &queue).await;
    if there?.is_none() {
        return Err(invalid("Endpoint Reason: there is no such queue"));
    }
    let mut raw = false;
    for (name, value) in params.pairs("Attributes")? {
        raw |= is_raw(name, value)?;
    }
    for _ in 0..TRIES {
        if let Some(subscription) = add(&kept, arn, &queue, raw).await? {
            return Ok(json!({ "SubscriptionArn": subscription.arn(call) }));
        }
    }
    Err(busy())
}

/// Subscribes a queue; `None` when the topic was another meanwhile.
async fn add(kept: &Kept, arn: &str, queue: &Label, raw: bool) -> Result<Option<Subscription>> {
    let (topic, held, version) = kept.versioned(arn).await?;
    let all = kept.of(&topic).await?;
    // The same queue again is the same subscription.
    if let Some(known) = all.iter().find(|known| known.queue == *queue) {
        return match known.raw == raw {
            true => Ok(Some(known.clone())),
            false => Err(invalid(
                "Attributes Reason: Subscription already exists with different attributes",
            )),
        };
    }
    if all.len() >= SUBSCRIPTIONS {
        return Err(Code::SNS_LIMIT.says(format!(
            "A topic has {SUBSCRIPTIONS} subscriptions at most here."
        )));
    }
    let subscription = Subscription {
        id: id(&topic, queue),
        topic,
        queue: queue.clone(),
        raw,
    };
    match kept.subscribe(&subscription, (&held, version)).await {
        Ok(()) => Ok(Some(subscription)),
        Err(error) if error.kind == Kind::Conflict => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What tells a subscription from others of its topic: which queue it is, so that two who subscribe it at once make one.
fn id(topic: &Label, queue: &Label) -> String {
    use sha2::{Digest as _, Sha256};
    let hash = hex::encode(Sha256::digest(format!("{topic}/{queue}")));
    let part = |from: usize, to: usize| hash.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}

/// The one attribute that is served. A policy that would let fewer messages through is refused, not ignored.
fn is_raw(name: &str, value: &str) -> Result<bool> {
    match (name, value) {
        (RAW, "true") => Ok(true),
        (RAW, "false") => Ok(false),
        (RAW, _) => Err(invalid(
            "Attributes Reason: RawMessageDelivery is true or false",
        )),
        _ => Err(invalid(&format!(
            "Attributes Reason: {name} is not served here; {RAW} is"
        ))),
    }
}

pub(crate) async fn unsubscribe(call: &Call<'_>) -> Result<Value> {
    let kept = Kept::open(call)?;
    let arn = call.params()?.need("SubscriptionArn")?;
    if let Some(subscription) = kept.subscription(arn).await? {
        kept.end(&subscription).await?;
    }
    Ok(Value::Null)
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Value> {
    let all = Kept::open(call)?.all().await?;
    shown(call, &all)
}

pub(crate) async fn list_by_topic(call: &Call<'_>) -> Result<Value> {
    let kept = Kept::open(call)?;
    let (topic, _) = kept.topic(call.params()?.need("TopicArn")?).await?;
    shown(call, &kept.of(&topic).await?)
}

fn shown(call: &Call<'_>, all: &[Subscription]) -> Result<Value> {
    let shown = all.iter().map(|subscription| {
        json!({
            "SubscriptionArn": subscription.arn(call),
            "Owner": names::ACCOUNT,
            "Protocol": "sqs",
            "Endpoint": call.arn(&subscription.queue),
            "TopicArn": names::arn("sns", &call.region, subscription.topic.as_str()),
        })
    });
    page(call, "Subscriptions", shown.collect())
}

async fn known(call: &Call<'_>, kept: &Kept) -> Result<Subscription> {
    let arn = call.params()?.need("SubscriptionArn")?;
    let found = kept.subscription(arn).await?;
    found.ok_or_else(|| Code::SNS_NOT_FOUND.says("Subscription does not exist"))
}

pub(crate) async fn attributes(call: &Call<'_>) -> Result<Value> {
    let subscription = known(call, &Kept::open(call)?).await?;
    Ok(json!({ "Attributes": {
        "SubscriptionArn": subscription.arn(call),
        "TopicArn": names::arn("sns", &call.region, subscription.topic.as_str()),
        "Owner": names::ACCOUNT,
        "Protocol": "sqs",
        "Endpoint": call.arn(&subscription.queue),
        "RawMessageDelivery": subscription.raw.to_string(),
        "PendingConfirmation": "false",
        "ConfirmationWasAuthenticated": "true",
    } }))
}

pub(crate) async fn set_attributes(call: &Call<'_>) -> Result<Value> {
    let params = call.params()?;
    let kept = Kept::open(call)?;
    let value = params.text("AttributeValue")?.unwrap_or_default();
    let raw = is_raw(params.need("AttributeName")?, value)?;
    kept.set_raw(params.need("SubscriptionArn")?, raw).await?;
    Ok(Value::Null)
}
