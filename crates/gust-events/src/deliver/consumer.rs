//! A trigger's consumer: takes messages as fast as its function may be called, and settles each by what came of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use gust_backend::queue::{Queue, TakeOptions, Taken, Verdict};
use gust_dispatch::Dispatcher;
use gust_task::{Stop, clock, ids};
use gust_trigger::Counts;
use gust_types::{Error, Label, event::Event, trigger::RetrySpec};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{call::Target, outcome::Meaning};
use crate::{message, retry};

/// How long one look into the queue waits for a message.
const LOOK: Duration = Duration::from_secs(20);
/// After a look that failed.
const REST: Duration = Duration::from_secs(1);
/// What a message is the consumer's longer than its call may take: for the settling.
const MARGIN: Duration = Duration::from_secs(30);
/// While the function is not deployed.
const ABSENT: Duration = Duration::from_secs(5);

/// Takes from one queue for one trigger.
pub(crate) struct Consumer {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) name: Label,
    pub(crate) target: Target,
    pub(crate) batch: usize,
    pub(crate) concurrency: usize,
    pub(crate) retry: RetrySpec,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) tally: Arc<Tally>,
}

/// What became of a trigger's messages since the node started.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) in_flight: AtomicU64,
    pub(crate) done: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) dead: AtomicU64,
}

// === impl Tally ===

impl Tally {
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            in_flight: self.in_flight.load(Relaxed),
            done: self.done.load(Relaxed),
            retried: self.retried.load(Relaxed),
            refused: self.refused.load(Relaxed),
            dead: self.dead.load(Relaxed),
        }
    }
}

// === impl Consumer ===

impl Consumer {
    /// Takes and delivers until `stop`, then waits for what is under way.
    pub(crate) async fn run(self: Arc<Self>, stop: Stop) {
        let slots = Arc::new(Semaphore::new(self.concurrency));
        loop {
            let Some(places) = free(&slots, &stop).await else { break };
            let options = TakeOptions {
                most: places.len() * self.batch,
                visibility: Some(self.patience() + MARGIN),
                wait: LOOK,
            };
            let taking = self.queue.take(options);
            let taken = tokio::select! {
                taken = taking => taken,
                // What this look might still have taken comes back when its time is up; a stopping node loses nothing.
                () = stop.stopped() => break,
            };
            match taken {
                Ok(taken) => self.hand_out(taken, places),
                Err(error) => {
                    tracing::warn!(queue = %self.name, error = error.chain(), "cannot take from a queue");
                    tokio::select! {
                        () = tokio::time::sleep(REST) => {}
                        () = stop.stopped() => break,
                    }
                }
            }
        }
        // Every place free again: nothing is under way.
        let _ = slots.acquire_many(self.concurrency as u32).await;
    }

    fn patience(&self) -> Duration {
        self.target.patience(&self.dispatcher).unwrap_or(ABSENT)
    }

    fn hand_out(self: &Arc<Self>, mut taken: Vec<Taken>, mut places: Vec<OwnedSemaphorePermit>) {
        while !taken.is_empty() {
            let rest = taken.split_off(taken.len().min(self.batch));
            let batch = std::mem::replace(&mut taken, rest);
            let place = places.pop();
            let consumer = self.clone();
            gust_task::spawn("deliver", async move {
                consumer.deliver(batch).await;
                drop(place);
            });
        }
    }

    async fn deliver(&self, batch: Vec<Taken>) {
        let count = batch.len() as u64;
        self.tally.in_flight.fetch_add(count, Relaxed);
        let (mut events, mut taken, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
        for one in batch {
            match message::event(&self.name, &one) {
                Ok(event) => {
                    events.push(event);
                    taken.push(one);
                }
                Err(error) => verdicts.push((one.receipt, self.dead(unreadable(&error)))),
            }
        }
        if !taken.is_empty() {
            for (taken, meaning) in taken.iter().zip(self.meanings(&events).await) {
                verdicts.push((taken.receipt, self.verdict(taken, meaning)));
            }
        }
        self.settle(verdicts).await;
        self.tally.in_flight.fetch_sub(count, Relaxed);
    }

    async fn meanings(&self, events: &[Event]) -> Vec<Meaning> {
        self.target.call(&self.dispatcher, events).await.meanings(events)
    }

    fn verdict(&self, taken: &Taken, meaning: Meaning) -> Verdict {
        let (outcome, retry_after, cause) = match meaning {
            Meaning::NotTried(after) => {
                self.tally.refused.fetch_add(1, Relaxed);
                return Verdict::Back(after);
            }
            Meaning::Tried {
                outcome,
                retry_after,
                cause,
            } => (outcome, retry_after, cause),
        };
        let now_us = clock::unix_micros();
        let decided = retry::decide(
            &self.retry,
            taken.receipt.attempt,
            taken.published_us,
            now_us,
            outcome,
            retry_after.as_deref(),
            ids::random_u64(),
        );
        match decided {
            retry::Verdict::Done => {
                self.tally.done.fetch_add(1, Relaxed);
                Verdict::Done
            }
            retry::Verdict::Again { at_us } => {
                self.tally.retried.fetch_add(1, Relaxed);
                Verdict::Again(Duration::from_micros(at_us.saturating_sub(now_us)))
            }
            retry::Verdict::Dead { cause: why } => self.dead(format!("{why}: {cause}")),
        }
    }

    fn dead(&self, cause: String) -> Verdict {
        self.tally.dead.fetch_add(1, Relaxed);
        Verdict::Dead(cause)
    }

    /// A settlement that fails is tried a few times; after that the message comes back when its time is up, and is
    /// delivered once more.
    async fn settle(&self, verdicts: Vec<(gust_backend::queue::Receipt, Verdict)>) {
        for pause in [Some(REST), Some(REST * 4), None] {
            match self.queue.settle(verdicts.clone()).await {
                Ok(answers) => {
                    for error in answers.into_iter().filter_map(Result::err) {
                        tracing::debug!(queue = %self.name, error = error.chain(), "settled too late");
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(queue = %self.name, error = error.chain(), "cannot settle messages");
                }
            }
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn unreadable(error: &Error) -> String {
    format!("the message cannot be made an event: {}", error.chain())
}

/// Every place that is free, as soon as there is one; `None` when it is time to stop.
async fn free(slots: &Arc<Semaphore>, stop: &Stop) -> Option<Vec<OwnedSemaphorePermit>> {
    let first = tokio::select! {
        place = slots.clone().acquire_owned() => place.ok()?,
        () = stop.stopped() => return None,
    };
    // Calls that end together are answered together.
    tokio::task::yield_now().await;
    let more = std::iter::from_fn(|| slots.clone().try_acquire_owned().ok());
    Some(std::iter::once(first).chain(more).collect())
}
