//! Objects in memory, for tests and for those who need no more.

use std::{collections::BTreeMap, ops::Bound};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use gust_task::clock;
use gust_types::Result;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::{
    BlobLimits, Body, Bucket, Condition, Found, GetOptions, Got, ListOptions, Object, Page,
    PutOptions, check,
};

/// A bucket in memory.
#[derive(Default)]
pub struct MemoryBucket {
    objects: Mutex<BTreeMap<String, Kept>>,
    versions: std::sync::atomic::AtomicU64,
    limits: BlobLimits,
}

#[derive(Clone)]
struct Kept {
    object: Object,
    /// As they came.
    chunks: Vec<Bytes>,
}

#[async_trait]
impl Bucket for MemoryBucket {
    async fn put(&self, key: &str, mut body: Body, options: PutOptions) -> Result<Object> {
        check::key(key, &self.limits)?;
        check::put(&options, &self.limits)?;
        check::condition(key, &options.condition, self.head(key).await?.as_ref())?;
        let (mut chunks, mut size, mut hash) = (Vec::new(), 0u64, Sha256::new());
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            size += chunk.len() as u64;
            check::coming(size, options.size, &self.limits)?;
            hash.update(&chunk);
            chunks.push(chunk);
        }
        let sha256 = hash.finalize();
        check::announced(&options, size, &sha256)?;
        let mut objects = self.objects.lock();
        let there = objects.get(key).map(|kept| &kept.object);
        check::condition(key, &options.condition, there)?;
        let version = self
            .versions
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let object = Object {
            size,
            etag: sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            version: version.to_string(),
            content_type: options
                .content_type
                .unwrap_or_else(|| check::BYTES.to_owned()),
            metadata: options.metadata,
            modified_us: clock::unix_micros(),
        };
        let kept = Kept {
            object: object.clone(),
            chunks,
        };
        objects.insert(key.to_owned(), kept);
        Ok(object)
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<Got> {
        check::key(key, &self.limits)?;
        let Some(kept) = self.objects.lock().get(key).cloned() else {
            return Ok(Got::Absent);
        };
        if let Some(got) = check::get(key, &options, &kept.object)? {
            return Ok(got);
        }
        let size = kept.object.size;
        let range = match options.range {
            None => 0..size,
            Some(range) => match range.of(size) {
                Some(range) => range,
                None => return Ok(Got::OutOfRange(kept.object)),
            },
        };
        let (wanted, mut at) = (range.clone(), 0);
        let cut = move |chunk: Bytes| {
            let (from, to) = (at, at + chunk.len() as u64);
            at = to;
            let (from, to) = (
                from.max(wanted.start) - from,
                to.min(wanted.end).max(from) - from,
            );
            (from < to).then(|| Ok(chunk.slice(from as usize..to as usize)))
        };
        Ok(Got::Found(Found {
            object: kept.object,
            range,
            body: stream::iter(kept.chunks.into_iter().filter_map(cut)).boxed(),
        }))
    }

    async fn head(&self, key: &str) -> Result<Option<Object>> {
        check::key(key, &self.limits)?;
        let objects = self.objects.lock();
        Ok(objects.get(key).map(|kept| kept.object.clone()))
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<Option<Object>> {
        check::key(key, &self.limits)?;
        let mut objects = self.objects.lock();
        let there = objects.get(key).map(|kept| &kept.object);
        check::condition(key, &condition, there)?;
        Ok(objects.remove(key).map(|kept| kept.object))
    }

    async fn list(&self, options: ListOptions) -> Result<Page> {
        let most = check::most(&options, &self.limits);
        let objects = self.objects.lock();
        let start = match options.after.as_deref() {
            Some(after) if after > options.prefix.as_str() => Bound::Excluded(after),
            _ => Bound::Included(options.prefix.as_str()),
        };
        let mut page = Page::default();
        let mut last = None;
        let range = objects.range::<str, _>((start, Bound::Unbounded));
        for (key, kept) in range.take_while(|(key, _)| key.starts_with(&options.prefix)) {
            let folded = check::folded(key, &options);
            let seen = folded.is_some() && folded == page.prefixes.last().map(String::as_str);
            if seen || !check::is_behind(key, &options) {
                continue;
            }
            if page.objects.len() + page.prefixes.len() == most {
                page.next = last;
                break;
            }
            last = Some(folded.unwrap_or(key).to_owned());
            match folded {
                Some(folded) => page.prefixes.push(folded.to_owned()),
                None => page.objects.push((key.clone(), kept.object.clone())),
            }
        }
        Ok(page)
    }

    fn limits(&self) -> BlobLimits {
        self.limits
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn passes_the_suite() {
        let make = async || Arc::new(MemoryBucket::default()) as Arc<dyn Bucket>;
        crate::blob::suite::run(make).await;
    }
}
