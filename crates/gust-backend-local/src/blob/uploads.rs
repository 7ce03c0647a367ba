//! Objects that come in parts: each part has a file from the start, and completing only says which of them make the object.

use async_trait::async_trait;
use gust_backend::blob::{
    Body, Chosen, CompleteOptions, Object, Part, PartOptions, Parts, PutOptions, Upload,
    UploadOptions, Uploads, UploadsOptions, UploadsPage, check,
};
use gust_types::{Error, Result};

use super::{
    Content, Intake, LocalBucket,
    ask::{Done, Op},
    keys::{self, Id, PartRecord, UploadRecord},
};

fn odd<T>() -> Result<T> {
    Err(Error::internal(
        "an upload was answered with something else",
    ))
}

#[async_trait]
impl Uploads for LocalBucket {
    async fn begin(&self, key: &str, options: UploadOptions) -> Result<Upload> {
        check::key(key, &self.limits)?;
        check::upload(&options, &self.limits)?;
        let id = Id::new();
        let op = Op::Begin {
            bucket: self.key.clone(),
            key: key.to_owned(),
            id,
            options: options.clone(),
        };
        match self.shared.ask(op).await? {
            Done::Begun(begun_us) => Ok(UploadRecord { begun_us, options }.upload(key, id)),
            _ => odd(),
        }
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
        let (upload, _) = self.under_way(key, id).await?;
        let put = PutOptions {
            size: options.size,
            found: options.found,
            ..PutOptions::default()
        };
        check::put(&put, &self.limits)?;
        let whole = Intake::new(self, put.size, None)?.all(body, &put).await?;
        let Content::File(file) = whole.content else {
            return odd();
        };
        let file = file.pledge();
        let found = put.found.get().cloned().unwrap_or_default();
        let part = Part {
            number,
            size: whole.size,
            etag: found.etag.unwrap_or_else(|| super::hex(&whole.sha256)),
            checksums: found.checksums,
            modified_us: 0,
        };
        let op = Op::Part {
            bucket: self.key.clone(),
            key: key.to_owned(),
            upload,
            id: file.id,
            record: PartRecord::new(part, file.id, &whole.sha256),
        };
        match self.shared.clone().commit(op, Some(file)).await? {
            Done::Part(part, _) => Ok(part),
            _ => odd(),
        }
    }

    async fn parts(&self, key: &str, id: &str, after: u16, most: usize) -> Result<Parts> {
        let (id, record) = self.under_way(key, id).await?;
        let open = self.shared.engine.get().await?;
        let (from, to) = id.parts_behind(after);
        let (mut parts, mut next) = (Vec::<Part>::new(), None);
        for found in open.queue_range(&from, &to) {
            if parts.len() == most {
                next = parts.last().map(|part| part.number);
                break;
            }
            parts.push(PartRecord::decode(&found?.1)?.part);
        }
        Ok(Parts {
            upload: record.upload(key, id),
            parts,
            next,
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
        let op = Op::Complete {
            bucket: self.key.clone(),
            key: key.to_owned(),
            upload: Id::parse(id).ok_or_else(|| check::no_upload(key))?,
            id: Id::new(),
            parts,
            options,
        };
        match self.shared.ask(op).await? {
            Done::Put(object, _) => Ok(object),
            _ => odd(),
        }
    }

    async fn abort(&self, key: &str, id: &str) -> Result<()> {
        let id = Id::parse(id).ok_or_else(|| check::no_upload(key))?;
        match self.shared.ask(Op::End(self.key.upload(key, id))).await? {
            Done::Ended(true, _) => Ok(()),
            Done::Ended(false, _) => Err(check::no_upload(key)),
            _ => odd(),
        }
    }

    async fn list(&self, options: UploadsOptions) -> Result<UploadsPage> {
        let most = match options.most {
            0 => self.limits.page,
            most => most.min(self.limits.page),
        };
        let open = self.shared.engine.get().await?;
        let start = self.key.uploads(&options.prefix);
        let to = keys::behind(start.clone());
        let behind = options.after.map(|(key, id)| {
            let of_key = self.key.uploads(&key);
            match id.and_then(|id| Id::parse(&id)) {
                Some(id) => [&self.key.upload(&key, id)[..], &[0]].concat(),
                // Behind every upload of this key, and before those of the next.
                None => [&of_key[..], &[1]].concat(),
            }
        });
        let from = match behind {
            Some(behind) => behind.max(start),
            None => start,
        };
        let mut page = UploadsPage::default();
        for found in open.queue_range(&from, &to) {
            let (place, record) = found?;
            if page.uploads.len() == most {
                page.more = true;
                break;
            }
            let (key, id) = self.key.own_upload(&place)?;
            page.uploads
                .push(UploadRecord::decode(&record)?.upload(key, id));
        }
        Ok(page)
    }
}

impl LocalBucket {
    /// The upload, if it is one of this key and has not ended.
    async fn under_way(&self, key: &str, id: &str) -> Result<(Id, UploadRecord)> {
        check::key(key, &self.limits)?;
        let id = Id::parse(id).ok_or_else(|| check::no_upload(key))?;
        let open = self.shared.engine.get().await?;
        let record = open.queued(&self.key.upload(key, id))?;
        let record = record.ok_or_else(|| check::no_upload(key))?;
        Ok((id, UploadRecord::decode(&record)?))
    }
}
