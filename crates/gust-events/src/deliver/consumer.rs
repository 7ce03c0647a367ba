//! A consumer: takes messages as fast as its work may be done, and settles each by what came of it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use gust_backend::queue::{Queue, Receipt, TakeOptions, Taken, Verdict};
use gust_task::Stop;
use gust_types::{Label, Result};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

/// How long one look into the queue waits for a message.
const LOOK: Duration = Duration::from_secs(600);
/// After a look that failed.
const REST: Duration = Duration::from_secs(1);
/// Batches at once, and messages of one batch, whatever was asked for.
const CONCURRENCY: usize = 10_000;
const BATCH: usize = 1000;
/// What a message is the consumer's longer than its work may take: for the settling.
pub(super) const MARGIN: Duration = Duration::from_secs(30);

/// Takes from one queue.
pub(crate) struct Consumer {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) name: Label,
    pub(crate) work: Arc<dyn Work>,
    /// Messages handled together.
    pub(crate) batch: usize,
    /// Batches handled at once.
    pub(crate) concurrency: usize,
    /// Whether what a node that is gone had taken was released.
    pub(crate) released: Arc<OnceCell<()>>,
}

/// What is done with messages.
#[async_trait]
pub(crate) trait Work: Send + Sync {
    /// How long it may take with one batch.
    fn patience(&self) -> Duration;
    /// Returns when it may begin with what was taken, which is soon.
    async fn ready(&self) {}
    /// Does it with messages that were taken together.
    async fn handle(&self, batch: Vec<Taken>) -> Handled;
}

/// What came of a batch.
#[derive(Default)]
pub(crate) struct Handled {
    /// What is to become of each message.
    pub(crate) verdicts: Vec<(Receipt, Verdict)>,
    /// For how long the batch's place is kept empty: otherwise a whole queue would be refused one by one.
    pub(crate) pause: Option<Duration>,
    /// Done once the verdicts are settled, or could not be.
    pub(crate) then: Option<Box<dyn FnOnce() + Send>>,
}

// === impl Consumer ===

impl Consumer {
    /// Takes and delivers until `stop`, then waits for what is under way.
    pub(crate) async fn run(self: Arc<Self>, stop: Stop) {
        let slots = Arc::new(Semaphore::new(self.concurrency()));
        // Once for each queue, and before anybody takes from it.
        self.released.get_or_init(|| self.release()).await;
        loop {
            let Some(places) = free(&slots, &stop).await else {
                break;
            };
            let options = TakeOptions {
                most: places.num_permits() * self.batch(),
                visibility: Some(self.work.patience() + MARGIN),
                wait: LOOK,
            };
            let taken = tokio::select! {
                taken = self.queue.take(options) => taken,
                // What a look takes that is cut short here, the queue puts back.
                () = stop.stopped() => break,
            };
            match taken {
                Ok(taken) => {
                    self.work.ready().await;
                    self.hand_out(taken, places, &stop);
                }
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
        let _ = slots.acquire_many(self.concurrency() as u32).await;
    }

    /// Deploys are checked; this holds for what was deployed before they were.
    fn concurrency(&self) -> usize {
        self.concurrency.clamp(1, CONCURRENCY)
    }

    fn batch(&self) -> usize {
        self.batch.clamp(1, BATCH)
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
        taken: Vec<Taken>,
        mut places: OwnedSemaphorePermit,
        stop: &Stop,
    ) {
        let mut taken = taken.into_iter();
        loop {
            let batch: Vec<_> = taken.by_ref().take(self.batch()).collect();
            if batch.is_empty() {
                return;
            }
            let place = places.split(1);
            let (consumer, stop) = (self.clone(), stop.clone());
            gust_task::spawn("deliver", async move {
                let handled = consumer.work.handle(batch).await;
                consumer.settle(handled.verdicts).await;
                if let Some(then) = handled.then {
                    then();
                }
                if let Some(pause) = handled.pause {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.stopped() => {}
                    }
                }
                drop(place);
            });
        }
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

/// Every place that is free, as soon as there is one; `None` when it is time to stop.
async fn free(slots: &Arc<Semaphore>, stop: &Stop) -> Option<OwnedSemaphorePermit> {
    let mut places = tokio::select! {
        place = slots.clone().acquire_owned() => place.ok()?,
        () = stop.stopped() => return None,
    };
    // Calls that end together are answered together.
    tokio::task::yield_now().await;
    let more = u32::try_from(slots.available_permits()).unwrap_or(u32::MAX);
    // Nobody else takes any, so that these are there.
    if let Ok(more) = slots.clone().try_acquire_many_owned(more) {
        places.merge(more);
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use gust_backend::queue::{Message, QueueSettings, memory::MemoryQueue};
    use parking_lot::Mutex;

    use super::*;

    /// Notes the sizes of the batches it gets.
    #[derive(Default)]
    struct Sizes(Mutex<Vec<usize>>);

    #[async_trait]
    impl Work for Sizes {
        fn patience(&self) -> Duration {
            Duration::from_secs(1)
        }

        async fn handle(&self, batch: Vec<Taken>) -> Handled {
            self.0.lock().push(batch.len());
            let done = batch.iter().map(|taken| (taken.receipt, Verdict::Done));
            Handled {
                verdicts: done.collect(),
                ..Handled::default()
            }
        }
    }

    #[tokio::test]
    async fn what_no_deploy_would_take_is_served_within_bounds() {
        for (batch, concurrency) in [(0, 0), (usize::MAX, u32::MAX as usize)] {
            let queue = Arc::new(MemoryQueue::new(QueueSettings::default()));
            let messages = vec![Message::new("一"), Message::new("二")];
            queue.publish(messages).await.unwrap();
            let work = Arc::<Sizes>::default();
            let consumer = Arc::new(Consumer {
                queue: queue.clone(),
                name: Label::new("q").unwrap(),
                work: work.clone(),
                batch,
                concurrency,
                released: Arc::default(),
            });
            let stop = Stop::new();
            let running = gust_task::spawn("consumer", consumer.run(stop.clone()));
            while queue.stats().await.unwrap().messages > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            stop.stop();
            running.await.unwrap().unwrap();
            let sizes: HashSet<_> = work.0.lock().iter().copied().collect();
            assert_eq!(sizes, HashSet::from([if batch == 0 { 1 } else { 2 }]));
        }
    }
}
