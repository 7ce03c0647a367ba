//! A pump: takes what a trigger wants out of its topic into the trigger's inbox, and never anything twice.
//!
//! It reads behind its subscription's cursor, asks the filter, and moves the cursor and publishes in one step. From the
//! inbox on, events are delivered like the messages of any queue. It waits for publishers without asking again and again,
//! and for its consumer while the inbox is full.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use gust_backend::{
    desk::Progress,
    queue::{Message, Queue, QueueSettings},
    topic::{Forward, Logged, Position, ReadOptions, Start, Subscription, Topic},
};
use gust_task::{Stop, clock};
use gust_types::{Event, Kind, Label, Result, trigger::Beginning};

use crate::{filter::Filter, message, triggers::Key};

/// Events read at once.
const PAGE: usize = 500;
/// How long one look into the topic waits for an event.
const LOOK: Duration = Duration::from_secs(600);
/// After a step that failed.
const REST: Duration = Duration::from_secs(1);
/// Messages, and bytes of them, that the inbox holds before it gets no more; it gets more below half of that.
const FULL: u64 = 4000;
const FULL_BYTES: u64 = 64 << 20;
/// How often it is said that a filter fails, in microseconds.
const TOLD: u64 = 3_600_000_000;
/// How often a full inbox is looked at.
const DRAINING: Duration = Duration::from_millis(50);

/// Takes from one topic for one trigger.
pub(crate) struct Pump {
    pub(crate) key: Key,
    pub(crate) topic: Arc<dyn Topic>,
    pub(crate) from: Beginning,
    pub(crate) filter: Filter,
    /// The trigger's inbox.
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) inbox: Label,
    pub(crate) settings: QueueSettings,
    pub(crate) pace: Arc<Pace>,
}

/// How a pump keeps up.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    lag: AtomicU64,
    missed: AtomicU64,
    /// When it was said last that the filter fails.
    told_us: AtomicU64,
}

/// Where a new subscription begins.
pub(super) fn start(from: Beginning) -> Start {
    match from {
        Beginning::Latest => Start::Latest,
        Beginning::Earliest => Start::Earliest,
    }
}

// === impl Pace ===

impl Pace {
    pub(crate) fn progress(&self) -> Progress {
        Progress {
            lag: self.lag.load(Relaxed),
            missed: self.missed.load(Relaxed),
        }
    }
}

// === impl Pump ===

impl Pump {
    /// Pumps until `stop`.
    pub(crate) async fn run(&self, stop: &Stop) {
        while !stop.is_stopped() {
            let pumped = tokio::select! {
                pumped = self.pump() => pumped,
                () = stop.stopped() => return,
            };
            if let Err(error) = pumped {
                let Key { project, app, name } = &self.key;
                tracing::warn!(%project, %app, trigger = %name, error = error.chain(), "a trigger cannot take from its topic");
            }
            tokio::select! {
                () = tokio::time::sleep(REST) => {}
                () = stop.stopped() => return,
            }
        }
    }

    /// Dropped at any point it has done a step or has not.
    async fn pump(&self) -> Result<()> {
        let mut cursor = self.cursor().await?;
        loop {
            self.wait_for_room(cursor).await?;
            let options = ReadOptions {
                after: cursor,
                most: PAGE,
                wait: LOOK,
            };
            let page = self.topic.read(options).await?;
            if page.is_empty() {
                // Nothing for long, or somebody has moved the cursor.
                cursor = self.cursor().await?;
                continue;
            }
            let step = self.step(cursor, page);
            let to = step.to;
            let missed = step.missed;
            match self.topic.forward(step).await {
                Ok(()) => {
                    cursor = to;
                    self.pace.missed.fetch_add(missed, Relaxed);
                    self.note(cursor).await?;
                }
                Err(error) if matches!(error.kind, Kind::Conflict | Kind::NotFound) => {
                    cursor = self.cursor().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn cursor(&self) -> Result<Position> {
        let subscription = self
            .topic
            .subscribe(&self.key.subscription(), start(self.from))
            .await?;
        self.pace.lag.store(subscription.lag, Relaxed);
        self.pace.missed.store(subscription.missed, Relaxed);
        Ok(subscription.cursor)
    }

    async fn note(&self, cursor: Position) -> Result<()> {
        let lag = Subscription::lag(cursor, &self.topic.stats().await?);
        self.pace.lag.store(lag, Relaxed);
        Ok(())
    }

    /// What this page comes to: as much of it as goes into a queue at once.
    fn step(&self, from: Position, page: Vec<Logged>) -> Forward {
        let first = page.first().map_or(from, |first| first.position);
        let missed = first.0.saturating_sub(from.0 + 1);
        if missed > 0 {
            let Key { project, app, name } = &self.key;
            tracing::warn!(%project, %app, trigger = %name, missed, "a trigger fell behind what its topic keeps");
        }
        let most = self.topic.limits().batch_bytes;
        let (mut to, mut messages, mut bytes) = (from, Vec::new(), 0);
        for logged in page {
            if self.wants(&logged) {
                bytes += logged.message.size();
                if bytes > most && !messages.is_empty() {
                    break;
                }
                messages.push(Message {
                    // A replay brings it again.
                    key: None,
                    ..logged.message
                });
            }
            to = logged.position;
        }
        Forward {
            name: self.key.subscription(),
            from,
            to,
            missed,
            messages,
            queue: self.inbox.clone(),
            settings: self.settings.clone(),
        }
    }

    fn wants(&self, logged: &Logged) -> bool {
        match message::event(&logged.message) {
            Ok(event) => {
                let wanted = self.filter.matches(&event);
                if !wanted {
                    self.tell_fault(&event);
                }
                wanted
            }
            Err(error) => {
                let position = logged.position.0;
                tracing::error!(
                    position,
                    error = error.chain(),
                    "a topic keeps what is no event"
                );
                false
            }
        }
    }

    /// Says why a filter could not be asked, though not each time: by the specification such an event is not wanted.
    fn tell_fault(&self, event: &Event) {
        let now_us = clock::unix_micros();
        if now_us < self.pace.told_us.load(Relaxed).saturating_add(TOLD) {
            return;
        }
        let Some(fault) = self.filter.fault(event) else {
            return;
        };
        self.pace.told_us.store(now_us, Relaxed);
        let (Key { project, app, name }, id) = (&self.key, event.id());
        tracing::warn!(%project, %app, trigger = %name, id, fault, "a trigger's filter fails on an event, which is left out");
    }

    async fn wait_for_room(&self, cursor: Position) -> Result<()> {
        let (mut most, mut bytes) = (FULL, FULL_BYTES);
        loop {
            let held = self.queue.stats().await?;
            if held.messages < most && held.bytes < bytes {
                return Ok(());
            }
            (most, bytes) = (FULL / 2, FULL_BYTES / 2);
            self.note(cursor).await?;
            tokio::time::sleep(DRAINING).await;
        }
    }
}
