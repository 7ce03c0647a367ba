//! Objects: put, got, described and deleted.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use gust_backend::blob::{
    BlobLimits, ByteRange, Condition, Found, GetOptions, Got, Object, PutOptions, check,
};
use http::{HeaderMap, HeaderName, header};
use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{
        ChecksumMode, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput,
        DeleteObjectsOutput, DeletedObject, ETag, ETagCondition, Error as Failed, GetObjectInput,
        GetObjectOutput, HeadObjectInput, HeadObjectOutput, Metadata, PutObjectInput,
        PutObjectOutput, Range, Timestamp, TimestampFormat,
    },
    s3_error,
};

use crate::{
    body::{self, Taken},
    buckets::time,
    error, refuse,
    service::Service,
    sums::{self, Wanted},
};

/// Keys that one request deletes.
const DELETES: usize = 1000;
/// Of which so many are under way at once: they share syncs.
const AT_ONCE: usize = 64;

pub(crate) async fn put(
    service: &Service,
    request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    refuse::common!(request.input);
    refuse::option(
        "write-offset-bytes",
        request.input.write_offset_bytes.is_some(),
    )?;
    let named = service.there(&request, &request.input.bucket).await?;
    let said = sums::said!(request.input);
    let md5 = request.input.content_md5.as_deref();
    let wanted = Wanted::of(&request.headers, md5, &said)?;
    let still = service.still(&request, &named);
    let (trailers, input) = (request.trailing_headers, request.input);
    let condition = put_condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let bucket = service.bucket(&named)?;
    let size = length(input.content_length, &bucket.limits())?;
    let headers = headers(Said {
        cache_control: input.cache_control,
        content_disposition: input.content_disposition,
        content_encoding: input.content_encoding,
        content_language: input.content_language,
        expires: input.expires,
    })?;
    let metadata = metadata(input.metadata, &bucket.limits())?;
    let taken = body::of_request(input.body, wanted, trailers, still);
    let options = PutOptions {
        condition,
        content_type: input.content_type.filter(|media| !media.is_empty()),
        metadata,
        headers,
        found: taken.found,
        size,
        sha256: None,
    };
    let put = bucket.put(&input.key, taken.body, options).await;
    let put = Taken::outcome(&taken.fault, put, error::of);
    let object = match put {
        Err(error) if *error.code() == s3s::S3ErrorCode::PreconditionFailed => {
            // What is to be replaced is not there at all.
            let there = bucket.head(&input.key).await.map_err(error::of)?;
            return match there.is_none() && input.if_match.is_some() {
                true => Err(service.absent(&named, &input.key).await),
                false => Err(error),
            };
        }
        put => put?,
    };
    let mut output = PutObjectOutput {
        e_tag: Some(ETag::Strong(object.etag)),
        ..PutObjectOutput::default()
    };
    sums::show_typed!(output, object.checksums);
    Ok(S3Response::new(output))
}

/// How many bytes will come, if that is said.
pub(crate) fn length(length: Option<i64>, limits: &BlobLimits) -> S3Result<Option<u64>> {
    let Some(length) = length else {
        return Ok(None);
    };
    let odd = |_| s3_error!(InvalidArgument, "not a length: {length}");
    let size = u64::try_from(length).map_err(odd)?;
    check::fits(size, limits.object).map_err(error::of)?;
    Ok(Some(size))
}

/// What is said of an object for its readers.
pub(crate) struct Said {
    pub(crate) cache_control: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) expires: Option<Timestamp>,
}

pub(crate) fn headers(said: Said) -> S3Result<BTreeMap<String, String>> {
    let expires = said.expires.map(|at| -> S3Result<String> {
        let mut text = Vec::new();
        let odd = |_| s3_error!(InvalidArgument, "not a time: expires");
        at.format(TimestampFormat::HttpDate, &mut text)
            .map_err(odd)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    });
    // How the bytes were sent is not what they are.
    let encoding = said.content_encoding.map(|codings| {
        let codings = codings.split(',').map(str::trim);
        let codings: Vec<_> = codings.filter(|of| *of != "aws-chunked").collect();
        codings.join(", ")
    });
    let headers = [
        ("cache-control", said.cache_control),
        ("content-disposition", said.content_disposition),
        (
            "content-encoding",
            encoding.filter(|codings| !codings.is_empty()),
        ),
        ("content-language", said.content_language),
        ("expires", expires.transpose()?),
    ];
    let headers = headers.into_iter();
    Ok(headers
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect())
}

