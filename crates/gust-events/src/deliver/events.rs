//! Delivering events: each batch is one call, and its answer says what becomes of each event.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use gust_backend::desk::Counts;
use gust_backend::{
    queue::{Taken, Verdict},
    unit::Publication,
};
use gust_dispatch::Dispatcher;
use gust_task::{clock, ids};
use gust_types::{Error, Label, event::Event};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    call::Target,
    consumer::{Handled, MARGIN, Work},
    once::Once,
    outcome::{Ended, Meaning},
    reply::{Delivered, Fate, Replies},
};
use crate::{
    message,
    retry::{self, RetryPolicy},
};

/// The longest that a message which was refused stays away, and its place in the trigger is kept empty.
const QUIET: Duration = Duration::from_secs(10);
/// Of a batch that is too large for one call, how long events are begun one by one; the rest goes back.
const ONE_BY_ONE: Duration = MARGIN.saturating_sub(Duration::from_secs(10));
/// The shortest that a message stays away which cannot go on yet.
const SOON: Duration = Duration::from_millis(200);

/// The extension that says how often the event was delivered, this time included.
pub(crate) const ATTEMPT: &str = "gustattempt";

/// Delivers the events of one queue.
pub(crate) struct EventWork {
    /// The queue's name: the source of messages that are no events of their own.
    pub(crate) queue: Label,
    pub(crate) way: Arc<dyn Way>,
    pub(crate) dispatcher: Dispatcher,
}

/// Where the events of a queue go.
#[async_trait]
pub(crate) trait Way: Send + Sync {
    /// Where this event goes.
    fn of(&self, event: &Event) -> Result<(Arc<Delivery>, Place), Nowhere>;
    /// Returns when what was taken may begin, which is soon.
    async fn ready(&self) {}
    /// How long a call may take, of all that messages here may lead to.
    fn patience(&self, dispatcher: &Dispatcher) -> Duration;
    /// The event is done with, one way or the other.
    fn ended(&self, event: &Event);
}

/// Why an event goes nowhere.
pub(crate) enum Nowhere {
    /// Nobody is there to take it any more.
    Gone,
    /// Its trigger has enough to do, or is not known yet.
    NotNow,
}

/// A place among what is under way that others of the queue do not share; none where there is one way.
#[derive(Default)]
pub(crate) struct Place(Option<OwnedSemaphorePermit>);

/// How the events of one trigger are delivered, and what became of them.
pub(crate) struct Delivery {
    pub(crate) target: Target,
    pub(crate) retry: RetryPolicy,
    pub(crate) tally: Arc<Tally>,
    /// Who takes what the function answers; nobody, unless it is a topic's trigger.
    pub(crate) replies: Option<Arc<dyn Replies>>,
    /// With `exactly_once`.
    pub(crate) once: Option<Once>,
}

/// What became of a trigger's events since the node started.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    in_flight: AtomicU64,
    done: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
    dead: AtomicU64,
    /// What counts the same of many, so that nobody has to add them up.
    whole: Option<Arc<Tally>>,
}

/// An event that was taken.
pub(super) struct Held {
    pub(super) taken: Taken,
    pub(super) event: Event,
    delivery: Arc<Delivery>,
    place: Place,
}

// === impl Place ===

impl Place {
    /// This one.
    pub(crate) fn of(permit: OwnedSemaphorePermit) -> Self {
        Self(Some(permit))
    }

    /// Keeps it empty for so long. False when there is none: the place in the queue has to be.
    fn rest(&mut self, pause: Duration) -> bool {
        let Some(permit) = self.0.take() else {
            return false;
        };
        gust_task::spawn("a full function", async move {
            tokio::time::sleep(pause).await;
            drop(permit);
        });
        true
    }
}

// === impl Delivery ===

impl Delivery {
    /// How long a delivery may take; `None` when the function is not deployed.
    pub(crate) fn patience(&self, dispatcher: &Dispatcher) -> Option<Duration> {
        let call = self.target.patience(dispatcher)?;
        Some(match self.once {
            Some(_) => Once::patience(call),
            None => call,
        })
    }
}

// === impl Tally ===

impl Tally {
    /// One that counts into the whole as well.
    pub(crate) fn part_of(whole: Arc<Tally>) -> Self {
        Self {
            whole: Some(whole),
            ..Self::default()
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            in_flight: self.in_flight.load(Relaxed),
            done: self.done.load(Relaxed),
            retried: self.retried.load(Relaxed),
            refused: self.refused.load(Relaxed),
            dead: self.dead.load(Relaxed),
        }
    }

    /// Events are with their function from now on.
    pub(crate) fn began(&self, count: u64) {
        self.in_flight.fetch_add(count, Relaxed);
        if let Some(whole) = &self.whole {
            whole.began(count);
        }
    }

    /// They are no more.
    pub(crate) fn ended(&self, count: u64) {
        self.in_flight.fetch_sub(count, Relaxed);
        if let Some(whole) = &self.whole {
            whole.ended(count);
        }
    }

    pub(crate) fn count(&self, verdict: &Verdict) {
        let counter = match verdict {
            Verdict::Done => &self.done,
            Verdict::Again(_) | Verdict::Extend(_) => &self.retried,
            Verdict::Back(_) => &self.refused,
            Verdict::Dead(_) => &self.dead,
        };
        counter.fetch_add(1, Relaxed);
        if let Some(whole) = &self.whole {
            whole.count(verdict);
        }
    }
}

// === impl EventWork ===

#[async_trait]
impl Work for EventWork {
    fn patience(&self) -> Duration {
        self.way.patience(&self.dispatcher)
    }

    async fn ready(&self) {
        self.way.ready().await;
    }

