//! What waits for one trigger, and what was given up of it.

use std::sync::Arc;

use gust_task::clock;
use gust_types::{AppName, Error, Label, Result};

use crate::queue::{Dead, MessageId, Queue, QueueStats, check};

/// The attributes of a message that say whose it is, where triggers share a queue.
const APP: &str = "ce-gustapp";
const TRIGGER: &str = "ce-gusttrigger";
/// Dead messages looked at, and published again, at once.
const STEP: usize = 1000;

/// The events of one trigger: a queue, or its part of one that triggers share.
#[derive(Clone)]
pub struct Inbox {
    queue: Arc<dyn Queue>,
    /// Only what is of this trigger.
    of: Option<(AppName, Label)>,
}

// === impl Inbox ===

impl Inbox {
    /// All of a queue.
    pub fn whole(queue: Arc<dyn Queue>) -> Self {
        Self { queue, of: None }
    }

    /// Of a queue that triggers share, what belongs to this one.
    pub fn part(queue: Arc<dyn Queue>, app: AppName, trigger: Label) -> Self {
        let of = Some((app, trigger));
        Self { queue, of }
    }

    /// Dead messages by number, above `after`: fewer than asked for when they are large, or when there are no more.
    pub async fn dead(&self, after: Option<MessageId>, most: usize) -> Result<Vec<Dead>> {
        if self.of.is_none() {
            return self.queue.dead(after, most).await;
        }
        let (mut found, mut bytes, mut after) = (Vec::new(), 0, after);
        loop {
            let page = self.queue.dead(after, STEP).await?;
            let Some(last) = page.last() else {
                return Ok(found);
            };
            after = Some(last.id);
            for dead in page.into_iter().filter(|dead| self.has(dead)) {
                bytes += dead.message.size() as u64;
                found.push(dead);
                if found.len() >= most || bytes >= check::LOOK_BYTES {
                    return Ok(found);
                }
            }
        }
    }

    /// Publishes dead messages again, those of these numbers or all that there are now; answers how many.
    pub async fn redrive(&self, ids: Option<Vec<MessageId>>, most: usize) -> Result<u64> {
        if self.of.is_none() {
            return self.queue.redrive(ids, most).await;
        }
        let Some(ids) = ids else {
            return self.redrive_all(most).await;
        };
        let mut ours = Vec::new();
        for id in ids.into_iter().take(most) {
            // Numbers begin with 1.
            let before = id.0.checked_sub(1).map(MessageId);
            let found = self.queue.dead(before, 1).await?;
            let is_it = |dead: &Dead| dead.id == id && self.has(dead);
            ours.extend(found.iter().any(is_it).then_some(id));
        }
        self.queue.redrive(Some(ours), most).await
    }

    async fn redrive_all(&self, most: usize) -> Result<u64> {
        // What dies again meanwhile is not meant.
        let now_us = clock::unix_micros();
        let (mut count, mut left, mut after) = (0, most, None);
        while left > 0 {
            let page = self.dead(after, STEP.min(left)).await?;
            let Some(last) = page.last() else {
                return Ok(count);
            };
            after = Some(last.id);
            let meant = page.iter().filter(|dead| dead.died_us <= now_us);
            let ids: Vec<_> = meant.map(|dead| dead.id).collect();
            let is_over = ids.is_empty();
            let done = self.queue.redrive(Some(ids), left).await?;
            (count, left) = (count + done, left.saturating_sub(done as usize));
            if is_over {
                break;
            }
        }
        Ok(count)
    }

    /// Removes what waits, or the dead; answers how many there were. A part of a queue cannot be removed by itself.
    pub async fn purge(&self, dead: bool) -> Result<u64> {
        if let Some((app, trigger)) = &self.of {
            let text = format!("what waits for schedules cannot be purged: {app}/{trigger}");
            return Err(Error::invalid(text).hint(
                "what was given up is forgotten by itself, and redriven with: gust trigger redrive",
            ));
        }
        self.queue.purge(dead).await
    }

    /// What the queue holds that this is, or is a part of.
    pub async fn stats(&self) -> Result<QueueStats> {
        self.queue.stats().await
    }

    fn has(&self, dead: &Dead) -> bool {
        let attribute = |name: &str| dead.message.attributes.get(name).map(String::as_str);
        self.of.as_ref().is_none_or(|(app, trigger)| {
            attribute(APP) == Some(app.as_str()) && attribute(TRIGGER) == Some(trigger.as_str())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Message, QueueSettings, TakeOptions, Verdict, memory::MemoryQueue};

    fn message(app: &str, trigger: &str, body: &'static str) -> Message {
        let mut message = Message::new(body);
        for (name, value) in [(APP, app), (TRIGGER, trigger)] {
            message.attributes.insert(name.into(), value.into());
        }
        message
    }

    async fn bury(queue: &dyn Queue, messages: Vec<Message>) {
        let most = messages.len();
        queue.publish(messages).await.unwrap();
        let options = TakeOptions {
            most,
            visibility: None,
            wait: std::time::Duration::ZERO,
        };
        let taken = queue.take(options).await.unwrap();
        let dead = |receipt| (receipt, Verdict::Dead("坏".into()));
        let verdicts = taken.into_iter().map(|taken| dead(taken.receipt));
        queue.settle(verdicts.collect()).await.unwrap();
    }

    #[tokio::test]
    async fn a_trigger_sees_its_own_part_and_no_more() {
        let queue = Arc::new(MemoryQueue::new(QueueSettings::default()));
        let mut all = Vec::new();
        for body in ["一", "二", "三"] {
            all.push(message("shop", "tick", body));
            all.push(message("shop", "tock", body));
            all.push(message("other", "tick", body));
        }
        bury(&*queue, all).await;
        let (app, name) = ("shop".parse().unwrap(), "tick".parse().unwrap());
        let inbox = Inbox::part(queue.clone(), app, name);
        let dead = inbox.dead(None, 2).await.unwrap();
        let bodies: Vec<_> = dead.iter().map(|dead| &dead.message.body[..]).collect();
        assert_eq!(bodies, ["一".as_bytes(), "二".as_bytes()]);
        let rest = inbox.dead(Some(dead[1].id), 2).await.unwrap();
        assert_eq!(rest.len(), 1);
        // Another's number is nobody's here.
        let foreign = MessageId(dead[0].id.0 + 1);
        let ids = vec![dead[0].id, foreign, MessageId(77)];
        assert_eq!(inbox.redrive(Some(ids), 10).await.unwrap(), 1);
        assert_eq!(inbox.redrive(None, 1).await.unwrap(), 1);
        assert_eq!(inbox.redrive(None, usize::MAX).await.unwrap(), 1);
        assert_eq!(inbox.redrive(None, usize::MAX).await.unwrap(), 0);
        let stats = queue.stats().await.unwrap();
        assert_eq!((stats.messages, stats.dead), (3, 6));
        assert!(inbox.purge(true).await.is_err());
        assert_eq!(Inbox::whole(queue).purge(true).await.unwrap(), 6);
    }
}
