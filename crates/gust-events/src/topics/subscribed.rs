//! A trigger's own subscription of a topic, pumped while the trigger is there. `changes/watch.rs` ends it afterwards.

use std::sync::Arc;

use gust_backend::queue::Queue;
use gust_task::Stop;
use gust_types::{
    Result,
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

/// Who moves the cursor of a trigger: one at a time.
pub(crate) type Turn = Arc<tokio::sync::Mutex<()>>;

/// A subscription that is to be pumped.
pub(crate) struct Subscribed {
    pump: Pump,
    turn: Turn,
}

// === impl Subscribed ===

impl Subscribed {
    /// What brings the events of a trigger that takes from a topic into its inbox; nothing for any other.
    pub(crate) fn new(
        topics: &Topics,
        (key, spec): (&Key, &TriggerSpec),
        queue: &Arc<dyn Queue>,
        turn: Turn,
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
        Ok(Some(Self { pump, turn }))
    }

    pub(crate) fn pace(&self) -> Arc<Pace> {
        self.pump.pace.clone()
    }

    /// Pumps until it is stopped.
    pub(crate) async fn run(self, stop: &Stop) {
        let _turn = self.turn.lock().await;
        self.pump.run(stop).await;
    }
}
