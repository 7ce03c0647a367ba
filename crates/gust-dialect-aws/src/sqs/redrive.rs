//! Where messages go that were taken too often: the policy of a queue, and what the other queue allows.
//!
//! A message goes over when somebody asks for it once more ([`over`], called by a taking): into the other queue and out of
//! this one in one commit, so that it is in exactly one of the two whatever happens.

use gust_backend::{
    queue::{Queue, Taken},
    unit::{Commit, Place, Publication},
};
use gust_types::{Kind, Label};
use serde_json::{Value, json};

use super::{Named, attributes::invalid, message};
use crate::{
    fault::{Code, Fault, Result},
    gate::Call,
    names,
};

const POLICY: &str = "RedrivePolicy";
const ALLOW: &str = "RedriveAllowPolicy";
/// Takings before a message goes over, at most.
const MOST: u64 = 1000;
/// Queues that one allows by name.
const SOURCES: usize = 10;

/// A policy as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) target: Label,
    /// Takings that a message may have.
    pub(crate) most: u32,
}

/// Checks a policy and writes it as it is kept.
pub(super) async fn policy(call: &Call<'_>, text: &str, own: &Label) -> Result<String> {
    let value: Value = serde_json::from_str(text).map_err(|_| invalid(POLICY, text))?;
    let arn = value.get("deadLetterTargetArn").and_then(Value::as_str);
    let most = value.get("maxReceiveCount").and_then(|most| match most {
        Value::Number(most) => most.as_u64(),
        Value::String(most) => most.parse().ok(),
        _ => None,
    });
    let known = |name: &String| name == "deadLetterTargetArn" || name == "maxReceiveCount";
    let keys = value
        .as_object()
        .is_some_and(|object| object.keys().all(known));
    let (Some(arn), Some(most @ 1..=MOST), true) = (arn, most, keys) else {
        return Err(invalid(POLICY, text));
    };
    let target = names::of_arn(arn, "sqs").and_then(names::label);
    let target = target.ok_or_else(|| invalid(POLICY, text))?;
    if names::is_fifo(&target) != names::is_fifo(own) {
        return Err(Code::PARAMETER.says(
            "The dead-letter queue of a FIFO queue is a FIFO queue, and that of a standard queue a standard one.",
        ));
    }
    let missing = |fault: Fault| match fault.code {
        Code::NO_QUEUE => Code::PARAMETER.says(format!("Dead-letter target does not exist: {arn}")),
        _ => fault,
    };
    let there = call.find(target.clone()).await.map_err(missing)?;
    if !allows(&there, own) {
        let text = format!("The RedriveAllowPolicy of {arn} does not allow this queue.");
        return Err(Code::PARAMETER.says(text));
    }
    Ok(json!({ "deadLetterTargetArn": arn, "maxReceiveCount": most }).to_string())
}

/// Checks what a dead-letter queue allows.
pub(super) fn allow(text: &str) -> Result<String> {
    let odd = || invalid(ALLOW, text);
    let value: Value = serde_json::from_str(text).map_err(|_| odd())?;
    let arns = value.get("sourceQueueArns");
    let list = arns.and_then(Value::as_array);
    let named = list.is_some_and(|list| {
        let queue = |arn: &Value| Some(names::of_arn(arn.as_str()?, "sqs")?.to_owned());
        (1..=SOURCES).contains(&list.len()) && list.iter().all(|arn| queue(arn).is_some())
    });
    match value.get("redrivePermission").and_then(Value::as_str) {
        Some("allowAll" | "denyAll") if arns.is_none() => Ok(value.to_string()),
        Some("byQueue") if named => Ok(value.to_string()),
        _ => Err(odd()),
    }
}

fn allows(target: &Named, source: &Label) -> bool {
    let policy = target
        .note(ALLOW)
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(policy) = policy else { return true };
    match policy.get("redrivePermission").and_then(Value::as_str) {
        Some("denyAll") => false,
        Some("byQueue") => {
            let list = policy.get("sourceQueueArns").and_then(Value::as_array);
            let mut list = list.into_iter().flatten();
            list.any(|arn| {
                let name = arn.as_str().and_then(|arn| names::of_arn(arn, "sqs"));
                name.and_then(names::label).as_ref() == Some(source)
            })
        }
        _ => true,
    }
}

/// The policy of a queue, if it has one.
pub(crate) fn of(named: &Named) -> Option<Policy> {
    let value: Value = serde_json::from_str(named.note(POLICY)?).ok()?;
    let arn = value.get("deadLetterTargetArn")?.as_str()?;
    Some(Policy {
        target: names::of_arn(arn, "sqs").and_then(names::label)?,
        most: u32::try_from(value.get("maxReceiveCount")?.as_u64()?).ok()?,
    })
}

/// Puts those over that were taken too often; answers the others. Where there is no other queue to put them into any more,
/// nothing goes over: a message too many is better than one too few.
pub(crate) async fn over(call: &Call<'_>, named: &Named, taken: Vec<Taken>) -> Result<Vec<Taken>> {
    let Some(policy) = of(named) else {
        return Ok(taken);
    };
    let often = |taken: &Taken| taken.receipt.attempt > policy.most;
    if !taken.iter().any(often) || policy.target == named.label {
        return Ok(taken);
    }
    let desk = &call.door.parts.desk;
    let Some(target) = desk.find_queue(&call.project, &policy.target).await? else {
        return Ok(taken);
    };
    let (over, rest): (Vec<_>, Vec<_>) = taken.into_iter().partition(often);
    for taken in over {
        let moved = message::moved(&named.label, &taken);
        let commit = Commit {
            queue: Some(named.label.clone()),
            receipts: vec![taken.receipt],
            published: vec![Publication {
                to: Place::Queue(policy.target.clone(), target.settings.clone()),
                messages: vec![moved],
            }],
            ..Commit::default()
        };
        match call.door.parts.backends.commit(&call.project, commit).await {
            Ok(()) => {}
            // Somebody else has it by now, and it is theirs to put over.
            Err(error) if error.kind == Kind::NotFound => {}
            // It stays where it is until its time is up, and is tried again then.
            Err(error) => {
                let (queue, to) = (&named.label, &policy.target);
                tracing::warn!(%queue, %to, error = error.chain(), "a message cannot go to its dead-letter queue");
            }
        }
    }
    Ok(rest)
}

/// Of the queues that were asked: all that send to this one.
pub(crate) async fn sources(call: &Call<'_>, target: &Label) -> Result<Vec<Label>> {
    let all = call.door.parts.desk.find_queues(&call.project).await?;
    let named = all.into_iter().map(|(label, found)| Named { label, found });
    let sends = named.filter(|named| of(named).is_some_and(|policy| policy.target == *target));
    Ok(sends.map(|named| named.label).collect())
}

/// How many messages wait, are taken, are delayed.
pub(crate) async fn counts(queue: &dyn Queue) -> Result<[u64; 3]> {
    /// Messages that are looked at for it.
    const LOOKED_AT: usize = 10_000;
    let (stats, timed) = (queue.stats().await?, queue.timed(LOOKED_AT).await?);
    let ready = stats.messages.saturating_sub(timed.taken + timed.delayed);
    Ok([ready, timed.taken, timed.delayed])
}
