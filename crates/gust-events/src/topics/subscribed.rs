//! A trigger's own subscription of a topic: pumped while the trigger is there, and gone when it is.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use gust_backend::queue::Queue;
use gust_task::Stop;
use gust_types::{
    Error, Result,
    trigger::{TriggerSource, TriggerSpec},
};

use super::{
    Topics,
    pump::{Pace, Pump},
};
use crate::{
    changes,
    filter::Filter,
    triggers::{self, Key},
};

/// Who moves the cursor of a trigger: one at a time, the one that leaves before the next.
pub(crate) type Turn = Arc<tokio::sync::Mutex<()>>;

/// A subscription that is to be pumped.
pub(crate) struct Subscribed {
    pump: Pump,
    turn: Turn,
    over: Arc<AtomicBool>,
}

// === impl Subscribed ===

impl Subscribed {
    /// What brings the events of a trigger that takes from a topic into its inbox; nothing for any other. `over` is set
    /// before it is stopped for good.
    pub(crate) fn new(
        topics: &Topics,
        (key, spec): (&Key, &TriggerSpec),
        queue: &Arc<dyn Queue>,
        turn: Turn,
        over: Arc<AtomicBool>,
    ) -> Result<Option<Self>> {
        let filter = match &spec.source {
            TriggerSource::Topic { filters, .. } => Filter::new(filters)?,
            TriggerSource::Changes(spec) => changes::filter(spec)?,
            _ => return Ok(None),
        };
        let Some(topic) = spec.source.topic() else {
            return Ok(None);
        };
        let pump = Pump {
            key: key.clone(),
            topic: topics.open(&key.project, &topic)?,
            from: spec.source.from(),
            filter,
            queue: queue.clone(),
            inbox: triggers::inbox(key),
            settings: triggers::inbox_settings(),
            pace: Arc::default(),
        };
        Ok(Some(Self { pump, turn, over }))
    }

    pub(crate) fn pace(&self) -> Arc<Pace> {
        self.pump.pace.clone()
    }

    /// Pumps until it is stopped. When it is over for good the subscription goes, and with it what waits in the inbox;
    /// what was given up stays as long as it would have.
    pub(crate) async fn run(self, stop: &Stop) {
        let _turn = self.turn.lock().await;
        self.pump.run(stop).await;
        if !self.over.load(Relaxed) {
            return;
        }
        if let Err(error) = self.leave().await {
            tracing::warn!(
                error = error.chain(),
                "a trigger that is gone is still subscribed"
            );
        }
    }

    async fn leave(&self) -> Result<(), Error> {
        let name = self.pump.key.subscription();
        if self.pump.topic.unsubscribe(&name).await? {
            let count = self.pump.queue.purge(false).await?;
            tracing::info!(subscription = name, count, "a trigger is gone");
        }
        Ok(())
    }
}
