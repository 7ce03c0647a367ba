//! Objects that come in parts.

use std::{collections::BTreeMap, sync::Arc};

use gust_backend::blob::{
    Chosen, CompleteOptions, Findings, Part as Kept, PartOptions, Upload, UploadOptions, Uploads,
    UploadsOptions, check,
};
use gust_types::{Error, Kind as Fault};
use s3s::{
    S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
        CommonPrefix, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
        CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, Initiator,
        ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput,
        MultipartUpload, Part, StorageClass, UploadPartInput, UploadPartOutput,
    },
    s3_error,
};

use crate::{
    body::{self, Taken},
    buckets::{owner, time},
    error as errors, lists,
    objects::{self, Said},
    refuse,
    service::{Named, Service},
    sums::{self, Algorithm, Kind, Wanted},
};

/// Bytes of a part that is not the last.
const LEAST: u64 = 5 << 20;
/// What an upload's checksum is called in its notes, and its type.
const ALGORITHM: &str = "algorithm";
const TYPE: &str = "type";

/// An upload that parts come into.
pub(crate) struct Open {
    pub(crate) uploads: Arc<dyn Uploads>,
    /// What the checksums of its parts are made with.
    pub(crate) algorithm: Option<Algorithm>,
}

impl Open {
    pub(crate) async fn find(
        service: &Service,
        named: &Named,
        key: &str,
        id: &str,
    ) -> S3Result<Self> {
        let uploads = service.uploads(named)?;
        let there = uploads.parts(key, id, 0, 1).await;
        let there = there.map_err(error)?;
        Ok(Self {
            algorithm: algorithm(&there.upload),
            uploads,
        })
    }
}

/// What went wrong with an upload.
pub(crate) fn error(error: Error) -> S3Error {
    errors::with(Fault::NotFound, S3ErrorCode::NoSuchUpload)(error)
}

/// The number of a part.
pub(crate) fn number(number: i32) -> S3Result<u16> {
    let odd = || {
        s3_error!(
            InvalidArgument,
            "parts have numbers from 1 to 10000: {number}"
        )
    };
    let number = u16::try_from(number).map_err(|_| odd())?;
    check::number(number, &Default::default()).map_err(|_| odd())?;
    Ok(number)
}

fn algorithm(upload: &Upload) -> Option<Algorithm> {
    let name = upload.options.notes.get(ALGORITHM)?;
    Algorithm::parse(name)
}

fn kind(upload: &Upload) -> Option<Kind> {
    let word = upload.options.notes.get(TYPE)?;
    Kind::asked(word).ok()
}

fn algorithm_of(upload: &Upload) -> Option<ChecksumAlgorithm> {
    algorithm(upload).map(|of| ChecksumAlgorithm::from_static(of.word()))
}

fn type_of(upload: &Upload) -> Option<ChecksumType> {
    kind(upload).map(|kind| ChecksumType::from_static(kind.word()))
}

pub(crate) async fn create(
    service: &Service,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    refuse::common!(request.input);
    let named = service.there(&request, &request.input.bucket).await?;
    let input = request.input;
    let notes = notes(
        input.checksum_algorithm.as_ref(),
        input.checksum_type.as_ref(),
    )?;
    if input.key.chars().any(is_unspeakable) {
        return Err(s3_error!(
            InvalidArgument,
            "the answer could not name a key with such a character; put it at once"
        ));
    }
    let limits = service.bucket(&named)?.limits();
    let said = Said {
        cache_control: input.cache_control,
        content_disposition: input.content_disposition,
        content_encoding: input.content_encoding,
        content_language: input.content_language,
        expires: input.expires,
    };
    let options = UploadOptions {
        content_type: input.content_type.filter(|media| !media.is_empty()),
        metadata: objects::metadata(input.metadata, &limits)?,
        headers: objects::headers(said)?,
        notes,
    };
    let begun = service.uploads(&named)?.begin(&input.key, options).await;
    let too_many = S3ErrorCode::Custom("TooManyUploads".into());
    let upload = begun.map_err(|error| {
        let mut error = errors::with(Fault::Exhausted, too_many)(error);
        if error.status_code().is_none() {
            error.set_status_code(http::StatusCode::CONFLICT);
        }
        error
    })?;
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(named.name.to_string()),
        checksum_algorithm: algorithm_of(&upload),
        checksum_type: type_of(&upload),
        key: Some(upload.key),
        upload_id: Some(upload.id),
        ..CreateMultipartUploadOutput::default()
    }))
}

