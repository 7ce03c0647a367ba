//! Delivering with `exactly_once`: what the function writes and the end of its events are one commit.
//!
//! The call gets a unit of work. When the function has taken everything that it was given, the unit is committed with the
//! receipts of the messages; whatever else happens, the unit is dropped, and the events are tried again as usual. A call
//! whose commit met a conflict is made once more, alone: otherwise, of many deliveries that change one key, all but one
//! would fail again and again. A second conflict is somebody else's doing, and counts as a failed attempt.

use std::{sync::Arc, time::Duration};

use gust_backend::{Backends, unit::Unit};
use gust_dispatch::Dispatcher;
use gust_types::{Blame, Error, Kind, Label, ProjectName, event::Event};

use super::{
    events::{Delivery, Held, reply},
    outcome::{Ended, Meaning},
    reply::Fate,
};

/// How the events of a trigger with `exactly_once` are delivered.
pub(crate) struct Once {
    backends: Arc<dyn Backends>,
    project: ProjectName,
    /// Calls share it; one that is made once more has it alone.
    turn: tokio::sync::RwLock<()>,
}

/// What a delivery may take in all, in times of what its call may: two calls, and waiting for others before each.
const CALLS: u32 = 4;
/// When the place of a call is taken by others for too long.
const SOON: Duration = Duration::from_secs(1);

/// What came of one call.
enum Try {
    /// What its events are to become.
    Over(Vec<Meaning>),
    /// What it had read was changed by somebody else.
    Conflict(Error),
    /// The events are too large together.
    TooLarge,
}

// === impl Once ===

impl Once {
    pub(crate) fn new(backends: Arc<dyn Backends>, project: ProjectName) -> Self {
        Self {
            backends,
            project,
            turn: tokio::sync::RwLock::default(),
        }
    }

    /// How long a delivery may take, when a call may take so long.
    pub(crate) fn patience(call: Duration) -> Duration {
        call * CALLS
    }

    /// Delivers these events together. `None` when they are too large together, and nothing came of it.
    pub(super) async fn deliver(
        &self,
        dispatcher: &Dispatcher,
        queue: &Label,
        delivery: &Delivery,
        held: &[Held],
    ) -> Option<Vec<Meaning>> {
        let call = delivery.target.patience(dispatcher).unwrap_or(SOON);
        let same = |meaning| Some(vec![meaning; held.len()]);
        let beside = tokio::time::timeout(call, self.turn.read()).await;
        let Ok(turn) = beside else {
            return same(Meaning::NotTried(SOON));
        };
        let first = self.attempt(dispatcher, queue, delivery, held).await;
        drop(turn);
        match first {
            Try::Over(meanings) => return Some(meanings),
            Try::TooLarge => return None,
            Try::Conflict(_) => {}
        }
        let Ok(_alone) = tokio::time::timeout(call, self.turn.write()).await else {
            return same(Meaning::NotTried(SOON));
        };
        match self.attempt(dispatcher, queue, delivery, held).await {
            Try::Over(meanings) => Some(meanings),
            Try::TooLarge => None,
            Try::Conflict(error) => same(Meaning::failed(format!(
                "what it wrote was changed by others meanwhile: {}",
                error.chain()
            ))),
        }
    }

    async fn attempt(
        &self,
        dispatcher: &Dispatcher,
        queue: &Label,
        delivery: &Delivery,
        held: &[Held],
    ) -> Try {
        let receipts = held.iter().map(|held| held.taken.receipt).collect();
        let (backends, project) = (self.backends.clone(), self.project.clone());
        let unit = Unit::new(backends, project, queue.clone(), receipts);
        let events: Vec<Event> = held.iter().map(|held| held.event.clone()).collect();
        let ended = delivery
            .target
            .call(dispatcher, &events, Some(&unit))
            .await;
        unit.close();
        if events.len() > 1 && matches!(ended, Ended::TooLarge) {
            return Try::TooLarge;
        }
        let meanings = ended.meanings(&events);
        if !meanings.iter().all(Meaning::is_done) {
            return Try::Over(meanings.into_iter().map(not_alone).collect());
        }
        let same = |meaning| Try::Over(vec![meaning; held.len()]);
        match reply(delivery, held, &ended) {
            Ok(None) => {}
            Ok(Some(publication)) => {
                if let Err(error) = unit.publish(publication) {
                    return same(Meaning::failed(error.chain()));
                }
            }
            Err(Fate::Failed(why)) => return same(Meaning::failed(why)),
            Err(Fate::Dead(why)) => return same(Meaning::Hopeless(why)),
        }
        match unit.commit().await {
            Ok(()) => same(Meaning::Committed),
            Err(error) if error.kind == Kind::Conflict => Try::Conflict(error),
            Err(error) => same(uncommitted(&error)),
        }
    }
}

/// Of a batch that was not taken whole, nothing was done.
fn not_alone(meaning: Meaning) -> Meaning {
    match meaning.is_done() {
        true => Meaning::failed(
            "another event of its batch was not taken, and with exactly_once a batch is one".to_owned(),
        ),
        false => meaning,
    }
}

/// What it means that a unit was not committed, other than for a conflict.
fn uncommitted(error: &Error) -> Meaning {
    match (error.kind, error.blame) {
        // Somebody else has the messages, or nobody: they are not ours to settle.
        (Kind::NotFound, _) => Meaning::Lost,
        (_, Blame::Platform) => {
            tracing::warn!(error = error.chain(), "cannot commit a delivery");
            Meaning::NotTried(SOON)
        }
        _ => Meaning::failed(format!(
            "what it wrote cannot be committed: {}",
            error.chain()
        )),
    }
}
