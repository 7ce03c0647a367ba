//! Buckets on this machine: what is known of objects, and small ones whole, in fjall; the bytes of larger ones in files.
//!
//! - `keys.rs`: how buckets lie in the tree.
//! - `ask.rs`, `group.rs`: what is asked, and what a group of requests comes to: pure but for reads.
//! - `events.rs`: what happened, as events for those who listen.
//! - `files.rs`: files on their way in, in their place, and read.
//! - `uploads.rs`: objects that come in parts.
//! - `tidy.rs`: removes files that nobody needs any more.
//!
//! An object exists from one commit on. Its file is on the disk before that, and a file is removed only after the commit
//! that ends its object; so whatever is cut off leaves at most a file too many, and it is known where to look for those.

pub(crate) mod ask;
mod events;
mod files;
pub(crate) mod group;
mod keys;
#[cfg(test)]
mod tests;
mod tidy;
mod uploads;

use std::{ops::Range, path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use gust_backend::blob::{
    self, BlobLimits, Body, Bucket, BucketInfo, Condition, Found, GetOptions, Got, ListOptions,
    Object, Page, PutOptions, check,
};
use gust_types::{Error, Label, ProjectName, Result};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::{
    ask::{Done, Op},
    files::{Files, Incoming, Pledged, Reading},
    keys::{BucketKey, Id, Piece, Record},
    tidy::Tidier,
};
use crate::{
    disk::Disk,
    store::{Committer, Engine, engine::Open},
};

/// Objects of so many bytes are committed with what is known of them; larger ones have a file.
pub(crate) const INLINE: usize = 16 << 10;
/// Bytes that are collected before they are written.
const BLOCK: usize = 256 << 10;
/// Objects on their way into files at once: each holds a block and an open file.
const AT_ONCE: usize = 512;
/// Buckets of a project.
const BUCKETS: usize = 1000;
/// Times an object is looked up that is overwritten again and again.
const LOOKS: usize = 16;

/// All buckets of a data folder.
pub(crate) struct Buckets(Arc<Shared>);

/// What all buckets share.
struct Shared {
    engine: Arc<Engine>,
    committer: Arc<Committer>,
    files: Arc<Files>,
    tidier: Tidier,
    writing: Arc<Semaphore>,
}

/// One bucket.
pub(crate) struct LocalBucket {
    shared: Arc<Shared>,
    key: BucketKey,
    limits: BlobLimits,
}

/// The bytes of an object on their way in: in memory as long as they are few.
struct Intake {
    shared: Arc<Shared>,
    announced: Option<u64>,
    limits: BlobLimits,
    waiting: BytesMut,
    /// So many bytes need no file; without it they have one in any case.
    inline: Option<usize>,
    file: Option<(Incoming, OwnedSemaphorePermit)>,
}

/// All bytes of an object, on the disk if they have a file.
struct Whole {
    size: u64,
    sha256: [u8; 32],
    content: Content,
}

enum Content {
    Inline(Bytes),
    File(Incoming),
}

/// Makes the error for bytes that are not what was put.
type Damaged = Arc<dyn Fn() -> Error + Send + Sync>;

// === impl Buckets ===

impl Buckets {
    pub(crate) fn open(
        folder: &Path,
        disk: Disk,
        engine: Arc<Engine>,
        committer: Arc<Committer>,
    ) -> Result<Self> {
        let files = Arc::new(Files::new(folder, disk));
        tidy::settle(&engine, &files)?;
        let tidier = Tidier::start(engine.clone(), committer.clone(), files.clone())?;
        Ok(Self(Arc::new(Shared {
            engine,
            committer,
            files,
            tidier,
            writing: Arc::new(Semaphore::new(AT_ONCE)),
        })))
    }

    pub(crate) fn bucket(&self, project: &ProjectName, name: &Label) -> LocalBucket {
        LocalBucket {
            shared: self.0.clone(),
            key: BucketKey::new(project, name),
            limits: BlobLimits::default(),
        }
    }

    /// The buckets of a project by name.
    pub(crate) fn names(&self, project: &ProjectName) -> Result<Vec<Label>> {
        let recovering = || Error::unavailable("the store is being recovered");
        let open = self.0.engine.try_get()?.ok_or_else(recovering)?;
        let (from, to) = keys::buckets(project);
        let mut names = Vec::new();
        for found in open.queue_range(&from, &to) {
            let (key, _) = found?;
            let name = key.get(from.len()..).unwrap_or_default();
            names.extend(
                std::str::from_utf8(name)
                    .ok()
                    .and_then(|n| Label::new(n).ok()),
            );
        }
        Ok(names)
    }

    /// The bucket of this name, if it is there.
    pub(crate) async fn info(
        &self,
        project: &ProjectName,
        name: &Label,
    ) -> Result<Option<BucketInfo>> {
        let open = self.0.engine.get().await?;
        let found = open.queued(&BucketKey::new(project, name).bucket())?;
        let damaged = |_| Error::internal("a stored bucket is damaged");
        let made_us = found.map(|at| <[u8; 8]>::try_from(&at[..]).map_err(damaged));
        Ok(made_us.transpose()?.map(|at| BucketInfo {
            made_us: u64::from_be_bytes(at),
        }))
    }

    /// Makes a bucket; answers whether it was not there.
    pub(crate) async fn make(&self, project: &ProjectName, name: &Label) -> Result<bool> {
        self.change(Op::Make(BucketKey::new(project, name))).await
    }

    /// Removes an empty bucket; answers whether it was there.
    pub(crate) async fn remove(&self, project: &ProjectName, name: &Label) -> Result<bool> {
        self.change(Op::Remove(BucketKey::new(project, name))).await
    }

    async fn change(&self, op: Op) -> Result<bool> {
        match self.0.committer.blob(op).await? {
            Done::Changed(changed) => Ok(changed),
            _ => Err(Error::internal("a bucket was answered with something else")),
        }
    }

    /// The tidier writes through the committer, so it ends first.
    pub(crate) fn stop(&self) {
        self.0.tidier.stop();
    }
}

// === impl LocalBucket ===

#[async_trait]
impl Bucket for LocalBucket {
    async fn put(&self, key: &str, body: Body, options: PutOptions) -> Result<Object> {
        check::key(key, &self.limits)?;
        check::put(&options, &self.limits)?;
        if options.condition != Condition::Always {
            check::condition(key, &options.condition, self.head(key).await?.as_ref())?;
        }
        let intake = Intake::new(self, options.size, Some(INLINE))?;
        let whole = intake.all(body, &options).await?;
        self.commit(key, whole, options).await
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<Got> {
        check::key(key, &self.limits)?;
        let mut version = None;
        for _ in 0..LOOKS {
            let Some(record) = self.record(key).await? else {
                return Ok(Got::Absent);
            };
            if let Some(got) = check::get(key, &options, &record.object)? {
                return Ok(got);
            }
            let size = record.object.size;
            let Some(range) = options.range.map_or(Some(0..size), |range| range.of(size)) else {
                return Ok(Got::OutOfRange(record.object));
            };
            if let Some(body) = self.content(key, &record, range.clone()).await? {
                let object = record.object;
                return Ok(Got::Found(Found {
                    object,
                    range,
                    body,
                }));
            }
            // Overwritten or deleted between the two looks; or, when it is the same once more, really not there.
            if version.as_ref() == Some(&record.object.version) {
                return Err(self.damaged(key)());
            }
            version = Some(record.object.version);
        }
        Err(Error::unavailable(format!(
            "object is overwritten again and again: {key}"
        )))
    }

    async fn head(&self, key: &str) -> Result<Option<Object>> {
        check::key(key, &self.limits)?;
        Ok(self.record(key).await?.map(|record| record.object))
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<Option<Object>> {
        check::key(key, &self.limits)?;
        let op = Op::Delete {
            bucket: self.key.clone(),
            key: key.to_owned(),
            condition,
        };
        match self.shared.ask(op).await? {
            Done::Deleted(object, _) => Ok(object),
            _ => Err(Error::internal("a delete was answered with something else")),
        }
    }

    async fn list(&self, options: ListOptions) -> Result<Page> {
        let open = self.shared.engine.get().await?;
        self.page(&open, &options)
    }

    fn limits(&self) -> BlobLimits {
        self.limits
    }
}

impl LocalBucket {
    async fn record(&self, key: &str) -> Result<Option<Record>> {
        let open = self.shared.engine.get().await?;
        let found = open.queued(&self.key.object(key))?;
        found.map(|bytes| Record::decode(&bytes)).transpose()
    }

    async fn commit(&self, key: &str, whole: Whole, options: PutOptions) -> Result<Object> {
        let (content, file) = match whole.content {
            Content::Inline(content) => (Some(content), None),
            Content::File(file) => (None, Some(file.pledge())),
        };
        let id = file.as_ref().map_or_else(Id::new, |file| file.id);
        let sum = hex(&whole.sha256);
        let found = options.found.get().cloned().unwrap_or_default();
        let etag = found.etag.unwrap_or_else(|| sum.clone());
        let object = Object {
            size: whole.size,
            version: id.to_string(),
            content_type: options
                .content_type
                .unwrap_or_else(|| check::BYTES.to_owned()),
            metadata: options.metadata,
            headers: options.headers,
            checksums: found.checksums,
            modified_us: 0,
            etag,
        };
        let op = Op::Put {
            bucket: self.key.clone(),
            key: key.to_owned(),
            record: Record {
                sum: (object.etag != sum).then_some(sum),
                object,
                file: file.is_some(),
                parts: false,
            },
            content,
            condition: options.condition,
        };
        match self.shared.clone().commit(op, file).await? {
            Done::Put(object, _) => Ok(object),
            _ => Err(Error::internal("a put was answered with something else")),
        }
    }

    /// The bytes of an object; `None` when they are not there any more.
    async fn content(&self, key: &str, record: &Record, range: Range<u64>) -> Result<Option<Body>> {
        let id = record.id()?;
        let size = record.object.size;
        let whole = range == (0..size);
        let damaged = self.damaged(key);
        if record.parts {
            return self.pieces(id, range, damaged).await;
        }
        if record.file {
            let files = self.shared.files.clone();
            let opened = tokio::task::spawn_blocking(move || match files.open(id)? {
                Some(file) => Ok(Some((file.metadata().map(|m| m.len()).ok(), file))),
                None => Ok(None),
            });
            let stopped = |_| Error::unavailable("the node is stopping");
            let Some((length, file)) = opened.await.map_err(stopped)?? else {
                return Ok(None);
            };
            if length != Some(size) {
                return Err(damaged());
            }
            let sum = whole.then(|| record.sum().to_owned());
            return Ok(Some(Reading::new(file, range, sum, damaged).body()));
        }
        let open = self.shared.engine.get().await?;
        let Some(content) = open.queued(&id.content())? else {
            return Ok(None);
        };
        let content = Bytes::copy_from_slice(&content);
        let is_damaged =
            content.len() as u64 != size || whole && hex(&Sha256::digest(&content)) != record.sum();
        match is_damaged {
            true => Err(damaged()),
            false => Ok(Some(blob::body(
                content.slice(range.start as usize..range.end as usize),
            ))),
        }
    }

    /// The bytes of an object that came in parts; `None` when they are not there any more.
    async fn pieces(&self, id: Id, range: Range<u64>, damaged: Damaged) -> Result<Option<Body>> {
        let open = self.shared.engine.get().await?;
        let Some(list) = open.queued(&id.parts())? else {
            return Ok(None);
        };
        let (mut at, mut wanted) = (0, Vec::new());
        for piece in Piece::decode_all(&list)? {
            let (from, to) = (at, at + piece.size);
            at = to;
            let inside = range.start.max(from)..range.end.min(to);
            if inside.start < inside.end {
                wanted.push((piece, inside.start - from..inside.end - from));
            }
        }
        let ids = wanted.iter().map(|(piece, _)| piece.id).collect();
        let pins = self.shared.files.pin(ids);
        // Overwritten or deleted before they were pinned, some of them may be gone.
        let open = self.shared.engine.get().await?;
        if open.queued(&id.parts())?.is_none() {
            return Ok(None);
        }
        Ok(Some(files::pieces(pins, wanted, damaged)))
    }

    /// The error for an object whose bytes are not what was put.
    fn damaged(&self, key: &str) -> Damaged {
        let text = format!("object is damaged: {}/{key}", self.key.watched().name());
        Arc::new(move || {
            Error::internal(text.clone())
                .hint("its bytes on the disk are not those that were put; put it again")
        })
    }

    fn page(&self, open: &Open, options: &ListOptions) -> Result<Page> {
        let most = check::most(options, &self.limits);
        let prefix = self.key.object(&options.prefix);
        let to = keys::behind(prefix.clone());
        let mut from = prefix;
        if let Some(after) = options.after.as_deref() {
            let at = self.key.object(after);
            let behind = match check::is_fold(after, options) {
                true => keys::behind(at),
                false => [&at[..], &[0]].concat(),
            };
            from = from.max(behind);
        }
        let (mut page, mut last) = (Page::default(), None);
        'folds: while from < to {
            for found in open.queue_range(&from, &to) {
                let (place, record) = found?;
                if page.objects.len() + page.prefixes.len() == most {
                    page.next = last;
                    return Ok(page);
                }
                let key = self.key.own(&place)?;
                if let Some(folded) = check::folded(key, options) {
                    // The rest of what it stands for is not looked at.
                    from = keys::behind(self.key.object(folded));
                    page.prefixes.push(folded.to_owned());
                    last = Some(folded.to_owned());
                    continue 'folds;
                }
                page.objects
                    .push((key.to_owned(), Record::decode(&record)?.object));
                last = Some(key.to_owned());
            }
            break;
        }
        Ok(page)
    }
}

// === impl Shared ===

impl Shared {
    fn tidy(&self, garbage: bool) {
        if garbage {
            self.tidier.nudge();
        }
    }

    /// Commits what may have a file, and sees to the file.
    async fn commit(self: Arc<Self>, op: Op, file: Option<Pledged>) -> Result<Done> {
        let Some(file) = file else {
            return self.ask(op).await;
        };
        // Whoever asked may go away now: what becomes of the file is seen to all the same.
        let task = gust_task::spawn("put", async move {
            let done = self.ask(op).await;
            let settle = move || {
                match &done {
                    Ok(_) => file.settle(),
                    Err(_) if self.is_refused(file.id) => file.discard(),
                    Err(_) => {}
                }
                done
            };
            let settled = tokio::task::spawn_blocking(settle).await;
            settled.map_err(|e| Error::internal("an object's file is not settled").because(e))?
        });
        let panicked = || Error::internal("a put did not end");
        task.await.ok().flatten().ok_or_else(panicked)?
    }

    async fn ask(&self, op: Op) -> Result<Done> {
        let done = self.committer.blob(op).await?;
        self.tidy(done.garbage());
        Ok(done)
    }

    /// Whether it is certain that no object has this file after a put that failed.
    fn is_refused(&self, id: Id) -> bool {
        // While it is open it is what was committed: what failed half-way was opened again before it was answered.
        match self.engine.try_get() {
            Ok(Some(open)) => matches!(open.queued(&id.file()), Ok(None)),
            _ => false,
        }
    }
}

// === impl Intake ===

impl Intake {
    fn new(bucket: &LocalBucket, announced: Option<u64>, inline: Option<usize>) -> Result<Self> {
        bucket.shared.engine.disk.check(announced.unwrap_or(0))?;
        Ok(Self {
            shared: bucket.shared.clone(),
            announced,
            limits: bucket.limits,
            waiting: BytesMut::new(),
            inline,
            file: None,
        })
    }

    async fn all(mut self, mut body: Body, options: &PutOptions) -> Result<Whole> {
        while let Some(chunk) = body.next().await {
            self.take(chunk?).await?;
        }
        self.finish(options).await
    }

    async fn take(&mut self, mut chunk: Bytes) -> Result<()> {
        while !chunk.is_empty() {
            let room = BLOCK - self.waiting.len();
            self.waiting
                .extend_from_slice(&chunk.split_to(room.min(chunk.len())));
            let written = self.file.as_ref().map_or(0, |(file, _)| file.size);
            let size = written + self.waiting.len() as u64;
            check::coming(size, self.announced, &self.limits)?;
            if self.waiting.len() == BLOCK {
                self.write(false).await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self, options: &PutOptions) -> Result<Whole> {
        let few = self.inline.is_some_and(|most| self.waiting.len() <= most);
        let whole = match self.file.is_none() && few {
            true => {
                let content = self.waiting.freeze();
                Whole {
                    size: content.len() as u64,
                    sha256: Sha256::digest(&content).into(),
                    content: Content::Inline(content),
                }
            }
            false => {
                self.write(true).await?;
                let (file, _place) = self
                    .file
                    .ok_or_else(|| Error::internal("an object's file is gone"))?;
                Whole {
                    size: file.size,
                    sha256: file.hash.clone().finalize().into(),
                    content: Content::File(file),
                }
            }
        };
        check::announced(options, whole.size, &whole.sha256)?;
        Ok(whole)
    }

    /// Writes what waits, away from the tasks of others. Should nobody wait for it any more, the file goes with the answer.
    async fn write(&mut self, sync: bool) -> Result<()> {
        let block = self.waiting.split();
        let busy = || {
            Error::unavailable("too many objects are being put at once")
                .hint("try again in a moment")
        };
        let (file, place) = match self.file.take() {
            Some((file, place)) => (Some(file), place),
            None => (
                None,
                self.shared
                    .writing
                    .clone()
                    .try_acquire_owned()
                    .map_err(|_| busy())?,
            ),
        };
        let files = self.shared.files.clone();
        let write = move || {
            let mut file = match file {
                Some(file) => file,
                None => files.create()?,
            };
            file.write(&block)?;
            if sync {
                file.sync()?;
            }
            Ok((file, place))
        };
        let written = tokio::task::spawn_blocking(write).await;
        let written = written.map_err(|e| Error::internal("writing an object ended").because(e))?;
        self.file = Some(written?);
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