/// What XML 1.0 has no way to write.
fn is_unspeakable(letter: char) -> bool {
    matches!(letter, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// What is to be known again when parts come.
fn notes(
    algorithm: Option<&ChecksumAlgorithm>,
    kind: Option<&ChecksumType>,
) -> S3Result<BTreeMap<String, String>> {
    let Some(algorithm) = algorithm else {
        return match kind {
            Some(_) => Err(s3_error!(
                InvalidRequest,
                "a type of checksum needs its algorithm"
            )),
            None => Ok(BTreeMap::new()),
        };
    };
    let algorithm = Algorithm::asked(algorithm.as_str())?;
    let kind = kind.map(|kind| Kind::asked(kind.as_str())).transpose()?;
    let kind = kind.unwrap_or_else(|| algorithm.usual());
    if !algorithm.allows(kind) {
        let (word, kind) = (algorithm.word(), kind.word());
        return Err(s3_error!(
            InvalidRequest,
            "there is no {word} of the type {kind}"
        ));
    }
    let notes = [
        (ALGORITHM, algorithm.name().to_owned()),
        (TYPE, kind.word().to_owned()),
    ];
    Ok(notes.map(|(name, note)| (name.to_owned(), note)).into())
}

pub(crate) async fn part(
    service: &Service,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let named = service.there(&request, &request.input.bucket).await?;
    refuse::option("customer-key", request.input.sse_customer_key.is_some())?;
    let said = sums::said!(request.input);
    let md5 = request.input.content_md5.as_deref();
    let mut wanted = Wanted::of(&request.headers, md5, &said)?;
    let still = service.still(&request, &named);
    let (trailers, input) = (request.trailing_headers, request.input);
    let number = number(input.part_number)?;
    let into = Open::find(service, &named, &input.key, &input.upload_id).await?;
    into.algorithm.into_iter().for_each(|of| wanted.add(of));
    let size = objects::length(input.content_length, &Default::default())?;
    let taken = body::of_request(input.body, wanted, trailers, still);
    let options = PartOptions {
        found: taken.found,
        size,
    };
    let put = into
        .uploads
        .put_part(&input.key, &input.upload_id, number, taken.body, options);
    let part = Taken::outcome(&taken.fault, put.await, error)?;
    let mut output = UploadPartOutput {
        e_tag: Some(ETag::Strong(part.etag)),
        ..UploadPartOutput::default()
    };
    sums::show!(output, part.checksums);
    Ok(S3Response::new(output))
}

pub(crate) async fn complete(
    service: &Service,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let named = service.there(&request, &request.input.bucket).await?;
    refuse::option("customer-key", request.input.sse_customer_key.is_some())?;
    let said = sums::said!(request.input).map(|(algorithm, sum)| (algorithm, sum.cloned()));
    let input = request.input;
    let condition = objects::put_condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let wanted = input.multipart_upload.and_then(|upload| upload.parts);
    let wanted = wanted.unwrap_or_default();
    let uploads = service.uploads(&named)?;
    let (upload, there) = all(&*uploads, &input.key, &input.upload_id).await?;
    let chosen = choose(&wanted, &there)?;
    let parts = chosen.iter().filter_map(|of| there.get(&of.number));
    let parts: Vec<_> = parts.collect();
    let size: u64 = parts.iter().map(|part| part.size).sum();
    if input
        .mpu_object_size
        .is_some_and(|said| said != size as i64)
    {
        return Err(s3_error!(
            InvalidRequest,
            "the parts have other bytes in all: {size}"
        ));
    }
    let found = findings(&upload, &parts);
    for (algorithm, sum) in said {
        let Some(sum) = sum else { continue };
        if found.checksums.get(algorithm.name()) != Some(&sum) {
            let word = algorithm.word();
            return Err(s3_error!(
                BadDigest,
                "the parts do not have the {word} checksum"
            ));
        }
    }
    let options = CompleteOptions { condition, found };
    let completed = uploads.complete(&input.key, &input.upload_id, chosen, options);
    let object = match completed.await.map_err(error) {
        Err(error)
            if *error.code() == S3ErrorCode::PreconditionFailed && input.if_match.is_some() =>
        {
            // What is to be replaced is not there at all.
            let bucket = service.bucket(&named)?;
            let there = bucket.head(&input.key).await.map_err(errors::of)?;
            return match there {
                None => Err(service.absent(&named, &input.key).await),
                Some(_) => Err(error),
            };
        }
        completed => completed?,
    };
    let mut output = CompleteMultipartUploadOutput {
        bucket: Some(named.name.to_string()),
        e_tag: Some(ETag::Strong(object.etag)),
        location: Some(format!("/{}/{}", named.name, input.key)),
        key: Some(input.key),
        ..CompleteMultipartUploadOutput::default()
    };
    sums::show_typed!(output, object.checksums);
    Ok(S3Response::new(output))
}

/// All parts that came, by number.
async fn all(
    uploads: &dyn Uploads,
    key: &str,
    id: &str,
) -> S3Result<(Upload, BTreeMap<u16, Kept>)> {
    let (mut all, mut after) = (BTreeMap::new(), 0);
    loop {
        let page = uploads.parts(key, id, after, lists::PAGE).await;
        let page = page.map_err(error)?;
        all.extend(page.parts.into_iter().map(|part| (part.number, part)));
        match page.next {
            Some(next) => after = next,
            None => return Ok((page.upload, all)),
        }
    }
}

/// The parts that a client names, each held against what came.
fn choose(wanted: &[CompletedPart], there: &BTreeMap<u16, Kept>) -> S3Result<Vec<Chosen>> {
    let missing = || s3_error!(MalformedXML, "a part has a number and an etag");
    // Before anything is said of single parts: out of order, the last is not the last.
    let mut last = 0;
    for part in wanted {
        let number = number(part.part_number.ok_or_else(missing)?)?;
        if number <= last {
            return Err(s3_error!(
                InvalidPartOrder,
                "part is out of order: {number}"
            ));
        }
        last = number;
    }
    let mut chosen = Vec::with_capacity(wanted.len());
    for (n, part) in wanted.iter().enumerate() {
        let number = number(part.part_number.ok_or_else(missing)?)?;
        let etag = part.e_tag.as_ref().ok_or_else(missing)?.value().to_owned();
        let invalid = || {
            s3_error!(
                InvalidPart,
                "part did not come, or with other bytes: {number}"
            )
        };
        let kept = there.get(&number).filter(|kept| kept.etag == etag);
        let kept = kept.ok_or_else(invalid)?;
        for (algorithm, sum) in sums::said!(part) {
            if sum.is_some() && sum != kept.checksums.get(algorithm.name()) {
                return Err(invalid());
            }
        }
        if n + 1 < wanted.len() && kept.size < LEAST {
            let size = kept.size;
            return Err(s3_error!(
                EntityTooSmall,
                "part {number} has fewer bytes than {LEAST}: {size}"
            ));
        }
        chosen.push(Chosen { number, etag });
    }
    match chosen.is_empty() {
        true => Err(s3_error!(MalformedXML, "an object has one part at least")),
        false => Ok(chosen),
    }
}

/// What the whole sums up to.
fn findings(upload: &Upload, parts: &[&Kept]) -> Findings {
    let etags = parts.iter().map(|part| &*part.etag);
    let mut found = Findings {
        etag: sums::etag_of_parts(etags),
        checksums: BTreeMap::new(),
    };
    if let (Some(algorithm), Some(kind)) = (algorithm(upload), kind(upload)) {
        let sums = parts.iter().map(|part| {
            let sum = part.checksums.get(algorithm.name());
            (sum.map(String::as_str), part.size)
        });
        let whole = algorithm.of_parts(kind, sums);
        found
            .checksums
            .extend(whole.map(|sum| (algorithm.name().to_owned(), sum)));
    }
    found
}

pub(crate) async fn abort(
    service: &Service,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let named = service.there(&request, &request.input.bucket).await?;
    let input = request.input;
    refuse::option(
        "if-match-initiated-time",
        input.if_match_initiated_time.is_some(),
    )?;
    let uploads = service.uploads(&named)?;
    let aborted = uploads.abort(&input.key, &input.upload_id).await;
    aborted.map_err(error)?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}

pub(crate) async fn parts(
    service: &Service,
    request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let named = service.there(&request, &request.input.bucket).await?;
    let input = request.input;
    let most = lists::most(input.max_parts, "max-parts")?;
    let after = input.part_number_marker.unwrap_or(0);
    let odd = |_| s3_error!(InvalidArgument, "not a number of a part: {after}");
    let behind = u16::try_from(after).map_err(odd)?;
    let uploads = service.uploads(&named)?;
    let there = uploads
        .parts(&input.key, &input.upload_id, behind, most)
        .await;
    let there = there.map_err(error)?;
    let parts = there.parts.iter().map(|kept| {
        let mut part = Part {
            e_tag: Some(ETag::Strong(kept.etag.clone())),
            last_modified: Some(time(kept.modified_us)),
            part_number: Some(i32::from(kept.number)),
            size: Some(kept.size as i64),
            ..Part::default()
        };
        sums::show!(part, kept.checksums);
        part
    });
    let of = owner(&named.project);
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(named.name.to_string()),
        checksum_algorithm: algorithm_of(&there.upload),
        checksum_type: type_of(&there.upload),
        initiator: Some(Initiator {
            display_name: of.display_name.clone(),
            id: of.id.clone(),
        }),
        is_truncated: Some(there.next.is_some()),
        key: Some(input.key),
        max_parts: Some(most as i32),
        next_part_number_marker: there.next.map(i32::from),
        owner: Some(of),
        part_number_marker: Some(after),
        parts: Some(parts.collect()),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        upload_id: Some(input.upload_id),
        ..ListPartsOutput::default()
    }))
}