    /// One call. A batch has one way, so what comes together goes together.
    async fn handle(&self, batch: Vec<Taken>) -> Handled {
        let mut handled = Handled::default();
        let mut held = Vec::new();
        for taken in batch {
            let receipt = taken.receipt;
            match self.hold(taken) {
                Ok(one) => held.push(one),
                Err(verdict) => handled.verdicts.push((receipt, verdict)),
            }
        }
        let Some(first) = held.first() else {
            return handled;
        };
        let (delivery, count) = (first.delivery.clone(), held.len() as u64);
        delivery.tally.began(count);
        let mut over = Vec::new();
        let meanings = self.call(&delivery, &held).await;
        for (mut held, meaning) in held.into_iter().zip(meanings) {
            if let Meaning::NotTried(after) = &meaning {
                let pause = QUIET.min(*after);
                handled.pause = (!held.place.rest(pause)).then_some(pause);
            }
            let settled = matches!(meaning, Meaning::Committed | Meaning::Lost);
            let verdict = verdict(&delivery.retry, &held.taken, meaning);
            delivery.tally.count(&verdict);
            if matches!(verdict, Verdict::Done | Verdict::Dead(_)) {
                over.push(held.event);
            }
            if !settled {
                handled.verdicts.push((held.taken.receipt, verdict));
            }
        }
        delivery.tally.ended(count);
        let way = self.way.clone();
        handled.then = Some(Box::new(move || {
            over.iter().for_each(|event| way.ended(event));
        }));
        handled
    }
}

impl EventWork {
    /// Calls the function with these events together; one by one when they are too large together.
    async fn call(&self, delivery: &Delivery, held: &[Held]) -> Vec<Meaning> {
        if let Some(meanings) = self.together(delivery, held).await {
            return meanings;
        }
        let (begun, mut meanings) = (clock::now(), Vec::with_capacity(held.len()));
        for held in held {
            // The messages are held as long as one call may take, and a little longer.
            if begun.elapsed() > ONE_BY_ONE {
                meanings.push(Meaning::NotTried(Duration::ZERO));
                continue;
            }
            let alone = self.together(delivery, std::slice::from_ref(held)).await;
            meanings.extend(alone.unwrap_or_default());
        }
        meanings
    }

    /// One call. `None` when the events are too large together; one alone never is.
    async fn together(&self, delivery: &Delivery, held: &[Held]) -> Option<Vec<Meaning>> {
        let dispatcher = &self.dispatcher;
        if let Some(once) = &delivery.once {
            return once.deliver(&self.queue, delivery, held).await;
        }
        let events: Vec<_> = held.iter().map(|held| held.event.clone()).collect();
        let ended = delivery.target.call(dispatcher, &events, None).await;
        if events.len() > 1 && matches!(ended, Ended::TooLarge) {
            return None;
        }
        Some(after(delivery, held, &events, ended).await)
    }

    fn hold(&self, taken: Taken) -> Result<Held, Verdict> {
        let unreadable =
            |error: Error| Verdict::Dead(format!("the message is no event: {}", error.chain()));
        let mut event = message::read(&self.queue, &taken).map_err(unreadable)?;
        let attempt = i32::try_from(taken.receipt.attempt).unwrap_or(i32::MAX);
        event.set(ATTEMPT, attempt).map_err(unreadable)?;
        let age_us = clock::unix_micros().saturating_sub(taken.published_us);
        let age = Duration::from_micros(age_us);
        let nowhere = |why| match why {
            Nowhere::Gone => Verdict::Dead("nobody is there to take it any more".to_owned()),
            // As long again as half of what it has waited: a backlog is not looked at all the time.
            Nowhere::NotNow => Verdict::Back((age / 2).clamp(SOON, QUIET)),
        };
        let (delivery, place) = self.way.of(&event).map_err(nowhere)?;
        Ok(Held {
            taken,
            event,
            delivery,
            place,
        })
    }
}

/// What came of a call, once what the function answered is kept where it belongs.
async fn after(delivery: &Delivery, held: &[Held], events: &[Event], ended: Ended) -> Vec<Meaning> {
    let meanings = ended.meanings(events);
    let fate = match (reply(delivery, held, &ended), &delivery.replies) {
        (Ok(Some(publication)), Some(replies)) => replies.publish(publication).await,
        (Ok(_), _) => return meanings,
        (Err(fate), _) => Err(fate),
    };
    let Err(fate) = fate else {
        return meanings;
    };
    let meaning = match fate {
        Fate::Failed(why) => Meaning::failed(why),
        Fate::Dead(why) => Meaning::Hopeless(why),
    };
    let failed = |of: Meaning| if of.is_done() { meaning.clone() } else { of };
    meanings.into_iter().map(failed).collect()
}

/// What is to be published of what the function answered.
pub(super) fn reply(
    delivery: &Delivery,
    held: &[Held],
    ended: &Ended,
) -> Result<Option<Publication>, Fate> {
    let (Some(replies), Ended::Answered(answered)) = (&delivery.replies, ended) else {
        return Ok(None);
    };
    if !answered.status.is_success() {
        return Ok(None);
    }
    let delivered: Vec<_> = held
        .iter()
        .map(|held| Delivered {
            message: held.taken.receipt.id,
            event: &held.event,
        })
        .collect();
    replies.read(&delivered, answered)
}

fn verdict(policy: &RetryPolicy, taken: &Taken, meaning: Meaning) -> Verdict {
    let (ended, retry_after, cause) = match meaning {
        Meaning::NotTried(after) => return Verdict::Back(after.min(QUIET)),
        Meaning::Hopeless(cause) => return Verdict::Dead(cause),
        Meaning::Committed => return Verdict::Done,
        Meaning::Lost => return Verdict::Again(Duration::ZERO),
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
