//! A consumer: takes messages as fast as their functions may be called, and settles each by what came of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use gust_backend::desk::Counts;
use gust_backend::queue::{Queue, Receipt, TakeOptions, Taken, Verdict};
use gust_dispatch::Dispatcher;
use gust_task::{Stop, clock, ids};
use gust_types::{Error, Label, event::Event};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::{
    call::Target,
    outcome::{Ended, Meaning},
};
use crate::{
    message,
    retry::{self, RetryPolicy},
};

/// How long one look into the queue waits for a message.
const LOOK: Duration = Duration::from_secs(600);
/// The longest that a message which was refused stays away, and its place in the trigger is kept empty.
const QUIET: Duration = Duration::from_secs(10);
/// A message that nobody is there for is given up when it is this old.
const FORSAKEN: Duration = Duration::from_secs(3600);
/// After a look that failed.
const REST: Duration = Duration::from_secs(1);
/// What a message is the consumer's longer than its call may take: for the settling.
const MARGIN: Duration = Duration::from_secs(30);

/// The extension that says how often the event was delivered, this time included.
const ATTEMPT: &str = "gustattempt";

/// Takes from one queue.
pub(crate) struct Consumer {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) name: Label,
    pub(crate) way: Arc<dyn Way>,
    pub(crate) batch: usize,
    pub(crate) concurrency: usize,
    pub(crate) dispatcher: Dispatcher,
    /// Whether what a node that is gone had taken was released.
    pub(crate) released: Arc<OnceCell<()>>,
}

/// Where the messages of a queue go.
pub(crate) trait Way: Send + Sync {
    /// Where this event goes; `None` when nobody is there to take it any more.
    fn of(&self, event: &Event) -> Option<Arc<Delivery>>;
    /// How long a call may take, of all that messages here may lead to.
    fn patience(&self, dispatcher: &Dispatcher) -> Duration;
    /// The event is done with, one way or the other.
    fn ended(&self, event: &Event);
}

/// How the events of one trigger are delivered, and what became of them.
pub(crate) struct Delivery {
    pub(crate) target: Target,
    pub(crate) retry: RetryPolicy,
    pub(crate) tally: Arc<Tally>,
}

/// What became of a trigger's events since the node started.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    in_flight: AtomicU64,
    done: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
    dead: AtomicU64,
}

/// An event that was taken.
struct Held {
    taken: Taken,
    event: Event,
    delivery: Arc<Delivery>,
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

    fn count(&self, verdict: &Verdict) {
        let counter = match verdict {
            Verdict::Done => &self.done,
            Verdict::Again(_) | Verdict::Extend(_) => &self.retried,
            Verdict::Back(_) => &self.refused,
            Verdict::Dead(_) => &self.dead,
        };
        counter.fetch_add(1, Relaxed);
    }
}

// === impl Consumer ===

impl Consumer {
    /// Takes and delivers until `stop`, then waits for what is under way.
    pub(crate) async fn run(self: Arc<Self>, stop: Stop) {
        let slots = Arc::new(Semaphore::new(self.concurrency));
        // Once for each queue, and before anybody takes from it.
        self.released.get_or_init(|| self.release()).await;
        loop {
            let Some(places) = free(&slots, &stop).await else {
                break;
            };
            let options = TakeOptions {
                most: places.len() * self.batch,
                visibility: Some(self.way.patience(&self.dispatcher) + MARGIN),
                wait: LOOK,
            };
            let taken = tokio::select! {
                taken = self.queue.take(options) => taken,
                // What a look takes that is cut short here, the queue puts back.
                () = stop.stopped() => break,
            };
            match taken {
                Ok(taken) => self.hand_out(taken, places, &stop),
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

    async fn release(&self) {
        match self.queue.release().await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(queue = %self.name, count, "delivering again what was under way when the node went down");
            }
            // It comes back by itself when its time is up.
            Err(error) => {
                tracing::warn!(queue = %self.name, error = error.chain(), "cannot release messages");
            }
        }
    }

    fn hand_out(
        self: &Arc<Self>,
        mut taken: Vec<Taken>,
        mut places: Vec<OwnedSemaphorePermit>,
        stop: &Stop,
    ) {
        while !taken.is_empty() {
            let rest = taken.split_off(taken.len().min(self.batch));
            let batch = std::mem::replace(&mut taken, rest);
            let place = places.pop();
            let (consumer, stop) = (self.clone(), stop.clone());
            gust_task::spawn("deliver", async move {
                let pause = consumer.deliver(batch).await;
                // A refused call keeps its place for a while: otherwise the whole queue would be refused one by one.
                if let Some(pause) = pause {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.stopped() => {}
                    }
                }
                drop(place);
            });
        }
    }

