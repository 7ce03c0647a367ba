//! What requests come to in the buckets: the same group as the queues' and topics', so that what changes and what is told
//! of it are one commit.
//!
//! What has to stay true: an object has either the bytes under its `C` or a file and its `F`. A file that has no `F` any
//! more has a `G`, in the same commit.

use gust_backend::{
    blob::{Object, check},
    changes::ChangeKind,
    queue::Message,
};
use gust_types::{Error, Result};

use super::{
    BUCKETS,
    ask::{Done, Op},
    events,
    keys::{BucketKey, Record},
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
        })
    }

    fn record(&self, place: &[u8]) -> Result<Option<Record>> {
        let found = self.get(place)?;
        found.map(|bytes| Record::decode(&bytes)).transpose()
    }

    fn make_bucket(&mut self, bucket: &BucketKey) -> Result<()> {
        let key = bucket.bucket();
        if self.get(&key)?.is_some() {
            return Ok(());
        }
        let (from, to) = bucket.siblings();
        if self.scan(&from, &to, BUCKETS)?.items.len() >= BUCKETS {
            let text = format!("the project has {BUCKETS} buckets already");
            return Err(Error::exhausted(text).hint("use prefixes instead of more buckets"));
        }
        self.put(key, self.now_us.to_be_bytes().to_vec());
        Ok(())
    }

    /// The bytes of this object are not needed any more. Answers whether there is a file to remove.
    fn let_go(&mut self, record: &Record) -> Result<bool> {
        let id = record.id()?;
        match record.file {
            true => {
                self.delete(id.file());
                self.put(id.garbage(), Vec::new());
            }
            false => self.delete(id.content()),
        }
        Ok(record.file)
    }
}
