//! Copies within the node: the bytes go from one object to another without the client.

use gust_backend::blob::{ByteRange, Found, GetOptions, Got, PartOptions, PutOptions};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, CopySource, ETag,
        ETagCondition, MetadataDirective, Timestamp, UploadPartCopyInput, UploadPartCopyOutput,
    },
    s3_error,
};

use crate::{
    body::{self, Taken},
    buckets::time,
    error,
    objects::{self, Said, Since},
    refuse,
    service::{Named, Service, label},
    sums::{self, Algorithm, Wanted},
    uploads,
};

/// What is copied, and on which conditions.
struct Source<'a> {
    from: &'a CopySource,
    range: Option<ByteRange>,
    if_match: Option<&'a ETagCondition>,
    if_none_match: Option<&'a ETagCondition>,
    modified: Option<&'a Timestamp>,
    unmodified: Option<&'a Timestamp>,
}

impl Source<'_> {
    /// Bucket and key.
    fn place(&self) -> S3Result<(&str, &str)> {
        match self.from {
            CopySource::Bucket {
                bucket,
                key,
                version_id,
            } => {
                refuse::version(version_id.as_deref())?;
                Ok((bucket, key))
            }
            _ => Err(s3_error!(
                NotImplemented,
                "copies come from a bucket and a key"
            )),
        }
    }

    /// Opens it. What HTTP would call not modified is a failed condition of a copy.
    async fn open(&self, service: &Service, to: &Named) -> S3Result<Found> {
        let (bucket, key) = self.place()?;
        let from = Named {
            project: to.project.clone(),
            name: label(bucket)?,
        };
        let options = GetOptions {
            range: self.range,
            if_match: objects::etags(self.if_match),
            if_none_match: objects::etags(self.if_none_match),
        };
        let failed = || {
            s3_error!(
                PreconditionFailed,
                "a condition on the source does not hold"
            )
        };
        let got = service.bucket(&from)?.get(key, options).await;
        let found = match got.map_err(error::of)? {
            Got::Absent => return Err(service.absent(&from, key).await),
            Got::Unchanged(_) => return Err(failed()),
            Got::OutOfRange(_) => {
                return Err(s3_error!(
                    InvalidRange,
                    "the source has none of these bytes"
                ));
            }
            Got::Found(found) => found,
        };
        let since = Since::beside(
            (&self.if_match, &self.if_none_match),
            self.modified,
            self.unmodified,
        );
        since.check(&found.object).map_err(|_| failed())?;
        Ok(found)
    }
}

pub(crate) async fn copy(
    service: &Service,
    request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    refuse::common!(request.input);
    for name in ["if-match", "if-none-match"] {
        refuse::option(name, request.headers.contains_key(name))?;
    }
    let named = service.there(&request, &request.input.bucket).await?;
    let input = request.input;
    for (name, asked) in [
        ("tagging-directive", input.tagging_directive.is_some()),
        (
            "copy-source-customer-key",
            input.copy_source_sse_customer_key.is_some(),
        ),
    ] {
        refuse::option(name, asked)?;
    }
    let source = Source {
        from: &input.copy_source,
        range: None,
        if_match: input.copy_source_if_match.as_ref(),
        if_none_match: input.copy_source_if_none_match.as_ref(),
        modified: input.copy_source_if_modified_since.as_ref(),
        unmodified: input.copy_source_if_unmodified_since.as_ref(),
    };
    let directive = input
        .metadata_directive
        .as_ref()
        .map(MetadataDirective::as_str);
    let replaced = match directive {
        None | Some(MetadataDirective::COPY) => false,
        Some(MetadataDirective::REPLACE) => true,
        Some(other) => return Err(s3_error!(InvalidArgument, "no such directive: {other}")),
    };
    if !replaced && source.place()? == (named.name.as_str(), &*input.key) {
        return Err(s3_error!(
            InvalidRequest,
            "an object is copied to itself only with other metadata"
        ));
    }
    let found = source.open(service, &named).await?;
    let mut wanted = Wanted::default();
    match &input.checksum_algorithm {
        Some(asked) => wanted.add(Algorithm::asked(asked.as_str())?),
        None => {
            let names = found.object.checksums.keys();
            names
                .filter_map(|name| Algorithm::parse(name))
                .for_each(|of| wanted.add(of));
        }
    }
    let bucket = service.bucket(&named)?;
    let (content_type, metadata, headers) = match replaced {
        true => {
            let said = Said {
                cache_control: input.cache_control,
                content_disposition: input.content_disposition,
                content_encoding: input.content_encoding,
                content_language: input.content_language,
                expires: input.expires,
            };
            (
                input.content_type.filter(|media| !media.is_empty()),
                objects::metadata(input.metadata, &bucket.limits())?,
                objects::headers(said)?,
            )
        }
        false => {
            let object = found.object.clone();
            (Some(object.content_type), object.metadata, object.headers)
        }
    };
    let size = Some(found.object.size);
    let taken = body::of_object(found.body, wanted);
    let options = PutOptions {
        content_type,
        metadata,
        headers,
        found: taken.found,
        size,
        ..PutOptions::default()
    };
    let put = bucket.put(&input.key, taken.body, options).await;
    let object = Taken::outcome(&taken.fault, put, error::of)?;
    let mut result = CopyObjectResult {
        e_tag: Some(ETag::Strong(object.etag)),
        last_modified: Some(time(object.modified_us)),
        ..CopyObjectResult::default()
    };
    sums::show_typed!(result, object.checksums);
    Ok(S3Response::new(CopyObjectOutput {
        copy_object_result: Some(result),
        ..CopyObjectOutput::default()
    }))
}

