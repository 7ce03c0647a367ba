//! Feeds: what arrives at a node from a source outside goes into its trigger's inbox, and only then is it acknowledged.
//!
//! A feed runs its source and connects again when the connection is lost, after a wait that grows. While its inbox has no
//! room it brings nothing and acknowledges nothing. What it is doing is in its [`FeedState`].

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use gust_backend::{
    desk::FeedState,
    kv::{Kv, KvExt as _, PutOptions},
    queue::{Message, Queue, QueueLimits, check},
};
use gust_task::{Stop, clock, ids};
use gust_trigger::{Context, Dial, Inbox, Incoming, MEMORY, Provider, Source};
use gust_types::{
    Digest, Error, Result,
    deployment::Variables,
    trigger::{ExternalSettings, ExternalSpec},
};
use parking_lot::Mutex;

use crate::{message, triggers::Key};

/// The first wait before connecting again.
const FIRST: Duration = Duration::from_millis(250);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60);
/// A connection that held this long was a good one: the next wait is the first again.
const GOOD: Duration = Duration::from_secs(10);
/// What a source remembered and has not confirmed for so long is forgotten: its trigger is gone.
const FORGOTTEN: Duration = Duration::from_secs(30 * 86_400);
/// Between two attempts to keep what has no room.
const NO_ROOM: Duration = Duration::from_secs(1);

/// The kinds of sources that a node has, and how they reach their peers.
#[derive(Clone, Default)]
pub struct Sources {
    /// Each kind once.
    pub providers: Vec<Provider>,
    /// The rules for addresses.
    pub dial: Dial,
}

/// A feed.
pub(crate) struct Feed {
    key: Key,
    source: Arc<dyn Source>,
    inbox: Arc<Line>,
}

/// From a source into a queue.
struct Line {
    key: Key,
    queue: Arc<dyn Queue>,
    /// Where the sources of a project remember how far they are, each under its trigger's name.
    memory: Arc<dyn Kv>,
    state: Arc<Mutex<FeedState>>,
    stop: Stop,
}

/// Where a feed keeps what arrives, and what its source remembers.
pub(crate) struct Kept {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) memory: Arc<dyn Kv>,
}

// === impl Sources ===

impl Sources {
    /// Refuses settings that can never work, and those that show a secret.
    pub(crate) fn check(&self, external: &ExternalSpec, values: &Variables) -> Result<()> {
        external.check_secrets()?;
        let settings = external.filled(values)?;
        self.open(external, &settings, "check").map(drop)
    }

    /// A source with these settings, which have their variables filled in.
    fn open(
        &self,
        external: &ExternalSpec,
        settings: &ExternalSettings,
        identity: &str,
    ) -> Result<Box<dyn Source>> {
        let kind = external.kind.as_str();
        let provider = self.providers.iter().find(|p| p.kind() == kind);
        let Some(provider) = provider else {
            let known: Vec<_> = self.providers.iter().map(Provider::kind).collect();
            let error = Error::invalid(format!("this node has no triggers of the kind: {kind:?}"));
            return Err(error.hint(format!("it has: {}", known.join(", "))));
        };
        let context = Context {
            identity: identity.to_owned(),
            dial: self.dial.clone(),
        };
        provider.open(settings, context)
    }
}

// === impl Feed ===

impl Feed {
    /// A feed into this queue. It connects when it is run.
    pub(crate) fn open(
        sources: &Sources,
        key: &Key,
        external: &ExternalSpec,
        values: &Variables,
        kept: Kept,
        stop: Stop,
    ) -> Result<Self> {
        let identity = identity(key);
        let settings = external.filled(values)?;
        let source = sources.open(external, &settings, &identity)?;
        Ok(Self {
            key: key.clone(),
            source: source.into(),
            inbox: Arc::new(Line {
                key: key.clone(),
                queue: kept.queue,
                memory: kept.memory,
                state: Arc::new(Mutex::new(FeedState {
                    connected: false,
                    since_us: clock::unix_micros(),
                    error: None,
                })),
                stop,
            }),
        })
    }

    /// How it is doing.
    pub(crate) fn state(&self) -> Arc<Mutex<FeedState>> {
        self.inbox.state.clone()
    }

    /// Runs its source, and again, until it is stopped.
    pub(crate) async fn run(self) {
        let stop = self.inbox.stop.clone();
        let mut wait = FIRST;
        while !stop.is_stopped() {
            let begun = clock::now();
            let error = self.once(&stop).await;
            if stop.is_stopped() {
                break;
            }
            if self.inbox.lost(error) && begun.elapsed() >= GOOD {
                wait = FIRST;
            }
            tokio::select! {
                () = tokio::time::sleep(jittered(wait)) => {}
                () = stop.stopped() => {}
            }
            wait = (wait * 2).min(LONGEST);
        }
        self.inbox.state.lock().connected = false;
    }

