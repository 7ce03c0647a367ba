//! The table from operations to the files that serve them.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use gust_backend::{
    Backends,
    blob::{Bucket, Uploads},
    keys::Keys,
};
use gust_types::{Label, ProjectName};
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, dto::*, s3_error};

use crate::{access::Visit, body::Still, buckets, copies, error, lists, objects, uploads};

/// What every operation needs.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) backends: Arc<dyn Backends>,
    pub(crate) keys: Arc<dyn Keys>,
}

/// A bucket of the project that asks.
pub(crate) struct Named {
    pub(crate) project: ProjectName,
    pub(crate) name: Label,
}

// === impl Service ===

impl Service {
    pub(crate) fn new(backends: Arc<dyn Backends>, keys: Arc<dyn Keys>) -> Self {
        Self { backends, keys }
    }

    /// The project that asks.
    pub(crate) fn project<T>(&self, request: &S3Request<T>) -> S3Result<ProjectName> {
        let visit = request.extensions.get::<Visit>();
        let known = visit.and_then(|visit| visit.0.get());
        let known = known.ok_or_else(|| s3_error!(AccessDenied, "the request is not signed"))?;
        known.begun.store(true, Relaxed);
        Ok(known.project.clone())
    }

    /// A bucket by its name, whether or not it is there.
    pub(crate) fn named<T>(&self, request: &S3Request<T>, bucket: &str) -> S3Result<Named> {
        Ok(Named {
            project: self.project(request)?,
            name: label(bucket)?,
        })
    }

    /// A bucket that is there.
    pub(crate) async fn there<T>(&self, request: &S3Request<T>, bucket: &str) -> S3Result<Named> {
        let named = self.named(request, bucket)?;
        self.must_be(&named).await?;
        Ok(named)
    }

    /// That a request may still put: its key may have been removed while the bytes came, and its bucket too.
    pub(crate) fn still<T>(&self, request: &S3Request<T>, named: &Named) -> Still {
        let visit = request.extensions.get::<Visit>().cloned();
        let service = self.clone();
        let (project, name) = (named.project.clone(), named.name.clone());
        Box::pin(async move {
            let known = visit.as_ref().and_then(|visit| visit.0.get());
            let key = known.and_then(|known| service.keys.find(&known.key));
            if key.is_none_or(|key| key.project != project) {
                return Err(s3_error!(
                    InvalidAccessKeyId,
                    "the access key was removed meanwhile"
                ));
            }
            service.must_be(&Named { project, name }).await
        })
    }

    pub(crate) async fn must_be(&self, named: &Named) -> S3Result<()> {
        let there = self.backends.bucket(&named.project, &named.name).await;
        match there.map_err(error::of)? {
            Some(_) => Ok(()),
            None => Err(no_bucket(named)),
        }
    }

    /// Why nothing was found under a key: there is no such key, or no such bucket.
    pub(crate) async fn absent(&self, named: &Named, key: &str) -> S3Error {
        match self.must_be(named).await {
            Ok(()) => s3_error!(NoSuchKey, "there is no such key: {key}"),
            Err(error) => error,
        }
    }

    pub(crate) fn bucket(&self, named: &Named) -> S3Result<Arc<dyn Bucket>> {
        let bucket = self.backends.blob(&named.project, &named.name);
        bucket.map_err(error::of)
    }

    pub(crate) fn uploads(&self, named: &Named) -> S3Result<Arc<dyn Uploads>> {
        let uploads = self.backends.uploads(&named.project, &named.name);
        uploads.map_err(error::of)
    }
}

/// A bucket's name as the other rooms know it.
pub(crate) fn label(bucket: &str) -> S3Result<Label> {
    Label::new(bucket).map_err(|error| {
        let hint = error.hint.unwrap_or_default();
        s3_error!(InvalidBucketName, "{}; {hint}", error.message)
    })
}

pub(crate) fn no_bucket(named: &Named) -> S3Error {
    s3_error!(NoSuchBucket, "there is no such bucket: {}", named.name)
}

/// One line an operation: which function of which file.
macro_rules! serve {
    ($($name:ident($input:ident) -> $output:ident = $function:path;)*) => {
        #[async_trait::async_trait]
        impl S3 for Service {
            $(
                async fn $name(
                    &self,
                    request: S3Request<$input>,
                ) -> S3Result<S3Response<$output>> {
                    $function(self, request).await
                }
            )*
        }
    };
}

serve! {
    list_buckets(ListBucketsInput) -> ListBucketsOutput = buckets::list;
    create_bucket(CreateBucketInput) -> CreateBucketOutput = buckets::create;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput = buckets::delete;
    head_bucket(HeadBucketInput) -> HeadBucketOutput = buckets::head;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput = buckets::location;
    put_object(PutObjectInput) -> PutObjectOutput = objects::put;
    get_object(GetObjectInput) -> GetObjectOutput = objects::get;
    head_object(HeadObjectInput) -> HeadObjectOutput = objects::head;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput = objects::delete;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput = objects::delete_many;
    copy_object(CopyObjectInput) -> CopyObjectOutput = copies::copy;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput = copies::copy_part;
    list_objects(ListObjectsInput) -> ListObjectsOutput = lists::objects;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = lists::objects_v2;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput = uploads::create;
    upload_part(UploadPartInput) -> UploadPartOutput = uploads::part;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput = uploads::complete;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput = uploads::abort;
    list_parts(ListPartsInput) -> ListPartsOutput = uploads::parts;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput = uploads::list;
}
