//! Buckets as such.

use std::time::{Duration, UNIX_EPOCH};

use gust_backend::blob::UploadsOptions;
use gust_types::Kind;
use s3s::{
    S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        Bucket, CreateBucketInput, CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput,
        GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput,
        ListBucketsInput, ListBucketsOutput, Owner, Timestamp,
    },
    s3_error,
};

use crate::{
    error, refuse,
    service::{Named, Service, no_bucket},
};

/// Where everything is: there is one place, and any name for it is taken.
const REGION: &str = "us-east-1";
/// Buckets in one answer.
const PAGE: usize = 1000;

pub(crate) fn time(unix_us: u64) -> Timestamp {
    Timestamp::from(UNIX_EPOCH + Duration::from_micros(unix_us))
}

pub(crate) fn owner(project: &gust_types::ProjectName) -> Owner {
    Owner {
        display_name: Some(project.to_string()),
        id: Some(project.to_string()),
    }
}

pub(crate) async fn list(
    service: &Service,
    request: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let project = service.project(&request)?;
    let input = request.input;
    let most = match input.max_buckets {
        None => PAGE,
        Some(most) => usize::try_from(most).unwrap_or(0).min(PAGE),
    };
    let prefix = input.prefix.unwrap_or_default();
    let after = input.continuation_token.unwrap_or_default();
    let names = service.backends.buckets(&project).map_err(error::of)?;
    let wanted = names
        .into_iter()
        .filter(|name| name.as_str().starts_with(&prefix) && name.as_str() > after.as_str());
    let (mut buckets, mut next) = (Vec::new(), None);
    for name in wanted {
        if buckets.len() == most {
            next = buckets.last().and_then(|last: &Bucket| last.name.clone());
            break;
        }
        let there = service.backends.bucket(&project, &name).await;
        // Removed meanwhile, it is in no list.
        if let Some(there) = there.map_err(error::of)? {
            buckets.push(Bucket {
                bucket_region: Some(REGION.to_owned()),
                creation_date: Some(time(there.made_us)),
                name: Some(name.to_string()),
            });
        }
    }
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(buckets),
        continuation_token: next,
        owner: Some(owner(&project)),
        prefix: (!prefix.is_empty()).then_some(prefix),
    }))
}

pub(crate) async fn create(
    service: &Service,
    request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let named = service.named(&request, &request.input.bucket)?;
    let input = request.input;
    refuse::acl(input.acl.as_ref().map(|acl| acl.as_str()))?;
    for (name, asked) in [
        ("grant-full-control", input.grant_full_control.is_some()),
        ("grant-read", input.grant_read.is_some()),
        ("grant-read-acp", input.grant_read_acp.is_some()),
        ("grant-write", input.grant_write.is_some()),
        ("grant-write-acp", input.grant_write_acp.is_some()),
        (
            "bucket-object-lock-enabled",
            input.object_lock_enabled_for_bucket == Some(true),
        ),
    ] {
        refuse::option(name, asked)?;
    }
    // What other clients could not name again is not made: they hold names against S3's rules.
    if !s3s::path::check_bucket_name(named.name.as_str()) {
        let hint = "3 to 63 lower-case letters, digits and '-', a letter first and no '-' last";
        return Err(s3_error!(InvalidBucketName, "not a bucket's name; {hint}"));
    }
    let made = service.backends.make_bucket(&named.project, &named.name);
    let made = made.await;
    match made.map_err(error::with(Kind::Exhausted, S3ErrorCode::TooManyBuckets))? {
        true => Ok(S3Response::new(CreateBucketOutput {
            location: Some(format!("/{}", named.name)),
        })),
        false => Err(s3_error!(
            BucketAlreadyOwnedByYou,
            "it is there: {}",
            named.name
        )),
    }
}

pub(crate) async fn delete(
    service: &Service,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let named = service.named(&request, &request.input.bucket)?;
    end_uploads(service, &named).await?;
    let removed = service.backends.remove_bucket(&named.project, &named.name);
    let removed = removed.await;
    match removed.map_err(error::with(Kind::Conflict, S3ErrorCode::BucketNotEmpty))? {
        true => Ok(S3Response::new(DeleteBucketOutput {})),
        false => Err(no_bucket(&named)),
    }
}

/// Uploads under way do not keep a bucket that has no objects.
async fn end_uploads(service: &Service, named: &Named) -> S3Result<()> {
    let first = gust_backend::blob::ListOptions {
        most: 1,
        ..Default::default()
    };
    let page = service.bucket(named)?.list(first).await;
    if !page.map_err(error::of)?.objects.is_empty() {
        return Ok(());
    }
    let uploads = service.uploads(named)?;
    let page = uploads.list(UploadsOptions::default()).await;
    for upload in page.map_err(error::of)?.uploads {
        match uploads.abort(&upload.key, &upload.id).await {
            Err(error) if error.kind != Kind::NotFound => return Err(error::of(error)),
            _ => {}
        }
    }
    Ok(())
}

pub(crate) async fn head(
    service: &Service,
    request: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    service.there(&request, &request.input.bucket).await?;
    Ok(S3Response::new(HeadBucketOutput {
        bucket_region: Some(REGION.to_owned()),
        ..HeadBucketOutput::default()
    }))
}

/// Nothing said is the first region of S3.
pub(crate) async fn location(
    service: &Service,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    service.there(&request, &request.input.bucket).await?;
    Ok(S3Response::new(GetBucketLocationOutput::default()))
}
