//! What a call with a unit publishes goes out with the unit.

use std::sync::Arc;

use async_trait::async_trait;
use gust_types::{Result, event::Cause};

use super::{Place, Publication, Unit};
use crate::{
    outlet::Outlet,
    queue::{Message, MessageId, Published, QueueLimits, check},
};

/// An outlet that keeps what is published in the unit.
pub(super) struct UnitOutlet {
    unit: Arc<Unit>,
    outlet: Arc<dyn Outlet>,
}

// === impl UnitOutlet ===

impl UnitOutlet {
    pub(super) fn new(unit: Arc<Unit>, outlet: Arc<dyn Outlet>) -> Self {
        Self { unit, outlet }
    }
}

#[async_trait]
impl Outlet for UnitOutlet {
    fn shape(&self, messages: Vec<Message>, cause: Option<&Cause>) -> Result<Vec<Message>> {
        self.outlet.shape(messages, cause)
    }

    /// The number 0: the place gives theirs when the unit is committed.
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>> {
        check::batch(&messages, &self.limits())?;
        let published = Published {
            id: MessageId(0),
            duplicate: false,
        };
        let answers = vec![published; messages.len()];
        let to = self.place()?;
        let _turn = self.unit.writing.lock().await;
        let mut state = self.unit.state.lock();
        state.open()?;
        state.publish(Publication { to, messages })?;
        Ok(answers)
    }

    fn limits(&self) -> QueueLimits {
        self.outlet.limits()
    }

    fn place(&self) -> Result<Place> {
        self.outlet.place()
    }
}
