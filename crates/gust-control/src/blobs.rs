//! Buckets and their objects as the API speaks of them: its words into the seam's, and back.

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt as _;
use gust_api::blob::{Damaged, Object as Shown, Objects, ObjectsQuery, Scrub, Scrubbed};
use gust_backend::blob::{Bucket, Condition, GetOptions, Got, ListOptions, Object};
use gust_task::clock;
use gust_types::{Blame, Error, Kind, Label, ProjectName, Result};

use crate::control::Control;

/// A scrub answers after so long, once the object in hand is read: whoever asks sees how far it is.
const SCRUB: Duration = Duration::from_secs(2);

impl Control {
    /// The buckets of a project, by name.
    pub(crate) async fn buckets(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.must_have(project).await?;
        self.0.parts.backends.buckets(project)
    }

    /// A bucket. One that nobody has put anything into is empty.
    pub(crate) async fn bucket(
        &self,
        project: &ProjectName,
        name: &Label,
    ) -> Result<Arc<dyn Bucket>> {
        self.must_have(project).await?;
        self.0.parts.backends.blob(project, name)
    }

    /// Some of the objects of a bucket.
    pub(crate) async fn objects(
        &self,
        project: &ProjectName,
        bucket: &Label,
        query: ObjectsQuery,
    ) -> Result<Objects> {
        let bucket = self.bucket(project, bucket).await?;
        let options = ListOptions {
            prefix: query.prefix.unwrap_or_default(),
            delimiter: query.delimiter,
            after: query.after,
            most: match query.limit {
                Some(0) => return Err(Error::invalid("ask for 1 object at least: 0")),
                limit => limit.unwrap_or(0) as usize,
            },
        };
        let texts = [
            Some(&options.prefix),
            options.after.as_ref(),
            options.delimiter.as_ref(),
        ];
        if texts
            .into_iter()
            .flatten()
            .any(|text| text.len() > 2 * bucket.limits().key)
        {
            return Err(Error::invalid(
                "a prefix, delimiter or key is longer than any key",
            ));
        }
        let page = bucket.list(options).await.map_err(theirs)?;
        let shown = page
            .objects
            .into_iter()
            .map(|(key, object)| show(key, object));
        Ok(Objects {
            objects: shown.collect(),
            prefixes: page.prefixes,
            next: page.next,
        })
    }

    /// Gets an object. A range is honoured as long as the object has the etag `if_range`.
    pub(crate) async fn object(
        &self,
        bucket: &dyn Bucket,
        key: &str,
        options: GetOptions,
        if_range: Option<String>,
    ) -> Result<Got> {
        if let Some(etag) = if_range.filter(|_| options.range.is_some()) {
            let same = bucket.head(key).await.map_err(theirs)?;
            if same.is_none_or(|object| object.etag != etag) {
                let whole = GetOptions {
                    range: None,
                    ..options
                };
                return bucket.get(key, whole).await.map_err(theirs);
            }
            // Overwritten since, it would be some of another object: then all of that.
            let same = GetOptions {
                if_match: options.if_match.clone().or_else(|| Some(vec![etag])),
                ..options.clone()
            };
            if let Ok(got) = bucket.get(key, same).await {
                return Ok(got);
            }
            let whole = GetOptions {
                range: None,
                ..options
            };
            return bucket.get(key, whole).await.map_err(theirs);
        }
        bucket.get(key, options).await.map_err(theirs)
    }

    /// Reads objects whole, which holds them against their checksums, for a while.
    pub(crate) async fn scrub(
        &self,
        project: &ProjectName,
        name: &Label,
        scrub: Scrub,
    ) -> Result<Scrubbed> {
        let until = clock::now() + SCRUB;
        let bucket = self.bucket(project, name).await?;
        let options = ListOptions {
            after: scrub.after,
            ..ListOptions::default()
        };
        let page = bucket.list(options).await.map_err(theirs)?;
        let mut found = Scrubbed::default();
        for (key, object) in page.objects {
            match read_whole(&*bucket, &key).await {
                Ok(bytes) => found.bytes += bytes,
                // What cannot be read now says nothing of what is kept.
                Err(error) if error.kind != Kind::Internal => return Err(theirs(error)),
                Err(error) => {
                    tracing::error!(%project, bucket = %name, key, error = error.chain(), "a scrub found damage");
                    found.damaged.push(Damaged {
                        key: key.clone(),
                        version: object.version,
                        message: error.message,
                    });
                }
            }
            found.objects += 1;
            if clock::now() >= until {
                found.next = Some(key);
                return Ok(found);
            }
        }
        found.next = page.next;
        Ok(found)
    }

    /// Removes an object.
    pub(crate) async fn remove_object(
        &self,
        project: &ProjectName,
        name: &Label,
        key: &str,
        condition: Condition,
    ) -> Result<()> {
        let bucket = self.bucket(project, name).await?;
        match bucket.delete(key, condition).await.map_err(theirs)? {
            Some(_) => Ok(()),
            None => Err(none(name, key)),
        }
    }
}

/// How many bytes it has. One that was removed meanwhile has none.
async fn read_whole(bucket: &dyn Bucket, key: &str) -> Result<u64> {
    match bucket.get(key, GetOptions::default()).await? {
        Got::Found(mut found) => {
            let mut bytes = 0;
            while let Some(piece) = found.body.try_next().await? {
                bytes += piece.len() as u64;
            }
            Ok(bytes)
        }
        Got::Absent | Got::Unchanged(_) | Got::OutOfRange(_) => Ok(0),
    }
}

/// There is no such object.
pub(crate) fn none(bucket: &Label, key: &str) -> Error {
    Error::not_found(format!("no such object: {bucket}/{key}"))
}

/// An object as it is shown.
pub(crate) fn show(key: String, object: Object) -> Shown {
    Shown {
        key,
        size: object.size,
        etag: object.etag,
        version: object.version,
        content_type: object.content_type,
        metadata: object.metadata,
        modified_us: object.modified_us,
    }
}

/// What is a function's mistake when it asks a bucket is that of the caller here.
pub(crate) fn theirs(mut error: Error) -> Error {
    if error.blame == Blame::Function {
        error.blame = Blame::Caller;
    }
    error
}
