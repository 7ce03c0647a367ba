//! Change streams: topics that the committing thread itself appends to, in the commit of the change.
//!
//! Whatever keeps something here and commits through this thread asks [`Group::listens`] first, and hands what changed to
//! [`Group::tell`] once the request holds. A stream is listened to exactly as long as its topic has a subscription: that is
//! as durable as the subscription is, and known to this thread alone.

use std::sync::Arc;

use gust_backend::{
    changes::{TopicSettings, Watched},
    queue::Message,
    topic::check,
};
use gust_types::{Error, Label, ProjectName, Result};

use crate::{
    queue::{group::Group, keys},
    store::Engine,
};

/// An event of a stream has more bytes than this, attributes and all.
const LEAST: u64 = 256;

impl Group<'_> {
    /// Whether anybody is subscribed to the stream of this name.
    pub(crate) fn listens(&mut self, stream: &Arc<[u8]>) -> Result<bool> {
        if let Some(known) = self.cache.listened.get(stream) {
            return Ok(*known);
        }
        let listens = match self.number(stream)? {
            Some(keys) => {
                let (from, to) = keys.all_cursors();
                !self.scan(&from, &to, 1)?.items.is_empty()
            }
            None => false,
        };
        self.cache.listened.insert(stream.clone(), listens);
        Ok(listens)
    }

    /// Appends what happened, in order. Never refused: what is over the stream's size pushes out the oldest. An error
    /// means that the group is not to be written.
    pub(crate) fn tell(&mut self, stream: &Arc<[u8]>, events: Vec<Message>) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let Some(keys) = self.number(stream)? else {
            return Ok(());
        };
        let mut state = self.topic_state(keys)?;
        let fresh: u64 = events.iter().map(Message::weight).sum();
        for event in events {
            self.append(keys, &mut state, event, 0)?;
        }
        // As much as came at least, so that it never grows beyond its bound.
        let most = check::STEP.max((fresh / LEAST) as usize);
        self.trim(keys, &TopicSettings::default(), &mut state, most)?;
        self.put(keys.state(), state.encode());
        self.cache.topics.insert(keys, state);
        if self.told.last() != Some(stream) {
            self.told.push(stream.clone());
        }
        Ok(())
    }
}

/// The streams that there are.
pub(super) fn names(engine: &Engine) -> Result<Vec<(ProjectName, Watched)>> {
    let recovering = || Error::unavailable("the store is being recovered");
    let open = engine.try_get()?.ok_or_else(recovering)?;
    let mut names = Vec::new();
    for found in open.queue_range(&[keys::TOPIC], &[keys::TOPIC + 1]) {
        let (key, _) = found?;
        names.extend(stream(&key));
    }
    Ok(names)
}

/// Project and resource of a stream's name.
fn stream(name: &[u8]) -> Option<(ProjectName, Watched)> {
    let name = std::str::from_utf8(name.get(1..)?).ok()?;
    let (project, topic) = name.split_once('\0')?;
    let topic = Label::reserved(topic.strip_prefix('.')?);
    Some((ProjectName::new(project).ok()?, Watched::of_topic(&topic)?))
}

#[cfg(test)]
mod tests;
