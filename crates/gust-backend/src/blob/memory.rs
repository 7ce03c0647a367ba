//! Objects in memory, for tests and for those who need no more.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use gust_task::clock;
use gust_types::{Label, Result};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::{
    BlobLimits, Body, Bucket, BucketInfo, Chosen, CompleteOptions, Condition, Found, GetOptions,
    Got, ListOptions, Object, Page, Part, PartOptions, Parts, PutOptions, Upload, UploadOptions,
    Uploads, UploadsOptions, UploadsPage, check,
};

/// A bucket in memory.
#[derive(Default)]
pub struct MemoryBucket {
    objects: Mutex<BTreeMap<String, Kept>>,
    /// By key and id.
    uploads: Mutex<BTreeMap<(String, String), Coming>>,
    /// When it came to be; 0 while it is not there.
    made_us: AtomicU64,
    versions: AtomicU64,
    limits: BlobLimits,
}

#[derive(Clone)]
struct Kept {
    object: Object,
    /// As they came.
    chunks: Vec<Bytes>,
}

/// An object that comes in parts.
struct Coming {
    upload: Upload,
    parts: BTreeMap<u16, (Part, Vec<Bytes>)>,
}

/// Bytes that have all come.
struct Whole {
    chunks: Vec<Bytes>,
    size: u64,
    sha256: [u8; 32],
}

// === impl MemoryBucket ===

impl MemoryBucket {
    /// What it is, if it is there.
    pub fn info(&self) -> Option<BucketInfo> {
        let made_us = self.made_us.load(Relaxed);
        (made_us > 0).then_some(BucketInfo { made_us })
    }

    /// Makes it; answers whether it was not there.
    pub fn make(&self) -> bool {
        let now_us = clock::unix_micros();
        let made = self.made_us.compare_exchange(0, now_us, Relaxed, Relaxed);
        made.is_ok()
    }

    /// Makes it not be there; answers whether it was.
    pub fn unmake(&self, name: &Label) -> Result<bool> {
        let (objects, uploads) = (self.objects.lock(), self.uploads.lock());
        if !objects.is_empty() || !uploads.is_empty() {
            return Err(check::not_empty(name.as_str()));
        }
        Ok(self.made_us.swap(0, Relaxed) > 0)
    }

