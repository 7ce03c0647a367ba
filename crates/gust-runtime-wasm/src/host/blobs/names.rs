//! The names of a bucket's objects, a page in hand at a time.

use std::{collections::VecDeque, sync::Arc};

use gust_backend::blob::{Bucket, ListOptions};

use super::{Refusal, places};
use crate::host::{View, kv::LISTED_BYTES, open::Place};

/// Listings that a copy may have open.
const MAX_LISTINGS: u32 = 16;
/// Names in hand.
const PAGE: usize = 256;

/// A listing under way. Names come in byte order.
#[expect(unreachable_pub, reason = "named in generated code")]
pub struct Names {
    bucket: Arc<dyn Bucket>,
    page: VecDeque<String>,
    /// Where the next page begins.
    after: Option<String>,
    /// There is no next page.
    last: bool,
    _place: Place,
}

// === impl Names ===

impl Names {
    /// Nothing is read yet.
    pub(crate) fn new(view: &View<'_>, bucket: Arc<dyn Bucket>) -> Result<Self, Refusal> {
        let place = places(view).listings.take(MAX_LISTINGS);
        let place = place.ok_or_else(|| {
            let text = format!("the instance has more listings open than it may: {MAX_LISTINGS}");
            Refusal(text)
        })?;
        Ok(Self {
            bucket,
            page: VecDeque::new(),
            after: None,
            last: false,
            _place: place,
        })
    }

    /// Up to `most` names, as many as one answer carries, and whether these were the last.
    pub(crate) async fn read(&mut self, most: u64) -> Result<(Vec<String>, bool), Refusal> {
        let (mut names, mut bytes) = (Vec::new(), 0);
        while (names.len() as u64) < most
            && bytes < LISTED_BYTES
            && let Some(name) = self.next().await?
        {
            bytes += name.len() + size_of::<String>();
            names.push(name);
        }
        Ok((names, self.is_over()))
    }

    /// Passes over up to `most` names: how many, and whether these were the last.
    pub(crate) async fn skip(&mut self, most: u64) -> Result<(u64, bool), Refusal> {
        let mut skipped = 0;
        while skipped < most && self.next().await?.is_some() {
            skipped += 1;
        }
        Ok((skipped, self.is_over()))
    }

    async fn next(&mut self) -> Result<Option<String>, Refusal> {
        while self.page.is_empty() && !self.last {
            let options = ListOptions {
                after: self.after.take(),
                most: PAGE,
                ..ListOptions::default()
            };
            let page = self.bucket.list(options).await?;
            self.page = page.objects.into_iter().map(|(key, _)| key).collect();
            self.last = page.next.is_none();
            self.after = page.next;
        }
        Ok(self.page.pop_front())
    }

    fn is_over(&self) -> bool {
        self.last && self.page.is_empty()
    }
}
