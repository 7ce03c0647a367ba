//! What requests come to in the buckets: the same group as the queues' and topics', so that what changes and what is told
//! of it are one commit.
//!
//! What has to stay true: an object has either the bytes under its `C`, or a file and its `F`, or a `P` and a file and an `F`
//! for each of its pieces. A part has a file and its `F`. A file that has no `F` any more has a `G`, in the same commit.

use std::collections::HashSet;

use fjall::Slice;
use gust_backend::{
    blob::{BlobLimits, Chosen, CompleteOptions, Object, check},
    changes::ChangeKind,
    queue::Message,
};
use gust_types::{Error, Result};

use super::{
    BUCKETS,
    ask::{Done, Op},
    events,
    keys::{self, BucketKey, Id, PartRecord, Piece, Record, UploadRecord},
};
use crate::queue::group::Group;

impl Group<'_> {
    /// Evaluates one request; answers with the events of what it changed. An error of kind `Internal` means that the group
    /// is not to be written.
    pub(crate) fn evaluate_blob(&mut self, op: Op, listens: bool) -> Result<(Done, Vec<Message>)> {
        let told = |group: &Self, kind, bucket: &BucketKey, key: &str, object: &Object| {
            let event = || events::event(bucket, kind, key, object, group.now_us);
            listens.then(event).into_iter().collect()
        };
        Ok(match op {
            Op::Put {
                bucket,
                key,
                mut record,
                content,
                condition,
            } => {
                let place = bucket.object(&key);
                let there = self.record(&place)?;
                let object = there.as_ref().map(|there| &there.object);
                check::condition(&key, &condition, object)?;
                let id = record.id()?;
                record.object.modified_us = self.now_us;
                let encoded = record.encode()?;
                self.make_bucket(&bucket)?;
                let garbage = match there {
                    Some(there) => self.let_go(&there)?,
                    None => false,
                };
                match content {
                    Some(content) => self.put(id.content(), content.to_vec()),
                    None => self.put(id.file(), place.clone()),
                }
                self.put(place, encoded);
                let told = told(self, ChangeKind::Created, &bucket, &key, &record.object);
                (Done::Put(record.object, garbage), told)
            }
            Op::Delete {
                bucket,
                key,
                condition,
            } => {
                let place = bucket.object(&key);
                let there = self.record(&place)?;
                let object = there.as_ref().map(|there| &there.object);
                check::condition(&key, &condition, object)?;
                let Some(there) = there else {
                    return Ok((Done::Deleted(None, false), Vec::new()));
                };
                let garbage = self.let_go(&there)?;
                self.delete(place);
                let told = told(self, ChangeKind::Deleted, &bucket, &key, &there.object);
                (Done::Deleted(Some(there.object), garbage), told)
            }
            Op::Forget(ids) => {
                for id in ids {
                    self.delete(id.garbage());
                }
                (Done::Forgotten, Vec::new())
            }
            Op::Complete {
                bucket,
                key,
                upload,
                id,
                parts,
                options,
            } => {
                let (object, garbage) =
                    self.complete(&bucket, &key, upload, id, &parts, options)?;
                let told = told(self, ChangeKind::Created, &bucket, &key, &object);
                (Done::Put(object, garbage), told)
            }
            Op::Make(bucket) => (Done::Changed(self.make_bucket(&bucket)?), Vec::new()),
            Op::Remove(bucket) => (Done::Changed(self.remove_bucket(&bucket)?), Vec::new()),
            Op::Begin {
                bucket,
                key,
                id,
                options,
            } => {
                let limits = BlobLimits::default();
                let all = bucket.uploads("");
                let under_way = self.all(&all, &keys::behind(all.clone()), limits.uploads)?;
                check::one_more_upload(under_way.len(), &limits)?;
                self.make_bucket(&bucket)?;
                let begun_us = self.now_us;
                let record = UploadRecord { begun_us, options };
                self.put(bucket.upload(&key, id), record.encode()?);
                (Done::Begun(begun_us), Vec::new())
            }
            Op::Part {
                bucket,
                key,
                upload,
                id,
                record,
            } => {
                let (part, garbage) = self.put_part(&bucket.upload(&key, upload), id, record)?;
                (Done::Part(part, garbage), Vec::new())
            }
            Op::End(place) => {
                if self.get(&place)?.is_none() {
                    return Ok((Done::Ended(false, false), Vec::new()));
                }
                let garbage = self.end(&place, &[])?;
                (Done::Ended(true, garbage), Vec::new())
            }
        })
    }

    /// In place of the part of this number. Answers whether there is a file to remove.
    fn put_part(
        &mut self,
        upload: &[u8],
        id: Id,
        mut record: PartRecord,
    ) -> Result<(gust_backend::blob::Part, bool)> {
        let gone = || check::no_upload("the upload has ended");
        self.get(upload)?.ok_or_else(gone)?;
        let place = keys::upload_id(upload)?.part(record.part.number);
        let there = self.get(&place)?;
        if let Some(there) = &there {
            self.discard(PartRecord::decode(there)?.piece()?.id);
        }
        record.part.modified_us = self.now_us;
        self.put(id.file(), place.clone());
        self.put(place, record.encode()?);
        Ok((record.part, there.is_some()))
    }

    fn complete(
        &mut self,
        bucket: &BucketKey,
        key: &str,
        upload: Id,
        id: Id,
        parts: &[Chosen],
        options: CompleteOptions,
    ) -> Result<(Object, bool)> {
        let limits = BlobLimits::default();
        let under_way = bucket.upload(key, upload);
        let said = self.get(&under_way)?.ok_or_else(|| check::no_upload(key))?;
        let said = UploadRecord::decode(&said)?.options;
        let (mut pieces, mut size) = (Vec::with_capacity(parts.len()), 0u64);
        for chosen in parts {
            let there = self.get(&upload.part(chosen.number))?;
            let there = there.map(|bytes| PartRecord::decode(&bytes)).transpose()?;
            check::came(chosen, there.as_ref().map(|there| &there.part))?;
            if let Some(there) = there {
                let piece = there.piece()?;
                size = size.saturating_add(piece.size);
                pieces.push(piece);
            }
        }
        check::fits(size, limits.whole)?;
        let place = bucket.object(key);
        let there = self.record(&place)?;
        let object = there.as_ref().map(|there| &there.object);
        check::condition(key, &options.condition, object)?;
        let etags = parts.iter().map(|part| &*part.etag);
        let record = Record {
            object: Object {
                size,
                etag: match options.found.etag {
                    Some(etag) => etag,
                    None => check::whole_etag(etags),
                },
                version: id.to_string(),
                content_type: said.content_type.unwrap_or_else(|| check::BYTES.to_owned()),
                metadata: said.metadata,
                headers: said.headers,
                checksums: options.found.checksums,
                modified_us: self.now_us,
            },
            file: false,
            parts: true,
            sum: None,
        };
        let encoded = record.encode()?;
        let mut garbage = match there {
            Some(there) => self.let_go(&there)?,
            None => false,
        };
        garbage |= self.end(&under_way, &pieces)?;
        for piece in &pieces {
            self.put(piece.id.file(), id.parts());
        }
        self.put(id.parts(), Piece::encode_all(&pieces));
        self.put(place, encoded);
        Ok((record.object, garbage))
    }

    /// The upload is not there any more, nor are its parts, but for the files of these. Answers whether there is a file to
    /// remove.
    fn end(&mut self, upload: &[u8], kept: &[Piece]) -> Result<bool> {
        let (from, to) = keys::upload_id(upload)?.parts_behind(0);
        let kept: HashSet<_> = kept.iter().map(|piece| piece.id).collect();
        let mut garbage = false;
        for (place, record) in self.all(&from, &to, usize::MAX)? {
            let id = PartRecord::decode(&record)?.piece()?.id;
            if !kept.contains(&id) {
                self.discard(id);
                garbage = true;
            }
            self.delete(place);
        }
        self.delete(upload.to_vec());
        Ok(garbage)
    }

    /// The entries of a range, so many at most, however large they are.
    fn all(&self, from: &[u8], to: &[u8], most: usize) -> Result<Vec<(Vec<u8>, Slice)>> {
        let (mut from, mut all) = (from.to_vec(), Vec::new());
        loop {
            let found = self.scan(&from, to, most - all.len())?;
            all.extend(found.items);
            match all.last().filter(|_| found.more && all.len() < most) {
                Some((last, _)) => from = [&last[..], &[0]].concat(),
                None => return Ok(all),
            }
        }
    }

    /// Nobody needs this file any more.
    fn discard(&mut self, id: Id) {
        self.delete(id.file());
        self.put(id.garbage(), Vec::new());
    }

    fn record(&self, place: &[u8]) -> Result<Option<Record>> {
        let found = self.get(place)?;
        found.map(|bytes| Record::decode(&bytes)).transpose()
    }

    /// Whether it was not there.
    fn make_bucket(&mut self, bucket: &BucketKey) -> Result<bool> {
        let key = bucket.bucket();
        if self.get(&key)?.is_some() {
            return Ok(false);
        }
        let (from, to) = bucket.siblings();
        if self.scan(&from, &to, BUCKETS)?.items.len() >= BUCKETS {
            let text = format!("the project has {BUCKETS} buckets already");
            return Err(Error::exhausted(text).hint("use prefixes instead of more buckets"));
        }
        self.put(key, self.now_us.to_be_bytes().to_vec());
        Ok(true)
    }

    /// Whether it was there.
    fn remove_bucket(&mut self, bucket: &BucketKey) -> Result<bool> {
        let key = bucket.bucket();
        if self.get(&key)?.is_none() {
            return Ok(false);
        }
        let uploads = bucket.uploads("");
        for (from, to) in [bucket.all(), (uploads.clone(), keys::behind(uploads))] {
            if !self.scan(&from, &to, 1)?.items.is_empty() {
                return Err(check::not_empty(bucket.watched().name().as_str()));
            }
        }
        self.delete(key);
        Ok(true)
    }

    /// The bytes of this object are not needed any more. Answers whether there is a file to remove.
    fn let_go(&mut self, record: &Record) -> Result<bool> {
        let id = record.id()?;
        match (record.file, record.parts) {
            (true, _) => self.discard(id),
            (false, false) => self.delete(id.content()),
            (false, true) => {
                let pieces = self.get(&id.parts())?;
                let lost = || Error::internal("a stored list of parts is gone");
                for piece in Piece::decode_all(&pieces.ok_or_else(lost)?)? {
                    self.discard(piece.id);
                }
                self.delete(id.parts());
            }
        }
        Ok(record.file || record.parts)
    }
}
