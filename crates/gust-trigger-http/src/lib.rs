//! Events from a page that is asked for again and again: one when it has changed, or one for each new element of a list.
//!
//! What was seen is remembered in the inbox, after what is new is kept there: a crash in between brings it again under the
//! same key. Requests are conditional where the server gives something to ask with, and no more often than it asks for.
//!
//! Start with [`Http`], then `fetch.rs` (one answer), `items.rs` (its elements) and `seen.rs` (what is remembered).
#![warn(missing_docs)]

mod fetch;
mod items;
mod seen;
mod settings;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gust_task::{Stop, clock, ids};
use gust_trigger::{Context, Inbox, Incoming, Kind, Place, Source};
use gust_types::{Digest, Result};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

pub use settings::Settings;

use fetch::{Answer, Fresh, Page};
use seen::{Mark, Seen, Tags};

/// The kind of source.
pub struct Http;

/// What is remembered is confirmed this often, so that it is not forgotten.
const CONFIRM: Duration = Duration::from_secs(86_400);

/// A page that is asked for.
struct HttpSource {
    page: Page,
    every: Duration,
    items: Option<items::Items>,
    from: From,
    /// Which page and elements: what was remembered of others means nothing.
    of: String,
    /// The server is not asked again before, whoever runs this next.
    not_before: Mutex<Option<Instant>>,
}

/// What a new trigger begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum From {
    /// With the first change.
    #[default]
    End,
    /// With what is there.
    Start,
}

// === impl Http ===

impl Kind for Http {
    const KIND: &'static str = "http";
    type Settings = Settings;

    fn open(settings: Settings, context: Context) -> Result<Box<dyn Source>> {
        Ok(Box::new(settings.source(context)?))
    }
}

// === impl HttpSource ===

#[async_trait]
impl Source for HttpSource {
    async fn run(&self, to: &dyn Inbox, stop: Stop) -> Result<()> {
        tokio::select! {
            ended = self.watch(to) => ended,
            () = stop.stopped() => Ok(()),
        }
    }
}

impl HttpSource {
    /// Asks until something goes wrong. Dropped at any moment, it loses nothing: it is asked again.
    async fn watch(&self, to: &dyn Inbox) -> Result<()> {
        let wait = *self.not_before.lock();
        if let Some(until) = wait {
            sleep_until(until).await;
        }
        let remembered = to.remembered().await?;
        let mut seen = remembered.and_then(|memory| Seen::read(&memory, &self.of));
        let (mut connected, mut confirmed) = (false, clock::now());
        loop {
            let begun = Instant::now();
            let answer = self.page.fetch(seen.as_ref().map(|seen| &seen.tags)).await;
            let answer = answer.map_err(|failed| {
                let pause = failed.pause(self.every);
                *self.not_before.lock() = pause.map(|pause| begun + pause);
                failed.error
            })?;
            if !connected {
                to.connected();
                connected = true;
            }
            if let Answer::Fresh(fresh) = answer {
                // Asked again sooner, it would say the same.
                let found = self.found(&fresh).inspect_err(|_| {
                    *self.not_before.lock() = Some(begun + self.every);
                })?;
                seen = Some(
                    self.take(to, seen, fresh.tags, found, &mut confirmed)
                        .await?,
                );
            }
            if confirmed.elapsed() >= CONFIRM
                && let Some(seen) = &seen
            {
                to.remember(seen.written()).await?;
                confirmed = clock::now();
            }
            sleep(jittered(self.every).saturating_sub(begun.elapsed())).await;
        }
    }

    /// Keeps what is new in an answer, then remembers it.
    async fn take(
        &self,
        to: &dyn Inbox,
        before: Option<Seen>,
        tags: Tags,
        found: Vec<Found>,
        confirmed: &mut std::time::Instant,
    ) -> Result<Seen> {
        let silent = before.is_none() && self.from == From::End;
        let first = before.is_none();
        let mut seen = before.unwrap_or_else(|| Seen::new(&self.of));
        seen.tags = tags;
        let new: Vec<_> = match self.items {
            Some(_) => found.iter().filter(|one| !seen.has(one.mark)).collect(),
            // A page that is again what it was before the last change has changed too.
            None => found.iter().filter(|one| !seen.is_last(one.mark)).collect(),
        };
        let changed = !new.is_empty();
        if changed && !silent {
            let events = new.iter().map(|one| self.incoming(one, &seen));
            to.keep(events.collect()).await?;
        }
        seen.see(found.iter().map(|one| one.mark), changed);
        if changed || first {
            to.remember(seen.written()).await?;
            *confirmed = clock::now();
        }
        Ok(seen)
    }

    /// The elements of an answer, or all of it as one.
    fn found(&self, fresh: &Fresh) -> Result<Vec<Found>> {
        let Some(items) = &self.items else {
            let mark = Mark::of(&fresh.bytes);
            return Ok(vec![Found {
                mark,
                id: None,
                media: fresh.media.clone(),
                bytes: fresh.bytes.clone(),
            }]);
        };
        items.read(&fresh.bytes)
    }

    fn incoming(&self, one: &Found, seen: &Seen) -> Incoming {
        let place = Place {
            kind: Http::KIND,
            peer: &self.page.peer,
            name: &self.page.peer.path,
        };
        // The same page may come back: then it is another change.
        let change = match self.items {
            Some(_) => 0,
            None => seen.changes + 1,
        };
        let of = self.of.get(..16).unwrap_or(&self.of);
        let key = format!("{of}/{change}/{}", one.mark);
        let id = one.id.clone().unwrap_or_else(|| match change {
            0 => one.mark.to_string(),
            change => format!("{change}-{}", one.mark),
        });
        let event = place.event(Some(&id), one.media.as_deref(), one.bytes.clone());
        place.incoming(key, event)
    }
}

/// Something in an answer that may become an event.
pub(crate) struct Found {
    pub(crate) mark: Mark,
    pub(crate) id: Option<String>,
    pub(crate) media: Option<String>,
    pub(crate) bytes: Bytes,
}

/// Up to a tenth less: pages that were asked for together are not for ever.
fn jittered(every: Duration) -> Duration {
    let share = (ids::random_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    every.mul_f64(1.0 - share / 10.0)
}

/// Which page and elements these settings name.
pub(crate) fn of(parts: &[&str]) -> String {
    Digest::of(parts.join("\n").as_bytes()).hex()
}

#[cfg(test)]
mod tests;
