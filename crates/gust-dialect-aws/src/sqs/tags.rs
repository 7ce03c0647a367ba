//! Tags of queues: kept, and told.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::noted;
use crate::{
    fault::{Code, Fault, Result},
    gate::Call,
};

/// Before a tag's name among what is noted of a queue.
const TAG: &str = "tag:";
/// Tags of a queue.
const MOST: usize = 50;

/// Notes tags.
pub(super) fn note(notes: &mut BTreeMap<String, String>, tags: Vec<(&str, &str)>) -> Result<()> {
    for (name, value) in tags {
        let fits = (1..=128).contains(&name.chars().count()) && value.chars().count() <= 256;
        if !fits || name.starts_with("aws:") {
            let reason = "A tag's name has 1 to 128 characters and does not begin with aws:, its value has 256 at most";
            return Err(Fault::value("Tags", name, reason));
        }
        notes.insert(format!("{TAG}{name}"), value.to_owned());
    }
    match noted(notes, TAG).count() > MOST {
        true => Err(Code::PARAMETER.says(format!("Too many tags: a queue has {MOST} at most."))),
        false => Ok(()),
    }
}

pub(crate) async fn tag(call: &Call<'_>) -> Result<Value> {
    let tags = call.params()?.pairs("Tags")?;
    if tags.is_empty() {
        return Err(Fault::missing("Tags"));
    }
    let named = call.queue().await?;
    let change = |_: &super::Named, made: &mut gust_backend::desk::MadeQueue| {
        note(&mut made.notes, tags.clone())
    };
    call.change(&named.label, change).await?;
    Ok(Value::Null)
}

pub(crate) async fn untag(call: &Call<'_>) -> Result<Value> {
    let names = call.params()?.texts("TagKeys")?;
    if names.is_empty() {
        return Err(Fault::missing("TagKeys"));
    }
    let named = call.queue().await?;
    let change = |_: &super::Named, made: &mut gust_backend::desk::MadeQueue| {
        for name in &names {
            made.notes.remove(&format!("{TAG}{name}"));
        }
        Ok(())
    };
    call.change(&named.label, change).await?;
    Ok(Value::Null)
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Value> {
    let named = call.queue().await?;
    let made = named.found.made.as_ref();
    let tags = made.into_iter().flat_map(|made| noted(&made.notes, TAG));
    let tags: Map<_, _> = tags
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    match tags.is_empty() {
        true => Ok(json!({})),
        false => Ok(json!({ "Tags": tags })),
    }
}
