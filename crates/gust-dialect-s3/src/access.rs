//! Who asks, and whether this may be asked at all.

use std::sync::{Arc, OnceLock, atomic::AtomicBool};

use gust_backend::keys::Keys;
use gust_types::{Label, ProjectName};
use http::HeaderMap;
use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
    s3_error,
    validation::NameValidation,
};

use crate::operations::Operation;

/// Owners that a request expects: a bucket's owner is its project.
const OWNERS: [&str; 2] = [
    "x-amz-expected-bucket-owner",
    "x-amz-source-expected-bucket-owner",
];

/// A request whose signature is good: known to the gate from then on.
#[derive(Clone, Default)]
pub(crate) struct Visit(pub(crate) Arc<OnceLock<Known>>);

/// What is known of it.
pub(crate) struct Known {
    pub(crate) project: ProjectName,
    pub(crate) operation: &'static Operation,
    /// The id of the key that signed.
    pub(crate) key: String,
    /// The operation itself was begun: its document, if it has one, was read.
    pub(crate) begun: AtomicBool,
}

/// Secrets of keys, for signatures to be held against.
pub(crate) struct Secrets(pub(crate) Arc<dyn Keys>);

/// Lets in who signed with a key of a project, and what is served.
pub(crate) struct Access(pub(crate) Arc<dyn Keys>);

/// Names that a bucket of a project may have.
pub(crate) struct Names;

#[async_trait::async_trait]
impl S3Auth for Secrets {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        let unknown = || s3_error!(InvalidAccessKeyId, "there is no such access key");
        let key = self.0.find(id).ok_or_else(unknown)?;
        Ok(SecretKey::from(key.secret))
    }
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = cx.credentials() else {
            return Err(s3_error!(AccessDenied, "the request is not signed"));
        };
        // Removed since the signature was checked.
        let gone = || s3_error!(InvalidAccessKeyId, "there is no such access key");
        let project = self
            .0
            .find(&credentials.access_key)
            .ok_or_else(gone)?
            .project;
        let key = credentials.access_key.clone();
        let name = cx.s3_op().name();
        let Some(operation) = Operation::named(name) else {
            return Err(s3_error!(NotImplemented, "{name} is not served here"));
        };
        if let Some(odd) = operation.unknown(cx.uri().query().unwrap_or_default()) {
            return Err(s3_error!(
                NotImplemented,
                "{name} does not take this parameter here: {odd}"
            ));
        }
        owner(cx.headers(), &project)?;
        if let Some(visit) = cx.extensions_mut().get::<Visit>() {
            let begun = AtomicBool::new(false);
            let _ = visit.0.set(Known {
                project,
                operation,
                key,
                begun,
            });
        }
        Ok(())
    }
}

/// Refuses what is meant for the buckets of somebody else.
fn owner(headers: &HeaderMap, project: &ProjectName) -> S3Result<()> {
    let mut expected = OWNERS.iter().filter_map(|name| headers.get(*name));
    match expected.all(|owner| owner.as_bytes() == project.as_str().as_bytes()) {
        true => Ok(()),
        false => Err(s3_error!(AccessDenied, "the bucket has another owner")),
    }
}

impl NameValidation for Names {
    fn validate_bucket_name(&self, name: &str) -> bool {
        Label::new(name).is_ok()
    }
}