    /// One call. A batch has one way, so what comes together goes together. Answers for how long to be quiet after it.
    async fn deliver(&self, batch: Vec<Taken>) -> Option<Duration> {
        let mut pause = None;
        let (mut held, mut verdicts) = (Vec::new(), Vec::new());
        for taken in batch {
            let receipt = taken.receipt;
            match self.hold(taken) {
                Ok(one) => held.push(one),
                Err(verdict) => verdicts.push((receipt, verdict)),
            }
        }
        if let Some(first) = held.first() {
            let (delivery, count) = (first.delivery.clone(), held.len() as u64);
            delivery.tally.in_flight.fetch_add(count, Relaxed);
            let events: Vec<_> = held.iter().map(|held| held.event.clone()).collect();
            for (held, meaning) in held.iter().zip(self.call(&delivery, &events).await) {
                if let Meaning::NotTried(after) = &meaning {
                    pause = Some(QUIET.min(*after));
                }
                let verdict = verdict(&delivery.retry, &held.taken, meaning);
                delivery.tally.count(&verdict);
                verdicts.push((held.taken.receipt, verdict));
            }
            delivery.tally.in_flight.fetch_sub(count, Relaxed);
        }
        let over = |verdict: &Verdict| matches!(verdict, Verdict::Done | Verdict::Dead(_));
        let over: Vec<_> = verdicts
            .iter()
            .filter(|(_, v)| over(v))
            .map(|(r, _)| r.id)
            .collect();
        self.settle(verdicts).await;
        for held in held
            .iter()
            .filter(|held| over.contains(&held.taken.receipt.id))
        {
            self.way.ended(&held.event);
        }
        pause
    }

    /// Calls the function with these events together; one by one when they are too large together.
    async fn call(&self, delivery: &Delivery, events: &[Event]) -> Vec<Meaning> {
        let ended = delivery.target.call(&self.dispatcher, events).await;
        if events.len() < 2 || !matches!(ended, Ended::TooLarge) {
            return ended.meanings(events);
        }
        let mut meanings = Vec::with_capacity(events.len());
        for event in events {
            let alone = std::slice::from_ref(event);
            let ended = delivery.target.call(&self.dispatcher, alone).await;
            meanings.extend(ended.meanings(alone));
        }
        meanings
    }

    fn hold(&self, taken: Taken) -> Result<Held, Verdict> {
        let unreadable =
            |error: Error| Verdict::Dead(format!("the message is no event: {}", error.chain()));
        let mut event = message::read(&self.name, &taken).map_err(unreadable)?;
        let attempt = i32::try_from(taken.receipt.attempt).unwrap_or(i32::MAX);
        event.set(ATTEMPT, attempt).map_err(unreadable)?;
        let age = clock::unix_micros().saturating_sub(taken.published_us);
        // Its trigger may be on its way: after a start, or between two deploys.
        let gone = || match age < FORSAKEN.as_micros() as u64 {
            true => Verdict::Back(QUIET),
            false => Verdict::Dead("nobody is there to take it any more".to_owned()),
        };
        let delivery = self.way.of(&event).ok_or_else(gone)?;
        Ok(Held {
            taken,
            event,
            delivery,
        })
    }

    /// A settlement that fails is tried a few times; after that the message comes back when its time is up, and is
    /// delivered once more.
    async fn settle(&self, verdicts: Vec<(Receipt, Verdict)>) {
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

fn verdict(policy: &RetryPolicy, taken: &Taken, meaning: Meaning) -> Verdict {
    let (ended, retry_after, cause) = match meaning {
        Meaning::NotTried(after) => return Verdict::Back(after.min(QUIET)),
        Meaning::Tried {
            ended,
            retry_after,
            cause,
        } => (ended, retry_after, cause),
    };
    let now_us = clock::unix_micros();
    let tried = retry::Try {
        attempt: taken.receipt.attempt,
        first_us: taken.ready_us,
        now_us,
        ended,
        retry_after_us: retry_after.and_then(|header| retry::retry_after(&header, now_us)),
        random: ids::random_u64(),
    };
    match retry::decide(policy, &tried) {
        retry::Verdict::Done => Verdict::Done,
        retry::Verdict::Again { at_us } => {
            Verdict::Again(Duration::from_micros(at_us.saturating_sub(now_us)))
        }
        retry::Verdict::Dead { cause: why } => Verdict::Dead(format!("{why}: {cause}")),
    }
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