    async fn all(&self, mut body: Body, size: Option<u64>) -> Result<Whole> {
        let (mut chunks, mut came, mut hash) = (Vec::new(), 0u64, Sha256::new());
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            came += chunk.len() as u64;
            check::coming(came, size, &self.limits)?;
            hash.update(&chunk);
            chunks.push(chunk);
        }
        Ok(Whole {
            chunks,
            size: came,
            sha256: hash.finalize().into(),
        })
    }

    fn version(&self) -> String {
        self.versions.fetch_add(1, Relaxed).to_string()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[async_trait]
impl Bucket for MemoryBucket {
    async fn put(&self, key: &str, body: Body, options: PutOptions) -> Result<Object> {
        check::key(key, &self.limits)?;
        check::put(&options, &self.limits)?;
        check::condition(key, &options.condition, self.head(key).await?.as_ref())?;
        let whole = self.all(body, options.size).await?;
        check::announced(&options, whole.size, &whole.sha256)?;
        let mut objects = self.objects.lock();
        let there = objects.get(key).map(|kept| &kept.object);
        check::condition(key, &options.condition, there)?;
        self.make();
        let found = options.found.get().cloned().unwrap_or_default();
        let object = Object {
            size: whole.size,
            etag: found.etag.unwrap_or_else(|| hex(&whole.sha256)),
            version: self.version(),
            content_type: options
                .content_type
                .unwrap_or_else(|| check::BYTES.to_owned()),
            metadata: options.metadata,
            headers: options.headers,
            checksums: found.checksums,
            modified_us: clock::unix_micros(),
        };
        let kept = Kept {
            object: object.clone(),
            chunks: whole.chunks,
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

#[async_trait]
impl Uploads for MemoryBucket {
    async fn begin(&self, key: &str, options: UploadOptions) -> Result<Upload> {
        check::key(key, &self.limits)?;
        check::upload(&options, &self.limits)?;
        let mut uploads = self.uploads.lock();
        check::one_more_upload(uploads.len(), &self.limits)?;
        self.make();
        let upload = Upload {
            key: key.to_owned(),
            id: gust_task::ids::call_id().to_string(),
            begun_us: clock::unix_micros(),
            options,
        };
        let coming = Coming {
            upload: upload.clone(),
            parts: BTreeMap::new(),
        };
        uploads.insert((key.to_owned(), upload.id.clone()), coming);
        Ok(upload)
    }

    async fn put_part(
        &self,
        key: &str,
        id: &str,
        number: u16,
        body: Body,
        options: PartOptions,
    ) -> Result<Part> {
        check::number(number, &self.limits)?;
        let of = (key.to_owned(), id.to_owned());
        if !self.uploads.lock().contains_key(&of) {
            return Err(check::no_upload(key));
        }
        let whole = self.all(body, options.size).await?;
        let announced = PutOptions {
            size: options.size,
            found: options.found.clone(),
            ..PutOptions::default()
        };
        check::announced(&announced, whole.size, &whole.sha256)?;
        let found = options.found.get().cloned().unwrap_or_default();
        let part = Part {
            number,
            size: whole.size,
            etag: found.etag.unwrap_or_else(|| hex(&whole.sha256)),
            checksums: found.checksums,
            modified_us: clock::unix_micros(),
        };
        let mut uploads = self.uploads.lock();
        let coming = uploads.get_mut(&of).ok_or_else(|| check::no_upload(key))?;
        coming.parts.insert(number, (part.clone(), whole.chunks));
        Ok(part)
    }

    async fn parts(&self, key: &str, id: &str, after: u16, most: usize) -> Result<Parts> {
        let uploads = self.uploads.lock();
        let coming = uploads.get(&(key.to_owned(), id.to_owned()));
        let coming = coming.ok_or_else(|| check::no_upload(key))?;
        let behind = coming.parts.range(after.saturating_add(1)..);
        let mut parts: Vec<_> = behind.map(|(_, (part, _))| part.clone()).collect();
        let more = parts.len() > most;
        parts.truncate(most);
        Ok(Parts {
            upload: coming.upload.clone(),
            next: parts.last().filter(|_| more).map(|part| part.number),
            parts,
        })
    }

    async fn complete(
        &self,
        key: &str,
        id: &str,
        parts: Vec<Chosen>,
        options: CompleteOptions,
    ) -> Result<Object> {
        check::chosen(&parts, &self.limits)?;
        check::findings(&options.found)?;
        let (mut objects, mut uploads) = (self.objects.lock(), self.uploads.lock());
        let of = (key.to_owned(), id.to_owned());
        let coming = uploads.get(&of).ok_or_else(|| check::no_upload(key))?;
        let (mut size, mut chunks) = (0, Vec::new());
        for chosen in &parts {
            let there = coming.parts.get(&chosen.number);
            check::came(chosen, there.map(|(part, _)| part))?;
            if let Some((part, bytes)) = there {
                size += part.size;
                chunks.extend(bytes.iter().cloned());
            }
        }
        check::fits(size, self.limits.whole)?;
        let there = objects.get(key).map(|kept| &kept.object);
        check::condition(key, &options.condition, there)?;
        let etags = parts.iter().map(|part| &*part.etag);
        let said = coming.upload.options.clone();
        let object = Object {
            size,
            etag: options
                .found
                .etag
                .unwrap_or_else(|| check::whole_etag(etags)),
            version: self.version(),
            content_type: said.content_type.unwrap_or_else(|| check::BYTES.to_owned()),
            metadata: said.metadata,
            headers: said.headers,
            checksums: options.found.checksums,
            modified_us: clock::unix_micros(),
        };
        let kept = Kept {
            object: object.clone(),
            chunks,
        };
        objects.insert(key.to_owned(), kept);
        uploads.remove(&of);
        Ok(object)
    }

    async fn abort(&self, key: &str, id: &str) -> Result<()> {
        let gone = self.uploads.lock().remove(&(key.to_owned(), id.to_owned()));
        gone.map(drop).ok_or_else(|| check::no_upload(key))
    }

    async fn list(&self, options: UploadsOptions) -> Result<UploadsPage> {
        let most = match options.most {
            0 => self.limits.page,
            most => most.min(self.limits.page),
        };
        let behind = |key: &str, id: &str| match &options.after {
            None => true,
            Some((after, None)) => key > after.as_str(),
            Some((after, Some(last))) => (key, id) > (after.as_str(), last.as_str()),
        };
        let uploads = self.uploads.lock();
        let wanted = uploads
            .iter()
            .filter(|((key, id), _)| key.starts_with(&options.prefix) && behind(key, id));
        let mut found: Vec<_> = wanted.map(|(_, coming)| coming.upload.clone()).collect();
        let more = found.len() > most;
        found.truncate(most);
        Ok(UploadsPage {
            uploads: found,
            more,
        })
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

    #[tokio::test]
    async fn passes_the_suites_of_uploads_and_of_buckets() {
        let backends = Arc::new(crate::unit::memory::MemoryBackends::default());
        crate::blob::suite::uploads(backends.clone()).await;
        crate::blob::suite::buckets(backends).await;
    }
}
