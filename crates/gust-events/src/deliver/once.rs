//! Delivering with `exactly_once`: what the function writes and the end of its events are one commit.
//!
//! The call gets a unit of work. When the function has taken everything that it was given, the unit is committed with the
//! receipts of the messages; whatever else happens, the unit is dropped, and the events are tried again as usual. A call
//! whose commit met a conflict is made once more, alone: otherwise, of many deliveries that change one key, all but one
//! would fail again and again. A second conflict is somebody else's doing, and counts as a failed attempt.
//!
//! A database commits before the rest. Should the node go down between the two, the message comes again and the mark in
//! the database says that the function has done its part: only the rest is done then.

use std::{sync::Arc, time::Duration};

use gust_backend::{
    queue::Receipt,
    unit::{Marks, Place, Unit},
};
use gust_types::{Blame, Error, Kind, Label, ProjectName, Result, event::Event};

use super::{
    events::{Delivery, Held, reply},
    outcome::{Ended, Meaning},
    reply::Fate,
};
use crate::{Parts, topics::Topics};

/// How the events of a trigger with `exactly_once` are delivered.
pub(crate) struct Once {
    parts: Arc<Parts>,
    project: ProjectName,
    /// Calls share it; one that is made once more has it alone.
    turn: tokio::sync::RwLock<()>,
    /// What databases need not remember any more.
    marks: Marks,
}

/// A call that is over without a commit, however it came to that, leaves no transaction open.
struct Abandoned<'a>(&'a Unit);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
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
    pub(crate) fn new(parts: Arc<Parts>, project: ProjectName) -> Self {
        Self {
            parts,
            project,
            turn: tokio::sync::RwLock::default(),
            marks: Marks::default(),
        }
    }

    /// How long a delivery may take, when a call may take so long.
    pub(crate) fn patience(call: Duration) -> Duration {
        call * CALLS
    }

    /// Delivers these events together. `None` when they are too large together, and nothing came of it.
    pub(super) async fn deliver(
        &self,
        queue: &Label,
        delivery: &Delivery,
        held: &[Held],
    ) -> Option<Vec<Meaning>> {
        let patience = delivery.target.patience(&self.parts.dispatcher);
        let call = patience.unwrap_or(SOON);
        let same = |meaning| Some(vec![meaning; held.len()]);
        let beside = tokio::time::timeout(call, self.turn.read()).await;
        let Ok(turn) = beside else {
            return same(Meaning::NotTried(SOON));
        };
        let first = self.attempt(queue, delivery, held).await;
        drop(turn);
        match first {
            Try::Over(meanings) => return Some(meanings),
            Try::TooLarge => return None,
            Try::Conflict(_) => {}
        }
        let Ok(_alone) = tokio::time::timeout(call, self.turn.write()).await else {
            return same(Meaning::NotTried(SOON));
        };
        match self.attempt(queue, delivery, held).await {
            Try::Over(meanings) => Some(meanings),
            Try::TooLarge => None,
            Try::Conflict(error) => same(Meaning::failed(format!(
                "what it wrote was changed by others meanwhile: {}",
                error.chain()
            ))),
        }
    }

    async fn attempt(&self, queue: &Label, delivery: &Delivery, held: &[Held]) -> Try {
        let same = |meaning| Try::Over(vec![meaning; held.len()]);
        let receipts: Vec<_> = held.iter().map(|held| held.taken.receipt).collect();
        match self.finish(queue, delivery, &receipts).await {
            Ok(false) => {}
            Ok(true) => return same(Meaning::Committed),
            Err(error) => return same(unfinished(&error)),
        }
        let dispatcher = &self.parts.dispatcher;
        let (backends, project) = (self.parts.backends.clone(), self.project.clone());
        let unit = Unit::new(backends, project, queue.clone(), receipts);
        let _abandoned = Abandoned(&unit);
        let events: Vec<Event> = held.iter().map(|held| held.event.clone()).collect();
        let ended = delivery.target.call(dispatcher, &events, Some(&unit)).await;
        unit.close();
        if events.len() > 1 && matches!(ended, Ended::TooLarge) {
            return Try::TooLarge;
        }
        let meanings = ended.meanings(&events);
        if !meanings.iter().all(Meaning::is_done) {
            return Try::Over(meanings.into_iter().map(not_alone).collect());
        }
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
        match unit.commit(&self.marks).await {
            Ok(()) => same(Meaning::Committed),
            Err(error) if unit.is_sealed() => same(unfinished(&error)),
            Err(error) if error.kind == Kind::Conflict => Try::Conflict(error),
            Err(error) => same(uncommitted(&error)),
        }
    }

    /// Does what is left to be done, if a database of the function's committed for these messages before. Then the
    /// function is not called again.
    async fn finish(
        &self,
        queue: &Label,
        delivery: &Delivery,
        receipts: &[Receipt],
    ) -> Result<bool> {
        let Some(entry) = self.parts.dispatcher.function(&delivery.target.function) else {
            return Ok(false);
        };
        let names = entry.revision().spec.sql.iter();
        let databases: Result<Vec<_>> = names
            .map(|name| self.parts.backends.sql(&self.project, name))
            .collect();
        let left = Unit::unfinished(&databases?, queue, receipts).await?;
        let Some(mut commit) = left else {
            return Ok(false);
        };
        tracing::info!(%queue, "finishing a delivery that its database has committed");
        let topics = Topics(self.parts.clone());
        for publication in &mut commit.published {
            match &mut publication.to {
                Place::Queue(name, settings) => {
                    *settings = self.parts.dispatcher.queue_settings(&self.project, name);
                }
                Place::Topic(name, settings, _) => {
                    *settings = topics.settings(&self.project, name);
                }
            }
        }
        self.parts.backends.commit(&self.project, commit).await?;
        Ok(true)
    }
}

/// What it means that the rest of a unit could not be done yet: its database has committed, so it is no attempt, and will
/// be done when the message comes again.
fn unfinished(error: &Error) -> Meaning {
    if error.kind == Kind::NotFound {
        return Meaning::Lost;
    }
    tracing::warn!(error = error.chain(), "cannot finish a delivery yet");
    Meaning::NotTried(SOON)
}

/// Of a batch that was not taken whole, nothing was done.
fn not_alone(meaning: Meaning) -> Meaning {
    match meaning.is_done() {
        true => Meaning::failed(
            "another event of its batch was not taken, and with exactly_once a batch is one"
                .to_owned(),
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