pub(crate) async fn list(
    service: &Service,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let named = service.there(&request, &request.input.bucket).await?;
    let input = request.input;
    let encoding = lists::Encoding::of(input.encoding_type.as_ref())?;
    let most = lists::most(input.max_uploads, "max-uploads")?;
    lists::bounded(&[
        input.prefix.as_ref(),
        input.delimiter.as_ref(),
        input.key_marker.as_ref(),
        input.upload_id_marker.as_ref(),
    ])?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let marker = input.key_marker.clone().filter(|key| !key.is_empty());
    let id_marker = input.upload_id_marker.clone().filter(|id| !id.is_empty());
    let options = UploadsOptions {
        prefix: prefix.clone(),
        after: marker.map(|key| (key, id_marker)),
        most,
    };
    let page = match most {
        0 => Default::default(),
        _ => service
            .uploads(&named)?
            .list(options)
            .await
            .map_err(error)?,
    };
    let mut last = page.uploads.last().filter(|_| page.more);
    let mut next = last.map(|last| (last.key.clone(), Some(last.id.clone())));
    let (mut shown, mut prefixes) = (Vec::new(), Vec::<CommonPrefix>::new());
    let folds = gust_backend::blob::ListOptions {
        prefix,
        delimiter: input.delimiter.clone(),
        ..Default::default()
    };
    // What is folded is told once: the next page begins behind all of it.
    if let Some(folded) = last
        .take()
        .and_then(|last| check::folded(&last.key, &folds))
    {
        next = Some((format!("{folded}{}", char::MAX), None));
    }
    for upload in page.uploads {
        match check::folded(&upload.key, &folds) {
            Some(folded) => {
                let prefix = Some(encoding.encode(folded));
                if prefixes.last().is_none_or(|last| last.prefix != prefix) {
                    prefixes.push(CommonPrefix { prefix });
                }
            }
            None => shown.push(show(&named, upload, encoding)),
        }
    }
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(named.name.to_string()),
        common_prefixes: Some(prefixes),
        delimiter: input.delimiter.map(|d| encoding.encode(&d)),
        encoding_type: input.encoding_type,
        is_truncated: Some(next.is_some()),
        key_marker: Some(encoding.encode(&input.key_marker.unwrap_or_default())),
        max_uploads: Some(most as i32),
        next_key_marker: next.as_ref().map(|(key, _)| encoding.encode(key)),
        next_upload_id_marker: next.and_then(|(_, id)| id),
        prefix: Some(encoding.encode(&input.prefix.unwrap_or_default())),
        request_charged: None,
        upload_id_marker: input.upload_id_marker,
        uploads: Some(shown),
    }))
}

fn show(named: &Named, upload: Upload, encoding: lists::Encoding) -> MultipartUpload {
    let of = owner(&named.project);
    MultipartUpload {
        checksum_algorithm: algorithm_of(&upload),
        checksum_type: type_of(&upload),
        initiated: Some(time(upload.begun_us)),
        initiator: Some(Initiator {
            display_name: of.display_name.clone(),
            id: of.id.clone(),
        }),
        key: Some(encoding.encode(&upload.key)),
        owner: Some(of),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        upload_id: Some(upload.id),
    }
}