pub(crate) async fn copy_part(
    service: &Service,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let named = service.there(&request, &request.input.bucket).await?;
    let input = request.input;
    for (name, asked) in [
        ("customer-key", input.sse_customer_key.is_some()),
        (
            "copy-source-customer-key",
            input.copy_source_sse_customer_key.is_some(),
        ),
    ] {
        refuse::option(name, asked)?;
    }
    let source = Source {
        from: &input.copy_source,
        range: input.copy_source_range.as_deref().map(bytes).transpose()?,
        if_match: input.copy_source_if_match.as_ref(),
        if_none_match: input.copy_source_if_none_match.as_ref(),
        modified: input.copy_source_if_modified_since.as_ref(),
        unmodified: input.copy_source_if_unmodified_since.as_ref(),
    };
    let into = uploads::Open::find(service, &named, &input.key, &input.upload_id).await?;
    let found = source.open(service, &named).await?;
    // What would be cut short is not what was asked for.
    if let Some(ByteRange::Between(_, last)) = source.range
        && last >= found.object.size
    {
        return Err(s3_error!(
            InvalidArgument,
            "the source has fewer bytes: {}",
            found.object.size
        ));
    }
    let size = Some(found.range.end - found.range.start);
    let mut wanted = Wanted::default();
    into.algorithm.into_iter().for_each(|of| wanted.add(of));
    let taken = body::of_object(found.body, wanted);
    let options = PartOptions {
        found: taken.found,
        size,
    };
    let number = uploads::number(input.part_number)?;
    let put = into
        .uploads
        .put_part(&input.key, &input.upload_id, number, taken.body, options);
    let part = Taken::outcome(&taken.fault, put.await, uploads::error)?;
    let mut result = CopyPartResult {
        e_tag: Some(ETag::Strong(part.etag)),
        last_modified: Some(time(part.modified_us)),
        ..CopyPartResult::default()
    };
    sums::show!(result, part.checksums);
    Ok(S3Response::new(UploadPartCopyOutput {
        copy_part_result: Some(result),
        ..UploadPartCopyOutput::default()
    }))
}

/// `bytes=first-last`, the one form that the range of a source has.
fn bytes(range: &str) -> S3Result<ByteRange> {
    let parse = || {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some(ByteRange::Between(first, last))
    };
    parse().ok_or_else(|| s3_error!(InvalidArgument, "write the range as bytes=0-99: {range}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_sources_have_both_ends() {
        assert_eq!(bytes("bytes=5-9").unwrap(), ByteRange::Between(5, 9));
        for bad in ["bytes=5-", "bytes=-5", "bytes=9-5", "5-9", "bytes=a-b", ""] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