    /// Why it ended.
    async fn once(&self, stop: &Stop) -> Error {
        let (source, inbox, stop) = (self.source.clone(), self.inbox.clone(), stop.clone());
        // A task of its own: a plug-in that panics is an error, and the feed goes on.
        let ran = gust_task::spawn("source", async move { source.run(&*inbox, stop).await });
        match ran.await {
            Ok(Some(Err(error))) => error,
            Ok(Some(Ok(()))) => Error::unavailable("the source ended"),
            _ => Error::internal(format!("the source of {} panicked", self.key.name)),
        }
    }
}

/// Between half the wait and the whole: what was cut off together does not come back together.
fn jittered(wait: Duration) -> Duration {
    let half = wait / 2;
    let share = (ids::random_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    half + half.mul_f64(share)
}

/// The same each time, and no other trigger's. Short: some brokers take few letters.
fn identity(key: &Key) -> String {
    let whole = format!("{}/{}/{}", key.project, key.app, key.name);
    let digest = Digest::of(whole.as_bytes()).to_string();
    let digest = digest.rsplit(':').next().unwrap_or_default();
    format!("gust-{}", digest.get(..16).unwrap_or(digest))
}

// === impl Line ===

#[async_trait]
impl Inbox for Line {
    async fn keep(&self, events: Vec<Incoming>) -> Result<()> {
        let limits = self.queue.limits();
        let mut batch = Vec::new();
        let mut bytes = 0;
        for incoming in events {
            let message = written(incoming);
            if let Err(error) = check::batch(std::slice::from_ref(&message), &limits) {
                self.give_up(error);
                continue;
            }
            if !fits(&batch, bytes, &message, &limits) {
                self.publish(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
            bytes += message.size();
            batch.push(message);
        }
        match batch.is_empty() {
            true => Ok(()),
            false => self.publish(batch).await,
        }
    }

    fn connected(&self) {
        let Key { project, app, name } = &self.key;
        tracing::info!(%project, %app, trigger = %name, "connected to its source");
        let mut state = self.state.lock();
        state.connected = true;
        state.since_us = clock::unix_micros();
    }

    async fn remembered(&self) -> Result<Option<Bytes>> {
        let found = self.memory.get(&self.key.subscription()).await?;
        Ok(found.map(|found| found.value))
    }

    async fn remember(&self, memory: Bytes) -> Result<()> {
        if memory.len() > MEMORY {
            return Err(Error::internal("a source remembers more than it may"));
        }
        let options = PutOptions {
            expires_us: Some(clock::unix_micros() + FORGOTTEN.as_micros() as u64),
            ..PutOptions::default()
        };
        let key = self.key.subscription();
        self.memory.put_with(&key, memory, options).await.map(drop)
    }
}

impl Line {
    /// Waits for room. What has arrived stays with whoever sent it meanwhile.
    async fn publish(&self, batch: Vec<Message>) -> Result<()> {
        loop {
            let Err(error) = self.queue.publish(batch.clone()).await else {
                return Ok(());
            };
            self.note(format!("nothing can be kept: {}", error.chain()));
            tokio::select! {
                () = tokio::time::sleep(NO_ROOM) => {}
                () = self.stop.stopped() => return Err(error),
            }
        }
    }

    /// An event that no queue would ever take: asked for again, it would stop all that come after it.
    fn give_up(&self, error: Error) {
        self.note(format!("an event was given up: {}", error.chain()));
    }

    /// The connection is lost. Whether there was one.
    fn lost(&self, error: Error) -> bool {
        self.note(error.chain());
        let mut state = self.state.lock();
        let was = std::mem::replace(&mut state.connected, false);
        if was {
            state.since_us = clock::unix_micros();
        }
        was
    }

    fn note(&self, error: String) {
        let Key { project, app, name } = &self.key;
        let now_us = clock::unix_micros();
        let before = self.state.lock().error.replace((error.clone(), now_us));
        if before.is_none_or(|(before, _)| before != error) {
            tracing::warn!(%project, %app, trigger = %name, error, "a source of events has a fault");
        }
    }
}

fn fits(batch: &[Message], bytes: usize, next: &Message, limits: &QueueLimits) -> bool {
    batch.len() < limits.batch && bytes + next.size() <= limits.batch_bytes
}

/// As the queue keeps it. A peer may have long names for its messages.
fn written(incoming: Incoming) -> Message {
    const LONG: usize = 200;
    let mut message = message::of_event(&incoming.event);
    message.key = incoming.key.map(|key| match key.len() > LONG {
        true => Digest::of(key.as_bytes()).to_string(),
        false => key,
    });
    message
}

#[cfg(test)]
mod tests;
