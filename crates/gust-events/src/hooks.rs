//! What comes in at the paths of webhooks: kept in the trigger's inbox before the sender hears of it.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use gust_backend::{
    desk::{Doorbell, Hook, Ring, Rung},
    queue::Queue,
};
use gust_task::{clock, ids};
use gust_types::{Blame, Error, Kind, Result};
use parking_lot::Mutex;

use crate::{
    Events, message,
    triggers::Key,
    webhook::{self, Arrival, Request},
};

/// Inboxes that are open: opened again when the hook was deployed again.
#[derive(Default)]
pub(crate) struct Inboxes(Mutex<HashMap<Key, Inbox>>);

/// A hook's inbox, as it was at its last deploy.
type Inbox = (Arc<Hook>, Arc<dyn Queue>);

/// Open inboxes that are kept at hand.
const AT_HAND: usize = 10_000;

impl Events {
    fn inbox(&self, hook: &Arc<Hook>) -> Result<Arc<dyn Queue>> {
        let key = Key {
            project: hook.project.clone(),
            app: hook.app.clone(),
            name: hook.trigger.clone(),
        };
        let mut inboxes = self.inboxes.0.lock();
        if let Some((before, queue)) = inboxes.get(&key)
            && Arc::ptr_eq(before, hook)
        {
            return Ok(queue.clone());
        }
        let queue = self.queues.inbox(&key, &hook.spec)?;
        if inboxes.len() >= AT_HAND {
            inboxes.clear();
        }
        inboxes.insert(key, (hook.clone(), queue.clone()));
        Ok(queue)
    }
}

#[async_trait]
impl Doorbell for Events {
    async fn ring(&self, hook: &Arc<Hook>, ring: Ring) -> Result<Rung> {
        let trace = ring.trace;
        let arrival = Arrival {
            now_us: clock::unix_micros(),
            id: ids::call_id().to_string(),
            trace: (trace.trace_id != 0).then(|| match trace.parent {
                0 => trace.header(ids::random_u64()),
                span => trace.header(span),
            }),
        };
        let (event, key) = match webhook::read(hook, &ring.headers, &ring.body, arrival)? {
            Request::Challenge(text) => return Ok(Rung::Answer(text)),
            Request::Event(event, key) => (event, key),
        };
        let mut message = message::of_event(&event);
        message.key = key;
        let published = self.inbox(hook)?.publish(vec![message]).await;
        let published = published.map_err(no_room)?;
        let known = published.first().is_some_and(|one| one.duplicate);
        Ok(if known { Rung::Known } else { Rung::Kept })
    }
}

/// That an inbox is full is not its sender's fault, who does right to come again.
fn no_room(error: Error) -> Error {
    if error.kind == Kind::Exhausted && error.blame == Blame::Caller {
        return Error::unavailable("the webhook has no room for more right now")
            .hint("send it again later")
            .because(error);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_inbox_is_to_be_tried_again_and_a_full_disk_is_said() {
        let full = gust_backend::queue::check::full(&Default::default());
        let told = no_room(full);
        assert_eq!(
            (told.kind, told.blame),
            (Kind::Unavailable, Blame::Platform)
        );
        let disk = Error::new(Kind::Exhausted, Blame::Platform, "disk is full");
        assert_eq!(no_room(disk).kind, Kind::Exhausted);
        assert_eq!(no_room(Error::denied("no")).kind, Kind::Denied);
    }
}