pub(crate) fn metadata(
    metadata: Option<Metadata>,
    limits: &BlobLimits,
) -> S3Result<BTreeMap<String, String>> {
    let metadata: BTreeMap<_, _> = metadata.unwrap_or_default().into_iter().collect();
    let size: usize = metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
    match size <= limits.metadata {
        true => Ok(metadata),
        false => Err(s3_error!(
            MetadataTooLarge,
            "metadata has more bytes than {}",
            limits.metadata
        )),
    }
}

/// When a put applies.
pub(crate) fn put_condition(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<Condition> {
    Ok(match (if_match, if_none_match) {
        (None, None) => Condition::Always,
        (None, Some(ETagCondition::Any)) => Condition::Absent,
        (Some(ETagCondition::Any), None) => Condition::Present,
        (Some(ETagCondition::ETag(ETag::Strong(etag))), None) => {
            Condition::Etag(vec![etag.clone()])
        }
        (Some(ETagCondition::ETag(ETag::Weak(_))), None) => {
            return Err(s3_error!(
                PreconditionFailed,
                "a weak etag is nobody's, in a write"
            ));
        }
        (None, Some(_)) => {
            return Err(s3_error!(
                NotImplemented,
                "if-none-match takes * only, in a write"
            ));
        }
        (Some(_), Some(_)) => {
            return Err(s3_error!(
                InvalidRequest,
                "a write has one condition at most"
            ));
        }
    })
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The etags that a condition of a read lists. Weak ones are compared as if they were not: bytes are all that we know.
fn listed(headers: &HeaderMap, name: HeaderName) -> Option<Vec<String>> {
    let values = headers.get_all(name);
    let lists = values.iter().filter_map(|value| value.to_str().ok());
    let etags = lists.flat_map(|list| list.split(',')).map(str::trim);
    let etags = etags.map(|etag| etag.strip_prefix("W/").unwrap_or(etag));
    let etags: Vec<_> = etags
        .map(|etag| etag.trim_matches('"').to_owned())
        .collect();
    (!etags.is_empty()).then_some(etags)
}

/// The etag of a condition on the source of a copy.
pub(crate) fn etags(condition: Option<&ETagCondition>) -> Option<Vec<String>> {
    condition.map(|condition| match condition {
        ETagCondition::Any => vec!["*".to_owned()],
        ETagCondition::ETag(etag) => vec![etag.value().to_owned()],
    })
}

/// Conditions of a read by time. They count only where no etag is asked for.
pub(crate) struct Since<'a> {
    modified: Option<&'a Timestamp>,
    unmodified: Option<&'a Timestamp>,
}

impl<'a> Since<'a> {
    /// Those that count beside the conditions by etag, `if-match` and `if-none-match`.
    pub(crate) fn beside<T>(
        (if_match, if_none_match): (&Option<T>, &Option<T>),
        modified: Option<&'a Timestamp>,
        unmodified: Option<&'a Timestamp>,
    ) -> Self {
        Self {
            modified: modified.filter(|_| if_none_match.is_none()),
            unmodified: unmodified.filter(|_| if_match.is_none()),
        }
    }

    pub(crate) fn check(&self, object: &Object) -> S3Result<()> {
        // HTTP's dates have no fractions.
        let modified = time(object.modified_us / 1_000_000 * 1_000_000);
        if self.unmodified.is_some_and(|since| modified > *since) {
            return Err(s3_error!(
                PreconditionFailed,
                "the object was put since then"
            ));
        }
        if self.modified.is_some_and(|since| modified <= *since) {
            return Err(not_modified(object));
        }
        Ok(())
    }
}

pub(crate) fn not_modified(object: &Object) -> S3Error {
    let mut error = s3_error!(NotModified, "the object is the one that you have");
    let mut headers = HeaderMap::new();
    if let Ok(etag) = format!("\"{}\"", object.etag).parse() {
        headers.insert(header::ETAG, etag);
    }
    error.set_headers(headers);
    error
}

fn out_of_range(object: &Object) -> S3Error {
    let mut error = s3_error!(InvalidRange, "the object has none of these bytes");
    let mut headers = HeaderMap::new();
    if let Ok(range) = format!("bytes */{}", object.size).parse() {
        headers.insert(header::CONTENT_RANGE, range);
    }
    error.set_headers(headers);
    error
}

fn range(range: Range) -> ByteRange {
    match range {
        Range::Int { first, last: None } => ByteRange::From(first),
        Range::Int {
            first,
            last: Some(last),
        } => ByteRange::Between(first, last),
        Range::Suffix { length } => ByteRange::Last(length),
    }
}

/// What is known of an object, where an answer has it.
macro_rules! describe {
    ($output:ident, $object:expr, $checksums:expr) => {{
        let object = &$object;
        let header = |name: &str| object.headers.get(name).cloned();
        let expires = object.headers.get("expires");
        let mut output = $output {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: header("cache-control"),
            content_disposition: header("content-disposition"),
            content_encoding: header("content-encoding"),
            content_language: header("content-language"),
            content_type: Some(object.content_type.clone()),
            e_tag: Some(ETag::Strong(object.etag.clone())),
            expires: expires.and_then(|at| Timestamp::parse(TimestampFormat::HttpDate, at).ok()),
            last_modified: Some(time(object.modified_us)),
            metadata: Some(object.metadata.clone().into_iter().collect()),
            ..$output::default()
        };
        if $checksums {
            sums::show_typed!(output, object.checksums);
        }
        output
    }};
}

/// Whether the checksums are asked for.
fn is_enabled(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

pub(crate) async fn get(
    service: &Service,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let named = service.named(&request, &request.input.bucket)?;
    let if_range = text(&request.headers, header::IF_RANGE).map(str::to_owned);
    let (if_match, if_none_match) = (
        listed(&request.headers, header::IF_MATCH),
        listed(&request.headers, header::IF_NONE_MATCH),
    );
    let input = request.input;
    refuse::version(input.version_id.as_deref())?;
    refuse::option("customer-key", input.sse_customer_key.is_some())?;
    let options = GetOptions {
        range: input.range.map(range),
        if_match,
        if_none_match,
    };
    let since = Since::beside(
        (&input.if_match, &input.if_none_match),
        input.if_modified_since.as_ref(),
        input.if_unmodified_since.as_ref(),
    );
    let bucket = service.bucket(&named)?;
    let mut got = bucket.get(&input.key, options.clone()).await;
    let mut wants_range = input.range.is_some();
    // The range was meant of another object: then all of this one.
    if let (true, Some(etag), Ok(Got::Found(Found { object, .. }) | Got::OutOfRange(object))) =
        (wants_range, &if_range, &got)
        && *etag != format!("\"{}\"", object.etag)
    {
        wants_range = false;
        let whole = GetOptions {
            range: None,
            ..options
        };
        got = bucket.get(&input.key, whole).await;
    }
    let found = match got.map_err(error::of)? {
        Got::Absent => return Err(service.absent(&named, &input.key).await),
        Got::Unchanged(object) => return Err(not_modified(&object)),
        Got::OutOfRange(object) => return Err(out_of_range(&object)),
        Got::Found(found) => found,
    };
    since.check(&found.object)?;
    let whole = found.range == (0..found.object.size);
    // A checksum of all bytes says nothing of some of them.
    let checksums = whole && is_enabled(input.checksum_mode.as_ref());
    let mut output = describe!(GetObjectOutput, found.object, checksums);
    output.content_length = Some((found.range.end - found.range.start) as i64);
    output.content_range = wants_range.then(|| content_range(&found.range, found.object.size));
    let bucket = named.name.to_string();
    output.body = Some(body::of_answer(found.body, bucket, input.key));
    Ok(S3Response::new(output))
}

fn content_range(range: &std::ops::Range<u64>, size: u64) -> String {
    format!(
        "bytes {}-{}/{size}",
        range.start,
        range.end.saturating_sub(1)
    )
}

pub(crate) async fn head(
    service: &Service,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let named = service.named(&request, &request.input.bucket)?;
    let (if_match, if_none_match) = (
        listed(&request.headers, header::IF_MATCH),
        listed(&request.headers, header::IF_NONE_MATCH),
    );
    let input = request.input;
    refuse::version(input.version_id.as_deref())?;
    refuse::option("customer-key", input.sse_customer_key.is_some())?;
    let bucket = service.bucket(&named)?;
    let Some(object) = bucket.head(&input.key).await.map_err(error::of)? else {
        return Err(service.absent(&named, &input.key).await);
    };
    let options = GetOptions {
        range: None,
        if_match,
        if_none_match,
    };
    if check::get(&input.key, &options, &object)
        .map_err(error::of)?
        .is_some()
    {
        return Err(not_modified(&object));
    }
    let since = Since::beside(
        (&input.if_match, &input.if_none_match),
        input.if_modified_since.as_ref(),
        input.if_unmodified_since.as_ref(),
    );
    since.check(&object)?;
    let checksums = input.range.is_none() && is_enabled(input.checksum_mode.as_ref());
    let mut output = describe!(HeadObjectOutput, object, checksums);
    let wanted = match input.range.map(range) {
        None => 0..object.size,
        Some(range) => range.of(object.size).ok_or_else(|| out_of_range(&object))?,
    };
    output.content_length = Some((wanted.end - wanted.start) as i64);
    let partial = input.range.map(|_| content_range(&wanted, object.size));
    let status = partial.as_ref().map(|_| http::StatusCode::PARTIAL_CONTENT);
    output.content_range = partial;
    let mut response = S3Response::new(output);
    response.status = status;
    Ok(response)
}

pub(crate) async fn delete(
    service: &Service,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let named = service.there(&request, &request.input.bucket).await?;
    let input = request.input;
    refuse::version(input.version_id.as_deref())?;
    for (name, asked) in [
        ("mfa", input.mfa.is_some()),
        ("if-match-size", input.if_match_size.is_some()),
        (
            "if-match-last-modified-time",
            input.if_match_last_modified_time.is_some(),
        ),
    ] {
        refuse::option(name, asked)?;
    }
    let condition = put_condition(input.if_match.as_ref(), None)?;
    let bucket = service.bucket(&named)?;
    bucket
        .delete(&input.key, condition)
        .await
        .map_err(error::of)?;
    Ok(S3Response::new(DeleteObjectOutput::default()))
}

pub(crate) async fn delete_many(
    service: &Service,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let named = service.there(&request, &request.input.bucket).await?;
    refuse::option("mfa", request.input.mfa.is_some())?;
    let wanted = request.input.delete;
    if wanted.objects.is_empty() || wanted.objects.len() > DELETES {
        return Err(s3_error!(MalformedXML, "name 1 to {DELETES} keys"));
    }
    let bucket = service.bucket(&named)?;
    let deletes = wanted.objects.into_iter().map(|object| {
        let bucket = bucket.clone();
        async move {
            let condition = match &object.e_tag {
                Some(etag) => Condition::Etag(vec![etag.value().to_owned()]),
                None => Condition::Always,
            };
            let asked = refuse::version(object.version_id.as_deref())
                .and_then(|()| refuse::option("Size", object.size.is_some()))
                .and_then(|()| {
                    refuse::option("LastModifiedTime", object.last_modified_time.is_some())
                });
            let deleted = match asked {
                Ok(()) => bucket
                    .delete(&object.key, condition)
                    .await
                    .map_err(error::of),
                Err(error) => Err(error),
            };
            (object.key, deleted)
        }
    });
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    let mut ended = stream::iter(deletes).buffered(AT_ONCE);
    while let Some((key, result)) = ended.next().await {
        match result {
            Ok(_) => deleted.push(DeletedObject {
                key: Some(key),
                ..DeletedObject::default()
            }),
            Err(error) => errors.push(Failed {
                code: Some(error.code().as_str().to_owned()),
                key: Some(key),
                message: error.message().map(str::to_owned),
                version_id: None,
            }),
        }
    }
    let quiet = wanted.quiet == Some(true);
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted: (!quiet).then_some(deleted),
        errors: Some(errors),
        request_charged: None,
    }))
}
